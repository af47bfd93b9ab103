//! Runs the SQL tests: `cargo xtask slt [FILE[:LINE]]… [--conf KEY=VALUE]… [--complete]`.
//!
//! Cases are `cases/**/*.slt`, plans are `plans/**/*.slt` (run under default settings only), and the TPC-H queries
//! over the sample data against the rows that Spark returned. One session per file.

mod record;
mod run;
mod tpch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// The SQL tests of Firesteel.
#[derive(Parser)]
struct Args {
    /// Files or folders, or `file.slt:12` for the record at a line; `tpch` for the TPC-H queries. All by default.
    paths: Vec<String>,
    /// A setting for all sessions, `key=value`.
    #[arg(long)]
    conf: Vec<String>,
    /// Writes what was returned into `explain` records. (Rows come from `spark.py`, never from ourselves.)
    #[arg(long)]
    complete: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut settings = Vec::new();
    for setting in &args.conf {
        match setting.split_once('=') {
            Some((key, value)) => settings.push((key.to_owned(), value.to_owned())),
            None => {
                eprintln!("--conf takes key=value, not `{setting}`");
                return ExitCode::from(2);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failures = 0;
    let mut passed = 0;
    for (file, line) in chosen(root, &args.paths) {
        let outcome = run::run_file(root, &file, line, &settings, args.complete);
        passed += outcome.passed;
        failures += outcome.failures.len();
        outcome.failures.iter().for_each(|failure| eprintln!("{failure}\n"));
    }
    if args.paths.is_empty() || args.paths.iter().any(|p| p == "tpch") {
        let outcome = tpch::run(root, &settings);
        passed += outcome.passed;
        failures += outcome.failures.len();
        outcome.failures.iter().for_each(|failure| eprintln!("{failure}\n"));
    }
    eprintln!("{passed} passed, {failures} failed");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The files to run, each with the line of the only record to check, if one was named.
fn chosen(root: &Path, paths: &[String]) -> Vec<(PathBuf, Option<usize>)> {
    let mut files = Vec::new();
    if paths.is_empty() {
        collect(&root.join("cases"), &mut files);
        collect(&root.join("plans"), &mut files);
        files.sort();
        return files.into_iter().map(|file| (file, None)).collect();
    }
    let mut all = Vec::new();
    for path in paths.iter().filter(|p| *p != "tpch") {
        let (path, line) = match path.rsplit_once(':') {
            Some((file, line)) if line.parse::<usize>().is_ok() => (file, line.parse().ok()),
            _ => (path.as_str(), None),
        };
        let here = PathBuf::from(path);
        let path = if here.exists() { here } else { root.join(path) };
        let mut files = Vec::new();
        collect(&path, &mut files);
        files.sort();
        all.extend(files.into_iter().map(|file| (file, line)));
    }
    all
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.extension().is_some_and(|e| e == "slt") {
        files.push(path.to_path_buf());
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        collect(&entry.path(), files);
    }
}
