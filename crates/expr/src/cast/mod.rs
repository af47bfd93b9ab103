//! CAST and TRY_CAST.
//!
//! Every pair of types that [`crate::coercion::can_cast`] admits is one loop over values. What
//! happens where a value does not convert is settled by [`Mode`], once per call.

mod numeric;
mod parse;
mod temporal;

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray, StringViewBuilder};
use arrow::array::{ArrowPrimitiveType, PrimitiveArray, new_null_array};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use firesteel_common::{Error, Result, Scalar, SqlType, encoding};

use crate::format::{write_date, write_datetime, write_scalar};
use crate::function::{Datum, EvalContext};
use crate::time::Zone;

/// What a value that does not convert becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// An error: CAST in ANSI mode.
    Error,
    /// NULL: TRY_CAST.
    Null,
    /// Wrapped around if it is an integer, else NULL: CAST without ANSI mode.
    Legacy,
}

/// What all conversions of one call share.
struct Conversion<'a> {
    from: &'a SqlType,
    to: &'a SqlType,
    mode: Mode,
    zone: Zone,
}

impl Conversion<'_> {
    /// The outcome for a value that does not convert: NULL, or `error`.
    fn fail(&self, error: impl FnOnce() -> Error) -> Result<()> {
        if self.mode == Mode::Error { Err(error()) } else { Ok(()) }
    }

    /// `CAST_INVALID_INPUT`.
    fn malformed(&self, text: &str) -> Error {
        Error::compute(
            "CAST_INVALID_INPUT",
            "22018",
            format!(
                "The value '{text}' of the type \"{}\" cannot be cast to \"{}\" because it is malformed. Correct the \
                 value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and \
                 return NULL instead.",
                self.from, self.to
            ),
        )
    }

    /// `CAST_OVERFLOW`; the value is written as a SQL literal.
    fn overflow(&self, value: &str) -> Error {
        let suffix = match self.from {
            SqlType::TinyInt => "Y",
            SqlType::SmallInt => "S",
            SqlType::BigInt => "L",
            SqlType::Decimal(..) => "BD",
            SqlType::Double if value.ends_with(|c: char| c.is_ascii_digit()) => "D",
            _ => "",
        };
        Error::compute(
            "CAST_OVERFLOW",
            "22003",
            format!(
                "The value {value}{suffix} of the type \"{}\" cannot be cast to \"{}\" due to an overflow. Use \
                 `try_cast` to tolerate overflow and return NULL instead.",
                self.from, self.to
            ),
        )
    }

    /// One result per value of a primitive array; `f` gives nothing for a value that `failed` judges.
    fn map<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        f: impl Fn(A::Native) -> Option<R::Native>,
        failed: impl Fn(A::Native) -> Error,
    ) -> Result<ArrayRef> {
        let input = array.as_primitive_opt::<A>().ok_or_else(|| self.unexpected(array))?;
        let failure: Cell<Option<A::Native>> = Cell::new(None);
        let output: PrimitiveArray<R> = input.unary_opt(|value| {
            let result = f(value);
            if result.is_none() && failure.get().is_none() {
                failure.set(Some(value));
            }
            result
        });
        if let Some(value) = failure.get() {
            self.fail(|| failed(value))?;
        }
        Ok(Arc::new(output.with_data_type(self.to.arrow())))
    }

    /// One result per value of a primitive array, where none fails.
    fn map_all<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        f: impl Fn(A::Native) -> R::Native,
    ) -> Result<ArrayRef> {
        let input = array.as_primitive_opt::<A>().ok_or_else(|| self.unexpected(array))?;
        Ok(Arc::new(input.unary::<_, R>(f).with_data_type(self.to.arrow())))
    }

    /// One result per text.
    fn map_text<R: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        f: impl Fn(&str) -> Option<R::Native>,
    ) -> Result<ArrayRef> {
        let input = array.as_string_view_opt().ok_or_else(|| self.unexpected(array))?;
        let mut builder = PrimitiveArray::<R>::builder(input.len());
        for text in input {
            let value = match text {
                Some(text) => match f(text) {
                    None => {
                        self.fail(|| self.malformed(text))?;
                        None
                    }
                    some => some,
                },
                None => None,
            };
            builder.append_option(value);
        }
        Ok(Arc::new(builder.finish().with_data_type(self.to.arrow())))
    }

    fn unexpected(&self, array: &ArrayRef) -> Error {
        Error::internal(format!("a cast from {} got {}", self.from, array.data_type()))
    }
}

/// Whether a cast may fail on some value.
pub(crate) fn may_fail(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::*;
    let rank = |ty: &SqlType| match ty {
        TinyInt => 1,
        SmallInt => 2,
        Int => 3,
        BigInt => 4,
        _ => 0,
    };
    match (from, to) {
        (a, b) if a == b || *a == Void || b.is_string() => false,
        (a, b) if a.is_integer() && b.is_integer() => rank(a) > rank(b),
        (a, b) if a.is_numeric() && (b.is_float() || *b == Boolean) => false,
        (Boolean, b) if b.is_integer() || b.is_float() => false,
        (a, Decimal(p, s)) => match a.integer_as_decimal() {
            // Rounding may carry into one more digit.
            Some((q, t)) => q - t + u8::from(t > *s) > p - s,
            None => true,
        },
        (a, Binary) if a.is_string() => false,
        (Date | Timestamp | TimestampNtz, Date | Timestamp | TimestampNtz) => false,
        _ => true,
    }
}

/// Converts values of type `from` to `to`. With `safe` (TRY_CAST), what does not convert is NULL.
///
/// Errors: `CAST_INVALID_INPUT`, `CAST_OVERFLOW`, `NUMERIC_VALUE_OUT_OF_RANGE`.
pub fn cast(input: &Datum, from: &SqlType, to: &SqlType, safe: bool, cx: &EvalContext) -> Result<Datum> {
    if from == to || (from.is_string() && to.is_string()) {
        return Ok(input.clone());
    }
    let array = match input {
        Datum::Scalar(value) if value.is_null() => return Ok(Datum::Scalar(Scalar::Null(to.clone()))),
        Datum::Scalar(value) => value.to_array(1),
        Datum::Array(array) => array.clone(),
    };
    let mode = match (safe, cx.ansi) {
        (true, _) => Mode::Null,
        (false, true) => Mode::Error,
        (false, false) => Mode::Legacy,
    };
    let conversion = Conversion { from, to, mode, zone: Zone::parse(&cx.time_zone)? };
    let output = convert(&array, &conversion)?;
    match input {
        Datum::Scalar(_) => Ok(Datum::Scalar(Scalar::from_array(&output, 0, to)?)),
        Datum::Array(_) => Ok(Datum::Array(output)),
    }
}

fn convert(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    use SqlType::*;
    let (from, to) = (c.from, c.to);
    if array.null_count() == array.len() || *from == Void {
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    // Decimals are read in both of their encodings; all else is read in the canonical one.
    let canonical;
    let array = if matches!(from, Decimal(..)) {
        array
    } else {
        canonical = encoding::canonical(array, from)?;
        &canonical
    };
    match (from, to) {
        (Binary, to) if to.is_string() => Ok(binary_to_text(array)),
        (from, to) if to.is_string() => to_text(array, c, from),
        (from, Binary) if from.is_string() => Ok(Arc::new(array.as_string_view().clone().to_binary_view())),
        (from, Binary) => integers_to_binary(array, from),
        (from, to) if from.is_string() && to.is_datetime() => temporal::from_text(array, c),
        (from, to) if from.is_string() && to.is_interval() => temporal::interval_from_text(array, c),
        (from, _) if from.is_string() => numeric::from_text(array, c),
        (Date | Timestamp | TimestampNtz, _) | (_, Timestamp) => temporal::convert(array, c),
        (from, to) if from.is_interval() || to.is_interval() => temporal::convert_interval(array, c),
        (Boolean, _) => numeric::from_boolean(array, c),
        (Decimal(p, s), _) => numeric::from_decimal(array, (*p, *s), c),
        (from, _) if from.is_float() => numeric::from_float(array, c),
        (from, _) if from.is_integer() => numeric::from_integer(array, c),
        _ => Err(c.unsupported()),
    }
}

impl Conversion<'_> {
    fn unsupported(&self) -> Error {
        Error::type_mismatch(format!("Cannot cast \"{}\" to \"{}\".", self.from, self.to))
    }
}

fn binary_to_text(array: &ArrayRef) -> ArrayRef {
    let input: &BinaryViewArray = array.as_binary_view();
    Arc::new(input.iter().map(|bytes| bytes.map(String::from_utf8_lossy)).collect::<StringViewArray>())
}

fn integers_to_binary(array: &ArrayRef, from: &SqlType) -> Result<ArrayRef> {
    macro_rules! bytes {
        ($ty:ty) => {
            array.as_primitive::<$ty>().iter().map(|v| v.map(|v| v.to_be_bytes())).collect::<BinaryViewArray>()
        };
    }
    Ok(Arc::new(match from {
        SqlType::TinyInt => bytes!(Int8Type),
        SqlType::SmallInt => bytes!(Int16Type),
        SqlType::Int => bytes!(Int32Type),
        SqlType::BigInt => bytes!(Int64Type),
        other => return Err(Error::type_mismatch(format!("Cannot cast \"{other}\" to \"BINARY\"."))),
    }))
}

/// Text of all values, through one buffer.
fn to_text(array: &ArrayRef, c: &Conversion, from: &SqlType) -> Result<ArrayRef> {
    use std::fmt::Write;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    macro_rules! each {
        ($ty:ty, $write:expr) => {
            for value in array.as_primitive::<$ty>() {
                match value {
                    Some(value) => {
                        text.clear();
                        $write(&mut text, value);
                        builder.append_value(&text);
                    }
                    None => builder.append_null(),
                }
            }
        };
    }
    macro_rules! display {
        ($ty:ty) => {
            each!($ty, |text: &mut String, value| {
                let _ = write!(text, "{value}");
            })
        };
    }
    match from {
        SqlType::TinyInt => display!(Int8Type),
        SqlType::SmallInt => display!(Int16Type),
        SqlType::Int => display!(Int32Type),
        SqlType::BigInt => display!(Int64Type),
        SqlType::Date => each!(arrow::datatypes::Date32Type, write_date),
        SqlType::Timestamp => {
            each!(arrow::datatypes::TimestampMicrosecondType, |text: &mut String, v| write_datetime(
                text,
                c.zone.to_local(v)
            ));
        }
        _ => {
            for row in 0..array.len() {
                match Scalar::from_array(array, row, from)? {
                    Scalar::Null(_) => builder.append_null(),
                    value => {
                        text.clear();
                        write_scalar(&mut text, &value, c.zone);
                        builder.append_value(&text);
                    }
                }
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// A boolean array, one verdict per text.
fn text_to_boolean(array: &ArrayRef, c: &Conversion) -> Result<ArrayRef> {
    let input = array.as_string_view();
    let mut output = Vec::with_capacity(input.len());
    for text in input {
        let Some(text) = text else {
            output.push(None);
            continue;
        };
        let value = parse::boolean(text);
        if value.is_none() {
            c.fail(|| c.malformed(text))?;
        }
        output.push(value);
    }
    Ok(Arc::new(BooleanArray::from(output)))
}

/// The label of a decimal of `p` digits in 64 or 128 bits.
fn is_narrow(ty: &SqlType) -> bool {
    matches!(ty.arrow(), DataType::Decimal64(..))
}

#[cfg(test)]
mod tests;
