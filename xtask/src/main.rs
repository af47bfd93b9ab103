//! Chores of the project: `cargo xtask tidy | docs | matrix | slt`.

mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Settings that the whole suite is run under, one line per run.
const MATRIX: &[&[&str]] = &[
    &[],
    &["firesteel.exchange.mode=serialized", "spark.sql.shuffle.partitions=7"],
    &["firesteel.threads=1"],
    &["firesteel.threads=8"],
    &["firesteel.batch.rows=3"],
    &["spark.sql.adaptive.enabled=false"],
    &["firesteel.adaptive.force=true", "firesteel.exchange.mode=partitioned"],
    &["spark.sql.adaptive.enabled=false", "firesteel.exchange.mode=serialized", "firesteel.threads=8"],
    &["firesteel.exchange.mode=partitioned", "firesteel.batch.rows=3", "firesteel.threads=1"],
    &["spark.sql.autoBroadcastJoinThreshold=-1"],
    &["spark.sql.autoBroadcastJoinThreshold=-1", "firesteel.adaptive.force=true", "firesteel.threads=8"],
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let ok = match args.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root()),
        Some("docs") => docs(),
        Some("slt") => slt(&[], rest),
        Some("matrix") => matrix(rest),
        _ => {
            eprintln!("usage: cargo xtask tidy | docs | slt [ARGS] | matrix [--sample SEED]");
            return ExitCode::from(2);
        }
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn cargo(args: &[&str], env: &[(&str, &str)]) -> bool {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.current_dir(root()).args(args).envs(env.iter().copied());
    command.status().is_ok_and(|status| status.success())
}

/// Writes the generated pages under `docs/` anew.
fn docs() -> bool {
    cargo(&["test", "-q", "-p", "firesteel", "--test", "docs"], &[("FIRESTEEL_UPDATE_DOCS", "1")])
}

/// Runs the SQL tests under some settings.
fn slt(settings: &[&str], args: &[String]) -> bool {
    let mut all = vec!["run", "-q", "-p", "firesteel-sql-tests", "--"];
    for setting in settings {
        all.extend(["--conf", setting]);
    }
    all.extend(args.iter().map(String::as_str));
    cargo(&all, &[])
}

/// The suite under all settings, or with `--sample SEED` under the default, the serialised and two others.
fn matrix(args: &[String]) -> bool {
    let seed = args.iter().position(|a| a == "--sample").and_then(|i| args.get(i + 1)?.parse::<usize>().ok());
    let chosen: Vec<&&[&str]> = match seed {
        None => MATRIX.iter().collect(),
        Some(seed) => {
            let others = MATRIX.len() - 2;
            let (a, b) = (2 + seed % others, 2 + (seed / others + seed + 1) % others);
            [0, 1, a, b].iter().filter_map(|i| MATRIX.get(*i)).collect()
        }
    };
    chosen.into_iter().fold(true, |ok, settings| {
        eprintln!("== settings: {}", if settings.is_empty() { "default".to_owned() } else { settings.join(" ") });
        slt(settings, &[]) && ok
    })
}
