//! What the tests share.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::time::{Duration, Instant};

use firesteel::{DataFrame, Session, display};

/// A session of two threads.
pub(crate) fn session() -> Session {
    Session::builder().threads(2).build().unwrap()
}

/// All rows as text, cells separated by a space, in the order in which they come.
pub(crate) async fn rows(df: &DataFrame) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in df.collect().await.unwrap() {
        for row in display::cells(&batch, "UTC").unwrap() {
            let cells: Vec<String> = row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect();
            rows.push(cells.join(" "));
        }
    }
    rows
}

/// All rows as text, sorted.
pub(crate) async fn sorted_rows(df: &DataFrame) -> Vec<String> {
    let mut rows = rows(df).await;
    rows.sort();
    rows
}

/// Waits until no query runs, no task, and no memory is held. Fails after a minute.
pub(crate) fn wait_until_idle(session: &Session, name: &str) {
    let start = Instant::now();
    while session.running_tasks() > 0 || session.memory_used() > 0 || !session.running_queries().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "{name} goes on");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a test without a runtime: the engine has threads of its own.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    futures::executor::block_on(test)
}
