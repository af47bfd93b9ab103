//! The pages of a column chunk, forward and decompressed.
//!
//! The Parquet crate finds and reads the pages and parses their headers; pages compressed by Snappy it is made to
//! return as they are stored, since two of them are decompressed in less time together ([`snappy`]). So when a
//! page is read and the next one will be too, both are decompressed, and one waits. That the next one will be
//! read is assumed if it begins in rows that may be asked for, and no page has been left out so far: as long as
//! every page had rows that passed the filters, the next one has.
//!
//! Of a column that several scans of a statement read, a page is taken from what another one has kept, and kept for the
//! next one, if it shrinks enough that decompressing it is work.

use std::sync::Arc;

use bytes::Bytes;
use firesteel_catalog::SharedChunk;
use firesteel_common::Result;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::file::reader::SerializedPageReader;

use super::column::ChunkRef;
use super::dictionary::Dictionary;
use super::file::{FileColumn, ParquetFile};
use super::native::Damage;
use super::pages::LiveRows;
use super::rle::Truncated;
use super::snappy;
use crate::buffers::PageBuffer;
use crate::storage::ByteSource;

/// The pages of a column chunk.
pub(super) struct StoredPages {
    reader: SerializedPageReader<ByteSource>,
    /// Whether `reader` returns pages that are still compressed, by Snappy.
    snappy: bool,
    live: LiveRows,
    /// A page that was decompressed along with the one before it.
    ahead: Option<StoredPage>,
    /// First row of the next page that `reader` returns.
    next_row: u64,
    /// Whether a page of rows that may be asked for was left out.
    left_out: bool,
    /// Where pages are kept for other scans.
    shared: Option<SharedChunk>,
}

/// A page is kept if its bytes are more than so many fourths of what is stored.
const WORTH_KEEPING: usize = 5;

/// A page.
#[derive(Clone)]
pub(super) struct StoredPage {
    /// Its header; its bytes may be compressed.
    pub(super) page: Page,
    /// The decompressed part of its bytes, if a part is compressed.
    inflated: Option<Bytes>,
}

impl StoredPage {
    /// The bytes from the values on, which begin at `start`; in a page of version 1, all bytes are compressed
    /// together.
    pub(super) fn values(&self, start: usize) -> Result<Bytes, Damage> {
        match (&self.inflated, &self.page) {
            (Some(values), Page::DataPageV2 { .. }) => Ok(values.clone()),
            (Some(all), _) => slice(all, start),
            (None, page) => slice(page.buffer(), start),
        }
    }
}

impl StoredPage {
    /// Lets go of the compressed bytes, which nobody reads any more.
    fn forget_stored(&mut self) {
        match &mut self.page {
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                *buf = Bytes::copy_from_slice(&buf[..levels.min(buf.len())]);
            }
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = Bytes::new(),
        }
    }
}

fn slice(bytes: &Bytes, start: usize) -> Result<Bytes, Damage> {
    if start > bytes.len() { Err(Truncated.into()) } else { Ok(bytes.slice(start..)) }
}

impl StoredPages {
    pub(super) fn new(
        file: &ParquetFile,
        column: &FileColumn,
        chunk: &ChunkRef,
        shared: Option<SharedChunk>,
    ) -> Result<Self> {
        let metadata = file.metadata();
        let group = metadata.row_group(chunk.group);
        let stored = group.column(column.leaf);
        let locations = metadata.page_index().and_then(|i| i.page_locations(chunk.group, column.leaf).cloned());
        let rows = group.num_rows().max(0) as usize;
        let snappy = stored.compression() == Compression::SNAPPY;
        let plain = snappy.then(|| stored.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build());
        let plain = plain.transpose().map_err(|e| file.source.damaged(&e))?;
        let source = Arc::new(chunk.source.clone());
        let reader = SerializedPageReader::new(source, plain.as_ref().unwrap_or(stored), rows, locations);
        Ok(Self {
            reader: reader.map_err(|e| file.source.damaged(&e))?,
            snappy,
            live: chunk.live.clone(),
            ahead: None,
            next_row: 0,
            left_out: false,
            shared,
        })
    }

    /// What is known of the next page, unless it was decompressed already.
    pub(super) fn peek(&mut self) -> Result<Option<PageMetadata>, Damage> {
        if self.ahead.is_some() {
            return Ok(None);
        }
        Ok(Some(self.reader.peek_next_page()?.ok_or(Truncated)?))
    }

    /// Leaves out a page of `rows` rows, or a dictionary, of none.
    pub(super) fn skip(&mut self, rows: usize) -> Result<(), Damage> {
        self.left_out |= rows > 0 && self.next_is_live();
        self.next_row += rows as u64;
        Ok(self.reader.skip_next_page()?)
    }

    /// The next page, which is not a dictionary.
    pub(super) fn next(&mut self) -> Result<StoredPage, Damage> {
        if let Some(page) = self.ahead.take() {
            return Ok(page);
        }
        if let Some(kept) = self.shared.as_ref().and_then(|shared| shared.get::<StoredPage>(Some(self.next_row))) {
            self.reader.skip_next_page()?;
            self.next_row += u64::from(kept.page.num_values());
            return Ok(StoredPage::clone(&kept));
        }
        let row = self.next_row;
        let page = self.read()?;
        let Some(stored) = self.compressed(&page)? else { return Ok(StoredPage { page, inflated: None }) };
        let second_row = self.next_row;
        let second = if self.reads_on()? { Some(self.read()?) } else { None };
        let second_stored = second.as_ref().map(|page| self.compressed(page)).transpose()?.flatten();
        let (first, inflated) = snappy::decompress(&stored, second_stored.as_deref(), self.buffers())?;
        if let Some(page) = second {
            let page = StoredPage { page, inflated };
            self.keep(second_row, &page);
            self.ahead = Some(page);
        }
        let page = StoredPage { page, inflated: Some(first) };
        self.keep(row, &page);
        Ok(page)
    }

    /// Makes the buffers to decompress to: what is kept is not one that serves for the next page.
    fn buffers(&self) -> fn(usize) -> PageBuffer {
        if self.shared.as_ref().is_some_and(SharedChunk::keeps) { PageBuffer::own } else { PageBuffer::take }
    }

    /// Keeps the decompressed bytes of the page that begins at `row`, for other scans.
    fn keep(&self, row: u64, page: &StoredPage) {
        let (Some(shared), Some(inflated)) = (self.shared.as_ref().filter(|s| s.keeps()), &page.inflated) else {
            return;
        };
        let stored = page.page.buffer();
        if inflated.len() * 4 < stored.len() * WORTH_KEEPING {
            return;
        }
        let mut kept = page.clone();
        kept.forget_stored();
        shared.keep(Some(row), Arc::new(kept), inflated.len());
    }

    /// The dictionary, if another scan has kept it.
    pub(super) fn kept_dictionary(&self) -> Option<Arc<Dictionary>> {
        self.shared.as_ref()?.get(None)
    }

    /// Keeps the dictionary for other scans.
    pub(super) fn keep_dictionary(&self, dictionary: &Arc<Dictionary>) {
        if let Some(shared) = &self.shared {
            shared.keep(None, dictionary.clone(), dictionary.bytes());
        }
    }

    /// The bytes of the dictionary, which was left out, and the number of its values.
    pub(super) fn dictionary(&mut self) -> Result<Option<(Bytes, usize)>, Damage> {
        let Some(page) = self.reader.take_deferred_dictionary()? else { return Ok(None) };
        let values = page.num_values() as usize;
        let bytes = match self.compressed(&page)? {
            Some(stored) => snappy::decompress(&stored, None, self.buffers())?.0,
            None => page.buffer().clone(),
        };
        Ok(Some((bytes, values)))
    }

    fn read(&mut self) -> Result<Page, Damage> {
        let page = self.reader.get_next_page()?.ok_or(Truncated)?;
        self.next_row += u64::from(page.num_values());
        Ok(page)
    }

    /// Whether the page after the one just read is expected to be read.
    fn reads_on(&mut self) -> Result<bool, Damage> {
        if self.left_out || !self.next_is_live() {
            return Ok(false);
        }
        let kept = self.shared.as_ref().is_some_and(|shared| shared.has(self.next_row));
        Ok(!kept && self.reader.peek_next_page()?.is_some_and(|next| !next.is_dict))
    }

    /// Whether the next page begins in rows that may be asked for.
    fn next_is_live(&self) -> bool {
        self.live.iter().any(|range| range.contains(&self.next_row))
    }

    /// The part of a page's bytes that is compressed.
    fn compressed(&self, page: &Page) -> Result<Option<Bytes>, Damage> {
        let part = match page {
            _ if !self.snappy => return Ok(None),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(None),
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                slice(buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)?
            }
            page => page.buffer().clone(),
        };
        // A page without values may have no bytes at all.
        Ok(Some(part).filter(|part| !part.is_empty()))
    }
}
