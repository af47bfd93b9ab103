//! What is said to an engine in a process of its own, and what it answers: one JSON value per line, over its
//! standard input and output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first line to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) engine: String,
    pub(crate) threads: usize,
    /// Memory limit in bytes; the default of the engine if there is none.
    pub(crate) memory: Option<u64>,
    pub(crate) tables: Vec<TablePath>,
    /// Settings; only Firesteel has them.
    pub(crate) conf: Vec<(String, String)>,
}

/// A table: a file or a folder of files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TablePath {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The answer to the first line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Opened {
    pub(crate) version: Option<String>,
    pub(crate) ms: f64,
    pub(crate) error: Option<String>,
    /// The Python package that is not there.
    pub(crate) missing: Option<String>,
}

/// A query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) sql: String,
    /// Whether the rows are wanted as text.
    #[serde(default)]
    pub(crate) cells: bool,
}

/// The answer to a query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    pub(crate) ms: f64,
    pub(crate) cpu_ms: Option<f64>,
    pub(crate) rows: u64,
    /// Most memory that was resident while the query ran.
    pub(crate) rss: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cells: Option<Vec<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}
