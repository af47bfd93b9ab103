//! Functions of DOUBLEs. Logarithms outside their domain are NULL.

use arrow::array::ArrayRef;
use firesteel_common::SqlType::{BigInt, Double, Int};
use firesteel_common::{Result, Scalar};

use super::CATEGORY;
use crate::scalar::{Args, Function, Sig, function};

macro_rules! unary {
    ($name:literal, $aliases:expr, $description:literal, $examples:expr, $f:expr) => {
        function(
            CATEGORY,
            ($name, $aliases),
            concat!($name, "(expr)"),
            $description,
            $examples,
            Sig::Fixed(&[Double], 1, &Double),
            |a| {
                let x = a.doubles(0)?;
                let f: fn(f64) -> f64 = $f;
                a.out_doubles(|i| x.get(i).map(f))
            },
        )
        .total()
    };
}

macro_rules! logarithm {
    ($name:literal, $description:literal, $examples:expr, $above:literal, $f:expr) => {
        function(
            CATEGORY,
            ($name, &[]),
            concat!($name, "(expr)"),
            $description,
            $examples,
            Sig::Fixed(&[Double], 1, &Double),
            |a| {
                let x = a.doubles(0)?;
                let f: fn(f64) -> f64 = $f;
                a.out_doubles(|i| x.get(i).filter(|x| x.is_nan() || *x > $above).map(f))
            },
        )
        .infallible()
    };
}

macro_rules! binary {
    ($name:literal, $aliases:expr, $description:literal, $examples:expr, $f:expr) => {
        function(
            CATEGORY,
            ($name, $aliases),
            concat!($name, "(expr1, expr2)"),
            $description,
            $examples,
            Sig::Fixed(&[Double, Double], 2, &Double),
            |a| {
                let (x, y) = (a.doubles(0)?, a.doubles(1)?);
                let f: fn(f64, f64) -> f64 = $f;
                a.out_doubles(|i| Some(f(x.get(i)?, y.get(i)?)))
            },
        )
        .total()
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    unary!("sqrt", &[], "Returns the square root.", &[("SELECT sqrt(4)", "2.0")], f64::sqrt),
    unary!("cbrt", &[], "Returns the cube root.", &[("SELECT cbrt(27.0)", "3.0")], f64::cbrt),
    unary!("exp", &[], "Returns e to the power of the argument.", &[("SELECT exp(0)", "1.0")], f64::exp),
    unary!(
        "expm1",
        &[],
        "Returns exp(expr) - 1, exact for small arguments.",
        &[("SELECT expm1(0)", "0.0")],
        f64::exp_m1
    ),
    unary!("sin", &[], "Returns the sine.", &[("SELECT sin(0)", "0.0")], f64::sin),
    unary!("cos", &[], "Returns the cosine.", &[("SELECT cos(0)", "1.0")], f64::cos),
    unary!("tan", &[], "Returns the tangent.", &[("SELECT tan(0)", "0.0")], f64::tan),
    unary!("cot", &[], "Returns the cotangent.", &[("SELECT cot(1)", "0.6420926159343306")], |x| 1.0 / x.tan()),
    unary!("sec", &[], "Returns the secant.", &[("SELECT sec(0)", "1.0")], |x| 1.0 / x.cos()),
    unary!("csc", &[], "Returns the cosecant.", &[("SELECT csc(1)", "1.1883951057781212")], |x| 1.0 / x.sin()),
    unary!("asin", &[], "Returns the inverse sine.", &[("SELECT asin(0)", "0.0")], f64::asin),
    unary!("acos", &[], "Returns the inverse cosine.", &[("SELECT acos(1)", "0.0")], f64::acos),
    unary!("atan", &[], "Returns the inverse tangent.", &[("SELECT atan(0)", "0.0")], f64::atan),
    unary!("sinh", &[], "Returns the hyperbolic sine.", &[("SELECT sinh(0)", "0.0")], f64::sinh),
    unary!("cosh", &[], "Returns the hyperbolic cosine.", &[("SELECT cosh(0)", "1.0")], f64::cosh),
    unary!("tanh", &[], "Returns the hyperbolic tangent.", &[("SELECT tanh(0)", "0.0")], f64::tanh),
    unary!("asinh", &[], "Returns the inverse hyperbolic sine.", &[("SELECT asinh(0)", "0.0")], f64::asinh),
    unary!("acosh", &[], "Returns the inverse hyperbolic cosine.", &[("SELECT acosh(1)", "0.0")], f64::acosh),
    unary!("atanh", &[], "Returns the inverse hyperbolic tangent.", &[("SELECT atanh(0)", "0.0")], f64::atanh),
    unary!(
        "degrees",
        &[],
        "Converts radians to degrees.",
        &[("SELECT degrees(3.141592653589793)", "180.0")],
        f64::to_degrees
    ),
    unary!(
        "radians",
        &[],
        "Converts degrees to radians.",
        &[("SELECT radians(180)", "3.141592653589793")],
        f64::to_radians
    ),
    unary!(
        "rint",
        &[],
        "Returns the nearest whole number, the even one of two.",
        &[("SELECT rint(12.3456)", "12.0")],
        |x| x.round_ties_even()
    ),
    unary!(
        "signum",
        &["sign"],
        "Returns -1.0, 0.0 or 1.0 as the argument is negative, zero or positive.",
        &[("SELECT sign(40)", "1.0")],
        |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }
    ),
    logarithm!("ln", "Returns the natural logarithm.", &[("SELECT ln(1)", "0.0")], 0.0, f64::ln),
    logarithm!("log10", "Returns the logarithm with base 10.", &[("SELECT log10(10)", "1.0")], 0.0, f64::log10),
    logarithm!("log2", "Returns the logarithm with base 2.", &[("SELECT log2(2)", "1.0")], 0.0, f64::log2),
    logarithm!(
        "log1p",
        "Returns ln(1 + expr), exact for small arguments.",
        &[("SELECT log1p(0)", "0.0")],
        -1.0,
        f64::ln_1p
    ),
    function(
        CATEGORY,
        ("log", &[]),
        "log(base, expr)",
        "Returns the logarithm with a base; without one, the natural logarithm.",
        &[("SELECT log(10, 100)", "2.0")],
        Sig::Fixed(&[Double, Double], 1, &Double),
        |a| {
            let x = a.doubles(a.len() - 1)?;
            if a.len() == 1 {
                return a.out_doubles(|i| x.get(i).filter(|x| x.is_nan() || *x > 0.0).map(f64::ln));
            }
            let base = a.doubles(0)?;
            a.out_doubles(|i| {
                let (base, x) = (base.get(i)?, x.get(i)?);
                if base <= 0.0 || x <= 0.0 { None } else { Some(x.ln() / base.ln()) }
            })
        },
    )
    .infallible(),
    binary!("power", &["pow"], "Raises expr1 to the power of expr2.", &[("SELECT power(2, 3)", "8.0")], f64::powf),
    binary!("hypot", &[], "Returns sqrt(expr1² + expr2²).", &[("SELECT hypot(3, 4)", "5.0")], f64::hypot),
    binary!(
        "atan2",
        &[],
        "Returns the angle between the positive x axis and the point (expr2, expr1).",
        &[("SELECT atan2(0, 0)", "0.0")],
        |y, x| (y + 0.0).atan2(x + 0.0)
    ),
    function(
        CATEGORY,
        ("pi", &[]),
        "pi()",
        "Returns pi.",
        &[("SELECT pi()", "3.141592653589793")],
        Sig::Fixed(&[], 0, &Double),
        |a| a.constant(&Scalar::Double(std::f64::consts::PI)),
    )
    .total(),
    function(
        CATEGORY,
        ("e", &[]),
        "e()",
        "Returns Euler's number.",
        &[("SELECT e()", "2.718281828459045")],
        Sig::Fixed(&[], 0, &Double),
        |a| a.constant(&Scalar::Double(std::f64::consts::E)),
    )
    .total(),
    function(
        CATEGORY,
        ("factorial", &[]),
        "factorial(expr)",
        "Returns the factorial of 0 to 20, NULL for other numbers.",
        &[("SELECT factorial(5)", "120")],
        Sig::Fixed(&[Int], 1, &BigInt),
        |a| {
            let n = a.ints(0)?;
            a.out_longs(|i| n.get(i).filter(|n| (0..=20).contains(n)).map(|n| (1..=i64::from(n)).product()))
        },
    )
    .infallible(),
    function(
        CATEGORY,
        ("width_bucket", &[]),
        "width_bucket(value, min_value, max_value, num_bucket)",
        "Returns the number of the bucket of an equi-width histogram that a value falls into.",
        &[("SELECT width_bucket(5.3, 0.2, 10.6, 5)", "3"), ("SELECT width_bucket(-0.9, 5.2, 0.5, 2)", "3")],
        Sig::Fixed(&[Double, Double, Double, BigInt], 4, &BigInt),
        width_bucket,
    )
    .infallible(),
];

fn width_bucket(a: &Args) -> Result<ArrayRef> {
    let (value, min, max, buckets) = (a.doubles(0)?, a.doubles(1)?, a.doubles(2)?, a.longs(3)?);
    a.out_longs(|i| {
        let (v, min, max, n) = (value.get(i)?, min.get(i)?, max.get(i)?, buckets.get(i)?);
        if n <= 0 || n == i64::MAX || v.is_nan() || min == max || !min.is_finite() || !max.is_finite() {
            return None;
        }
        let (below, above) = if min < max { (v < min, v >= max) } else { (v > min, v <= max) };
        Some(match (below, above) {
            (true, _) => 0,
            (_, true) => n + 1,
            _ => (n as f64 * (v - min) / (max - min)) as i64 + 1,
        })
    })
}
