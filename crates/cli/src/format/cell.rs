//! Cells of a column as text, written into a buffer without a `String` per cell.
//!
//! The text is that of CAST to STRING, the same as [`firesteel::display::cells`] gives; types without a fast way here
//! are rendered by that function, a column at a time. Bytes are no text, so they are shown in
//! hexadecimal digits.

use std::io::Write;
use std::sync::Arc;

use firesteel::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, PrimitiveArray, RecordBatch, StringViewArray,
};
use firesteel::arrow::buffer::NullBuffer;
use firesteel::arrow::datatypes::{
    DataType, Date32Type, Decimal64Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use firesteel::{Result, display};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The cells of one column of a batch.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal64(&'a PrimitiveArray<Decimal64Type>, u32),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, u32),
    String(&'a StringViewArray),
    Date(&'a PrimitiveArray<Date32Type>),
    /// Microseconds of the wall clock that is shown.
    DateTime(&'a PrimitiveArray<TimestampMicrosecondType>),
    Bytes(&'a BinaryViewArray),
    Text(Vec<Option<String>>),
}

/// What the text of a column needs in formats that tell types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Exact numbers.
    Number,
    /// Floats, which may be `NaN` or infinite.
    Float,
    /// `true` or `false`.
    Boolean,
    /// Digits and signs: needs no escapes.
    Plain,
    /// Anything.
    Text,
}

/// The kind of a type.
pub(crate) fn kind_of(ty: &DataType) -> Kind {
    match ty {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Kind::Number,
        DataType::Decimal64(..) | DataType::Decimal128(..) => Kind::Number,
        DataType::Float32 | DataType::Float64 => Kind::Float,
        DataType::Boolean => Kind::Boolean,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Null => Kind::Plain,
        _ => Kind::Text,
    }
}

impl<'a> Cells<'a> {
    /// The cells of `column`, with timestamps shown in `zone`.
    pub(crate) fn of(column: &'a ArrayRef, zone: &str) -> Result<Self> {
        let values = match column.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(column.as_boolean()),
            DataType::Int8 => Values::Int8(column.as_primitive()),
            DataType::Int16 => Values::Int16(column.as_primitive()),
            DataType::Int32 => Values::Int32(column.as_primitive()),
            DataType::Int64 => Values::Int64(column.as_primitive()),
            DataType::Float32 => Values::Float(column.as_primitive()),
            DataType::Float64 => Values::Double(column.as_primitive()),
            DataType::Decimal64(_, scale) if *scale >= 0 => Values::Decimal64(column.as_primitive(), *scale as u32),
            DataType::Decimal128(_, scale) if *scale >= 0 => Values::Decimal128(column.as_primitive(), *scale as u32),
            DataType::Utf8View => Values::String(column.as_string_view()),
            DataType::BinaryView => Values::Bytes(column.as_binary_view()),
            DataType::Date32 => Values::Date(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Values::DateTime(column.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) if zone.eq_ignore_ascii_case("UTC") => {
                Values::DateTime(column.as_primitive())
            }
            _ => Values::Text(rendered(column, zone)?),
        };
        Ok(Self { nulls: column.nulls(), values })
    }

    /// Whether the cell is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the text of a cell that is not NULL.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Null => {}
            Values::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Values::Int8(array) => write_integer(i64::from(array.value(row)), out),
            Values::Int16(array) => write_integer(i64::from(array.value(row)), out),
            Values::Int32(array) => write_integer(i64::from(array.value(row)), out),
            Values::Int64(array) => write_integer(array.value(row), out),
            Values::Float(array) => write_float(array.value(row), f64::from(array.value(row)), out),
            Values::Double(array) => write_float(array.value(row), array.value(row), out),
            Values::Decimal64(array, scale) => write_decimal(i128::from(array.value(row)), *scale, out),
            Values::Decimal128(array, scale) => write_decimal(array.value(row), *scale, out),
            Values::String(array) => out.extend_from_slice(array.value(row).as_bytes()),
            // Writing into a vector cannot fail.
            Values::Bytes(array) => array.value(row).iter().for_each(|byte| {
                let _ = write!(out, "{byte:02X}");
            }),
            Values::Date(array) => write_date(i64::from(array.value(row)), out),
            Values::DateTime(array) => write_datetime(array.value(row), out),
            Values::Text(cells) => {
                if let Some(Some(text)) = cells.get(row) {
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// The cells of each column of a batch.
pub(crate) fn columns<'a>(batch: &'a RecordBatch, zone: &str) -> Result<Vec<Cells<'a>>> {
    batch.columns().iter().map(|column| Cells::of(column, zone)).collect()
}

fn rendered(column: &ArrayRef, zone: &str) -> Result<Vec<Option<String>>> {
    let schema = Schema::new(vec![Field::new("", column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column.clone()])?;
    let rows = display::cells(&batch, zone)?;
    Ok(rows.into_iter().map(|row| row.into_iter().next().flatten()).collect())
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_digits(value.unsigned_abs(), 1, out);
}

/// Appends decimal digits, with zeros in front up to `width`.
fn write_digits(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_decimal(value: i128, scale: u32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs();
    match (u64::try_from(value), 10u64.checked_pow(scale)) {
        (Ok(value), Some(unit)) => {
            write_digits(value / unit, 1, out);
            if scale > 0 {
                out.push(b'.');
                write_digits(value % unit, scale as usize, out);
            }
        }
        _ => {
            let digits = format!("{value:0width$}", width = scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
            out.extend_from_slice(whole.as_bytes());
            if scale > 0 {
                out.push(b'.');
                out.extend_from_slice(fraction.as_bytes());
            }
        }
    }
}

/// Java's text of a float: digits with a point from 0.001 to 10 million, `1.0E10` outside. `shortest` is the value in
/// its own width, since the shortest digits depend on it.
fn write_float<T: std::fmt::Display + std::fmt::LowerExp>(shortest: T, value: f64, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing into a vector cannot fail.
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        let _ = write!(out, "{shortest}");
        if !out[start..].contains(&b'.') {
            out.extend_from_slice(b".0");
        }
    } else {
        let _ = write!(out, "{shortest:e}");
        if let Some(e) = out[start..].iter().position(|b| *b == b'e') {
            let point: &[u8] = if out[start..].contains(&b'.') { b"E" } else { b".0E" };
            out.splice(start + e..=start + e, point.iter().copied());
        }
    }
}

fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        // The way chrono writes years outside of four digits.
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    write_digits(year.unsigned_abs(), 4, out);
    out.push(b'-');
    write_digits(month, 2, out);
    out.push(b'-');
    write_digits(day, 2, out);
}

fn write_datetime(micros: i64, out: &mut Vec<u8>) {
    write_date(micros.div_euclid(MICROS_PER_DAY), out);
    let of_day = micros.rem_euclid(MICROS_PER_DAY) as u64;
    let (seconds, mut fraction) = (of_day / MICROS_PER_SECOND as u64, of_day % MICROS_PER_SECOND as u64);
    for (separator, value) in [(b' ', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(separator);
        write_digits(value, 2, out);
    }
    if fraction > 0 {
        let mut width = 6;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        out.push(b'.');
        write_digits(fraction, width, out);
    }
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar: eras of 400 years have 146,097
/// days, and years that start in March have their leap day at the end.
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel::arrow::array::{
        Date32Array, Decimal64Array, Decimal128Array, Float32Array, Float64Array, Int64Array, TimestampMicrosecondArray,
    };

    #[test]
    fn text_is_that_of_the_engine() {
        let floats =
            [0.0, -0.0, 1.0, 0.1, 1e7, 9_999_999.0, 0.001, 1e-4, 1.5e300, f64::NAN, f64::NEG_INFINITY, -123.456];
        let days = [0, -1, 59, 11_016, -719_528, 2_932_896, -25_567];
        let micros = [0, 1, -1, 1_500_000, 951_782_400_123_000, -62_135_596_800_000_000];
        let wide = [0, -1, 12_345, 99_999_999_999_999_999_999_999_999_999_i128, -100];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![0, -1, i64::MIN, i64::MAX, 10, 100])),
            Arc::new(Float64Array::from(floats.to_vec())),
            Arc::new(Float32Array::from(floats.iter().map(|f| *f as f32).collect::<Vec<_>>())),
            Arc::new(Date32Array::from(days.to_vec())),
            Arc::new(TimestampMicrosecondArray::from(micros.to_vec())),
            Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC")),
            Arc::new(Decimal64Array::from(vec![0, -5, 12_345, i64::MAX]).with_data_type(DataType::Decimal64(18, 2))),
            Arc::new(Decimal64Array::from(vec![0, -5]).with_data_type(DataType::Decimal64(5, 0))),
            Arc::new(Decimal128Array::from(wide.to_vec()).with_data_type(DataType::Decimal128(38, 20))),
            Arc::new(Decimal128Array::from(wide.to_vec()).with_data_type(DataType::Decimal128(30, 4))),
        ];
        for column in &columns {
            let cells = Cells::of(column, "UTC").unwrap();
            for (row, expected) in rendered(column, "UTC").unwrap().into_iter().enumerate() {
                let mut text = Vec::new();
                cells.write(row, &mut text);
                assert_eq!(String::from_utf8(text).ok(), expected, "{}", column.data_type());
            }
        }
    }
}
