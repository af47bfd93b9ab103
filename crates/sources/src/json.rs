//! Files of JSON lines: one object per line. Options: `mode`, `primitivesAsString`.
//!
//! Columns without a given schema are the fields of all objects in the order of their names, as in
//! Spark. Nested values can be read as STRING, which gives their JSON text.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::Field;
use firesteel_common::{Error, Result, SqlType};
use serde_json::{Map, Value};

use crate::infer::TypeGuess;
use crate::storage::SourceFile;
use crate::text::{Mode, Options, Record, RecordParser, TextTable};

/// Opens JSON lines.
#[derive(Debug)]
pub struct JsonTable;

impl JsonTable {
    /// A table of `files`, its columns inferred unless `schema` is given.
    pub async fn open(
        files: Vec<SourceFile>,
        schema: Option<Vec<Field>>,
        options: &BTreeMap<String, String>,
        location: String,
    ) -> Result<TextTable> {
        let options = Options::new(options);
        if options.flag("multiLine")? {
            return Err(Error::unsupported("The JSON option `multiLine` is not supported."));
        }
        let mode = options.mode()?;
        let fields = match schema {
            Some(fields) => fields,
            None => infer(&files, options.flag("primitivesAsString")?, mode).await?,
        };
        let parser = JsonParser { names: fields.iter().map(|f| f.name.to_string()).collect() };
        TextTable::new("json", fields, files, Box::new(parser), mode, location)
    }
}

async fn infer(files: &[SourceFile], as_string: bool, mode: Mode) -> Result<Vec<Field>> {
    let mut guesses: BTreeMap<String, TypeGuess> = BTreeMap::new();
    for file in files {
        let bytes = file.read_all().await?;
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Ok(object) = serde_json::from_slice::<Map<String, Value>>(line) else {
                if mode == Mode::FailFast {
                    return Err(malformed(file, number + 1, line));
                }
                continue;
            };
            for (name, value) in object {
                let guess = guesses.entry(name.clone()).or_default();
                if value.is_object() || value.is_array() {
                    let message = format!("The JSON field `{name}` is nested; give a schema in which it is STRING.");
                    return Err(Error::unsupported(message));
                }
                if let Some(ty) = type_of(&value) {
                    guess.merge(if as_string { SqlType::String } else { ty });
                }
            }
        }
    }
    let field =
        |(name, guess): (String, TypeGuess)| Field { name: Arc::from(name), ty: guess.csv_type(), nullable: true };
    Ok(guesses.into_iter().map(field).collect())
}

fn malformed(file: &SourceFile, line: usize, text: &[u8]) -> Error {
    let text: String = String::from_utf8_lossy(text).chars().take(200).collect();
    let message =
        format!("Malformed records are detected in schema inference: {text} ({}, line {line}).", file.location);
    let kind = firesteel_common::ErrorKind::Data;
    Error::new(kind, "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "22023", message)
}

fn type_of(value: &Value) -> Option<SqlType> {
    match value {
        Value::Bool(_) => Some(SqlType::Boolean),
        Value::Number(number) if number.is_i64() => Some(SqlType::BigInt),
        Value::Number(number) if number.is_u64() => Some(SqlType::Decimal(20, 0)),
        Value::Number(_) => Some(SqlType::Double),
        Value::Null => None,
        _ => Some(SqlType::String),
    }
}

#[derive(Debug)]
struct JsonParser {
    names: Vec<String>,
}

impl RecordParser for JsonParser {
    fn parse(&self, text: &str, record: &mut Record) -> usize {
        let line = text.find('\n').map_or(text.len(), |i| i + 1);
        let object = text[..line].trim();
        record.values.clear();
        if object.is_empty() {
            record.empty = true;
            return line;
        }
        match serde_json::from_str::<Map<String, Value>>(object) {
            Ok(mut object) => record.values.extend(self.names.iter().map(|name| match object.remove(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text),
                Some(other) => Some(other.to_string()),
            })),
            Err(_) => {
                record.malformed = true;
                record.values.resize(self.names.len(), None);
            }
        }
        line
    }

    fn spans_lines(&self) -> bool {
        false
    }

    fn has_header(&self) -> bool {
        false
    }
}
