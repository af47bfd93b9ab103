//! CSV and TSV: a header, then one line for each row.
//!
//! CSV tells NULL (an empty field) from the empty string (`""`); TSV writes NULL as `\N` and escapes what would end a
//! field, so that every row is one line.

use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;

use super::cell::{self, Kind, kind_of};
use super::{Summary, Writer};

pub(super) struct Csv;

impl Writer for Csv {
    fn start(&mut self, schema: &Schema, out: &mut Vec<u8>) {
        header(schema, b',', out, |name, out| {
            let start = out.len();
            out.extend_from_slice(name);
            quote(start, out);
        });
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        lines(batch, zone, b',', out, |_| {}, quote)
    }

    fn finish(&mut self, _: &Summary, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

pub(super) struct Tsv;

impl Writer for Tsv {
    fn start(&mut self, schema: &Schema, out: &mut Vec<u8>) {
        header(schema, b'\t', out, |name, out| {
            let start = out.len();
            out.extend_from_slice(name);
            escape(start, out);
        });
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        lines(batch, zone, b'\t', out, |out| out.extend_from_slice(b"\\N"), escape)
    }

    fn finish(&mut self, _: &Summary, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

fn header(schema: &Schema, separator: u8, out: &mut Vec<u8>, write: impl Fn(&[u8], &mut Vec<u8>)) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(separator);
        }
        write(field.name().as_bytes(), out);
    }
    out.push(b'\n');
}

/// Writes rows; `protect` is called on text with the place in the buffer where it starts.
fn lines(
    batch: &RecordBatch,
    zone: &str,
    separator: u8,
    out: &mut Vec<u8>,
    null: impl Fn(&mut Vec<u8>),
    protect: impl Fn(usize, &mut Vec<u8>),
) -> Result<()> {
    let columns = cell::columns(batch, zone)?;
    let text: Vec<bool> = batch.schema().fields().iter().map(|f| kind_of(f.data_type()) == Kind::Text).collect();
    for row in 0..batch.num_rows() {
        for (i, (column, text)) in columns.iter().zip(&text).enumerate() {
            if i > 0 {
                out.push(separator);
            }
            if column.is_null(row) {
                null(out);
                continue;
            }
            let start = out.len();
            column.write(row, out);
            if *text {
                protect(start, out);
            }
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Puts the field from `start` on between quotes, if it is empty or has a character of the format in it.
fn quote(start: usize, out: &mut Vec<u8>) {
    let field = &out[start..];
    if !field.is_empty() && !field.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        return;
    }
    let field = out.split_off(start);
    out.push(b'"');
    for byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Escapes tabs, line ends and backslashes from `start` on.
fn escape(start: usize, out: &mut Vec<u8>) {
    if !out[start..].iter().any(|b| matches!(b, b'\t' | b'\n' | b'\r' | b'\\')) {
        return;
    }
    let field = out.split_off(start);
    for byte in field {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}
