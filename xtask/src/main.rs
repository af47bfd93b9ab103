//! Chores of the project: `cargo xtask tidy | docs | matrix | slt`.

mod layers;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let ok = match args.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root()),
        Some("docs") => docs(),
        Some("slt") => slt(rest),
        Some("matrix") => slt(&["--matrix".to_owned()]),
        _ => {
            eprintln!("usage: cargo xtask tidy | docs | slt [ARGS] | matrix");
            return ExitCode::from(2);
        }
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The folder of the workspace. Cargo says it when it runs this; the one that this was compiled in may be another
/// checkout's, if they share a target folder.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or_default()
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

/// Runs the SQL tests.
fn slt(args: &[String]) -> bool {
    let mut all = vec!["run", "-q", "-p", "firesteel-sql-tests", "--"];
    all.extend(args.iter().map(String::as_str));
    cargo(&all, &[])
}
