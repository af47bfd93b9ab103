//! Encodings of bytes and numbers as text.

use arrow::array::ArrayRef;
use firesteel_common::SqlType::{self, BigInt, Binary, Int, String as Str};
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Error, Result};
use firesteel_expr::Signature;

use super::charset::Charset;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

const CATEGORY: &str = "string";

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("hex", &[]),
        "hex(expr)",
        "Converts a number, string or binary to hexadecimal text.",
        &[("SELECT hex(17)", "11"), ("SELECT hex('Spark SQL')", "537061726B2053514C")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 1)?;
            let arg = match &args[0] {
                ty if ty.is_numeric() => BigInt,
                Binary => Binary,
                ty if ty.is_string() || *ty == SqlType::Void => Str,
                other => return Err(check::unexpected_type(name, 0, "BIGINT\" or \"BINARY\" or \"STRING", other)),
            };
            Ok(Signature { args: vec![arg], ty: Str, may_be_null: false })
        }),
        |a| match a.types[0] {
            BigInt => {
                let n = a.longs(0)?;
                a.out_strings(|i| Some(format!("{:X}", n.get(i)?)))
            }
            Binary => {
                let b = a.binaries(0)?;
                a.out_strings(|i| b.get(i).map(to_hex))
            }
            _ => {
                let s = a.strings(0)?;
                a.out_strings(|i| Some(to_hex(s.get(i)?.as_bytes())))
            }
        },
    )
    .total(),
    function(
        CATEGORY,
        ("unhex", &[]),
        "unhex(expr)",
        "Converts hexadecimal text to binary; NULL if it is malformed.",
        &[("SELECT decode(unhex('537061726B2053514C'), 'UTF-8')", "Spark SQL")],
        Sig::Fixed(&[Str], 1, &Binary),
        |a| {
            let s = a.strings(0)?;
            a.try_binaries(|i| Ok(s.get(i).and_then(from_hex)))
        },
    )
    .infallible(),
    function(
        CATEGORY,
        ("base64", &[]),
        "base64(bin)",
        "Converts a binary to base 64 text.",
        &[("SELECT base64('Spark SQL')", "U3BhcmsgU1FM")],
        Sig::Fixed(&[Binary], 1, &Str),
        |a| {
            let b = a.binaries(0)?;
            a.out_strings(|i| b.get(i).map(to_base64))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("unbase64", &[]),
        "unbase64(str)",
        "Converts base 64 text to a binary.",
        &[("SELECT cast(unbase64('U3BhcmsgU1FM') AS STRING)", "Spark SQL")],
        Sig::Fixed(&[Str], 1, &Binary),
        |a| {
            let s = a.strings(0)?;
            a.try_binaries(|i| {
                let Some(s) = s.get(i) else { return Ok(None) };
                from_base64(s).map(Some).ok_or_else(|| {
                    Error::compute(
                        "CONVERSION_INVALID_INPUT",
                        "22018",
                        format!("The value '{s}' (BASE64) cannot be converted to \"BINARY\" because it is malformed."),
                    )
                })
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("encode", &[]),
        "encode(str, charset)",
        "Converts a string to a binary in a charset: US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16BE, UTF-16LE, UTF-32.",
        &[("SELECT hex(encode('abc', 'utf-8'))", "616263")],
        Sig::Fixed(&[Str, Str], 2, &Binary),
        |a| {
            let (s, charset) = (a.strings(0)?, a.strings(1)?);
            a.try_binaries(|i| {
                let (Some(s), Some(charset)) = (s.get(i), charset.get(i)) else { return Ok(None) };
                Charset::of("encode", charset)?.encode(s).map(Some)
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("decode", &[]),
        "decode(bin, charset)",
        "Converts a binary in a charset, as those of `encode`, to a string.",
        &[("SELECT decode(encode('abc', 'utf-8'), 'utf-8')", "abc")],
        Sig::Fixed(&[Binary, Str], 2, &Str),
        |a| {
            let (b, charset) = (a.binaries(0)?, a.strings(1)?);
            a.try_strings(|i| {
                let (Some(b), Some(charset)) = (b.get(i), charset.get(i)) else { return Ok(None) };
                Charset::of("decode", charset)?.decode(b).map(Some)
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("crc32", &[]),
        "crc32(expr)",
        "Returns the CRC-32 of a binary as a BIGINT.",
        &[("SELECT crc32('Spark')", "1557323817")],
        Sig::Fixed(&[Binary], 1, &BigInt),
        |a| {
            let b = a.binaries(0)?;
            a.out_longs(|i| b.get(i).map(crc32))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("format_number", &[]),
        "format_number(expr, scale)",
        "Formats a number like '#,###,###.##', rounded half even to `scale` decimals.",
        &[("SELECT format_number(12332.123456, 4)", "12,332.1235")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, 2)?;
            let first = match &args[0] {
                ty @ SqlType::Decimal(..) => ty.clone(),
                ty if ty.is_integer() => BigInt,
                ty if ty.is_numeric() || ty.is_string() || *ty == SqlType::Void => SqlType::Double,
                other => return Err(check::unexpected_type(name, 0, "NUMERIC", other)),
            };
            if args[1].is_string() {
                return Err(Error::unsupported("format_number with a pattern is not supported yet."));
            }
            Ok(Signature { args: vec![first, Int], ty: Str, may_be_null: true })
        }),
        format_number,
    )
    .infallible(),
];

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// An odd number of digits has a leading zero in thought.
fn from_hex(s: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = s.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let (head, pairs) = digits.split_at(digits.len() % 2);
    Some(head.iter().copied().chain(pairs.chunks_exact(2).map(|p| p[0] << 4 | p[1])).collect())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 63;
            out.push(if place > chunk.len() { '=' } else { char::from(BASE64[sextet as usize]) });
        }
    }
    out
}

/// Line breaks and spaces are skipped, as in MIME.
fn from_base64(s: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(s.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for b in s.trim_end_matches('=').bytes().filter(|b| !b.is_ascii_whitespace()) {
        let value = BASE64.iter().position(|c| *c == b)? as u32;
        word = (word << 6 | value) & 0xFF_FFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    (bits < 6).then_some(out)
}

fn crc32(bytes: &[u8]) -> i64 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    i64::from(!crc)
}

/// Inserts a comma between groups of three digits.
pub(super) fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |dot| digits.split_at(dot));
    let mut out = String::from(sign);
    for (place, c) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out + fraction
}

fn format_number(a: &Args) -> Result<ArrayRef> {
    let scale = a.ints(1)?;
    let zeros = |text: String, scale: i32, has: usize| {
        let missing = (scale as usize).saturating_sub(has);
        if missing == 0 { text } else { text + if has == 0 { "." } else { "" } + &"0".repeat(missing) }
    };
    match &a.types[0] {
        BigInt => {
            let n = a.longs(0)?;
            a.out_strings(|i| {
                let (n, scale) = (n.get(i)?, scale.get(i).filter(|s| *s >= 0)?);
                Some(zeros(grouped(&n.to_string()), scale, 0))
            })
        }
        SqlType::Decimal(_, from) => {
            let n = a.decimals(0)?;
            a.out_strings(|i| {
                let (n, scale) = (n.get(i)?, scale.get(i).filter(|s| *s >= 0)?);
                let keep = u8::try_from(scale).unwrap_or(*from).min(*from);
                let rounded = crate::scalar::math::half_even(n, check::pow10(from - keep));
                Some(zeros(grouped(&format_decimal(rounded, keep)), scale, usize::from(keep)))
            })
        }
        _ => {
            let n = a.doubles(0)?;
            a.out_strings(|i| {
                let (n, scale) = (n.get(i)?, scale.get(i).filter(|s| *s >= 0)?);
                Some(match n {
                    n if n.is_nan() => "NaN".to_owned(),
                    n if n.is_infinite() => if n > 0.0 { "∞" } else { "-∞" }.to_owned(),
                    n => grouped(&format!("{n:.*}", scale as usize)),
                })
            })
        }
    }
}
