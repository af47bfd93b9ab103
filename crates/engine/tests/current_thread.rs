//! The engine brings its own threads: it works wherever futures are polled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{rows, session};
use firesteel::functions::{col, sum};
use futures::StreamExt;

const SQL: &str = "SELECT id % 3 AS k, id FROM range(3000)";

async fn query() -> Vec<String> {
    let session = session();
    let df = session.sql(SQL).await.unwrap().group_by("k").agg(sum("id").alias("s")).unwrap();
    rows(&df.sort(col("k")).unwrap()).await
}

const EXPECTED: [&str; 3] = ["0 1498500", "1 1499500", "2 1500500"];

#[test]
fn in_a_current_thread_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(query()), EXPECTED);
}

#[test]
fn in_a_runtime_of_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // Futures can be moved between threads, and be awaited on them.
    let both = runtime.block_on(async { tokio::join!(runtime.spawn(query()), runtime.spawn(query())) });
    assert_eq!(both.0.unwrap(), EXPECTED);
    assert_eq!(both.1.unwrap(), EXPECTED);
}

#[test]
fn without_a_runtime() {
    assert_eq!(futures::executor::block_on(query()), EXPECTED);
}

#[test]
fn a_session_may_end_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut stream = {
            let session = session();
            session.sql(SQL).await.unwrap().stream().unwrap()
        };
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        assert_eq!(rows, 3000);
    });
}
