//! Running the records of a file and comparing.

use std::path::Path;

use firesteel::{DataFrame, Error, Session, SqlType};

use crate::record::{Kind, Record, read};

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
}

/// A session with settings, and the sample tables.
pub(crate) fn session(root: &Path, settings: &[(String, String)]) -> Result<Session, Error> {
    let builder = Session::builder().config("firesteel.threads", 2);
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.config(key, value));
    let session = builder.build()?;
    let data = root.join("../data/tpch-sf0.01");
    for table in ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"] {
        let path = data.join(format!("{table}.parquet"));
        futures::executor::block_on(session.register_parquet(table, &path.to_string_lossy()))?;
    }
    Ok(session)
}

/// Runs a file, or the record of it at `line` with all that comes before (which is then not checked).
pub(crate) fn run_file(
    root: &Path,
    path: &Path,
    line: Option<usize>,
    settings: &[(String, String)],
    complete: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    let is_plan = path.components().any(|c| c.as_os_str() == "plans");
    if is_plan && !settings.is_empty() {
        return outcome;
    }
    let records = match read(path) {
        Ok(records) => records,
        Err(error) => {
            outcome.failures.push(error);
            return outcome;
        }
    };
    let session = match session(root, settings) {
        Ok(session) => session,
        Err(error) => {
            outcome.failures.push(error.render());
            return outcome;
        }
    };
    let mut completed = Vec::new();
    for record in &records {
        let result = check(&session, record);
        let wanted = line.is_none_or(|line| record.lines.contains(&line));
        match result {
            Err(Mismatch { got: Some(got), .. }) if complete && record.kind == Kind::Explain => {
                completed.push((record.clone(), got));
            }
            Err(mismatch) if wanted => {
                let place = format!("{}:{}", path.display(), record.lines.start);
                outcome.failures.push(format!("{place}\n{}\n{}", record.sql, mismatch.text));
            }
            Ok(()) if wanted => outcome.passed += 1,
            _ => {}
        }
    }
    if !completed.is_empty()
        && let Err(error) = write(path, &completed)
    {
        outcome.failures.push(format!("{}: {error}", path.display()));
    }
    outcome
}

struct Mismatch {
    text: String,
    /// The text returned, for `--complete`.
    got: Option<Vec<String>>,
}

impl From<String> for Mismatch {
    fn from(text: String) -> Self {
        Self { text, got: None }
    }
}

fn check(session: &Session, record: &Record) -> Result<(), Mismatch> {
    let result = futures::executor::block_on(rows(session, &record.sql));
    match (&record.kind, result) {
        (Kind::Error, Ok(_)) => Err("it succeeded, an error was expected".to_owned().into()),
        (Kind::Error, Err(error)) => check_error(record, &error),
        (_, Err(error)) => Err(error.render().into()),
        (Kind::Ok, Ok(_)) => Ok(()),
        (Kind::Query { sorted }, Ok((rows, types))) => check_rows(record, rows, &types, *sorted),
        (Kind::Explain, Ok((rows, _))) => {
            let text: Vec<String> = rows.into_iter().flatten().collect();
            let lines = text.iter().flat_map(|cell| cell.lines());
            let got: Vec<String> = lines.map(|l| if l.is_empty() { ".".to_owned() } else { l.to_owned() }).collect();
            if got == record.expected {
                return Ok(());
            }
            let text = format!("expected:\n{}\ngot:\n{}", record.expected.join("\n"), got.join("\n"));
            Err(Mismatch { text, got: Some(got) })
        }
    }
}

/// The rows of a statement as text, and the types of its columns.
pub(crate) async fn rows(session: &Session, sql: &str) -> Result<(Vec<Vec<String>>, Vec<SqlType>), Error> {
    let frame: DataFrame = session.sql(sql).await?;
    let types: Vec<SqlType> = frame.output().into_iter().map(|c| c.ty).collect();
    let mut rows = Vec::new();
    for batch in frame.collect().await? {
        for row in firesteel::display::cells(&batch, &session.config().time_zone)? {
            rows.push(row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect());
        }
    }
    Ok((rows, types))
}

fn check_rows(record: &Record, rows: Vec<Vec<String>>, types: &[SqlType], sorted: bool) -> Result<(), Mismatch> {
    let show = |cell: &String| if cell.is_empty() { "(empty)".to_owned() } else { cell.replace('\n', "\\n") };
    let mut got: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(show).collect()).collect();
    let mut expected: Vec<Vec<String>> =
        record.expected.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    if sorted {
        got.sort();
        expected.sort();
    }
    let same = got.len() == expected.len()
        && got.iter().zip(&expected).all(|(a, b)| {
            a.len() == b.len() && a.iter().zip(b).enumerate().all(|(i, (x, y))| same_cell(x, y, types.get(i)))
        });
    if same {
        return Ok(());
    }
    let text = |rows: &[Vec<String>]| rows.iter().take(30).map(|row| row.join("\t")).collect::<Vec<_>>().join("\n");
    Err(format!("expected {} rows:\n{}\ngot {} rows:\n{}", expected.len(), text(&expected), got.len(), text(&got))
        .into())
}

/// Equal text; floats may differ by a relative 1e-9, since the order of additions is not fixed.
pub(crate) fn same_cell(got: &str, expected: &str, ty: Option<&SqlType>) -> bool {
    if got == expected {
        return true;
    }
    if !ty.is_some_and(SqlType::is_float) {
        return false;
    }
    match (got.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => false,
    }
}

fn check_error(record: &Record, error: &Error) -> Result<(), Mismatch> {
    let place = match error.position() {
        None => "-".to_owned(),
        Some((1, column)) => column.to_string(),
        Some((line, column)) => format!("{line}:{column}"),
    };
    let got = format!("{} {} {place}", error.condition(), error.sqlstate());
    let Some((first, parts)) = record.expected.split_first() else {
        return Err(format!("nothing is expected; the error is {got}\n{}", error.render()).into());
    };
    if *first != got {
        return Err(format!("expected error {first}\ngot {got}\n{}", error.render()).into());
    }
    match parts.iter().find(|part| !error.message().contains(part.as_str())) {
        None => Ok(()),
        Some(part) => Err(format!("`{part}` is not in the message: {}", error.message()).into()),
    }
}

/// Writes new expectations into a file.
fn write(path: &Path, completed: &[(Record, Vec<String>)]) -> std::io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    for (record, got) in completed {
        let start = record.lines.start - 1;
        out.extend(lines[at..start].iter().map(|l| (*l).to_owned()));
        out.push(lines[start].to_owned());
        out.extend(record.sql.lines().map(str::to_owned));
        out.push("----".to_owned());
        out.extend(got.iter().cloned());
        at = record.lines.end - 1;
    }
    out.extend(lines[at..].iter().map(|l| (*l).to_owned()));
    std::fs::write(path, out.join("\n") + "\n")
}
