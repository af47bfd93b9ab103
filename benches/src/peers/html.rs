//! The report of `peers`: one HTML page with bars, which needs nothing else.

use std::fmt::Write;

use super::{Cell, PeersResult, show_ratio};
use firesteel::show;

use crate::report::{Status, show_ms};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --muted: #777; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tr.sum td { font-weight: 600; }
.bad { color: #c33; font-weight: 600; }
.best { text-decoration: underline; text-underline-offset: 3px; }
.chart { display: grid; grid-template-columns: 3rem 1fr; gap: .35rem .6rem; align-items: center; }
.bar { display: flex; align-items: center; gap: .4rem; font-size: .8rem; height: .95rem; }
.bar i { display: block; height: .7rem; border-radius: 2px; min-width: 1px; }
.e0 { background: #d9622b; } .e1 { background: #3b7dd8; } .e2 { background: #4a9c5d; }
.key span { margin-right: 1.2rem; } .key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; }
.note { color: var(--muted); } .warn { border-left: 4px solid #c93; padding-left: .8rem; }
";

/// The page.
pub(super) fn page(result: &PeersResult) -> String {
    let mut html = String::with_capacity(32 * 1024);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>TPC-H queries in {engines}</title><style>{STYLE}</style></head><body>\n<h1>TPC-H queries in {engines}</h1>\n",
        engines = escape(&result.engines.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", "))
    );
    intro(&mut html, result);
    html.push_str("<h2>Median times</h2>\n");
    chart(&mut html, result);
    html.push_str("<h2>Figures</h2>\n");
    times(&mut html, result);
    html.push_str("<h2>Peak memory</h2>\n");
    memory(&mut html, result);
    failures(&mut html, result);
    html.push_str("</body></html>\n");
    html
}

fn intro(html: &mut String, result: &PeersResult) {
    let environment = &result.environment;
    let engines: Vec<String> = result.engines.iter().map(|e| format!("{} {}", e.name, e.version)).collect();
    let bytes = result.tables.iter().map(|t| t.bytes).sum();
    let memory = result.memory.map_or_else(|| "default of each engine".to_owned(), show::bytes);
    let scale = result.scale.map_or_else(|| "unknown".to_owned(), |scale| scale.to_string());
    let verified = result.answers.as_ref().map_or("rows not verified", |_| "rows of every engine verified");
    let _ = writeln!(
        html,
        "<p>{} over the same Parquet files (scale {scale}, {}), {} threads each, memory limit: {memory}. Medians of {} \
         runs after {} to warm up, in turns; {verified}; results fetched to Arrow. {}, {} cores, {}, {}.</p>",
        escape(&engines.join(", ")),
        show::bytes(bytes),
        result.threads,
        result.iterations,
        result.warmup,
        escape(environment.cpu.as_deref().unwrap_or("unknown CPU")),
        environment.cores,
        environment.memory_bytes.map_or_else(|| "memory unknown".to_owned(), show::bytes),
        escape(&result.started),
    );
    for warning in &result.warnings {
        let _ = writeln!(html, "<p class=\"warn\">{}</p>", escape(warning));
    }
    html.push_str("<p class=\"note\">Derived from TPC-H; not an official TPC result.</p>\n");
}

fn chart(html: &mut String, result: &PeersResult) {
    html.push_str("<p class=\"key\">");
    for (at, engine) in result.engines.iter().enumerate() {
        let _ = write!(html, "<span><i class=\"{}\"></i>{}</span>", colour(at), escape(&engine.name));
    }
    html.push_str("</p>\n<div class=\"chart\">\n");
    let cells = || result.queries.iter().flat_map(|q| &q.engines);
    let longest = cells().filter_map(Cell::time).fold(0.0, f64::max);
    for query in &result.queries {
        let _ = write!(html, "<b>{}</b><div>", query.name);
        for (at, cell) in query.engines.iter().enumerate() {
            let width = cell.time().map_or(0.0, |time| 85.0 * time / longest);
            let _ = write!(
                html,
                "<div class=\"bar\"><i class=\"{}\" style=\"width:{width:.2}%\"></i>{}</div>",
                colour(at),
                shown(cell, false)
            );
        }
        html.push_str("</div>\n");
    }
    html.push_str("</div>\n");
}

fn times(html: &mut String, result: &PeersResult) {
    html.push_str("<table><tr><th>query</th>");
    for (at, engine) in result.engines.iter().enumerate() {
        let _ = write!(html, "<th>{} ms</th>", escape(&engine.name));
        if at > 0 {
            html.push_str("<th>ratio</th>");
        }
    }
    html.push_str("<th>rows</th></tr>\n");
    for query in &result.queries {
        let _ = write!(html, "<tr><td>{}</td>", query.name);
        let best = query.engines.iter().filter_map(Cell::time).fold(f64::INFINITY, f64::min);
        let first = query.engines.first().and_then(Cell::time);
        for (at, cell) in query.engines.iter().enumerate() {
            let _ = write!(html, "<td>{}</td>", shown(cell, cell.time() == Some(best)));
            if at > 0 {
                let _ = write!(html, "<td>{}</td>", show_ratio(cell.time().zip(first).map(|(a, b)| a / b)));
            }
        }
        let _ = writeln!(html, "<td>{}</td></tr>", query.engines.first().map_or(0, |cell| cell.rows));
    }
    let first = result.summary.first();
    html.push_str("<tr class=\"sum\"><td>total</td>");
    for (at, engine) in result.summary.iter().enumerate() {
        let _ = write!(html, "<td>{}</td>", show_ms(Some(engine.total_ms)));
        if at > 0 {
            let ratio = first.filter(|f| f.total_ms > 0.0).map(|f| engine.total_ms / f.total_ms);
            let _ = write!(html, "<td>{}</td>", show_ratio(ratio));
        }
    }
    html.push_str("<td></td></tr>\n<tr class=\"sum\"><td>geometric mean</td>");
    for (at, engine) in result.summary.iter().enumerate() {
        let _ = write!(html, "<td>{}</td>", show_ms(engine.geomean_ms));
        if at > 0 {
            let _ = write!(html, "<td>{}</td>", show_ratio(engine.ratio_to_first));
        }
    }
    html.push_str("<td></td></tr></table>\n");
    let name = result.engines.first().map_or("the first", |e| e.name.as_str());
    let _ =
        writeln!(html, "<p class=\"note\">A ratio above 1: {} is faster. Underlined: the fastest.</p>", escape(name));
    let left_out = result.left_out();
    if !left_out.is_empty() {
        let list = left_out.join(", ");
        let _ = writeln!(html, "<p class=\"note\">Not right in all engines, left out of the sums: {list}.</p>");
    }
}

fn memory(html: &mut String, result: &PeersResult) {
    html.push_str("<table><tr><th>query</th>");
    result.engines.iter().for_each(|engine| html.push_str(&format!("<th>{}</th>", escape(&engine.name))));
    html.push_str("</tr>\n");
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), show::bytes);
    for query in &result.queries {
        let cells: String = query.engines.iter().map(|c| format!("<td>{}</td>", size(c.peak_rss_bytes))).collect();
        let _ = writeln!(html, "<tr><td>{}</td>{cells}</tr>", query.name);
    }
    html.push_str("</table>\n");
    let processes = if result.isolate { "a fresh process for each query" } else { "one process for all queries" };
    let _ = writeln!(
        html,
        "<p class=\"note\">Most memory resident in the process while the query ran, with the interpreter and libraries where \
         the engine is one; {processes}.</p>"
    );
}

fn failures(html: &mut String, result: &PeersResult) {
    let errors: Vec<String> = result
        .queries
        .iter()
        .flat_map(|query| {
            let named = result.engines.iter().zip(&query.engines);
            named.filter_map(|(engine, cell)| {
                let error = cell.error.as_ref()?;
                Some(format!("<li>{} in {}: {}</li>", query.name, escape(&engine.name), escape(error)))
            })
        })
        .collect();
    if !errors.is_empty() {
        let _ = writeln!(html, "<h2>What went wrong</h2>\n<ul>{}</ul>", errors.concat());
    }
}

fn shown(cell: &Cell, best: bool) -> String {
    match (cell.status, best) {
        (Status::Ok, true) => format!("<span class=\"best\">{}</span>", cell.shown()),
        (Status::Ok, false) => cell.shown(),
        _ => format!("<span class=\"bad\">{}</span>", cell.shown()),
    }
}

fn colour(at: usize) -> String {
    format!("e{}", at % 3)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
