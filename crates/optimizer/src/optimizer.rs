//! Runs the rules in order and, in debug builds, checks what each of them did.

use firesteel_common::Result;
use firesteel_plan::LogicalPlan;

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::rules;
use crate::util::same_shape;
use crate::verify;

/// The logical optimizer.
#[derive(Clone, Copy, Debug)]
pub struct Optimizer;

impl Optimizer {
    /// Applies all rules, those of [`crate::rule::Phase::EveryStep`] last: once per query, before it starts.
    pub fn once(plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let plan = run(&rules::once(), plan, cx, false)?;
        run(&rules::every_step(), plan, cx, false)
    }

    /// Applies the rules that look at estimates once more before the query starts, with what samples have told since, and
    /// those that wait for that.
    pub fn sampled(mut plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        if !cx.facts.selectivity.is_empty() {
            plan = run(&rules::every_step(), plan, cx, false)?;
        }
        let before = plan.clone();
        plan = run(&rules::sampled(), plan, cx, false)?;
        if same_shape(&plan, &before) { Ok(plan) } else { run(&rules::every_step(), plan, cx, false) }
    }

    /// Applies the rules that look at estimates and facts, again when a stage has ended.
    pub fn every_step(plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        run(&rules::every_step(), plan, cx, true)
    }

    /// Names of the decisions that are made while a query runs, for `spark.sql.adaptive.optimizer.excludedRules`.
    pub const ADAPTIVE_RULES: [&str; 13] = [
        "AQEPropagateEmptyRelation",
        "CostBasedJoinReorder",
        "DynamicJoinSelection",
        "DemoteBroadcastHashJoin",
        "HoldBackProbeSide",
        "RunMostUncertainFirst",
        "InjectRuntimeFilter",
        "ReuseExchange",
        "PlanDynamicPruningFilters",
        "OptimizeSkewedJoin",
        "OptimizeSkewInRebalancePartitions",
        "AddPartitions",
        "CoalesceShufflePartitions",
    ];

    /// Names of all rules, in the order of their first application.
    pub fn rule_names() -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for rule in rules::once().iter().chain(&rules::sampled()).chain(&rules::every_step()) {
            if !names.contains(&rule.name()) {
                names.push(rule.name());
            }
        }
        names
    }
}

/// `again`: the query has started, and what is left of it is planned again.
fn run(
    rules: &[Box<dyn OptimizerRule>],
    mut plan: LogicalPlan,
    cx: &OptimizerContext<'_>,
    again: bool,
) -> Result<LogicalPlan> {
    for rule in rules {
        let excluded = cx.config.is_excluded(rule.name());
        if !rule.is_required() && (excluded || again && cx.config.is_excluded_adaptively(rule.adaptive_name())) {
            continue;
        }
        let before = cfg!(debug_assertions).then(|| plan.columns());
        plan = rule.rewrite(plan, cx)?;
        if let Some(before) = before {
            verify::check(rule.as_ref(), &before, &plan, cx)?;
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Phase;

    #[test]
    fn a_list_of_rules_has_one_phase() {
        assert!(rules::once().iter().chain(&rules::sampled()).all(|r| r.phase() == Phase::Once));
        assert!(rules::every_step().iter().all(|r| r.phase() == Phase::EveryStep));
    }
}
