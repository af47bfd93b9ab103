//! Projections are merged, and those that change nothing removed.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{ColumnMap, is_deterministic, substitute};

/// Merges projections with what is below them.
pub(crate) struct CollapseProjects;

impl OptimizerRule for CollapseProjects {
    fn name(&self) -> &'static str {
        "CollapseProject"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| Ok(collapse(node, cx)))
    }
}

fn collapse(mut node: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
    let Some(mut input) = node.inputs.pop() else { return node };
    if !node.inputs.is_empty() {
        node.inputs.push(input);
        return node;
    }
    match node.op {
        LogicalOp::Project { exprs } => {
            // Exactly the input's columns, in their order.
            let columns = input.columns();
            let same = |((column, expr), below): (&(ColumnRef, Expr), &ColumnRef)| {
                column == below && expr.as_column() == Some(below)
            };
            if exprs.len() == columns.len() && exprs.iter().zip(&columns).all(same) {
                return input;
            }
            if let LogicalOp::Project { exprs: inner } = &input.op
                && mergeable(exprs.iter().map(|(_, e)| e), inner, cx)
                && let Some(below) = input.inputs.pop()
            {
                let map: ColumnMap = inner.iter().map(|(c, e)| (c.id, e.clone())).collect();
                let exprs = exprs.into_iter().map(|(c, e)| (c, substitute(e, &map))).collect();
                // What was merged may change nothing any more, or go on to merge.
                return collapse(LogicalPlan::unary(node.id, LogicalOp::Project { exprs }, below), cx);
            }
            node.op = LogicalOp::Project { exprs };
        }
        LogicalOp::Aggregate { keys, aggregates } => {
            let op = LogicalOp::Aggregate { keys, aggregates };
            let grouped = LogicalPlan { id: node.id, op, inputs: Vec::new() };
            if let LogicalOp::Project { exprs: inner } = &input.op
                && mergeable(grouped.expressions().into_iter(), inner, cx)
                && let Some(below) = input.inputs.pop()
            {
                let map: ColumnMap = inner.iter().map(|(c, e)| (c.id, e.clone())).collect();
                let mut merged = grouped.map_expressions(&mut |e| substitute(e, &map));
                merged.inputs = vec![below];
                return collapse(merged, cx);
            }
            return LogicalPlan { inputs: vec![input], ..grouped };
        }
        op => node.op = op,
    }
    node.inputs.push(input);
    node
}

/// Whether nothing is computed more often, or another number of times, once `inner` is merged.
fn mergeable<'e>(
    outer: impl Iterator<Item = &'e Expr>,
    inner: &[(ColumnRef, Expr)],
    cx: &OptimizerContext<'_>,
) -> bool {
    let mut uses: BTreeMap<ColumnId, usize> = BTreeMap::new();
    for expr in outer {
        expr.visit(&mut |e| {
            if let Expr::Column(column) = e {
                *uses.entry(column.id).or_default() += 1;
            }
        });
    }
    inner.iter().all(|(column, expr)| {
        let cheap = matches!(expr, Expr::Column(_) | Expr::Literal(_));
        cheap || (uses.get(&column.id).copied().unwrap_or(0) <= 1 && is_deterministic(expr, cx))
    })
}
