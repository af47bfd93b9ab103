//! Unnesting: removes every dependent join.
//!
//! Works from the innermost dependent join outwards, so that the subquery of the join at hand has none
//! left. Three ways, tried in this order:
//!
//! 1. No reference to the outer row: a plain join.
//! 2. Common shapes (`shapes`): a scalar aggregate becomes a grouped one; predicates that read outer
//!    columns are pulled up to where they become the condition of the join.
//! 3. The general algorithm (`domain`; Neumann & Kemper, "Unnesting Arbitrary Queries", BTW 2015): the
//!    subquery is evaluated once for each different combination of the outer columns that it reads,
//!    by pushing the set of these combinations down to where they are read.
//!
//! Three-valued answers: a [`JoinKind::Mark`] join that is not null-aware is true or false, so a
//! condition that may be unknown is asked twice, "is it true" and "is it unknown", unless a null-aware
//! join answers both.

pub(crate) mod copy;
mod domain;
mod shapes;

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Result, Scalar, SqlType};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::rules::hints;
use crate::util::{as_join_key, as_not_false, column_set, free_columns, pass, substitute, with_columns};

/// Replaces dependent joins by joins.
pub(crate) struct Unnest;

impl OptimizerRule for Unnest {
    fn name(&self) -> &'static str {
        "UnnestDependentJoins"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| match node.op {
            LogicalOp::DependentJoin { kind, condition } => {
                let [left, right] = two(node.inputs)?;
                let (right, hint) = hints::take_waiting(right);
                let mut plan = unnest(kind, condition, left, right, false, cx)?;
                if let Some(strategy) = hint {
                    hints::put(&mut plan, strategy);
                }
                Ok(plan)
            }
            _ => Ok(node),
        })
    }
}

/// The two inputs of a join.
pub(crate) fn two(inputs: Vec<LogicalPlan>) -> Result<[LogicalPlan; 2]> {
    inputs.try_into().map_err(|_| firesteel_common::Error::internal("a join has two inputs"))
}

/// The join of `left` with `right`, which may read columns of `left`. `two_valued`: a mark may be false
/// where the condition is unknown.
fn unnest(
    kind: JoinKind,
    condition: Option<Expr>,
    left: LogicalPlan,
    right: LogicalPlan,
    two_valued: bool,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let conjuncts = condition.map(Expr::conjuncts).unwrap_or_default();
    let free = free_columns(&right);
    let visible = column_set(&left);
    let outer: Vec<ColumnRef> = free.values().filter(|c| visible.contains(&c.id)).cloned().collect();
    let output = dependent_columns(&kind, &left, &right);
    let (kind, conjuncts, left, right) = match shapes::one_row(kind, conjuncts, left, right, &outer, cx)? {
        shapes::Outcome::Done(plan) => return Ok(with_columns(cx.ids, plan, output)),
        shapes::Outcome::Same(kind, conjuncts, left, right) => (kind, conjuncts, left, right),
    };
    if let JoinKind::Mark(mark) = &kind
        && !two_valued
        && conjuncts.iter().any(Expr::nullable)
        && !(free.is_empty() && null_aware_key(&kind, &conjuncts, &left, &right, cx).is_some())
    {
        return unnest_unknown(mark.clone(), Expr::and(conjuncts), left, right, cx);
    }
    if outer.is_empty() {
        return Ok(plain_join(kind, conjuncts, left, right, free.is_empty() && !two_valued, cx));
    }
    let outer_ids: BTreeSet<ColumnId> = outer.iter().map(|c| c.id).collect();
    let (right, mut conjuncts) = match shapes::pull_up(right, &kind, &outer_ids, &conjuncts, cx) {
        Ok((right, pulled)) => {
            let all = conjuncts.into_iter().chain(pulled).collect();
            return Ok(with_columns(cx.ids, plain_join(kind, all, left, right, false, cx), output));
        }
        Err(right) => (*right, conjuncts),
    };
    let (right, keys) = domain::evaluate_per_domain(right, &left, &outer, cx)?;
    for (column, value) in outer.iter().zip(keys) {
        let pair = vec![Expr::Column(column.clone()), Expr::Column(value)];
        conjuncts.push(Expr::predicate(op::NULL_SAFE_EQ, pair));
    }
    Ok(with_columns(cx.ids, plain_join(kind, conjuncts, left, right, false, cx), output))
}

/// The output columns of a join of `left` and `right`.
fn dependent_columns(kind: &JoinKind, left: &LogicalPlan, right: &LogicalPlan) -> Vec<ColumnRef> {
    let mut columns = left.columns();
    match kind {
        JoinKind::Mark(mark) => columns.push(mark.clone()),
        kind if kind.returns_right() => columns.extend(right.columns()),
        _ => {}
    }
    columns
}

/// If the join may be null-aware, its key: one comparison for equality, and unknown matters.
fn null_aware_key(
    kind: &JoinKind,
    conjuncts: &[Expr],
    left: &LogicalPlan,
    right: &LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> Option<JoinKey> {
    let [condition] = conjuncts else { return None };
    let condition = match kind {
        JoinKind::LeftAnti => as_not_false(condition)?,
        JoinKind::Mark(_) if condition.nullable() => condition,
        _ => return None,
    };
    as_join_key(condition, &column_set(left), &column_set(right), cx).filter(|key| !key.null_safe)
}

/// A join of inputs that do not depend on each other. `closed`: the right input has no outer
/// references at all; a null-aware join could not take on the keys that an outer one may still add.
fn plain_join(
    kind: JoinKind,
    conjuncts: Vec<Expr>,
    left: LogicalPlan,
    right: LogicalPlan,
    closed: bool,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    if closed && let Some(key) = null_aware_key(&kind, &conjuncts, &left, &right, cx) {
        let op = LogicalOp::Join { kind, on: vec![key], residual: None, null_aware: true, hint: JoinHint::NONE };
        return LogicalPlan::binary(cx.ids.node(), op, left, right);
    }
    let (left_columns, right_columns) = (column_set(&left), column_set(&right));
    let (mut on, mut rest) = (Vec::new(), Vec::new());
    for conjunct in conjuncts {
        match as_join_key(&conjunct, &left_columns, &right_columns, cx) {
            Some(key) => on.push(key),
            None => rest.push(conjunct),
        }
    }
    let residual = (!rest.is_empty()).then(|| Expr::and(rest));
    LogicalPlan::binary(
        cx.ids.node(),
        LogicalOp::Join { kind, on, residual, null_aware: false, hint: JoinHint::NONE },
        left,
        right,
    )
}

/// A mark whose condition may be unknown: `CASE WHEN true for some THEN true WHEN unknown for some
/// THEN NULL ELSE false END`.
fn unnest_unknown(
    mark: ColumnRef,
    condition: Expr,
    left: LogicalPlan,
    right: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let output: Vec<ColumnRef> = left.columns();
    let (again, renamed) = copy::fresh_copy(&right, cx.ids)?;
    let renamed = renamed.into_iter().map(|(id, c)| (id, Expr::Column(c))).collect();
    let unknown = Expr::predicate(op::IS_NULL, vec![substitute(condition.clone(), &renamed)]);
    let flag = |name: &str| ColumnRef { id: cx.ids.column(), name: name.into(), ty: SqlType::Boolean, nullable: false };
    let (is_true, is_unknown) = (flag("matched"), flag("unknown"));
    let plan = unnest(JoinKind::Mark(is_true.clone()), Some(condition), left, right, true, cx)?;
    let plan = unnest(JoinKind::Mark(is_unknown.clone()), Some(unknown), plan, again, true, cx)?;
    Ok(three_valued(mark, is_true, is_unknown, output, plan, cx))
}

/// A null-aware mark join as two that are not, for where it cannot stay one: further conditions would join its key.
fn split_null_aware(
    mark: ColumnRef,
    conjuncts: Vec<Expr>,
    left: LogicalPlan,
    right: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let output = left.columns();
    let (again, renamed) = copy::fresh_copy(&right, cx.ids)?;
    let renamed = renamed.into_iter().map(|(id, c)| (id, Expr::Column(c))).collect();
    let condition = Expr::and(conjuncts);
    let unknown = Expr::predicate(op::IS_NULL, vec![substitute(condition.clone(), &renamed)]);
    let flag = |name: &str| ColumnRef { id: cx.ids.column(), name: name.into(), ty: SqlType::Boolean, nullable: false };
    let (is_true, is_unknown) = (flag("matched"), flag("unknown"));
    let plan = plain_join(JoinKind::Mark(is_true.clone()), condition.conjuncts(), left, right, false, cx);
    let plan = plain_join(JoinKind::Mark(is_unknown.clone()), vec![unknown], plan, again, false, cx);
    Ok(three_valued(mark, is_true, is_unknown, output, plan, cx))
}

fn three_valued(
    mark: ColumnRef,
    is_true: ColumnRef,
    is_unknown: ColumnRef,
    output: Vec<ColumnRef>,
    plan: LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let value = Expr::Case {
        branches: vec![
            (Expr::Column(is_true), Expr::true_()),
            (Expr::Column(is_unknown), Expr::Literal(Scalar::Null(SqlType::Boolean))),
        ],
        otherwise: Box::new(Expr::false_()),
    };
    let mut exprs = pass(output);
    exprs.push((mark, value));
    LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs }, plan)
}
