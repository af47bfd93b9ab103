//! Runtime filters from the keys of a build side.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use firesteel_catalog::RuntimeFilter;
use firesteel_catalog::runtime_filter::{bloom_block, bloom_mask};
use firesteel_common::hash::{hash_columns, hash_u64};
use firesteel_common::{Result, SqlType};

/// A filter of more rows than this costs more than it saves.
pub(super) const MAX_ROWS: usize = 64 << 20;
/// Greatest span of an exact filter.
const MAX_BITS: u64 = 1 << 27;
/// Bytes that an exact filter may always have.
const SMALL_BYTES: u64 = 1 << 20;
/// Bytes per row that an exact filter may have.
const BYTES_PER_ROW: u64 = 32;

/// Types whose filters are asked by value. Keep in step with `RuntimeFilter::select`.
pub(super) fn is_integer(ty: &SqlType) -> bool {
    ty.is_integer() || matches!(ty, SqlType::Date) || matches!(ty, SqlType::Decimal(p, _) if *p <= 18)
}

fn nothing(integer: bool) -> RuntimeFilter {
    RuntimeFilter::Bloom { bounds: integer.then_some((1, 0)), blocks: Arc::from([0u64]) }
}

/// Whether to have a bit for each value of a range.
fn is_narrow((min, max): (i64, i64), rows: usize) -> bool {
    let span = max.abs_diff(min);
    span < MAX_BITS && span / 8 <= SMALL_BYTES.max(BYTES_PER_ROW * rows as u64)
}

struct Bits {
    min: i64,
    max: i64,
    bits: Vec<u64>,
}

impl Bits {
    fn new((min, max): (i64, i64)) -> Self {
        Self { min, max, bits: vec![0; (max.abs_diff(min) / 64 + 1) as usize] }
    }

    #[inline]
    fn add(&mut self, value: i64) {
        let offset = value.wrapping_sub(self.min) as u64;
        self.bits[(offset / 64) as usize] |= 1 << (offset % 64);
    }

    fn finish(self) -> RuntimeFilter {
        RuntimeFilter::Bitmap { min: self.min, max: self.max, bits: Arc::from(self.bits) }
    }
}

/// At least 16 bits per key.
struct Bloom(Vec<u64>);

impl Bloom {
    fn new(rows: usize) -> Self {
        Self(vec![0; (rows / 4).max(1).next_power_of_two()])
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        let block = bloom_block(hash, self.0.len());
        self.0[block] |= bloom_mask(hash);
    }

    fn finish(self, bounds: Option<(i64, i64)>) -> RuntimeFilter {
        RuntimeFilter::Bloom { bounds, blocks: Arc::from(self.0) }
    }
}

/// The filter of integers held as words, of which `comparable` says which count.
pub(super) fn of_integers(keys: &[u64], comparable: Option<&NullBuffer>, range: Option<(i64, i64)>) -> RuntimeFilter {
    let Some(range) = range else { return nothing(true) };
    let values = |add: &mut dyn FnMut(&u64)| match comparable {
        Some(nulls) => nulls.valid_indices().for_each(|row| add(&keys[row])),
        None => keys.iter().for_each(add),
    };
    if is_narrow(range, keys.len()) {
        let mut bits = Bits::new(range);
        values(&mut |key| bits.add(*key as i64));
        return bits.finish();
    }
    let mut bloom = Bloom::new(keys.len());
    values(&mut |key| bloom.add(hash_u64(*key)));
    bloom.finish(Some(range))
}

/// The filter of the values of `columns`, canonical arrays of type `ty`.
pub fn of_columns(columns: &[ArrayRef], ty: &SqlType) -> Result<RuntimeFilter> {
    if is_integer(ty) {
        let mut values = Vec::new();
        columns.iter().for_each(|column| integers(column, &mut values));
        let range = values.iter().map(|v| *v as i64).fold(None, widen);
        return Ok(of_integers(&values, None, range));
    }
    let rows = columns.iter().map(|c| c.len() - c.logical_null_count()).sum();
    if rows == 0 {
        return Ok(nothing(false));
    }
    let mut bloom = Bloom::new(rows);
    let mut hashes = Vec::new();
    for column in columns {
        hash_columns(std::slice::from_ref(column), column.len(), &mut hashes)?;
        let valid = |row: usize| column.is_valid(row);
        hashes.iter().enumerate().filter(|(row, _)| valid(*row)).for_each(|(_, hash)| bloom.add(*hash));
    }
    Ok(bloom.finish(None))
}

/// The range with one more value.
pub(super) fn widen(range: Option<(i64, i64)>, value: i64) -> Option<(i64, i64)> {
    Some(range.map_or((value, value), |(min, max)| (min.min(value), max.max(value))))
}

/// Appends the values that are not NULL.
fn integers(column: &ArrayRef, out: &mut Vec<u64>) {
    macro_rules! values {
        ($ty:ty) => {
            out.extend(column.as_primitive::<$ty>().iter().flatten().map(|v| i64::from(v) as u64))
        };
    }
    match column.data_type() {
        DataType::Int8 => values!(Int8Type),
        DataType::Int16 => values!(Int16Type),
        DataType::Int32 => values!(Int32Type),
        DataType::Int64 => values!(Int64Type),
        DataType::Date32 => values!(Date32Type),
        DataType::Decimal64(..) => values!(Decimal64Type),
        // `is_integer` admits no other canonical type.
        _ => {}
    }
}
