//! Estimates of distinct values from dictionaries.
//!
//! Where all pages of a column chunk are dictionary codes, the dictionary's length is the exact number
//! of distinct values of the row group. If that is small beside the rows, the table has hardly more.

use parquet::basic::{Encoding, PageType};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;
use std::sync::Arc;

use super::file::ParquetFile;

/// Largest dictionary page, in compressed bytes, that is read for an estimate.
const MAX_BYTES: i64 = 128 << 10;

/// Distinct values of a column in the table that `file` is part of, judged by its first row group.
/// `rows` are those of the table.
pub(crate) fn estimate(file: &ParquetFile, leaf: usize, rows: u64) -> Option<u64> {
    let here = *file.footer.dictionary_lengths.lock().entry(leaf).or_insert_with(|| dictionary_length(file, leaf));
    let here = here?;
    let group_rows = file.group_rows(0);
    if here * 4 <= group_rows {
        return Some(here);
    }
    // Values are still being found: expect as many new ones in the other row groups.
    Some((here as f64 * rows as f64 / group_rows.max(1) as f64) as u64)
}

fn dictionary_length(file: &ParquetFile, leaf: usize) -> Option<u64> {
    let metadata = file.metadata();
    if !file.source.is_local() || metadata.num_row_groups() == 0 {
        return None;
    }
    let chunk = metadata.row_group(0).column(leaf);
    let size = chunk.data_page_offset() - chunk.dictionary_page_offset()?;
    if !(0..=MAX_BYTES).contains(&size) || !only_codes(chunk) {
        return None;
    }
    let source = Arc::new(file.source.open(None).ok()?);
    let mut pages = SerializedPageReader::new(source, chunk, file.group_rows(0) as usize, None).ok()?;
    match pages.get_next_page().ok()?? {
        Page::DictionaryPage { num_values, .. } => Some(u64::from(num_values)),
        _ => None,
    }
}

/// Whether all data pages of a column chunk are dictionary codes, as far as the footer says.
#[allow(deprecated, reason = "older writers use the name PLAIN_DICTIONARY for codes")]
pub(super) fn only_codes(chunk: &ColumnChunkMetaData) -> bool {
    let codes = |e: Encoding| matches!(e, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    if let Some(mask) = chunk.page_encoding_stats_mask() {
        return mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY);
    }
    let is_data = |ty: PageType| matches!(ty, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
    chunk.page_encoding_stats().is_some_and(|s| s.iter().all(|s| !is_data(s.page_type) || codes(s.encoding)))
}
