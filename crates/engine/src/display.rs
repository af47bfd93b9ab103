//! Values as text, the way Spark's CAST to STRING writes them.

use arrow::array::{Array, RecordBatch};
use firesteel_common::{Result, SqlType};
use firesteel_expr::format::format_value;

/// The cells of a batch as text, row by row; `None` is NULL. Timestamps are shown in `time_zone`.
pub fn cells(batch: &RecordBatch, time_zone: &str) -> Result<Vec<Vec<Option<String>>>> {
    let types =
        batch.schema().fields().iter().map(|f| SqlType::from_arrow(f.data_type())).collect::<Result<Vec<_>>>()?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let cell = |(column, ty): (&arrow::array::ArrayRef, &SqlType)| {
                column.is_valid(row).then(|| format_value(column, row, ty, time_zone))
            };
            batch.columns().iter().zip(&types).map(cell).collect()
        })
        .collect())
}
