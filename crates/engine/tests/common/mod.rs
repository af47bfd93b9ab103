//! What the tests share.

#![allow(dead_code, reason = "each test file uses some of it")]

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

/// Runs a test without a runtime: the engine has threads of its own.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    futures::executor::block_on(test)
}
