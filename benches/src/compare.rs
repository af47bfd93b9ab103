//! `compare`: two saved runs, query by query.

use std::io::Write;
use std::path::Path;

use crate::args::CompareArgs;
use crate::failure::Failure;
use crate::report::{QueryResult, RunResult, Status, TextTable, geomean, show_ms};
use crate::run::KIND;

/// Prints the table of both.
pub(crate) fn compare(args: &CompareArgs) -> Result<(), Failure> {
    let (base, other) = (load(&args.base)?, load(&args.other)?);
    if base.settings.scale != other.settings.scale {
        return Err(Failure::usage(format!(
            "the runs have data of different scales: {} and {}",
            show_scale(&base),
            show_scale(&other)
        )));
    }
    let text = table(&base, &other);
    differences(&base, &other).iter().for_each(|difference| eprintln!("warning: {difference}"));
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

fn load(path: &Path) -> Result<RunResult, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read the result {}: {error}", path.display())))?;
    let result: Option<RunResult> = serde_json::from_slice(&text).ok();
    result
        .filter(|result| result.kind == KIND)
        .ok_or_else(|| Failure::usage(format!("{} is not a result of `{KIND}`", path.display())))
}

fn show_scale(result: &RunResult) -> String {
    result.settings.scale.map_or_else(|| "unknown".to_owned(), |scale| scale.to_string())
}

/// What else than the engine may make times differ.
fn differences(base: &RunResult, other: &RunResult) -> Vec<String> {
    let (a, b) = (&base.settings, &other.settings);
    let (m, n) = (&base.environment, &other.environment);
    let mut differences = Vec::new();
    let mut note = |what: &str, a: String, b: String| {
        if a != b {
            differences.push(format!("different {what}: {a} and {b}"));
        }
    };
    note("CPU", format!("{:?}", m.cpu), format!("{:?}", n.cpu));
    note("builds", m.build.clone(), n.build.clone());
    note("numbers of threads", a.threads.to_string(), b.threads.to_string());
    note("memory limits", a.memory_limit.to_string(), b.memory_limit.to_string());
    note("settings", format!("{:?}", a.conf), format!("{:?}", b.conf));
    note("isolation", a.isolate.to_string(), b.isolate.to_string());
    let size = |r: &RunResult| r.tables.iter().map(|t| t.bytes).sum::<u64>().to_string();
    note("sizes of the data", size(base), size(other));
    for (name, result) in [("base", base), ("other", other)] {
        differences.extend(result.warnings.iter().map(|warning| format!("{name}: {warning}")));
    }
    differences
}

fn table(base: &RunResult, other: &RunResult) -> String {
    let mut table = TextTable::new(&["query", "base ms", "other ms", "ratio", ""]);
    let mut ratios = Vec::new();
    let (mut totals, mut left_out) = ((0.0, 0.0), Vec::new());
    for a in &base.queries {
        let Some(b) = other.queries.iter().find(|b| b.name == a.name) else {
            left_out.push(a.name.clone());
            continue;
        };
        let (ratio, remark) = match a.time().zip(b.time()) {
            Some((x, y)) => {
                ratios.push(y / x);
                totals = (totals.0 + x, totals.1 + y);
                (format!("{:.3}", y / x), remark(a, b))
            }
            None => {
                left_out.push(a.name.clone());
                ("-".to_owned(), "")
            }
        };
        table.row(vec![a.name.clone(), shown(a), shown(b), ratio, remark.to_owned()]);
    }
    left_out
        .extend(other.queries.iter().filter(|b| base.queries.iter().all(|a| a.name != b.name)).map(|b| b.name.clone()));
    table.row(vec!["total".to_owned(), show_ms(Some(totals.0)), show_ms(Some(totals.1)), {
        if totals.0 > 0.0 { format!("{:.3}", totals.1 / totals.0) } else { "-".to_owned() }
    }]);
    let mut text = table.render();
    match geomean(&ratios) {
        Some(mean) => {
            text.push_str(&format!(
                "geometric mean of {} ratios of medians: {mean:.3} (below 1: the other is faster)\n",
                ratios.len()
            ));
        }
        None => text.push_str("no query is right in both\n"),
    }
    if !left_out.is_empty() {
        text.push_str(&format!("not right in both, left out: {}\n", left_out.join(" ")));
    }
    text
}

fn shown(query: &QueryResult) -> String {
    match query.status {
        Status::Ok => show_ms(query.median_ms),
        status => format!("{status:?}").to_uppercase(),
    }
}

/// Only where no run of one is within the runs of the other is a difference more than noise.
fn remark(a: &QueryResult, b: &QueryResult) -> &'static str {
    match a.range().zip(b.range()) {
        Some(((least, _), (_, most))) if most < least => "faster",
        Some(((_, most), (least, _))) if least > most => "slower",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Iteration, Settings, Summary};

    fn result(times: &[(&str, Status, [f64; 3])]) -> RunResult {
        let settings = Settings {
            data: "d".to_owned(),
            scale: Some(1.0),
            threads: 2,
            memory_limit: 1,
            conf: Vec::new(),
            iterations: 3,
            warmup: 0,
            timeout_s: 1.0,
            isolate: false,
            answers: None,
        };
        let query = |(name, status, times): &(&str, Status, [f64; 3])| {
            let iterations = times.iter().map(|&wall_ms| Iteration { wall_ms, ..Iteration::default() }).collect();
            let mut query =
                QueryResult { name: (*name).to_owned(), status: *status, iterations, ..QueryResult::default() };
            query.summarise();
            query
        };
        RunResult {
            kind: KIND.to_owned(),
            started: String::new(),
            environment: Default::default(),
            warnings: Vec::new(),
            settings,
            tables: Vec::new(),
            queries: times.iter().map(query).collect(),
            summary: Summary::default(),
        }
    }

    #[test]
    fn side_by_side() {
        let base = result(&[("q1", Status::Ok, [10., 11., 12.]), ("q2", Status::Ok, [4., 4., 4.])]);
        let other = result(&[("q1", Status::Ok, [5., 5.5, 6.]), ("q2", Status::Wrong, [1., 1., 1.])]);
        let text = table(&base, &other);
        assert!(text.contains("0.500  faster"), "{text}");
        assert!(text.contains("WRONG"), "{text}");
        assert!(text.contains("geometric mean of 1 ratios of medians: 0.500"), "{text}");
        assert!(text.contains("left out: q2"), "{text}");
    }
}
