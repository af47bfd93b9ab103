//! Values read from text. All functions give nothing for text that is malformed.

use chrono::{NaiveDate, NaiveTime};

use crate::kernels::decimal::POW10;
use crate::time::{self, MICROS_PER_SECOND, Zone};

/// The text without white space and control characters at its ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}' || c.is_whitespace())
}

/// An integer.
pub(super) fn integer(text: &str) -> Option<i64> {
    trimmed(text).parse().ok()
}

/// An integer that may have a fraction, which is dropped.
pub(super) fn truncated_integer(text: &str) -> Option<i64> {
    let text = trimmed(text);
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let (whole, fraction) = text.split_once('.')?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || whole.is_empty() {
        return None;
    }
    whole.parse().ok()
}

/// A float: also `inf`, `nan` in any case, and Java's suffixes `d` and `f`.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = trimmed(text);
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let number = text.strip_suffix(['d', 'D', 'f', 'F'])?;
    number.ends_with(|c: char| c.is_ascii_digit() || c == '.').then(|| number.parse().ok())?
}

/// TRUE or FALSE.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let text = trimmed(text);
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if is(&["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// What a decimal's text gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalText {
    /// The unscaled value, rounded half up to the scale.
    Value(i128),
    /// A number of more than 38 digits.
    TooLarge,
    /// No number.
    Malformed,
}

/// A decimal with an optional exponent, at `scale`.
pub(super) fn decimal(text: &str, scale: u8) -> DecimalText {
    parse_decimal(trimmed(text), scale).unwrap_or(DecimalText::Malformed)
}

fn parse_decimal(text: &str, scale: u8) -> Option<DecimalText> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes());
    if !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Of the digits, `kept` are in the result; the next one decides how it is rounded.
    let kept = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let (mut value, mut count) = (0i128, 0i64);
    for digit in digits() {
        if count >= kept {
            break;
        }
        value = match value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))) {
            Some(value) => value,
            None => return Some(DecimalText::TooLarge),
        };
        count += 1;
    }
    if value != 0 && count < kept {
        let missing = usize::try_from(kept - count).ok()?;
        let Some(scaled) = POW10.get(missing).and_then(|power| value.checked_mul(*power)) else {
            return Some(DecimalText::TooLarge);
        };
        value = scaled;
    }
    let next = if kept >= 0 { digits().nth(usize::try_from(kept).ok()?) } else { None };
    if next.is_some_and(|digit| digit >= b'5') {
        value += 1;
    }
    Some(DecimalText::Value(if negative { -value } else { value }))
}

/// Reads the parts of a text one after the other.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if length < least || length > most {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        digits.parse().ok()
    }

    fn eat(&mut self, c: char) -> bool {
        match self.0.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// `yyyy[-[m]m[-[d]d]]`, and whether all three parts are there.
    fn date(&mut self) -> Option<(NaiveDate, bool)> {
        let negative = self.eat('-');
        if !negative {
            self.eat('+');
        }
        let year = self.number(4, 6)? as i32;
        let year = if negative { -year } else { year };
        if !self.eat('-') {
            return Some((NaiveDate::from_ymd_opt(year, 1, 1)?, false));
        }
        let month = self.number(1, 2)?;
        if !self.eat('-') {
            return Some((NaiveDate::from_ymd_opt(year, month, 1)?, false));
        }
        let day = self.number(1, 2)?;
        Some((NaiveDate::from_ymd_opt(year, month, day)?, true))
    }

    /// `[h]h:[m]m[:[s]s[.f…]]`; digits of the fraction after the sixth are dropped.
    fn time(&mut self) -> Option<NaiveTime> {
        let hour = self.number(1, 2)?;
        if !self.eat(':') {
            return None;
        }
        let minute = self.number(1, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.eat(':') {
            second = self.number(1, 2)?;
            if self.eat('.') {
                let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, rest) = self.0.split_at(length);
                self.0 = rest;
                let digits = &digits[..length.min(6)];
                micros = if digits.is_empty() {
                    0
                } else {
                    digits.parse::<u32>().ok()? * 10u32.pow(6 - digits.len() as u32)
                };
            }
        }
        NaiveTime::from_hms_micro_opt(hour, minute, second, micros)
    }
}

/// A date, in days; anything may follow a `T` or a space after a full date.
pub(super) fn date(text: &str) -> Option<i32> {
    let text = trimmed(text);
    if text.eq_ignore_ascii_case("epoch") {
        return Some(0);
    }
    let mut reader = Reader(text);
    let (date, full) = reader.date()?;
    let ends = reader.0.is_empty() || (full && reader.0.starts_with([' ', 'T']));
    ends.then(|| time::days_of(date))
}

/// A date and time of the wall clock, in microseconds, and the zone if one is written.
pub(super) fn timestamp(text: &str) -> Option<(i64, Option<Zone>)> {
    let text = trimmed(text);
    if text.eq_ignore_ascii_case("epoch") {
        return Some((0, Some(Zone::UTC)));
    }
    let mut reader = Reader(text);
    let (date, full) = reader.date()?;
    if reader.0.is_empty() {
        return Some((time::micros_of(date.and_time(NaiveTime::MIN)), None));
    }
    if !full || !(reader.eat(' ') || reader.eat('T')) {
        return None;
    }
    if reader.0.is_empty() {
        return Some((time::micros_of(date.and_time(NaiveTime::MIN)), None));
    }
    let micros = time::micros_of(date.and_time(reader.time()?));
    let zone = reader.0.trim();
    if zone.is_empty() {
        return Some((micros, None));
    }
    Some((micros, Some(Zone::try_parse(zone)?)))
}

/// The text inside `INTERVAL '…' UNIT`, or the bare text; and its sign.
fn interval_body(text: &str) -> (bool, &str) {
    let text = trimmed(text);
    let upper = text.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("interval"));
    let mut body = text;
    let mut negative = false;
    if upper {
        body = text[8..].trim_start();
        if let Some(rest) = body.strip_prefix('-') {
            (negative, body) = (true, rest.trim_start());
        }
        if let Some(rest) = body.strip_prefix('\'') {
            body = rest.split('\'').next().unwrap_or(rest);
        }
    }
    match body.strip_prefix('-') {
        Some(rest) => (!negative, rest),
        None => (negative, body.strip_prefix('+').unwrap_or(body)),
    }
}

/// `y-m`, in months.
pub(super) fn year_month(text: &str) -> Option<i32> {
    let (negative, body) = interval_body(text);
    let (years, months) = body.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(years) || !digits(months) {
        return None;
    }
    let months: i32 = months.parse().ok().filter(|m| *m < 12)?;
    let total = years.parse::<i32>().ok()?.checked_mul(12)?.checked_add(months)?;
    Some(if negative { -total } else { total })
}

/// `d hh:mm:ss[.f]`, in microseconds.
pub(super) fn day_time(text: &str) -> Option<i64> {
    let (negative, body) = interval_body(text);
    let (days, clock) = body.split_once(' ')?;
    if days.is_empty() || !days.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut reader = Reader(clock);
    let clock = reader.time()?;
    if !reader.0.is_empty() {
        return None;
    }
    let micros = clock.signed_duration_since(NaiveTime::MIN).num_microseconds()?;
    let days: i64 = days.parse().ok()?;
    let total = days.checked_mul(86_400 * MICROS_PER_SECOND)?.checked_add(micros)?;
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        assert_eq!(decimal(" 1.25 ", 1), DecimalText::Value(13));
        assert_eq!(decimal("-1.25", 1), DecimalText::Value(-13));
        assert_eq!(decimal("1e2", 1), DecimalText::Value(1000));
        assert_eq!(decimal("5e-1", 0), DecimalText::Value(1));
        assert_eq!(decimal("4e-2", 0), DecimalText::Value(0));
        assert_eq!(decimal(".5", 2), DecimalText::Value(50));
        assert_eq!(decimal("1e50", 0), DecimalText::TooLarge);
        assert_eq!(decimal("abc", 0), DecimalText::Malformed);
        assert_eq!(decimal("", 0), DecimalText::Malformed);
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date("1970-1-2"), Some(1));
        assert_eq!(date("1970-01-02 12:00"), Some(1));
        assert_eq!(date("1970-01-02T"), Some(1));
        assert_eq!(date("1970"), Some(0));
        assert_eq!(date("2020-13-01"), None);
        assert_eq!(date("2020-02-30"), None);
        assert_eq!(timestamp("1970-01-01 0:0:1.5"), Some((1_500_000, None)));
        assert_eq!(timestamp("1970-01-01T00:00:00.1234567"), Some((123_456, None)));
        assert_eq!(timestamp("1970-01-01 00:00:00+01:00"), Some((0, Some(Zone::Fixed(3_600)))));
        assert_eq!(timestamp("1970-01-01 25:00:00"), None);
        assert_eq!(timestamp("xx"), None);
        assert_eq!(year_month("-1-2"), Some(-14));
        assert_eq!(day_time("1 00:00:01.5"), Some(86_401_500_000));
        assert_eq!(day_time("INTERVAL '-1 00:00:00' DAY TO SECOND"), Some(-86_400_000_000));
    }
}
