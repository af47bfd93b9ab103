//! Following a query while it runs, and what it took in the end, in a runtime of one thread.
//!
//! `cargo run --release -p firesteel --example progress`

use std::io::Write;
use std::time::Duration;

use firesteel::{Result, Session, display};
use futures::StreamExt;

async fn follow() -> Result<()> {
    let session = Session::builder().build()?;
    let sql = "SELECT id % 1000 AS k, count(*) AS n FROM range(20000000) GROUP BY k ORDER BY n DESC, k LIMIT 3";
    let mut stream = session.sql(sql).await?.stream()?;
    // The handle can be kept and used anywhere; `handle.cancel()` would end the query, as would dropping the stream.
    let handle = stream.handle().clone();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut out = std::io::stdout();
    loop {
        tokio::select! {
            batch = stream.next() => match batch {
                Some(batch) => {
                    for row in display::cells(&batch?, "UTC")? {
                        writeln!(out, "{row:?}")?;
                    }
                }
                None => break,
            },
            _ = ticks.tick() => {
                let progress = handle.progress();
                writeln!(out, "{} of {} tasks, {} bytes", progress.tasks_finished, progress.tasks, progress.memory)?;
            }
        }
    }
    if let Some(metrics) = handle.metrics() {
        writeln!(out, "{metrics:?}")?;
    }
    for decision in handle.decisions() {
        writeln!(out, "{decision:?}")?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(follow())
}
