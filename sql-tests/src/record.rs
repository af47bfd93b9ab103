//! The format of test files.
//!
//! A file is a list of records, separated by empty lines; `#` begins a comment line before a record.
//!
//! ```text
//! statement ok
//! CREATE TEMP VIEW t AS SELECT 1 AS a
//!
//! query [rowsort]
//! SELECT a, NULL FROM t
//! ----
//! 1<tab>NULL
//!
//! error
//! SELECT 1/0
//! ----
//! DIVIDE_BY_ZERO 22012 8
//! by zero
//!
//! explain
//! EXPLAIN SELECT 1
//! ----
//! == Physical Plan ==
//! ```
//!
//! The first line of an error is the condition, the SQLSTATE and the column of the caret (`-` if there is no
//! place; `line:column` if it is not on the first line); further lines are parts of the message. Empty strings are
//! written `(empty)`. An empty line inside expected text is written as a single `.`.

use std::path::Path;

/// What a record expects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// It runs.
    Ok,
    /// It returns these rows, in this order or in any.
    Query {
        /// Rows may come in any order.
        sorted: bool,
    },
    /// It fails.
    Error,
    /// It returns this text.
    Explain,
}

/// A statement and what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// Line of the file, from 1, at which the record begins, and one past its last.
    pub(crate) lines: std::ops::Range<usize>,
    pub(crate) sql: String,
    pub(crate) expected: Vec<String>,
}

/// The records of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim().is_empty() || lines[at].starts_with('#') {
            at += 1;
            continue;
        }
        let start = at;
        let kind = match lines[at].trim() {
            "statement ok" => Kind::Ok,
            "query" => Kind::Query { sorted: false },
            "query rowsort" => Kind::Query { sorted: true },
            "error" => Kind::Error,
            "explain" => Kind::Explain,
            other => return Err(format!("{}:{}: unknown record `{other}`", path.display(), at + 1)),
        };
        let end = (at..lines.len()).find(|i| lines[*i].trim().is_empty()).unwrap_or(lines.len());
        let body = &lines[at + 1..end];
        let split = body.iter().position(|line| *line == "----").unwrap_or(body.len());
        records.push(Record {
            kind,
            lines: start + 1..end + 1,
            sql: body[..split].join("\n"),
            expected: body.get(split + 1..).unwrap_or_default().iter().map(|line| (*line).to_owned()).collect(),
        });
        at = end;
    }
    Ok(records)
}
