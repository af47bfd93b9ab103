//! Type rules: the common type of two operands, the result types of decimal arithmetic, and which
//! casts exist. All follow Spark's ANSI rules.
//!
//! Nothing here looks at values; a literal integer next to a decimal is the one exception, because
//! Spark gives it the smallest decimal type that holds it ([`literal_decimal`]).

use firesteel_common::sql_type::MAX_PRECISION;
use firesteel_common::{Scalar, SqlType};

/// Fraction digits that a result keeps, if it had as many, when its precision is over the limit.
const MIN_SCALE_KEPT: u8 = 6;

/// The least type that values of `a` and `b` are both brought to in CASE, `coalesce`, IN, set
/// operations and comparisons; `None` if there is none.
pub fn common_type(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use SqlType::*;
    Some(match (a, b) {
        (a, b) if a == b => a.clone(),
        (Void, other) | (other, Void) => other.clone(),
        (a, b) if a.is_string() && b.is_string() => String,
        (text, other) | (other, text) if text.is_string() => match other {
            other if other.is_integer() => BigInt,
            other if other.is_numeric() => Double,
            other if other.is_interval() => return None,
            other => other.clone(),
        },
        (a, b) if a.is_numeric() && b.is_numeric() => numeric_type(a, b),
        (a, b) if a.is_datetime() && b.is_datetime() => {
            if *a == Timestamp || *b == Timestamp {
                Timestamp
            } else {
                TimestampNtz
            }
        }
        _ => return None,
    })
}

/// The common type of any number of types; VOID for none.
pub fn common_type_of<'a>(types: impl IntoIterator<Item = &'a SqlType>) -> Option<SqlType> {
    types.into_iter().try_fold(SqlType::Void, |common, ty| common_type(&common, ty))
}

fn numeric_type(a: &SqlType, b: &SqlType) -> SqlType {
    if let (Some((p1, s1)), Some((p2, s2))) = (a.integer_as_decimal(), b.integer_as_decimal()) {
        if a.is_integer() && b.is_integer() {
            return a.max(b).clone();
        }
        return wider_decimal(p1, s1, p2, s2);
    }
    // FLOAT does not hold every integer or decimal, so that anything but FLOAT with it gives DOUBLE.
    if *a == SqlType::Float && *b == SqlType::Float { SqlType::Float } else { SqlType::Double }
}

/// The decimal type that holds the values of both. Over the limit it gives up fraction digits first.
pub fn wider_decimal(p1: u8, s1: u8, p2: u8, s2: u8) -> SqlType {
    let scale = s1.max(s2);
    let precision = (p1 - s1).max(p2 - s2) + scale;
    if precision <= MAX_PRECISION {
        return SqlType::Decimal(precision, scale);
    }
    SqlType::Decimal(MAX_PRECISION, scale.saturating_sub(precision - MAX_PRECISION))
}

/// A result type of `precision` digits, brought under the limit: fraction digits go first, but not
/// below 6.
pub fn adjust_decimal(precision: u8, scale: u8) -> SqlType {
    if precision <= MAX_PRECISION {
        return SqlType::Decimal(precision, scale);
    }
    let whole = precision - scale;
    let kept = MAX_PRECISION.saturating_sub(whole).max(scale.min(MIN_SCALE_KEPT));
    SqlType::Decimal(MAX_PRECISION, kept)
}

/// Type of `DECIMAL(p1,s1) ± DECIMAL(p2,s2)`.
pub fn decimal_add(p1: u8, s1: u8, p2: u8, s2: u8) -> SqlType {
    let scale = s1.max(s2);
    adjust_decimal((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

/// Type of `DECIMAL(p1,s1) * DECIMAL(p2,s2)`.
pub fn decimal_multiply(p1: u8, s1: u8, p2: u8, s2: u8) -> SqlType {
    adjust_decimal(p1 + p2 + 1, s1 + s2)
}

/// Type of `DECIMAL(p1,s1) / DECIMAL(p2,s2)`.
pub fn decimal_divide(p1: u8, s1: u8, p2: u8, s2: u8) -> SqlType {
    let scale = MIN_SCALE_KEPT.max(s1 + p2 + 1);
    adjust_decimal(p1 - s1 + s2 + scale, scale)
}

/// Type of `DECIMAL(p1,s1) % DECIMAL(p2,s2)`.
pub fn decimal_modulo(p1: u8, s1: u8, p2: u8, s2: u8) -> SqlType {
    let scale = s1.max(s2);
    adjust_decimal((p1 - s1).min(p2 - s2) + scale, scale)
}

/// Number of decimal digits of a magnitude; 1 for zero.
pub fn digits(value: u128) -> u8 {
    value.checked_ilog10().map_or(1, |log| log as u8 + 1)
}

/// The decimal type of an operand next to a decimal: the least that holds a literal integer, the
/// one of the type otherwise; `None` for types that are not exact numbers.
pub fn literal_decimal(ty: &SqlType, literal: Option<&Scalar>) -> Option<(u8, u8)> {
    match literal.and_then(Scalar::as_i64) {
        Some(value) => Some((digits(u128::from(value.unsigned_abs())), 0)),
        None => ty.integer_as_decimal(),
    }
}

/// Whether values of `from` can be cast to `to` at all (a value may still fail).
pub fn can_cast(from: &SqlType, to: &SqlType, ansi: bool) -> bool {
    use SqlType::*;
    match (from, to) {
        (a, b) if a == b => true,
        (Void, _) => true,
        (_, to) if to.is_string() => true,
        (from, to) if from.is_string() => *to != Void,
        (from, Binary) => !ansi && from.is_integer(),
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (from, Boolean) if from.is_numeric() => true,
        (Boolean, to) if to.is_numeric() => true,
        (from, Timestamp) if from.is_numeric() => true,
        (Timestamp, to) if to.is_numeric() => true,
        (Boolean, Timestamp) | (Timestamp, Boolean) => !ansi,
        (from, to) if from.is_datetime() && to.is_datetime() => true,
        (from, to) if from.is_interval() => to.is_integer() || matches!(to, Decimal(..)),
        (from, to) if to.is_interval() => from.is_integer() || matches!(from, Decimal(..)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SqlType::*;

    #[test]
    fn decimal_results_have_sparks_precision() {
        assert_eq!(decimal_add(10, 2, 10, 4), Decimal(13, 4));
        assert_eq!(decimal_multiply(10, 2, 10, 4), Decimal(21, 6));
        assert_eq!(decimal_divide(10, 2, 10, 4), Decimal(25, 13));
        assert_eq!(decimal_multiply(38, 10, 38, 10), Decimal(38, 6));
        assert_eq!(decimal_divide(38, 18, 10, 0), Decimal(38, 18));
        assert_eq!(decimal_divide(2, 1, 1, 0), Decimal(7, 6));
        assert_eq!(decimal_modulo(2, 1, 1, 0), Decimal(2, 1));
        assert_eq!(decimal_add(1, 0, 15, 2), Decimal(16, 2));
    }

    #[test]
    fn common_types() {
        let check = |a, b, c| {
            assert_eq!(common_type(&a, &b), c, "{a} {b}");
            assert_eq!(common_type(&b, &a), c, "{b} {a}");
        };
        check(Int, Decimal(2, 1), Some(Decimal(11, 1)));
        check(Int, String, Some(BigInt));
        check(Decimal(2, 1), String, Some(Double));
        check(Int, Float, Some(Double));
        check(SmallInt, BigInt, Some(BigInt));
        check(Date, String, Some(Date));
        check(Date, Timestamp, Some(Timestamp));
        check(Date, TimestampNtz, Some(TimestampNtz));
        check(Boolean, Int, None);
        check(Void, Date, Some(Date));
        check(Char(3), Varchar(3), Some(String));
        check(Decimal(38, 10), Decimal(38, 0), Some(Decimal(38, 0)));
    }

    #[test]
    fn literal_integers_take_the_least_decimal() {
        assert_eq!(literal_decimal(&Int, Some(&Scalar::Int(24))), Some((2, 0)));
        assert_eq!(literal_decimal(&Int, None), Some((10, 0)));
        assert_eq!(literal_decimal(&Double, None), None);
    }
}
