//! Text as it is, for EXPLAIN: the first column, without a header.

use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;

use super::cell;
use super::{Summary, Writer};

pub(super) struct Plain;

impl Writer for Plain {
    fn start(&mut self, _: &Schema, _: &mut Vec<u8>) {}

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        if let Some(column) = cell::columns(batch, zone)?.first() {
            for row in (0..batch.num_rows()).filter(|row| !column.is_null(*row)) {
                column.write(row, out);
                out.truncate(out.trim_ascii_end().len());
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Summary, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}
