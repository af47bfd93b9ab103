//! Aggregates in two groupings: of what finer groups gave, the results of coarser ones.
//!
//! `sum(x)` of a group is the sum of the sums of its parts; `count` is a sum of counts, an extreme is the
//! extreme of extremes, an average is a sum divided by a count. Not all aggregates are like that (a
//! standard deviation needs states that no plain call returns), and an average of decimals is rounded once
//! only if it is divided where it is made: for those there is no split.

use std::sync::Arc;

use firesteel_common::{Scalar, Span, SqlType};
use firesteel_expr::{AggregateCall, Call, ColumnRef, Expr, NamedAggregate, op};

use crate::rule::OptimizerContext;

/// An aggregate cut in two.
pub(crate) struct SplitAggregate {
    /// Calls over the rows, in the finer grouping.
    pub(crate) below: Vec<NamedAggregate>,
    /// Calls over the results of `below`, in the coarser grouping.
    pub(crate) above: Vec<NamedAggregate>,
    /// The result, over the columns of `above`.
    pub(crate) value: Expr,
}

/// Whether there is a way with plain calls.
pub(crate) fn is_splittable(call: &AggregateCall) -> bool {
    let splits = match &*call.function {
        "count" | "sum" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" | "bit_xor" => true,
        "avg" => call.ty == SqlType::Double,
        _ => false,
    };
    splits && !call.distinct
}

/// The call in two groupings, or `None` if it is not [splittable](is_splittable).
pub(crate) fn split(call: &AggregateCall, name: &str, cx: &OptimizerContext<'_>) -> Option<SplitAggregate> {
    if !is_splittable(call) {
        return None;
    }
    match &*call.function {
        "count" => {
            let (below, above) = two("sum", call.clone(), name, cx)?;
            let value = or_zero(Expr::Column(above.column.clone()));
            Some(SplitAggregate { below: vec![below], above: vec![above], value })
        }
        "avg" => {
            let of = |function: &str, args: Vec<Expr>, nullable| {
                let ty = bound_type(function, &args, cx)?;
                let call = AggregateCall { function: Arc::from(function), args, ty, nullable, ..call.clone() };
                two("sum", call, name, cx)
            };
            // Integers are added as doubles, as `avg` does: their sum might not fit.
            let doubles = call.args.iter().map(|arg| arg.clone().cast_to(&SqlType::Double)).collect();
            let ((sum_below, sum), (count_below, count)) =
                (of("sum", doubles, true)?, of("count", call.args.clone(), false)?);
            let total = Expr::Column(sum.column.clone()).cast_to(&SqlType::Double);
            let number = Expr::Column(count.column.clone()).cast_to(&SqlType::Double);
            Some(SplitAggregate {
                below: vec![sum_below, count_below],
                above: vec![sum, count],
                value: divided(total, number),
            })
        }
        function => {
            let (below, above) = two(function, call.clone(), name, cx)?;
            let value = Expr::Column(above.column.clone()).cast_to(&call.ty);
            Some(SplitAggregate { below: vec![below], above: vec![above], value })
        }
    }
}

/// The call, and `function` over its results.
fn two(
    function: &str,
    call: AggregateCall,
    name: &str,
    cx: &OptimizerContext<'_>,
) -> Option<(NamedAggregate, NamedAggregate)> {
    let column =
        |ty: &SqlType, nullable| ColumnRef { id: cx.ids.column(), name: name.into(), ty: ty.clone(), nullable };
    let part = column(&call.ty, call.nullable);
    let args = vec![Expr::Column(part.clone())];
    let ty = bound_type(function, &args, cx)?;
    let whole = column(&ty, true);
    let merge = AggregateCall {
        function: Arc::from(function),
        args,
        distinct: false,
        filter: None,
        ty,
        nullable: true,
        span: call.span,
    };
    Some((NamedAggregate { column: part, call }, NamedAggregate { column: whole, call: merge }))
}

fn bound_type(function: &str, args: &[Expr], cx: &OptimizerContext<'_>) -> Option<SqlType> {
    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
    Some(cx.eval.registry.aggregate(function)?.bind(&types).ok()?.ty)
}

/// A sum of counts, which is NULL where there was nothing to add.
fn or_zero(sum: Expr) -> Expr {
    let missing = Expr::predicate(op::IS_NULL, vec![sum.clone()]);
    Expr::Case { branches: vec![(missing, Expr::Literal(Scalar::BigInt(0)))], otherwise: Box::new(sum) }
}

/// `sum / count`, NULL if nothing was added; the count is not zero otherwise.
fn divided(sum: Expr, count: Expr) -> Expr {
    let missing = Expr::predicate(op::IS_NULL, vec![sum.clone()]);
    let quotient = Expr::Call(Call {
        function: Arc::from(op::DIVIDE),
        args: vec![sum, count],
        ty: SqlType::Double,
        nullable: true,
        span: Span::NONE,
    });
    Expr::Case { branches: vec![(missing, Expr::null(SqlType::Double))], otherwise: Box::new(quotient) }
}
