//! Filters on marks become semi and anti joins.
//!
//! The binder makes a BOOLEAN column, a mark, of each EXISTS and IN. Where such a column is only
//! filtered by, the rows can be filtered by the join itself. `NOT IN` keeps a row only if the answer is
//! false, not if it is unknown, so its condition becomes `condition OR condition IS NULL`; unnesting
//! recognises this form and makes a null-aware join of it.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, Result};
use firesteel_expr::{Expr, op};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{filter, not_false};

/// Turns filters on marks into semi and anti joins.
pub(crate) struct MarksToJoins;

type Uses = BTreeMap<ColumnId, usize>;

impl OptimizerRule for MarksToJoins {
    fn name(&self) -> &'static str {
        "MarksToJoins"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let mut uses = Uses::new();
        count_positional(&plan, &mut uses);
        plan.visit(&mut |node| {
            for expr in node.expressions() {
                expr.visit(&mut |e| {
                    if let Expr::Column(column) = e {
                        *uses.entry(column.id).or_default() += 1;
                    }
                });
            }
            if matches!(node.op, LogicalOp::Union { .. } | LogicalOp::SetOp { .. }) {
                node.inputs.iter().for_each(|input| count_positional(input, &mut uses));
            }
        });
        plan.transform_up(&mut |node| Ok(rewrite_node(node, &uses, cx)))
    }
}

fn count_positional(plan: &LogicalPlan, uses: &mut Uses) {
    for id in plan.column_ids() {
        *uses.entry(id).or_default() += 1;
    }
}

fn rewrite_node(mut node: LogicalPlan, uses: &Uses, cx: &OptimizerContext<'_>) -> LogicalPlan {
    match node.op {
        LogicalOp::Filter { predicate } => {
            let Some(mut input) = node.inputs.pop() else {
                return LogicalPlan { op: LogicalOp::Filter { predicate }, ..node };
            };
            let mut kept = Vec::new();
            let all = predicate.conjuncts();
            let count = all.len();
            for conjunct in all {
                match as_mark(&conjunct) {
                    Some((mark, negated)) if uses.get(&mark) == Some(&1) => {
                        if !convert(&mut input, mark, negated) {
                            kept.push(conjunct);
                        }
                    }
                    _ => kept.push(conjunct),
                }
            }
            if kept.len() < count {
                return filter(cx.ids, kept, input);
            }
            LogicalPlan::unary(node.id, LogicalOp::Filter { predicate: Expr::and(kept) }, input)
        }
        LogicalOp::DependentJoin { kind: JoinKind::Mark(ref mark), .. }
        | LogicalOp::Join { kind: JoinKind::Mark(ref mark), .. }
            if !uses.contains_key(&mark.id) =>
        {
            node.inputs.swap_remove(0)
        }
        op => LogicalPlan { op, ..node },
    }
}

/// If the predicate is a column or its negation: which, and whether it is negated.
fn as_mark(predicate: &Expr) -> Option<(ColumnId, bool)> {
    if let Some([inner]) = predicate.as_call(op::NOT) {
        return inner.as_column().map(|c| (c.id, true));
    }
    predicate.as_column().map(|c| (c.id, false))
}

/// Finds the join that makes `mark`, where each row below is one row above, and changes its kind.
fn convert(plan: &mut LogicalPlan, mark: ColumnId, negated: bool) -> bool {
    let new_kind = if negated { JoinKind::LeftAnti } else { JoinKind::LeftSemi };
    match &mut plan.op {
        LogicalOp::DependentJoin { kind, condition } => {
            if matches!(kind, JoinKind::Mark(column) if column.id == mark) {
                *kind = new_kind;
                if negated {
                    *condition = condition.take().map(|c| not_false(Expr::and([c])));
                }
                return true;
            }
        }
        LogicalOp::Join { kind, null_aware, .. } => {
            if matches!(kind, JoinKind::Mark(column) if column.id == mark) {
                *kind = new_kind;
                *null_aware &= negated;
                return true;
            }
        }
        LogicalOp::Filter { .. } => {}
        _ => return false,
    }
    let descends = match &plan.op {
        LogicalOp::DependentJoin { kind, .. } | LogicalOp::Join { kind, .. } => {
            !matches!(kind, JoinKind::Right | JoinKind::Full)
        }
        _ => true,
    };
    descends && plan.inputs.first_mut().is_some_and(|input| convert(input, mark, negated))
}
