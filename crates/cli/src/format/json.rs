//! JSON: an array of objects, or one object on each line.
//!
//! Numbers, also decimals, are JSON numbers with all their digits; NULL is `null`; `NaN` and the infinities, which JSON
//! does not have, are strings, as everything else.

use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;

use super::cell::{self, Kind, kind_of};
use super::{Summary, Writer};

/// Both kinds of JSON.
pub(super) struct Json {
    /// One object on each line, instead of an array.
    lines: bool,
    /// `"name":` of each column.
    keys: Vec<Vec<u8>>,
    kinds: Vec<Kind>,
    any: bool,
}

impl Json {
    pub(super) fn new(lines: bool) -> Self {
        Self { lines, keys: Vec::new(), kinds: Vec::new(), any: false }
    }
}

impl Writer for Json {
    fn start(&mut self, schema: &Schema, out: &mut Vec<u8>) {
        for field in schema.fields() {
            let mut key = Vec::new();
            quote(field.name().as_bytes(), &mut key);
            key.push(b':');
            self.keys.push(key);
            self.kinds.push(kind_of(field.data_type()));
        }
        if !self.lines {
            out.push(b'[');
        }
    }

    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()> {
        let columns = cell::columns(batch, zone)?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            if !self.lines {
                out.extend_from_slice(if self.any { b",\n " } else { b"\n " });
            }
            self.any = true;
            let mut separator = b'{';
            for ((column, key), kind) in columns.iter().zip(&self.keys).zip(&self.kinds) {
                out.push(separator);
                separator = b',';
                out.extend_from_slice(key);
                if column.is_null(row) {
                    out.extend_from_slice(b"null");
                    continue;
                }
                match kind {
                    Kind::Number | Kind::Boolean => column.write(row, out),
                    Kind::Float | Kind::Plain | Kind::Text => {
                        text.clear();
                        column.write(row, &mut text);
                        // Finite numbers end with a digit, `NaN` and `Infinity` do not.
                        if *kind == Kind::Float && text.last().is_some_and(u8::is_ascii_digit) {
                            out.extend_from_slice(&text);
                        } else {
                            quote(&text, out);
                        }
                    }
                }
            }
            if columns.is_empty() {
                out.push(b'{');
            }
            out.push(b'}');
            if self.lines {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &Summary, out: &mut Vec<u8>) -> Result<()> {
        if !self.lines {
            out.extend_from_slice(if self.any { b"\n]\n" } else { b"]\n" });
        }
        Ok(())
    }
}

/// Appends a JSON string.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}
