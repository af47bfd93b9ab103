//! Loops over the rows that count, and the arrays that states become.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal64Array, Decimal128Array, PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type, Float64Type};
use firesteel_common::{Error, Result, SqlType};

/// The rows that are not NULL and that `filter` admits; `None` if all are.
pub(crate) fn live(array: Option<&dyn Array>, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let nulls = array.and_then(Array::logical_nulls).filter(|n| n.null_count() > 0).map(NullBuffer::into_inner);
    let filter = filter.map(|f| match f.nulls() {
        Some(nulls) => f.values() & nulls.inner(),
        None => f.values().clone(),
    });
    match (nulls, filter) {
        (Some(a), Some(b)) => Some(&a & &b),
        (a, b) => a.or(b),
    }
}

/// Calls `f` with the group and the value of each live row.
#[inline(always)]
pub(crate) fn for_each<T: Copy>(
    groups: &[u32],
    values: &[T],
    live: Option<&BooleanBuffer>,
    mut f: impl FnMut(usize, T),
) {
    match live {
        None => groups.iter().zip(values).for_each(|(group, value)| f(*group as usize, *value)),
        Some(live) => live.set_indices().for_each(|row| f(groups[row] as usize, values[row])),
    }
}

/// Calls `f` with the group and the number of each live row.
#[inline(always)]
pub(crate) fn for_each_row(groups: &[u32], live: Option<&BooleanBuffer>, mut f: impl FnMut(usize, usize)) {
    match live {
        None => groups.iter().enumerate().for_each(|(row, group)| f(*group as usize, row)),
        Some(live) => live.set_indices().for_each(|row| f(groups[row] as usize, row)),
    }
}

/// An argument, by position.
pub(crate) fn arg(args: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    args.get(index).ok_or_else(|| Error::internal(format!("aggregate without argument {index}")))
}

/// Runs `$body` with `$values` bound to the native slice of a numeric array.
macro_rules! numeric_values {
    ($array:expr, $values:ident => $body:expr) => {{
        use arrow::array::AsArray as _;
        use arrow::datatypes::*;
        match $array.data_type() {
            DataType::Int8 => {
                let $values = $array.as_primitive::<Int8Type>().values().as_ref();
                $body
            }
            DataType::Int16 => {
                let $values = $array.as_primitive::<Int16Type>().values().as_ref();
                $body
            }
            DataType::Int32 => {
                let $values = $array.as_primitive::<Int32Type>().values().as_ref();
                $body
            }
            DataType::Int64 => {
                let $values = $array.as_primitive::<Int64Type>().values().as_ref();
                $body
            }
            DataType::Float32 => {
                let $values = $array.as_primitive::<Float32Type>().values().as_ref();
                $body
            }
            DataType::Float64 => {
                let $values = $array.as_primitive::<Float64Type>().values().as_ref();
                $body
            }
            DataType::Decimal64(..) => {
                let $values = $array.as_primitive::<Decimal64Type>().values().as_ref();
                $body
            }
            DataType::Decimal128(..) => {
                let $values = $array.as_primitive::<Decimal128Type>().values().as_ref();
                $body
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                let $values = $array.as_primitive::<IntervalYearMonthType>().values().as_ref();
                $body
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                let $values = $array.as_primitive::<DurationMicrosecondType>().values().as_ref();
                $body
            }
            other => return Err(firesteel_common::Error::internal(format!("numbers expected, found {other}"))),
        }
    }};
}
pub(crate) use numeric_values;

/// The primitive array of a state column.
pub(crate) fn primitive<T: ArrowPrimitiveType>(states: &[ArrayRef], index: usize) -> Result<&PrimitiveArray<T>> {
    arg(states, index)?
        .as_primitive_opt::<T>()
        .ok_or_else(|| Error::internal(format!("state column {index} has an unexpected type")))
}

/// The doubles of a state column.
pub(crate) fn doubles(states: &[ArrayRef], index: usize) -> Result<&[f64]> {
    Ok(primitive::<Float64Type>(states, index)?.values())
}

/// Nulls where `seen` is false; `None` if there are none.
pub(crate) fn nulls_of(seen: &[bool]) -> Option<NullBuffer> {
    if seen.iter().all(|s| *s) { None } else { Some(NullBuffer::from(seen)) }
}

/// An array of `values`, NULL where `seen` is false, as `ty`, which must have `T`'s layout.
pub(crate) fn array_of<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    ty: &SqlType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(ty.arrow()))
}

/// A DECIMAL column in its canonical encoding; the values fit.
pub(crate) fn decimals(values: Vec<i128>, nulls: Option<NullBuffer>, ty: &SqlType) -> ArrayRef {
    match ty.arrow() {
        DataType::Decimal64(..) => {
            let narrow: Vec<i64> = values.into_iter().map(|v| v as i64).collect();
            let array: Decimal64Array = PrimitiveArray::<Decimal64Type>::new(narrow.into(), nulls);
            Arc::new(array.with_data_type(ty.arrow()))
        }
        arrow => {
            let array: Decimal128Array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
            Arc::new(array.with_data_type(arrow))
        }
    }
}
