//! Failures in the middle of a query: what may pass is tried again, what will not is reported at once.
//!
//! A function fails in the call that it is told to. Which call is in which task, stage and phase is found out by
//! trying all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{run, sorted_rows};
use firesteel::arrow::array::ArrayRef;
use firesteel::{DataFrame, Error, Session, SqlType};
use futures::StreamExt;

/// Calls of the function `flaky`, and which of them fail.
#[derive(Default)]
struct Trap {
    calls: AtomicUsize,
    first: AtomicUsize,
    count: AtomicUsize,
    failed: AtomicUsize,
}

impl Trap {
    /// Lets `count` calls fail from call `first` on.
    fn set(&self, first: usize, count: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.failed.store(0, Ordering::SeqCst);
        self.first.store(first, Ordering::SeqCst);
        self.count.store(count, Ordering::SeqCst);
    }

    fn spring(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let first = self.first.load(Ordering::SeqCst);
        let fails = call >= first && call - first < self.count.load(Ordering::SeqCst);
        if fails {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        fails
    }
}

/// A session with `flaky(BIGINT)`, which returns its argument, or does what `fail` does.
fn session(mode: &str, fail: impl Fn() -> Error + Send + Sync + 'static) -> (Session, Arc<Trap>) {
    let session = Session::builder()
        .threads(2)
        .config("firesteel.exchange.mode", mode)
        .config("firesteel.batch.rows", 512)
        .build()
        .unwrap();
    let trap = Arc::new(Trap::default());
    let (own, args) = (trap.clone(), [SqlType::BigInt]);
    session.udf_register(
        "flaky",
        args,
        SqlType::BigInt,
        move |args: &[ArrayRef]| {
            if own.spring() { Err(fail()) } else { Ok(args[0].clone()) }
        },
    );
    (session, trap)
}

/// Queries that call the function in the stage of a build side, while the table is built, while it is probed, for the
/// keys of an exchange, and above one.
const QUERIES: [&str; 8] = [
    "SELECT count(*), sum(b.id) FROM range(4000) a JOIN (SELECT flaky(id) AS id FROM range(1500)) b ON a.id = b.id",
    "SELECT count(*), sum(b.id) FROM range(4000) a JOIN range(1500) b ON a.id = flaky(b.id)",
    "SELECT count(*), sum(b.id) FROM range(4000) a JOIN range(1500) b ON flaky(a.id) = b.id",
    "SELECT sum(a.id), sum(b.id), count(*) FROM range(3000) a FULL JOIN range(1000, 4000) b ON flaky(a.id) = b.id",
    "SELECT count(*) FROM range(200) a JOIN range(300) b ON flaky(a.id) > b.id",
    "SELECT k, count(*) FROM (SELECT flaky(id) % 7 AS k FROM range(4000)) GROUP BY k",
    "SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY flaky(id) % 5 ORDER BY id) AS r FROM range(3000))",
    "SELECT max(flaky(c)) FROM (SELECT id % 1000 AS k, count(*) AS c FROM range(4000) GROUP BY id % 1000)",
];

async fn outcome(df: &DataFrame) -> Result<u32, Error> {
    let mut stream = df.stream()?;
    while let Some(batch) = stream.next().await {
        batch?;
    }
    let report = stream.handle().report().unwrap();
    Ok(report.stages.iter().map(|stage| stage.attempts - stage.stage.tasks.tasks()).sum())
}

/// Every query with the `k`-th call failing once, for about twelve `k` spread over all calls.
fn each_call_fails_once(mode: &str, fail: impl Fn() -> Error + Send + Sync + 'static) {
    let (session, trap) = session(mode, fail);
    run(async {
        for sql in QUERIES {
            trap.set(0, 0);
            let df = session.sql(sql).await.unwrap();
            let expected = sorted_rows(&df).await;
            let calls = trap.calls.load(Ordering::SeqCst);
            assert!(calls > 0, "{sql}");
            for k in (0..calls).step_by(calls.div_ceil(12)) {
                trap.set(k, 1);
                assert_eq!(sorted_rows(&df).await, expected, "call {k} of {calls} failed in {sql} ({mode})");
            }
            trap.set(0, 1);
            let repeated = outcome(&df).await.unwrap();
            assert_eq!(trap.failed.load(Ordering::SeqCst), 1);
            assert!(repeated >= 1, "{sql}");
            assert_eq!((session.running_tasks(), session.memory_used()), (0, 0), "{sql}");
        }
    });
}

#[test]
fn a_failure_that_passes_changes_no_result() {
    for mode in ["auto", "partitioned", "serialized"] {
        each_call_fails_once(mode, || Error::io("the network is down"));
    }
}

#[test]
fn a_panic_is_a_failure_of_the_task() {
    each_call_fails_once("auto", || panic!("this is a test"));
}

#[test]
fn there_are_four_attempts() {
    let (session, trap) = session("auto", || Error::io("the network is down"));
    run(async {
        for sql in QUERIES {
            trap.set(0, usize::MAX);
            let error = outcome(&session.sql(sql).await.unwrap()).await.unwrap_err();
            assert!(error.message().contains("the network is down"), "{error}");
            assert!(error.context().iter().any(|c| c.contains("failed 4 times")), "{error}");
            let failed = trap.failed.load(Ordering::SeqCst);
            assert!((4..=4 * 2).contains(&failed), "{failed} calls of {sql}");
            assert_eq!((session.running_tasks(), session.memory_used()), (0, 0), "{sql}");
        }
    });
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    let (session, trap) = session("auto", || Error::compute("MY_CONDITION", "22000", "never"));
    run(async {
        for sql in QUERIES {
            trap.set(0, usize::MAX);
            let error = outcome(&session.sql(sql).await.unwrap()).await.unwrap_err();
            assert_eq!(error.condition(), "MY_CONDITION");
            // Both tasks may have met it.
            let failed = trap.failed.load(Ordering::SeqCst);
            assert!((1..=2).contains(&failed), "{failed} calls of {sql}");
            assert_eq!((session.running_tasks(), session.memory_used()), (0, 0), "{sql}");
        }
    });
}
