//! The fraction of rows that a predicate lets through, and what it tells of the columns.

use firesteel_common::{Scalar, SqlType};
use firesteel_expr::{Expr, op};
use firesteel_plan::{ColumnEstimate, Statistics};

use super::expression_estimate;
use crate::util::is_constant;

/// `a = b` where nothing is known.
const EQUAL: f64 = 0.05;
/// `a < b` where nothing is known.
const RANGE: f64 = 0.3;
/// LIKE with a pattern that starts with text.
const LIKE_PREFIX: f64 = 0.05;
/// LIKE with a pattern that may match anywhere.
const LIKE_ANYWHERE: f64 = 0.1;
/// What is not understood.
const OTHER: f64 = 0.25;

/// The fraction of rows for which `predicate` is true.
pub fn selectivity(predicate: &Expr, stats: &Statistics) -> f64 {
    match predicate {
        Expr::Literal(Scalar::Boolean(true)) => 1.0,
        Expr::Literal(_) => 0.0,
        Expr::And(parts) => conjunction(parts, stats),
        Expr::Or(parts) => 1.0 - parts.iter().map(|p| 1.0 - selectivity(p, stats)).product::<f64>(),
        Expr::Column(_) => 0.5,
        Expr::Call(call) => call_selectivity(&call.function, &call.args, stats),
        _ => OTHER,
    }
    .clamp(0.0, 1.0)
}

/// Ranges over one column are combined to one interval; what is left is independent.
fn conjunction(parts: &[Expr], stats: &Statistics) -> f64 {
    let mut result = 1.0;
    let mut intervals: Vec<(&Expr, f64, f64)> = Vec::new();
    for part in parts {
        let Some((value, below, fraction)) = as_range(part, stats) else {
            result *= selectivity(part, stats);
            continue;
        };
        let slot = match intervals.iter().position(|(e, ..)| *e == value) {
            Some(i) => i,
            None => {
                intervals.push((value, 1.0, 1.0));
                intervals.len() - 1
            }
        };
        let slot = &mut intervals[slot];
        if below { slot.1 = slot.1.min(fraction) } else { slot.2 = slot.2.min(fraction) }
    }
    for (_, below, above) in intervals {
        // P(low <= x <= high) = P(x <= high) + P(x >= low) - 1.
        let both = below + above - 1.0;
        result *= if both > 0.0 { both } else { (below * above).min(0.01) };
    }
    result
}

/// A comparison of a value with a literal: the value, whether it is an upper bound, the fraction.
fn as_range<'e>(expr: &'e Expr, stats: &Statistics) -> Option<(&'e Expr, bool, f64)> {
    let Expr::Call(call) = expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let (value, literal, below) = match (&*call.function, left.as_literal(), right.as_literal()) {
        (op::LT | op::LT_EQ, None, Some(literal)) => (left, literal, true),
        (op::GT | op::GT_EQ, None, Some(literal)) => (left, literal, false),
        (op::LT | op::LT_EQ, Some(literal), None) => (right, literal, false),
        (op::GT | op::GT_EQ, Some(literal), None) => (right, literal, true),
        _ => return None,
    };
    let estimate = expression_estimate(value, stats);
    let fraction = fraction_below(&estimate, literal).map(|f| if below { f } else { 1.0 - f })?;
    Some((value, below, fraction))
}

/// The fraction of values that are less than `literal`, by the bounds of the column.
fn fraction_below(estimate: &ColumnEstimate, literal: &Scalar) -> Option<f64> {
    let (min, max, at) = (estimate.min.as_ref()?.as_f64()?, estimate.max.as_ref()?.as_f64()?, literal.as_f64()?);
    if max <= min {
        return Some(if at < min { 0.0 } else { 1.0 });
    }
    Some(((at - min) / (max - min)).clamp(0.0, 1.0))
}

fn call_selectivity(function: &str, args: &[Expr], stats: &Statistics) -> f64 {
    let estimate = |i: usize| args.get(i).map(|e| expression_estimate(e, stats)).unwrap_or_default();
    let known = |e: ColumnEstimate| e.distinct.map(|d| 1.0 / d.max(1.0));
    // Of a computed value, such as a part of a string, only an upper bound of the number is known.
    let computed = |e: &Expr| matches!(e, Expr::Call(call) if !matches!(&*call.function, "year" | "month" | "day"));
    match (function, args) {
        (op::NOT, [inner]) => 1.0 - selectivity(inner, stats),
        (op::EQ | op::NULL_SAFE_EQ, [left, right]) => {
            if out_of_bounds(&estimate(0), right) || out_of_bounds(&estimate(1), left) {
                return 0.0;
            }
            if (computed(left) && is_constant(right)) || (computed(right) && is_constant(left)) {
                return EQUAL;
            }
            match (known(estimate(0)), known(estimate(1))) {
                (Some(a), Some(b)) => a.min(b),
                // A column against a literal, of which only the one distinct value is known.
                (Some(a), None) | (None, Some(a)) if a < 1.0 => a,
                _ => EQUAL,
            }
        }
        (op::NOT_EQ, [_, _]) => 1.0 - call_selectivity(op::EQ, args, stats),
        (op::LT | op::LT_EQ | op::GT | op::GT_EQ, [_, _]) => {
            let call = Expr::predicate(function, args.to_vec());
            as_range(&call, stats).map_or(RANGE, |(_, _, fraction)| fraction)
        }
        (op::IN, [value, candidates @ ..]) => {
            let one = known(expression_estimate(value, stats)).filter(|_| !computed(value)).unwrap_or(EQUAL);
            (one * candidates.len() as f64).min(0.9)
        }
        (op::IS_NULL, [value]) => expression_estimate(value, stats).null_fraction,
        (op::IS_NOT_NULL, [value]) => 1.0 - expression_estimate(value, stats).null_fraction,
        (op::LIKE | op::ILIKE | op::RLIKE, [_, pattern, ..]) => match pattern.as_literal().and_then(Scalar::as_str) {
            Some(text) if !text.starts_with(['%', '_']) => LIKE_PREFIX,
            _ => LIKE_ANYWHERE,
        },
        _ => OTHER,
    }
}

fn out_of_bounds(estimate: &ColumnEstimate, other: &Expr) -> bool {
    let Some(value) = other.as_literal() else { return false };
    let beyond = |bound: &Option<Scalar>, order| {
        bound.as_ref().and_then(|b| value.partial_cmp_same(b)).is_some_and(|found| found == order)
    };
    beyond(&estimate.min, std::cmp::Ordering::Less) || beyond(&estimate.max, std::cmp::Ordering::Greater)
}

/// Distinct values of a column of whole numbers by its bounds; not more than the interval holds.
pub(crate) fn distinct_of_range(estimate: &ColumnEstimate, ty: &SqlType) -> Option<f64> {
    let whole = ty.is_integer() || matches!(ty, SqlType::Date | SqlType::Decimal(_, 0));
    let (min, max) = (estimate.min.as_ref()?.as_f64()?, estimate.max.as_ref()?.as_f64()?);
    whole.then(|| (max - min + 1.0).max(1.0))
}

/// What holds of the columns once `predicate` is true: bounds, single values, no NULLs.
pub(crate) fn narrow(mut stats: Statistics, predicate: &Expr) -> Statistics {
    match predicate {
        Expr::And(parts) => parts.iter().fold(stats, narrow),
        Expr::Call(call) => {
            if let [Expr::Column(column), value] = call.args.as_slice()
                && let Some(estimate) = stats.columns.get_mut(&column.id)
            {
                narrow_column(estimate, &call.function, value, &call.args[1..], &column.ty);
            } else if let [Expr::Column(column)] = call.args.as_slice()
                && &*call.function == op::IS_NOT_NULL
                && let Some(estimate) = stats.columns.get_mut(&column.id)
            {
                estimate.null_fraction = 0.0;
            } else if let [Expr::Column(column), candidates @ ..] = call.args.as_slice()
                && &*call.function == op::IN
                && let Some(estimate) = stats.columns.get_mut(&column.id)
            {
                estimate.null_fraction = 0.0;
                let count = candidates.len() as f64;
                estimate.distinct = Some(estimate.distinct.map_or(count, |d| d.min(count)));
            }
            stats
        }
        _ => stats,
    }
}

fn narrow_column(estimate: &mut ColumnEstimate, function: &str, value: &Expr, rest: &[Expr], ty: &SqlType) {
    let literal = value.as_literal().filter(|v| !v.is_null());
    match (function, literal) {
        (op::EQ, Some(value)) => {
            estimate.null_fraction = 0.0;
            estimate.distinct = Some(1.0);
            estimate.min = Some(value.clone());
            estimate.max = Some(value.clone());
        }
        (op::LT | op::LT_EQ, Some(value)) => {
            let before = fraction_below(estimate, value);
            estimate.null_fraction = 0.0;
            if before.is_some_and(|f| f < 1.0) {
                estimate.max = Some(value.clone());
                shrink(estimate, ty);
            }
        }
        (op::GT | op::GT_EQ, Some(value)) => {
            let before = fraction_below(estimate, value);
            estimate.null_fraction = 0.0;
            if before.is_some_and(|f| f > 0.0) {
                estimate.min = Some(value.clone());
                shrink(estimate, ty);
            }
        }
        (op::IN, _) => {
            estimate.null_fraction = 0.0;
            let count = rest.len() as f64;
            estimate.distinct = Some(estimate.distinct.map_or(count, |d| d.min(count)));
        }
        _ => {}
    }
}

fn shrink(estimate: &mut ColumnEstimate, ty: &SqlType) {
    if let (Some(distinct), Some(range)) = (estimate.distinct, distinct_of_range(estimate, ty)) {
        estimate.distinct = Some(distinct.min(range));
    }
}
