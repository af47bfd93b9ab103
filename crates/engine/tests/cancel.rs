//! Cancelling stops a query soon wherever it is, and leaves no task, no memory and no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{run, wait_until_idle};
use firesteel::Session;
use futures::StreamExt;
use futures::future::{Either, select};

/// Time in which a query has stopped; code that is not optimised gets more.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 500 });
/// Tries of a case: another process may have taken the processor.
const TRIES: usize = 4;

/// Queries of many seconds, and where they are when they are cancelled.
const QUERIES: [(&str, &str); 11] = [
    ("scan", "SELECT max(id) FROM range(100000000000)"),
    ("result", "SELECT id FROM range(100000000000)"),
    (
        "sort",
        "SELECT max(i) FROM (SELECT id AS i, row_number() OVER (ORDER BY id * 7919 % 10007, id) FROM range(24000000))",
    ),
    ("aggregate", "SELECT count(*) FROM (SELECT id % 40000000 AS k, sum(id) FROM range(80000000) GROUP BY 1)"),
    ("distinct", "SELECT count(DISTINCT hash(id)) FROM range(80000000)"),
    (
        "window",
        "SELECT max(s) FROM (SELECT sum(id) OVER (PARTITION BY id % 10 ORDER BY id % 1000 ROWS 50 PRECEDING) AS s FROM range(6000000))",
    ),
    ("cross join", "SELECT count(*) FROM range(1000000) a CROSS JOIN range(1000000) b WHERE a.id * b.id = -1"),
    ("nested loop", "SELECT count(*) FROM range(1000000) a LEFT JOIN range(300000) b ON a.id < -b.id - 1"),
    (
        "hash join",
        "SELECT count(*) FROM range(20000000) a JOIN range(20000000) b ON a.id = b.id JOIN range(20000000) c ON b.id = c.id",
    ),
    (
        "many matches",
        "SELECT count(*) FROM range(3000000) a JOIN range(3000000) b ON a.id % 3 = b.id % 3 AND a.id + b.id < 0",
    ),
    ("exchange", "SELECT id FROM range(30000000) DISTRIBUTE BY id % 16 SORT BY id"),
];

/// Waits until nothing of the session's queries is left; whether that was soon.
async fn stops_soon(session: &Session, name: &str) -> bool {
    let start = Instant::now();
    wait_until_idle(session, name);
    // The threads are free, too.
    assert_eq!(session.sql("SELECT 1").await.unwrap().count().await.unwrap(), 1);
    if start.elapsed() > SOON {
        eprintln!("{name} took {:?} to stop", start.elapsed());
    }
    start.elapsed() <= SOON
}

#[test]
fn every_kind_of_operator_stops() {
    let session = Session::builder().threads(2).memory_limit(3 << 30).build().unwrap();
    let mut late = Vec::new();
    for (name, sql) in QUERIES {
        for (delay, drops) in [(30, true), (700, false), (1500, true)] {
            let soon = (0..TRIES).any(|_| {
                run(async {
                    let mut stream = session.sql(sql).await.unwrap().stream().unwrap();
                    std::thread::sleep(Duration::from_millis(delay));
                    if drops {
                        drop(stream);
                        return stops_soon(&session, name).await;
                    }
                    // It stops also if nobody reads what it says.
                    stream.handle().cancel();
                    let soon = stops_soon(&session, name).await;
                    let last = loop {
                        match stream.next().await {
                            Some(Ok(_)) => {}
                            other => break other,
                        }
                    };
                    let condition = last.map(|end| end.unwrap_err().condition().to_owned());
                    assert_eq!(condition.as_deref(), Some("OPERATION_CANCELED"), "{name}");
                    soon
                })
            });
            if !soon {
                late.push((name, delay));
            }
        }
    }
    assert!(late.is_empty(), "these stop late: {late:?}");
}

#[test]
fn planning_is_short() {
    let session = Session::builder().threads(2).build().unwrap();
    let tables: Vec<String> = (0..12).map(|i| format!("range(100000) t{i}")).collect();
    let keys: Vec<String> = (1..12).map(|i| format!("t0.id = t{i}.id")).collect();
    let sql = format!("SELECT count(*) FROM {} WHERE {}", tables.join(", "), keys.join(" AND "));
    let soon = (0..TRIES).any(|_| {
        run(async {
            let stream = session.sql(&sql).await.unwrap().stream().unwrap();
            std::thread::sleep(Duration::from_millis(5));
            drop(stream);
            stops_soon(&session, "planning").await
        })
    });
    assert!(soon);
}

#[test]
fn a_file_that_is_not_complete_is_removed() {
    let session = Session::builder().threads(2).build().unwrap();
    let folder = std::env::temp_dir().join(format!("firesteel-cancel-{}", std::process::id()));
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let rows = "SELECT id, id * 3 AS b, 'some text' AS c FROM range(1000000000)";
    std::fs::create_dir_all(&folder).unwrap();
    let statements = [
        format!("COPY ({rows}) TO '{}'", path("a.parquet")),
        format!("COPY ({rows}) TO '{}'", path("a.csv")),
        format!("CREATE TABLE t USING json LOCATION '{}' AS {rows}", path("table")),
        format!("EXPLAIN ANALYZE {rows}"),
    ];
    for statement in &statements {
        for by_handle in [false, true] {
            let soon = (0..TRIES).any(|_| {
                run(async {
                    let cancel = async {
                        let begun = Instant::now();
                        while begun.elapsed() < Duration::from_millis(300) {
                            futures::future::ready(()).await;
                            yield_once().await;
                        }
                        let running = session.running_queries();
                        assert_eq!(running.len(), 1, "{statement} shows its query");
                        if by_handle {
                            running[0].cancel();
                            std::future::pending::<()>().await;
                        }
                    };
                    match select(Box::pin(session.sql(statement)), Box::pin(cancel)).await {
                        Either::Left((result, _)) => assert_eq!(result.unwrap_err().condition(), "OPERATION_CANCELED"),
                        Either::Right(((), statement)) => drop(statement),
                    }
                    stops_soon(&session, statement).await
                })
            });
            assert!(soon, "{statement}");
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{statement} leaves a file");
        }
    }
    std::fs::remove_dir(&folder).unwrap();
}

/// Lets others be polled.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut yielded, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
