//! The same query in several settings or on several data sets, measured in turns.
//!
//! Turns spread what the machine does besides over all of them, so that their ratio is worth more than their times.
//! Every run's rows are held against the rows that are known to be right.

use std::time::Duration;

use serde::Serialize;

use crate::engine::{Engine, Unfinished, rows_of};
use crate::report::{Decision, median, rounded};
use crate::verify::Rows;

/// Something that takes part.
pub(crate) struct Runner<'a> {
    /// Names it in errors.
    pub(crate) name: &'a str,
    pub(crate) engine: &'a Engine,
    /// The rows that the query must return, sorted.
    pub(crate) rows: &'a Rows,
}

/// What was measured of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// Times of all runs but the first.
    pub(crate) times_ms: Vec<f64>,
    pub(crate) median_ms: f64,
    /// Decisions of the planner in the last run.
    pub(crate) decisions: Vec<Decision>,
}

/// The rows of a query, sorted, so that any order is the same.
pub(crate) fn sorted_rows(engine: &Engine, sql: &str, limit: Duration) -> Result<Rows, String> {
    let execution = engine.run(sql, limit).map_err(|unfinished: Unfinished| unfinished.error)?;
    let mut rows = rows_of(&execution.batches).map_err(|error| error.to_string())?;
    rows.sort_unstable();
    Ok(rows)
}

/// Runs `sql` by each of `runners` in turns: once to warm up, then `iterations` times.
///
/// Errors: a run that failed, took too long or returned other rows, with the name of who ran.
pub(crate) fn in_turns(
    runners: &[Runner<'_>],
    sql: &str,
    iterations: u32,
    limit: Duration,
) -> Result<Vec<Measured>, String> {
    let mut measured = vec![Measured::default(); runners.len()];
    for turn in 0..=iterations {
        for (runner, measured) in runners.iter().zip(&mut measured) {
            let name = runner.name;
            let execution =
                runner.engine.run(sql, limit).map_err(|unfinished| format!("{name}: {}", unfinished.error))?;
            let mut rows = rows_of(&execution.batches).map_err(|error| format!("{name}: {error}"))?;
            rows.sort_unstable();
            if let Some(text) = difference(runner.rows, &rows) {
                return Err(format!("{name}: wrong rows: {text}"));
            }
            if turn > 0 {
                measured.times_ms.push(execution.times.wall_ms);
            }
            measured.decisions = execution.counters.decisions;
        }
    }
    for measured in &mut measured {
        measured.median_ms = median(measured.times_ms.clone()).unwrap_or_default();
    }
    Ok(measured)
}

/// What is different in `actual`; both are sorted.
fn difference(expected: &Rows, actual: &Rows) -> Option<String> {
    if expected.len() != actual.len() {
        return Some(format!("{} instead of {}", actual.len(), expected.len()));
    }
    let (right, wrong) = expected.iter().zip(actual).find(|(a, b)| a != b)?;
    Some(format!("{} instead of {}", wrong.join("|"), right.join("|")))
}

/// How many times `a` is `b`.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    rounded(a / b.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Rows {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn rows_that_differ_are_told() {
        let expected = rows(&[&["1", "a"], &["2", "NULL"]]);
        assert_eq!(difference(&expected, &expected), None);
        assert_eq!(difference(&expected, &rows(&[&["1", "a"]])).unwrap(), "1 instead of 2");
        assert_eq!(difference(&expected, &rows(&[&["1", "a"], &["2", "b"]])).unwrap(), "2|b instead of 2|NULL");
    }

    #[test]
    fn turns_are_verified() {
        let engine = Engine::open(&[], &[("firesteel.threads".to_owned(), "2".to_owned())]).unwrap();
        let limit = Duration::from_secs(60);
        let sql = "SELECT id % 3 AS g, count(*) AS n FROM range(10) GROUP BY id % 3";
        let right = sorted_rows(&engine, sql, limit).unwrap();
        assert_eq!(right, rows(&[&["0", "4"], &["1", "3"], &["2", "3"]]));
        let runner = |rows| Runner { name: "on", engine: &engine, rows };
        let measured = in_turns(&[runner(&right), runner(&right)], sql, 3, limit).unwrap();
        assert!(measured.iter().all(|m| m.times_ms.len() == 3 && m.median_ms > 0.0));
        let wrong = rows(&[&["0", "5"], &["1", "3"], &["2", "3"]]);
        let error = in_turns(&[runner(&right), runner(&wrong)], sql, 1, limit).unwrap_err();
        assert_eq!(error, "on: wrong rows: 0|4 instead of 0|5");
    }
}
