//! The exchange: the same join and grouping with rows shared, partitioned, and serialised as between processes.
//!
//! `cargo bench -p firesteel-bench --bench exchange [FILTER]`

#[path = "tables.rs"]
mod tables;

use divan::Bencher;
use tables::{measure, session};

const MODES: [&str; 3] = ["auto", "partitioned", "serialized"];

fn main() {
    firesteel_allocator::configure();
    divan::main();
}

/// Runs `sql`, which exchanges `columns`, with two threads in an exchange mode; joins are not broadcast, so that both sides
/// are exchanged.
fn bench(bencher: Bencher<'_, '_>, mode: &str, columns: &[&str], sql: &str) {
    let settings = [
        ("firesteel.threads", "2"),
        ("firesteel.exchange.mode", mode),
        ("spark.sql.autoBroadcastJoinThreshold", "-1"),
        ("spark.sql.shuffle.partitions", "8"),
    ];
    measure(bencher, &session(&settings), columns, sql);
}

#[divan::bench(args = MODES)]
fn group_by(bencher: Bencher<'_, '_>, mode: &str) {
    bench(bencher, mode, &["id", "price"], "SELECT max(s) FROM (SELECT id, sum(price) AS s FROM t GROUP BY id)");
}

#[divan::bench(args = MODES)]
fn join(bencher: Bencher<'_, '_>, mode: &str) {
    bench(
        bencher,
        mode,
        &["id", "id", "price", "discount"],
        "SELECT sum(a.price + b.discount) FROM t a JOIN t b ON a.id = b.id",
    );
}

#[divan::bench(args = MODES)]
fn strings(bencher: Bencher<'_, '_>, mode: &str) {
    bench(bencher, mode, &["id", "name"], "SELECT max(length(n)) FROM (SELECT id, min(name) AS n FROM t GROUP BY id)");
}
