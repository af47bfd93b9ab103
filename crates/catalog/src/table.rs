//! A table for planning ([`TableProvider`]) and for running ([`TableScan`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firesteel_common::{Batch, Error, FilterId, Result, SqlType, TableId};
use firesteel_expr::{ColumnRef, EvalContext, Expr};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{RuntimeFilters, SharedColumns, TableStatistics};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Name as the source spells it.
    pub name: Arc<str>,
    /// Type.
    pub ty: SqlType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

/// A table as plans name it: data that any executor can resolve, not a live provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableRef {
    /// Identity in the resolver.
    pub id: TableId,
    /// Name for EXPLAIN, such as `lineitem` or ``parquet.`/data/x` ``.
    pub name: Arc<str>,
}

/// Finds the provider of a table reference.
pub trait TableResolver: Send + Sync + fmt::Debug {
    /// The provider that `table` names.
    fn resolve(&self, table: &TableRef) -> Result<Arc<dyn TableProvider>>;
}

/// What a scan reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ScanRequest {
    /// Query columns to return, in order, each with its position in the table's schema.
    pub columns: Vec<(ColumnRef, usize)>,
    /// Predicates that every returned row satisfies. They read columns of `filter_columns` only.
    pub filters: Vec<Expr>,
    /// Query columns that `filters` and `runtime_filters` read, with their positions in the schema.
    pub filter_columns: Vec<(ColumnRef, usize)>,
    /// Filters made while the query runs: identity and position in `filter_columns`. A scan may ignore
    /// them, and takes each as soon as it is published.
    pub runtime_filters: Vec<(FilterId, usize)>,
    /// If set, no more than this many rows are wanted; a scan may return more.
    pub limit: Option<u64>,
}

/// A part of a scan that one task reads at a time: a morsel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Split {
    /// File or batch of the table.
    pub part: u32,
    /// Row group, or another unit inside the part.
    pub group: u32,
    /// First row, or byte, of the unit.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Estimate of its rows.
    pub rows: u64,
    /// Estimate of the bytes to read.
    pub bytes: u64,
}

/// Counters of a scan, shared by its tasks.
#[derive(Debug, Default)]
pub struct ScanMetrics {
    /// Bytes read from the store.
    pub bytes: AtomicU64,
    /// Rows decoded, before filters.
    pub rows: AtomicU64,
    /// Rows that static or runtime filters, or statistics, kept from being returned.
    pub rows_pruned: AtomicU64,
    /// Row groups that were not read because of statistics or filters.
    pub groups_pruned: AtomicU64,
    /// Pages of other row groups that were not read, because of the page index and filters.
    pub pages_pruned: AtomicU64,
    /// Runtime filters that let so many rows pass that they were dropped.
    pub filters_dropped: AtomicU64,
    /// Pages, and dictionaries, that another scan of the statement had decompressed.
    pub pages_shared: AtomicU64,
}

impl ScanMetrics {
    /// Adds `n` to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// What a running scan may use.
#[derive(Clone, Debug)]
pub struct ScanContext {
    /// For filters.
    pub eval: EvalContext,
    /// Rows of the batches to make.
    pub batch_rows: usize,
    /// Number of tasks that will read, a hint for how fine to split.
    pub workers: usize,
    /// Filters of the running query.
    pub runtime_filters: Arc<dyn RuntimeFilters>,
    /// What it shares with other scans of the statement.
    pub shared: Option<SharedColumns>,
    /// Counters.
    pub metrics: Arc<ScanMetrics>,
}

/// What writing to a table does with the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// Adds rows.
    Append,
    /// Replaces all rows.
    Overwrite,
}

/// A table, for planning.
pub trait TableProvider: Send + Sync + fmt::Debug {
    /// The columns.
    fn schema(&self) -> &[Field];

    /// What is known without reading rows. Called once per query; must be cheap.
    fn statistics(&self) -> Arc<TableStatistics>;

    /// The fraction of rows that satisfies `request.filters`, from a small sample, or `None`.
    fn sample<'a>(&'a self, _request: &'a ScanRequest, _cx: &'a ScanContext) -> BoxFuture<'a, Result<Option<f64>>> {
        Box::pin(async { Ok(None) })
    }

    /// Its files with sizes and times of change as a number, which is another one when its rows have changed. `None` if
    /// that cannot be told.
    fn identity(&self) -> Option<u64> {
        None
    }

    /// Prepares to read. No I/O happens here.
    fn scan(&self, request: ScanRequest) -> Result<Arc<dyn TableScan>>;

    /// A line for DESCRIBE EXTENDED and EXPLAIN: the format and location.
    fn description(&self) -> String;
}

/// A prepared scan, shared by the tasks of a stage.
pub trait TableScan: Send + Sync + fmt::Debug {
    /// The splits, after pruning by static filters and by those runtime filters that are published.
    fn splits<'a>(&'a self, cx: &'a ScanContext) -> BoxFuture<'a, Result<Vec<Split>>>;

    /// The rows of a split: columns as in [`ScanRequest::columns`], all filters applied.
    fn open(&self, split: &Split, cx: &ScanContext) -> BoxStream<'static, Result<Batch>>;
}

/// An error for a reference that no resolver knows.
pub fn unknown_table(table: &TableRef) -> Error {
    Error::internal(format!("table `{}` (id {}) is not known to this executor", table.name, table.id))
}
