//! Cardinalities of joins.

use firesteel_common::Scalar;
use firesteel_expr::{Expr, op};
use firesteel_plan::{ColumnEstimate, JoinKey, JoinKind, Statistics};

use crate::util::value_column;

use super::{default_column, expression_estimate, keeps_left_rows, scaled, selectivity, with_rows};

/// Rows of the inner join of two inputs on `on`.
///
/// `|L| * |R| / max(d(L), d(R))`, where `d` is the number of different keys of a side: the product
/// over the columns, but no more than the side has rows. Of one column it is the number of values before
/// filters on other columns (the *domain*): two sides that were filtered independently share few of
/// the keys that each has left. With one row per key on one side, this is the number of rows of the
/// other side times the fraction of keys that are left.
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
    let combined = keys(left, |k| &k.left).max(keys(right, |k| &k.right));
    let among = on.iter().map(|key| candidates(key, left, right));
    let among = if on.len() == 1 { among.fold(1.0, f64::max) } else { among.fold(combined, f64::max) };
    left.rows * right.rows / among.max(1.0)
}

/// Number of values among which a key of one side finds one of the other.
fn candidates(key: &JoinKey, left: &Statistics, right: &Statistics) -> f64 {
    let (l, r) = (expression_estimate(&key.left, left), expression_estimate(&key.right, right));
    let matched = |own: &ColumnEstimate, other: &Expr| {
        let other = value_column(other)?.id;
        own.matched.iter().find(|(column, _)| *column == other).map(|(_, values)| *values)
    };
    if let Some(values) = matched(&l, &key.right).or_else(|| matched(&r, &key.left)) {
        return values.max(1.0);
    }
    let domain = |own: &ColumnEstimate, rows: f64| own.domain.or(own.distinct).unwrap_or(rows).max(1.0);
    let (most_left, most_right) = (domain(&l, left.rows), domain(&r, right.rows));
    // Keys within the bounds of those of the other side are taken to be some of them.
    let contained = |own: &ColumnEstimate, other: &ColumnEstimate| {
        let below = |a: &Option<Scalar>, b: &Option<Scalar>| Some(a.as_ref()?.as_f64()? <= b.as_ref()?.as_f64()?);
        own.sparse && below(&other.min, &own.min) == Some(true) && below(&own.max, &other.max) == Some(true)
    };
    match most_left > most_right {
        true if contained(&l, &r) => most_right,
        false if contained(&r, &l) => most_left,
        _ => most_left.max(most_right),
    }
}

/// Statistics of a join.
pub fn join_statistics(
    kind: &JoinKind,
    on: &[JoinKey],
    residual: Option<&Expr>,
    left: &Statistics,
    right: &Statistics,
) -> Statistics {
    let mut both = as_input(left);
    both.columns.extend(as_input(right).columns);
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

/// `stats` of an input of a join. What came from inputs of earlier joins still does, unless there are fewer rows now.
fn as_input(stats: &Statistics) -> Statistics {
    let mut stats = stats.clone();
    let is_fewest = stats.columns.values().filter_map(|column| column.input).all(|(_, rows)| stats.rows <= rows);
    if let (true, Some(first)) = (is_fewest, stats.columns.keys().next().copied()) {
        stats.columns.values_mut().for_each(|column| column.input = Some((first, stats.rows)));
    }
    stats
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
        let r = expression_estimate(&key.right, right).distinct.unwrap_or(right.rows).max(1.0).min(right.rows);
        fraction = fraction.min((r / candidates(key, left, right)).min(1.0));
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

#[cfg(test)]
mod tests {
    use firesteel_common::{ColumnId, SqlType};
    use firesteel_expr::ColumnRef;

    use super::*;

    fn key(id: u32, ty: SqlType) -> Expr {
        Expr::Column(ColumnRef { id: ColumnId(id), name: "k".into(), ty, nullable: false })
    }

    fn side(id: u32, rows: f64, distinct: f64) -> Statistics {
        let column = ColumnEstimate { distinct: Some(distinct), domain: Some(distinct), ..ColumnEstimate::default() };
        Statistics { rows, exact: true, columns: [(ColumnId(id), column)].into() }
    }

    fn on() -> [JoinKey; 1] {
        [JoinKey { left: key(0, SqlType::BigInt), right: key(1, SqlType::BigInt), null_safe: false }]
    }

    #[test]
    fn sides_that_were_filtered_independently_share_few_keys() {
        let events = scaled(side(0, 1e6, 50_000.0), 0.001);
        let users = scaled(side(1, 50_000.0, 50_000.0), 0.02);
        let rows = join_rows(&on(), &events, &users);
        assert!((rows - 20.0).abs() < 0.1, "{rows}");
        let semi = join_statistics(&JoinKind::LeftSemi, &on(), None, &events, &users).rows;
        assert!((semi - 20.0).abs() < 0.1, "{semi}");
    }

    #[test]
    fn keys_within_the_bounds_of_others_are_some_of_them() {
        let bounded = |id, rows: f64, min: i64, max: i64| {
            let mut side = side(id, rows, rows.min((max - min) as f64));
            for column in side.columns.values_mut() {
                (column.min, column.max) = (Some(Scalar::BigInt(min)), Some(Scalar::BigInt(max)));
                column.sparse = true;
            }
            side
        };
        let (orders, lines) = (bounded(0, 1.5e6, 1, 6_000_000), bounded(1, 6e6, 1, 6_000_000));
        assert_eq!(join_rows(&on(), &orders, &lines), 6e6);
        let few = bounded(0, 1_000.0, 1, 1_000);
        assert!((join_rows(&on(), &few, &lines) - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn a_filter_on_the_keys_makes_the_domain_smaller() {
        let below = |id| {
            Expr::predicate(op::EQ, vec![key(id, SqlType::BigInt), Expr::Literal(firesteel_common::Scalar::BigInt(7))])
        };
        let events = super::super::filtered(side(0, 1e6, 50_000.0), &below(0));
        let users = super::super::filtered(side(1, 50_000.0, 50_000.0), &below(1));
        assert_eq!(join_rows(&on(), &events, &users), 20.0);
    }

    #[test]
    fn what_a_runtime_filter_has_left_finds_a_partner() {
        let mut events = side(0, 400.0, 400.0);
        let users = scaled(side(1, 50_000.0, 50_000.0), 0.02);
        if let Some(column) = events.columns.get_mut(&ColumnId(0)) {
            column.domain = Some(50_000.0);
            column.matched.push((ColumnId(1), 1_000.0));
        }
        assert_eq!(join_rows(&on(), &events, &users), 400.0);
        let fewer = scaled(users, 0.1);
        assert_eq!(join_rows(&on(), &events, &fewer), 40.0);
    }
}
