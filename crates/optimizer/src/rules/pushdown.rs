//! Filter pushdown and the splitting of join conditions.
//!
//! Predicates travel down as conjuncts until an operator would change their meaning; what reaches a
//! join and compares its two sides becomes a key, what reads one side goes on to that side, and the
//! rest is the residual. What reaches a scan is filtered there.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::unnest::two;
use crate::util::{
    ColumnMap, as_join_key, column_set, is_constant, is_deterministic, key_predicate, substitute, within,
};

/// Moves filters down and splits join conditions.
pub(crate) struct PushDownFilters;

impl OptimizerRule for PushDownFilters {
    fn name(&self) -> &'static str {
        "PushDownPredicates"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        push(plan, Vec::new(), cx)
    }
}

/// Conjuncts that cannot move and those that can.
type Split = (Vec<Expr>, Vec<Expr>);

/// `plan` filtered by all of `predicates`.
fn push(plan: LogicalPlan, predicates: Vec<Expr>, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    let LogicalPlan { id, op, mut inputs } = plan;
    match op {
        LogicalOp::Filter { predicate } => {
            let mut all = predicate.conjuncts();
            // A filter that is not deterministic sees the rows that it saw before.
            let (fixed, mut movable): Split = all.drain(..).partition(|c| !is_deterministic(c, cx));
            if !fixed.is_empty() {
                movable.splice(0..0, fixed);
                let input = push_into(inputs, Vec::new(), cx)?;
                let node = LogicalPlan { id, op: LogicalOp::Filter { predicate: Expr::and(movable) }, inputs: input };
                return Ok(keep(predicates, node, cx));
            }
            movable.extend(predicates);
            match inputs.pop() {
                Some(input) => push(input, distinct(movable), cx),
                None => Err(firesteel_common::Error::internal("a filter lacks its input")),
            }
        }
        LogicalOp::Scan(mut scan) => {
            let source: BTreeSet<ColumnId> = scan.source.iter().map(|c| c.id).collect();
            let limited = scan.limit.is_some();
            let (kept, taken): Split =
                predicates.into_iter().partition(|p| limited || is_constant(p) || !within(p, &source));
            scan.filters.extend(taken);
            scan.filters = distinct(std::mem::take(&mut scan.filters));
            Ok(keep(kept, LogicalPlan { id, op: LogicalOp::Scan(scan), inputs }, cx))
        }
        LogicalOp::Project { exprs } => push_project(id, exprs, inputs, predicates, cx),
        LogicalOp::Aggregate { ref keys, .. } if !keys.is_empty() => {
            let map: ColumnMap = keys.iter().map(|(c, e)| (c.id, e.clone())).collect();
            let (kept, moved): Split = predicates.into_iter().partition(|p| {
                is_constant(p) || !p.reads_only(|c| map.get(&c).is_some_and(|e| is_deterministic(e, cx)))
            });
            let moved = moved.into_iter().map(|p| substitute(p, &map)).collect();
            Ok(keep(kept, LogicalPlan { id, op, inputs: push_into(inputs, moved, cx)? }, cx))
        }
        LogicalOp::Window { ref partition_by, .. } => {
            let whole: BTreeSet<ColumnId> = partition_by.iter().filter_map(Expr::as_column).map(|c| c.id).collect();
            let (moved, kept): Split = predicates.into_iter().partition(|p| !is_constant(p) && within(p, &whole));
            Ok(keep(kept, LogicalPlan { id, op, inputs: push_into(inputs, moved, cx)? }, cx))
        }
        LogicalOp::Union { columns } => push_union(id, columns, inputs, predicates, cx),
        LogicalOp::Join { kind, on, residual, null_aware, hint } => {
            let join = JoinParts { kind, on, residual, null_aware, hint };
            push_join(id, join, inputs, predicates, cx)
        }
        op @ (LogicalOp::Sort { fetch: None, .. } | LogicalOp::Repartition { .. }) => {
            Ok(LogicalPlan { id, op, inputs: push_into(inputs, predicates, cx)? })
        }
        op => {
            let inputs = inputs.into_iter().map(|input| push(input, Vec::new(), cx)).collect::<Result<_>>()?;
            Ok(keep(predicates, LogicalPlan { id, op, inputs }, cx))
        }
    }
}

fn push_into(inputs: Vec<LogicalPlan>, predicates: Vec<Expr>, cx: &OptimizerContext<'_>) -> Result<Vec<LogicalPlan>> {
    inputs.into_iter().map(|input| push(input, predicates.clone(), cx)).collect()
}

/// A filter above `plan`.
fn keep(predicates: Vec<Expr>, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
    crate::util::filter(cx.ids, distinct(predicates), plan)
}

/// The predicates, each once.
fn distinct(predicates: Vec<Expr>) -> Vec<Expr> {
    let mut all: Vec<Expr> = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        if !all.contains(&predicate) {
            all.push(predicate);
        }
    }
    all
}

fn push_project(
    id: firesteel_common::NodeId,
    exprs: Vec<(ColumnRef, Expr)>,
    inputs: Vec<LogicalPlan>,
    predicates: Vec<Expr>,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let map: ColumnMap = exprs.iter().map(|(c, e)| (c.id, e.clone())).collect();
    let movable = |p: &Expr| p.reads_only(|c| map.get(&c).is_some_and(|e| is_deterministic(e, cx)));
    let (moved, kept): Split = predicates.into_iter().partition(movable);
    let moved = moved.into_iter().flat_map(|p| substitute(p, &map).conjuncts()).collect();
    let node = LogicalPlan { id, op: LogicalOp::Project { exprs }, inputs: push_into(inputs, moved, cx)? };
    Ok(keep(kept, node, cx))
}

fn push_union(
    id: firesteel_common::NodeId,
    columns: Vec<ColumnRef>,
    inputs: Vec<LogicalPlan>,
    predicates: Vec<Expr>,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let mut pushed = Vec::with_capacity(inputs.len());
    for input in inputs {
        let below = input.columns().into_iter().map(Expr::Column);
        let map: ColumnMap = columns.iter().map(|c| c.id).zip(below).collect();
        let own = predicates.iter().map(|p| substitute(p.clone(), &map)).collect();
        pushed.push(push(input, own, cx)?);
    }
    Ok(LogicalPlan { id, op: LogicalOp::Union { columns }, inputs: pushed })
}

/// What a join node is besides its inputs.
struct JoinParts {
    kind: JoinKind,
    on: Vec<JoinKey>,
    residual: Option<Expr>,
    null_aware: bool,
    hint: JoinHint,
}

/// Whether conditions of the join that read one side only may filter that side: (left, right).
fn condition_moves(kind: &JoinKind) -> (bool, bool) {
    match kind {
        JoinKind::Inner | JoinKind::LeftSemi => (true, true),
        JoinKind::Left | JoinKind::LeftSingle(_) | JoinKind::LeftAnti | JoinKind::Mark(_) => (false, true),
        JoinKind::Right => (true, false),
        JoinKind::Full => (false, false),
    }
}

/// Whether filters above the join that read one side only may filter that side: (left, right).
fn filter_moves(kind: &JoinKind) -> (bool, bool) {
    match kind {
        JoinKind::Inner => (true, true),
        JoinKind::Right => (false, true),
        JoinKind::Full => (false, false),
        _ => (true, false),
    }
}

fn push_join(
    id: firesteel_common::NodeId,
    join: JoinParts,
    inputs: Vec<LogicalPlan>,
    predicates: Vec<Expr>,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let JoinParts { kind, on, residual, null_aware, hint } = join;
    let [left, right] = two(inputs)?;
    let (left_columns, right_columns) = (column_set(&left), column_set(&right));
    let inner = matches!(kind, JoinKind::Inner);
    let mut to_left = Vec::new();
    let mut to_right = Vec::new();
    let mut above = Vec::new();
    let mut conditions: Vec<Expr> = residual.map(Expr::conjuncts).unwrap_or_default();
    let (filter_left, filter_right) = filter_moves(&kind);
    for predicate in predicates {
        if inner {
            conditions.push(predicate);
        } else if filter_left && !is_constant(&predicate) && within(&predicate, &left_columns) {
            to_left.push(predicate);
        } else if filter_right && !is_constant(&predicate) && within(&predicate, &right_columns) {
            to_right.push(predicate);
        } else {
            above.push(predicate);
        }
    }
    if null_aware {
        // The one key is all there is, and its NULLs count.
        let op = LogicalOp::Join { kind, on, residual: None, null_aware, hint };
        let node = LogicalPlan::binary(id, op, push(left, to_left, cx)?, push(right, to_right, cx)?);
        return Ok(keep(above, node, cx));
    }
    let (condition_left, condition_right) = condition_moves(&kind);
    // Keys may have become one-sided or constant by other rules: they are sorted in anew.
    let mut keys: Vec<JoinKey> = Vec::new();
    let mut rest = Vec::new();
    for condition in distinct(on.into_iter().map(key_predicate).chain(conditions).collect()) {
        if !is_deterministic(&condition, cx) {
            rest.push(condition);
        } else if condition_left && within(&condition, &left_columns) {
            to_left.push(condition);
        } else if condition_right && !is_constant(&condition) && within(&condition, &right_columns) {
            to_right.push(condition);
        } else if let Some(key) = as_join_key(&condition, &left_columns, &right_columns, cx) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        } else {
            if condition_left {
                to_left.extend(implied(&condition, &left_columns));
            }
            if condition_right {
                to_right.extend(implied(&condition, &right_columns));
            }
            rest.push(condition);
        }
    }
    let residual = (!rest.is_empty()).then(|| Expr::and(rest));
    let op = LogicalOp::Join { kind, on: keys, residual, null_aware, hint };
    let node = LogicalPlan::binary(id, op, push(left, to_left, cx)?, push(right, to_right, cx)?);
    Ok(keep(above, node, cx))
}

/// What a disjunction says of one side alone: `(a = 1 AND b = 2) OR (a = 3 AND b = 4)` implies
/// `a = 1 OR a = 3`.
fn implied(condition: &Expr, side: &BTreeSet<ColumnId>) -> Option<Expr> {
    let Expr::Or(parts) = condition else { return None };
    let mut disjuncts = Vec::with_capacity(parts.len());
    for part in parts {
        let own: Vec<Expr> =
            part.clone().conjuncts().into_iter().filter(|c| !is_constant(c) && within(c, side)).collect();
        if own.is_empty() {
            return None;
        }
        disjuncts.push(Expr::and(own));
    }
    Some(Expr::or(distinct(disjuncts)))
}
