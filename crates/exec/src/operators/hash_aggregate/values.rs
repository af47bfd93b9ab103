//! Key values as bits, and back: one place that knows the Arrow type of each fixed-width key.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use firesteel_common::{Error, Result, SqlType, encoding};

/// Bits of a value of `ty`; `None` for strings and binaries.
pub(super) fn fixed_bits(ty: &SqlType) -> Option<u32> {
    Some(match ty {
        SqlType::Void => 0,
        SqlType::Boolean => 1,
        SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Binary => return None,
        other => match other.arrow().primitive_width() {
            Some(bytes) => bytes as u32 * 8,
            None => return None,
        },
    })
}

/// `column` in the canonical encoding, with floats that are equal in SQL made equal in bits.
pub(crate) fn normalised(column: &ArrayRef, ty: &SqlType) -> Result<ArrayRef> {
    let column = encoding::canonical(column, ty)?;
    Ok(match ty {
        SqlType::Float => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        SqlType::Double => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        _ => column,
    })
}

/// Calls `f` with the position and the bits of each value of a fixed-width column that is not NULL.
#[inline]
pub(super) fn for_each_bits(column: &ArrayRef, mut f: impl FnMut(usize, u128)) -> Result<()> {
    macro_rules! visit {
        ($ty:ty, $bits:expr) => {{
            let array = column.as_primitive::<$ty>();
            match array.nulls() {
                None => array.values().iter().enumerate().for_each(|(row, v)| f(row, $bits(*v))),
                Some(nulls) => nulls.valid_indices().for_each(|row| f(row, $bits(array.value(row)))),
            }
        }};
    }
    match column.data_type() {
        DataType::Null => {}
        DataType::Boolean => {
            let array = column.as_boolean();
            (0..array.len()).filter(|row| array.is_valid(*row)).for_each(|row| f(row, u128::from(array.value(row))));
        }
        DataType::Int8 => visit!(Int8Type, |v: i8| u128::from(v as u8)),
        DataType::Int16 => visit!(Int16Type, |v: i16| u128::from(v as u16)),
        DataType::Int32 => visit!(Int32Type, |v: i32| u128::from(v as u32)),
        DataType::Int64 => visit!(Int64Type, |v: i64| u128::from(v as u64)),
        DataType::Float32 => visit!(Float32Type, |v: f32| u128::from(v.to_bits())),
        DataType::Float64 => visit!(Float64Type, |v: f64| u128::from(v.to_bits())),
        DataType::Decimal64(..) => visit!(Decimal64Type, |v: i64| u128::from(v as u64)),
        DataType::Decimal128(..) => visit!(Decimal128Type, |v: i128| v as u128),
        DataType::Date32 => visit!(Date32Type, |v: i32| u128::from(v as u32)),
        DataType::Timestamp(..) => visit!(TimestampMicrosecondType, |v: i64| u128::from(v as u64)),
        DataType::Interval(_) => visit!(IntervalYearMonthType, |v: i32| u128::from(v as u32)),
        DataType::Duration(_) => visit!(DurationMicrosecondType, |v: i64| u128::from(v as u64)),
        other => return Err(Error::internal(format!("{other} has no fixed width"))),
    }
    Ok(())
}

/// The fixed-width column of `ty` that has these bits.
pub(super) fn from_bits(ty: &SqlType, bits: impl Iterator<Item = Option<u128>>) -> Result<ArrayRef> {
    macro_rules! build {
        ($ty:ty, $value:expr) => {{
            let array: PrimitiveArray<$ty> = bits.map(|b| b.map($value)).collect();
            Arc::new(array.with_data_type(ty.arrow())) as ArrayRef
        }};
    }
    Ok(match ty.arrow() {
        DataType::Null => Arc::new(NullArray::new(bits.count())),
        DataType::Boolean => Arc::new(bits.map(|b| b.map(|b| b != 0)).collect::<BooleanArray>()),
        DataType::Int8 => build!(Int8Type, |b| b as i8),
        DataType::Int16 => build!(Int16Type, |b| b as i16),
        DataType::Int32 => build!(Int32Type, |b| b as i32),
        DataType::Int64 => build!(Int64Type, |b| b as i64),
        DataType::Float32 => build!(Float32Type, |b| f32::from_bits(b as u32)),
        DataType::Float64 => build!(Float64Type, |b| f64::from_bits(b as u64)),
        DataType::Decimal64(..) => build!(Decimal64Type, |b| b as i64),
        DataType::Decimal128(..) => build!(Decimal128Type, |b| b as i128),
        DataType::Date32 => build!(Date32Type, |b| b as i32),
        DataType::Timestamp(..) => build!(TimestampMicrosecondType, |b| b as i64),
        DataType::Interval(_) => build!(IntervalYearMonthType, |b| b as i32),
        DataType::Duration(_) => build!(DurationMicrosecondType, |b| b as i64),
        other => return Err(Error::internal(format!("{other} has no fixed width"))),
    })
}

/// The string or binary column of `ty` that has these bytes.
pub(super) fn from_bytes<'a>(ty: &SqlType, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
    // Equal keys do not repeat within a column often enough for deduplication to pay.
    let mut builder = BinaryViewBuilder::new();
    values.for_each(|value| builder.append_option(value));
    let array = builder.finish();
    Ok(if *ty == SqlType::Binary { Arc::new(array) } else { Arc::new(array.to_string_view()?) })
}
