//! Runs the SQL tests: `cargo xtask slt [FILE[:LINE]]… [--conf KEY=VALUE]… [--complete] [--matrix] [--random N]`.
//!
//! Cases are `cases/**/*.slt`, plans are `plans/**/*.slt` (run under default settings only), and the TPC-H queries
//! over the sample data against the rows that Spark returned. One session per file.

mod random;
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
    /// Runs under all settings of the matrix, one after the other.
    #[arg(long)]
    matrix: bool,
    /// Runs under the default and the serialised settings and two others of the matrix, chosen by a seed.
    #[arg(long, value_name = "SEED", conflicts_with = "matrix")]
    sample: Option<usize>,
    /// Runs so many random queries under several settings instead: the rows must be the same.
    #[arg(long, value_name = "N", conflicts_with_all = ["matrix", "sample", "paths"])]
    random: Option<u64>,
    /// The seed of the first random query.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "random")]
    seed: u64,
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
    if let Some(count) = args.random {
        return match random::run(count, args.seed) {
            Ok(0) => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{}", error.render());
                ExitCode::FAILURE
            }
        };
    }
    let sets = match (args.matrix, args.sample) {
        (true, _) => matrix(),
        (false, Some(seed)) => sampled(seed),
        (false, None) => vec![Settings::new()],
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(unknown) = args.paths.iter().find(|path| *path != "tpch" && chosen(root, &[(*path).clone()]).is_empty())
    {
        eprintln!("there are no tests at `{unknown}`");
        return ExitCode::from(2);
    }
    let mut failures = 0;
    for set in sets {
        let settings: Settings = settings.iter().cloned().chain(set).collect();
        failures += run_all(&args, &settings);
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Settings of a session.
type Settings = Vec<(String, String)>;

/// Settings that the whole suite is run under, and then each rule switched off by itself.
const MATRIX: &[&[(&str, &str)]] = &[
    &[],
    &[("firesteel.exchange.mode", "serialized"), ("spark.sql.shuffle.partitions", "7")],
    &[("firesteel.threads", "1")],
    &[("firesteel.threads", "8")],
    &[("firesteel.batch.rows", "3")],
    &[("spark.sql.adaptive.enabled", "false")],
    &[("firesteel.adaptive.force", "true"), ("firesteel.exchange.mode", "partitioned")],
    &[("spark.sql.adaptive.enabled", "false"), ("firesteel.exchange.mode", "serialized"), ("firesteel.threads", "8")],
    &[("firesteel.exchange.mode", "partitioned"), ("firesteel.batch.rows", "3"), ("firesteel.threads", "1")],
    &[("firesteel.adaptive.adversarial", "1")],
    &[
        ("firesteel.adaptive.adversarial", "2"),
        ("firesteel.exchange.mode", "partitioned"),
        ("firesteel.batch.rows", "3"),
    ],
    &[("spark.sql.autoBroadcastJoinThreshold", "-1")],
    &[("spark.sql.autoBroadcastJoinThreshold", "-1"), ("firesteel.adaptive.force", "true"), ("firesteel.threads", "8")],
];

/// All settings of the matrix.
fn matrix() -> Vec<Settings> {
    let owned = |set: &&[(&str, &str)]| set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let without = |key: &'static str| move |rule: &str| vec![(key.to_owned(), rule.to_owned())];
    let (rules, adaptive) = firesteel::rule_names();
    let rules = rules.into_iter().map(without("spark.sql.optimizer.excludedRules"));
    let forced = |mut set: Settings| {
        set.push(("firesteel.adaptive.force".to_owned(), "true".to_owned()));
        set
    };
    let adaptive = adaptive.into_iter().map(without("spark.sql.adaptive.optimizer.excludedRules")).map(forced);
    MATRIX.iter().map(owned).chain(rules).chain(adaptive).collect()
}

/// The default and the serialised settings, and two others that the seed chooses.
fn sampled(seed: usize) -> Vec<Settings> {
    let all = matrix();
    let others = all.len() - 2;
    let (first, step) = (seed % others, 1 + seed / others % (others - 1));
    [0, 1, 2 + first, 2 + (first + step) % others].iter().filter_map(|i| all.get(*i).cloned()).collect()
}

/// `FROM a, b WHERE …` without filter pushdown makes all pairs of rows: of the tables that these and the TPC-H queries
/// join, too many.
const PAIRS: &str = "subquery/own_rows.slt";

/// Runs what was chosen under some settings; the number of failures.
fn run_all(args: &Args, settings: &[(String, String)]) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut failures, mut passed) = (0, 0);
    let mut count = |outcome: run::Outcome| {
        passed += outcome.passed;
        failures += outcome.failures.len();
        outcome.failures.iter().for_each(|failure| eprintln!("{failure}\n"));
    };
    let pairs = settings.iter().any(|(_, value)| value == "PushDownPredicates");
    for (file, line) in chosen(root, &args.paths).into_iter().filter(|(file, _)| !(pairs && file.ends_with(PAIRS))) {
        count(run::run_file(root, &file, line, settings, args.complete));
    }
    if !pairs && args.paths.is_empty() || args.paths.iter().any(|p| p == "tpch") {
        count(tpch::run(root, settings));
    }
    let shown: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    eprintln!("settings: {}", if shown.is_empty() { "default".to_owned() } else { shown.join(" ") });
    eprintln!("{passed} passed, {failures} failed");
    failures
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
