//! Shapes of subqueries that unnest without a domain: they cover nearly all that people write.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Result, Scalar, SqlType};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate, op};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan};

use crate::rule::OptimizerContext;
use crate::util::{
    ColumnMap, column_set, filter, free_columns, is_constant, pass, substitute, touches, with_columns, within,
};

/// What came of an attempt.
#[allow(clippy::large_enum_variant, reason = "made once per subquery and taken apart at once")]
pub(crate) enum Outcome {
    /// The join is done.
    Done(LogicalPlan),
    /// Another shape; the parts are given back.
    Same(JoinKind, Vec<Expr>, LogicalPlan, LogicalPlan),
}

/// A subquery that returns one row: expressions over an aggregate without keys or over no table.
struct OneRow {
    /// Output columns and what they are in terms of `base`.
    exprs: ColumnMap,
    /// The row is there only if these hold.
    having: Vec<Expr>,
    /// The aggregate; nothing for a SELECT without FROM.
    base: Option<LogicalPlan>,
}

/// Joins with a subquery that returns one row for every outer row. Its rows for all outer rows come
/// from an aggregate that is grouped by what was compared with outer columns; where there is no group,
/// the aggregates have the values of an empty input. What is computed of them is computed above the
/// join, so that it sees these values too.
pub(crate) fn one_row(
    kind: JoinKind,
    conjuncts: Vec<Expr>,
    left: LogicalPlan,
    right: LogicalPlan,
    outer: &[ColumnRef],
    cx: &OptimizerContext<'_>,
) -> Result<Outcome> {
    let outer: BTreeSet<ColumnId> = outer.iter().map(|c| c.id).collect();
    if outer.is_empty() || matches!(kind, JoinKind::Right | JoinKind::Full) {
        return Ok(Outcome::Same(kind, conjuncts, left, right));
    }
    let Some(shape) = as_one_row(&right) else {
        return Ok(Outcome::Same(kind, conjuncts, left, right));
    };
    let mut values = shape.exprs;
    let left_columns = left.columns();
    let joined = match shape.base {
        None => left,
        Some(aggregate) => match group_by_outer(aggregate, &outer, cx) {
            None => return Ok(Outcome::Same(kind, conjuncts, left, right)),
            Some((grouped, on, empty)) => {
                for value in values.values_mut() {
                    *value = substitute(value.clone(), &empty);
                }
                let having: Vec<Expr> = shape.having.into_iter().map(|h| substitute(h, &empty)).collect();
                let op = LogicalOp::Join {
                    kind: JoinKind::Left,
                    on,
                    residual: None,
                    null_aware: false,
                    hint: JoinHint::NONE,
                };
                let join = LogicalPlan::binary(cx.ids.node(), op, left, grouped);
                return Ok(Outcome::Done(finish(kind, conjuncts, left_columns, join, having, values, &right, cx)));
            }
        },
    };
    Ok(Outcome::Done(finish(kind, conjuncts, left_columns, joined, shape.having, values, &right, cx)))
}

/// The result of the join, from a plan in which each left row has its one right row.
#[allow(clippy::too_many_arguments, reason = "the parts of one join, each of another nature")]
fn finish(
    kind: JoinKind,
    conjuncts: Vec<Expr>,
    left: Vec<ColumnRef>,
    joined: LogicalPlan,
    having: Vec<Expr>,
    values: ColumnMap,
    right: &LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let condition: Vec<Expr> = conjuncts.into_iter().map(|c| substitute(c, &values)).collect();
    let all: Vec<Expr> = having.iter().chain(&condition).cloned().collect();
    let value = |c: &ColumnRef| values.get(&c.id).cloned().unwrap_or_else(|| Expr::Column(c.clone()));
    match kind {
        JoinKind::LeftSemi => with_columns(cx.ids, filter(cx.ids, all, joined), left),
        JoinKind::LeftAnti => {
            let matches = truth(Expr::and(all));
            with_columns(cx.ids, filter(cx.ids, vec![Expr::negate(matches)], joined), left)
        }
        JoinKind::Mark(mark) => {
            let mut exprs = pass(left);
            // Without HAVING's row, the answer is no, not unknown.
            exprs.push((mark, Expr::and(having.into_iter().map(truth).chain(condition))));
            LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs }, joined)
        }
        JoinKind::Inner => {
            let filtered = filter(cx.ids, all, joined);
            let mut exprs = pass(left);
            exprs.extend(right.columns().into_iter().map(|c| (c.clone(), value(&c))));
            LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs }, filtered)
        }
        _ => {
            let there = Expr::and(all);
            let mut exprs = pass(left);
            for column in right.columns() {
                let mut expr = value(&column);
                if there != Expr::true_() {
                    let otherwise = Box::new(Expr::null(expr.ty()));
                    expr = Expr::Case { branches: vec![(there.clone(), expr)], otherwise };
                }
                exprs.push((ColumnRef { nullable: true, ..column }, expr));
            }
            LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs }, joined)
        }
    }
}

/// `predicate`, with false for unknown.
fn truth(predicate: Expr) -> Expr {
    if !predicate.nullable() {
        return predicate;
    }
    Expr::predicate(op::NULL_SAFE_EQ, vec![predicate, Expr::true_()])
}

fn as_one_row(plan: &LogicalPlan) -> Option<OneRow> {
    match &plan.op {
        LogicalOp::Aggregate { keys, aggregates } if keys.is_empty() => {
            let exprs = aggregates.iter().map(|a| (a.column.id, Expr::Column(a.column.clone()))).collect();
            Some(OneRow { exprs, having: Vec::new(), base: Some(plan.clone()) })
        }
        LogicalOp::Values { columns, rows } if rows.len() == 1 => {
            let exprs = columns.iter().map(|c| c.id).zip(rows[0].iter().cloned()).collect();
            Some(OneRow { exprs, having: Vec::new(), base: None })
        }
        LogicalOp::Project { exprs } => {
            let mut shape = as_one_row(plan.inputs.first()?)?;
            shape.exprs = exprs.iter().map(|(c, e)| (c.id, substitute(e.clone(), &shape.exprs))).collect();
            Some(shape)
        }
        LogicalOp::Filter { predicate } => {
            let mut shape = as_one_row(plan.inputs.first()?)?;
            shape.having.extend(substitute(predicate.clone(), &shape.exprs).conjuncts());
            Some(shape)
        }
        LogicalOp::Sort { fetch, .. } if fetch.is_none_or(|n| n > 0) => as_one_row(plan.inputs.first()?),
        LogicalOp::Limit { skip: 0, fetch } if fetch.is_none_or(|n| n > 0) => as_one_row(plan.inputs.first()?),
        _ => None,
    }
}

/// The aggregate, grouped by the inner sides of the comparisons with outer columns; the keys of the
/// join with it; and the values of its columns where there is no group.
fn group_by_outer(
    plan: LogicalPlan,
    outer: &BTreeSet<ColumnId>,
    cx: &OptimizerContext<'_>,
) -> Option<(LogicalPlan, Vec<JoinKey>, ColumnMap)> {
    let LogicalOp::Aggregate { aggregates, .. } = plan.op else { return None };
    let input = plan.inputs.into_iter().next()?;
    if aggregates.iter().any(|a| a.call.args.iter().chain(&a.call.filter).any(|e| touches(e, outer))) {
        return None;
    }
    let (input, pulled) = pull_up(input, &JoinKind::Inner, outer, &[], cx).ok()?;
    let inner = column_set(&input);
    let (mut keys, mut on) = (Vec::new(), Vec::new());
    for conjunct in pulled {
        let (left, right) = comparison(&conjunct, &inner)?;
        let column = crate::util::fresh_column(cx.ids, "key", &right);
        on.push(JoinKey { left, right: Expr::Column(column.clone()), null_safe: false });
        keys.push((column, right));
    }
    let mut empty = ColumnMap::new();
    let mut renamed = Vec::with_capacity(aggregates.len());
    for aggregate in aggregates {
        // A column that is redefined above the join needs another id below it.
        let column = ColumnRef { id: cx.ids.column(), ..aggregate.column.clone() };
        let value = Expr::Column(ColumnRef { nullable: true, ..column.clone() });
        empty.insert(aggregate.column.id, value_or_empty(value, &aggregate)?);
        renamed.push(NamedAggregate { column, call: aggregate.call });
    }
    let op = LogicalOp::Aggregate { keys, aggregates: renamed };
    Some((LogicalPlan::unary(cx.ids.node(), op, input), on, empty))
}

/// The value of an aggregate, or where it is NULL for want of a group, that of an empty input: NULL, or
/// zero for counts. Nothing for aggregates of which it is not known.
pub(super) fn value_or_empty(value: Expr, aggregate: &NamedAggregate) -> Option<Expr> {
    if aggregate.call.nullable {
        return Some(value);
    }
    if value.ty() != SqlType::BigInt {
        return None;
    }
    let missing = Expr::predicate(op::IS_NULL, vec![value.clone()]);
    let zero = Expr::Literal(Scalar::BigInt(0));
    Some(Expr::Case { branches: vec![(missing, zero)], otherwise: Box::new(value) })
}

/// `outer = inner`, in this order: one side reads inner columns only, the other none.
fn comparison(conjunct: &Expr, inner: &BTreeSet<ColumnId>) -> Option<(Expr, Expr)> {
    let [a, b] = conjunct.as_call(op::EQ)? else { return None };
    if within(b, inner) && !is_constant(b) && !touches(a, inner) {
        Some((a.clone(), b.clone()))
    } else if within(a, inner) && !is_constant(a) && !touches(b, inner) {
        Some((b.clone(), a.clone()))
    } else {
        None
    }
}

/// The subquery without outer references, and the predicates with them, which hold above it. The plan
/// is given back unchanged if they are not all in predicates that can move.
///
/// `condition`: what the join compares; a join that only asks whether there are rows needs no other
/// columns of the subquery.
pub(crate) fn pull_up(
    plan: LogicalPlan,
    kind: &JoinKind,
    outer: &BTreeSet<ColumnId>,
    condition: &[Expr],
    cx: &OptimizerContext<'_>,
) -> Result<(LogicalPlan, Vec<Expr>), Box<LogicalPlan>> {
    let mut needed: BTreeSet<ColumnId> = BTreeSet::new();
    if kind.returns_right() {
        needed.extend(plan.column_ids());
    }
    needed.extend(condition.iter().flat_map(|c| c.columns()).map(|c| c.id));
    let puller = Puller { outer, existence: kind.is_existence(), needed, cx };
    // The attempt works on a copy: it may fail deep inside.
    puller.pull(plan.clone(), true).ok_or_else(|| Box::new(plan))
}

struct Puller<'a, 'b> {
    outer: &'a BTreeSet<ColumnId>,
    existence: bool,
    needed: BTreeSet<ColumnId>,
    cx: &'a OptimizerContext<'b>,
}

impl Puller<'_, '_> {
    fn is_free(&self, plan: &LogicalPlan) -> bool {
        !free_columns(plan).keys().any(|id| self.outer.contains(id))
    }

    /// `top`: only filters, projections and the like are above, so that duplicates do not matter to
    /// a join that asks for existence.
    fn pull(&self, mut plan: LogicalPlan, top: bool) -> Option<(LogicalPlan, Vec<Expr>)> {
        if self.is_free(&plan) {
            return Some((plan, Vec::new()));
        }
        let top = top && self.existence;
        match plan.op {
            LogicalOp::Filter { predicate } => {
                let (input, mut pulled) = self.pull(plan.inputs.pop()?, top)?;
                let (moved, kept): (Vec<_>, Vec<_>) =
                    predicate.conjuncts().into_iter().partition(|c| touches(c, self.outer));
                pulled.extend(moved);
                Some((filter(self.cx.ids, kept, input), pulled))
            }
            LogicalOp::Project { exprs } => {
                let (input, pulled) = self.pull(plan.inputs.pop()?, top)?;
                let exprs = self.project(exprs, top)?;
                let exprs = self.with_columns_of(exprs, &pulled, &input);
                Some((LogicalPlan::unary(plan.id, LogicalOp::Project { exprs }, input), pulled))
            }
            LogicalOp::Aggregate { keys, aggregates } if top && aggregates.is_empty() && !keys.is_empty() => {
                let (input, pulled) = self.pull(plan.inputs.pop()?, top)?;
                let exprs = self.project(keys, top)?;
                let exprs = self.with_columns_of(exprs, &pulled, &input);
                Some((LogicalPlan::unary(plan.id, LogicalOp::Project { exprs }, input), pulled))
            }
            LogicalOp::Aggregate { keys, aggregates } if !keys.is_empty() => {
                let (input, pulled) = self.pull(plan.inputs.pop()?, false)?;
                self.group(keys, aggregates, input, pulled)
            }
            LogicalOp::Join { kind, on, residual, null_aware, hint } => {
                let right = plan.inputs.pop()?;
                let left = plan.inputs.pop()?;
                if on.iter().any(|k| touches(&k.left, self.outer) || touches(&k.right, self.outer)) {
                    return None;
                }
                let (moved, kept): (Vec<_>, Vec<_>) =
                    residual.map(Expr::conjuncts).unwrap_or_default().into_iter().partition(|c| touches(c, self.outer));
                let inner = matches!(kind, JoinKind::Inner);
                if !inner
                    && (!moved.is_empty() || !self.is_free(&right) || matches!(kind, JoinKind::Right | JoinKind::Full))
                {
                    return None;
                }
                let (left, mut pulled) = self.pull(left, top && inner)?;
                let (right, more) = self.pull(right, top && inner)?;
                pulled.extend(more);
                pulled.extend(moved);
                let residual = (!kept.is_empty()).then(|| Expr::and(kept));
                let op = LogicalOp::Join { kind, on, residual, null_aware, hint };
                Some((LogicalPlan::binary(plan.id, op, left, right), pulled))
            }
            LogicalOp::Sort { fetch: None, .. } => self.pull(plan.inputs.pop()?, top),
            LogicalOp::Limit { skip: 0, fetch } if top && fetch.is_none_or(|n| n > 0) && self.limit_is_moot() => {
                self.pull(plan.inputs.pop()?, top)
            }
            _ => None,
        }
    }

    /// A LIMIT changes nothing only if any row will do.
    fn limit_is_moot(&self) -> bool {
        self.needed.is_empty()
    }

    /// The projection without columns that read outer ones, if nothing needs these.
    fn project(&self, exprs: Vec<(ColumnRef, Expr)>, top: bool) -> Option<Vec<(ColumnRef, Expr)>> {
        let (bad, good): (Vec<_>, Vec<_>) = exprs.into_iter().partition(|(_, e)| touches(e, self.outer));
        (bad.is_empty() || (top && bad.iter().all(|(c, _)| !self.needed.contains(&c.id)))).then_some(good)
    }

    /// The projection with the columns of `input` that `predicates` read.
    fn with_columns_of(
        &self,
        mut exprs: Vec<(ColumnRef, Expr)>,
        predicates: &[Expr],
        input: &LogicalPlan,
    ) -> Vec<(ColumnRef, Expr)> {
        let below = column_set(input);
        for column in predicates.iter().flat_map(Expr::columns) {
            if below.contains(&column.id) && !exprs.iter().any(|(c, _)| c.id == column.id) {
                exprs.push((column.clone(), Expr::Column(column)));
            }
        }
        exprs
    }

    /// A grouping below predicates that fix a value of the input: it becomes one more key.
    fn group(
        &self,
        mut keys: Vec<(ColumnRef, Expr)>,
        aggregates: Vec<NamedAggregate>,
        input: LogicalPlan,
        pulled: Vec<Expr>,
    ) -> Option<(LogicalPlan, Vec<Expr>)> {
        let own =
            keys.iter().map(|(_, e)| e).chain(aggregates.iter().flat_map(|a| a.call.args.iter().chain(&a.call.filter)));
        if own.into_iter().any(|e| touches(e, self.outer)) {
            return None;
        }
        let below = column_set(&input);
        let mut above = Vec::with_capacity(pulled.len());
        for predicate in pulled {
            let (outer, inner) = comparison(&predicate, &below)?;
            let column = match keys.iter().find(|(_, e)| *e == inner) {
                Some((column, _)) => column.clone(),
                None => {
                    let column = crate::util::fresh_column(self.cx.ids, "key", &inner);
                    keys.push((column.clone(), inner));
                    column
                }
            };
            above.push(Expr::eq(outer, Expr::Column(column)));
        }
        let op = LogicalOp::Aggregate { keys, aggregates };
        Some((LogicalPlan::unary(self.cx.ids.node(), op, input), above))
    }
}
