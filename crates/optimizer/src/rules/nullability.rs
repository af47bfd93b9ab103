//! Brings the nullability that travels with column references up to date.
//!
//! Joins change whether columns may be NULL, and rewrites change joins; the references above still say
//! what was true when the query was bound. Rules and kernels that leave out NULL checks rely on them.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, Result};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};

/// Updates nullability in all expressions.
pub(crate) struct UpdateNullability;

impl OptimizerRule for UpdateNullability {
    fn name(&self) -> &'static str {
        "UpdateAttributeNullability"
    }

    fn is_required(&self) -> bool {
        // Unnesting puts outer joins below expressions that were bound without them.
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| Ok(update(node, cx)))
    }
}

fn update(node: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
    let mut known: BTreeMap<ColumnId, bool> = BTreeMap::new();
    for input in &node.inputs {
        known.extend(input.columns().into_iter().map(|c| (c.id, c.nullable)));
    }
    let inputs: Vec<Vec<ColumnRef>> = node.inputs.iter().map(LogicalPlan::columns).collect();
    let mut node = if known.is_empty() { node } else { node.map_expressions(&mut |e| refresh(e, &known, cx)) };
    match &mut node.op {
        LogicalOp::Project { exprs } => exprs.iter_mut().for_each(|(c, e)| c.nullable = e.nullable()),
        LogicalOp::Aggregate { keys, .. } => keys.iter_mut().for_each(|(c, e)| c.nullable = e.nullable()),
        LogicalOp::Expand { columns, projections } => {
            for (i, column) in columns.iter_mut().enumerate() {
                column.nullable = projections.iter().any(|p| p.get(i).is_none_or(Expr::nullable));
            }
        }
        LogicalOp::Union { columns } => {
            for (i, column) in columns.iter_mut().enumerate() {
                column.nullable = inputs.iter().any(|input| input.get(i).is_none_or(|c| c.nullable));
            }
        }
        _ => {}
    }
    node
}

fn refresh(expr: Expr, known: &BTreeMap<ColumnId, bool>, cx: &OptimizerContext<'_>) -> Expr {
    expr.transform(&mut |e| match e {
        Expr::Column(mut column) => {
            column.nullable = known.get(&column.id).copied().unwrap_or(column.nullable);
            Expr::Column(column)
        }
        Expr::Call(mut call) => {
            let any = call.args.iter().any(Expr::nullable);
            call.nullable = match &*call.function {
                op::NULL_SAFE_EQ | op::IS_NULL | op::IS_NOT_NULL => false,
                op::EQ | op::NOT_EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ | op::NOT => any,
                // Others may be NULL for reasons of their own.
                name if cx.eval.registry.scalar(name).is_some_and(|f| f.handles_null()) => call.nullable,
                _ => call.nullable || any,
            };
            Expr::Call(call)
        }
        other => other,
    })
}
