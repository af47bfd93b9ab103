//! Questions about plans and expressions that several rules ask.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ColumnId, IdGenerator, Scalar, SqlType};
use firesteel_expr::{AggregateCall, ColumnRef, Expr, op};
use firesteel_plan::{JoinKey, JoinKind, LogicalOp, LogicalPlan};

use crate::rule::OptimizerContext;

/// Columns by id.
pub(crate) type ColumnMap = BTreeMap<ColumnId, Expr>;

/// Whether two plans are equal but for the ids of their nodes.
pub(crate) fn same_shape(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    a.op == b.op && a.inputs.len() == b.inputs.len() && a.inputs.iter().zip(&b.inputs).all(|(a, b)| same_shape(a, b))
}

/// Ids of the output columns as a set.
pub(crate) fn column_set(plan: &LogicalPlan) -> BTreeSet<ColumnId> {
    plan.columns().into_iter().map(|c| c.id).collect()
}

/// Whether an expression reads only columns of `set`.
pub(crate) fn within(expr: &Expr, set: &BTreeSet<ColumnId>) -> bool {
    expr.reads_only(|id| set.contains(&id))
}

/// Whether an expression reads some column of `set`.
pub(crate) fn touches(expr: &Expr, set: &BTreeSet<ColumnId>) -> bool {
    !expr.reads_only(|id| !set.contains(&id))
}

/// Whether an expression reads no column.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    expr.reads_only(|_| false)
}

/// Whether equal inputs give equal results, so that it may be moved, copied and folded.
pub(crate) fn is_deterministic(expr: &Expr, cx: &OptimizerContext<'_>) -> bool {
    let mut all = true;
    expr.visit(&mut |e| {
        if let Expr::Call(call) = e {
            all &= cx.eval.registry.scalar(&call.function).is_none_or(|f| f.is_deterministic());
        }
    });
    all
}

/// Whether a value that is repeated changes nothing.
pub(crate) fn ignores_duplicates(call: &AggregateCall, cx: &OptimizerContext<'_>) -> bool {
    cx.eval.registry.aggregate(&call.function).is_some_and(|f| f.ignores_duplicates())
}

/// The expression with columns replaced by what `map` says.
pub(crate) fn substitute(expr: Expr, map: &ColumnMap) -> Expr {
    if map.is_empty() {
        return expr;
    }
    expr.transform(&mut |e| match &e {
        Expr::Column(column) => map.get(&column.id).cloned().unwrap_or(e),
        _ => e,
    })
}

/// The columns that expressions of the plan read and nothing in it makes: outer references.
pub(crate) fn free_columns(plan: &LogicalPlan) -> BTreeMap<ColumnId, ColumnRef> {
    let mut read = BTreeMap::new();
    let mut made = BTreeSet::new();
    plan.visit(&mut |node| {
        for expr in node.expressions() {
            read.extend(expr.columns().into_iter().map(|c| (c.id, c)));
        }
        match &node.op {
            LogicalOp::Scan(scan) => made.extend(scan.source.iter().map(|c| c.id)),
            LogicalOp::Join { kind: JoinKind::Mark(mark), .. }
            | LogicalOp::DependentJoin { kind: JoinKind::Mark(mark), .. } => {
                made.insert(mark.id);
            }
            LogicalOp::Window { calls, .. } => made.extend(calls.iter().map(|c| c.column.id)),
            LogicalOp::Join { .. }
            | LogicalOp::DependentJoin { .. }
            | LogicalOp::Filter { .. }
            | LogicalOp::Sort { .. }
            | LogicalOp::Limit { .. }
            | LogicalOp::Hint { .. }
            | LogicalOp::Repartition { .. } => {}
            _ => made.extend(node.column_ids()),
        }
    });
    read.retain(|id, _| !made.contains(id));
    read
}

/// A filter over `plan`, unless there is nothing to filter by.
pub(crate) fn filter(ids: &IdGenerator, predicates: Vec<Expr>, plan: LogicalPlan) -> LogicalPlan {
    if predicates.is_empty() {
        return plan;
    }
    LogicalPlan::unary(ids.node(), LogicalOp::Filter { predicate: Expr::and(predicates) }, plan)
}

/// A projection that passes columns on.
pub(crate) fn pass(columns: impl IntoIterator<Item = ColumnRef>) -> Vec<(ColumnRef, Expr)> {
    columns.into_iter().map(|c| (c.clone(), Expr::Column(c))).collect()
}

/// `plan` with exactly these of its columns, in this order.
pub(crate) fn with_columns(ids: &IdGenerator, plan: LogicalPlan, columns: Vec<ColumnRef>) -> LogicalPlan {
    if plan.columns() == columns {
        return plan;
    }
    LogicalPlan::unary(ids.node(), LogicalOp::Project { exprs: pass(columns) }, plan)
}

/// A column with a new id for `expr`.
pub(crate) fn fresh_column(ids: &IdGenerator, name: &str, expr: &Expr) -> ColumnRef {
    ColumnRef { id: ids.column(), name: name.into(), ty: expr.ty(), nullable: expr.nullable() }
}

/// If a conjunct compares an expression over `left` with one over `right` for equality, the key.
pub(crate) fn as_join_key(
    conjunct: &Expr,
    left: &BTreeSet<ColumnId>,
    right: &BTreeSet<ColumnId>,
    cx: &OptimizerContext<'_>,
) -> Option<JoinKey> {
    let Expr::Call(call) = conjunct else { return None };
    let null_safe = match &*call.function {
        op::EQ => false,
        op::NULL_SAFE_EQ => true,
        _ => return None,
    };
    let [a, b] = call.args.as_slice() else { return None };
    let keys = |l: &Expr, r: &Expr| {
        !is_constant(l) && !is_constant(r) && within(l, left) && within(r, right) && is_deterministic(conjunct, cx)
    };
    if keys(a, b) {
        Some(JoinKey { left: a.clone(), right: b.clone(), null_safe })
    } else if keys(b, a) {
        Some(JoinKey { left: b.clone(), right: a.clone(), null_safe })
    } else {
        None
    }
}

/// A join key as a predicate.
pub(crate) fn key_predicate(key: JoinKey) -> Expr {
    Expr::predicate(if key.null_safe { op::NULL_SAFE_EQ } else { op::EQ }, vec![key.left, key.right])
}

/// The predicate in `conjunct OR conjunct IS NULL` if both sides are the same: true unless it is false.
pub(crate) fn as_not_false(expr: &Expr) -> Option<&Expr> {
    let Expr::Or(parts) = expr else { return None };
    let [predicate, Expr::Call(call)] = parts.as_slice() else { return None };
    (&*call.function == op::IS_NULL && call.args.first() == Some(predicate)).then_some(predicate)
}

/// `predicate OR predicate IS NULL`: true unless it is false.
pub(crate) fn not_false(predicate: Expr) -> Expr {
    if !predicate.nullable() {
        return predicate;
    }
    let unknown = Expr::predicate(op::IS_NULL, vec![predicate.clone()]);
    match predicate {
        // A disjunction must stay one operand, or `as_not_false` would not find it again.
        Expr::Or(mut parts) => {
            parts.push(unknown);
            Expr::Or(parts)
        }
        other => Expr::Or(vec![other, unknown]),
    }
}

/// Whether the result is NULL whenever each of `columns` that it reads is NULL.
pub(crate) fn is_strict(expr: &Expr, columns: &BTreeSet<ColumnId>, cx: &OptimizerContext<'_>) -> bool {
    match expr {
        Expr::Column(column) => columns.contains(&column.id),
        Expr::Literal(value) => value.is_null(),
        Expr::Call(call) => {
            let handles_null = match &*call.function {
                op::NULL_SAFE_EQ | op::IS_NULL | op::IS_NOT_NULL => true,
                name => !is_operator(name) && cx.eval.registry.scalar(name).is_none_or(|f| f.handles_null()),
            };
            !handles_null && call.args.iter().any(|arg| is_strict(arg, columns, cx))
        }
        Expr::Cast { input, .. } => is_strict(input, columns, cx),
        Expr::And(_) | Expr::Or(_) | Expr::Case { .. } => false,
    }
}

fn is_operator(name: &str) -> bool {
    matches!(
        name,
        op::ADD
            | op::SUBTRACT
            | op::MULTIPLY
            | op::DIVIDE
            | op::INT_DIVIDE
            | op::MODULO
            | op::NEGATE
            | op::EQ
            | op::NOT_EQ
            | op::LT
            | op::LT_EQ
            | op::GT
            | op::GT_EQ
            | op::NOT
            | op::LIKE
    )
}

/// Whether a predicate cannot be true where all of `columns` are NULL.
pub(crate) fn rejects_null(predicate: &Expr, columns: &BTreeSet<ColumnId>, cx: &OptimizerContext<'_>) -> bool {
    match predicate {
        Expr::And(parts) => parts.iter().any(|p| rejects_null(p, columns, cx)),
        Expr::Or(parts) => parts.iter().all(|p| rejects_null(p, columns, cx)),
        Expr::Literal(value) => value.is_null() || *value == Scalar::Boolean(false),
        Expr::Call(call) if &*call.function == op::IS_NOT_NULL => {
            call.args.iter().all(|arg| is_strict(arg, columns, cx))
        }
        // `x IN (…)` is NULL for a NULL x.
        Expr::Call(call) if &*call.function == op::IN => {
            call.args.first().is_some_and(|value| is_strict(value, columns, cx))
        }
        Expr::Call(call) if &*call.function == op::NOT => match call.args.first() {
            Some(Expr::Call(inner)) if &*inner.function == op::IN => {
                inner.args.first().is_some_and(|value| is_strict(value, columns, cx))
            }
            _ => is_strict(predicate, columns, cx),
        },
        other => is_strict(other, columns, cx),
    }
}

/// The most rows that a plan can return, if there is a bound.
pub(crate) fn max_rows(plan: &LogicalPlan) -> Option<u64> {
    let input = |i: usize| plan.inputs.get(i).and_then(max_rows);
    let cap = |rows: Option<u64>, fetch: Option<u64>| match (rows, fetch) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    match &plan.op {
        LogicalOp::Values { rows, .. } => Some(rows.len() as u64),
        LogicalOp::Aggregate { keys, .. } if keys.is_empty() => Some(1),
        LogicalOp::Aggregate { keys, .. } if keys.iter().all(|(_, e)| is_constant(e)) => Some(1),
        LogicalOp::Aggregate { .. }
        | LogicalOp::Filter { .. }
        | LogicalOp::Project { .. }
        | LogicalOp::Window { .. }
        | LogicalOp::Repartition { .. } => input(0),
        LogicalOp::Sort { fetch, .. } => cap(input(0), *fetch),
        LogicalOp::Limit { fetch, .. } => cap(input(0), *fetch),
        LogicalOp::Join { kind, .. } => match kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::Mark(_) | JoinKind::LeftSingle(_) => input(0),
            JoinKind::Inner => input(0)?.checked_mul(input(1)?),
            JoinKind::Left => input(0)?.checked_mul(input(1)?.max(1)),
            JoinKind::Right => input(1)?.checked_mul(input(0)?.max(1)),
            JoinKind::Full => None,
        },
        LogicalOp::Union { .. } => plan.inputs.iter().map(max_rows).try_fold(0u64, |all, n| all.checked_add(n?)),
        LogicalOp::Pinned(pinned) if pinned.finished && pinned.stats.exact => Some(pinned.stats.rows as u64),
        _ => None,
    }
}

/// Sets of output columns whose values together are different in every row.
pub(crate) fn unique_keys(plan: &LogicalPlan) -> Vec<BTreeSet<ColumnId>> {
    if max_rows(plan).is_some_and(|n| n <= 1) {
        return vec![BTreeSet::new()];
    }
    let input = |i: usize| plan.inputs.get(i).map(unique_keys).unwrap_or_default();
    match &plan.op {
        LogicalOp::Aggregate { keys, .. } => vec![keys.iter().map(|(c, _)| c.id).collect()],
        LogicalOp::Filter { .. }
        | LogicalOp::Window { .. }
        | LogicalOp::Sort { .. }
        | LogicalOp::Limit { .. }
        | LogicalOp::Repartition { .. } => input(0),
        LogicalOp::Project { exprs } => {
            let renamed = |id: &ColumnId| {
                exprs.iter().find(|(_, e)| e.as_column().is_some_and(|c| c.id == *id)).map(|(c, _)| c.id)
            };
            input(0).into_iter().filter_map(|key| key.iter().map(renamed).collect()).collect()
        }
        LogicalOp::Join { kind, on, .. } => match kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::Mark(_) | JoinKind::LeftSingle(_) => input(0),
            JoinKind::Inner | JoinKind::Left if right_is_unique(on, plan) => input(0),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether each left row of a join finds one right row at most.
pub(crate) fn right_is_unique(on: &[JoinKey], join: &LogicalPlan) -> bool {
    let Some(right) = join.inputs.get(1) else { return false };
    let compared: BTreeSet<ColumnId> = on.iter().filter_map(|k| k.right.as_column()).map(|c| c.id).collect();
    unique_keys(right).iter().any(|key| key.is_subset(&compared))
}

/// The column that `expr` has the value of: a column, or one of whole numbers as a wider type.
pub(crate) fn value_column(expr: &Expr) -> Option<&ColumnRef> {
    match expr {
        Expr::Cast { input, to, .. } => {
            let column = input.as_column()?;
            let widened = are_integers(&column.ty, to) && column.ty.default_width() <= to.default_width();
            widened.then_some(column)
        }
        other => other.as_column(),
    }
}

/// Whether values of both types are whole numbers, which are told apart by value and not by type.
pub(crate) fn are_integers(a: &SqlType, b: &SqlType) -> bool {
    a.is_integer() && b.is_integer()
}
