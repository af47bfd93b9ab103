//! The SQL suite as a test of cargo, under the default and the serialised settings and two others of the matrix.
//!
//! The environment variable `SEED` chooses the others; without it they change from day to day.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn the_suite_passes_under_a_sample_of_the_matrix() {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / 86_400);
    let seed = std::env::var("SEED").unwrap_or_else(|_| days.to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_firesteel-sql-tests")).args(["--sample", &seed]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "with SEED={seed}:\n{text}");
    assert_eq!(text.matches(" passed, 0 failed").count(), 4, "{text}");
}
