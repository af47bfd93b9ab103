//! Page pruning: a file with a page index gives the rows that the same file gives without statistics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::data::{Shape, random, write};
use common::{Numbers, OneFilter, all_columns, column, context, open, rows};
use firesteel_catalog::runtime_filter::RuntimeFilter;
use firesteel_catalog::{
    PageKey, PageStore, ScanContext, ScanMetrics, ScanRequest, SharedColumns, SharedPage, TableProvider,
};
use firesteel_common::{Batch, FilterId, Scalar, TableId};
use firesteel_expr::{ColumnRef, Expr, op};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

/// Small pages, those of strings smaller yet, so that pages of columns do not begin together.
fn layout() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_data_page_row_count_limit(60)
        .set_data_page_size_limit(900)
        .set_write_batch_size(8)
        .set_dictionary_page_size_limit(2_000)
        .set_max_row_group_row_count(Some(1_500))
}

/// A random predicate on one or several columns, with values that occur in `all`.
fn predicate(table: &dyn TableProvider, all: &Batch, numbers: &mut Numbers, depth: u32) -> Expr {
    if depth > 0 && numbers.below(3) > 0 {
        let mut part = || predicate(table, all, numbers, depth - 1);
        let parts = [part(), part()];
        return if numbers.below(2) == 0 { Expr::and(parts) } else { Expr::or(parts) };
    }
    let at = numbers.below(table.schema().len() as u64) as usize;
    let field = &table.schema()[at];
    let column = Expr::Column(column(table, &field.name).0);
    let mut value = || {
        let row = numbers.below(all.rows() as u64) as usize;
        Expr::Literal(Scalar::from_array(&all.columns()[at], row, &field.ty).unwrap())
    };
    let (first, second, third) = (value(), value(), value());
    let comparisons = [op::EQ, op::NOT_EQ, op::LT, op::LT_EQ, op::GT, op::GT_EQ, op::NULL_SAFE_EQ];
    match numbers.below(11) {
        0 => Expr::predicate(op::IS_NULL, vec![column]),
        1 => Expr::predicate(op::IS_NOT_NULL, vec![column]),
        2 => Expr::predicate(op::IN, vec![column, first, second, third]),
        3 => Expr::predicate(op::LT, vec![first, column]),
        n => Expr::predicate(comparisons[n as usize - 4], vec![column, first]),
    }
}

fn request(table: &dyn TableProvider, filters: Vec<Expr>) -> ScanRequest {
    let mut columns: Vec<ColumnRef> = filters.iter().flat_map(Expr::columns).collect();
    columns.dedup();
    let filter_columns = columns.iter().map(|c| column(table, &c.name)).collect();
    ScanRequest { columns: all_columns(table), filters, filter_columns, ..ScanRequest::default() }
}

#[test]
fn pruned_and_unpruned_are_equal() {
    let mut numbers = Numbers(0xDEAD_BEEF_0BAD_CAFE);
    let mut pruned = 0;
    for round in 0..12 {
        let shape = Shape {
            rows: 2_000 + numbers.below(2_000) as usize,
            nulls: [0, 10, 60, 100][round % 4],
            distinct: [30, 2_000][round % 2],
            sorted: round % 3 != 2,
        };
        let batch = random(shape, &mut numbers);
        let dir = tempfile::tempdir().unwrap();
        let (indexed, bare) = (dir.path().join("indexed.parquet"), dir.path().join("bare.parquet"));
        std::fs::write(&indexed, write(&batch, layout().build())).unwrap();
        let properties = layout().set_statistics_enabled(EnabledStatistics::None).set_offset_index_disabled(true);
        std::fs::write(&bare, write(&batch, properties.build())).unwrap();
        let (indexed, bare) = (open(&indexed), open(&bare));
        let all = rows(&*bare, request(&*bare, Vec::new()), &context());
        for _ in 0..40 {
            let filters: Vec<Expr> = (0..=numbers.below(2)).map(|_| predicate(&*bare, &all, &mut numbers, 2)).collect();
            let cx = ScanContext { batch_rows: 500, ..context() };
            let found = rows(&*indexed, request(&*indexed, filters.clone()), &cx);
            let wanted = rows(&*bare, request(&*bare, filters.clone()), &context());
            assert_eq!(found.columns(), wanted.columns(), "{shape:?} {filters:?}");
            pruned += cx.metrics.pages_pruned.load(Ordering::Relaxed);
        }
    }
    assert!(pruned > 20_000, "{pruned}");
}

#[test]
fn runtime_filters_prune_pages() {
    let mut numbers = Numbers(77);
    let shape = Shape { rows: 6_000, nulls: 5, distinct: 6_000, sorted: true };
    let batch = random(shape, &mut numbers);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    std::fs::write(&path, write(&batch, layout().build())).unwrap();
    let table = open(&path);
    for name in ["key", "big", "int", "date", "dec15"] {
        let mut bits = vec![0u64; 64];
        bits[10] = 1 << 5;
        bits[30] = 1 << 7;
        let filter = Arc::new(RuntimeFilter::Bitmap { min: 0, max: 64 * 64 - 1, bits: bits.into() });
        let cx = ScanContext { runtime_filters: Arc::new(OneFilter(filter.clone())), ..context() };
        let request = ScanRequest {
            columns: all_columns(&*table),
            filter_columns: vec![column(&*table, name)],
            runtime_filters: vec![(FilterId(1), 0)],
            ..ScanRequest::default()
        };
        let found = rows(&*table, request, &cx);
        let all = rows(&*table, request_all(&*table), &context());
        let kept = filter.select(&all.columns()[column(&*table, name).1]).unwrap();
        let wanted: Vec<_> =
            all.columns().iter().map(|c| arrow::compute::take(c, kept.array(), None).unwrap()).collect();
        assert_eq!(found.columns(), wanted, "{name}");
        assert!(cx.metrics.pages_pruned.load(Ordering::Relaxed) > 100, "{name}");
    }
}

/// Keeps everything.
#[derive(Debug, Default)]
struct Store(Mutex<HashMap<PageKey, SharedPage>>);

impl PageStore for Store {
    fn get(&self, key: &PageKey) -> Option<SharedPage> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn keep(&self, key: PageKey, page: SharedPage, bytes: usize) {
        assert!(bytes > 0);
        self.0.lock().unwrap().insert(key, page);
    }
}

#[test]
fn pages_of_one_scan_serve_the_next() {
    let mut numbers = Numbers(4242);
    for (round, version) in
        [(0, WriterVersion::PARQUET_1_0), (1, WriterVersion::PARQUET_2_0), (2, WriterVersion::PARQUET_1_0)]
    {
        let shape = Shape { rows: 5_000, nulls: [0, 20, 10][round], distinct: [40, 400, 5_000][round], sorted: false };
        let batch = random(shape, &mut numbers);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let properties = layout().set_writer_version(version).set_compression(Compression::SNAPPY);
        std::fs::write(&path, write(&batch, properties.build())).unwrap();
        let table = open(&path);
        let alone = context();
        let all = rows(&*table, request_all(&*table), &alone);
        let store = Arc::new(Store::default());
        let columns = table.schema().len();
        let scan = |keeps: bool, request: ScanRequest| {
            let columns = Arc::new((0..columns).map(|column| (column, keeps)).collect());
            let shared = SharedColumns { store: store.clone(), table: TableId(1), columns };
            let cx = ScanContext { shared: Some(shared), batch_rows: 500, ..context() };
            (rows(&*table, request, &cx), cx.metrics)
        };
        let read = |metrics: &ScanMetrics| metrics.bytes.load(Ordering::Relaxed);
        let shared = |metrics: &ScanMetrics| metrics.pages_shared.load(Ordering::Relaxed);
        // A scan that leaves out pages keeps those that it reads.
        let filter = predicate(&*table, &all, &mut numbers, 1);
        scan(true, request(&*table, vec![filter]));
        let (found, first) = scan(true, request_all(&*table));
        assert_eq!(found.columns(), all.columns(), "{shape:?}");
        let (found, second) = scan(false, request_all(&*table));
        assert_eq!(found.columns(), all.columns(), "{shape:?}");
        assert!(shared(&second) > 20 && shared(&second) >= shared(&first), "{shape:?}");
        assert!(read(&second) < read(&alone.metrics) && read(&second) <= read(&first), "{shape:?}");
        for _ in 0..20 {
            let filter = predicate(&*table, &all, &mut numbers, 2);
            let (found, _) = scan(false, request(&*table, vec![filter.clone()]));
            let wanted = rows(&*table, request(&*table, vec![filter.clone()]), &context());
            assert_eq!(found.columns(), wanted.columns(), "{shape:?} {filter:?}");
        }
    }
}

fn request_all(table: &dyn TableProvider) -> ScanRequest {
    request(table, Vec::new())
}
