//! Relations that are known to be empty, and what follows for what is above them.
//!
//! Runs at every step: an input that has run and returned nothing is empty, whatever it cost.

use firesteel_common::{Result, Scalar};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule, Phase};
use crate::util::{max_rows, pass};

/// Replaces what cannot return rows by the empty relation.
pub(crate) struct PropagateEmpty;

impl OptimizerRule for PropagateEmpty {
    fn name(&self) -> &'static str {
        "PropagateEmptyRelation"
    }

    fn adaptive_name(&self) -> &'static str {
        "AQEPropagateEmptyRelation"
    }

    fn phase(&self) -> Phase {
        Phase::EveryStep
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| Ok(propagate(node, cx)))
    }
}

fn is_false(predicate: &Expr) -> bool {
    match predicate {
        Expr::Literal(value) => value.is_null() || *value == Scalar::Boolean(false),
        Expr::And(parts) => parts.iter().any(is_false),
        _ => false,
    }
}

fn propagate(node: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
    if node.is_empty_relation() {
        return node;
    }
    let empty = |i: usize| node.inputs.get(i).is_some_and(LogicalPlan::is_empty_relation);
    let vanishes = match &node.op {
        LogicalOp::Pinned(_) => max_rows(&node) == Some(0),
        LogicalOp::Scan(scan) => scan.limit == Some(0) || scan.filters.iter().any(is_false),
        LogicalOp::Filter { predicate } => empty(0) || is_false(predicate),
        LogicalOp::Project { .. } | LogicalOp::Expand { .. } | LogicalOp::Window { .. } => empty(0),
        LogicalOp::Sort { fetch, .. } => empty(0) || *fetch == Some(0),
        LogicalOp::Limit { fetch, .. } => empty(0) || *fetch == Some(0),
        LogicalOp::Aggregate { keys, .. } => empty(0) && !keys.is_empty(),
        // A redistribution that the user asked for stays, but for no rows there is nothing to move.
        LogicalOp::Repartition { .. } => empty(0),
        LogicalOp::Union { .. } => node.inputs.iter().all(LogicalPlan::is_empty_relation),
        LogicalOp::Join { .. } | LogicalOp::DependentJoin { .. } => return propagate_join(node, cx),
        _ => false,
    };
    if vanishes {
        return LogicalPlan::empty(node.id, node.columns());
    }
    if let LogicalOp::Union { columns } = &node.op
        && node.inputs.iter().any(LogicalPlan::is_empty_relation)
    {
        return union_of_rest(columns.clone(), node);
    }
    node
}

/// A union without its empty inputs; with one left, a projection of that one.
fn union_of_rest(columns: Vec<ColumnRef>, mut node: LogicalPlan) -> LogicalPlan {
    node.inputs.retain(|input| !input.is_empty_relation());
    if node.inputs.len() == 1
        && let Some(input) = node.inputs.pop()
    {
        let exprs = columns.into_iter().zip(input.columns().into_iter().map(Expr::Column)).collect();
        return LogicalPlan::unary(node.id, LogicalOp::Project { exprs }, input);
    }
    node
}

fn propagate_join(mut node: LogicalPlan, _: &OptimizerContext<'_>) -> LogicalPlan {
    let LogicalOp::Join { kind, on, residual, .. } = &node.op else { return node };
    let empty = |i: usize| node.inputs.get(i).is_some_and(LogicalPlan::is_empty_relation);
    let never = residual.as_ref().is_some_and(is_false);
    let (left, right) = (empty(0), empty(1));
    let unconditional = on.is_empty() && residual.is_none();
    let right_has_rows = node.inputs.get(1).is_some_and(always_rows);
    let columns = node.columns();
    match kind {
        JoinKind::Inner if left || right || never => LogicalPlan::empty(node.id, columns),
        JoinKind::LeftSemi if left || right || never => LogicalPlan::empty(node.id, columns),
        JoinKind::Left | JoinKind::LeftAnti | JoinKind::LeftSingle(_) | JoinKind::Mark(_) if left => {
            LogicalPlan::empty(node.id, columns)
        }
        JoinKind::Right if right => LogicalPlan::empty(node.id, columns),
        JoinKind::Full if left && right => LogicalPlan::empty(node.id, columns),
        JoinKind::LeftSemi if unconditional && right_has_rows => node.inputs.swap_remove(0),
        JoinKind::LeftAnti if unconditional && right_has_rows => LogicalPlan::empty(node.id, columns),
        JoinKind::LeftAnti if right || never => node.inputs.swap_remove(0),
        JoinKind::Left | JoinKind::LeftSingle(_) | JoinKind::Full
            if right || (never && !matches!(kind, JoinKind::Full)) =>
        {
            padded(node.id, columns, node.inputs.swap_remove(0), &Expr::null)
        }
        JoinKind::Right | JoinKind::Full if left || (never && !matches!(kind, JoinKind::Full)) => {
            padded(node.id, columns, node.inputs.swap_remove(1), &Expr::null)
        }
        JoinKind::Mark(_) if right => padded(node.id, columns, node.inputs.swap_remove(0), &|_| Expr::false_()),
        _ => node,
    }
}

/// `plan` with `columns`, of which it lacks some.
fn padded(
    id: firesteel_common::NodeId,
    columns: Vec<ColumnRef>,
    plan: LogicalPlan,
    value: &dyn Fn(firesteel_common::SqlType) -> Expr,
) -> LogicalPlan {
    let known = plan.columns();
    let exprs = columns
        .into_iter()
        .map(|column| match pass(known.iter().filter(|k| **k == column).cloned()).pop() {
            Some(passed) => passed,
            None => (column.clone(), value(column.ty)),
        })
        .collect();
    LogicalPlan::unary(id, LogicalOp::Project { exprs }, plan)
}

/// Whether a plan is known to return rows.
fn always_rows(plan: &LogicalPlan) -> bool {
    match &plan.op {
        LogicalOp::Values { rows, .. } => !rows.is_empty(),
        LogicalOp::Aggregate { keys, .. } => keys.is_empty(),
        LogicalOp::Project { .. } => plan.inputs.first().is_some_and(always_rows),
        LogicalOp::Pinned(pinned) => pinned.finished && pinned.stats.exact && pinned.stats.rows > 0.0,
        _ => false,
    }
}
