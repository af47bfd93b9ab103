//! Page pruning: a file with a page index gives the rows that the same file gives without statistics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::data::{Shape, random, write};
use common::{Numbers, OneFilter, all_columns, column, context, open, rows};
use firesteel_catalog::runtime_filter::RuntimeFilter;
use firesteel_catalog::{ScanContext, ScanRequest, TableProvider};
use firesteel_common::{Batch, FilterId, Scalar};
use firesteel_expr::{ColumnRef, Expr, op};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

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

fn request_all(table: &dyn TableProvider) -> ScanRequest {
    request(table, Vec::new())
}
