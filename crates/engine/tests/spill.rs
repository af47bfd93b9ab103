//! Exchanges that outgrow the memory: right rows, and no file is left however a query ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{run, sorted_rows, wait_until_idle};
use firesteel::{ErrorKind, ExplainMode, Session};

/// A join with a side that is expected to be tiny, since nothing tells how many groups such conditions leave, and has
/// more bytes than the limit.
const OUTGROWN: &str = "SELECT count(*), sum(b.k), sum(length(b.t)), max(b.t) FROM range(2000000) a JOIN (
         SELECT id AS k, concat(repeat('abc', 40), id) AS t FROM range(700000)
         GROUP BY id HAVING min(id) >= 0 AND max(id) >= 0 AND count(*) = 1 AND sum(id) = max(id)) b ON a.id = b.k";

/// The same without a limit that matters, from sums of numbers.
fn expected() -> String {
    let n = 700_000u64;
    let digits: u64 = (0..n).map(|id| id.to_string().len() as u64).sum();
    format!("{n} {} {} {}99999", n * (n - 1) / 2, 120 * n + digits, "abc".repeat(40))
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("firesteel-{name}-{}", std::process::id())))
    }

    /// Names in the folder, and open files that had one.
    fn files(&self) -> usize {
        let named = std::fs::read_dir(&self.0).map_or(0, Iterator::count);
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let is_here = |path: PathBuf| std::fs::read_link(path).is_ok_and(|to| to.starts_with(&self.0));
        named + open.filter(|file| is_here(file.path())).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn session(folder: &Path, limit: u64) -> Session {
    Session::builder().threads(2).memory_limit(limit).temp_dir(folder).build().unwrap()
}

#[test]
fn a_side_that_outgrows_estimate_and_memory_is_joined_by_partition() {
    let folder = Folder::new("spill-join");
    let session = session(&folder.0, 64 << 20);
    run(async {
        let df = session.sql(OUTGROWN).await.unwrap();
        assert_eq!(sorted_rows(&df).await, [expected()]);
        wait_until_idle(&session, "the join");
        assert_eq!(folder.files(), 0);
        let stream = df.stream().unwrap();
        let handle = stream.handle().clone();
        stream.collect().await.unwrap();
        let metrics = handle.metrics().unwrap();
        assert!(metrics.spilled_bytes > 32 << 20 && metrics.peak_memory <= 64 << 20, "{metrics:?}");
        let report = handle.report().unwrap();
        assert_eq!(report.stages.iter().map(|stage| stage.spilled).sum::<u64>(), metrics.spilled_bytes);
        // It was found out before the side was complete: the other one was written meanwhile.
        let wrote = |rows: u64| report.stages.iter().find(|stage| stage.rows == [rows]).unwrap();
        let (build, probe) = (wrote(700_000), wrote(2_000_000));
        assert!(probe.started < build.started + build.duration, "{report:?}");
        let text = df.explain(ExplainMode::Analyze).await.unwrap();
        for part in ["ShuffledHashJoin instead of BroadcastHashJoin", " spilled", "DynamicJoinSelection", " so far"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    });
}

#[test]
fn exchanges_in_any_form_are_spilled() {
    let folder = Folder::new("spill-modes");
    for mode in ["partitioned", "serialized"] {
        let session = session(&folder.0, 24 << 20);
        run(async {
            session.sql(&format!("SET firesteel.exchange.mode = {mode}")).await.unwrap();
            let sql = "SELECT k % 3, count(*), sum(k), min(t) FROM (
                           SELECT id AS k, concat('text number ', id % 1000) AS t FROM range(1500000) DISTRIBUTE BY id)
                       GROUP BY 1";
            let rows = sorted_rows(&session.sql(sql).await.unwrap()).await;
            let sum = |rest: u64| (rest..1_500_000).step_by(3).sum::<u64>();
            let expected = [0u64, 1, 2].map(|rest| format!("{rest} 500000 {} text number 0", sum(rest)));
            assert_eq!(rows, expected, "{mode}");
            wait_until_idle(&session, mode);
            assert_eq!(folder.files(), 0, "{mode}");
        });
    }
}

#[test]
fn nothing_is_left_of_a_query_that_failed_or_was_cancelled() {
    let folder = Folder::new("spill-end");
    let session = session(&folder.0, 16 << 20);
    run(async {
        let exchange = "SELECT id, concat('text number ', id) AS t FROM range(3000000) DISTRIBUTE BY id % 64";
        let fails = format!("SELECT count(1 / (id - 2999999)), max(t) FROM ({exchange})");
        let error = session.sql(&fails).await.unwrap().collect().await.unwrap_err();
        assert_eq!(error.condition(), "DIVIDE_BY_ZERO");
        wait_until_idle(&session, "failed");
        assert_eq!(folder.files(), 0);

        let stream = session.sql(exchange).await.unwrap().stream().unwrap();
        let start = std::time::Instant::now();
        while folder.files() == 0 && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if cfg!(target_os = "linux") {
            assert!(folder.files() > 0, "the query was cancelled before it had spilled");
        }
        stream.handle().cancel();
        drop(stream);
        wait_until_idle(&session, "cancelled");
        assert_eq!(folder.files(), 0);
    });
}

#[test]
fn a_folder_that_takes_no_files_is_named() {
    let folder = Folder::new("spill-no-folder");
    std::fs::write(&folder.0, "a file").unwrap();
    let session = session(&folder.0, 16 << 20);
    run(async {
        let sql = "SELECT count(*), max(t) FROM (SELECT id, concat('text number ', id) AS t FROM range(3000000) DISTRIBUTE BY id)";
        let error = session.sql(sql).await.unwrap().collect().await.unwrap_err();
        assert_eq!((error.kind(), error.condition()), (ErrorKind::OutOfMemory, "SPILL_OUT_OF_MEMORY"));
        assert!(error.render().contains("firesteel.temp.dir"), "{}", error.render());
        wait_until_idle(&session, "no folder");
    });
    std::fs::remove_file(&folder.0).unwrap();
}
