//! The 22 TPC-H queries over the sample data, held against what Spark returned for the same files.

use std::path::Path;

use crate::run::{Outcome, rows, same_cell, session};

/// Runs the queries under `settings`.
pub(crate) fn run(root: &Path, settings: &[(String, String)]) -> Outcome {
    let mut outcome = Outcome::default();
    let session = match session(root, settings) {
        Ok(session) => session,
        Err(error) => {
            outcome.failures.push(error.render());
            return outcome;
        }
    };
    for query in 1..=22 {
        let sql = std::fs::read_to_string(root.join(format!("../benches/queries/tpch/q{query}.sql")));
        let answer = std::fs::read_to_string(root.join(format!("../data/tpch-sf0.01/answers/q{query}.csv")));
        let (Ok(sql), Ok(answer)) = (sql, answer) else {
            outcome.failures.push(format!("TPC-H q{query}: the query or its answer is missing"));
            continue;
        };
        match futures::executor::block_on(rows(&session, sql.trim().trim_end_matches(';'))) {
            Err(error) => outcome.failures.push(format!("TPC-H q{query}: {}", error.render())),
            Ok((got, types)) => {
                let expected: Vec<Vec<&str>> = answer.lines().skip(1).map(|line| line.split('|').collect()).collect();
                let same = got.len() == expected.len()
                    && got.iter().zip(&expected).all(|(a, b)| {
                        a.len() == b.len()
                            && a.iter().zip(b).enumerate().all(|(i, (x, y))| same_cell(x, y, types.get(i)))
                    });
                if same {
                    outcome.passed += 1;
                } else {
                    let first = got.iter().zip(&expected).find(|(a, b)| a.iter().ne(b.iter()));
                    let counts = format!("{} rows, {} expected", got.len(), expected.len());
                    outcome.failures.push(format!("TPC-H q{query}: {counts}; first difference {first:?}"));
                }
            }
        }
    }
    outcome
}
