//! INTERSECT and EXCEPT become semi and anti joins on all columns, where NULL equals NULL.
//!
//! The variants with ALL count: rows are numbered among their equals on both sides, and the number is
//! one more column to compare. The third `x` on the left finds a third `x` on the right or does not.

use firesteel_common::{Result, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, Frame, WindowCall, WindowFunction};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan, SetOperation};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::unnest::two;

/// Replaces set operations by joins.
pub(crate) struct ReplaceSetOperations;

impl OptimizerRule for ReplaceSetOperations {
    fn name(&self) -> &'static str {
        "ReplaceSetOperations"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| match node.op {
            LogicalOp::SetOp { operation, all, columns } => {
                let [left, right] = two(node.inputs)?;
                Ok(replace(operation, all, columns, left, right, cx))
            }
            _ => Ok(node),
        })
    }
}

fn replace(
    operation: SetOperation,
    all: bool,
    columns: Vec<ColumnRef>,
    left: LogicalPlan,
    right: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let kind = match operation {
        SetOperation::Intersect => JoinKind::LeftSemi,
        SetOperation::Except => JoinKind::LeftAnti,
    };
    let sources = left.columns();
    let key = |(l, r): (&ColumnRef, ColumnRef)| JoinKey {
        left: Expr::Column(l.clone()),
        right: Expr::Column(r),
        null_safe: true,
    };
    let mut on: Vec<JoinKey> = sources.iter().zip(right.columns()).map(key).collect();
    let (mut left, mut right) = (left, right);
    if all {
        let (numbered_left, l) = number(left, cx);
        let (numbered_right, r) = number(right, cx);
        (left, right) = (numbered_left, numbered_right);
        on.push(JoinKey { left: Expr::Column(l), right: Expr::Column(r), null_safe: false });
    }
    let op = LogicalOp::Join { kind, on, residual: None, null_aware: false, hint: JoinHint::NONE };
    let join = LogicalPlan::binary(cx.ids.node(), op, left, right);
    let exprs = columns.into_iter().zip(sources.into_iter().map(Expr::Column)).collect();
    let op =
        if all { LogicalOp::Project { exprs } } else { LogicalOp::Aggregate { keys: exprs, aggregates: Vec::new() } };
    LogicalPlan::unary(cx.ids.node(), op, join)
}

/// The rows with their number among equal rows.
fn number(plan: LogicalPlan, cx: &OptimizerContext<'_>) -> (LogicalPlan, ColumnRef) {
    let column = ColumnRef { id: cx.ids.column(), name: "row_number".into(), ty: SqlType::Int, nullable: false };
    let call = WindowCall {
        column: column.clone(),
        function: WindowFunction::RowNumber,
        frame: Frame::running(),
        span: Span::NONE,
    };
    let partition_by: Vec<Expr> = plan.columns().into_iter().map(Expr::Column).collect();
    let op = LogicalOp::Window { partition_by, order_by: Vec::new(), calls: vec![call] };
    (LogicalPlan::unary(cx.ids.node(), op, plan), column)
}
