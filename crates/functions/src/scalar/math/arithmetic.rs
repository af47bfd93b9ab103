//! Absolute values, extremes of arguments, remainders.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::kernels::cmp;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::*;
use firesteel_common::SqlType::{self, BigInt, Double, Int};
use firesteel_common::{Error, ErrorKind, Result, Scalar};
use firesteel_expr::Signature;
use firesteel_expr::coercion::{common_type, common_type_of, decimal_modulo, wider_decimal};

use super::CATEGORY;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("abs", &[]),
        "abs(expr)",
        "Returns the absolute value of a number.",
        &[("SELECT abs(-1)", "1")],
        Sig::Custom(bind_same),
        abs,
    )
    .not_null(),
    function(
        CATEGORY,
        ("positive", &[]),
        "positive(expr)",
        "Returns the argument.",
        &[("SELECT positive(1)", "1")],
        Sig::Custom(bind_same),
        |a| a.array(0),
    )
    .total(),
    function(
        CATEGORY,
        ("greatest", &[]),
        "greatest(expr, ...)",
        "Returns the greatest of the arguments, skipping NULLs.",
        &[("SELECT greatest(10, 9, 2, 4, 3)", "10"), ("SELECT greatest(1, NULL)", "1")],
        Sig::Custom(bind_extreme),
        |a| extreme(a, true),
    )
    .infallible()
    .handles_null(),
    function(
        CATEGORY,
        ("least", &[]),
        "least(expr, ...)",
        "Returns the least of the arguments, skipping NULLs.",
        &[("SELECT least(10, 9, 2, 4, 3)", "2")],
        Sig::Custom(bind_extreme),
        |a| extreme(a, false),
    )
    .infallible()
    .handles_null(),
    function(
        CATEGORY,
        ("pmod", &[]),
        "pmod(expr1, expr2)",
        "Returns the remainder of a division that has the sign of the divisor or is 0.",
        &[("SELECT pmod(10, 3)", "1"), ("SELECT pmod(-10, 3)", "2")],
        Sig::Custom(bind_pmod),
        pmod,
    ),
];

fn bind_same(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 1, 1)?;
    let ty = match &args[0] {
        ty if ty.is_numeric() || ty.is_interval() => ty.clone(),
        ty if ty.is_string() || *ty == SqlType::Void => Double,
        other => return Err(check::unexpected_type(name, 0, "NUMERIC\" or \"ANSI INTERVAL", other)),
    };
    Ok(Signature { args: vec![ty.clone()], ty, may_be_null: false })
}

fn abs(a: &Args) -> Result<ArrayRef> {
    macro_rules! exact {
        ($arrow:ty) => {{
            let n = a.column::<$arrow>(0)?;
            a.try_out::<$arrow>(|i| {
                let Some(n) = n.get(i) else { return Ok(None) };
                match n.checked_abs() {
                    None if a.cx.ansi => Err(check::overflow(&a.ty.to_string().to_lowercase(), "")),
                    None => Ok(Some(n)),
                    some => Ok(some),
                }
            })
        }};
    }
    match &a.types[0] {
        SqlType::TinyInt => exact!(Int8Type),
        SqlType::SmallInt => exact!(Int16Type),
        Int => exact!(Int32Type),
        BigInt => exact!(Int64Type),
        SqlType::IntervalYearMonth => exact!(IntervalYearMonthType),
        SqlType::IntervalDayTime => exact!(DurationMicrosecondType),
        SqlType::Float => {
            let n = a.column::<Float32Type>(0)?;
            a.out::<Float32Type>(|i| Some(n.get(i)?.abs()))
        }
        Double => {
            let n = a.doubles(0)?;
            a.out_doubles(|i| Some(n.get(i)?.abs()))
        }
        _ => {
            let n = a.decimals(0)?;
            a.out_decimals(|i| Ok(n.get(i).map(i128::abs)))
        }
    }
}

fn bind_extreme(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 2, usize::MAX)?;
    let ty = common_type_of(args).ok_or_else(|| {
        let types: Vec<String> = args.iter().map(|t| format!("\"{t}\"")).collect();
        Error::new(
            ErrorKind::Type,
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            "42K09",
            format!(
                "Cannot resolve \"{name}\" due to data type mismatch: Input to `{name}` should all be the same type, \
                 but it's ({}).",
                types.join(" or ")
            ),
        )
    })?;
    Ok(Signature { args: vec![ty.clone(); args.len()], ty, may_be_null: true })
}

fn extreme(a: &Args, greatest: bool) -> Result<ArrayRef> {
    let mut best = a.array(0)?;
    if *a.ty == SqlType::Void {
        return Ok(best);
    }
    for index in 1..a.len() {
        let next = a.array(index)?;
        let better = if greatest { cmp::gt(&next, &best)? } else { cmp::lt(&next, &best)? };
        let pick: BooleanArray =
            (0..a.rows).map(|row| Some(next.is_valid(row) && (best.is_null(row) || better.value(row)))).collect();
        best = zip(&pick, &next, &best)?;
    }
    Ok(best)
}

fn bind_pmod(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 2, 2)?;
    let common = common_type(&args[0], &args[1]).filter(|t| t.is_numeric() || *t == SqlType::Void);
    let common = common.ok_or_else(|| check::unexpected_type(name, 0, "NUMERIC", &args[0]))?;
    let (arg, ty) = match (args[0].integer_as_decimal(), args[1].integer_as_decimal(), &common) {
        (Some((p1, s1)), Some((p2, s2)), SqlType::Decimal(..)) => {
            (wider_decimal(p1, s1, p2, s2), decimal_modulo(p1, s1, p2, s2))
        }
        (_, _, SqlType::Void) => (Double, Double),
        _ => (common.clone(), common),
    };
    Ok(Signature { args: vec![arg.clone(), arg], ty, may_be_null: true })
}

fn pmod(a: &Args) -> Result<ArrayRef> {
    let zero = || {
        a.cx.ansi.then(|| Error::compute(
            "REMAINDER_BY_ZERO",
            "22012",
            "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead. If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
        ))
    };
    macro_rules! of {
        ($arrow:ty, $zero:expr, $pmod:expr) => {{
            let (x, y) = (a.column::<$arrow>(0)?, a.column::<$arrow>(1)?);
            a.try_out::<$arrow>(|i| match (x.get(i), y.get(i)) {
                (Some(_), Some(y)) if y == $zero => zero().map_or(Ok(None), Err),
                (Some(x), Some(y)) => Ok(Some($pmod(x, y))),
                _ => Ok(None),
            })
        }};
    }
    macro_rules! integers {
        ($arrow:ty) => {
            of!($arrow, 0, |x: <$arrow as ArrowPrimitiveType>::Native, y| {
                let rest = x.wrapping_rem(y);
                if rest < 0 { rest.wrapping_add(y).wrapping_rem(y) } else { rest }
            })
        };
    }
    match &a.types[0] {
        SqlType::TinyInt => integers!(Int8Type),
        SqlType::SmallInt => integers!(Int16Type),
        Int => integers!(Int32Type),
        BigInt => integers!(Int64Type),
        SqlType::Float => of!(Float32Type, 0.0, |x: f32, y| if x % y < 0.0 { (x % y + y) % y } else { x % y }),
        Double => of!(Float64Type, 0.0, |x: f64, y| if x % y < 0.0 { (x % y + y) % y } else { x % y }),
        _ => {
            let (x, y) = (a.decimals(0)?, a.decimals(1)?);
            a.out_decimals(|i| match (x.get(i), y.get(i)) {
                (Some(_), Some(0)) => zero().map_or(Ok(None), Err),
                (Some(x), Some(y)) => Ok(Some(if x % y < 0 { (x % y + y) % y } else { x % y })),
                _ => Ok(None),
            })
        }
    }
}
