//! From decoded values to Arrow arrays: values moved to their rows, the Arrow type of a SQL type, and
//! strings of consecutive pages put together.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use bytes::Bytes;
use firesteel_common::SqlType;

use super::dictionary::Dictionary;
use super::native::{Damage, read_codes};
use super::rle::{RleDecoder, Truncated};
use super::views::{Views, dictionary_array};

/// Longest dictionary of strings that is passed on as such.
const MAX_DICTIONARY: usize = 1_024;

/// Moves the values after `before` apart, so that each stands at its valid row of `n`.
pub(super) fn spread<T: Copy + Default>(out: &mut Vec<T>, before: usize, n: usize, validity: &NullBuffer) {
    let values = out.split_off(before);
    let mut next = 0;
    // Without a branch on the bit, which nothing predicts.
    out.extend(validity.iter().take(n).map(|valid| {
        let value = values.get(next).copied().unwrap_or_default();
        next += usize::from(valid);
        if valid { value } else { T::default() }
    }));
}

/// As [`spread`], if there are NULLs among the `n` rows, which `nulls` takes note of.
pub(super) fn spread_rows<T: Copy + Default>(
    out: &mut Vec<T>,
    before: usize,
    n: usize,
    validity: Option<&NullBuffer>,
    nulls: &mut NullBufferBuilder,
) {
    match validity {
        Some(validity) => {
            spread(out, before, n, validity);
            nulls.append_buffer(validity);
        }
        None => nulls.append_n_non_nulls(n),
    }
}

pub(super) fn floats<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Damage> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
}

pub(super) fn integers32(values: Vec<i32>, nulls: Option<NullBuffer>, ty: &SqlType) -> ArrayRef {
    let array = Int32Array::new(values.into(), nulls);
    match ty {
        SqlType::TinyInt => Arc::new(array.unary::<_, Int8Type>(|v| v as i8)),
        SqlType::SmallInt => Arc::new(array.unary::<_, Int16Type>(|v| v as i16)),
        SqlType::Date => Arc::new(array.reinterpret_cast::<Date32Type>()),
        SqlType::Decimal(..) => Arc::new(array.unary::<_, Decimal64Type>(i64::from).with_data_type(ty.arrow())),
        _ => Arc::new(array),
    }
}

pub(super) fn integers64(values: Vec<i64>, nulls: Option<NullBuffer>, ty: &SqlType) -> ArrayRef {
    let array = Int64Array::new(values.into(), nulls);
    match ty {
        SqlType::Decimal(..) => Arc::new(array.reinterpret_cast::<Decimal64Type>().with_data_type(ty.arrow())),
        SqlType::Timestamp | SqlType::TimestampNtz => {
            Arc::new(array.reinterpret_cast::<TimestampMicrosecondType>().with_data_type(ty.arrow()))
        }
        _ => Arc::new(array),
    }
}

/// Codes of consecutive pages.
#[derive(Default)]
pub(super) struct CodedPiece {
    keys: Vec<u32>,
    nulls: Option<NullBufferBuilder>,
}

impl CodedPiece {
    /// Takes `present` codes, which are to be below `length`, for `rows` rows.
    pub(super) fn append(
        &mut self,
        decoder: &mut RleDecoder,
        present: usize,
        length: usize,
        rows: usize,
        validity: Option<&NullBuffer>,
    ) -> Result<(), Damage> {
        let before = self.keys.len();
        self.keys.resize(before + present, 0);
        read_codes(decoder, &mut self.keys[before..], length)?;
        let nulls = self.nulls.get_or_insert_with(|| NullBufferBuilder::new(rows));
        spread_rows(&mut self.keys, before, rows, validity, nulls);
        Ok(())
    }

    pub(super) fn finish(&mut self, dictionary: Option<&Arc<Dictionary>>) -> Result<Option<ArrayRef>, Damage> {
        let Some(mut nulls) = self.nulls.take() else { return Ok(None) };
        let keys = std::mem::take(&mut self.keys);
        let Some(Dictionary::Bytes(values)) = dictionary.map(|d| &**d) else { return Err(Truncated.into()) };
        Ok(Some(coded_strings(keys, nulls.finish(), values)?))
    }
}

/// The strings that codes stand for: as a dictionary if it is short.
pub(super) fn coded_strings(codes: Vec<u32>, nulls: Option<NullBuffer>, values: &ArrayRef) -> Result<ArrayRef, Damage> {
    if values.is_empty() {
        // All rows are NULL. Kernels that look at the values of a dictionary expect one at least.
        return Ok(new_null_array(values.data_type(), codes.len()));
    }
    if values.len() > MAX_DICTIONARY {
        let codes = UInt32Array::try_new(codes.into(), nulls)?;
        return Ok(arrow::compute::take(values, &codes, None)?);
    }
    Ok(dictionary_array(codes, nulls, values)?)
}

/// Plain strings of consecutive pages: views of the pages' bytes.
pub(super) struct PlainPiece {
    views: Views,
    nulls: Option<NullBufferBuilder>,
}

impl PlainPiece {
    pub(super) fn new(text: bool) -> Self {
        Self { views: Views::new(text), nulls: None }
    }

    /// Takes `present` values off the front of `bytes`, for `rows` rows.
    pub(super) fn append(
        &mut self,
        bytes: &mut Bytes,
        rows: usize,
        present: usize,
        validity: Option<&NullBuffer>,
    ) -> Result<(), Damage> {
        let before = self.views.len();
        self.views.append(bytes, present)?;
        let nulls = self.nulls.get_or_insert_with(|| NullBufferBuilder::new(rows));
        match validity {
            Some(validity) => {
                self.views.spread(before, rows, validity);
                nulls.append_buffer(validity);
            }
            None => nulls.append_n_non_nulls(rows),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Option<ArrayRef>, Damage> {
        let Some(mut nulls) = self.nulls.take() else { return Ok(None) };
        Ok(Some(self.views.finish(nulls.finish())?))
    }
}
