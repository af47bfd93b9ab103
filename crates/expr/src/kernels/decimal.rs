//! Decimal arithmetic.
//!
//! A decimal is an integer and a scale. The type of a result is often wide (38 digits) while its
//! values are small, so each batch is measured: if the greatest magnitudes of the operands prove
//! that every result fits 64 bits, the loop runs on `i64` and returns `Decimal64`, the alternative
//! encoding of a wide decimal. Otherwise it runs on `i128`, and where even that may overflow, because
//! the result type was cut to 38 digits, row by row with 256 bits behind it.

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, Int64Type, i256};
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Error, Result, Scalar, SqlType};

use super::arithmetic::Operation;
use super::operand::{Values, array_of, boxed, magnitude_bound, null_propagating, union_nulls, zip, zip_exact};
use crate::coercion::digits;
use crate::function::{Datum, ScalarKernel};

/// Powers of ten that fit 128 bits.
pub(crate) const POW10: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Digits of a sum or product before the limit of 38 applies.
pub(crate) fn full_precision(multiply: bool, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> u8 {
    if multiply { p1 + p2 + 1 } else { (p1 - s1).max(p2 - s2) + s1.max(s2) + 1 }
}

/// The error of a value that its decimal type does not hold; `value` is its text.
pub(crate) fn out_of_range(value: &str, precision: u8, scale: u8) -> Error {
    Error::compute(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        "22003",
        format!(
            "{value} cannot be represented as Decimal({precision}, {scale}). If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error, and return NULL instead."
        ),
    )
}

/// `n / d`, halves away from zero.
pub(crate) fn divide_half_up(n: i128, d: i128) -> i128 {
    let (quotient, remainder) = (n / d, (n % d).unsigned_abs());
    if remainder >= d.unsigned_abs() - remainder {
        quotient + if (n < 0) == (d < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// The values of a decimal argument.
pub(crate) enum Unscaled<'a> {
    Narrow(Values<'a, i64>),
    Wide(Values<'a, i128>),
}

/// Reads a decimal argument in either of its encodings.
pub(crate) fn unscaled(datum: &Datum) -> Result<Unscaled<'_>> {
    Ok(match datum {
        Datum::Scalar(Scalar::Decimal(value, ..)) => match i64::try_from(*value) {
            Ok(narrow) => Unscaled::Narrow(Values::One(narrow)),
            Err(_) => Unscaled::Wide(Values::One(*value)),
        },
        Datum::Array(array) => match array.data_type() {
            DataType::Decimal64(..) => Unscaled::Narrow(Values::Many(array.as_primitive::<Decimal64Type>().values())),
            DataType::Decimal128(..) => Unscaled::Wide(Values::Many(array.as_primitive::<Decimal128Type>().values())),
            other => return Err(Error::internal(format!("expected a decimal, got {other}"))),
        },
        Datum::Scalar(other) => return Err(Error::internal(format!("expected a decimal, got {other:?}"))),
    })
}

/// Calls `$body` with `$a` and `$b` bound to 128-bit values; narrow slices are widened first.
macro_rules! widened {
    ($a:ident, $b:ident, $left:expr, $right:expr, $body:expr) => {{
        let (left, right) = (widen($left), widen($right));
        let ($a, $b) = (left.values(), right.values());
        $body
    }};
}

/// 128-bit values, borrowed or made.
enum Widened<'a> {
    Borrowed(Values<'a, i128>),
    Owned(Vec<i128>),
}

impl Widened<'_> {
    fn values(&self) -> Values<'_, i128> {
        match self {
            Widened::Borrowed(values) => *values,
            Widened::Owned(values) => Values::Many(values),
        }
    }
}

fn widen(values: Unscaled<'_>) -> Widened<'_> {
    match values {
        Unscaled::Wide(values) => Widened::Borrowed(values),
        Unscaled::Narrow(Values::One(value)) => Widened::Borrowed(Values::One(i128::from(value))),
        Unscaled::Narrow(Values::Many(values)) => Widened::Owned(values.iter().map(|v| i128::from(*v)).collect()),
    }
}

/// What a kernel knows of the types.
#[derive(Clone, Copy, Debug)]
struct Shape {
    operation: Operation,
    /// Factors that bring both operands to one scale; 1 for products and quotients.
    factors: (i128, i128),
    /// Scale of the exact result.
    raw_scale: u8,
    precision: u8,
    scale: u8,
    /// Whether the result may need more than 38 digits, or loses fraction digits.
    capped: bool,
    ansi: bool,
}

/// The kernel of an operation on two decimals.
pub(crate) fn kernel(
    operation: Operation,
    left: (u8, u8),
    right: (u8, u8),
    ty: &SqlType,
    ansi: bool,
) -> Result<Box<dyn ScalarKernel>> {
    let (s1, s2) = (left.1, right.1);
    if operation == Operation::IntDivide {
        return Ok(boxed(move |args, rows| int_divide(args, rows, s1, s2, ansi)));
    }
    let SqlType::Decimal(precision, scale) = *ty else {
        return Err(Error::internal(format!("a decimal operation cannot give {ty}")));
    };
    if operation == Operation::Divide {
        return Ok(boxed(move |args, rows| divide(args, rows, (s1, s2), (precision, scale), ansi)));
    }
    let multiply = operation == Operation::Multiply;
    let common = s1.max(s2);
    let shape = Shape {
        operation,
        factors: if multiply { (1, 1) } else { (POW10[usize::from(common - s1)], POW10[usize::from(common - s2)]) },
        raw_scale: if multiply { s1 + s2 } else { common },
        precision,
        scale,
        capped: operation != Operation::Modulo && full_precision(multiply, left, right) > 38,
        ansi,
    };
    Ok(boxed(move |args, rows| evaluate(shape, args, rows)))
}

fn evaluate(shape: Shape, args: &[Datum], rows: usize) -> Result<Datum> {
    null_propagating(args, rows, &SqlType::Decimal(shape.precision, shape.scale), |rows| {
        let (left, right) = (unscaled(&args[0])?, unscaled(&args[1])?);
        let nulls = union_nulls(args);
        if let (Unscaled::Narrow(a), Unscaled::Narrow(b)) = (&left, &right)
            && let Some(values) = narrow(&shape, *a, *b, rows)
        {
            let label = DataType::Decimal64(shape.precision.min(18), shape.scale as i8);
            return Ok(array_of::<Decimal64Type>(values, nulls, label));
        }
        let (fa, fb) = shape.factors;
        widened!(a, b, left, right, {
            let (values, nulls) = match shape.operation {
                Operation::Modulo => {
                    let f = |a: i128, b: i128| modulo(a, b, fa, fb);
                    let failed = |_| if shape.ansi { Err(shape.operation.by_zero()) } else { Ok(()) };
                    zip_exact(a, b, rows, nulls.as_ref(), f, &failed)?
                }
                _ if shape.capped => exact(&shape, a, b, rows, nulls.as_ref())?,
                // The type proves that these do not overflow, except on values under NULLs.
                Operation::Multiply => (zip(a, b, rows, |a, b| a.wrapping_mul(b)), nulls),
                Operation::Subtract => {
                    (zip(a, b, rows, |a, b| a.wrapping_mul(fa).wrapping_sub(b.wrapping_mul(fb))), nulls)
                }
                _ => (zip(a, b, rows, |a, b| a.wrapping_mul(fa).wrapping_add(b.wrapping_mul(fb))), nulls),
            };
            Ok(wide_result(values, nulls, shape.precision, shape.scale))
        })
    })
}

/// An array of 128-bit values in the canonical encoding of its decimal type.
fn wide_result(values: Vec<i128>, nulls: Option<NullBuffer>, precision: u8, scale: u8) -> arrow::array::ArrayRef {
    match SqlType::Decimal(precision, scale).arrow() {
        label @ DataType::Decimal64(..) => {
            array_of::<Decimal64Type>(values.into_iter().map(|v| v as i64).collect(), nulls, label)
        }
        label => array_of::<Decimal128Type>(values, nulls, label),
    }
}

/// The 64-bit loop, if the operands prove that no result leaves 64 bits.
fn narrow(shape: &Shape, a: Values<i64>, b: Values<i64>, rows: usize) -> Option<Vec<i64>> {
    if shape.raw_scale != shape.scale || shape.scale > 18 {
        return None;
    }
    let (fa, fb) = (i64::try_from(shape.factors.0).ok()?, i64::try_from(shape.factors.1).ok()?);
    let limit = i64::MAX as u128;
    let (ma, mb) = (u128::from(magnitude_bound(a)), u128::from(magnitude_bound(b)));
    let (ma, mb) = (ma * fa as u128, mb * fb as u128);
    Some(match shape.operation {
        Operation::Multiply if ma * mb <= limit => zip(a, b, rows, |a, b| a.wrapping_mul(b)),
        Operation::Add if ma + mb <= limit => match (fa, fb) {
            (1, 1) => zip(a, b, rows, |a, b| a.wrapping_add(b)),
            _ => zip(a, b, rows, |a, b| a.wrapping_mul(fa).wrapping_add(b.wrapping_mul(fb))),
        },
        Operation::Subtract if ma + mb <= limit => match (fa, fb) {
            (1, 1) => zip(a, b, rows, |a, b| a.wrapping_sub(b)),
            _ => zip(a, b, rows, |a, b| a.wrapping_mul(fa).wrapping_sub(b.wrapping_mul(fb))),
        },
        _ => return None,
    })
}

/// Sums and products that may leave 38 digits, or that lose fraction digits by rounding.
fn exact(
    shape: &Shape,
    a: Values<i128>,
    b: Values<i128>,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> Result<(Vec<i128>, Option<NullBuffer>)> {
    let (fa, fb) = shape.factors;
    let wide = |a: i128, b: i128| -> i256 {
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        let (fa, fb) = (i256::from_i128(fa), i256::from_i128(fb));
        match shape.operation {
            Operation::Multiply => a.wrapping_mul(b),
            Operation::Subtract => a.wrapping_mul(fa).wrapping_sub(b.wrapping_mul(fb)),
            _ => a.wrapping_mul(fa).wrapping_add(b.wrapping_mul(fb)),
        }
    };
    let dropped = usize::from(shape.raw_scale - shape.scale);
    let f = |a: i128, b: i128| {
        let narrow = match shape.operation {
            Operation::Multiply => a.checked_mul(b),
            Operation::Subtract => a.checked_mul(fa).zip(b.checked_mul(fb)).and_then(|(a, b)| a.checked_sub(b)),
            _ => a.checked_mul(fa).zip(b.checked_mul(fb)).and_then(|(a, b)| a.checked_add(b)),
        };
        let value = match narrow {
            Some(value) if dropped == 0 => Some(value),
            Some(value) if dropped <= 38 => Some(divide_half_up(value, POW10[dropped])),
            _ => round_wide(wide(a, b), dropped),
        };
        value.filter(|v| v.unsigned_abs() < POW10[usize::from(shape.precision)].unsigned_abs())
    };
    let failed = |row: usize| {
        if !shape.ansi {
            return Ok(());
        }
        let text = format_wide(wide(a.get(row), b.get(row)), shape.raw_scale);
        Err(out_of_range(&text, shape.precision, shape.scale))
    };
    zip_exact(a, b, rows, nulls, f, &failed)
}

/// 10 to the power of `n`, up to 76.
fn wide_pow10(n: usize) -> i256 {
    let (low, high) = (n.min(38), n.saturating_sub(38).min(38));
    i256::from_i128(POW10[low]).wrapping_mul(i256::from_i128(POW10[high]))
}

/// Drops fraction digits, halves away from zero; nothing if the result leaves 128 bits.
fn round_wide(value: i256, dropped: usize) -> Option<i128> {
    divide_wide(value, wide_pow10(dropped))
}

fn divide_wide(n: i256, d: i256) -> Option<i128> {
    let (quotient, remainder) = (n.checked_div(d)?, n.checked_rem(d)?);
    let twice = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2));
    let step = if twice >= d.wrapping_abs() { if n.is_negative() == d.is_negative() { 1 } else { -1 } } else { 0 };
    quotient.wrapping_add(i256::from_i128(step)).to_i128()
}

/// Text of a value that may be wider than a decimal.
fn format_wide(value: i256, scale: u8) -> String {
    if let Some(narrow) = value.to_i128() {
        return format_decimal(narrow, scale);
    }
    let text = value.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(usize::from(scale)));
    if fraction.is_empty() { text } else { format!("{sign}{whole}.{fraction}") }
}

fn modulo(a: i128, b: i128, fa: i128, fb: i128) -> Option<i128> {
    if b == 0 {
        return None;
    }
    match (a.checked_mul(fa), b.checked_mul(fb)) {
        (Some(a), Some(b)) => a.checked_rem(b).or(Some(0)),
        _ => {
            let (a, fa) = (i256::from_i128(a), i256::from_i128(fa));
            let (b, fb) = (i256::from_i128(b), i256::from_i128(fb));
            a.wrapping_mul(fa).checked_rem(b.wrapping_mul(fb))?.to_i128()
        }
    }
}

/// `a * 10^shift / b`, halves away from zero; nothing for a zero divisor or a result over 128 bits.
fn scaled_quotient(a: i128, b: i128, shift: i32) -> Option<i128> {
    if b == 0 {
        return None;
    }
    if shift < 0 {
        let factor = wide_pow10(shift.unsigned_abs() as usize);
        return divide_wide(i256::from_i128(a), i256::from_i128(b).wrapping_mul(factor));
    }
    let shift = shift as usize;
    if shift <= 38
        && let Some(n) = a.checked_mul(POW10[shift])
    {
        return Some(divide_half_up(n, b));
    }
    let n = i256::from_i128(a).checked_mul(wide_pow10(shift))?;
    divide_wide(n, i256::from_i128(b))
}

fn divide(args: &[Datum], rows: usize, scales: (u8, u8), (p, s): (u8, u8), ansi: bool) -> Result<Datum> {
    null_propagating(args, rows, &SqlType::Decimal(p, s), |rows| {
        let (left, right) = (unscaled(&args[0])?, unscaled(&args[1])?);
        let nulls = union_nulls(args);
        let shift = i32::from(s) + i32::from(scales.1) - i32::from(scales.0);
        let limit = POW10[usize::from(p)].unsigned_abs();
        widened!(a, b, left, right, {
            let f = |a: i128, b: i128| scaled_quotient(a, b, shift).filter(|v| v.unsigned_abs() < limit);
            let failed = |row: usize| match (ansi, b.get(row)) {
                (false, _) => Ok(()),
                (true, 0) => Err(Operation::Divide.by_zero()),
                (true, b) => {
                    let text = scaled_quotient(a.get(row), b, shift);
                    let text = text.map_or_else(|| "The quotient".to_owned(), |v| format_decimal(v, s));
                    Err(out_of_range(&text, p, s))
                }
            };
            let (values, nulls) = zip_exact(a, b, rows, nulls.as_ref(), f, &failed)?;
            Ok(wide_result(values, nulls, p, s))
        })
    })
}

fn int_divide(args: &[Datum], rows: usize, s1: u8, s2: u8, ansi: bool) -> Result<Datum> {
    null_propagating(args, rows, &SqlType::BigInt, |rows| {
        let (left, right) = (unscaled(&args[0])?, unscaled(&args[1])?);
        let nulls = union_nulls(args);
        let common = s1.max(s2);
        let (fa, fb) = (wide_pow10(usize::from(common - s1)), wide_pow10(usize::from(common - s2)));
        widened!(a, b, left, right, {
            let f = |a: i128, b: i128| {
                let n = i256::from_i128(a).wrapping_mul(fa);
                let quotient = n.checked_div(i256::from_i128(b).wrapping_mul(fb))?.to_i128()?;
                i64::try_from(quotient).ok()
            };
            let failed = |row: usize| match (ansi, b.get(row)) {
                (false, _) => Ok(()),
                (true, 0) => Err(Operation::IntDivide.by_zero()),
                (true, _) => Err(Operation::IntDivide.overflow()),
            };
            let (values, nulls) = zip_exact(a, b, rows, nulls.as_ref(), f, &failed)?;
            Ok(array_of::<Int64Type>(values, nulls, DataType::Int64))
        })
    })
}

/// The kernel of the unary minus.
pub(crate) fn negate_kernel(ty: &SqlType) -> Box<dyn ScalarKernel> {
    let ty = ty.clone();
    boxed(move |args, rows| {
        null_propagating(args, rows, &ty, |rows| {
            let nulls = union_nulls(args);
            let input = args[0].clone().into_array(rows);
            let label = input.data_type().clone();
            Ok(match unscaled(&Datum::Array(input))? {
                Unscaled::Narrow(a) => {
                    array_of::<Decimal64Type>(zip(a, a, rows, |a, _| a.wrapping_neg()), nulls, label)
                }
                Unscaled::Wide(a) => array_of::<Decimal128Type>(zip(a, a, rows, |a, _| a.wrapping_neg()), nulls, label),
            })
        })
    })
}

/// `values` of scale `from` brought to `DECIMAL(p, s)`, halves away from zero. `failed` says what
/// happens to a row that does not fit.
pub(crate) fn rescale(
    array: &arrow::array::ArrayRef,
    from: (u8, u8),
    to: (u8, u8),
    failed: &dyn Fn(i128) -> Result<()>,
) -> Result<arrow::array::ArrayRef> {
    let rows = array.len();
    let datum = Datum::Array(array.clone());
    let values = unscaled(&datum)?;
    let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
    let up = to.1.checked_sub(from.1);
    if let (Unscaled::Narrow(a), Some(up)) = (&values, up)
        && to.1 <= 18
    {
        let largest = u128::from(magnitude_bound(*a)) * POW10[usize::from(up)].unsigned_abs();
        let fits_by_type = from.0 - from.1 <= to.0 - to.1;
        if largest <= i64::MAX as u128 && (fits_by_type || digits(largest) <= to.0) {
            let factor = POW10[usize::from(up)] as i64;
            let label = DataType::Decimal64(to.0.min(18), to.1 as i8);
            return Ok(array_of::<Decimal64Type>(zip(*a, *a, rows, |a, _| a.wrapping_mul(factor)), nulls, label));
        }
    }
    let limit = POW10[usize::from(to.0)].unsigned_abs();
    let f = |a: i128, _: i128| {
        let value = match up {
            Some(up) => a.checked_mul(POW10[usize::from(up)]),
            None => Some(divide_half_up(a, POW10[usize::from(from.1 - to.1)])),
        };
        value.filter(|v| v.unsigned_abs() < limit)
    };
    let widened = widen(values);
    let a = widened.values();
    let (values, nulls) = zip_exact(a, a, rows, nulls.as_ref(), f, &|row| failed(a.get(row)))?;
    Ok(wide_result(values, nulls, to.0, to.1))
}
