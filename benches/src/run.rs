//! `run`: each query some times, its rows verified, the result saved after every query.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::args::{MeasureArgs, RunArgs};
use crate::data::{self, Table};
use crate::engine::{Engine, Execution, row_count, rows_of};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::report::{QueryResult, RunResult, Settings, Status, Summary, save};
use crate::suite::{self, Query, SCALES};
use crate::verify::Answer;

/// Marks the file of a run.
pub(crate) const KIND: &str = "firesteel-bench run";

/// Runs the suite. Whether all queries were right.
pub(crate) fn run(args: &RunArgs) -> Result<bool, Failure> {
    let measure = &args.measure;
    let queries = suite::select(&measure.queries)?;
    let tables = data::tables(&measure.data)?;
    let answers = Answers::choose(measure, &tables)?;
    let engine = Engine::open(&tables, &session_settings(measure))?;
    let environment = Environment::now();
    let mut warnings = environment.warnings();
    warnings.extend(answers.warning.clone());
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let config = engine.session().config();
    let settings = Settings {
        data: measure.data.display().to_string(),
        scale: data::scale(&tables),
        threads: config.threads,
        memory_limit: config.memory_limit,
        conf: measure.conf.clone(),
        iterations: measure.iterations,
        warmup: measure.warmup,
        timeout_s: measure.timeout,
        isolate: measure.isolate,
        answers: answers.origin.clone(),
    };
    let mut result = RunResult {
        kind: KIND.to_owned(),
        started: environment::timestamp(),
        environment,
        warnings,
        settings,
        tables,
        queries: Vec::new(),
        summary: Summary::default(),
    };
    // In processes of their own, this one only waits.
    let engine = (!measure.isolate).then_some(engine);
    for query in queries {
        eprint!("{:<4}", query.name);
        let measured = match &engine {
            Some(engine) => measured(engine, query, measure, &answers),
            None => isolated(query, args),
        };
        describe(&measured);
        result.queries.push(measured);
        result.summarise();
        if args.json != "-" {
            save(Path::new(&args.json), &result)?;
        }
    }
    finish(args, &result)?;
    Ok(result.summary.ok == result.summary.queries)
}

fn finish(args: &RunArgs, result: &RunResult) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if args.json == "-" {
        eprint!("{}", result.table());
        serde_json::to_writer(&mut out, result)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", result.table())?;
        eprintln!("saved as {}", args.json);
    }
    Ok(())
}

fn describe(query: &QueryResult) {
    match (&query.error, query.median_ms) {
        (Some(error), _) => eprintln!(" {:?}: {error}", query.status),
        (None, median) => eprintln!(" {:.1} ms, {} rows", median.unwrap_or_default(), query.rows),
    }
}

/// Settings of the session that the command line asks for.
pub(crate) fn session_settings(measure: &MeasureArgs) -> Vec<(String, String)> {
    let own = [
        ("firesteel.threads", measure.threads.map(|n| n.to_string())),
        ("firesteel.memory.limit", measure.memory.clone()),
    ];
    let own = own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    own.chain(measure.conf.iter().cloned()).collect()
}

/// Where the right rows come from.
pub(crate) struct Answers<'a> {
    folder: Option<&'a Path>,
    scale: Option<f64>,
    /// In words; none if nothing is verified.
    pub(crate) origin: Option<String>,
    pub(crate) warning: Option<String>,
}

impl<'a> Answers<'a> {
    pub(crate) fn choose(measure: &'a MeasureArgs, tables: &[Table]) -> Result<Self, Failure> {
        let none = Self { folder: None, scale: None, origin: None, warning: None };
        if measure.no_verify {
            return Ok(none);
        }
        if let Some(folder) = &measure.answers {
            if !folder.is_dir() {
                return Err(Failure::usage(format!("the folder of answers {} does not exist", folder.display())));
            }
            let origin = Some(folder.display().to_string());
            return Ok(Self { folder: Some(folder), origin, ..none });
        }
        let scale = data::scale(tables).filter(|scale| SCALES.iter().any(|s| (s - scale).abs() < 1e-9));
        Ok(match scale {
            Some(scale) => Self { scale: Some(scale), origin: Some(format!("built in, scale {scale}")), ..none },
            None => Self {
                warning: Some("the answers at this scale are not known: rows are not verified".to_owned()),
                ..none
            },
        })
    }

    /// The rows of a query, if they are known.
    pub(crate) fn of(&self, query: &Query) -> Result<Option<Answer>, Failure> {
        let Some(folder) = self.folder else {
            return Ok(self.scale.and_then(|scale| query.answer(scale)).map(Answer::parse));
        };
        let path = folder.join(format!("{}.csv", query.name));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Answer::parse(&text))),
            Err(error) => Err(Failure::other(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// Measures a query in this process.
fn measured(engine: &Engine, query: &Query, measure: &MeasureArgs, answers: &Answers<'_>) -> QueryResult {
    let mut result = QueryResult { name: query.name.to_owned(), ..QueryResult::default() };
    let answer = match answers.of(query) {
        Ok(answer) => answer,
        Err(failure) => return failed(result, Status::Error, failure.to_string()),
    };
    let limit = Duration::from_secs_f64(measure.timeout);
    environment::reset_peak_memory();
    for run in 0..measure.warmup + measure.iterations {
        let execution = match engine.run(query.sql, limit) {
            Ok(execution) => execution,
            Err(unfinished) => return failed(result, unfinished.status, unfinished.error),
        };
        let peak = environment::peak_memory();
        if let Some(answer) = &answer {
            result.verified = true;
            let checked = rows_of(&execution.batches).map_err(|error| error.to_string());
            if let Err(error) = checked.and_then(|rows| answer.check(query.sql, &rows)) {
                return failed(result, Status::Wrong, error);
            }
        }
        record(&mut result, execution, run >= measure.warmup);
        result.peak_rss_bytes = peak;
    }
    result.summarise();
    result
}

fn record(result: &mut QueryResult, execution: Execution, timed: bool) {
    if timed {
        result.iterations.push(execution.times);
    } else {
        result.warmup_ms.push(execution.times.wall_ms);
    }
    result.rows = row_count(&execution.batches);
    let counters = execution.counters;
    result.peak_memory_bytes = result.peak_memory_bytes.max(counters.peak_memory);
    result.stages = counters.stages;
    result.tasks = counters.tasks;
    result.shuffle_bytes = counters.shuffle_bytes;
    result.decisions = counters.decisions;
}

fn failed(mut result: QueryResult, status: Status, error: String) -> QueryResult {
    result.status = status;
    result.error = Some(error);
    result.peak_rss_bytes = environment::peak_memory();
    result.summarise();
    result
}

/// Measures a query in a process of its own.
fn isolated(query: &Query, args: &RunArgs) -> QueryResult {
    let lost = |error: String| {
        let result = QueryResult { name: query.name.to_owned(), ..QueryResult::default() };
        failed(result, Status::Error, error)
    };
    let output = match child(query, &args.measure).and_then(|mut command| command.output()) {
        Ok(output) => output,
        Err(error) => return lost(format!("cannot start a process: {error}")),
    };
    let parsed = serde_json::from_slice::<RunResult>(&output.stdout).ok().and_then(|mut result| result.queries.pop());
    parsed.unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = errors.lines().rev().take(5).collect();
        lost(format!(
            "its process ended with {}: {}",
            output.status,
            last.into_iter().rev().collect::<Vec<_>>().join(" / ")
        ))
    })
}

fn child(query: &Query, measure: &MeasureArgs) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg("--data").arg(&measure.data).args(["--queries", query.name, "--json", "-"]);
    command.args(["--iterations", &measure.iterations.to_string(), "--warmup", &measure.warmup.to_string()]);
    command.args(["--timeout", &measure.timeout.to_string()]);
    if let Some(threads) = measure.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if let Some(memory) = &measure.memory {
        command.args(["--memory", memory]);
    }
    for (key, value) in &measure.conf {
        command.args(["--conf", &format!("{key}={value}")]);
    }
    if let Some(folder) = &measure.answers {
        command.arg("--answers").arg(folder);
    }
    if measure.no_verify {
        command.arg("--no-verify");
    }
    command.stdin(Stdio::null());
    Ok(command)
}
