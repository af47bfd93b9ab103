//! Tables as the planner and the executors see them: names, providers, scans, statistics, and the
//! filters that a running query gives to its scans.
//!
//! Invariant: no I/O is done here and no runtime is known; whoever implements the traits does.

pub mod catalog;
pub mod runtime_filter;
pub mod shared_pages;
pub mod statistics;
pub mod table;

pub use catalog::{Catalog, CatalogEntry, TableName, ViewBody};
pub use runtime_filter::{RuntimeFilter, RuntimeFilters};
pub use shared_pages::{ColumnReaders, PageKey, PageStore, SharedChunk, SharedColumns, SharedPage};
pub use statistics::{ColumnStatistics, TableStatistics};
pub use table::{
    Field, ScanContext, ScanMetrics, ScanRequest, Split, TableProvider, TableRef, TableResolver, TableScan, WriteMode,
};
