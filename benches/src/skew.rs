//! `skew`: what skew costs. Each query runs on skewed data and on its uniform twin (see [`crate::skewed`]), in turns, by
//! default and with all exchanges partitioned, with several numbers of workers.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::args::SkewArgs;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::report::{TextTable, save, show_ms};
use crate::suite::{Text, choose, texts};
use crate::turns::{Measured, Runner, in_turns, ratio, sorted_rows};
use crate::verify::Rows;
use crate::{data, skewed};

/// A query on skewed data may take so many times as long as on uniform data.
const BOUND: f64 = 1.3;

static QUERIES: &[Text] = texts! { "skew":
    "join_agg" "join_zipf" "join_project" "two_joins" "group_by" "group_zipf" "collect_group" "count_distinct"
    "window_rank" "window_total" "sort_rows" "left_outer" "right_outer" "full_outer" "semi_join" "anti_join"
    "existence_join" "null_outer" "null_full" "null_group" "two_sided" "two_sided_full" "block_join" "block_group"
};

/// Settings that every query is measured with.
static MODES: &[(&str, &[(&str, &str)])] = &[
    ("default", &[]),
    ("partitioned", &[("firesteel.exchange.mode", "partitioned"), ("spark.sql.autoBroadcastJoinThreshold", "-1")]),
];

#[derive(Debug, Serialize)]
struct Outcome {
    query: &'static str,
    mode: &'static str,
    threads: usize,
    /// Skewed by uniform.
    ratio: Option<f64>,
    uniform: Measured,
    skewed: Measured,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    kind: &'static str,
    data: String,
    conf: &'a [(String, String)],
    environment: Environment,
    bound: f64,
    outcomes: Vec<Outcome>,
}

/// Runs the suite. Whether all rows were right.
pub(crate) fn run(args: &SkewArgs) -> Result<bool, Failure> {
    let queries = choose(QUERIES, &args.queries)?;
    let folders = skewed::folders(&args.data);
    let limit = Duration::from_secs_f64(args.turns.timeout);
    let environment = Environment::now();
    environment.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let mut expected = Expected::open(&folders, args)?;
    let mut report = Report {
        kind: "firesteel-bench skew",
        data: args.data.display().to_string(),
        conf: &args.turns.conf,
        environment,
        bound: BOUND,
        outcomes: Vec::new(),
    };
    for threads in &args.threads {
        for (mode, settings) in
            MODES.iter().filter(|(mode, _)| args.modes.is_empty() || args.modes.iter().any(|m| m == mode))
        {
            let own = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let settings: Vec<_> =
                workers(*threads).into_iter().chain(own).chain(args.turns.conf.iter().cloned()).collect();
            let engines = [open(&folders[0], &settings)?, open(&folders[1], &settings)?];
            for query in &queries {
                let outcome = measure(query, mode, *threads, &engines, &mut expected, args.turns.iterations, limit);
                eprintln!("{threads} workers, {mode}, {}: {}", query.name, outcome.told());
                report.outcomes.push(outcome);
                if let Some(path) = &args.turns.json {
                    save(path, &report)?;
                }
            }
        }
    }
    print(&report)?;
    Ok(report.outcomes.iter().all(|outcome| outcome.error.is_none()))
}

fn workers(threads: usize) -> Vec<(String, String)> {
    vec![("firesteel.threads".to_owned(), threads.to_string())]
}

fn open(folder: &Path, settings: &[(String, String)]) -> Result<Engine, Failure> {
    Engine::open(&data::tables(folder)?, settings)
}

/// The right rows on both data sets, by adaptive execution off.
struct Expected {
    engines: [Engine; 2],
    known: std::collections::BTreeMap<&'static str, [Rows; 2]>,
}

impl Expected {
    fn open(folders: &[std::path::PathBuf; 2], args: &SkewArgs) -> Result<Self, Failure> {
        let off = ("spark.sql.adaptive.enabled".to_owned(), "false".to_owned());
        let settings: Vec<_> = args.turns.conf.iter().cloned().chain([off]).collect();
        let engines = [open(&folders[0], &settings)?, open(&folders[1], &settings)?];
        Ok(Self { engines, known: std::collections::BTreeMap::new() })
    }

    fn rows(&mut self, query: &Text, limit: Duration) -> Result<&[Rows; 2], String> {
        let [uniform, skewed] = &self.engines;
        if !self.known.contains_key(query.name) {
            let of = |engine| {
                sorted_rows(engine, query.sql, limit).map_err(|error| format!("adaptive execution off: {error}"))
            };
            self.known.insert(query.name, [of(uniform)?, of(skewed)?]);
        }
        self.known.get(query.name).ok_or_else(|| "its rows are not known".to_owned())
    }
}

fn measure(
    query: &Text,
    mode: &'static str,
    threads: usize,
    engines: &[Engine; 2],
    expected: &mut Expected,
    iterations: u32,
    limit: Duration,
) -> Outcome {
    let mut outcome = Outcome {
        query: query.name,
        mode,
        threads,
        ratio: None,
        uniform: Measured::default(),
        skewed: Measured::default(),
        error: None,
    };
    let measured = expected.rows(query, limit).and_then(|[uniform, skewed]| {
        let runners = [
            Runner { name: "uniform", engine: &engines[0], rows: uniform },
            Runner { name: "skewed", engine: &engines[1], rows: skewed },
        ];
        in_turns(&runners, query.sql, iterations, limit)
    });
    match measured {
        Ok(mut measured) => {
            outcome.skewed = measured.pop().unwrap_or_default();
            outcome.uniform = measured.pop().unwrap_or_default();
            outcome.ratio = Some(ratio(outcome.skewed.median_ms, outcome.uniform.median_ms));
        }
        Err(error) => outcome.error = Some(error),
    }
    outcome
}

impl Outcome {
    fn told(&self) -> String {
        match (&self.error, self.ratio) {
            (Some(error), _) => error.clone(),
            (None, ratio) => format!("{:.2}", ratio.unwrap_or_default()),
        }
    }

    fn mark(&self) -> &'static str {
        match (&self.error, self.ratio) {
            (Some(_), _) => "FAILED",
            (None, Some(ratio)) if ratio > BOUND => "<-- slow",
            _ => "",
        }
    }
}

fn print(report: &Report<'_>) -> Result<(), Failure> {
    let mut table = TextTable::new(&["query", "workers", "exchanges", "uniform ms", "skewed ms", "ratio", ""]);
    for outcome in &report.outcomes {
        table.row(vec![
            outcome.query.to_owned(),
            outcome.threads.to_string(),
            outcome.mode.to_owned(),
            show_ms(Some(outcome.uniform.median_ms)),
            show_ms(Some(outcome.skewed.median_ms)),
            outcome.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            outcome.mark().to_owned(),
        ]);
    }
    let mut out = std::io::stdout().lock();
    let worst = report
        .outcomes
        .iter()
        .filter(|o| o.ratio.is_some())
        .max_by(|a, b| a.ratio.unwrap_or(0.0).total_cmp(&b.ratio.unwrap_or(0.0)));
    let slow = report.outcomes.iter().filter(|o| o.ratio.is_some_and(|ratio| ratio > BOUND)).count();
    use std::io::Write;
    write!(out, "{}", table.render())?;
    if let Some(worst) = worst {
        writeln!(
            out,
            "worst {:.2} ({}, {} workers, {}); {slow} of {} over {BOUND}",
            worst.ratio.unwrap_or_default(),
            worst.query,
            worst.threads,
            worst.mode,
            report.outcomes.len()
        )?;
    }
    Ok(())
}
