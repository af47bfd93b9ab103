//! Bits and bases.

use arrow::array::ArrayRef;
use arrow::datatypes::Int8Type;
use firesteel_common::SqlType::{self, BigInt, Int, String as Str};
use firesteel_common::{Error, Result};
use firesteel_expr::Signature;

use super::CATEGORY;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("bit_count", &[]),
        "bit_count(expr)",
        "Returns the number of bits that are set.",
        &[("SELECT bit_count(0)", "0"), ("SELECT bit_count(7)", "3")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 1)?;
            let arg = match &args[0] {
                SqlType::Boolean => SqlType::Int,
                ty if ty.is_integer() || ty.is_string() || *ty == SqlType::Void => BigInt,
                other => return Err(check::unexpected_type(name, 0, "INTEGRAL\" or \"BOOLEAN", other)),
            };
            Ok(Signature { args: vec![arg], ty: Int, may_be_null: false })
        }),
        |a| {
            if a.types[0] == Int {
                let n = a.ints(0)?;
                return a.out_ints(|i| Some(n.get(i)?.count_ones() as i32));
            }
            let n = a.longs(0)?;
            a.out_ints(|i| Some(n.get(i)?.count_ones() as i32))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("bit_get", &["getbit"]),
        "bit_get(expr, pos)",
        "Returns the bit (0 or 1) at a position, counted from 0 on the right.",
        &[("SELECT bit_get(11, 0)", "1"), ("SELECT bit_get(11, 2)", "0")],
        Sig::Fixed(&[BigInt, Int], 2, &SqlType::TinyInt),
        |a| {
            let (n, at) = (a.longs(0)?, a.ints(1)?);
            a.try_out::<Int8Type>(|i| {
                let (Some(n), Some(at)) = (n.get(i), at.get(i)) else { return Ok(None) };
                if !(0..64).contains(&at) {
                    return Err(Error::compute(
                        "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
                        "22023",
                        format!("The value of parameter(s) `pos` in `bit_get` is invalid: expects an integer value in [0, 64), but got {at}."),
                    ));
                }
                Ok(Some((n >> at & 1) as i8))
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("bin", &[]),
        "bin(expr)",
        "Returns a number in binary.",
        &[("SELECT bin(13)", "1101"), ("SELECT bin(13.3)", "1101")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 1)?;
            if !(args[0].is_numeric() || args[0].is_string() || args[0] == SqlType::Void) {
                return Err(check::unexpected_type(name, 0, "BIGINT", &args[0]));
            }
            Ok(Signature { args: vec![BigInt], ty: Str, may_be_null: false })
        }),
        |a| {
            let n = a.longs(0)?;
            a.out_strings(|i| Some(format!("{:b}", n.get(i)?)))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("conv", &[]),
        "conv(num, from_base, to_base)",
        "Converts the text of a number from one base to another; a negative `to_base` makes it signed.",
        &[("SELECT conv('100', 2, 10)", "4"), ("SELECT conv(-10, 16, -10)", "-16")],
        Sig::Fixed(&[Str, Int, Int], 3, &Str),
        conv,
    ),
];

fn conv(a: &Args) -> Result<ArrayRef> {
    let (s, from, to) = (a.strings(0)?, a.ints(1)?, a.ints(2)?);
    a.try_strings(|i| {
        let (Some(s), Some(from), Some(to)) = (s.get(i), from.get(i), to.get(i)) else { return Ok(None) };
        convert(s.trim_matches(' '), from, to, a.cx.ansi)
    })
}

/// Digits are read as an unsigned 64-bit number, up to the first that is none in the base.
fn convert(s: &str, from: i32, to: i32, ansi: bool) -> Result<Option<String>> {
    if !(2..=36).contains(&from) || !(2..=36).contains(&to.unsigned_abs()) || s.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = s.strip_prefix('-').map_or((false, s), |rest| (true, rest));
    let mut value = Some(0u64);
    for digit in digits.chars().map_while(|c| c.to_digit(from as u32)) {
        value = value.and_then(|v| v.checked_mul(from as u64)?.checked_add(u64::from(digit)));
    }
    let mut value = match value {
        Some(value) => value,
        None if ansi => return Err(check::overflow("Overflow in function conv();", "")),
        None => u64::MAX,
    };
    if negative {
        value = if to > 0 && (value as i64) < 0 { u64::MAX } else { value.wrapping_neg() };
    }
    let minus = to < 0 && (value as i64) < 0;
    if minus {
        value = value.wrapping_neg();
    }
    let base = u64::from(to.unsigned_abs());
    let mut out = Vec::new();
    while value > 0 || out.is_empty() {
        let digit = char::from_digit((value % base) as u32, base as u32).unwrap_or('0');
        out.push(digit.to_ascii_uppercase());
        value /= base;
    }
    if minus {
        out.push('-');
    }
    Ok(Some(out.into_iter().rev().collect()))
}
