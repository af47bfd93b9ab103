//! The SQL suite as a test of cargo, under the default and the serialised settings and two others of the matrix.
//!
//! The commit chooses the others, so that a run can be repeated and all settings get their turn; the environment
//! variable `SEED` overrules it.

use std::process::Command;

/// The seed, and where it is from.
fn seed() -> (String, &'static str) {
    if let Ok(seed) = std::env::var("SEED") {
        return (seed, "from the environment");
    }
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let commit = git.ok().filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    let number = commit.and_then(|commit| u32::from_str_radix(commit.get(..7)?, 16).ok());
    number.map_or(("0".to_owned(), "there is no commit"), |number| (number.to_string(), "from the commit"))
}

/// Whether a run of the suite passed, and what it said.
fn run(args: &[&str]) -> (bool, String) {
    match Command::new(env!("CARGO_BIN_EXE_firesteel-sql-tests")).args(args).output() {
        Ok(output) => (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => (false, error.to_string()),
    }
}

#[test]
fn the_suite_passes_under_a_sample_of_the_matrix() {
    let (seed, origin) = seed();
    println!("SEED={seed}, {origin}");
    let (passed, text) = run(&["--sample", &seed]);
    assert!(passed, "with SEED={seed}:\n{text}");
    assert_eq!(text.matches(" passed, 0 failed").count(), 4, "{text}");
}

/// All of them: `firesteel-sql-tests --random 2000`, in a release build.
#[test]
fn random_queries_return_the_same_rows_whatever_is_decided() {
    let (seed, origin) = seed();
    println!("SEED={seed}, {origin}");
    let (passed, text) = run(&["--random", "60", "--seed", &seed]);
    assert!(passed && text.contains(" 0 differences"), "with SEED={seed}:\n{text}");
}
