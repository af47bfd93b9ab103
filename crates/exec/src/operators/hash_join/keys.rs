//! Join keys as machine words.
//!
//! Rows are compared by one of three forms, the cheapest that holds all key columns:
//!
//! - one column of an integer-like type: its value as 64 bits, hashed as everywhere else;
//! - fixed-width columns of at most 64 or 128 bits together: packed side by side;
//! - anything else: Arrow's row encoding.
//!
//! A NULL in a null-safe column is part of the key (a bit of its own). A NULL in any other column makes the row
//! incomparable, which is kept beside the keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use arrow::row::{RowConverter, Rows, SortField};
use firesteel_common::hash::{combine, hash_bytes, hash_u64};
use firesteel_common::{Error, Result, SqlType, encoding};

/// Keys of some rows, by position.
pub(super) trait KeySlice {
    /// One key.
    type Key: Eq + ?Sized;
    fn at(&self, row: usize) -> &Self::Key;
    fn hash(key: &Self::Key) -> u64;
    fn len(&self) -> usize;
}

impl KeySlice for Vec<u64> {
    type Key = u64;

    #[inline]
    fn at(&self, row: usize) -> &u64 {
        &self[row]
    }

    #[inline]
    fn hash(key: &u64) -> u64 {
        hash_u64(*key)
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

impl KeySlice for Vec<u128> {
    type Key = u128;

    #[inline]
    fn at(&self, row: usize) -> &u128 {
        &self[row]
    }

    #[inline]
    fn hash(key: &u128) -> u64 {
        combine(hash_u64(*key as u64), hash_u64((*key >> 64) as u64))
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

impl KeySlice for Rows {
    type Key = [u8];

    #[inline]
    fn at(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }

    #[inline]
    fn hash(key: &[u8]) -> u64 {
        hash_bytes(key)
    }

    fn len(&self) -> usize {
        self.num_rows()
    }
}

/// Encoded rows of many batches.
#[derive(Debug, Default)]
pub(super) struct ByteKeys {
    ends: Vec<usize>,
    data: Vec<u8>,
}

impl KeySlice for ByteKeys {
    type Key = [u8];

    #[inline]
    fn at(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.data[start..self.ends[row]]
    }

    #[inline]
    fn hash(key: &[u8]) -> u64 {
        hash_bytes(key)
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Keys of a batch.
pub(super) enum Keys {
    Word(Vec<u64>),
    Wide(Vec<u128>),
    Bytes(Rows),
}

/// Keys of a batch and which of them can be equal to another at all.
pub(super) struct KeyBatch {
    pub(super) keys: Keys,
    /// Rows that are "NULL" here match nothing.
    pub(super) comparable: Option<NullBuffer>,
}

impl KeyBatch {
    pub(super) fn bytes(&self) -> usize {
        match &self.keys {
            Keys::Word(keys) => keys.len() * 8,
            Keys::Wide(keys) => keys.len() * 16,
            Keys::Bytes(rows) => rows.size(),
        }
    }
}

/// Keys of a whole build side.
#[derive(Debug)]
pub(super) enum BuildKeys {
    Word(Vec<u64>),
    Wide(Vec<u128>),
    Bytes(ByteKeys),
}

impl BuildKeys {
    /// The keys of all batches, in order.
    pub(super) fn concat<'a>(layout: &KeyLayout, batches: impl Iterator<Item = &'a KeyBatch>, rows: usize) -> Self {
        match layout.form {
            KeyForm::Integer | KeyForm::Packed { wide: false, .. } => {
                let mut all = Vec::with_capacity(rows);
                for batch in batches {
                    if let Keys::Word(keys) = &batch.keys {
                        all.extend_from_slice(keys);
                    }
                }
                BuildKeys::Word(all)
            }
            KeyForm::Packed { wide: true, .. } => {
                let mut all = Vec::with_capacity(rows);
                for batch in batches {
                    if let Keys::Wide(keys) = &batch.keys {
                        all.extend_from_slice(keys);
                    }
                }
                BuildKeys::Wide(all)
            }
            KeyForm::Bytes => {
                let mut all = ByteKeys { ends: Vec::with_capacity(rows), data: Vec::new() };
                for batch in batches {
                    if let Keys::Bytes(keys) = &batch.keys {
                        all.data.reserve(keys.size());
                        for row in keys {
                            all.data.extend_from_slice(row.data());
                            all.ends.push(all.data.len());
                        }
                    }
                }
                BuildKeys::Bytes(all)
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            BuildKeys::Word(keys) => keys.len() * 8,
            BuildKeys::Wide(keys) => keys.len() * 16,
            BuildKeys::Bytes(keys) => keys.ends.len() * 8 + keys.data.len(),
        }
    }
}

/// Place of a column in a packed key.
#[derive(Clone, Copy, Debug)]
struct Field {
    shift: u32,
    bits: u32,
    /// Bit that says NULL, for null-safe columns.
    null_shift: Option<u32>,
}

#[derive(Clone, Debug)]
enum KeyForm {
    Integer,
    Packed { fields: Vec<Field>, wide: bool },
    Bytes,
}

/// How the keys of a join are compared. Both sides have the same.
#[derive(Clone, Debug)]
pub(super) struct KeyLayout {
    types: Vec<SqlType>,
    null_safe: Vec<bool>,
    form: KeyForm,
}

/// Width of a type in a packed key.
fn bits_of(ty: &SqlType) -> Option<u32> {
    Some(match ty {
        SqlType::Boolean | SqlType::TinyInt => 8,
        SqlType::SmallInt => 16,
        SqlType::Int | SqlType::Date | SqlType::IntervalYearMonth | SqlType::Float => 32,
        SqlType::Decimal(p, _) if *p > 18 => 128,
        SqlType::BigInt
        | SqlType::Double
        | SqlType::Decimal(..)
        | SqlType::Timestamp
        | SqlType::TimestampNtz
        | SqlType::IntervalDayTime => 64,
        _ => return None,
    })
}

impl KeyLayout {
    /// For columns of `types`; `null_safe` where NULL equals NULL and may occur.
    pub(super) fn new(types: Vec<SqlType>, null_safe: Vec<bool>) -> Self {
        let form = Self::form(&types, &null_safe);
        Self { types, null_safe, form }
    }

    fn form(types: &[SqlType], null_safe: &[bool]) -> KeyForm {
        if let ([ty], [false]) = (types, null_safe)
            && !ty.is_float()
            && bits_of(ty).is_some_and(|bits| bits <= 64)
        {
            return KeyForm::Integer;
        }
        let mut shift = 0;
        let mut fields = Vec::new();
        for (ty, null_safe) in types.iter().zip(null_safe) {
            let Some(bits) = bits_of(ty) else { return KeyForm::Bytes };
            let null_shift = null_safe.then_some(shift + bits);
            fields.push(Field { shift, bits, null_shift });
            shift += bits + u32::from(*null_safe);
        }
        if shift > 128 { KeyForm::Bytes } else { KeyForm::Packed { fields, wide: shift > 64 } }
    }

    /// Whether keys are single integers.
    pub(super) fn is_integer(&self) -> bool {
        matches!(self.form, KeyForm::Integer)
    }

    /// Type of a key column.
    pub(super) fn ty(&self, index: usize) -> Option<&SqlType> {
        self.types.get(index)
    }

    /// Whether NULLs of a key column match each other.
    pub(super) fn is_null_safe(&self, index: usize) -> bool {
        self.null_safe.get(index).copied().unwrap_or(false)
    }

    /// The row encoder, if this layout needs one. One per task.
    pub(super) fn converter(&self) -> Result<Option<RowConverter>> {
        if !matches!(self.form, KeyForm::Bytes) {
            return Ok(None);
        }
        let fields = self.types.iter().map(|ty| SortField::new(ty.arrow())).collect();
        Ok(Some(RowConverter::new(fields)?))
    }

    /// The keys of rows whose key columns are `columns`.
    pub(super) fn extract(&self, columns: &[ArrayRef], converter: Option<&RowConverter>) -> Result<KeyBatch> {
        let mut comparable: Option<NullBuffer> = None;
        for (column, null_safe) in columns.iter().zip(&self.null_safe) {
            // The nulls of a dictionary may be in its values.
            if !null_safe && column.is_nullable() {
                comparable = NullBuffer::union(comparable.as_ref(), column.logical_nulls().as_ref());
            }
        }
        let keys = match (&self.form, columns) {
            (KeyForm::Integer, [column]) => Keys::Word(words(column, &self.types[0])?),
            (KeyForm::Packed { fields, wide: false }, _) => Keys::Word(self.pack(fields, columns)?),
            (KeyForm::Packed { fields, wide: true }, _) => Keys::Wide(self.pack_wide(fields, columns)?),
            (KeyForm::Bytes, _) => {
                let converter = converter.ok_or_else(|| Error::internal("join keys without a row encoder"))?;
                let canonical = columns.iter().zip(&self.types).map(|(c, ty)| comparable_form(c, ty));
                Keys::Bytes(converter.convert_columns(&canonical.collect::<Result<Vec<_>>>()?)?)
            }
            _ => return Err(Error::internal("join keys do not fit their layout")),
        };
        Ok(KeyBatch { keys, comparable: comparable.filter(|nulls| nulls.null_count() > 0) })
    }

    fn pack(&self, fields: &[Field], columns: &[ArrayRef]) -> Result<Vec<u64>> {
        let mut packed = vec![0u64; columns.first().map_or(0, |c| c.len())];
        for ((field, column), ty) in fields.iter().zip(columns).zip(&self.types) {
            let values = words(column, ty)?;
            let mask = u64::MAX >> (64 - field.bits);
            match field.null_shift.and_then(|shift| Some((shift, column.nulls()?))) {
                Some((null_shift, nulls)) => {
                    for (row, (slot, value)) in packed.iter_mut().zip(&values).enumerate() {
                        let valid = nulls.is_valid(row);
                        *slot |= if valid { (value & mask) << field.shift } else { 1 << null_shift };
                    }
                }
                None => {
                    packed.iter_mut().zip(&values).for_each(|(slot, value)| *slot |= (value & mask) << field.shift);
                }
            }
        }
        Ok(packed)
    }

    fn pack_wide(&self, fields: &[Field], columns: &[ArrayRef]) -> Result<Vec<u128>> {
        let mut packed = vec![0u128; columns.first().map_or(0, |c| c.len())];
        for ((field, column), ty) in fields.iter().zip(columns).zip(&self.types) {
            let nulls = field.null_shift.and_then(|shift| Some((shift, column.nulls()?)));
            let put = |row: usize, slot: &mut u128, value: u128| match nulls {
                Some((shift, nulls)) if nulls.is_null(row) => *slot |= 1 << shift,
                _ => *slot |= value << field.shift,
            };
            if field.bits == 128 {
                let column = encoding::canonical(column, ty)?;
                let values = column.as_primitive::<Decimal128Type>().values();
                packed.iter_mut().zip(values).enumerate().for_each(|(row, (slot, v))| put(row, slot, *v as u128));
            } else {
                let values = words(column, ty)?;
                let mask = u64::MAX >> (64 - field.bits);
                let each = packed.iter_mut().zip(&values).enumerate();
                each.for_each(|(row, (slot, v))| put(row, slot, u128::from(v & mask)));
            }
        }
        Ok(packed)
    }
}

/// Values of at most 64 bits, integers with their sign. Where the value is NULL, anything.
fn words(column: &ArrayRef, ty: &SqlType) -> Result<Vec<u64>> {
    fn integers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Vec<u64>
    where
        i64: From<T::Native>,
    {
        array.as_primitive::<T>().values().iter().map(|v| i64::from(*v) as u64).collect()
    }
    let column = encoding::canonical(column, ty)?;
    Ok(match column.data_type() {
        DataType::Boolean => column.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => integers::<Int8Type>(&column),
        DataType::Int16 => integers::<Int16Type>(&column),
        DataType::Int32 => integers::<Int32Type>(&column),
        DataType::Int64 => integers::<Int64Type>(&column),
        DataType::Decimal64(..) => integers::<Decimal64Type>(&column),
        DataType::Date32 => integers::<Date32Type>(&column),
        DataType::Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(&column),
        DataType::Interval(IntervalUnit::YearMonth) => integers::<IntervalYearMonthType>(&column),
        DataType::Duration(TimeUnit::Microsecond) => integers::<DurationMicrosecondType>(&column),
        DataType::Float32 => {
            column.as_primitive::<Float32Type>().values().iter().map(|v| u64::from(unify32(*v).to_bits())).collect()
        }
        DataType::Float64 => {
            column.as_primitive::<Float64Type>().values().iter().map(|v| unify64(*v).to_bits()).collect()
        }
        other => return Err(Error::internal(format!("a join key of type {other} is not a word"))),
    })
}

/// -0.0 equals 0.0, and every NaN every other.
fn unify64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn unify32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

/// The canonical encoding, in which equal values have equal bytes.
fn comparable_form(column: &ArrayRef, ty: &SqlType) -> Result<ArrayRef> {
    let column = encoding::canonical(column, ty)?;
    Ok(match column.data_type() {
        DataType::Float32 => {
            let unified: PrimitiveArray<Float32Type> = column.as_primitive::<Float32Type>().unary(unify32);
            Arc::new(unified)
        }
        DataType::Float64 => {
            let unified: PrimitiveArray<Float64Type> = column.as_primitive::<Float64Type>().unary(unify64);
            Arc::new(unified)
        }
        _ => column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array};

    #[test]
    fn two_ints_are_one_word() {
        let layout = KeyLayout::new(vec![SqlType::Int, SqlType::Int], vec![false, false]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![Some(-1), None])), Arc::new(Int32Array::from(vec![2, 3]))];
        let batch = layout.extract(&columns, None).unwrap();
        let Keys::Word(words) = &batch.keys else { panic!("not packed") };
        assert_eq!(words[0], 2 << 32 | 0xFFFF_FFFF);
        assert!(batch.comparable.unwrap().is_null(1));
    }

    #[test]
    fn a_null_of_a_null_safe_key_differs_from_every_value() {
        let layout = KeyLayout::new(vec![SqlType::Int], vec![true]);
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![Some(0), None, Some(-1)]))];
        let batch = layout.extract(&columns, None).unwrap();
        assert!(batch.comparable.is_none());
        let Keys::Word(words) = &batch.keys else { panic!("not packed") };
        assert_eq!(words, &[0, 1 << 32, 0xFFFF_FFFF]);
    }

    #[test]
    fn zeros_and_nans_are_unified() {
        let layout = KeyLayout::new(vec![SqlType::Double], vec![false]);
        let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]))];
        let Keys::Word(words) = layout.extract(&columns, None).unwrap().keys else { panic!("not packed") };
        assert_eq!(words[0], words[1]);
        assert_eq!(words[2], words[3]);
    }
}
