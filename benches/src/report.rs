//! What a run saves, and tables of text.

use std::path::Path;

use firesteel::replace::replace_file;
use firesteel::show;
use serde::{Deserialize, Serialize};

use crate::data::Table;
use crate::environment::Environment;
use crate::failure::Failure;

/// A run of the suite.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// `firesteel-bench run`, so that another file is not taken for one.
    pub(crate) kind: String,
    pub(crate) started: String,
    pub(crate) environment: Environment,
    pub(crate) warnings: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) tables: Vec<Table>,
    pub(crate) queries: Vec<QueryResult>,
    pub(crate) summary: Summary,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) data: String,
    pub(crate) scale: Option<f64>,
    pub(crate) threads: usize,
    pub(crate) memory_limit: u64,
    pub(crate) conf: Vec<(String, String)>,
    pub(crate) iterations: u32,
    pub(crate) warmup: u32,
    pub(crate) timeout_s: f64,
    pub(crate) isolate: bool,
    /// Where answers come from; none if they are not verified.
    pub(crate) answers: Option<String>,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// All runs ended, with the right rows where they were verified.
    #[default]
    Ok,
    /// A run gave wrong rows; its times do not count.
    Wrong,
    /// A run failed.
    Error,
    /// A run took too long.
    Timeout,
}

/// One timed run. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Iteration {
    /// From the text to the last row.
    pub(crate) wall_ms: f64,
    /// From the text to the bound plan; a part of `wall_ms`.
    pub(crate) bind_ms: f64,
    /// From the bound plan to the first stages; a part of `wall_ms`.
    pub(crate) planning_ms: f64,
    /// CPU time of all threads.
    pub(crate) cpu_ms: Option<f64>,
}

/// What became of a query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct QueryResult {
    pub(crate) name: String,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<String>,
    /// Whether its rows were compared with the answer.
    pub(crate) verified: bool,
    pub(crate) rows: u64,
    pub(crate) warmup_ms: Vec<f64>,
    pub(crate) iterations: Vec<Iteration>,
    pub(crate) median_ms: Option<f64>,
    pub(crate) median_planning_ms: Option<f64>,
    pub(crate) median_cpu_ms: Option<f64>,
    /// Most memory resident while it ran, with what the process held before.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Most memory that the engine accounted for.
    pub(crate) peak_memory_bytes: u64,
    pub(crate) stages: usize,
    pub(crate) tasks: u32,
    pub(crate) shuffle_bytes: u64,
    /// Decisions of the planner while it ran.
    pub(crate) decisions: Vec<Decision>,
}

/// Figures over all queries that are right.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) ok: usize,
    pub(crate) queries: usize,
    /// Sum of the medians.
    pub(crate) total_ms: f64,
    /// Geometric mean of the medians.
    pub(crate) geomean_ms: Option<f64>,
    pub(crate) peak_rss_bytes: Option<u64>,
}

/// A decision of the planner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// Version of the plan that it led to.
    pub(crate) version: u32,
    pub(crate) rule: String,
    pub(crate) subject: String,
    pub(crate) because: String,
    /// What changed: `join_strategy`, `build_side` and so on.
    pub(crate) effect: String,
    pub(crate) evidence: Vec<Evidence>,
}

/// A size that a decision rests on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) of: String,
    pub(crate) estimated_rows: Option<f64>,
    pub(crate) estimated_bytes: Option<f64>,
    pub(crate) rows: Option<f64>,
    pub(crate) bytes: Option<f64>,
    /// Whether `rows` were counted.
    pub(crate) exact: bool,
}

impl Decision {
    pub(crate) fn of(note: &firesteel::Note) -> Self {
        let evidence = note.evidence.iter().map(|evidence| Evidence {
            of: evidence.of.clone(),
            estimated_rows: evidence.estimated.map(|size| size.rows),
            estimated_bytes: evidence.estimated.map(|size| size.bytes),
            rows: evidence.actual.map(|size| size.rows),
            bytes: evidence.actual.map(|size| size.bytes),
            exact: evidence.actual.is_some_and(|size| size.exact),
        });
        Self {
            version: note.version,
            rule: note.rule.to_owned(),
            subject: note.subject.clone(),
            because: note.because.clone(),
            effect: note.effect.name().to_owned(),
            evidence: evidence.collect(),
        }
    }
}

impl QueryResult {
    /// Computes the medians from the iterations.
    pub(crate) fn summarise(&mut self) {
        let of = |f: fn(&Iteration) -> Option<f64>| median(self.iterations.iter().filter_map(f).collect());
        let medians = (of(|i| Some(i.wall_ms)), of(|i| Some(i.planning_ms)), of(|i| i.cpu_ms));
        (self.median_ms, self.median_planning_ms, self.median_cpu_ms) = medians;
    }

    /// The median, if the query is right.
    pub(crate) fn time(&self) -> Option<f64> {
        self.median_ms.filter(|_| self.status == Status::Ok)
    }

    /// Shortest and longest of the timed runs.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let times = self.iterations.iter().map(|i| i.wall_ms);
        Some((times.clone().min_by(f64::total_cmp)?, times.max_by(f64::total_cmp)?))
    }
}

impl RunResult {
    /// Computes the figures over all queries.
    pub(crate) fn summarise(&mut self) {
        let times: Vec<f64> = self.queries.iter().filter_map(QueryResult::time).collect();
        self.summary = Summary {
            ok: self.queries.iter().filter(|q| q.status == Status::Ok).count(),
            queries: self.queries.len(),
            total_ms: total(&times),
            geomean_ms: geomean(&times).map(rounded),
            peak_rss_bytes: self.queries.iter().filter_map(|q| q.peak_rss_bytes).max(),
        };
    }

    /// The table at the end.
    pub(crate) fn table(&self) -> String {
        let mut table = TextTable::new(&[
            "query",
            "median ms",
            "min",
            "max",
            "planning",
            "cpu ms",
            "peak RSS",
            "stages",
            "tasks",
            "shuffle",
            "decisions",
            "rows",
            "answer",
        ]);
        for query in &self.queries {
            let (min, max) = query.range().unzip();
            let counts = [query.stages as u64, u64::from(query.tasks)].map(|n| n.to_string());
            let [stages, tasks] = counts;
            let answer = match (query.status, query.verified) {
                (Status::Ok, true) => "ok",
                (Status::Ok, false) => "not verified",
                (Status::Wrong, _) => "WRONG",
                (Status::Error, _) => "ERROR",
                (Status::Timeout, _) => "TIMEOUT",
            };
            let shown = |ms: Option<f64>| if query.time().is_some() { show_ms(ms) } else { "-".to_owned() };
            table.row(vec![
                query.name.clone(),
                shown(query.median_ms),
                shown(min),
                shown(max),
                shown(query.median_planning_ms),
                shown(query.median_cpu_ms),
                query.peak_rss_bytes.map_or_else(|| "-".to_owned(), show::bytes),
                stages,
                tasks,
                show::bytes(query.shuffle_bytes),
                query.decisions.len().to_string(),
                query.rows.to_string(),
                answer.to_owned(),
            ]);
        }
        let Summary { ok, queries, total_ms, geomean_ms, peak_rss_bytes } = &self.summary;
        format!(
            "{}{ok} of {queries} queries {}, total {} ms, geometric mean {} ms, peak RSS {}\n",
            table.render(),
            answered(self.queries.iter().map(|query| (query.status, query.verified))),
            show_ms(Some(*total_ms)),
            show_ms(*geomean_ms),
            peak_rss_bytes.map_or_else(|| "-".to_owned(), show::bytes),
        )
    }
}

/// What may be said of the queries that ended well, by the status of each and whether its rows were verified.
fn answered(mut queries: impl Iterator<Item = (Status, bool)>) -> &'static str {
    if queries.any(|query| query == (Status::Ok, false)) { "ended, not all verified" } else { "right" }
}

/// Writes `value` to a file that is whole at any time.
pub(crate) fn save(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::other(error.to_string()))?;
    write_whole(path, &(text + "\n"))
}

/// Writes `text` to a file that is whole at any time.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    replace_file(path, text.as_bytes())
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))
}

/// A table of text: the first column to the left, the others to the right.
pub(crate) struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&s| s.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match at {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
            if number == 0 {
                text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)));
                text.push('\n');
            }
        }
        text
    }
}

/// The middle value; the mean of the two in the middle of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    Some(if values.len() % 2 == 1 { *upper } else { rounded((values[middle - 1] + upper) / 2.0) })
}

/// The sum; that of nothing is 0 (and not -0, as `sum` has it).
pub(crate) fn total(values: &[f64]) -> f64 {
    rounded(values.iter().fold(0.0, |sum, value| sum + value))
}

/// The geometric mean of positive values.
pub(crate) fn geomean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|v| v.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

/// To the microsecond, for milliseconds.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(crate) fn show_ms(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2}"),
        Some(ms) if ms < 1000.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verified_queries_are_right() {
        assert_eq!(answered([(Status::Ok, true), (Status::Timeout, false)].into_iter()), "right");
        assert_eq!(answered([(Status::Ok, true), (Status::Ok, false)].into_iter()), "ended, not all verified");
    }

    #[test]
    fn figures() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
        assert!((geomean(&[1.0, 4.0]).unwrap() - 2.0).abs() < 1e-12);
    }
}
