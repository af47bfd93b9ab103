//! What the tests of tables share: a context, and the rows of a scan.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

pub(crate) mod data;

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::runtime_filter::{NoRuntimeFilters, RuntimeFilter, RuntimeFilters};
use firesteel_catalog::{ScanContext, ScanRequest, TableProvider};
use firesteel_common::{Batch, ColumnId, FilterId, Result, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, FunctionRegistry};
use firesteel_sources::{ObjectStores, open_table};
use futures::StreamExt;

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn context() -> ScanContext {
    let mut registry = FunctionRegistry::new();
    firesteel_expr::kernels::register_operators(&mut registry);
    let registry = Arc::new(registry);
    ScanContext {
        eval: EvalContext { registry, ansi: true, time_zone: Arc::from("UTC"), now: 0 },
        batch_rows: 4_000,
        workers: 2,
        runtime_filters: Arc::new(NoRuntimeFilters),
        shared: None,
        metrics: Arc::default(),
    }
}

/// The column of a name, and its position.
pub(crate) fn column(table: &dyn TableProvider, name: &str) -> (ColumnRef, usize) {
    let at = table.schema().iter().position(|f| &*f.name == name).unwrap();
    let field = &table.schema()[at];
    let column =
        ColumnRef { id: ColumnId(at as u32 + 100), name: field.name.clone(), ty: field.ty.clone(), nullable: true };
    (column, at)
}

pub(crate) fn all_columns(table: &dyn TableProvider) -> Vec<(ColumnRef, usize)> {
    table.schema().iter().map(|f| column(table, &f.name)).collect()
}

/// A table at a path or URL.
pub(crate) fn open_as(format: &str, path: &str) -> Result<Arc<dyn TableProvider>> {
    block_on(open_table(format, &[path.to_string()], None, &BTreeMap::new(), &ObjectStores::default()))
}

/// The Parquet table at a path.
pub(crate) fn open(path: &std::path::Path) -> Arc<dyn TableProvider> {
    open_as("parquet", path.to_str().unwrap()).unwrap()
}

/// The rows of a scan, split by split.
pub(crate) fn rows(table: &dyn TableProvider, request: ScanRequest, cx: &ScanContext) -> Batch {
    let types: Vec<SqlType> = request.columns.iter().map(|(c, _)| c.ty.clone()).collect();
    let scan = table.scan(request).unwrap();
    let mut batches = Vec::new();
    for split in block_on(scan.splits(cx)).unwrap() {
        let found: Vec<_> = block_on(scan.open(&split, cx).collect());
        batches.extend(found.into_iter().map(Result::unwrap));
    }
    assert!(batches.iter().all(|b| b.physical_rows() <= cx.batch_rows));
    Batch::concat(&batches, &types).unwrap()
}

/// One filter under all identities.
#[derive(Debug)]
pub(crate) struct OneFilter(pub(crate) Arc<RuntimeFilter>);

impl RuntimeFilters for OneFilter {
    fn get(&self, _: FilterId) -> Option<Arc<RuntimeFilter>> {
        Some(self.0.clone())
    }
}

/// Numbers without a pattern, the same on every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
