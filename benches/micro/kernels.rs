//! Kernels of expressions and aggregates, through queries over tables in memory: a query is as small as its kernel
//! allows, so that planning (well below a millisecond) does not count.
//!
//! `cargo bench -p firesteel-bench --bench kernels [FILTER]`

#[path = "tables.rs"]
mod tables;

use divan::Bencher;
use divan::counter::ItemsCount;
use tables::{ROWS, session, total};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Runs `sql` over the table `t` with one thread.
fn bench(bencher: Bencher<'_, '_>, sql: &str) {
    let session = session(&[("firesteel.threads", "1")]);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| total(&session, sql));
}

#[divan::bench]
fn decimal_multiply(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT sum(price * (1 - discount)) FROM t");
}

#[divan::bench]
fn decimal_compare(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT count(*) FROM t WHERE discount BETWEEN 0.05 AND 0.07 AND price < 50000.00");
}

#[divan::bench]
fn integer_arithmetic(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT sum(id * 3 + k % 7) FROM t");
}

#[divan::bench]
fn string_equals(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT count(*) FROM t WHERE name = 'name 77'");
}

#[divan::bench]
fn string_like(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT count(*) FROM t WHERE name LIKE '%e 7%'");
}

#[divan::bench]
fn group_by_few(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT max(s) FROM (SELECT k % 8 AS g, sum(price) AS s FROM t GROUP BY k % 8)");
}

#[divan::bench]
fn group_by_strings(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT max(c) FROM (SELECT name, count(*) AS c FROM t GROUP BY name)");
}

#[divan::bench]
fn group_by_many(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT max(s) FROM (SELECT id, sum(price) AS s FROM t GROUP BY id)");
}

#[divan::bench]
fn sort_limit(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT max(price) FROM (SELECT price FROM t ORDER BY price DESC, id LIMIT 100)");
}

#[divan::bench]
fn window_row_number(bencher: Bencher<'_, '_>) {
    bench(bencher, "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY price) AS r FROM t)");
}
