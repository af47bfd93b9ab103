//! Cardinalities of joins.

use firesteel_expr::{Expr, op};
use firesteel_plan::{JoinKey, JoinKind, Statistics};

use super::{default_column, expression_estimate, keeps_left_rows, scaled, selectivity, with_rows};

/// Rows of the inner join of two inputs on `on`.
///
/// `|L| * |R| / max(d(L), d(R))`, where `d` is the number of different keys of a side: the product
/// over the columns, but no more than the side has rows. With one row per key on one side, this is
/// the number of rows of the other side times the fraction of keys that are left.
pub fn join_rows(on: &[JoinKey], left: &Statistics, right: &Statistics) -> f64 {
    if on.is_empty() {
        return left.rows * right.rows;
    }
    let keys = |side: &Statistics, expr: fn(&JoinKey) -> &Expr| {
        let product: f64 = on
            .iter()
            .map(|key| {
                let estimate = expression_estimate(expr(key), side);
                estimate.distinct.unwrap_or(side.rows).max(1.0)
            })
            .product();
        product.min(side.rows.max(1.0))
    };
    let (left_keys, right_keys) = (keys(left, |k| &k.left), keys(right, |k| &k.right));
    left.rows * right.rows / left_keys.max(right_keys).max(1.0)
}

/// Statistics of a join.
pub fn join_statistics(
    kind: &JoinKind,
    on: &[JoinKey],
    residual: Option<&Expr>,
    left: &Statistics,
    right: &Statistics,
) -> Statistics {
    let mut both = left.clone();
    both.columns.extend(right.columns.iter().map(|(id, c)| (*id, c.clone())));
    let residual_fraction = residual.map_or(1.0, |r| residual_selectivity(r, &both));
    let inner = join_rows(on, left, right) * residual_fraction;
    let empty = |s: &Statistics| s.exact && s.rows == 0.0;
    let rows = match kind {
        JoinKind::Inner => inner,
        JoinKind::Left => inner.max(left.rows),
        JoinKind::Right => inner.max(right.rows),
        JoinKind::Full => inner.max(left.rows).max(right.rows).max(left.rows + right.rows - inner),
        JoinKind::LeftSemi => left.rows * semi_fraction(on, residual_fraction, left, right),
        JoinKind::LeftAnti => left.rows * (1.0 - semi_fraction(on, residual_fraction, left, right)).max(0.05),
        JoinKind::LeftSingle(_) | JoinKind::Mark(_) => left.rows,
    };
    let exact = keeps_left_rows(kind) && left.exact || matches!(kind, JoinKind::Inner) && (empty(left) || empty(right));
    let rows = if exact { rows } else { rows.max(1.0f64.min(left.rows.max(right.rows))) };
    match kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti => scaled(left.clone(), rows / left.rows.max(1.0)),
        JoinKind::Mark(mark) => {
            let mut stats = left.clone();
            stats.columns.insert(mark.id, default_column(&mark.ty));
            stats
        }
        JoinKind::LeftSingle(_) => with_rows(both, rows, exact),
        _ => {
            // Equal keys have the values of the side with fewer of them.
            for key in on.iter().filter(|_| matches!(kind, JoinKind::Inner)) {
                if let (Expr::Column(l), Expr::Column(r)) = (&key.left, &key.right) {
                    let distinct = |id| both.columns.get(id).and_then(|c| c.distinct);
                    let fewest = match (distinct(&l.id), distinct(&r.id)) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                    for id in [l.id, r.id] {
                        if let Some(column) = both.columns.get_mut(&id) {
                            column.distinct = fewest;
                        }
                    }
                }
            }
            with_rows(both, rows, exact)
        }
    }
}

/// The fraction of left rows that find a partner: the keys of the right side among those of the left.
fn semi_fraction(on: &[JoinKey], residual: f64, left: &Statistics, right: &Statistics) -> f64 {
    if right.rows <= 0.0 {
        return 0.0;
    }
    if on.is_empty() {
        return if residual < 1.0 { (residual * right.rows).min(1.0) } else { 1.0 };
    }
    let mut fraction = 1.0f64;
    for key in on {
        let l = expression_estimate(&key.left, left).distinct.unwrap_or(left.rows).max(1.0);
        let r = expression_estimate(&key.right, right).distinct.unwrap_or(right.rows).max(1.0).min(right.rows);
        fraction = fraction.min((r / l).min(1.0));
    }
    let matches = (right.rows / left.rows.max(1.0)).max(1.0);
    // Each of several partners has its own chance to satisfy the residual.
    fraction * (1.0 - (1.0 - residual).powf(matches))
}

/// Of pairs whose keys are equal, the fraction that satisfies the residual.
fn residual_selectivity(residual: &Expr, both: &Statistics) -> f64 {
    match residual {
        Expr::And(parts) => parts.iter().map(|p| residual_selectivity(p, both)).product(),
        other if other.as_call(op::NOT_EQ).is_some() => 0.9,
        other => selectivity(other, both),
    }
}
