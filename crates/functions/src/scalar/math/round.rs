//! Rounding: `round` (half up), `bround` (half even), `ceil`, `floor`.
//!
//! A float is rounded as the decimal number that it is written as, so that `round(1.005, 2)` is 1.01.

use arrow::array::ArrayRef;
use arrow::datatypes::*;
use firesteel_common::SqlType::{self, BigInt, Double, Int};
use firesteel_common::{Error, Result, Scalar};
use firesteel_expr::Signature;

use super::CATEGORY;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("round", &[]),
        "round(expr[, d])",
        "Rounds to `d` (0) decimal places, half up.",
        &[("SELECT round(2.5, 0)", "3"), ("SELECT round(-2.5)", "-3"), ("SELECT round(1234.567, -2)", "1200")],
        Sig::Custom(bind_round),
        |a| round(a, Mode::HalfUp),
    )
    .not_null(),
    function(
        CATEGORY,
        ("bround", &[]),
        "bround(expr[, d])",
        "Rounds to `d` (0) decimal places, half even.",
        &[("SELECT bround(2.5, 0)", "2"), ("SELECT bround(25, -1)", "20")],
        Sig::Custom(bind_round),
        |a| round(a, Mode::HalfEven),
    )
    .not_null(),
    function(
        CATEGORY,
        ("ceil", &["ceiling"]),
        "ceil(expr[, scale])",
        "Returns the smallest number of `scale` (0) decimal places that is not smaller.",
        &[
            ("SELECT ceil(-0.1)", "0"),
            ("SELECT ceil(5)", "5"),
            ("SELECT ceil(3.1411, 3)", "3.142"),
            ("SELECT ceil(3.1411, -3)", "1000"),
        ],
        Sig::Custom(bind_whole),
        |a| whole(a, Mode::Up),
    )
    .not_null(),
    function(
        CATEGORY,
        ("floor", &[]),
        "floor(expr[, scale])",
        "Returns the largest number of `scale` (0) decimal places that is not larger.",
        &[
            ("SELECT floor(-0.1)", "-1"),
            ("SELECT floor(5)", "5"),
            ("SELECT floor(3.1411, 3)", "3.141"),
            ("SELECT floor(3.1411, -3)", "0"),
        ],
        Sig::Custom(bind_whole),
        |a| whole(a, Mode::Down),
    )
    .not_null(),
];

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

/// `a / b` rounded half to even; `b` is positive.
pub(crate) fn half_even(a: i128, b: i128) -> i128 {
    divide(a, b, Mode::HalfEven)
}

/// `a / b` rounded; `b` is positive.
fn divide(a: i128, b: i128, mode: Mode) -> i128 {
    let (floor, rest) = (a.div_euclid(b), a.rem_euclid(b));
    let up = match mode {
        Mode::Down => false,
        Mode::Up => rest > 0,
        Mode::HalfUp => rest > b - rest || (rest == b - rest && a >= 0),
        Mode::HalfEven => rest > b - rest || (rest == b - rest && floor & 1 == 1),
    };
    floor + i128::from(up)
}

/// The number of places, which must be a literal.
fn places(name: &'static str, literals: &[Option<Scalar>]) -> Result<i32> {
    match literals.get(1) {
        None => Ok(0),
        Some(Some(Scalar::String(text))) => {
            text.trim().parse().map_err(|_| check::unexpected_type(name, 1, "INT", &SqlType::String))
        }
        Some(Some(value)) if value.is_null() => Ok(0),
        Some(Some(value)) => value
            .as_i64()
            .and_then(|v| i32::try_from(v).ok())
            .ok_or_else(|| check::unexpected_type(name, 1, "INT", &value.ty())),
        Some(None) => Err(Error::new(
            firesteel_common::ErrorKind::Type,
            "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
            "42K09",
            format!(
                "Cannot resolve \"{name}\" due to data type mismatch: the input `scale` should be a foldable \"INT\" \
                 expression; however, got an expression that is none."
            ),
        )),
    }
}

/// The type of a decimal rounded to `d` places: one more digit before the point.
fn rounded_decimal(p: u8, s: u8, d: i32) -> SqlType {
    let whole = i32::from(p) - i32::from(s) + 1;
    if d < 0 {
        return SqlType::Decimal(whole.max(1 - d).min(38) as u8, 0);
    }
    let scale = i32::from(s).min(d);
    SqlType::Decimal((whole + scale).min(38) as u8, scale.min(38) as u8)
}

fn bind_round(name: &'static str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 1, 2)?;
    let d = places(name, literals)?;
    let (arg, ty) = match &args[0] {
        SqlType::Decimal(p, s) => (args[0].clone(), rounded_decimal(*p, *s, d)),
        ty if ty.is_numeric() => (ty.clone(), ty.clone()),
        ty if ty.is_string() || *ty == SqlType::Void => (Double, Double),
        other => return Err(check::unexpected_type(name, 0, "NUMERIC", other)),
    };
    let args = std::iter::once(arg).chain(args[1..].iter().map(|_| Int)).collect();
    Ok(Signature { args, ty, may_be_null: false })
}

fn bind_whole(name: &'static str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 1, 2)?;
    if args.len() == 2 {
        let d = places(name, literals)?;
        let (p, s) = match &args[0] {
            SqlType::Float => (14, 7),
            ty => ty.integer_as_decimal().unwrap_or((30, 15)),
        };
        let args = vec![SqlType::Decimal(p, s), Int];
        return Ok(Signature { args, ty: rounded_decimal(p, s, d), may_be_null: false });
    }
    let (arg, ty) = match &args[0] {
        SqlType::Decimal(p, s) => (args[0].clone(), SqlType::Decimal((*p - *s + 1).min(38), 0)),
        ty if ty.is_integer() => (BigInt, BigInt),
        ty if ty.is_numeric() || ty.is_string() || *ty == SqlType::Void => (Double, BigInt),
        other => return Err(check::unexpected_type(name, 0, "DECIMAL\" or \"DOUBLE\" or \"BIGINT", other)),
    };
    Ok(Signature { args: vec![arg], ty, may_be_null: false })
}

fn whole(a: &Args, mode: Mode) -> Result<ArrayRef> {
    match &a.types[0] {
        SqlType::Decimal(..) => round(a, mode),
        BigInt => a.array(0),
        _ => {
            let x = a.doubles(0)?;
            let up = mode == Mode::Up;
            a.out_longs(|i| x.get(i).map(|x| (if up { x.ceil() } else { x.floor() }) as i64))
        }
    }
}

fn round(a: &Args, mode: Mode) -> Result<ArrayRef> {
    let d = match a.len() {
        1 => 0,
        _ => match a.ints(1)?.constant() {
            Some(d) => d,
            None => return Ok(arrow::array::new_null_array(&a.ty.arrow(), a.rows)),
        },
    };
    macro_rules! integers {
        ($arrow:ty) => {{
            let n = a.column::<$arrow>(0)?;
            a.try_out::<$arrow>(|i| {
                let Some(n) = n.get(i) else { return Ok(None) };
                if d >= 0 {
                    return Ok(Some(n));
                }
                match scaled(i128::from(n), d, mode).try_into() {
                    Ok(rounded) => Ok(Some(rounded)),
                    Err(_) => Err(check::overflow("Overflow in rounding;", "")),
                }
            })
        }};
    }
    match &a.types[0] {
        SqlType::TinyInt => integers!(Int8Type),
        SqlType::SmallInt => integers!(Int16Type),
        Int => integers!(Int32Type),
        BigInt => integers!(Int64Type),
        SqlType::Float => {
            let x = a.column::<Float32Type>(0)?;
            a.out::<Float32Type>(|i| x.get(i).map(|x| round_text(x, &format!("{x:e}"), d, mode)))
        }
        Double => {
            let x = a.doubles(0)?;
            a.out_doubles(|i| x.get(i).map(|x| round_double(x, d, mode)))
        }
        SqlType::Decimal(_, scale) => round_decimal(a, i32::from(*scale), d, mode),
        other => Err(Error::internal(format!("round of {other}"))),
    }
}

/// A whole number rounded to `d` places, `d` negative.
fn scaled(n: i128, d: i32, mode: Mode) -> i128 {
    if d < -38 {
        return 0;
    }
    let unit = check::pow10(d.unsigned_abs() as u8);
    divide(n, unit, mode).saturating_mul(unit)
}

fn round_decimal(a: &Args, scale: i32, d: i32, mode: Mode) -> Result<ArrayRef> {
    let n = a.decimals(0)?;
    let SqlType::Decimal(precision, to) = *a.ty else { return Err(Error::internal("round of a decimal is none")) };
    let drop = (scale - d.max(0)).max(0) as u8;
    a.out_decimals(|i| {
        let Some(n) = n.get(i) else { return Ok(None) };
        let rounded = if d >= 0 {
            divide(n, check::pow10(drop), mode)
        } else {
            // Digits before the point go too: one division, so that it is rounded once.
            let digits = scale + d.unsigned_abs() as i32;
            if digits > 38 {
                0
            } else {
                divide(n, check::pow10(digits as u8), mode).saturating_mul(check::pow10((digits - scale) as u8))
            }
        };
        if check::fits(rounded, precision) {
            return Ok(Some(rounded));
        }
        let text = firesteel_common::scalar::format_decimal(rounded, to);
        if a.cx.ansi { Err(check::decimal_out_of_range(&text, precision, to)) } else { Ok(None) }
    })
}

fn round_double(x: f64, d: i32, mode: Mode) -> f64 {
    // Whole numbers stay as they are; most others need their decimal digits.
    if !x.is_finite() || (d >= 0 && x.fract() == 0.0) {
        return x;
    }
    round_text(x, &format!("{x:e}"), d, mode)
}

/// Rounds the shortest decimal digits of a float (`1.2345e2`) and reads the result back.
fn round_text<F: std::str::FromStr + Copy>(x: F, text: &str, d: i32, mode: Mode) -> F {
    let Some((mantissa, exponent)) = text.split_once('e') else { return x };
    let Ok(exponent) = exponent.parse::<i32>() else { return x };
    let fraction = mantissa.find('.').map_or(0, |dot| (mantissa.len() - dot - 1) as i32);
    let Ok(digits) = mantissa.replace('.', "").parse::<i128>() else { return x };
    // The value is digits * 10^unit.
    let unit = exponent - fraction;
    let drop = -d - unit;
    if drop <= 0 {
        return x;
    }
    let rounded = if drop > 38 { 0 } else { divide(digits, check::pow10(drop as u8), mode) };
    format!("{rounded}e{}", -d).parse().unwrap_or(x)
}
