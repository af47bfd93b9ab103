//! Batches that an operator keeps, and rows gathered from them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, downcast_primitive};
use arrow::compute::interleave;
use arrow::datatypes::*;
use firesteel_common::texts::trim;
use firesteel_common::{Batch, Result, SqlType};
use firesteel_expr::ColumnRef;
use firesteel_shuffle::block::row_bytes;

use super::keys::Entry;

/// Bytes of text that may be kept alive in vain by one column of one batch.
const WASTE: usize = 64 << 10;

/// The live rows in the canonical encoding, with text copied together where views would keep much more
/// alive than they refer to.
pub(crate) fn retain(batch: Batch, types: &[SqlType]) -> Result<Batch> {
    let batch = batch.canonical(types)?;
    let columns = batch.columns().iter().map(|column| trim(column, WASTE)).collect();
    Ok(Batch::new(columns, batch.rows()))
}

/// Places of those columns of `input` that are in `output`, too.
pub(crate) fn places_of(input: &[ColumnRef], output: &[ColumnRef]) -> Vec<usize> {
    let is_kept = |at: &usize| output.iter().any(|column| column.id == input[*at].id);
    (0..input.len()).filter(is_kept).collect()
}

/// A batch of some of the columns.
pub(crate) fn columns_at(batch: &Batch, places: &[usize]) -> Batch {
    Batch::new(places.iter().map(|at| batch.columns()[*at].clone()).collect(), batch.rows())
}

/// A batch of the rows at `places`.
pub(crate) fn gather(batches: &[Batch], places: &[Entry]) -> Result<Batch> {
    let width = batches.first().map_or(0, |batch| batch.columns().len());
    let column = |at: usize| gather_column(batches.iter().map(|batch| &batch.columns()[at]), places);
    Ok(Batch::new((0..width).map(column).collect::<Result<_>>()?, places.len()))
}

/// The values at `places` of the parts of one column.
pub(crate) fn gather_column<'a>(parts: impl Iterator<Item = &'a ArrayRef>, places: &[Entry]) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = parts.map(AsRef::as_ref).collect();
    if let Some(values) = plain_values(&parts, places) {
        return Ok(values);
    }
    let places: Vec<(usize, usize)> = places.iter().map(|e| (e.batch as usize, e.row as usize)).collect();
    Ok(interleave(&parts, &places)?)
}

/// As [`gather_column`], of numbers without NULLs, which need not go through places in another form.
fn plain_values(parts: &[&dyn Array], places: &[Entry]) -> Option<ArrayRef> {
    let ty = parts.first()?.data_type();
    if parts.iter().any(|part| part.null_count() > 0) {
        return None;
    }
    macro_rules! plain {
        ($ty:ty) => {{
            let parts: Vec<&[<$ty as ArrowPrimitiveType>::Native]> = parts
                .iter()
                .map(|part| part.as_primitive_opt::<$ty>().map(|p| &p.values()[..]))
                .collect::<Option<_>>()?;
            let values = places.iter().map(|e| parts[e.batch as usize][e.row as usize]);
            Some(Arc::new(PrimitiveArray::<$ty>::from_iter_values(values).with_data_type(ty.clone())))
        }};
    }
    downcast_primitive! {
        ty => (plain),
        _ => None,
    }
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
