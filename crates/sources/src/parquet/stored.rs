//! The pages of a column chunk, forward and decompressed.
//!
//! The Parquet crate finds and reads the pages and parses their headers; pages compressed by Snappy it is made to
//! return as they are stored, since two of them are decompressed in less time together ([`snappy`]). So when a
//! page is read and the next one will be too, both are decompressed, and one waits. That the next one will be
//! read is assumed if it begins in rows that may be asked for, and no page has been left out so far: as long as
//! every page had rows that passed the filters, the next one has.

use std::sync::Arc;

use bytes::Bytes;
use firesteel_common::Result;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::file::reader::SerializedPageReader;

use super::column::ChunkRef;
use super::file::{FileColumn, ParquetFile};
use super::native::Damage;
use super::pages::LiveRows;
use super::rle::Truncated;
use super::snappy;
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
}

/// A page.
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

fn slice(bytes: &Bytes, start: usize) -> Result<Bytes, Damage> {
    if start > bytes.len() { Err(Truncated.into()) } else { Ok(bytes.slice(start..)) }
}

impl StoredPages {
    pub(super) fn new(file: &ParquetFile, column: &FileColumn, chunk: &ChunkRef) -> Result<Self> {
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
        let page = self.read()?;
        let Some(stored) = self.compressed(&page)? else { return Ok(StoredPage { page, inflated: None }) };
        let second = if self.reads_on()? { Some(self.read()?) } else { None };
        let second_stored = second.as_ref().map(|page| self.compressed(page)).transpose()?.flatten();
        let (first, inflated) = snappy::decompress(&stored, second_stored.as_deref())?;
        self.ahead = second.map(|page| StoredPage { page, inflated });
        Ok(StoredPage { page, inflated: Some(first) })
    }

    /// The bytes of the dictionary, which was left out, and the number of its values.
    pub(super) fn dictionary(&mut self) -> Result<Option<(Bytes, usize)>, Damage> {
        let Some(page) = self.reader.take_deferred_dictionary()? else { return Ok(None) };
        let values = page.num_values() as usize;
        let bytes = match self.compressed(&page)? {
            Some(stored) => snappy::decompress(&stored, None)?.0,
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
        Ok(self.reader.peek_next_page()?.is_some_and(|next| !next.is_dict))
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
