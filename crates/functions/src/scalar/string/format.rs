//! `format_string`: Java's `Formatter`, for the conversions that SQL values have.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use firesteel_common::SqlType::String as Str;
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Error, Result, Scalar};
use firesteel_expr::Signature;
use firesteel_expr::format::format_scalar;
use firesteel_expr::time::Zone;

use super::encode::grouped;
use super::{char_count, char_range};
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

pub(super) const FUNCTIONS: &[Function] = &[function(
    "string",
    ("format_string", &["printf"]),
    "format_string(strfmt, obj, ...)",
    "Formats values as `printf` does.",
    &[("SELECT format_string('Hello World %d %s', 100, 'days')", "Hello World 100 days")],
    Sig::Custom(|name, args, _| {
        check::arity(name, args.len(), 1, usize::MAX)?;
        let rest = args[1..].iter().cloned();
        Ok(Signature { args: std::iter::once(Str).chain(rest).collect(), ty: Str, may_be_null: true })
    }),
    format_string,
)
.handles_null()];

fn format_string(a: &Args) -> Result<ArrayRef> {
    let formats = a.strings(0)?;
    let columns = (1..a.len()).map(|index| a.array(index)).collect::<Result<Vec<_>>>()?;
    a.try_strings(|row| {
        let Some(format) = formats.get(row) else { return Ok(None) };
        let values = columns.iter().zip(&a.types[1..]).map(|(column, ty)| Scalar::from_array(column, row, ty));
        render(format, &values.collect::<Result<Vec<_>>>()?).map(Some)
    })
}

/// `%[argument$][flags][width][.precision]conversion`.
#[derive(Default)]
struct Specifier {
    argument: Option<usize>,
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    group: bool,
    parentheses: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

fn malformed(format: &str, why: &str) -> Error {
    let message = format!("The value of parameter(s) `strfmt` in `format_string` is invalid: '{format}' {why}.");
    Error::compute("INVALID_PARAMETER_VALUE.PATTERN", "22023", message)
}

fn render(format: &str, values: &[Scalar]) -> Result<String> {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let specifier = read(&mut rest);
        let Some(conversion) = rest.chars().next() else { return Err(malformed(format, "ends in a specifier")) };
        rest = &rest[conversion.len_utf8()..];
        let text = match conversion {
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            _ => {
                let index = specifier.argument.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                let value = values.get(index).ok_or_else(|| malformed(format, "has more specifiers than values"))?;
                let text = convert(conversion, &specifier, value);
                let text = text.ok_or_else(|| {
                    malformed(format, &format!("has the conversion %{conversion}, which {} has not", value.ty()))
                })?;
                if conversion.is_uppercase() { text.to_uppercase() } else { text }
            }
        };
        let blanks = " ".repeat(specifier.width.saturating_sub(char_count(&text)));
        if specifier.left {
            out.extend([text, blanks]);
        } else {
            out.extend([blanks, text]);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn read(rest: &mut &str) -> Specifier {
    let mut specifier = Specifier::default();
    let digits = |rest: &mut &str| {
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(count);
        *rest = after;
        number.parse::<usize>().ok().map(|n| n.min(1 << 20))
    };
    let mut ahead = *rest;
    if let Some(index) = digits(&mut ahead)
        && let Some(after) = ahead.strip_prefix('$')
    {
        specifier.argument = Some(index.saturating_sub(1));
        *rest = after;
    }
    loop {
        let flag = match rest.chars().next() {
            Some('-') => &mut specifier.left,
            Some('+') => &mut specifier.plus,
            Some(' ') => &mut specifier.space,
            Some('0') => &mut specifier.zero,
            Some(',') => &mut specifier.group,
            Some('(') => &mut specifier.parentheses,
            Some('#') => &mut specifier.alternate,
            _ => break,
        };
        *flag = true;
        *rest = &rest[1..];
    }
    specifier.width = digits(rest).unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        specifier.precision = digits(rest);
    }
    specifier
}

/// The text of a value; nothing if its type has no such conversion.
fn convert(conversion: char, specifier: &Specifier, value: &Scalar) -> Option<String> {
    let limited = |text: String| match specifier.precision {
        Some(length) => char_range(&text, 0, length).to_owned(),
        None => text,
    };
    if value.is_null() {
        return matches!(conversion, 's' | 'S' | 'd' | 'f' | 'e' | 'E' | 'g' | 'G' | 'x' | 'X' | 'o' | 'c' | 'C')
            .then(|| limited("null".to_owned()))
            .or_else(|| matches!(conversion, 'b' | 'B').then(|| limited("false".to_owned())));
    }
    match conversion {
        's' | 'S' => Some(limited(match value {
            // Dates and times are the numbers that they are kept as.
            Scalar::Date(days) => days.to_string(),
            Scalar::Timestamp(micros) | Scalar::TimestampNtz(micros) => micros.to_string(),
            other => format_scalar(other, Zone::UTC),
        })),
        'b' | 'B' => Some(limited(match value {
            Scalar::Boolean(value) => value.to_string(),
            _ => "true".to_owned(),
        })),
        'c' | 'C' => match value {
            Scalar::TinyInt(_) | Scalar::SmallInt(_) | Scalar::Int(_) => {
                u32::try_from(value.as_i64()?).ok().and_then(char::from_u32).map(String::from)
            }
            _ => None,
        },
        'd' => {
            let number = value.as_i64().filter(|_| value.ty().is_integer())?;
            Some(signed(number < 0, number.unsigned_abs().to_string(), specifier))
        }
        'x' | 'X' | 'o' => {
            let bits = match value {
                Scalar::TinyInt(v) => u64::from(*v as u8),
                Scalar::SmallInt(v) => u64::from(*v as u16),
                Scalar::Int(v) => u64::from(*v as u32),
                Scalar::BigInt(v) => *v as u64,
                _ => return None,
            };
            let (prefix, digits) =
                if conversion == 'o' { ("0", format!("{bits:o}")) } else { ("0x", format!("{bits:x}")) };
            let prefix = if specifier.alternate { prefix } else { "" };
            let zeros = if specifier.zero { specifier.width.saturating_sub(prefix.len() + digits.len()) } else { 0 };
            Some(format!("{prefix}{}{digits}", "0".repeat(zeros)))
        }
        'f' | 'e' | 'E' | 'g' | 'G' => real(conversion, specifier, value),
        _ => None,
    }
}

fn real(conversion: char, specifier: &Specifier, value: &Scalar) -> Option<String> {
    let precision = specifier.precision.unwrap_or(6);
    if let (Scalar::Decimal(unscaled, _, scale), 'f') = (value, conversion) {
        let drop = (*scale).saturating_sub(precision.min(38) as u8);
        let kept = check::div_half_up(unscaled.checked_abs()?, check::pow10(drop));
        let mut text = format_decimal(kept, scale - drop);
        let has = usize::from(scale - drop);
        if precision > has {
            text += if has == 0 { "." } else { "" };
            text += &"0".repeat(precision - has);
        }
        return Some(signed(*unscaled < 0, text, specifier));
    }
    let number = match value {
        Scalar::Double(v) => *v,
        Scalar::Float(v) => f64::from(*v),
        Scalar::Decimal(..) => value.as_f64()?,
        _ => return None,
    };
    if !number.is_finite() {
        let text = if number.is_nan() { "NaN" } else { "Infinity" };
        let plain = Specifier { parentheses: specifier.parentheses, plus: specifier.plus, ..Specifier::default() };
        return Some(signed(number < 0.0, text.to_owned(), &plain));
    }
    let size = number.abs();
    let scientific = |precision: usize| {
        let text = format!("{size:.precision$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let mut out = mantissa.to_owned();
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
        out
    };
    let text = match conversion {
        'f' => fixed(size, precision),
        'e' | 'E' => scientific(precision),
        _ => {
            let digits = precision.max(1);
            if size == 0.0 || (1e-4..10f64.powi(digits as i32)).contains(&size) {
                let whole = if size == 0.0 { 1 } else { size.log10().floor() as i32 + 1 };
                fixed(size, (digits as i32 - whole).max(0) as usize)
            } else {
                scientific(digits - 1)
            }
        }
    };
    Some(signed(number.is_sign_negative() && size != 0.0 || number < 0.0, text, specifier))
}

/// The number with so many decimals, rounded half up in its shortest decimal form, as Java rounds.
fn fixed(number: f64, precision: usize) -> String {
    let shortest = format!("{number}");
    let (whole, fraction) = shortest.split_once('.').unwrap_or((&shortest, ""));
    if fraction.len() <= precision {
        let point = if precision > 0 { "." } else { "" };
        return format!("{whole}{point}{fraction:0<precision$}");
    }
    let kept = format!("{whole}{}", &fraction[..precision]);
    let up = fraction.as_bytes()[precision] >= b'5';
    let mut digits: Vec<u8> = kept.into_bytes();
    let mut at = digits.len();
    let mut carry = up;
    while carry && at > 0 {
        at -= 1;
        carry = digits[at] == b'9';
        digits[at] = if carry { b'0' } else { digits[at] + 1 };
    }
    if carry {
        digits.insert(0, b'1');
    }
    let mut text = String::from_utf8(digits).unwrap_or_default();
    if precision > 0 {
        text.insert(text.len() - precision, '.');
    }
    text
}

/// A number with its sign, separators and leading zeros.
fn signed(negative: bool, digits: String, specifier: &Specifier) -> String {
    let digits = if specifier.group { grouped(&digits) } else { digits };
    let (before, after) = match negative {
        true if specifier.parentheses => ("(", ")"),
        true => ("-", ""),
        false if specifier.plus => ("+", ""),
        false if specifier.space => (" ", ""),
        false => ("", ""),
    };
    let length = before.len() + digits.len() + after.len();
    let zeros = if specifier.zero { specifier.width.saturating_sub(length) } else { 0 };
    format!("{before}{}{digits}{after}", "0".repeat(zeros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_java_formats() {
        let cases: &[(&str, &[Scalar], &str)] = &[
            ("%5d|%-5s|%05d", &[Scalar::Int(1), Scalar::string("ab"), Scalar::Int(-42)], "    1|ab   |-0042"),
            ("%,d %+d %(d", &[Scalar::Int(1_234_567), Scalar::Int(5), Scalar::Int(-5)], "1,234,567 +5 (5)"),
            ("%2$s %1$s", &[Scalar::string("a"), Scalar::string("b")], "b a"),
            ("%.2f %e", &[Scalar::Double(1.005), Scalar::Double(12345.678)], "1.01 1.234568e+04"),
            ("%x %X %o", &[Scalar::Int(-1), Scalar::Int(255), Scalar::Int(8)], "ffffffff FF 10"),
            ("%.1f %.0f", &[Scalar::Decimal(125, 3, 2), Scalar::Double(9.5)], "1.3 10"),
            ("100%%", &[], "100%"),
        ];
        for (format, values, expected) in cases {
            assert_eq!(render(format, values).unwrap(), *expected, "{format}");
        }
        assert!(render("%d", &[Scalar::string("x")]).is_err());
        assert!(render("%s %s", &[Scalar::string("x")]).is_err());
    }
}
