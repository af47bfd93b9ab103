//! Copies of plans with new ids.
//!
//! A plan that is used twice in a query must not bring the same column ids twice.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, Error, IdGenerator, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::util::{ColumnMap, substitute};

/// A copy of `plan` with new node and column ids, and what has become of each column. Columns that
/// the plan does not make itself stay.
pub(crate) fn fresh_copy(
    plan: &LogicalPlan,
    ids: &IdGenerator,
) -> Result<(LogicalPlan, BTreeMap<ColumnId, ColumnRef>)> {
    let mut map = BTreeMap::new();
    let copy = copy_into(plan, ids, &mut map)?;
    Ok((copy, map))
}

fn copy_into(plan: &LogicalPlan, ids: &IdGenerator, map: &mut BTreeMap<ColumnId, ColumnRef>) -> Result<LogicalPlan> {
    let mut inputs = Vec::with_capacity(plan.inputs.len());
    for input in &plan.inputs {
        inputs.push(copy_into(input, ids, map)?);
    }
    let mut renew = |column: &ColumnRef| -> ColumnRef {
        map.entry(column.id).or_insert_with(|| ColumnRef { id: ids.column(), ..column.clone() }).clone()
    };
    let op = match plan.op.clone() {
        LogicalOp::Scan(mut scan) => {
            scan.source = scan.source.iter().map(&mut renew).collect();
            scan.columns = scan.columns.iter().map(&mut renew).collect();
            LogicalOp::Scan(scan)
        }
        LogicalOp::Values { columns, rows } => {
            LogicalOp::Values { columns: columns.iter().map(&mut renew).collect(), rows }
        }
        LogicalOp::Union { columns } => LogicalOp::Union { columns: columns.iter().map(&mut renew).collect() },
        LogicalOp::SetOp { operation, all, columns } => {
            LogicalOp::SetOp { operation, all, columns: columns.iter().map(&mut renew).collect() }
        }
        LogicalOp::Expand { columns, projections } => {
            LogicalOp::Expand { columns: columns.iter().map(&mut renew).collect(), projections }
        }
        LogicalOp::Project { exprs } => {
            LogicalOp::Project { exprs: exprs.into_iter().map(|(c, e)| (renew(&c), e)).collect() }
        }
        LogicalOp::Aggregate { keys, mut aggregates } => {
            aggregates.iter_mut().for_each(|a| a.column = renew(&a.column));
            LogicalOp::Aggregate { keys: keys.into_iter().map(|(c, e)| (renew(&c), e)).collect(), aggregates }
        }
        LogicalOp::Window { partition_by, order_by, mut calls } => {
            calls.iter_mut().for_each(|call| call.column = renew(&call.column));
            LogicalOp::Window { partition_by, order_by, calls }
        }
        LogicalOp::Join { kind: JoinKind::Mark(mark), on, residual, null_aware, hint } => {
            LogicalOp::Join { kind: JoinKind::Mark(renew(&mark)), on, residual, null_aware, hint }
        }
        LogicalOp::DependentJoin { kind: JoinKind::Mark(mark), condition } => {
            LogicalOp::DependentJoin { kind: JoinKind::Mark(renew(&mark)), condition }
        }
        LogicalOp::Pinned(_) => return Err(Error::internal("a subtree that has started cannot be copied")),
        other => other,
    };
    let renamed: ColumnMap = map.iter().map(|(id, c)| (*id, Expr::Column(c.clone()))).collect();
    Ok(LogicalPlan { id: ids.node(), op, inputs }.map_expressions(&mut |e| substitute(e, &renamed)))
}
