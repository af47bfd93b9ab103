//! Outer joins whose padded rows are filtered out anyway become inner ones; single joins whose right
//! side has one row per key become outer joins.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Result};
use firesteel_expr::Expr;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{
    ColumnMap, column_set, is_deterministic, key_predicate, max_rows, rejects_null, right_is_unique, substitute, within,
};

/// Weakens joins where nobody sees the difference.
pub(crate) struct SimplifyOuterJoins;

impl OptimizerRule for SimplifyOuterJoins {
    fn name(&self) -> &'static str {
        "EliminateOuterJoin"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        Ok(simplify(plan, &[], cx))
    }
}

/// `known`: predicates that the rows of `plan` must satisfy to be of use.
fn simplify(mut plan: LogicalPlan, known: &[Expr], cx: &OptimizerContext<'_>) -> LogicalPlan {
    let inputs = std::mem::take(&mut plan.inputs);
    let shaped = LogicalPlan { inputs, ..plan };
    let node = weaken(shaped, known, cx);
    let below: Vec<Vec<Expr>> = (0..node.inputs.len()).map(|i| passed_down(&node, known, i, cx)).collect();
    let LogicalPlan { id, op, inputs } = node;
    let inputs = inputs.into_iter().zip(below).map(|(input, known)| simplify(input, &known, cx)).collect();
    LogicalPlan { id, op, inputs }
}

fn weaken(plan: LogicalPlan, known: &[Expr], cx: &OptimizerContext<'_>) -> LogicalPlan {
    let LogicalOp::Join { kind, on, residual, null_aware, hint } = &plan.op else { return plan };
    let [left, right] = plan.inputs.as_slice() else { return plan };
    let rejects = |side: &BTreeSet<ColumnId>| known.iter().any(|k| rejects_null(k, side, cx));
    let mut kind = kind.clone();
    if matches!(kind, JoinKind::LeftSingle(_))
        && (right_is_unique(on, &plan) || max_rows(right).is_some_and(|n| n <= 1))
    {
        kind = JoinKind::Left;
    }
    kind = match kind {
        JoinKind::Left if rejects(&column_set(right)) => JoinKind::Inner,
        // One left row and one right row at most, and no condition that could fail.
        JoinKind::Left if on.is_empty() && residual.is_none() && always_one_row(right) => JoinKind::Inner,
        JoinKind::Right if rejects(&column_set(left)) => JoinKind::Inner,
        JoinKind::Full => match (rejects(&column_set(left)), rejects(&column_set(right))) {
            (true, true) => JoinKind::Inner,
            (true, false) => JoinKind::Left,
            (false, true) => JoinKind::Right,
            (false, false) => JoinKind::Full,
        },
        other => other,
    };
    let op = LogicalOp::Join { kind, on: on.clone(), residual: residual.clone(), null_aware: *null_aware, hint: *hint };
    LogicalPlan { id: plan.id, op, inputs: plan.inputs }
}

/// Whether a plan returns exactly one row whatever the data.
fn always_one_row(plan: &LogicalPlan) -> bool {
    match &plan.op {
        LogicalOp::Aggregate { keys, .. } => keys.is_empty(),
        LogicalOp::Values { rows, .. } => rows.len() == 1,
        LogicalOp::Project { .. } => plan.inputs.first().is_some_and(always_one_row),
        LogicalOp::Sort { fetch, .. } => fetch.is_none_or(|n| n > 0) && plan.inputs.first().is_some_and(always_one_row),
        _ => false,
    }
}

/// What the node asks of the rows of one of its inputs.
fn passed_down(node: &LogicalPlan, known: &[Expr], input: usize, cx: &OptimizerContext<'_>) -> Vec<Expr> {
    match &node.op {
        LogicalOp::Filter { predicate } => known.iter().cloned().chain(predicate.clone().conjuncts()).collect(),
        LogicalOp::Project { exprs } => {
            let map: ColumnMap = exprs.iter().map(|(c, e)| (c.id, e.clone())).collect();
            let movable = |k: &&Expr| k.reads_only(|id| map.get(&id).is_some_and(|e| is_deterministic(e, cx)));
            known.iter().filter(movable).map(|k| substitute(k.clone(), &map)).collect()
        }
        LogicalOp::Aggregate { keys, .. } if !keys.is_empty() => {
            let map: ColumnMap = keys.iter().map(|(c, e)| (c.id, e.clone())).collect();
            let movable = |k: &&Expr| k.reads_only(|id| map.contains_key(&id));
            known.iter().filter(movable).map(|k| substitute(k.clone(), &map)).collect()
        }
        LogicalOp::Sort { fetch: None, .. } | LogicalOp::Repartition { .. } => known.to_vec(),
        LogicalOp::Join { kind, on, residual, null_aware, .. } => {
            let own = column_set(&node.inputs[input]);
            let filters = known.iter().filter(|k| within(k, &own)).cloned();
            let conditions =
                on.iter().cloned().map(key_predicate).chain(residual.clone().map(Expr::conjuncts).unwrap_or_default());
            let condition_counts = !null_aware
                && match kind {
                    JoinKind::Inner | JoinKind::LeftSemi => true,
                    JoinKind::Left | JoinKind::LeftSingle(_) | JoinKind::LeftAnti | JoinKind::Mark(_) => input == 1,
                    JoinKind::Right => input == 0,
                    JoinKind::Full => false,
                };
            let filter_counts = match kind {
                JoinKind::Inner => true,
                JoinKind::Right => input == 1,
                JoinKind::Full => false,
                _ => input == 0,
            };
            let mut all: Vec<Expr> = Vec::new();
            if filter_counts {
                // Of an inner join, also predicates over both sides: they reject NULLs of either.
                all.extend(if matches!(kind, JoinKind::Inner) { known.to_vec() } else { filters.collect() });
            }
            if condition_counts {
                all.extend(conditions);
            }
            all
        }
        _ => Vec::new(),
    }
}
