//! Filters that follow from others through equalities.
//!
//! Where a region of inner joins says `a = b`, what the query says of `a` alone in a comparison with
//! literals holds for `b` as well. Both tables are then filtered before they meet.

use firesteel_common::Result;
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{ColumnMap, filter, substitute};

/// Copies comparisons with literals to equal columns.
pub(crate) struct InferFilters;

impl OptimizerRule for InferFilters {
    fn name(&self) -> &'static str {
        "InferFiltersFromConstraints"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let plan = plan.try_map_inputs(&mut |input| self.rewrite(input, cx))?;
        let LogicalOp::Join { kind, on, .. } = &plan.op else { return Ok(plan) };
        // Which side may be filtered by what is known of the other.
        let (to_left, to_right) = match kind {
            JoinKind::Inner | JoinKind::LeftSemi => (true, true),
            JoinKind::Left | JoinKind::LeftSingle(_) | JoinKind::LeftAnti => (false, true),
            JoinKind::Right => (true, false),
            JoinKind::Full | JoinKind::Mark(_) => (false, false),
        };
        if matches!(&plan.op, LogicalOp::Join { null_aware: true, .. }) {
            return Ok(plan);
        }
        let pairs: Vec<(ColumnRef, ColumnRef)> =
            on.iter().filter_map(|k| Some((k.left.as_column()?.clone(), k.right.as_column()?.clone()))).collect();
        let mut constraints: Vec<Vec<Expr>> = plan.inputs.iter().map(constraints).collect();
        let mut add: [Vec<Expr>; 2] = [Vec::new(), Vec::new()];
        // What was copied to one side may be copied back to another column of the first.
        loop {
            let before = add[0].len() + add[1].len();
            for (left, right) in &pairs {
                if to_right {
                    let new = copied(&constraints[0], &constraints[1], left, right);
                    constraints[1].extend(new.iter().cloned());
                    add[1].extend(new);
                }
                if to_left {
                    let new = copied(&constraints[1], &constraints[0], right, left);
                    constraints[0].extend(new.iter().cloned());
                    add[0].extend(new);
                }
            }
            if add[0].len() + add[1].len() == before {
                break;
            }
        }
        let LogicalPlan { id, op, inputs } = plan;
        let inputs = inputs.into_iter().zip(add).map(|(input, new)| filter(cx.ids, new, input)).collect();
        Ok(LogicalPlan { id, op, inputs })
    }
}

/// What is known of `from`, said of `to`, without what is known already.
fn copied(known: &[Expr], there: &[Expr], from: &ColumnRef, to: &ColumnRef) -> Vec<Expr> {
    let map: ColumnMap = [(from.id, Expr::Column(to.clone()))].into();
    known
        .iter()
        .filter(|c| c.columns() == [from.clone()])
        .map(|c| substitute(c.clone(), &map))
        .filter(|c| !there.contains(c))
        .collect()
}

/// Comparisons of columns with literals that hold for all rows of a plan.
fn constraints(plan: &LogicalPlan) -> Vec<Expr> {
    let input = |i: usize| plan.inputs.get(i).map(constraints).unwrap_or_default();
    let mut known: Vec<Expr> = match &plan.op {
        LogicalOp::Scan(scan) => scan.filters.iter().filter(|f| is_simple(f)).cloned().collect(),
        LogicalOp::Filter { predicate } => {
            let own = predicate.clone().conjuncts().into_iter().filter(is_simple);
            input(0).into_iter().chain(own).collect()
        }
        LogicalOp::Sort { .. } | LogicalOp::Limit { .. } | LogicalOp::Repartition { .. } | LogicalOp::Window { .. } => {
            input(0)
        }
        LogicalOp::Project { exprs } => renamed(input(0), exprs),
        LogicalOp::Aggregate { keys, .. } if !keys.is_empty() => renamed(input(0), keys),
        LogicalOp::Join { kind, .. } => match kind {
            JoinKind::Inner => input(0).into_iter().chain(input(1)).collect(),
            JoinKind::Right => input(1),
            JoinKind::Full => Vec::new(),
            _ => input(0),
        },
        _ => Vec::new(),
    };
    known.dedup();
    known
}

/// The constraints on columns that are passed on, under their new names.
fn renamed(known: Vec<Expr>, exprs: &[(ColumnRef, Expr)]) -> Vec<Expr> {
    let mut out = Vec::new();
    for constraint in known {
        for (column, expr) in exprs {
            if let Some(source) = expr.as_column()
                && constraint.columns() == [source.clone()]
            {
                let map: ColumnMap = [(source.id, Expr::Column(column.clone()))].into();
                out.push(substitute(constraint.clone(), &map));
            }
        }
    }
    out
}

/// A comparison of one bare column with literals.
fn is_simple(predicate: &Expr) -> bool {
    let Expr::Call(call) = predicate else { return false };
    let compares = matches!(&*call.function, op::EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ | op::IN);
    let Some((Expr::Column(_), rest)) = call.args.split_first() else { return false };
    compares && !rest.is_empty() && rest.iter().all(|e| e.as_literal().is_some_and(|v| !v.is_null()))
}
