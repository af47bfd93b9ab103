//! EXPLAIN: plans as text, before and after a query ran.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use firesteel_common::{Error, ExchangeId, ExchangeStats, NodeId, Result};
use firesteel_exec::OperatorMetrics;
use firesteel_optimizer::optimizer::Optimizer;
use firesteel_optimizer::rule::OptimizerContext;
use firesteel_optimizer::stage_planner::{Facts, StagePlanner};
use firesteel_plan::display::{DisplayOptions, logical_text, physical_formatted, physical_text_with, under};
use firesteel_plan::{LogicalPlan, PhysicalPlan};
use firesteel_scheduler::{QueryReport, StageReport};
use futures::StreamExt;

use crate::dataframe::DataFrame;
use crate::query::{QueryHandle, not_ended, plan_facts};
use crate::resolve::CatalogStats;

/// What EXPLAIN shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainMode {
    /// The physical plan.
    Simple,
    /// Logical plans and the physical plan.
    Extended,
    /// The physical plan, numbered, with details.
    Formatted,
    /// The optimised logical plan and the physical plan with estimates.
    Cost,
    /// Runs the query: initial and final plan with what was measured, decisions, stages.
    Analyze,
}

/// A query that has not started, planned.
struct Planned {
    optimized: LogicalPlan,
    physical: PhysicalPlan,
}

/// The text of EXPLAIN.
pub(crate) async fn explain(df: &DataFrame, mode: ExplainMode) -> Result<String> {
    if mode == ExplainMode::Analyze {
        let mut stream = df.stream()?;
        while let Some(batch) = stream.next().await {
            batch?;
        }
        return analyzed(stream.handle());
    }
    let planned = plan(df).await?;
    let cost = DisplayOptions { estimates: true, ..DisplayOptions::default() };
    let adaptive = df.session().config().adaptive;
    let physical = |options: &DisplayOptions<'_>| {
        let tree = physical_text_with(&planned.physical, options);
        let tree = if adaptive { format!("AdaptiveSparkPlan isFinalPlan=false\n{}", under(&tree)) } else { tree };
        format!("== Physical Plan ==\n{tree}")
    };
    let plain = DisplayOptions::default();
    let text = match mode {
        ExplainMode::Simple | ExplainMode::Analyze => physical(&plain),
        ExplainMode::Formatted => format!("== Physical Plan ==\n{}", physical_formatted(&planned.physical, &plain)),
        ExplainMode::Cost => {
            format!("== Optimized Logical Plan ==\n{}\n\n{}", logical_text(&planned.optimized), physical(&cost))
        }
        ExplainMode::Extended => format!(
            "== Analyzed Logical Plan ==\n{}\n\n== Optimized Logical Plan ==\n{}\n\n{}",
            logical_text(df.plan()),
            logical_text(&planned.optimized),
            physical(&plain)
        ),
    };
    Ok(text.trim_end().to_owned())
}

/// Nothing has run.
struct NoFacts {
    workers: usize,
    memory_limit: u64,
}

impl Facts for NoFacts {
    fn exchange(&self, _: ExchangeId) -> Option<&ExchangeStats> {
        None
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn memory_limit(&self) -> u64 {
        self.memory_limit
    }
}

async fn plan(df: &DataFrame) -> Result<Planned> {
    let session = df.session();
    let config = session.config();
    let eval = session.eval_context(&config);
    let stats = CatalogStats(session.catalog().clone());
    let sampled = {
        let facts = Default::default();
        let cx = OptimizerContext { config: &config, ids: session.ids(), eval: &eval, tables: &stats, facts: &facts };
        Optimizer::once(df.plan().clone(), &cx)?
    };
    let facts = plan_facts(&sampled, session, &config).await?;
    let cx = OptimizerContext { config: &config, ids: session.ids(), eval: &eval, tables: &stats, facts: &facts };
    let mut planner = StagePlanner::new(sampled.clone(), df.output());
    planner.step(&NoFacts { workers: config.threads, memory_limit: config.memory_limit }, &cx)?;
    let physical = planner.initial_plan().cloned().ok_or_else(|| Error::internal("no initial plan"))?;
    Ok(Planned { optimized: sampled, physical })
}

/// EXPLAIN ANALYZE of a query that has ended.
pub(crate) fn analyzed(handle: &QueryHandle) -> Result<String> {
    let report = handle.report().ok_or_else(not_ended)?;
    let mut text = String::from("== Physical Plan ==\nAdaptiveSparkPlan isFinalPlan=true\n+- == Final Plan ==\n");
    text.push_str(&indent(&final_plan(&report)));
    text.push_str("+- == Initial Plan ==\n");
    if let Some(initial) = &report.initial_plan {
        let options = DisplayOptions { estimates: true, ..DisplayOptions::default() };
        text.push_str(&indent(&physical_text_with(initial, &options)));
    }
    text.push_str("\n== Decisions ==\n");
    if report.notes.is_empty() {
        text.push_str("(none: the initial plan was kept)\n");
    }
    for note in &report.notes {
        let _ = writeln!(text, "plan {}: {} ({}): {}", note.version, note.rule, note.subject, note.because);
    }
    text.push_str("\n== Stages ==\n");
    report.stages.iter().for_each(|stage| text.push_str(&stage_line(stage)));
    let _ = write!(
        text,
        "\n== Summary ==\nplanning {}, execution {}, stages {}, tasks {}, exchanged {}, peak memory {}",
        show_time(handle.planning_time()),
        show_time(report.total),
        report.stages.len(),
        report.tasks(),
        show_bytes(report.shuffle_bytes()),
        show_bytes(report.peak_memory)
    );
    Ok(text)
}

fn final_plan(report: &QueryReport) -> String {
    let Some(plan) = &report.final_plan else { return String::new() };
    let mut measured: BTreeMap<NodeId, OperatorMetrics> = BTreeMap::new();
    let mut scans: BTreeMap<NodeId, &str> = BTreeMap::new();
    for stage in &report.stages {
        stage.metrics.iter().for_each(|(id, m)| measured.entry(*id).or_default().merge(m));
        scans.extend(stage.scans.iter().map(|(id, text)| (*id, text.as_str())));
    }
    let metrics = |id: NodeId| {
        let m = measured.get(&id)?;
        let scan = scans.get(&id).map(|text| format!(", {text}")).unwrap_or_default();
        Some(format!("rows={} time={}{scan}", m.rows, show_time(m.time)))
    };
    let reads = |id: NodeId| report.reads.get(&id).map(|label| (*label).to_owned());
    let options = DisplayOptions { estimates: true, metrics: Some(&metrics), reads: Some(&reads) };
    physical_text_with(plan, &options)
}

fn stage_line(report: &StageReport) -> String {
    let stage = &report.stage;
    let mut line = format!(
        "stage {}: {} task{}, started at {}, took {}",
        stage.id,
        stage.tasks.tasks(),
        if stage.tasks.tasks() == 1 { "" } else { "s" },
        show_time(report.started),
        show_time(report.duration)
    );
    if report.attempts > stage.tasks.tasks() {
        let _ = write!(line, ", {} attempts", report.attempts);
    }
    if !report.rows.is_empty() {
        let (rows, bytes): (u64, u64) = (report.rows.iter().sum(), report.bytes.iter().sum());
        let _ = write!(line, ", wrote {rows} rows, {}", show_bytes(bytes));
        if report.bytes.len() > 1 {
            let (least, most) = (report.bytes.iter().min(), report.bytes.iter().max());
            let bound = |b: Option<&u64>| show_bytes(b.copied().unwrap_or(0));
            let _ = write!(line, " in {} partitions of {} to {}", report.bytes.len(), bound(least), bound(most));
        }
    }
    if report.cancelled {
        line.push_str(", cancelled");
    }
    line.push('\n');
    line
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

/// A duration with three digits or so: `12.3 ms`.
pub(crate) fn show_time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Bytes with a unit: `1.5 MiB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
