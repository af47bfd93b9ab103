//! The number of the option is that of the variable of the same name. A process reads its variables once, before `main`:
//! so the test runs itself again.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::Command;

use firesteel_allocator::{allow_thp, keep_huge_pages};

const INNER: &str = "FIRESTEEL_ALLOCATOR_TEST";

#[test]
fn the_environment_has_the_last_word() {
    if let Ok(expected) = std::env::var(INNER) {
        keep_huge_pages();
        assert_eq!(allow_thp().to_string(), expected);
        return;
    }
    for (given, expected) in [(Some("5"), "5"), (None, "2")] {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.env(INNER, expected).env_remove("MIMALLOC_ALLOW_THP").env_remove("MIMALLOC_MINIMAL_PURGE_SIZE");
        if let Some(given) = given {
            test.env("MIMALLOC_ALLOW_THP", given);
        }
        let ended = test.output().unwrap();
        assert!(ended.status.success(), "{given:?}: {}", String::from_utf8_lossy(&ended.stdout));
    }
}
