//! Conversions between numbers, booleans and their text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Error, Result, Scalar, SqlType};
use num_traits::AsPrimitive;

use super::parse::{self, DecimalText};
use super::{Conversion, Mode, is_narrow, text_to_boolean};
use crate::format::format_scalar;
use crate::function::Datum;
use crate::kernels::decimal::{POW10, Unscaled, out_of_range, rescale, unscaled};
use crate::kernels::operand::{Values, zip};
use crate::time::Zone;

/// Calls `$body` with `$R` bound to the Arrow type of an integer or float type.
macro_rules! with_number {
    ($ty:expr, $R:ident, $body:expr, $other:expr) => {
        match $ty {
            SqlType::TinyInt => {
                type $R = Int8Type;
                $body
            }
            SqlType::SmallInt => {
                type $R = Int16Type;
                $body
            }
            SqlType::Int => {
                type $R = Int32Type;
                $body
            }
            SqlType::BigInt => {
                type $R = Int64Type;
                $body
            }
            SqlType::Float => {
                type $R = Float32Type;
                $body
            }
            SqlType::Double => {
                type $R = Float64Type;
                $body
            }
            _ => $other,
        }
    };
}

/// An integer to any number or BOOLEAN.
pub(super) fn from_integer(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    if let SqlType::Decimal(p, s) = c.to {
        let wide = |v: &PrimitiveArray<Int64Type>| -> ArrayRef { Arc::new(v.reinterpret_cast::<Decimal64Type>()) };
        let bigint = Conversion { from: c.from, to: &SqlType::BigInt, mode: c.mode, zone: c.zone };
        let values = from_integer(array, &bigint)?;
        let failed = |v: i128| c.fail(|| out_of_range(&v.to_string(), *p, *s));
        let digits = c.from.integer_as_decimal().unwrap_or((20, 0));
        return rescale(&wide(values.as_primitive()), digits, (*p, *s), &failed);
    }
    if *c.to == SqlType::Boolean {
        return with_number!(c.from, A, to_boolean::<A>(array), Err(c.unsupported()));
    }
    with_number!(
        c.from,
        A,
        with_number!(c.to, R, integer_to_number::<A, R>(array, c), Err(c.unsupported())),
        Err(c.unsupported())
    )
}

fn integer_to_number<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef>
where
    A::Native: AsPrimitive<R::Native> + num_traits::NumCast + std::fmt::Display,
    R::Native: num_traits::NumCast + Copy + 'static,
{
    if c.from == c.to {
        return Ok(array.clone());
    }
    if c.mode == Mode::Legacy || !super::may_fail(c.from, c.to) {
        return c.map_all::<A, R>(array, |v| v.as_());
    }
    c.map::<A, R>(array, num_traits::cast, |v| c.overflow(&v.to_string()))
}

fn to_boolean<A: ArrowPrimitiveType>(array: &ArrayRef) -> Result<ArrayRef>
where
    A::Native: num_traits::Zero,
{
    use num_traits::Zero;
    let input = array.as_primitive::<A>();
    let values = input.values();
    let bits = BooleanBuffer::collect_bool(values.len(), |i| !values[i].is_zero());
    Ok(Arc::new(BooleanArray::new(bits, input.nulls().cloned())))
}

/// A float to any number or BOOLEAN.
pub(super) fn from_float(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    if *c.from == SqlType::Float { float_to::<Float32Type>(array, c) } else { float_to::<Float64Type>(array, c) }
}

fn float_to<A: ArrowPrimitiveType>(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef>
where
    A::Native: AsPrimitive<f64>
        + AsPrimitive<f32>
        + AsPrimitive<i8>
        + AsPrimitive<i16>
        + AsPrimitive<i32>
        + AsPrimitive<i64>
        + num_traits::Zero,
{
    /// The integer without the fraction, if it is within the type.
    fn integer<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef>
    where
        A::Native: AsPrimitive<f64> + AsPrimitive<R::Native>,
        R::Native: num_traits::NumCast + Copy + 'static,
    {
        if c.mode == Mode::Legacy {
            return c.map_all::<A, R>(array, |v| v.as_());
        }
        c.map::<A, R>(
            array,
            |v| {
                let v: f64 = v.as_();
                num_traits::cast(v.trunc())
            },
            |v| c.overflow(&format_scalar(&Scalar::Double(v.as_()), Zone::UTC)),
        )
    }
    match c.to {
        SqlType::Boolean => to_boolean::<A>(array),
        SqlType::TinyInt => integer::<A, Int8Type>(array, c),
        SqlType::SmallInt => integer::<A, Int16Type>(array, c),
        SqlType::Int => integer::<A, Int32Type>(array, c),
        SqlType::BigInt => integer::<A, Int64Type>(array, c),
        SqlType::Float => c.map_all::<A, Float32Type>(array, |v| v.as_()),
        SqlType::Double => c.map_all::<A, Float64Type>(array, |v| v.as_()),
        SqlType::Decimal(p, s) => {
            let input = array.as_primitive::<A>();
            decimals(
                input.iter().map(|v| v.map(AsPrimitive::<f64>::as_)),
                c,
                |v, text| {
                    // A decimal has no NaN and no infinity: they are NULL, also in ANSI mode.
                    if !v.is_finite() {
                        return Ok(None);
                    }
                    use std::fmt::Write;
                    let _ = write!(text, "{v:e}");
                    Ok(Some(parse::decimal(text, *s)))
                },
                *p,
                *s,
            )
        }
        _ => Err(c.unsupported()),
    }
}

/// Decimals made of values by way of text; `read` is given an empty buffer.
fn decimals<V: Copy>(
    values: impl ExactSizeIterator<Item = Option<V>>,
    c: &Conversion,
    read: impl Fn(V, &mut String) -> Result<Option<DecimalText>>,
    p: u8,
    s: u8,
) -> Result<ArrayRef> {
    let limit = POW10[usize::from(p)].unsigned_abs();
    let mut output = Vec::with_capacity(values.len());
    let mut text = String::new();
    for value in values {
        text.clear();
        let parsed = match value {
            Some(value) => read(value, &mut text)?,
            None => None,
        };
        output.push(match parsed {
            None => None,
            Some(DecimalText::Value(v)) if v.unsigned_abs() < limit => Some(v),
            Some(DecimalText::Malformed) => {
                c.fail(|| c.malformed(&text))?;
                None
            }
            Some(_) => {
                c.fail(|| out_of_range(text.trim(), p, s))?;
                None
            }
        });
    }
    Ok(if is_narrow(c.to) {
        let array: PrimitiveArray<Decimal64Type> = output.into_iter().map(|v| v.map(|v| v as i64)).collect();
        Arc::new(array.with_data_type(c.to.arrow()))
    } else {
        let array: PrimitiveArray<Decimal128Type> = output.into_iter().collect();
        Arc::new(array.with_data_type(c.to.arrow()))
    })
}

/// Text to a number or BOOLEAN.
pub(super) fn from_text(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    let integer =
        |text: &str| if c.mode == Mode::Legacy { parse::truncated_integer(text) } else { parse::integer(text) };
    match c.to {
        SqlType::Boolean => text_to_boolean(array, c),
        SqlType::TinyInt => c.map_text::<Int8Type>(array, |text| integer(text)?.try_into().ok()),
        SqlType::SmallInt => c.map_text::<Int16Type>(array, |text| integer(text)?.try_into().ok()),
        SqlType::Int => c.map_text::<Int32Type>(array, |text| integer(text)?.try_into().ok()),
        SqlType::BigInt => c.map_text::<Int64Type>(array, integer),
        SqlType::Float => c.map_text::<Float32Type>(array, |text| parse::float(text).map(|v| v as f32)),
        SqlType::Double => c.map_text::<Float64Type>(array, parse::float),
        SqlType::Decimal(p, s) => {
            let input = array.as_string_view();
            decimals(
                input.iter(),
                c,
                |text, buffer| {
                    buffer.push_str(text);
                    Ok(Some(parse::decimal(text, *s)))
                },
                *p,
                *s,
            )
        }
        _ => Err(c.unsupported()),
    }
}

/// BOOLEAN to a number: 1 or 0.
pub(super) fn from_boolean(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    let input = array.as_boolean();
    let ones: PrimitiveArray<Int8Type> = input.iter().map(|v| v.map(i8::from)).collect();
    let inner = Conversion { from: &SqlType::TinyInt, to: c.to, mode: c.mode, zone: c.zone };
    from_integer(&(Arc::new(ones) as ArrayRef), &inner)
}

/// A decimal to any number or BOOLEAN.
pub(super) fn from_decimal(array: &ArrayRef, (p, s): (u8, u8), c: &Conversion) -> Result<ArrayRef> {
    let rows = array.len();
    if let SqlType::Decimal(q, t) = c.to {
        let failed = |v: i128| c.fail(|| out_of_range(&format_decimal(v, s), *q, *t));
        return rescale(array, (p, s), (*q, *t), &failed);
    }
    let datum = Datum::Array(array.clone());
    let values = unscaled(&datum)?;
    let nulls = array.nulls().cloned();
    let one = POW10[usize::from(s)];
    match c.to {
        SqlType::Boolean => {
            let bits: Vec<bool> = match values {
                Unscaled::Narrow(v) => zip(v, v, rows, |v, _| v != 0),
                Unscaled::Wide(v) => zip(v, v, rows, |v, _| v != 0),
            };
            Ok(Arc::new(BooleanArray::new(bits.into(), nulls)))
        }
        SqlType::Float | SqlType::Double => {
            let floats: Vec<f64> = match values {
                Unscaled::Narrow(v) => zip(v, v, rows, |v, _| decimal_to_float(i128::from(v), s)),
                Unscaled::Wide(v) => zip(v, v, rows, |v, _| decimal_to_float(v, s)),
            };
            let doubles: ArrayRef = Arc::new(PrimitiveArray::<Float64Type>::new(floats.into(), nulls));
            if *c.to == SqlType::Double {
                Ok(doubles)
            } else {
                c.map_all::<Float64Type, Float32Type>(&doubles, |v| v as f32)
            }
        }
        to if to.is_integer() => {
            let whole: Vec<i128> = match values {
                Unscaled::Narrow(v) => zip(v, v, rows, |v, _| i128::from(v) / one),
                Unscaled::Wide(v) => zip(v, v, rows, |v, _| v / one),
            };
            with_number!(to, R, integers_of::<R>(&whole, array, (s, c)), Err(c.unsupported()))
        }
        _ => Err(c.unsupported()),
    }
}

/// Whole numbers as integers of a type; the array has the text of one that does not fit.
fn integers_of<R: ArrowPrimitiveType>(whole: &[i128], array: &ArrayRef, (s, c): (u8, &Conversion)) -> Result<ArrayRef>
where
    R::Native: num_traits::NumCast + Copy + Default + 'static,
    i128: AsPrimitive<R::Native>,
{
    use crate::kernels::operand::zip_exact;
    let legacy = c.mode == Mode::Legacy;
    let f = |v: i128, _: i128| if legacy { Some(v.as_()) } else { num_traits::cast(v) };
    let failed = |row: usize| {
        c.fail(|| match Scalar::from_array(array, row, &SqlType::Decimal(38, s)) {
            Ok(value) => c.overflow(&value.to_string()),
            Err(error) => Error::internal(error.to_string()),
        })
    };
    let values = Values::Many(whole);
    let (values, nulls) = zip_exact(values, values, whole.len(), array.nulls(), f, &failed)?;
    Ok(Arc::new(PrimitiveArray::<R>::new(values.into(), nulls).with_data_type(c.to.arrow())))
}

/// The float nearest to a decimal.
pub(super) fn decimal_to_float(value: i128, scale: u8) -> f64 {
    // Both are exact up to these limits, so that one division rounds once.
    if value.unsigned_abs() < 1 << 53 && scale <= 22 {
        return value as f64 / POW10[usize::from(scale)] as f64;
    }
    format_decimal(value, scale).parse().unwrap_or(f64::NAN)
}
