//! The memory limit: a query stays within it or says precisely why it cannot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{run, wait_until_idle};
use firesteel::{ErrorKind, ExplainMode, Session};
use futures::StreamExt;

/// Queries that need more than the limit, and who says so.
const TOO_LARGE: [(&str, &str); 7] = [
    ("Window", "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY id * 7 % 1000003) AS r FROM range(3000000))"),
    ("HashAggregate", "SELECT count(*) FROM (SELECT id % 2000000 AS k, count(*) FROM range(4000000) GROUP BY 1)"),
    ("HashJoin build", "SELECT count(*) FROM range(3000000) a JOIN range(3000000) b ON a.id = b.id"),
    (
        "NestedLoopJoin build",
        "SELECT count(*) FROM range(3000000) a LEFT JOIN range(3000001) b ON a.id > b.id + sqrt(b.id)",
    ),
    ("Sort", "SELECT id, id * 7 % 1000003 FROM range(1100000) ORDER BY 2, 1"),
    ("HashAggregate", "SELECT count(DISTINCT id * 3) FROM range(4000000)"),
    ("the collected result", "SELECT id, id + 1, id + 2, id + 3 FROM range(4000000)"),
];

#[test]
fn a_refusal_says_who_and_what_and_which_setting() {
    let session = Session::builder().threads(2).memory_limit(16 << 20).build().unwrap();
    run(async {
        for (operator, sql) in TOO_LARGE {
            let stream = session.sql(sql).await.unwrap().stream().unwrap();
            let query = stream.handle().id();
            let error = stream.collect().await.expect_err(sql);
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
            assert_eq!((error.condition(), error.sqlstate()), ("UNABLE_TO_ACQUIRE_MEMORY", "53200"));
            let message = error.message();
            let process = format!("process {}, query {query}: ", std::process::id());
            for part in ["Unable to acquire ", " of memory for ", &process, " of 16 MiB in use", "Largest holders: "] {
                assert!(message.contains(part), "`{part}` is missing in {message}");
            }
            assert!(message.contains(operator) || message.contains("Exchange"), "{operator} is missing in {message}");
            let text = error.render();
            for setting in ["--memory", "firesteel.memory.limit", "firesteel.threads"] {
                assert!(text.contains(setting), "{setting} is missing in {text}");
            }
            wait_until_idle(&session, sql);
        }
    });
}

#[test]
fn the_limit_can_be_raised() {
    let session = Session::builder().threads(2).memory_limit(1 << 20).build().unwrap();
    run(async {
        let sql = "SELECT count(DISTINCT id) FROM range(300000)";
        let error = session.sql(sql).await.unwrap().collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        session.sql("SET firesteel.memory.limit = 256m").await.unwrap();
        assert_eq!(session.sql(sql).await.unwrap().count().await.unwrap(), 1);
    });
}

#[test]
fn what_operators_held_is_told() {
    let session = Session::builder().threads(2).build().unwrap();
    run(async {
        let sql = "SELECT k, count(*), max(r) FROM (
                       SELECT a.id % 5000 AS k, row_number() OVER (PARTITION BY a.id % 3 ORDER BY b.id) AS r
                       FROM range(50000) a JOIN range(20000) b ON a.id = b.id)
                   GROUP BY k ORDER BY k";
        let df = session.sql(sql).await.unwrap();
        let mut stream = df.stream().unwrap();
        while let Some(batch) = stream.next().await {
            batch.unwrap();
        }
        let report = stream.handle().report().unwrap();
        let peak = stream.handle().metrics().unwrap().peak_memory;
        let held = |stage: &firesteel::query::StageReport| stage.metrics.values().filter(|m| m.memory > 0).count();
        assert!(report.stages.iter().map(held).sum::<usize>() >= 4, "join, window, aggregate, sort");
        for stage in &report.stages {
            assert!(stage.metrics.values().all(|m| m.memory <= stage.peak_memory));
            assert!(stage.output.memory <= stage.peak_memory && stage.peak_memory <= 2 * peak);
        }
        let text = df.explain(ExplainMode::Analyze).await.unwrap();
        for part in ["== Final Plan ==", "== Stages ==", "peak memory", "estimated", "attempts", "KiB"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    });
}
