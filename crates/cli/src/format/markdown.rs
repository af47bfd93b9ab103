//! A table of GitHub's Markdown. Cells are not padded, so that rows can be written as they come.

use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;

use super::cell::{self, Kind, kind_of};
use super::{Summary, Writer};

pub(super) struct Markdown;

impl Writer for Markdown {
    fn start(&mut self, schema: &Schema, out: &mut Vec<u8>) {
        for field in schema.fields() {
            out.extend_from_slice(b"| ");
            escape(field.name().as_bytes(), out);
            out.push(b' ');
        }
        out.extend_from_slice(b"|\n");
        for field in schema.fields() {
            let right = matches!(kind_of(field.data_type()), Kind::Number | Kind::Float);
            out.extend_from_slice(if right { b"|---:" } else { b"|---" });
        }
        out.extend_from_slice(b"|\n");
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        let columns = cell::columns(batch, zone)?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            for column in &columns {
                text.clear();
                if column.is_null(row) {
                    text.extend_from_slice(b"NULL");
                } else {
                    column.write(row, &mut text);
                }
                out.extend_from_slice(b"| ");
                escape(&text, out);
                out.push(b' ');
            }
            out.extend_from_slice(b"|\n");
        }
        Ok(())
    }

    fn finish(&mut self, _: &Summary, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// Appends text that stays in its cell.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\n' => out.extend_from_slice(b"<br>"),
            b'\r' => {}
            other => out.push(*other),
        }
    }
}
