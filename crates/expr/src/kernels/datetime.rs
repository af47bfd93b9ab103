//! Arithmetic of dates, times and intervals.
//!
//! The type of an interval does not say which fields it was written with. `DATE + INTERVAL '1' DAY`
//! is a DATE in Spark and `DATE + INTERVAL '1' HOUR` a TIMESTAMP; here a literal of whole days counts
//! as the former, everything else as the latter.

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{
    Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use firesteel_common::{Error, Result, Scalar, SqlType};

use super::arithmetic::{Number, Operation};
use super::decimal::POW10;
use super::operand::{Values, array_of, boxed, null_propagating, primitive, union_nulls, zip, zip_exact};
use super::{decimal, differing_types};
use crate::function::{Datum, EvalContext, ScalarKernel, Signature};
use crate::time::{self, MICROS_PER_DAY, Zone};

/// Settles the types where an operand is a date, a time or an interval.
pub(crate) fn bind(
    operation: Operation,
    name: &str,
    args: &[SqlType],
    literals: &[Option<Scalar>],
) -> Result<Signature> {
    use SqlType::*;
    let signature = |a: &SqlType, b: &SqlType, ty: SqlType| {
        Ok(Signature { args: vec![a.clone(), b.clone()], ty, may_be_null: operation.divides() })
    };
    let whole_days = |i: usize| match literals.get(i) {
        Some(Some(Scalar::IntervalDayTime(micros))) => micros % MICROS_PER_DAY == 0,
        _ => false,
    };
    let (a, b) = (&args[0], &args[1]);
    match (operation, a, b) {
        (Operation::Add | Operation::Subtract, Date, b) if b.is_integer() || *b == Void => signature(a, &Int, Date),
        (Operation::Add, a, Date) if a.is_integer() || *a == Void => signature(&Int, b, Date),
        (Operation::Add | Operation::Subtract, Date, IntervalYearMonth) => signature(a, b, Date),
        (Operation::Add, IntervalYearMonth, Date) => signature(a, b, Date),
        (Operation::Add | Operation::Subtract, Date, IntervalDayTime) if whole_days(1) => signature(a, b, Date),
        (Operation::Add, IntervalDayTime, Date) if whole_days(0) => signature(a, b, Date),
        (Operation::Add | Operation::Subtract, Date, IntervalDayTime) => signature(&Timestamp, b, Timestamp),
        (Operation::Add, IntervalDayTime, Date) => signature(a, &Timestamp, Timestamp),
        (Operation::Add | Operation::Subtract, Timestamp | TimestampNtz, b) if b.is_interval() => {
            signature(a, b, a.clone())
        }
        (Operation::Add, a, Timestamp | TimestampNtz) if a.is_interval() => signature(a, b, b.clone()),
        (Operation::Subtract, a, b) if a.is_datetime() && (b.is_datetime() || b.is_string()) => {
            let ty = crate::coercion::common_type(a, b).ok_or_else(|| differing_types(name, args))?;
            signature(&ty, &ty, IntervalDayTime)
        }
        (Operation::Subtract, a, b) if a.is_string() && b.is_datetime() => signature(b, b, IntervalDayTime),
        (Operation::Add | Operation::Subtract, a, b) if a.is_interval() && (a == b || *b == Void) => {
            signature(a, a, a.clone())
        }
        (Operation::Add | Operation::Subtract, Void, b) if b.is_interval() => signature(b, b, b.clone()),
        (Operation::Multiply | Operation::Divide, a, b) if a.is_interval() => {
            signature(a, &factor_type(name, b, args)?, a.clone())
        }
        (Operation::Multiply, a, b) if b.is_interval() => signature(&factor_type(name, a, args)?, b, b.clone()),
        _ => Err(differing_types(name, args)),
    }
}

/// The type that a number is brought to before an interval is multiplied with it or divided by it.
fn factor_type(name: &str, ty: &SqlType, args: &[SqlType]) -> Result<SqlType> {
    match ty {
        ty if ty.is_integer() => Ok(SqlType::BigInt),
        SqlType::Decimal(..) => Ok(ty.clone()),
        ty if ty.is_float() || ty.is_string() || *ty == SqlType::Void => Ok(SqlType::Double),
        _ => Err(differing_types(name, args)),
    }
}

fn overflow() -> Error {
    Error::compute(
        "DATETIME_OVERFLOW",
        "22008",
        "Datetime operation overflow: the result is out of the range of its type.",
    )
}

fn interval_overflow() -> Error {
    Error::compute(
        "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
        "22015",
        "Integer overflow while operating with intervals.",
    )
}

fn date(s: &Scalar) -> Option<i32> {
    match s {
        Scalar::Date(v) => Some(*v),
        _ => None,
    }
}

fn months(s: &Scalar) -> Option<i32> {
    match s {
        Scalar::IntervalYearMonth(v) => Some(*v),
        _ => None,
    }
}

fn micros(s: &Scalar) -> Option<i64> {
    match s {
        Scalar::Timestamp(v) | Scalar::TimestampNtz(v) | Scalar::IntervalDayTime(v) => Some(*v),
        _ => None,
    }
}

/// Reads a scalar as the values of an Arrow type.
type Read<T> = fn(&Scalar) -> Option<T>;

/// A kernel that runs `f` over its two arguments, in their order or `swapped`, and fails with `error`
/// where it gives nothing.
fn pairs<A: ArrowPrimitiveType, B: ArrowPrimitiveType, R: ArrowPrimitiveType>(
    swapped: bool,
    ty: SqlType,
    read: (Read<A::Native>, Read<B::Native>),
    error: fn() -> Error,
    f: impl Fn(A::Native, B::Native) -> Option<R::Native> + Send + Sync + 'static,
) -> Box<dyn ScalarKernel> {
    boxed(move |args, rows| {
        let (first, second) = if swapped { (&args[1], &args[0]) } else { (&args[0], &args[1]) };
        null_propagating(args, rows, &ty, |rows| {
            let (a, b) = (primitive::<A>(first, read.0)?, primitive::<B>(second, read.1)?);
            let (values, nulls) = zip_exact(a, b, rows, union_nulls(args).as_ref(), &f, &|_| Err(error()))?;
            Ok(array_of::<R>(values, nulls, ty.arrow()))
        })
    })
}

type Timestamps = TimestampMicrosecondType;
type Micros = DurationMicrosecondType;
type MonthCounts = IntervalYearMonthType;

/// The kernel of an operation with a date, a time or an interval.
pub(crate) fn kernel(
    operation: Operation,
    args: &[SqlType],
    ty: &SqlType,
    cx: &EvalContext,
) -> Result<Box<dyn ScalarKernel>> {
    use SqlType::*;
    // `interval + date` is `date + interval`, `number * interval` is `interval * number`.
    let swapped = operation == Operation::Add && !args[0].is_datetime() && args[1].is_datetime()
        || operation == Operation::Multiply && args[1].is_interval();
    let (a, b) = if swapped { (&args[1], &args[0]) } else { (&args[0], &args[1]) };
    let minus = operation == Operation::Subtract;
    let result = ty.clone();
    if a.is_interval() && matches!(operation, Operation::Multiply | Operation::Divide) {
        let (divide, factor_ty) = (operation == Operation::Divide, b.clone());
        return Ok(boxed(move |args, rows| {
            let (interval, factor) = if swapped { (&args[1], &args[0]) } else { (&args[0], &args[1]) };
            scale(interval, factor, &result, &factor_ty, divide, rows)
        }));
    }
    let zone = if *a == TimestampNtz { Zone::UTC } else { Zone::parse(&cx.time_zone)? };
    let signed = move |n: i32| if minus { n.checked_neg() } else { Some(n) };
    let signed_micros = move |n: i64| if minus { n.checked_neg() } else { Some(n) };
    Ok(match (a, b) {
        (Date, Int) => {
            pairs::<Date32Type, Int32Type, Date32Type>(swapped, result, (date, Int32Type::of), overflow, move |d, n| {
                if minus { d.checked_sub(n) } else { d.checked_add(n) }
            })
        }
        (Date, IntervalYearMonth) => {
            pairs::<Date32Type, MonthCounts, Date32Type>(swapped, result, (date, months), overflow, move |d, n| {
                time::add_months(d, signed(n)?)
            })
        }
        (Date, IntervalDayTime) => {
            pairs::<Date32Type, Micros, Date32Type>(swapped, result, (date, micros), overflow, move |d, n| {
                d.checked_add(i32::try_from(signed_micros(n)? / MICROS_PER_DAY).ok()?)
            })
        }
        (Date, Date) => pairs::<Date32Type, Date32Type, Micros>(swapped, result, (date, date), overflow, |a, b| {
            Some((i64::from(a) - i64::from(b)) * MICROS_PER_DAY)
        }),
        (Timestamp | TimestampNtz, IntervalYearMonth) => {
            pairs::<Timestamps, MonthCounts, Timestamps>(swapped, result, (micros, months), overflow, move |t, n| {
                time::add_months_to_micros(t, signed(n)?, zone)
            })
        }
        (Timestamp | TimestampNtz, IntervalDayTime) => {
            pairs::<Timestamps, Micros, Timestamps>(swapped, result, (micros, micros), overflow, move |t, n| {
                time::add_day_time_to_micros(t, signed_micros(n)?, zone)
            })
        }
        // Days between are days of the calendar: the difference is one of wall clocks.
        (Timestamp | TimestampNtz, Timestamp | TimestampNtz) => {
            pairs::<Timestamps, Timestamps, Micros>(swapped, result, (micros, micros), overflow, move |a, b| {
                zone.to_local(a).checked_sub(zone.to_local(b))
            })
        }
        (IntervalYearMonth, IntervalYearMonth) => pairs::<MonthCounts, MonthCounts, MonthCounts>(
            swapped,
            result,
            (months, months),
            interval_overflow,
            move |a, b| if minus { a.checked_sub(b) } else { a.checked_add(b) },
        ),
        (IntervalDayTime, IntervalDayTime) => {
            pairs::<Micros, Micros, Micros>(swapped, result, (micros, micros), interval_overflow, move |a, b| {
                if minus { a.checked_sub(b) } else { a.checked_add(b) }
            })
        }
        (a, b) => return Err(Error::internal(format!("no kernel for {operation:?} of {a} and {b}"))),
    })
}

/// An interval multiplied with a number or divided by one, rounded half up.
fn scale(
    interval: &Datum,
    factor: &Datum,
    ty: &SqlType,
    factor_ty: &SqlType,
    divide: bool,
    rows: usize,
) -> Result<Datum> {
    let both = [interval.clone(), factor.clone()];
    null_propagating(&both, rows, ty, |rows| {
        let nulls = union_nulls(&both);
        let units: Vec<i64>;
        let units = if *ty == SqlType::IntervalYearMonth {
            let months = primitive::<IntervalYearMonthType>(interval, months)?;
            units = zip(months, months, rows, |m, _| i64::from(m));
            Values::Many(&units)
        } else {
            primitive::<DurationMicrosecondType>(interval, micros)?
        };
        let by_zero = || {
            Error::compute(
                "INTERVAL_DIVIDED_BY_ZERO",
                "22012",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
            )
        };
        let (values, nulls) = match factor_ty {
            SqlType::Double => {
                let factor = primitive::<Float64Type>(factor, Float64Type::of)?;
                let f = |u: i64, x: f64| rounded(if divide { u as f64 / x } else { u as f64 * x });
                let failed = |row| Err(if divide && factor.get(row) == 0.0 { by_zero() } else { interval_overflow() });
                zip_exact(units, factor, rows, nulls.as_ref(), f, &failed)?
            }
            other => {
                let (values, scale) = exact_factor(factor, other, rows)?;
                let values = Values::Many(&values);
                let one = POW10[usize::from(scale)];
                let f = |u: i64, x: i128| {
                    let u = i128::from(u);
                    let exact = match divide {
                        true if x == 0 => None,
                        true => u.checked_mul(one).map(|n| decimal::divide_half_up(n, x)),
                        false => u.checked_mul(x).map(|n| decimal::divide_half_up(n, one)),
                    };
                    exact.and_then(|v| i64::try_from(v).ok())
                };
                let failed = |row| Err(if divide && values.get(row) == 0 { by_zero() } else { interval_overflow() });
                zip_exact(units, values, rows, nulls.as_ref(), f, &failed)?
            }
        };
        if *ty == SqlType::IntervalYearMonth {
            let months: Option<Vec<i32>> = values.iter().map(|v| i32::try_from(*v).ok()).collect();
            let months = months.ok_or_else(interval_overflow)?;
            return Ok(array_of::<IntervalYearMonthType>(months, nulls, ty.arrow()));
        }
        Ok(array_of::<DurationMicrosecondType>(values, nulls, ty.arrow()))
    })
}

/// A float rounded half up, if it is a 64-bit integer then.
fn rounded(value: f64) -> Option<i64> {
    let value = value.round();
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (-LIMIT..LIMIT).contains(&value).then_some(value as i64)
}

/// The unscaled values of an exact factor, and its scale.
fn exact_factor(factor: &Datum, ty: &SqlType, rows: usize) -> Result<(Vec<i128>, u8)> {
    if let SqlType::Decimal(_, scale) = ty {
        let values = match decimal::unscaled(factor)? {
            decimal::Unscaled::Narrow(v) => zip(v, v, rows, |v, _| i128::from(v)),
            decimal::Unscaled::Wide(v) => zip(v, v, rows, |v, _| v),
        };
        return Ok((values, *scale));
    }
    let values = primitive::<Int64Type>(factor, Int64Type::of)?;
    Ok((zip(values, values, rows, |v, _| i128::from(v)), 0))
}

/// The kernel of the unary minus of an interval.
pub(crate) fn negate_kernel(ty: &SqlType) -> Box<dyn ScalarKernel> {
    let ty = ty.clone();
    boxed(move |args, rows| {
        null_propagating(args, rows, &ty, |rows| {
            let (input, nulls) = (&args[0], union_nulls(args));
            let nulls = nulls.as_ref();
            let failed = |_| Err(interval_overflow());
            if ty == SqlType::IntervalYearMonth {
                let a = primitive::<MonthCounts>(input, months)?;
                let (values, nulls) = zip_exact(a, a, rows, nulls, |a, _| a.checked_neg(), &failed)?;
                return Ok(array_of::<MonthCounts>(values, nulls, ty.arrow()));
            }
            let a = primitive::<Micros>(input, micros)?;
            let (values, nulls) = zip_exact(a, a, rows, nulls, |a, _| a.checked_neg(), &failed)?;
            Ok(array_of::<Micros>(values, nulls, ty.arrow()))
        })
    })
}
