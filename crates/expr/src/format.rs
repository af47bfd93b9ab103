//! Text of values, as CAST to STRING gives it.

use std::fmt::Write;

use arrow::array::Array;
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Scalar, SqlType};

use crate::time::{self, MICROS_PER_SECOND, Zone};

/// The text of one value of type `ty`; `NULL` for NULL. Timestamps are shown in `time_zone`.
pub fn format_value(array: &dyn Array, row: usize, ty: &SqlType, time_zone: &str) -> String {
    match Scalar::from_array(array, row, ty) {
        Ok(value) => format_scalar(&value, Zone::try_parse(time_zone).unwrap_or(Zone::UTC)),
        Err(error) => error.to_string(),
    }
}

/// The text of a value; `NULL` for NULL.
pub fn format_scalar(value: &Scalar, zone: Zone) -> String {
    let mut text = String::new();
    write_scalar(&mut text, value, zone);
    text
}

/// Appends the text of a value.
pub(crate) fn write_scalar(out: &mut String, value: &Scalar, zone: Zone) {
    match value {
        Scalar::Null(_) => out.push_str("NULL"),
        Scalar::Float(v) => {
            write_float(out, f64::from(*v), [format_args!("{v}"), format_args!("{v:e}"), format_args!("{v:.1e}")])
        }
        Scalar::Double(v) => {
            write_float(out, *v, [format_args!("{v}"), format_args!("{v:e}"), format_args!("{v:.1e}")])
        }
        Scalar::Decimal(v, _, scale) => out.push_str(&format_decimal(*v, *scale)),
        Scalar::String(v) => out.push_str(v),
        Scalar::Binary(v) => out.push_str(&String::from_utf8_lossy(v)),
        Scalar::Date(days) => write_date(out, *days),
        Scalar::Timestamp(micros) => write_datetime(out, zone.to_local(*micros)),
        Scalar::TimestampNtz(micros) => write_datetime(out, *micros),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// Java's text of a float: digits with a point from 0.001 to 10 million, `1.0E10` outside.
fn write_float(out: &mut String, value: f64, [plain, shortest, two_digits]: [std::fmt::Arguments; 3]) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        let start = out.len();
        let _ = out.write_fmt(plain);
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        let mut text = shortest.to_string();
        if !text.contains('.') {
            // Java writes two digits at least, and those nearest to the value: 4.9E-324, not 5.0E-324.
            text = two_digits.to_string();
        }
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let point = if mantissa.contains('.') { "" } else { ".0" };
        let _ = write!(out, "{mantissa}{point}E{exponent}");
    }
}

/// Appends `yyyy-MM-dd`.
pub(crate) fn write_date(out: &mut String, days: i32) {
    let _ = match time::date_of(days) {
        Some(date) => write!(out, "{date}"),
        None => write!(out, "DATE({days})"),
    };
}

/// Appends `yyyy-MM-dd HH:mm:ss` and the fraction without its trailing zeros.
pub(crate) fn write_datetime(out: &mut String, local_micros: i64) {
    let Some(local) = time::datetime_of(local_micros) else {
        let _ = write!(out, "TIMESTAMP({local_micros})");
        return;
    };
    let _ = write!(out, "{} {}", local.date(), local.time().format("%H:%M:%S"));
    let fraction = local_micros.rem_euclid(MICROS_PER_SECOND);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_java_does() {
        let text = |v: f64| format_scalar(&Scalar::Double(v), Zone::UTC);
        for (value, expected) in [
            (1e10, "1.0E10"),
            (0.1, "0.1"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (-0.0, "-0.0"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1.5e300, "1.5E300"),
        ] {
            assert_eq!(text(value), expected);
        }
        assert_eq!(format_scalar(&Scalar::Float(1.1), Zone::UTC), "1.1");
    }

    #[test]
    fn times_are_written_in_the_zone() {
        let zone = Zone::parse("Europe/Paris").unwrap();
        assert_eq!(format_scalar(&Scalar::Timestamp(120_000), zone), "1970-01-01 01:00:00.12");
        assert_eq!(format_scalar(&Scalar::TimestampNtz(1), zone), "1970-01-01 00:00:00.000001");
    }
}
