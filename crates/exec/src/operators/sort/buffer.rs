//! Batches that an operator keeps, and rows gathered from them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use firesteel_common::{Batch, Result, SqlType};
use firesteel_shuffle::block::row_bytes;

/// Bytes of text that may be kept alive in vain by one column of one batch.
const WASTE: usize = 64 << 10;

/// The live rows in the canonical encoding, with text copied together where views would keep much more
/// alive than they refer to.
pub(crate) fn retain(batch: Batch, types: &[SqlType]) -> Result<Batch> {
    let batch = batch.canonical(types)?;
    let columns = batch.columns().iter().map(compact_text).collect();
    Ok(Batch::new(columns, batch.rows()))
}

fn compact_text(column: &ArrayRef) -> ArrayRef {
    macro_rules! compact {
        ($array:expr) => {{
            let array = $array;
            let held: usize = array.data_buffers().iter().map(|b| b.len()).sum();
            let wasteful = held > WASTE && held > 2 * array.total_buffer_bytes_used();
            if wasteful { Arc::new(array.gc()) } else { column.clone() }
        }};
    }
    match column.data_type() {
        DataType::Utf8View => compact!(column.as_string_view()),
        DataType::BinaryView => compact!(column.as_binary_view()),
        _ => column.clone(),
    }
}

/// A batch of the rows at `places`: batch and row.
pub(crate) fn gather(batches: &[Batch], places: &[(usize, usize)]) -> Result<Batch> {
    let parts: Vec<&[ArrayRef]> = batches.iter().map(Batch::columns).collect();
    Ok(Batch::new(gather_columns(&parts, places)?, places.len()))
}

/// The rows at `places` of parts that have the same columns.
pub(crate) fn gather_columns(parts: &[impl AsRef<[ArrayRef]>], places: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
    let width = parts.first().map_or(0, |part| part.as_ref().len());
    let column = |index: usize| {
        let columns: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()[index].as_ref()).collect();
        Ok(interleave(&columns, places)?)
    };
    (0..width).map(column).collect()
}

/// Bytes of a batch of which all neighbours are kept too: what it shares with them counts by its own rows.
pub(crate) fn kept_bytes(batch: &Batch) -> usize {
    batch.columns().iter().map(|column| row_bytes(column) as usize).sum()
}

/// Bytes of columns made from a batch that are not columns of it.
pub(crate) fn own_bytes(batch: &Batch, columns: &[ArrayRef]) -> usize {
    let is_own = |column: &&ArrayRef| !batch.columns().iter().any(|other| Arc::ptr_eq(other, column));
    columns.iter().filter(is_own).map(|column| row_bytes(column) as usize).sum()
}
