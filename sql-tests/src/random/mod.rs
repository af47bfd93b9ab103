//! `--random N`: random queries return the same rows whatever the planner decides.
//!
//! Each query runs with adaptive execution off, and then on, forced, and adversarial with several seeds, which makes random
//! legal decisions at every step. A query that fails with adaptive execution off (few do: some combinations of subqueries are
//! not supported) must fail in the same way with the others, and is counted.

mod dice;
mod grammar;

use std::time::{Duration, Instant};

use firesteel::{Error, Session};

use crate::run;
use dice::Dice;
use grammar::{Grammar, TABLES, table_sql};

/// Settings that each query is run under; the first is what the others are held against.
const SETTINGS: [(&str, &[(&str, &str)]); 6] = [
    ("off", &[("spark.sql.adaptive.enabled", "false")]),
    ("on", &[]),
    ("forced", &[("firesteel.adaptive.force", "true"), ("firesteel.exchange.mode", "partitioned")]),
    ("adversarial", &[]),
    ("adversarial", &[("firesteel.exchange.mode", "partitioned"), ("firesteel.threads", "4")]),
    ("adversarial", &[("firesteel.exchange.mode", "serialized")]),
];

/// A query that takes longer with adaptive execution off joins too many rows to say more than others do.
const LONGEST: Duration = Duration::from_secs(2);

const ADVERSARIAL: &str = "firesteel.adaptive.adversarial";

/// Runs `count` queries from `seed` on; the number of differences.
pub(crate) fn run(count: u64, seed: u64) -> Result<usize, Error> {
    let folder = std::env::temp_dir().join(format!("firesteel-random-{}", std::process::id()));
    let outcome = sessions(&folder.to_string_lossy()).map(|sessions| compare_all(&sessions, count, seed));
    // The folder is temporary in any case.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn sessions(folder: &str) -> Result<Vec<Session>, Error> {
    let mut sessions = Vec::new();
    for (number, (_, settings)) in SETTINGS.iter().enumerate() {
        let builder = Session::builder().config("firesteel.threads", 2);
        let session = settings.iter().fold(builder, |builder, (key, value)| builder.config(*key, value)).build()?;
        for (table, rows) in TABLES {
            let statement = if number == 0 {
                table_sql(table, rows, folder)
            } else {
                format!("CREATE TEMP VIEW {table} USING parquet OPTIONS (path '{folder}/{table}')")
            };
            futures::executor::block_on(run::rows(&session, &statement))?;
        }
        sessions.push(session);
    }
    Ok(sessions)
}

fn compare_all(sessions: &[Session], count: u64, seed: u64) -> usize {
    let (mut differences, mut failed, mut long, mut empty) = (0, 0, 0, 0);
    for number in seed..seed.saturating_add(count) {
        let sql = Grammar::new(&mut Dice::new(number)).query();
        let start = Instant::now();
        let expected = answer(&sessions[0], &sql);
        if start.elapsed() > LONGEST {
            long += 1;
            continue;
        }
        match &expected {
            // Our bug, whoever else has it.
            Err(error) if error.contains("[INTERNAL_ERROR]") => {
                differences += 1;
                eprintln!("seed {number}, off: {error}\n{sql};\n");
            }
            Err(error) => {
                failed += 1;
                eprintln!("seed {number} fails: {}", error.lines().next().unwrap_or_default());
            }
            Ok(rows) if rows.is_empty() => empty += 1,
            Ok(_) => {}
        }
        for ((name, settings), session) in SETTINGS.iter().zip(sessions).skip(1) {
            if *name == "adversarial"
                && let Err(error) = session.set(ADVERSARIAL, &number.to_string())
            {
                eprintln!("{}", error.render());
            }
            let got = answer(session, &sql);
            if got != expected {
                differences += 1;
                eprintln!("seed {number}, {name} {settings:?}: {}\n{sql};\n", difference(&expected, &got));
            }
        }
    }
    eprintln!(
        "{count} random queries from seed {seed}: {differences} differences; {empty} returned no rows, {failed} failed alike, \
         {long} took too long"
    );
    differences
}

/// The rows in any order, or the condition of the error.
type Answer = Result<Vec<Vec<String>>, String>;

fn answer(session: &Session, sql: &str) -> Answer {
    let (mut rows, _) =
        futures::executor::block_on(run::rows(session, sql)).map_err(|error| match error.condition() {
            "INTERNAL_ERROR" => error.render(),
            condition => condition.to_owned(),
        })?;
    rows.sort_unstable();
    Ok(rows)
}

fn difference(expected: &Answer, got: &Answer) -> String {
    match (expected, got) {
        (Ok(expected), Ok(got)) if expected.len() != got.len() => {
            format!("{} rows instead of {}", got.len(), expected.len())
        }
        (Ok(expected), Ok(got)) => {
            let pair = expected.iter().zip(got).find(|(a, b)| a != b);
            pair.map_or_else(String::new, |(a, b)| format!("{} instead of {}", b.join("|"), a.join("|")))
        }
        (Ok(_), Err(error)) => error.clone(),
        (Err(error), Ok(_)) => format!("rows instead of {error}"),
        (Err(a), Err(b)) => format!("{b} instead of {a}"),
    }
}
