//! One line for each value, under a line for each row: for rows that are wider than the screen.

use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;
use unicode_width::UnicodeWidthStr;

use super::cell;
use super::{Summary, Writer};

/// Writes `name | value` lines.
pub(super) struct Vertical {
    /// Names, padded to the same width.
    names: Vec<String>,
    rows: u64,
    footer: bool,
}

impl Vertical {
    pub(super) fn new(footer: bool) -> Self {
        Self { names: Vec::new(), rows: 0, footer }
    }
}

impl Writer for Vertical {
    fn start(&mut self, schema: &Schema, _: &mut Vec<u8>) {
        let width = schema.fields().iter().map(|field| field.name().width()).max().unwrap_or(0);
        let padded = |name: &String| format!("{name}{} | ", " ".repeat(width - name.width()));
        self.names = schema.fields().iter().map(|field| padded(field.name())).collect();
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        let columns = cell::columns(batch, zone)?;
        for row in 0..batch.num_rows() {
            self.rows += 1;
            out.extend_from_slice(format!("-[ RECORD {} ]----\n", self.rows).as_bytes());
            for (column, name) in columns.iter().zip(&self.names) {
                out.extend_from_slice(name.as_bytes());
                if column.is_null(row) {
                    out.extend_from_slice(b"NULL");
                } else {
                    column.write(row, out);
                }
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        if self.footer {
            let time = summary.time.iter().map(|time| format!(", {time}")).collect::<String>();
            let plural = if self.rows == 1 { "" } else { "s" };
            out.extend_from_slice(format!("{} row{plural}{time}\n", self.rows).as_bytes());
        }
        Ok(())
    }
}
