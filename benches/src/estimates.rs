//! `estimates`: queries whose sizes no statistics tell, with adaptive execution on and off, in turns.
//!
//! The tables are made by `queries/estimates/setup.sql` where the folder has none yet. With `--suite tpch` the queries
//! of TPC-H are measured instead: there, planning again must at least cost nothing.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::args::{EstimatesArgs, EstimatesSuite};
use crate::data;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::report::{TextTable, geomean, save, show_ms, total};
use crate::suite::{self, Text, choose, texts};
use crate::turns::{Measured, Runner, in_turns, ratio, sorted_rows};

/// A query may be slower by so much with adaptive execution on.
const BOUND: f64 = 0.95;
const SETUP: &str = include_str!("../queries/estimates/setup.sql");

static QUERIES: &[Text] = texts! { "estimates":
    "correlated_predicates" "correlated_join" "like_filters" "opaque_filter" "opaque_over_join" "having_opaque"
    "csv_build" "json_chain" "view_of_aggregate" "rare_users" "chain_of_six" "chain_of_outer_joins" "nothing_left"
    "semi_of_chain" "union_of_views" "exploding_having" "exploding_csv" "exploding_like" "exploding_chain"
    "exploding_correlated" "large_csv_build"
};

/// Tables of the suite that are not Parquet: name, format and options.
static TEXT_TABLES: &[(&str, &str)] =
    &[("users_csv", CSV), ("tags_csv", CSV), ("events_csv", CSV), ("returns_json", "json OPTIONS (path '{path}')")];
const CSV: &str = "csv OPTIONS (header 'true', inferSchema 'true', path '{path}')";

#[derive(Debug, Serialize)]
struct Outcome {
    query: &'static str,
    /// Off by on: above 1 adaptive execution pays.
    ratio: Option<f64>,
    on: Measured,
    off: Measured,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    kind: &'static str,
    suite: &'static str,
    data: String,
    conf: &'a [(String, String)],
    environment: Environment,
    outcomes: Vec<Outcome>,
    /// Of the sums of the medians, off by on.
    total_ratio: Option<f64>,
}

/// Runs the suite. Whether all rows were right.
pub(crate) fn run(args: &EstimatesArgs) -> Result<bool, Failure> {
    let (name, queries) = match args.suite {
        EstimatesSuite::Estimates => ("estimates", choose(QUERIES, &args.queries)?),
        EstimatesSuite::Tpch => ("tpch", suite::select(&args.queries)?.into_iter().map(suite::Query::text).collect()),
    };
    let limit = Duration::from_secs_f64(args.turns.timeout);
    let environment = Environment::now();
    environment.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    if args.suite == EstimatesSuite::Estimates {
        make(&args.data, args.rows)?;
    }
    let (on, off) = (open(args, true)?, open(args, false)?);
    let mut report = Report {
        kind: "firesteel-bench estimates",
        suite: name,
        data: args.data.display().to_string(),
        conf: &args.turns.conf,
        environment,
        outcomes: Vec::new(),
        total_ratio: None,
    };
    for query in queries {
        let outcome = measure(&query, &on, &off, args.turns.iterations, limit);
        eprintln!("{}: {}", query.name, outcome.error.clone().unwrap_or_else(|| shown(outcome.ratio)));
        report.outcomes.push(outcome);
        report.total_ratio = report.total_ratio();
        if let Some(path) = &args.turns.json {
            save(path, &report)?;
        }
    }
    print(&report)?;
    Ok(report.outcomes.iter().all(|outcome| outcome.error.is_none()))
}

/// Makes the tables, unless the folder has them.
fn make(folder: &Path, rows: u64) -> Result<(), Failure> {
    if folder.join("returns_json").is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let folder = std::path::absolute(folder)?;
    let script = SETUP.replace("{data}", &folder.to_string_lossy()).replace("{rows}", &rows.to_string());
    let engine = Engine::open(&[], &[])?;
    script.split(';').filter(|text| !text.trim().is_empty()).try_for_each(|text| engine.execute(text))
}

fn open(args: &EstimatesArgs, adaptive: bool) -> Result<Engine, Failure> {
    let threads = args.threads.map(|n| ("firesteel.threads".to_owned(), n.to_string()));
    let switch = ("spark.sql.adaptive.enabled".to_owned(), adaptive.to_string());
    let settings: Vec<_> = threads.into_iter().chain([switch]).chain(args.turns.conf.iter().cloned()).collect();
    let engine = Engine::open(&data::tables(&args.data)?, &settings)?;
    if args.suite == EstimatesSuite::Estimates {
        for (name, source) in TEXT_TABLES {
            let path = std::path::absolute(args.data.join(name))?;
            let source = source.replace("{path}", &path.to_string_lossy());
            engine.execute(&format!("CREATE TEMP VIEW {name} USING {source}"))?;
        }
    }
    Ok(engine)
}

fn measure(query: &Text, on: &Engine, off: &Engine, iterations: u32, limit: Duration) -> Outcome {
    let measured = sorted_rows(off, query.sql, limit).and_then(|rows| {
        let runners =
            [Runner { name: "on", engine: on, rows: &rows }, Runner { name: "off", engine: off, rows: &rows }];
        in_turns(&runners, query.sql, iterations, limit)
    });
    let mut outcome =
        Outcome { query: query.name, ratio: None, on: Measured::default(), off: Measured::default(), error: None };
    match measured {
        Ok(mut measured) => {
            outcome.off = measured.pop().unwrap_or_default();
            outcome.on = measured.pop().unwrap_or_default();
            outcome.ratio = Some(ratio(outcome.off.median_ms, outcome.on.median_ms));
        }
        Err(error) => outcome.error = Some(error),
    }
    outcome
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

impl Report<'_> {
    fn total_ratio(&self) -> Option<f64> {
        let right = || self.outcomes.iter().filter(|o| o.error.is_none());
        let sum = |of: fn(&Outcome) -> f64| total(&right().map(of).collect::<Vec<_>>());
        (right().count() > 0).then(|| ratio(sum(|o| o.off.median_ms), sum(|o| o.on.median_ms)))
    }
}

fn print(report: &Report<'_>) -> Result<(), Failure> {
    let mut table = TextTable::new(&["query", "on ms", "off ms", "off / on", "decisions", ""]);
    for outcome in &report.outcomes {
        let mark = match (&outcome.error, outcome.ratio) {
            (Some(_), _) => "FAILED",
            (None, Some(ratio)) if ratio < BOUND => "<-- slower with adaptive execution",
            _ => "",
        };
        table.row(vec![
            outcome.query.to_owned(),
            show_ms(Some(outcome.on.median_ms)),
            show_ms(Some(outcome.off.median_ms)),
            shown(outcome.ratio),
            outcome.on.decisions.len().to_string(),
            mark.to_owned(),
        ]);
    }
    let ratios: Vec<f64> = report.outcomes.iter().filter_map(|o| o.ratio).collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}in total {}, geometric mean {}; {} of {} slower by more than 5 %",
        table.render(),
        shown(report.total_ratio),
        shown(geomean(&ratios)),
        ratios.iter().filter(|ratio| **ratio < BOUND).count(),
        report.outcomes.len()
    )?;
    Ok(())
}
