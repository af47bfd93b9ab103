//! Batches of the engine as Arrow record batches.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use firesteel_common::{Batch, Result};
use firesteel_expr::ColumnRef;

/// The Arrow schema of a result: names as they are shown, canonical types. All fields may hold NULL, since the
/// nullability of a plan is a bound, not a promise.
pub(crate) fn schema_of(names: &[Arc<str>], columns: &[ColumnRef]) -> SchemaRef {
    let field = |(name, column): (&Arc<str>, &ColumnRef)| Field::new(name.as_ref(), column.ty.arrow(), true);
    Arc::new(Schema::new(names.iter().zip(columns).map(field).collect::<Vec<_>>()))
}

/// A batch of the engine with its column names.
pub(crate) fn record_batch(batch: &Batch, columns: &[ColumnRef], schema: &SchemaRef) -> Result<RecordBatch> {
    let types: Vec<_> = columns.iter().map(|c| c.ty.clone()).collect();
    let batch = batch.clone().canonical(&types)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}
