//! Column pruning: nothing is read or computed that nobody uses.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Error, Result, SqlType};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{max_rows, pass, with_columns};

/// Removes columns that are not used.
pub(crate) struct PruneColumns;

type Ids = BTreeSet<ColumnId>;

impl OptimizerRule for PruneColumns {
    fn name(&self) -> &'static str {
        "ColumnPruning"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let columns = plan.columns();
        let needed = columns.iter().map(|c| c.id).collect();
        let pruned = prune(plan, &needed, cx)?;
        Ok(with_columns(cx.ids, pruned, columns))
    }
}

/// `plan` with at least the columns `needed`.
fn prune(plan: LogicalPlan, needed: &Ids, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    let LogicalPlan { id, op, mut inputs } = plan;
    let op = match op {
        LogicalOp::Scan(mut scan) => {
            scan.columns.retain(|c| needed.contains(&c.id));
            LogicalOp::Scan(scan)
        }
        LogicalOp::Values { columns, rows } => {
            let keep: Vec<bool> = columns.iter().map(|c| needed.contains(&c.id)).collect();
            let kept = |row: Vec<Expr>| row.into_iter().zip(&keep).filter(|(_, k)| **k).map(|(e, _)| e).collect();
            let rows = rows.into_iter().map(kept).collect();
            let columns = columns.into_iter().zip(&keep).filter(|(_, k)| **k).map(|(c, _)| c).collect();
            LogicalOp::Values { columns, rows }
        }
        LogicalOp::Project { mut exprs } => {
            exprs.retain(|(c, _)| needed.contains(&c.id));
            LogicalOp::Project { exprs }
        }
        LogicalOp::Aggregate { keys, mut aggregates } => {
            // With neither keys nor aggregates it is still one row.
            aggregates.retain(|a| needed.contains(&a.column.id));
            for aggregate in &mut aggregates {
                count_rows(aggregate);
            }
            LogicalOp::Aggregate { keys, aggregates }
        }
        LogicalOp::Expand { columns, projections } => {
            let keep: Vec<bool> = columns.iter().map(|c| needed.contains(&c.id)).collect();
            let kept = |row: Vec<Expr>| row.into_iter().zip(&keep).filter(|(_, k)| **k).map(|(e, _)| e).collect();
            let projections = projections.into_iter().map(kept).collect();
            let columns = columns.into_iter().zip(&keep).filter(|(_, k)| **k).map(|(c, _)| c).collect();
            LogicalOp::Expand { columns, projections }
        }
        LogicalOp::Window { partition_by, order_by, mut calls } => {
            calls.retain(|call| needed.contains(&call.column.id));
            if calls.is_empty() {
                let input = inputs.pop().ok_or_else(|| Error::internal("a window lacks its input"))?;
                return prune(input, needed, cx);
            }
            LogicalOp::Window { partition_by, order_by, calls }
        }
        LogicalOp::Union { columns } => {
            return prune_union(LogicalPlan { id, op: LogicalOp::Union { columns }, inputs }, needed, cx);
        }
        LogicalOp::Join { kind, on, residual, null_aware, hint } => {
            if removable(&kind, &inputs, needed) {
                return prune(inputs.swap_remove(0), needed, cx);
            }
            LogicalOp::Join { kind, on, residual, null_aware, hint }
        }
        other => other,
    };
    let positional = matches!(op, LogicalOp::SetOp { .. });
    let passes_on = !matches!(op, LogicalOp::Project { .. } | LogicalOp::Aggregate { .. } | LogicalOp::Expand { .. });
    let node = LogicalPlan { id, op, inputs };
    let mut below: Ids = node.expressions().into_iter().flat_map(Expr::columns).map(|c| c.id).collect();
    if passes_on {
        below.extend(needed.iter().copied());
    }
    if positional {
        below.extend(node.inputs.iter().flat_map(LogicalPlan::column_ids));
    }
    let trims = trims(&node.op);
    let node = node.try_map_inputs(&mut |input| {
        let columns = input.columns();
        let input = prune(input, &below, cx)?;
        if positional {
            return Ok(with_columns(cx.ids, input, columns));
        }
        Ok(if trims { trim(input, &below, cx) } else { input })
    })?;
    Ok(strip(node))
}

/// Whether the node keeps or moves whole rows, so that columns which are only filtered by below it are
/// worth a projection.
fn trims(op: &LogicalOp) -> bool {
    matches!(op, LogicalOp::Sort { .. } | LogicalOp::Window { .. } | LogicalOp::Repartition { .. })
}

/// A projection to the columns that are needed, where there are others.
fn trim(input: LogicalPlan, needed: &Ids, cx: &OptimizerContext<'_>) -> LogicalPlan {
    let columns = input.columns();
    let kept: Vec<ColumnRef> = columns.iter().filter(|c| needed.contains(&c.id)).cloned().collect();
    if kept.len() == columns.len() {
        return input;
    }
    LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs: pass(kept) }, input)
}

/// Joins, filters and what computes its own columns do not need a projection below that only drops
/// columns: these hide the joins below from each other.
fn strip(mut node: LogicalPlan) -> LogicalPlan {
    let consumer = matches!(
        node.op,
        LogicalOp::Join { .. }
            | LogicalOp::Filter { .. }
            | LogicalOp::Project { .. }
            | LogicalOp::Aggregate { .. }
            | LogicalOp::Expand { .. }
    );
    if consumer {
        for input in &mut node.inputs {
            while is_pass(input)
                && let Some(below) = input.inputs.pop()
            {
                *input = below;
            }
        }
    }
    node
}

/// A projection that only passes columns on.
fn is_pass(plan: &LogicalPlan) -> bool {
    match &plan.op {
        LogicalOp::Project { exprs } => exprs.iter().all(|(c, e)| e.as_column() == Some(c)),
        _ => false,
    }
}

/// Whether a join returns each left row once and none of the columns that it adds is needed.
fn removable(kind: &JoinKind, inputs: &[LogicalPlan], needed: &Ids) -> bool {
    let unused = |plan: &LogicalPlan| plan.column_ids().iter().all(|id| !needed.contains(id));
    match (kind, inputs) {
        (JoinKind::Mark(mark), _) => !needed.contains(&mark.id),
        (JoinKind::Left | JoinKind::LeftSingle(_), [_, right]) => {
            unused(right) && max_rows(right).is_some_and(|n| n <= 1)
        }
        _ => false,
    }
}

/// `count(x)` of what is never NULL is `count(*)`, which reads nothing.
fn count_rows(aggregate: &mut firesteel_expr::NamedAggregate) {
    let call = &mut aggregate.call;
    if &*call.function == "count"
        && !call.distinct
        && call.ty == SqlType::BigInt
        && call.args.iter().all(|arg| !arg.nullable() && matches!(arg, Expr::Column(_) | Expr::Literal(_)))
    {
        call.args.clear();
    }
}

fn prune_union(mut plan: LogicalPlan, needed: &Ids, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    let LogicalOp::Union { columns } = plan.op else { return Ok(plan) };
    let keep: Vec<bool> = columns.iter().map(|c| needed.contains(&c.id)).collect();
    let mut inputs = Vec::with_capacity(plan.inputs.len());
    for input in plan.inputs {
        let kept: Vec<ColumnRef> =
            input.columns().into_iter().zip(&keep).filter(|(_, k)| **k).map(|(c, _)| c).collect();
        let below = kept.iter().map(|c| c.id).collect();
        inputs.push(with_columns(cx.ids, prune(input, &below, cx)?, kept));
    }
    plan.inputs = inputs;
    plan.op =
        LogicalOp::Union { columns: columns.into_iter().zip(&keep).filter(|(_, k)| **k).map(|(c, _)| c).collect() };
    Ok(plan)
}
