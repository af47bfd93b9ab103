//! Values that the text spells out.

use firesteel_common::sql_type::MAX_PRECISION;
use firesteel_common::{Error, Result, Scalar, Span};
use sqlparser::ast::{DateTimeField, Expr, Interval, Spanned, UnaryOperator, Value};

use crate::parser::lexer::span_of;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The value of a number with its suffix: `1`, `1.5`, `1e3`, `1L`, `1S`, `1Y`, `1F`, `1D`, `1BD`.
pub(crate) fn number(text: &str) -> Result<Scalar> {
    let upper = text.to_ascii_uppercase();
    let out_of_range = |name: &str| {
        Error::bind(
            "INVALID_NUMERIC_LITERAL_RANGE",
            "22003",
            format!("Numeric literal {text} is outside the valid range for {name}."),
        )
    };
    let too_precise = || {
        let message = format!("The literal {text} exceeds the max precision of DECIMAL, {MAX_PRECISION}.");
        Error::bind("DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION", "22003", message)
    };
    if let Some(digits) = upper.strip_suffix("BD") {
        return decimal(digits).ok_or_else(too_precise);
    }
    let suffix = upper.chars().last().filter(char::is_ascii_alphabetic);
    let digits = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match suffix {
        Some('L') => digits.parse().map(Scalar::BigInt).map_err(|_| out_of_range("bigint")),
        Some('S') => digits.parse().map(Scalar::SmallInt).map_err(|_| out_of_range("smallint")),
        Some('Y') => digits.parse().map(Scalar::TinyInt).map_err(|_| out_of_range("tinyint")),
        Some('F') => finite::<f32>(digits).map(Scalar::Float).ok_or_else(|| out_of_range("float")),
        Some('D') => finite::<f64>(digits).map(Scalar::Double).ok_or_else(|| out_of_range("double")),
        _ if upper.contains('E') => finite::<f64>(&upper).map(Scalar::Double).ok_or_else(|| out_of_range("double")),
        _ if upper.contains('.') => decimal(&upper).ok_or_else(too_precise),
        _ => Ok(match (upper.parse::<i32>(), upper.parse::<i64>()) {
            (Ok(value), _) => Scalar::Int(value),
            (_, Ok(value)) => Scalar::BigInt(value),
            _ => decimal(&upper).ok_or_else(too_precise)?,
        }),
    }
}

/// A number that is not too great for its type.
fn finite<T: std::str::FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    text.parse().ok().filter(|value: &T| (*value).into().is_finite())
}

/// A decimal of just the precision and scale that the digits need.
fn decimal(text: &str) -> Option<Scalar> {
    let (mantissa, exponent) = match text.split_once('E') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut scale = fraction.len() as i32 - exponent;
    while scale < 0 {
        unscaled = unscaled.checked_mul(10)?;
        scale += 1;
    }
    let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1) as i32;
    let precision = digits.max(scale);
    (precision <= i32::from(MAX_PRECISION)).then_some(Scalar::Decimal(unscaled, precision as u8, scale as u8))
}

/// The negation of a numeric literal, so that the least integers can be written.
pub(crate) fn negative_number(text: &str) -> Result<Scalar> {
    let signed = |bits: i64| match bits {
        bits if i32::try_from(bits).is_ok() => Scalar::Int(bits as i32),
        bits => Scalar::BigInt(bits),
    };
    if let Ok(value) = format!("-{text}").parse::<i64>() {
        return Ok(signed(value));
    }
    let digits = text.trim_end_matches(['L', 'l']);
    if digits.len() < text.len()
        && let Ok(value) = format!("-{digits}").parse()
    {
        return Ok(Scalar::BigInt(value));
    }
    let least = match text.chars().last() {
        Some('Y' | 'y') => format!("-{}", &text[..text.len() - 1]).parse().map(Scalar::TinyInt).ok(),
        Some('S' | 's') => format!("-{}", &text[..text.len() - 1]).parse().map(Scalar::SmallInt).ok(),
        _ => None,
    };
    if let Some(value) = least {
        return Ok(value);
    }
    Ok(match number(text)? {
        Scalar::TinyInt(v) => Scalar::TinyInt(-v),
        Scalar::SmallInt(v) => Scalar::SmallInt(-v),
        Scalar::Float(v) => Scalar::Float(-v),
        Scalar::Double(v) => Scalar::Double(-v),
        Scalar::Decimal(v, p, s) => Scalar::Decimal(-v, p, s),
        other => other,
    })
}

/// The bytes of a hexadecimal literal.
pub(crate) fn hex(digits: &str) -> Option<Scalar> {
    let even = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    let bytes: Option<Vec<u8>> =
        (0..even.len()).step_by(2).map(|i| u8::from_str_radix(even.get(i..i + 2)?, 16).ok()).collect();
    Some(Scalar::Binary(bytes?.into()))
}

/// Days since the epoch of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The value of `DATE 'y-m-d'`; what follows the day after a `T` or a blank is ignored, as Spark does.
pub(crate) fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    let (text, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let day_part = text.split(['T', ' ']).next()?;
    let parts: Vec<&str> = day_part.split('-').collect();
    let all_digits = parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if parts.len() > 3 || !all_digits || !(4..=7).contains(&parts[0].len()) {
        return None;
    }
    let field = |i: usize| parts.get(i).map_or(Some(1), |p| (p.len() <= 2).then(|| p.parse::<i64>().ok()).flatten());
    let (year, month, day) = (sign * parts[0].parse::<i64>().ok()?, field(1)?, field(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// The value of an interval literal, in the shape that our dialect gives it.
pub(crate) fn interval(interval: &Interval, span: Span) -> Result<Scalar> {
    let invalid = || {
        Error::bind("INVALID_INTERVAL_FORMAT", "22006", "Error parsing the interval: its value or unit is not valid.")
            .at(span)
    };
    if let Some(DateTimeField::Custom(leading)) = &interval.leading_field {
        let Some(DateTimeField::Custom(last)) = &interval.last_field else { return Err(invalid()) };
        let text = constant_text(&interval.value).ok_or_else(invalid)?;
        return range(&text, &leading.value, &last.value).ok_or_else(|| {
            let message = format!(
                "Error parsing '{text}' to interval: it has not the form of {} TO {}, or a field is out of range.",
                leading.value, last.value
            );
            Error::bind("INVALID_INTERVAL_FORMAT.INTERVAL_PARSING", "22006", message).at(span_of(interval.value.span()))
        });
    }
    let mut parts = Vec::new();
    if let Expr::Tuple(values) = interval.value.as_ref() {
        for pair in values.chunks(2) {
            let [amount, Expr::Identifier(unit)] = pair else { return Err(invalid()) };
            let Some(amount) = constant_text(amount) else {
                return Err(Error::unsupported("Intervals whose amount is no literal are not supported.").at(span));
            };
            parts.push((amount, unit.value.clone()));
        }
    } else {
        let text = constant_text(&interval.value).ok_or_else(invalid)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = words.strip_prefix(&["interval"]).or(words.strip_prefix(&["INTERVAL"])).unwrap_or(&words);
        if words.is_empty() || words.len() % 2 == 1 {
            return Err(invalid());
        }
        for pair in words.chunks(2) {
            let unit = pair[1].to_uppercase();
            parts.push((pair[0].to_owned(), unit.strip_suffix('S').unwrap_or(&unit).to_owned()));
        }
    }
    sum(&parts).ok_or_else(invalid)?.ok_or_else(|| {
        Error::unsupported("Intervals of both months and days (CALENDAR INTERVAL) are not supported.").at(span)
    })
}

/// Text of a number or a string, with a sign perhaps.
fn constant_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) => Some(text.trim().to_owned()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let text = constant_text(expr)?;
            Some(text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned))
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) => constant_text(expr),
        _ => None,
    }
}

/// Sums amounts with units. `None` outside if one is wrong, inside if the kinds are mixed.
fn sum(parts: &[(String, String)]) -> Option<Option<Scalar>> {
    let (mut months, mut micros) = (None::<i64>, None::<i64>);
    for (amount, unit) in parts {
        let whole = || amount.strip_prefix('+').unwrap_or(amount).parse::<i64>().ok();
        let (total, value) = match unit.as_str() {
            "YEAR" => (&mut months, whole()?.checked_mul(12)?),
            "QUARTER" => (&mut months, whole()?.checked_mul(3)?),
            "MONTH" => (&mut months, whole()?),
            "WEEK" => (&mut micros, whole()?.checked_mul(7 * MICROS_PER_DAY)?),
            "DAY" => (&mut micros, whole()?.checked_mul(MICROS_PER_DAY)?),
            "HOUR" => (&mut micros, whole()?.checked_mul(3600 * MICROS_PER_SECOND)?),
            "MINUTE" => (&mut micros, whole()?.checked_mul(60 * MICROS_PER_SECOND)?),
            "SECOND" => (&mut micros, seconds(amount)?),
            "MILLISECOND" => (&mut micros, whole()?.checked_mul(1000)?),
            "MICROSECOND" => (&mut micros, whole()?),
            "NANOSECOND" => (&mut micros, whole()? / 1000),
            _ => return None,
        };
        *total = Some(total.unwrap_or(0).checked_add(value)?);
    }
    Some(match (months, micros) {
        (Some(months), None) => Some(Scalar::IntervalYearMonth(i32::try_from(months).ok()?)),
        (None, Some(micros)) => Some(Scalar::IntervalDayTime(micros)),
        _ => None,
    })
}

/// Microseconds of `12.345678`.
fn seconds(text: &str) -> Option<i64> {
    let (text, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text, 1),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let micros: i64 = format!("{:0<6.6}", fraction).parse().ok()?;
    Some(sign * (whole.parse::<i64>().ok()?.checked_mul(MICROS_PER_SECOND)? + micros))
}

/// `'1-2' YEAR TO MONTH`, `'1 02:03:04.5' DAY TO SECOND` and the ranges inside the latter.
fn range(text: &str, leading: &str, last: &str) -> Option<Scalar> {
    const UNITS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
    let (body, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, "-"),
        None => (text.strip_prefix('+').unwrap_or(text), ""),
    };
    let (values, units): (Vec<&str>, Vec<&str>) = if (leading, last) == ("YEAR", "MONTH") {
        (body.split('-').collect(), vec!["YEAR", "MONTH"])
    } else {
        let from = UNITS.iter().position(|unit| *unit == leading)?;
        let to = UNITS.iter().position(|unit| *unit == last)?;
        (body.split([' ', ':']).filter(|part| !part.is_empty()).collect(), UNITS.get(from..=to)?.to_vec())
    };
    if values.len() != units.len() {
        return None;
    }
    // Only the first field may be of any size.
    let limit = |unit: &str| match unit {
        "MONTH" => 12.0,
        "HOUR" => 24.0,
        _ => 60.0,
    };
    let in_range = |(value, unit): (&&str, &&str)| value.parse::<f64>().is_ok_and(|value| value < limit(unit));
    if !values.iter().zip(&units).skip(1).all(in_range) {
        return None;
    }
    let parts: Vec<(String, String)> =
        values.iter().zip(&units).map(|(value, unit)| (format!("{sign}{value}"), (*unit).to_owned())).collect();
    sum(&parts)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number("1.50").unwrap(), Scalar::Decimal(150, 3, 2));
        assert_eq!(number(".05").unwrap(), Scalar::Decimal(5, 2, 2));
        assert_eq!(number("3000000000").unwrap(), Scalar::BigInt(3_000_000_000));
        assert_eq!(number("1e3").unwrap(), Scalar::Double(1000.0));
        assert_eq!(number("12bd").unwrap(), Scalar::Decimal(12, 2, 0));
        assert_eq!(negative_number("2147483648").unwrap(), Scalar::Int(i32::MIN));
        assert_eq!(negative_number("9223372036854775808L").unwrap(), Scalar::BigInt(i64::MIN));
        assert!(number("300Y").is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-02-29"), Some(11_016));
        assert_eq!(date("1998-9-2"), Some(10_471));
        assert_eq!(date("1900-02-29"), None);
        assert_eq!(date("2020"), Some(18_262));
        assert_eq!(date("0000-01-01"), Some(-719_528));
    }

    #[test]
    fn ranges() {
        assert_eq!(range("1-2", "YEAR", "MONTH"), Some(Scalar::IntervalYearMonth(14)));
        assert_eq!(
            range("-1 02:03:04.5", "DAY", "SECOND"),
            Some(Scalar::IntervalDayTime(-(93_784 * MICROS_PER_SECOND + 500_000)))
        );
    }
}
