//! Aggregates over DISTINCT values become plain ones.
//!
//! With one set of arguments, grouping by keys and arguments first leaves each value once; aggregates without
//! DISTINCT are split over the two groupings. With several sets, or beside an aggregate that cannot be split, each row is expanded to one row per set, marked by a number, with the arguments of
//! that set; and one, number 0, for the aggregates without DISTINCT. The first grouping, by keys,
//! arguments and number, drops duplicates and finishes the plain aggregates; the second one takes for
//! each aggregate the rows of its number.

use std::sync::Arc;

use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{AggregateCall, ColumnRef, Expr, NamedAggregate, op};
use firesteel_plan::{LogicalOp, LogicalPlan};

use super::split_aggregates::{SplitAggregate, split};
use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{fresh_column, ignores_duplicates, pass};

/// Rewrites DISTINCT aggregates.
pub(crate) struct RewriteDistinctAggregates;

impl OptimizerRule for RewriteDistinctAggregates {
    fn name(&self) -> &'static str {
        "RewriteDistinctAggregates"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |mut node| match node.op {
            LogicalOp::Aggregate { keys, mut aggregates } if aggregates.iter().any(|a| a.call.distinct) => {
                aggregates.iter_mut().for_each(|a| normalize(&mut a.call, cx));
                let input = node.inputs.pop().ok_or_else(|| Error::internal("an aggregate lacks its input"))?;
                rewrite(keys, aggregates, input, cx)
            }
            op => Ok(LogicalPlan { op, ..node }),
        })
    }
}

/// Drops DISTINCT where duplicates do not matter, and moves FILTER into the argument, which these
/// aggregates skip if it is NULL.
fn normalize(call: &mut AggregateCall, cx: &OptimizerContext<'_>) {
    if !call.distinct {
        return;
    }
    if ignores_duplicates(call, cx) {
        call.distinct = false;
        return;
    }
    if let Some(filter) = call.filter.take()
        && let Some(first) = call.args.first_mut()
    {
        let otherwise = Box::new(Expr::null(first.ty()));
        *first = Expr::Case { branches: vec![(filter, first.clone())], otherwise };
    }
}

type Keys = Vec<(ColumnRef, Expr)>;

fn rewrite(
    keys: Keys,
    aggregates: Vec<NamedAggregate>,
    input: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let mut sets: Vec<Vec<Expr>> = Vec::new();
    for aggregate in aggregates.iter().filter(|a| a.call.distinct) {
        if !sets.contains(&aggregate.call.args) {
            sets.push(aggregate.call.args.clone());
        }
    }
    if sets.is_empty() {
        let op = LogicalOp::Aggregate { keys, aggregates };
        return Ok(LogicalPlan::unary(cx.ids.node(), op, input));
    }
    if let [set] = sets.as_slice()
        && let Some(splits) = splits(&aggregates, cx)
    {
        return Ok(two_levels(keys, aggregates, splits, set, input, cx));
    }
    Ok(expanded(keys, aggregates, &sets, input, cx))
}

/// How each aggregate without DISTINCT is split, `None` for the others; nothing if one cannot be.
fn splits(aggregates: &[NamedAggregate], cx: &OptimizerContext<'_>) -> Option<Vec<Option<SplitAggregate>>> {
    let of = |a: &NamedAggregate| {
        if a.call.distinct { Some(None) } else { split(&a.call, &a.column.name, cx).map(Some) }
    };
    aggregates.iter().map(of).collect()
}

/// Grouped by keys and arguments, then by keys.
fn two_levels(
    keys: Keys,
    aggregates: Vec<NamedAggregate>,
    splits: Vec<Option<SplitAggregate>>,
    set: &[Expr],
    input: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let is_split = splits.iter().any(Option::is_some);
    let outer = pass(keys.iter().map(|(c, _)| c.clone()));
    let mut output = outer.clone();
    let mut inner = keys;
    let mut args = Vec::with_capacity(set.len());
    for expr in set {
        let column = fresh_column(cx.ids, "distinct", expr);
        args.push(Expr::Column(column.clone()));
        inner.push((column, expr.clone()));
    }
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for (NamedAggregate { column, call }, split) in aggregates.into_iter().zip(splits) {
        match split {
            None => {
                output.push((column.clone(), Expr::Column(column.clone())));
                above.push(NamedAggregate {
                    column,
                    call: AggregateCall { distinct: false, args: args.clone(), ..call },
                });
            }
            Some(split) => {
                output.push((column, split.value));
                below.extend(split.below);
                above.extend(split.above);
            }
        }
    }
    let op = LogicalOp::Aggregate { keys: inner, aggregates: below };
    let below = LogicalPlan::unary(cx.ids.node(), op, input);
    let plan = LogicalPlan::unary(cx.ids.node(), LogicalOp::Aggregate { keys: outer, aggregates: above }, below);
    if is_split { LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs: output }, plan) } else { plan }
}

/// Columns of the expansion: each with its expression and the number of the set that it belongs to;
/// keys belong to all.
struct Expansion {
    columns: Vec<(ColumnRef, Expr, Option<usize>)>,
}

impl Expansion {
    fn add(&mut self, name: &str, expr: Expr, set: Option<usize>, cx: &OptimizerContext<'_>) -> Expr {
        let mut column = fresh_column(cx.ids, name, &expr);
        column.nullable |= set.is_some();
        self.columns.push((column.clone(), expr, set));
        Expr::Column(column)
    }

    fn build(self, number: &ColumnRef, sets: usize, input: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
        let projection = |i: usize| {
            let own = |(_, expr, set): &(ColumnRef, Expr, Option<usize>)| match set {
                Some(set) if *set != i => Expr::null(expr.ty()),
                _ => expr.clone(),
            };
            self.columns.iter().map(own).chain([number_literal(i)]).collect()
        };
        let first = usize::from(!self.columns.iter().any(|(_, _, set)| *set == Some(0)));
        let projections = (first..=sets).map(projection).collect();
        let columns = self.columns.iter().map(|(c, ..)| c.clone()).chain([number.clone()]).collect();
        LogicalPlan::unary(cx.ids.node(), LogicalOp::Expand { columns, projections }, input)
    }
}

fn number_literal(i: usize) -> Expr {
    Expr::Literal(Scalar::SmallInt(i as i16))
}

fn expanded(
    keys: Keys,
    aggregates: Vec<NamedAggregate>,
    sets: &[Vec<Expr>],
    input: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let mut expansion = Expansion { columns: Vec::new() };
    let number = ColumnRef { id: cx.ids.column(), name: "set".into(), ty: SqlType::SmallInt, nullable: false };
    let is_set = |i: usize| Expr::eq(Expr::Column(number.clone()), number_literal(i));
    // The keys have their own ids only at the top.
    let mut group_by: Keys = Vec::new();
    let mut top_keys: Keys = Vec::new();
    for (column, expr) in keys {
        let expanded = expansion.add(&column.name, expr, None, cx);
        let inner = ColumnRef { id: cx.ids.column(), ..column.clone() };
        group_by.push((inner.clone(), expanded));
        top_keys.push((column, Expr::Column(inner)));
    }
    let mut arguments: Vec<Vec<Expr>> = Vec::new();
    for (i, set) in sets.iter().enumerate() {
        let mut columns = Vec::new();
        for expr in set {
            let expanded = expansion.add("distinct", expr.clone(), Some(i + 1), cx);
            let inner = fresh_column(cx.ids, "distinct", &expanded);
            group_by.push((inner.clone(), expanded));
            columns.push(Expr::Column(inner));
        }
        arguments.push(columns);
    }
    let mut plain: Vec<NamedAggregate> = Vec::new();
    let mut top: Vec<NamedAggregate> = Vec::new();
    let mut output: Keys = pass(top_keys.iter().map(|(c, _)| c.clone()));
    for aggregate in aggregates {
        if let Some(i) = sets.iter().position(|s| aggregate.call.distinct && *s == aggregate.call.args) {
            let call = AggregateCall {
                distinct: false,
                args: arguments[i].clone(),
                filter: Some(is_set(i + 1)),
                ..aggregate.call
            };
            output.push((aggregate.column.clone(), Expr::Column(aggregate.column.clone())));
            top.push(NamedAggregate { column: aggregate.column, call });
            continue;
        }
        let (below, above, value) = carried(aggregate, &mut expansion, &is_set(0), cx);
        output.push(value);
        plain.push(below);
        top.push(above);
    }
    let number_inner = ColumnRef { id: cx.ids.column(), ..number.clone() };
    group_by.push((number_inner.clone(), Expr::Column(number.clone())));
    let to_inner = [(number.id, Expr::Column(number_inner))].into();
    for aggregate in &mut top {
        aggregate.call.filter = aggregate.call.filter.take().map(|f| crate::util::substitute(f, &to_inner));
    }
    let expand = expansion.build(&number, sets.len(), input, cx);
    let op = LogicalOp::Aggregate { keys: group_by, aggregates: plain };
    let first = LogicalPlan::unary(cx.ids.node(), op, expand);
    let op = LogicalOp::Aggregate { keys: top_keys, aggregates: top };
    let second = LogicalPlan::unary(cx.ids.node(), op, first);
    LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs: output }, second)
}

/// A plain aggregate: finished by the first grouping on the rows of set 0, handed on by the second,
/// where each group has one such row; and the value in the result, since a count of no rows is zero.
fn carried(
    aggregate: NamedAggregate,
    expansion: &mut Expansion,
    is_plain: &Expr,
    cx: &OptimizerContext<'_>,
) -> (NamedAggregate, NamedAggregate, (ColumnRef, Expr)) {
    let NamedAggregate { column, call } = aggregate;
    let args: Vec<Expr> = call.args.iter().map(|e| expansion.add("value", e.clone(), Some(0), cx)).collect();
    let own = call.filter.clone().map(|f| expansion.add("filter", f, Some(0), cx));
    if args.is_empty() && own.is_none() {
        // `count(*)` reads nothing, but its rows must be there.
        expansion.add("one", Expr::true_(), Some(0), cx);
    }
    let filter = Some(Expr::and(std::iter::once(is_plain.clone()).chain(own)));
    let inner = ColumnRef { id: cx.ids.column(), ..column.clone() };
    let zero = (!call.nullable && call.ty == SqlType::BigInt).then_some(Expr::Literal(Scalar::BigInt(0)));
    let ty = call.ty.clone();
    let below = NamedAggregate { column: inner.clone(), call: AggregateCall { args, filter, ..call } };
    let name = if cx.eval.registry.aggregate("first").is_some() { "first" } else { "max" };
    let hand_on = AggregateCall {
        function: Arc::from(name),
        args: vec![Expr::Column(inner)],
        distinct: false,
        filter: Some(is_plain.clone()),
        ty,
        nullable: true,
        span: Span::NONE,
    };
    let carrier = ColumnRef { id: cx.ids.column(), nullable: true, ..column.clone() };
    let value = Expr::Column(carrier.clone());
    let value = match zero {
        Some(zero) => {
            let missing = Expr::predicate(op::IS_NULL, vec![value.clone()]);
            Expr::Case { branches: vec![(missing, zero)], otherwise: Box::new(value) }
        }
        None => value,
    };
    (below, NamedAggregate { column: carrier, call: hand_on }, (column, value))
}
