//! Why a command of the benchmark ended early.

use std::fmt;

/// An error of the benchmark itself; a query that fails is a result, not a failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Other(String),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Failure::Usage(text.into())
    }

    pub(crate) fn other(text: impl Into<String>) -> Self {
        Failure::Other(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Other(text) => f.write_str(text),
        }
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::Other(error.to_string())
            }
        }
    )*};
}

from_errors!(
    std::io::Error,
    serde_json::Error,
    firesteel::Error,
    firesteel::arrow::error::ArrowError,
    parquet::errors::ParquetError
);
