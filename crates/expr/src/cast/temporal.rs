//! Conversions of dates, timestamps and intervals.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    Date32Type, Decimal64Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use firesteel_common::{Result, SqlType, encoding};

use super::{Conversion, numeric, parse};
use crate::kernels::decimal::POW10;
use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// Text to DATE or a timestamp.
pub(super) fn from_text(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    match c.to {
        SqlType::Date => c.map_text::<Date32Type>(array, parse::date),
        SqlType::Timestamp => c.map_text::<TimestampMicrosecondType>(array, |text| {
            let (local, zone) = parse::timestamp(text)?;
            Some(zone.unwrap_or(c.zone).to_utc(local))
        }),
        _ => c.map_text::<TimestampMicrosecondType>(array, |text| parse::timestamp(text).map(|(local, _)| local)),
    }
}

/// Text to an interval.
pub(super) fn interval_from_text(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    if *c.to == SqlType::IntervalYearMonth {
        c.map_text::<IntervalYearMonthType>(array, parse::year_month)
    } else {
        c.map_text::<DurationMicrosecondType>(array, parse::day_time)
    }
}

/// Between dates, timestamps and numbers of seconds.
pub(super) fn convert(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    use SqlType::*;
    type Micros = TimestampMicrosecondType;
    let zone = c.zone;
    let days = |micros: i64| micros.div_euclid(MICROS_PER_DAY) as i32;
    match (c.from, c.to) {
        (Date, Timestamp) => c.map_all::<Date32Type, Micros>(array, |d| zone.to_utc(i64::from(d) * MICROS_PER_DAY)),
        (Date, TimestampNtz) => c.map_all::<Date32Type, Micros>(array, |d| i64::from(d) * MICROS_PER_DAY),
        (Timestamp, Date) => c.map_all::<Micros, Date32Type>(array, |t| days(zone.to_local(t))),
        (TimestampNtz, Date) => c.map_all::<Micros, Date32Type>(array, days),
        (Timestamp, TimestampNtz) => c.map_all::<Micros, Micros>(array, |t| zone.to_local(t)),
        (TimestampNtz, Timestamp) => c.map_all::<Micros, Micros>(array, |t| zone.to_utc(t)),
        (Timestamp, to) if to.is_integer() => {
            let seconds: PrimitiveArray<Int64Type> =
                array.as_primitive::<Micros>().unary(|t| t.div_euclid(MICROS_PER_SECOND));
            let inner = Conversion { from: &BigInt, to, mode: c.mode, zone };
            numeric::from_integer(&(Arc::new(seconds) as ArrayRef), &inner)
        }
        (Timestamp, Float | Double) => {
            let seconds: PrimitiveArray<Float64Type> =
                array.as_primitive::<Micros>().unary(|t| t as f64 / MICROS_PER_SECOND as f64);
            let inner = Conversion { from: &Double, to: c.to, mode: c.mode, zone };
            numeric::from_float(&(Arc::new(seconds) as ArrayRef), &inner)
        }
        (Timestamp, Decimal(..)) => {
            let micros = array.as_primitive::<Micros>().reinterpret_cast::<Decimal64Type>();
            numeric::from_decimal(&(Arc::new(micros) as ArrayRef), (19, 6), c)
        }
        (Timestamp, Boolean) => {
            let micros = array.as_primitive::<Micros>();
            Ok(Arc::new(micros.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()))
        }
        (from, Timestamp) => to_timestamp(array, from, c),
        _ => Err(c.unsupported()),
    }
}

/// A number of seconds to TIMESTAMP.
fn to_timestamp(array: &ArrayRef, from: &SqlType, c: &Conversion) -> Result<ArrayRef> {
    type Micros = TimestampMicrosecondType;
    let inner = |to| Conversion { from, to, mode: c.mode, zone: c.zone };
    match from {
        SqlType::Boolean => {
            let input = array.as_boolean();
            let micros: PrimitiveArray<Micros> = input.iter().map(|v| v.map(i64::from)).collect();
            Ok(Arc::new(micros.with_data_type(c.to.arrow())))
        }
        from if from.is_integer() => {
            let seconds = numeric::from_integer(array, &inner(&SqlType::BigInt))?;
            // Seconds out of range end at the last instant, as in Spark.
            c.map_all::<Int64Type, Micros>(&seconds, |s| s.saturating_mul(MICROS_PER_SECOND))
        }
        from if from.is_float() => {
            let seconds = numeric::from_float(array, &inner(&SqlType::Double))?;
            let micros = |s: f64| (s * MICROS_PER_SECOND as f64).is_finite().then_some((s * 1e6) as i64);
            c.map::<Float64Type, Micros>(&seconds, micros, |v| c.overflow(&v.to_string()))
        }
        SqlType::Decimal(p, s) => {
            let wide = encoding::canonical(array, &SqlType::Decimal((*p).max(19), *s))?;
            let one = POW10[usize::from(*s)];
            let micros = |v: i128| i64::try_from(v.checked_mul(i128::from(MICROS_PER_SECOND))? / one).ok();
            c.map::<Decimal128Type, Micros>(&wide, micros, |v| c.overflow(&v.to_string()))
        }
        _ => Err(c.unsupported()),
    }
}

/// Between intervals and numbers: of months, or of seconds.
pub(super) fn convert_interval(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    use SqlType::*;
    let inner = |from, to| Conversion { from, to, mode: c.mode, zone: c.zone };
    match (c.from, c.to) {
        (IntervalYearMonth, to) => {
            let months =
                array.as_primitive::<IntervalYearMonthType>().reinterpret_cast::<arrow::datatypes::Int32Type>();
            numeric::from_integer(&(Arc::new(months) as ArrayRef), &inner(&Int, to))
        }
        (IntervalDayTime, to) => {
            let micros = array.as_primitive::<DurationMicrosecondType>();
            if matches!(to, Decimal(..)) {
                let micros: ArrayRef = Arc::new(micros.reinterpret_cast::<Decimal64Type>());
                return numeric::from_decimal(&micros, (19, 6), c);
            }
            let seconds: ArrayRef = Arc::new(micros.unary::<_, Int64Type>(|v| v / MICROS_PER_SECOND));
            numeric::from_integer(&seconds, &inner(&BigInt, to))
        }
        (from, to) => {
            let numbers = if let Decimal(p, s) = from
                && *to == IntervalDayTime
            {
                let micros = Decimal(38, 6);
                let wide = numeric::from_decimal(array, (*p, *s), &inner(from, &micros))?;
                let wide = encoding::canonical(&wide, &micros)?;
                return c.map::<Decimal128Type, DurationMicrosecondType>(
                    &wide,
                    |v| i64::try_from(v).ok(),
                    |v| c.overflow(&v.to_string()),
                );
            } else if let Decimal(p, s) = from {
                numeric::from_decimal(array, (*p, *s), &inner(from, &BigInt))?
            } else {
                numeric::from_integer(array, &inner(from, &BigInt))?
            };
            if *to == IntervalYearMonth {
                return c.map::<Int64Type, IntervalYearMonthType>(
                    &numbers,
                    |v| i32::try_from(v).ok(),
                    |v| c.overflow(&v.to_string()),
                );
            }
            c.map::<Int64Type, DurationMicrosecondType>(
                &numbers,
                |v| v.checked_mul(MICROS_PER_SECOND),
                |v| c.overflow(&v.to_string()),
            )
        }
    }
}
