//! The number of an option is that of the variable of the same name. A process reads its variables once, before `main`:
//! so the test runs itself again.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::Command;

use firesteel_allocator::{ALLOW_THP, AllocatorOption, PURGE_DELAY, configure};

const INNER: &str = "FIRESTEEL_ALLOCATOR_TEST";

/// Runs the test in a process in which both options have these values at the end.
fn run_again(set: Option<AllocatorOption>, delay: i64, thp: i64) {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.env(INNER, format!("{delay} {thp}"));
    for option in [PURGE_DELAY, ALLOW_THP] {
        test.env_remove(option.variable());
    }
    test.env_remove("MIMALLOC_MINIMAL_PURGE_SIZE").env_remove("MIMALLOC_RESET_DELAY");
    if let Some(option) = set {
        test.env(option.variable(), "5");
    }
    let ended = test.output().unwrap();
    assert!(ended.status.success(), "{set:?}: {}", String::from_utf8_lossy(&ended.stdout));
}

#[test]
fn the_environment_has_the_last_word() {
    if let Ok(expected) = std::env::var(INNER) {
        configure();
        assert_eq!(format!("{} {}", PURGE_DELAY.current(), ALLOW_THP.current()), expected);
        return;
    }
    let (delay, thp) = (PURGE_DELAY.value(), ALLOW_THP.value());
    run_again(None, delay, thp);
    run_again(Some(PURGE_DELAY), 5, thp);
    run_again(Some(ALLOW_THP), delay, 5);
}
