//! Limits travel down, orders that nobody sees are dropped.

use firesteel_common::Result;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule, Phase};
use crate::util::max_rows;

/// Pushes limits towards what makes the rows.
pub(crate) struct PushDownLimits;

impl OptimizerRule for PushDownLimits {
    fn name(&self) -> &'static str {
        "LimitPushDown"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        push_limits(plan, cx)
    }
}

fn push_limits(plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    let LogicalPlan { id, op, mut inputs } = plan;
    let (skip, fetch) = match op {
        LogicalOp::Limit { skip, fetch: Some(fetch) } => (skip, fetch),
        op => return LogicalPlan { id, op, inputs }.try_map_inputs(&mut |input| push_limits(input, cx)),
    };
    let limit =
        |inputs: Vec<LogicalPlan>| LogicalPlan { id, op: LogicalOp::Limit { skip, fetch: Some(fetch) }, inputs };
    let Some(input) = inputs.pop() else { return Ok(limit(inputs)) };
    let needed = skip.saturating_add(fetch);
    let LogicalPlan { id: below, op, inputs } = input;
    match op {
        // One limit of two: the inner one ends what the outer one may skip and take.
        LogicalOp::Limit { skip: inner_skip, fetch: inner_fetch } => {
            let left = inner_fetch.map_or(fetch, |n| fetch.min(n.saturating_sub(skip)));
            let op = LogicalOp::Limit { skip: inner_skip.saturating_add(skip), fetch: Some(left) };
            push_limits(LogicalPlan { id, op, inputs }, cx)
        }
        LogicalOp::Project { exprs } => {
            let input = push_limits(limit(inputs), cx)?;
            Ok(LogicalPlan::unary(below, LogicalOp::Project { exprs }, input))
        }
        LogicalOp::Sort { keys, fetch: inner, .. } => {
            let inner = inner.map_or(needed, |n| n.min(needed));
            let sort =
                LogicalPlan { id: below, op: LogicalOp::Sort { keys, fetch: Some(inner), global: true }, inputs };
            let sort = sort.try_map_inputs(&mut |input| push_limits(input, cx))?;
            Ok(if skip == 0 { sort } else { limit(vec![sort]) })
        }
        LogicalOp::Scan(mut scan) => {
            scan.limit = Some(scan.limit.map_or(needed, |n| n.min(needed)));
            Ok(limit(vec![LogicalPlan { id: below, op: LogicalOp::Scan(scan), inputs }]))
        }
        LogicalOp::Union { columns } => {
            let capped = inputs.into_iter().map(|input| cap(input, needed, cx)).collect::<Result<_>>()?;
            Ok(limit(vec![LogicalPlan { id: below, op: LogicalOp::Union { columns }, inputs: capped }]))
        }
        LogicalOp::Join { kind, on, residual, null_aware, hint } => {
            // Each row of this side gives at least one row.
            let side = match kind {
                JoinKind::Left | JoinKind::LeftSingle(_) | JoinKind::Mark(_) => Some(0),
                JoinKind::Right => Some(1),
                _ => None,
            };
            let mut capped = Vec::with_capacity(inputs.len());
            for (i, input) in inputs.into_iter().enumerate() {
                capped.push(if side == Some(i) { cap(input, needed, cx)? } else { push_limits(input, cx)? });
            }
            let op = LogicalOp::Join { kind, on, residual, null_aware, hint };
            Ok(limit(vec![LogicalPlan { id: below, op, inputs: capped }]))
        }
        op => {
            let input = push_limits(LogicalPlan { id: below, op, inputs }, cx)?;
            Ok(limit(vec![input]))
        }
    }
}

/// No more than `rows` rows of `plan`.
fn cap(plan: LogicalPlan, rows: u64, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    let plan = push_limits(plan, cx)?;
    if max_rows(&plan).is_some_and(|n| n <= rows) {
        return Ok(plan);
    }
    let op = LogicalOp::Limit { skip: 0, fetch: Some(rows) };
    push_limits(LogicalPlan::unary(cx.ids.node(), op, plan), cx)
}

/// Removes limits that do not limit; exact counts of what has run make more of these.
pub(crate) struct EliminateLimits;

impl OptimizerRule for EliminateLimits {
    fn name(&self) -> &'static str {
        "EliminateLimits"
    }

    fn phase(&self) -> Phase {
        Phase::EveryStep
    }

    fn rewrite(&self, plan: LogicalPlan, _: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| {
            let LogicalOp::Limit { skip: 0, fetch } = node.op else { return Ok(node) };
            let useless = |input: &LogicalPlan| fetch.is_none_or(|n| max_rows(input).is_some_and(|rows| rows <= n));
            Ok(without(node, useless))
        })
    }
}

/// Removes what a single row does not need; exact counts of what has run make more of these.
pub(crate) struct OptimizeOneRowPlan;

impl OptimizerRule for OptimizeOneRowPlan {
    fn name(&self) -> &'static str {
        "OptimizeOneRowPlan"
    }

    fn phase(&self) -> Phase {
        Phase::EveryStep
    }

    fn rewrite(&self, plan: LogicalPlan, _: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let one_row = |input: &LogicalPlan| max_rows(input).is_some_and(|rows| rows <= 1);
        plan.transform_up(&mut |mut node| match node.op {
            // It is in order.
            LogicalOp::Sort { fetch, .. } if fetch.is_none_or(|n| n > 0) => Ok(without(node, one_row)),
            // It is a group.
            LogicalOp::Aggregate { keys, aggregates }
                if aggregates.is_empty() && !keys.is_empty() && node.inputs.first().is_some_and(one_row) =>
            {
                node.op = LogicalOp::Project { exprs: keys };
                Ok(node)
            }
            _ => Ok(node),
        })
    }
}

/// The input of a node, if the node is useless over it; else the node.
fn without(mut node: LogicalPlan, useless: impl Fn(&LogicalPlan) -> bool) -> LogicalPlan {
    if node.inputs.first().is_some_and(useless) { node.inputs.swap_remove(0) } else { node }
}

/// Removes orders that nobody sees.
pub(crate) struct RemoveSorts;

impl OptimizerRule for RemoveSorts {
    fn name(&self) -> &'static str {
        "EliminateSorts"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        remove_sorts(plan, true)
    }
}

/// `seen`: the order of the rows matters above.
fn remove_sorts(mut plan: LogicalPlan, seen: bool) -> Result<LogicalPlan> {
    if let LogicalOp::Sort { fetch: None, .. } = &plan.op
        && !seen
        && let Some(input) = plan.inputs.pop()
    {
        return remove_sorts(input, false);
    }
    let below = match &plan.op {
        LogicalOp::Filter { .. } | LogicalOp::Project { .. } | LogicalOp::Expand { .. } => seen,
        LogicalOp::Limit { .. } => true,
        LogicalOp::Aggregate { aggregates, .. } => !aggregates.iter().all(|a| ignores_order(&a.call.function)),
        _ => false,
    };
    plan.try_map_inputs(&mut |input| remove_sorts(input, below))
}

fn ignores_order(aggregate: &str) -> bool {
    matches!(
        aggregate,
        "sum"
            | "count"
            | "min"
            | "max"
            | "avg"
            | "mean"
            | "stddev"
            | "stddev_samp"
            | "stddev_pop"
            | "variance"
            | "var_samp"
            | "var_pop"
            | "bool_and"
            | "bool_or"
            | "every"
            | "some"
            | "any"
            | "approx_count_distinct"
            | "count_if"
            | "median"
            | "percentile"
    )
}
