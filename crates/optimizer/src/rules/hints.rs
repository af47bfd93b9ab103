//! Hints move from the relations that they are written on to the joins of these.
//!
//! A hint reaches the join above through nodes with one input, as in Spark: `(SELECT … FROM t) JOIN u`
//! keeps what is asked for `t`, and `k IN (SELECT /*+ BROADCAST(t) */ k FROM t)` too, whose join is only made when the
//! subquery is unnested. Of several hints for one side, the outermost and leftmost counts. A hint
//! that no join is found for has no effect.

use firesteel_common::Result;
use firesteel_plan::{JoinHint, JoinKind, JoinStrategy, LogicalOp, LogicalPlan, Side};

use crate::rule::{OptimizerContext, OptimizerRule};

/// Puts hints into joins, so that no other rule meets one elsewhere.
pub(crate) struct EliminateHints;

impl OptimizerRule for EliminateHints {
    fn name(&self) -> &'static str {
        "EliminateResolvedHint"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let plan = plan.transform_up(&mut |mut node| {
            match (&mut node.op, node.inputs.as_mut_slice()) {
                (LogicalOp::Join { kind, hint, .. }, [left, right]) => {
                    let (of_left, of_right) = (take(left), take(right));
                    *hint = JoinHint { left: hint.left.or(of_left), right: hint.right.or(of_right) };
                    warn_of_forbidden(kind, *hint);
                }
                // The join is not there yet: what is asked for stays right below until it is.
                (LogicalOp::DependentJoin { .. }, [_, right]) => {
                    if let Some(strategy) = take(right) {
                        let below = std::mem::replace(right, LogicalPlan::empty(right.id, Vec::new()));
                        *right = LogicalPlan::unary(cx.ids.node(), LogicalOp::Hint { strategy }, below);
                    }
                }
                _ => {}
            }
            Ok(node)
        })?;
        Ok(without_hints(plan, false))
    }
}

/// The plan without hints, but for those right below a dependent join; `waits`: this node may be one of them.
fn without_hints(mut plan: LogicalPlan, waits: bool) -> LogicalPlan {
    let dependent = matches!(plan.op, LogicalOp::DependentJoin { .. });
    let inputs = std::mem::take(&mut plan.inputs);
    let mut inputs: Vec<LogicalPlan> =
        inputs.into_iter().enumerate().map(|(i, input)| without_hints(input, dependent && i == 1)).collect();
    match (&plan.op, inputs.pop()) {
        (LogicalOp::Hint { .. }, Some(input)) if !waits => input,
        (_, last) => {
            inputs.extend(last);
            LogicalPlan { inputs, ..plan }
        }
    }
}

/// Says, as Spark does, that a hint has no effect since the kind of the join does not allow it.
fn warn_of_forbidden(kind: &JoinKind, hint: JoinHint) {
    for (side, name) in [(Side::Left, "left"), (Side::Right, "right")] {
        let Some(strategy) = hint.of(side) else { continue };
        let allowed = match strategy {
            JoinStrategy::Broadcast | JoinStrategy::ShuffleHash => strategy.may_build(kind, side),
            JoinStrategy::ShuffleReplicateNl => *kind == JoinKind::Inner,
            JoinStrategy::ShuffleMerge => true,
        };
        if !allowed {
            tracing::warn!(
                "Hint (strategy={}) is not supported in the query: build {name} for {} join.",
                strategy.name(),
                spelled(kind)
            );
        }
    }
}

/// The kind of a join as Spark's messages have it.
fn spelled(kind: &JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left | JoinKind::LeftSingle(_) => "left outer",
        JoinKind::Right => "right outer",
        JoinKind::Full => "full outer",
        JoinKind::LeftSemi => "left semi",
        JoinKind::LeftAnti => "left anti",
        JoinKind::Mark(_) => "existence",
    }
}

/// The hint that waits below a dependent join for the join that is going to be made of it.
pub(crate) fn take_waiting(right: LogicalPlan) -> (LogicalPlan, Option<JoinStrategy>) {
    match (&right.op, right.inputs.len()) {
        (LogicalOp::Hint { strategy }, 1) => {
            let strategy = *strategy;
            let mut inputs = right.inputs;
            (inputs.swap_remove(0), Some(strategy))
        }
        _ => (right, None),
    }
}

/// Puts a hint for the right side into the join that was made of a dependent one: the topmost below projections and filters.
pub(crate) fn put(plan: &mut LogicalPlan, strategy: JoinStrategy) {
    match (&mut plan.op, plan.inputs.first_mut()) {
        (LogicalOp::Join { kind, hint, .. }, _) => {
            hint.right = Some(strategy);
            warn_of_forbidden(kind, JoinHint { left: None, right: Some(strategy) });
        }
        (LogicalOp::Project { .. } | LogicalOp::Filter { .. }, Some(input)) => put(input, strategy),
        _ => {}
    }
}

/// Takes the hints off a relation; returns the outermost one.
fn take(plan: &mut LogicalPlan) -> Option<JoinStrategy> {
    let [input] = plan.inputs.as_mut_slice() else { return None };
    let below = take(input);
    let LogicalOp::Hint { strategy } = plan.op else { return below };
    *plan = plan.inputs.swap_remove(0);
    Some(strategy)
}
