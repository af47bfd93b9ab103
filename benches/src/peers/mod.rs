//! `peers`: the same queries on the same files in several engines, in turns.
//!
//! Each engine, ours too, is a process that is spoken to over pipes. For each query every engine runs once, then
//! every engine runs again, and so on, each round beginning with another engine: what disturbs the machine for a
//! while disturbs all. Rows are verified in the first run of every engine.

mod html;
mod process;
mod protocol;
mod serve;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

pub(crate) use serve::serve;

use firesteel::show;

use crate::args::PeersArgs;
use crate::data::{self, Table};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::report::{Status, TextTable, geomean, median, rounded, save, show_ms, total, write_whole};
use crate::run::{Answers, session_settings};
use crate::suite::{self, Query};
use process::{NoReply, OURS, PEERS, Process};
use protocol::{Open, Reply, Request, TablePath};

/// The result of all engines.
#[derive(Debug, Serialize)]
pub(crate) struct PeersResult {
    kind: &'static str,
    started: String,
    environment: Environment,
    warnings: Vec<String>,
    data: String,
    scale: Option<f64>,
    threads: usize,
    /// Bytes; none is the default of each engine.
    memory: Option<u64>,
    iterations: u32,
    warmup: u32,
    isolate: bool,
    answers: Option<String>,
    tables: Vec<Table>,
    engines: Vec<EngineInfo>,
    queries: Vec<QueryTimes>,
    summary: Vec<EngineSummary>,
}

#[derive(Clone, Debug, Serialize)]
struct EngineInfo {
    name: String,
    version: String,
    /// Time to open the tables.
    open_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
struct QueryTimes {
    name: &'static str,
    /// In the order of the engines.
    engines: Vec<Cell>,
}

/// A query in an engine.
#[derive(Clone, Debug, Default, Serialize)]
struct Cell {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    verified: bool,
    rows: u64,
    ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    median_ms: Option<f64>,
    median_cpu_ms: Option<f64>,
    peak_rss_bytes: Option<u64>,
}

/// An engine over the queries that all engines have right.
#[derive(Clone, Debug, Serialize)]
struct EngineSummary {
    name: String,
    /// Queries that it has right, of all.
    ok: usize,
    total_ms: f64,
    geomean_ms: Option<f64>,
    /// Geometric mean of the ratios of its medians to ours: above 1, ours is faster.
    ratio_to_first: Option<f64>,
    peak_rss_bytes: Option<u64>,
}

impl Cell {
    /// The median, if it is right.
    fn time(&self) -> Option<f64> {
        self.median_ms.filter(|_| self.status == Status::Ok)
    }

    fn fail(&mut self, status: Status, error: String) {
        self.status = status;
        self.error = Some(error);
    }

    fn shown(&self) -> String {
        match self.status {
            Status::Ok => show_ms(self.median_ms),
            status => format!("{status:?}").to_uppercase(),
        }
    }
}

/// Runs all. Whether all engines were right everywhere.
pub(crate) fn peers(args: &PeersArgs) -> Result<bool, Failure> {
    let measure = &args.measure;
    if let Some(unknown) = args.engines.iter().find(|e| *e != OURS && PEERS.iter().all(|(name, _)| name != e)) {
        let known: Vec<&str> = std::iter::once(OURS).chain(PEERS.iter().map(|(name, _)| *name)).collect();
        return Err(Failure::usage(format!("no such engine: {unknown} ({})", known.join(", "))));
    }
    let queries = suite::select(&measure.queries)?;
    let tables = data::tables(&measure.data)?;
    let answers = Answers::choose(measure, &tables)?;
    let mut fleet = Fleet::new(args, &tables)?;
    let environment = Environment::now();
    let mut warnings = environment.warnings();
    warnings.extend(answers.warning.clone());
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    fleet.start_all()?;
    let mut result = PeersResult {
        kind: "firesteel-bench peers",
        started: environment::timestamp(),
        environment,
        warnings,
        data: measure.data.display().to_string(),
        scale: data::scale(&tables),
        threads: fleet.threads,
        memory: fleet.memory,
        iterations: measure.iterations,
        warmup: measure.warmup,
        isolate: measure.isolate,
        answers: answers.origin.clone(),
        tables,
        engines: fleet.infos(),
        queries: Vec::new(),
        summary: Vec::new(),
    };
    for query in queries {
        if measure.isolate {
            fleet.stop_all();
        }
        fleet.start_all()?;
        let times = fleet.rounds(query, &answers)?;
        let shown: Vec<String> =
            result.engines.iter().zip(&times.engines).map(|(e, c)| format!("{} {}", e.name, c.shown())).collect();
        eprintln!("{:<4} {}", query.name, shown.join("  "));
        for (engine, cell) in result.engines.iter().zip(&times.engines) {
            cell.error.iter().for_each(|error| eprintln!("     {}: {error}", engine.name));
        }
        result.queries.push(times);
        result.summarise();
        save(&args.json, &result)?;
    }
    write_whole(&args.html, &html::page(&result))?;
    write!(std::io::stdout().lock(), "{}", result.table())?;
    eprintln!("saved as {} and {}", args.json.display(), args.html.display());
    Ok(result.queries.iter().all(|q| q.engines.iter().all(|cell| cell.status == Status::Ok)))
}

/// The processes of all engines.
struct Fleet<'a> {
    args: &'a PeersArgs,
    threads: usize,
    memory: Option<u64>,
    opens: Vec<Open>,
    processes: Vec<Option<Process>>,
    infos: BTreeMap<String, EngineInfo>,
}

impl<'a> Fleet<'a> {
    fn new(args: &'a PeersArgs, tables: &[Table]) -> Result<Self, Failure> {
        // The limit is read as the engine reads it, so that all get the same bytes.
        let mut config = firesteel::Config::default();
        for (key, value) in session_settings(&args.measure) {
            config.set(&key, &value).map_err(|error| Failure::usage(error.to_string()))?;
        }
        let memory = args.measure.memory.is_some().then_some(config.memory_limit);
        let paths: Vec<TablePath> =
            tables.iter().map(|t| TablePath { name: t.name.clone(), path: t.path.clone() }).collect();
        let open = |engine: &String| Open {
            engine: engine.clone(),
            threads: config.threads,
            memory,
            tables: paths.clone(),
            conf: args.measure.conf.clone(),
        };
        let opens: Vec<Open> = args.engines.iter().map(open).collect();
        let processes = opens.iter().map(|_| None).collect();
        Ok(Self { args, threads: config.threads, memory, opens, processes, infos: BTreeMap::new() })
    }

    /// Starts the engines that do not run.
    fn start_all(&mut self) -> Result<(), Failure> {
        for (open, slot) in self.opens.iter().zip(&mut self.processes) {
            if slot.is_none() {
                let process = Process::start(open, &self.args.python)?;
                let (name, version) = (open.engine.clone(), process.version.clone());
                let info = EngineInfo { name: name.clone(), version, open_ms: rounded(process.open_ms) };
                self.infos.entry(name).or_insert(info);
                *slot = Some(process);
            }
        }
        Ok(())
    }

    fn stop_all(&mut self) {
        self.processes.iter_mut().for_each(|process| *process = None);
    }

    fn infos(&self) -> Vec<EngineInfo> {
        self.opens.iter().filter_map(|open| self.infos.get(&open.engine).cloned()).collect()
    }

    /// Runs a query in all engines, in turns.
    fn rounds(&mut self, query: &Query, answers: &Answers<'_>) -> Result<QueryTimes, Failure> {
        let measure = &self.args.measure;
        let answer = answers.of(query)?;
        let mut cells: Vec<Cell> = self.opens.iter().map(|_| Cell::default()).collect();
        let limit = Duration::from_secs_f64(measure.timeout);
        for round in 0..measure.warmup + measure.iterations {
            for turn in 0..cells.len() {
                let at = (turn + round as usize) % cells.len();
                let Some(process) = self.processes[at].as_mut().filter(|_| cells[at].status == Status::Ok) else {
                    continue;
                };
                let request = Request { sql: query.sql.to_owned(), cells: round == 0 && answer.is_some() };
                match process.run(&request, limit) {
                    Ok(reply) => {
                        let cell = &mut cells[at];
                        record(cell, &reply, round >= measure.warmup);
                        if let Some((answer, rows)) = answer.as_ref().zip(reply.cells) {
                            cell.verified = true;
                            if let Err(error) = answer.check(query.sql, &rows) {
                                cell.fail(Status::Wrong, error);
                            }
                        }
                    }
                    Err(NoReply { status, error, ended }) => {
                        cells[at].fail(status, error);
                        if ended {
                            self.processes[at] = None;
                        }
                    }
                }
            }
        }
        for cell in &mut cells {
            cell.median_ms = median(cell.ms.clone());
            cell.median_cpu_ms = median(cell.cpu_ms.clone());
        }
        Ok(QueryTimes { name: query.name, engines: cells })
    }
}

fn record(cell: &mut Cell, reply: &Reply, timed: bool) {
    if timed {
        cell.ms.push(rounded(reply.ms));
        cell.cpu_ms.extend(reply.cpu_ms.map(rounded));
    }
    cell.rows = reply.rows;
    cell.peak_rss_bytes = cell.peak_rss_bytes.max(reply.rss);
}

impl PeersResult {
    /// Computes the figures of each engine, over the queries that all have right.
    fn summarise(&mut self) {
        let common: Vec<&QueryTimes> =
            self.queries.iter().filter(|q| q.engines.iter().all(|cell| cell.time().is_some())).collect();
        let of = |at: usize| -> Vec<f64> { common.iter().filter_map(|q| q.engines[at].time()).collect() };
        let first = of(0);
        let summary = |(at, engine): (usize, &EngineInfo)| {
            let times = of(at);
            let ratios: Vec<f64> = times.iter().zip(&first).map(|(time, first)| time / first).collect();
            let cells = || self.queries.iter().map(|q| &q.engines[at]);
            EngineSummary {
                name: engine.name.clone(),
                ok: cells().filter(|cell| cell.status == Status::Ok).count(),
                total_ms: total(&times),
                geomean_ms: geomean(&times).map(rounded),
                ratio_to_first: geomean(&ratios).map(rounded),
                peak_rss_bytes: cells().filter_map(|cell| cell.peak_rss_bytes).max(),
            }
        };
        self.summary = self.engines.iter().enumerate().map(summary).collect();
    }

    /// Queries that some engine has not right: they are left out of the sums.
    fn left_out(&self) -> Vec<&'static str> {
        let bad = |q: &&QueryTimes| q.engines.iter().any(|cell| cell.time().is_none());
        self.queries.iter().filter(bad).map(|q| q.name).collect()
    }

    fn table(&self) -> String {
        let mut header = vec!["query".to_owned()];
        for (at, engine) in self.engines.iter().enumerate() {
            header.push(format!("{} ms", engine.name));
            if at > 0 {
                header.push("ratio".to_owned());
            }
        }
        header.extend(self.engines.iter().map(|engine| format!("{} RSS", engine.name)));
        let mut table = TextTable::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), show::bytes);
        for query in &self.queries {
            let mut row = vec![query.name.to_owned()];
            for (at, cell) in query.engines.iter().enumerate() {
                row.push(cell.shown());
                if at > 0 {
                    row.push(show_ratio(cell.time().zip(query.engines[0].time()).map(|(a, b)| a / b)));
                }
            }
            row.extend(query.engines.iter().map(|cell| size(cell.peak_rss_bytes)));
            table.row(row);
        }
        let first = self.summary.first();
        let mut sums = |title: &str, figure: fn(&EngineSummary) -> Option<f64>| {
            let mut row = vec![title.to_owned()];
            for (at, engine) in self.summary.iter().enumerate() {
                row.push(show_ms(figure(engine)));
                if at > 0 {
                    row.push(show_ratio(figure(engine).zip(first.and_then(figure)).map(|(a, b)| a / b)));
                }
            }
            if title == "total" {
                row.extend(self.summary.iter().map(|engine| size(engine.peak_rss_bytes)));
            }
            table.row(row);
        };
        sums("total", |s| Some(s.total_ms));
        sums("geomean", |s| s.geomean_ms);
        let mut text = table.render();
        let engines: Vec<String> = self.engines.iter().map(|e| format!("{} {}", e.name, e.version)).collect();
        text.push_str(&format!(
            "medians of {} runs in turns, {} threads; {}; a ratio above 1: {} is faster\n",
            self.iterations,
            self.threads,
            engines.join(", "),
            self.engines.first().map_or("the first", |e| e.name.as_str())
        ));
        if !self.left_out().is_empty() {
            text.push_str(&format!("not right in all engines, left out of the sums: {}\n", self.left_out().join(" ")));
        }
        text
    }
}

fn show_ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}
