//! EXPLAIN ANALYZE: what a query that has ended did, and why its plan changed.

use std::collections::BTreeMap;
use std::fmt::Write;

use firesteel_common::{ExchangeId, NodeId, Result, StageId, show};
use firesteel_plan::display::{DisplayOptions, physical_lines, physical_text_with};
use firesteel_plan::{Estimate, PhysicalOp, PhysicalPlan};
use firesteel_scheduler::{QueryReport, StageReport};

use crate::query::{QueryHandle, not_ended};

/// The text of EXPLAIN ANALYZE.
/// `width`: columns that a line may have; with enough, both plans are side by side.
pub(crate) fn analyzed(handle: &QueryHandle, width: usize) -> Result<String> {
    let report = handle.report().ok_or_else(not_ended)?;
    let mut text = plans(&report, width);
    text.push_str("\n== Decisions ==\n");
    if report.notes.is_empty() {
        text.push_str("(none: the initial plan was kept)\n");
    }
    for (number, note) in report.notes.iter().enumerate() {
        let _ = writeln!(text, "[{}] {note}", number + 1);
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
    if report.spilled_bytes() > 0 {
        let _ = write!(text, ", spilled {}", show::bytes(report.spilled_bytes()));
    }
    Ok(text)
}

/// The final plan with what was measured, and the initial one beside or below it.
fn plans(report: &QueryReport, width: usize) -> String {
    const ABOUT: &str = "Time is summed over tasks. Memory is the most that all tasks had reserved at a time.\n";
    let last = report.final_plan.as_ref().map(|plan| measured_plan(plan, report)).unwrap_or_default();
    let options = DisplayOptions { estimates: true, ..DisplayOptions::default() };
    let first = report.initial_plan.as_ref().map(|plan| physical_text_with(plan, &options)).unwrap_or_default();
    match side_by_side(&last, "== Final Plan ==", &first, "== Initial Plan ==", width) {
        Some(both) => format!("{both}{ABOUT}"),
        None => format!("== Final Plan ==\n{last}{ABOUT}\n== Initial Plan ==\n{first}"),
    }
}

/// Two texts with their titles in two columns; lines of the second one are cut. `None` if there is not enough room.
fn side_by_side(left: &str, left_title: &str, right: &str, right_title: &str, width: usize) -> Option<String> {
    const GAP: &str = "  |  ";
    /// What is left of a line must tell which operator it is.
    const LEAST: usize = 48;
    let own = left.lines().map(|line| line.chars().count()).max()?.max(left_title.len());
    let room = width.checked_sub(own + GAP.len()).filter(|room| *room >= LEAST)?;
    let lefts: Vec<&str> = std::iter::once(left_title).chain(left.lines()).collect();
    let rights: Vec<&str> = std::iter::once(right_title).chain(right.lines()).collect();
    let mut text = String::new();
    for at in 0..lefts.len().max(rights.len()) {
        let (left, right) = (lefts.get(at).copied().unwrap_or(""), rights.get(at).copied().unwrap_or(""));
        let mut cut: String = right.chars().take(room).collect();
        if right.chars().count() > room {
            cut.pop();
            cut.push('…');
        }
        let line = format!("{left:own$}{GAP}{cut}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text)
}

/// By node of the final plan: the decisions that changed it, as `<- [2] DynamicJoinSelection`.
fn reasons(plan: &PhysicalPlan, report: &QueryReport) -> BTreeMap<NodeId, String> {
    let mut all: BTreeMap<NodeId, String> = BTreeMap::new();
    plan.visit(&mut |node| {
        let join = match &node.op {
            PhysicalOp::HashJoin(join) => Some(join.key_text()),
            _ => None,
        };
        for (number, note) in report.notes.iter().enumerate() {
            // A join that is planned again is another node; its keys are the same.
            let same_join = join.as_deref().is_some_and(|join| note.effect.joins().contains(&join));
            if same_join || note.nodes.contains(&node.id) {
                let _ =
                    write!(all.entry(node.id).or_insert_with(|| "  <-".to_owned()), " [{}] {}", number + 1, note.rule);
            }
        }
    });
    all
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
    let mut reasons = reasons(plan, report);
    let mut table = Table::new(&["stage", "estimated", "rows", "time", "memory", "operator"]);
    for (node, line) in physical_lines(plan, &options) {
        let estimate = node.and_then(|id| estimates.get(&id)).map(|estimate| {
            let sign = if estimate.exact { "" } else { "≈" };
            format!("{sign}{}", show::count(estimate.rows.round() as u64))
        });
        let reason = node.and_then(|id| reasons.remove(&id)).unwrap_or_default();
        let Measured { stage, rows, time, memory } = node.and_then(|id| measured.remove(&id)).unwrap_or_default();
        table.add([stage, estimate.unwrap_or_default(), rows, time, memory, format!("{line}{reason}")]);
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
        if report.spilled > 0 {
            let _ = write!(partitions, ", {} spilled", show::bytes(report.spilled));
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

#[cfg(test)]
mod tests {
    use super::side_by_side;

    #[test]
    fn plans_are_side_by_side_where_there_is_room() {
        let long = format!("Exchange {}", "x".repeat(80));
        let both = side_by_side("a b\nc", "final", &format!("d\n{long}\ne"), "initial", 60).unwrap();
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!(lines[..2], ["final  |  initial", "a b    |  d"]);
        assert!(lines[2].starts_with("c      |  Exchange x") && lines[2].ends_with('…'));
        assert_eq!((lines[2].chars().count(), lines[3]), (60, "       |  e"));
        assert_eq!(side_by_side(&"y".repeat(30), "final", "d", "initial", 60), None);
        assert_eq!(side_by_side("y", "final", "d", "initial", 0), None);
    }
}
