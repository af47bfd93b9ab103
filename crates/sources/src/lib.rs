//! Where tables come from: Parquet, CSV and JSON files, memory; and writing files.
//!
//! Invariant: a scan returns only rows that satisfy its filters, whatever the format; what it may skip
//! by statistics is a matter of speed.

mod filter;
pub mod parquet;
mod partition;
pub mod storage;

pub use parquet::ParquetTable;
pub use storage::{SourceFile, Storage};
