//! Where tables come from: Parquet, CSV and JSON files, memory; and writing files.
//!
//! Invariant: a scan returns only rows that satisfy its filters, whatever the format; what it may skip
//! by statistics is a matter of speed.

mod buffers;
mod convert;
pub mod csv;
mod filter;
mod glob;
mod infer;
pub mod json;
pub mod location;
pub mod memory;
pub mod parquet;
mod partition;
pub mod storage;
pub mod stores;
pub mod target;
pub mod text;
pub mod write;

pub use location::open_table;
pub use memory::MemoryTable;
pub use parquet::ParquetTable;
pub use storage::{SourceFile, Storage};
pub use stores::ObjectStores;
pub use target::Target;
pub use write::{FileSink, FileSummary};
