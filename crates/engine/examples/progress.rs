//! Following a query while it runs, and what it took in the end.
//!
//! `cargo run --release --example progress`

use std::io::Write;
use std::time::Duration;

use firesteel::{Result, Session};
use futures::StreamExt;

fn main() -> Result<()> {
    futures::executor::block_on(async {
        let session = Session::builder().build()?;
        let sql = "SELECT id % 1000 AS k, count(*) AS n FROM range(20000000) GROUP BY k ORDER BY n DESC, k LIMIT 3";
        let mut stream = session.sql(sql).await?.stream()?;

        // The handle is a view of the query from any thread; `handle.cancel()` would end it.
        let handle = stream.handle().clone();
        let watcher = std::thread::spawn(move || {
            let mut out = std::io::stderr();
            while !handle.is_ended() {
                let progress = handle.progress();
                let _ =
                    writeln!(out, "{} of {} tasks, {} bytes", progress.tasks_finished, progress.tasks, progress.memory);
                std::thread::sleep(Duration::from_millis(100));
            }
        });

        let mut out = std::io::stdout();
        while let Some(batch) = stream.next().await {
            for row in firesteel::display::cells(&batch?, "UTC")? {
                writeln!(out, "{row:?}")?;
            }
        }
        let _ = watcher.join();
        let handle = stream.handle();
        if let Some(metrics) = handle.metrics() {
            writeln!(out, "{metrics:?}")?;
        }
        for decision in handle.decisions() {
            writeln!(out, "{decision:?}")?;
        }
        Ok(())
    })
}
