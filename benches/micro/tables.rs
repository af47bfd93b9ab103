//! The table that the micro-benchmarks read, in memory.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use firesteel::Session;
use firesteel::arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use futures::executor::block_on;

/// Rows of the table `t`.
const ROWS: usize = 400_000;
/// Rows of its batches.
const BATCH: usize = 8192;

/// A session with the table `t(id, k, price, discount, name)`: ids are unique, `k` has 1,000 values, names 5,000.
pub(crate) fn session(settings: &[(&str, &str)]) -> Session {
    let builder = settings.iter().fold(Session::builder(), |builder, (key, value)| builder.config(*key, value));
    let session = builder.build().unwrap_or_else(|error| fail(&error));
    session.register_batches("t", batches()).unwrap_or_else(|error| fail(&error));
    session
}

/// Times a query that gives one row; it reads all rows of `columns` of `t`.
pub(crate) fn measure(bencher: Bencher<'_, '_>, session: &Session, columns: &[&str], sql: &str) {
    let bencher = bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(bytes(columns)));
    bencher.bench_local(|| total(session, sql));
}

/// Bytes of these columns of `t` in memory.
fn bytes(columns: &[&str]) -> usize {
    let sample = batch(0..BATCH);
    let of = |column: &&str| sample.column_by_name(column).map_or(0, |array| array.get_buffer_memory_size());
    columns.iter().map(of).sum::<usize>() * ROWS / BATCH
}

/// The rows of `t`.
pub(crate) fn batches() -> Vec<RecordBatch> {
    (0..ROWS).step_by(BATCH).map(|start| batch(start..(start + BATCH).min(ROWS))).collect()
}

fn batch(ids: std::ops::Range<usize>) -> RecordBatch {
    // A cheap mix, so that neighbours differ.
    let mixed = |id: usize| (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
    let decimals = |values: Vec<i128>| {
        Decimal128Array::from(values).with_precision_and_scale(15, 2).unwrap_or_else(|error| fail(&error))
    };
    let numbers = |f: &dyn Fn(usize) -> i64| Arc::new(Int64Array::from_iter_values(ids.clone().map(f))) as ArrayRef;
    let names = StringArray::from_iter_values(ids.clone().map(|id| format!("name {}", mixed(id) % 5_000)));
    let columns: [(&str, ArrayRef); 5] = [
        ("id", numbers(&|id| id as i64)),
        ("k", numbers(&|id| (mixed(id) % 1_000) as i64)),
        ("price", Arc::new(decimals(ids.clone().map(|id| i128::from(mixed(id) % 10_000_000)).collect()))),
        ("discount", Arc::new(decimals(ids.clone().map(|id| i128::from(mixed(id) % 11)).collect()))),
        ("name", Arc::new(names)),
    ];
    RecordBatch::try_from_iter(columns).unwrap_or_else(|error| fail(&error))
}

fn total(session: &Session, sql: &str) -> String {
    let rows = block_on(async { session.sql(sql).await?.collect().await }).unwrap_or_else(|error| fail(&error));
    let row = rows.iter().find(|batch| batch.num_rows() > 0);
    row.map_or_else(|| "no row".to_owned(), |batch| format!("{:?}", batch.column(0).slice(0, 1)))
}

/// A benchmark that cannot run says why and ends.
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("the benchmark cannot run: {error}");
    std::process::exit(1)
}
