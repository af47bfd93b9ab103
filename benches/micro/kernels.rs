//! Kernels of expressions and aggregates, through queries over tables in memory: a query is as small as its kernel
//! allows, so that planning (well below a millisecond) does not count. Bytes per second are those of the columns that a query
//! reads; `memory_read` and `memory_copy` are what the machine can do with as many.
//!
//! `cargo bench -p firesteel-bench --bench kernels [FILTER]`

#[path = "tables.rs"]
mod tables;

use divan::Bencher;
use divan::counter::BytesCount;
use tables::{measure, session};

fn main() {
    firesteel_allocator::configure();
    divan::main();
}

/// Runs `sql`, which reads `columns` of the table `t`, with one thread.
fn bench(bencher: Bencher<'_, '_>, columns: &[&str], sql: &str) {
    measure(bencher, &session(&[("firesteel.threads", "1")]), columns, sql);
}

/// Words of a block that no cache holds.
const WORDS: usize = 32 << 20;

#[divan::bench(sample_count = 20)]
fn memory_read(bencher: Bencher<'_, '_>) {
    let words: Vec<u64> = (0..WORDS as u64).collect();
    let sum = |words: &[u64]| words.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
    bencher.counter(BytesCount::of_slice(&words)).bench_local(|| sum(divan::black_box(&words)));
}

#[divan::bench(sample_count = 20)]
fn memory_copy(bencher: Bencher<'_, '_>) {
    let words: Vec<u64> = (0..WORDS as u64).collect();
    let mut copy = words.clone();
    bencher.counter(BytesCount::of_slice(&words)).bench_local(|| copy.copy_from_slice(divan::black_box(&words)));
}

#[divan::bench]
fn decimal_multiply(bencher: Bencher<'_, '_>) {
    bench(bencher, &["price", "discount"], "SELECT sum(price * (1 - discount)) FROM t");
}

#[divan::bench]
fn decimal_compare(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        &["price", "discount"],
        "SELECT count(*) FROM t WHERE discount BETWEEN 0.05 AND 0.07 AND price < 50000.00",
    );
}

#[divan::bench]
fn integer_arithmetic(bencher: Bencher<'_, '_>) {
    bench(bencher, &["id", "k"], "SELECT sum(id * 3 + k % 7) FROM t");
}

#[divan::bench]
fn string_equals(bencher: Bencher<'_, '_>) {
    bench(bencher, &["name"], "SELECT count(*) FROM t WHERE name = 'name 77'");
}

#[divan::bench]
fn string_like(bencher: Bencher<'_, '_>) {
    bench(bencher, &["name"], "SELECT count(*) FROM t WHERE name LIKE '%e 7%'");
}

#[divan::bench]
fn group_by_few(bencher: Bencher<'_, '_>) {
    bench(bencher, &["k", "price"], "SELECT max(s) FROM (SELECT k % 8 AS g, sum(price) AS s FROM t GROUP BY k % 8)");
}

#[divan::bench]
fn group_by_strings(bencher: Bencher<'_, '_>) {
    bench(bencher, &["name"], "SELECT max(c) FROM (SELECT name, count(*) AS c FROM t GROUP BY name)");
}

#[divan::bench]
fn group_by_many(bencher: Bencher<'_, '_>) {
    bench(bencher, &["id", "price"], "SELECT max(s) FROM (SELECT id, sum(price) AS s FROM t GROUP BY id)");
}

#[divan::bench]
fn sort_limit(bencher: Bencher<'_, '_>) {
    bench(bencher, &["id", "price"], "SELECT max(price) FROM (SELECT price FROM t ORDER BY price DESC, id LIMIT 100)");
}

#[divan::bench]
fn window_row_number(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        &["k", "price"],
        "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY price) AS r FROM t)",
    );
}

#[divan::bench]
fn join_probe(bencher: Bencher<'_, '_>) {
    let names = "(SELECT k AS j, min(name) AS n FROM t WHERE id < 2000 GROUP BY k)";
    bench(bencher, &["id", "k"], &format!("SELECT sum(id), max(n) FROM t JOIN {names} ON k = j"));
}

#[divan::bench]
fn semi_join(bencher: Bencher<'_, '_>) {
    bench(bencher, &["id", "k"], "SELECT sum(id) FROM t WHERE k IN (SELECT k FROM t WHERE id < 500)");
}

#[divan::bench]
fn count_distinct(bencher: Bencher<'_, '_>) {
    bench(bencher, &["k", "discount"], "SELECT max(c) FROM (SELECT count(DISTINCT k) AS c FROM t GROUP BY discount)");
}

#[divan::bench]
fn sort_all(bencher: Bencher<'_, '_>) {
    let sorted = "(SELECT id, price FROM t ORDER BY price, id LIMIT 1000000)";
    bench(bencher, &["id", "price"], &format!("SELECT max(id), max(price) FROM {sorted}"));
}
