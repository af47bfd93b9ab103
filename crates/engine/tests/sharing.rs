//! Queries that run at once share the threads of their session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::run;
use firesteel::Session;

fn cpu_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name.starts_with("firesteel-cpu")).count()
}

#[test]
fn a_short_query_is_not_starved_by_long_ones() {
    let session = Session::builder().threads(2).build().unwrap();
    run(async {
        let short = session.sql("SELECT count(*), sum(id % 7) FROM range(2000000)").await.unwrap();
        short.collect().await.unwrap();
        let start = Instant::now();
        short.collect().await.unwrap();
        let alone = start.elapsed();
        let long = "SELECT count(*) FROM range(1000000) a CROSS JOIN range(1000000) b WHERE a.id * b.id = -1";
        let long = session.sql(long).await.unwrap();
        let streams: Vec<_> = (0..3).map(|_| long.stream().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(300));
        // Three long queries on two threads: one task each.
        assert!(session.running_tasks() <= 6, "{} tasks", session.running_tasks());
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            short.collect().await.unwrap();
            best = best.min(start.elapsed());
        }
        assert!(best < alone * 20 + Duration::from_millis(500), "{best:?} instead of {alone:?}");
        assert_eq!(session.running_queries().len(), streams.len());
        if cfg!(target_os = "linux") {
            assert_eq!(cpu_threads(), 2);
        }
        drop(streams);
        let start = Instant::now();
        while session.running_tasks() > 0 && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(session.running_tasks(), 0);
    });
}
