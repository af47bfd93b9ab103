//! EXPLAIN: plans as text, before a query ran. What a query did is in [`crate::analyze`].

use firesteel_common::{Error, ExchangeId, ExchangeStats, Result};
use firesteel_optimizer::rule::{OptimizerContext, Workers};
use firesteel_optimizer::stage_planner::{Facts, StagePlanner};
use firesteel_plan::display::{DisplayOptions, logical_text, physical_formatted, physical_text_with, under};
use firesteel_plan::{LogicalPlan, PhysicalPlan};
use futures::StreamExt;

use crate::analyze::analyzed;
use crate::dataframe::DataFrame;
use crate::query::optimized;
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
        return analyzed(stream.handle(), df.session().config().explain_width);
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
struct NoFacts;

impl Facts for NoFacts {
    fn exchange(&self, _: ExchangeId) -> Option<&ExchangeStats> {
        None
    }
}

async fn plan(df: &DataFrame) -> Result<Planned> {
    let session = df.session();
    let config = session.config();
    let eval = session.eval_context(&config);
    let stats = CatalogStats(session.catalog().clone());
    let (optimized, facts) = optimized(df, &config, &stats, &eval).await?;
    let workers = Workers::new(config.threads, firesteel_runtime::threads::cores());
    let cx =
        OptimizerContext { config: &config, ids: session.ids(), eval: &eval, tables: &stats, facts: &facts, workers };
    let mut planner = StagePlanner::new(optimized.clone(), df.output());
    planner.step(&NoFacts, &cx)?;
    let physical = planner.initial_plan().cloned().ok_or_else(|| Error::internal("no initial plan"))?;
    Ok(Planned { optimized, physical })
}
