//! EXPLAIN ANALYZE: what a query that has ended did, and why its plan changed.

use std::collections::BTreeMap;
use std::fmt::Write;

use firesteel_common::{ExchangeId, NodeId, Result, StageId, show};
use firesteel_plan::display::{DisplayOptions, physical_lines, physical_text_with};
use firesteel_plan::{Estimate, PhysicalOp, PhysicalPlan};
use firesteel_scheduler::{QueryReport, StageReport};

use crate::query::{QueryHandle, not_ended};

/// The text of EXPLAIN ANALYZE.
pub(crate) fn analyzed(handle: &QueryHandle) -> Result<String> {
    let report = handle.report().ok_or_else(not_ended)?;
    let mut text = String::from("== Final Plan ==\n");
    if let Some(plan) = &report.final_plan {
        text.push_str(&measured_plan(plan, &report));
        text.push_str("Time is summed over tasks. Memory is the most that all tasks had reserved at a time.\n");
    }
    text.push_str("\n== Initial Plan ==\n");
    if let Some(initial) = &report.initial_plan {
        let options = DisplayOptions { estimates: true, ..DisplayOptions::default() };
        text.push_str(&physical_text_with(initial, &options));
    }
    text.push_str("\n== Decisions ==\n");
    if report.notes.is_empty() {
        text.push_str("(none: the initial plan was kept)\n");
    }
    for note in &report.notes {
        let _ = writeln!(text, "plan {}: {} ({}): {}", note.version, note.rule, note.subject, note.because);
    }
    text.push_str("\n== Stages ==\n");
    text.push_str(&stages(&report.stages));
    let _ = write!(
        text,
        "\n== Summary ==\nplanning {}, execution {}, stages {}, tasks {}, exchanged {}, peak memory {}",
        show::duration(handle.planning_time()),
        show::duration(report.total),
        report.stages.len(),
        report.tasks(),
        show::bytes(report.shuffle_bytes()),
        show::bytes(report.peak_memory)
    );
    Ok(text)
}

/// What is shown of a node. An empty cell does not apply.
#[derive(Default)]
struct Measured {
    stage: String,
    rows: String,
    time: String,
    memory: String,
}

fn memory(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { show::bytes(bytes) }
}

/// Nodes by what was measured of them: operators by their stage, exchanges by the stage that has written them.
fn measure(plan: &PhysicalPlan, report: &QueryReport) -> BTreeMap<NodeId, Measured> {
    let mut all = BTreeMap::new();
    let mut written: BTreeMap<ExchangeId, &StageReport> = BTreeMap::new();
    let mut stages: BTreeMap<NodeId, StageId> = BTreeMap::new();
    for stage in &report.stages {
        written.insert(stage.stage.output.id, stage);
        stage.stage.plan.visit(&mut |node| stages.extend([(node.id, stage.stage.id)]));
        for (node, m) in &stage.metrics {
            let (rows, time) = (show::count(m.rows), show::duration(m.time));
            let stage = stage.stage.id.to_string();
            all.insert(*node, Measured { stage, rows, time, memory: memory(m.memory) });
        }
    }
    plan.visit(&mut |node| match &node.op {
        PhysicalOp::Exchange(exchange) => {
            if let Some(stage) = written.get(&exchange.id) {
                let rows = show::count(stage.rows.iter().sum());
                let (time, memory) = (show::duration(stage.output.time), memory(stage.output.memory));
                all.insert(node.id, Measured { stage: stage.stage.id.to_string(), rows, time, memory });
            }
        }
        // The build side of a join is read outside of the pipeline.
        PhysicalOp::ExchangeRead { exchange, .. } if !all.contains_key(&node.id) => {
            if let (Some(stage), Some(reader)) = (written.get(exchange), stages.get(&node.id)) {
                let rows = show::count(stage.rows.iter().sum());
                all.insert(node.id, Measured { stage: reader.to_string(), rows, ..Measured::default() });
            }
        }
        _ => {}
    });
    all
}

/// The plan with what was measured before each line.
fn measured_plan(plan: &PhysicalPlan, report: &QueryReport) -> String {
    let scans: BTreeMap<NodeId, &str> =
        report.stages.iter().flat_map(|s| &s.scans).map(|(id, text)| (*id, text.as_str())).collect();
    let scan = |id: NodeId| scans.get(&id).map(|text| format!("({text})"));
    let reads = |id: NodeId| report.reads.get(&id).map(|label| (*label).to_owned());
    let options = DisplayOptions { estimates: false, metrics: Some(&scan), reads: Some(&reads) };
    let mut measured = measure(plan, report);
    let mut estimates: BTreeMap<NodeId, Estimate> = BTreeMap::new();
    plan.visit(&mut |node| estimates.extend([(node.id, node.estimate)]));
    let mut table = Table::new(&["stage", "estimated", "rows", "time", "memory", "operator"]);
    for (node, line) in physical_lines(plan, &options) {
        let estimate = node.and_then(|id| estimates.get(&id)).map(|estimate| {
            let sign = if estimate.exact { "" } else { "≈" };
            format!("{sign}{}", show::count(estimate.rows.round() as u64))
        });
        let Measured { stage, rows, time, memory } = node.and_then(|id| measured.remove(&id)).unwrap_or_default();
        table.add([stage, estimate.unwrap_or_default(), rows, time, memory, line]);
    }
    table.text()
}

fn stages(reports: &[StageReport]) -> String {
    let mut table = Table::new(&[
        "stage",
        "tasks",
        "attempts",
        "start",
        "time",
        "peak memory",
        "rows out",
        "bytes out",
        "partitions",
    ]);
    for report in reports {
        let tasks = report.stage.tasks.tasks().to_string();
        let [mut rows, mut bytes, mut partitions] = <[String; 3]>::default();
        if report.rows.is_empty() {
            partitions.push_str("the result");
        } else {
            rows = show::count(report.rows.iter().sum());
            bytes = show::bytes(report.bytes.iter().sum());
            partitions = report.bytes.len().to_string();
        }
        if let [_, _, ..] = report.bytes.as_slice() {
            let bound = |bytes: Option<&u64>| show::bytes(bytes.copied().unwrap_or(0));
            let (least, most) = (bound(report.bytes.iter().min()), bound(report.bytes.iter().max()));
            let _ = write!(partitions, " of {least} to {most}");
        }
        if report.cancelled {
            partitions.push_str(", cancelled");
        }
        let (start, time) = (show::duration(report.started), show::duration(report.duration));
        let memory = show::bytes(report.peak_memory);
        let (id, attempts) = (report.stage.id.to_string(), report.attempts.to_string());
        table.add([id, tasks, attempts, start, time, memory, rows, bytes, partitions]);
    }
    table.text()
}

/// Lines of cells: all but the last are aligned to the right.
struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(header: &[&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned)] }
    }

    fn add(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    fn text(&self) -> String {
        let width = |i: usize| self.rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&widths).take(N - 1) {
                let _ = write!(text, "{cell:>width$}  ");
            }
            text.push_str(&row[N - 1]);
            text.push('\n');
        }
        text
    }
}
