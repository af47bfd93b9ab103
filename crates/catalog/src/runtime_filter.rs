//! Filters that a finished build side makes for scans that still run.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use firesteel_common::hash::hash_columns;
use firesteel_common::select::{BitmapKey, bit, passing, rows_by_bit};
use firesteel_common::{FilterId, Result, Selection};

/// A set of key values that may find a partner. It may let others pass (`Bloom`), never keeps a
/// member out, and keeps NULL out.
#[derive(Clone, Debug)]
pub enum RuntimeFilter {
    /// Exact: bit `v - min` is set for each integer value `v`. For integers, dates, decimals that fit 64 bits.
    Bitmap {
        /// Value of bit 0.
        min: i64,
        /// Greatest value.
        max: i64,
        /// The bits.
        bits: Arc<[u64]>,
    },
    /// Bits at two hashes of the value per 64-bit block; also the bounds of integer keys.
    Bloom {
        /// Least and greatest value, where the key is an integer.
        bounds: Option<(i64, i64)>,
        /// Blocks; the number is a power of two.
        blocks: Arc<[u64]>,
    },
}

/// Bits of a block that a hash sets: four, by its low bits.
#[inline]
pub fn bloom_mask(hash: u64) -> u64 {
    (1 << (hash & 63)) | (1 << (hash >> 6 & 63)) | (1 << (hash >> 12 & 63)) | (1 << (hash >> 18 & 63))
}

/// Block of a hash, by its upper bits.
#[inline]
pub fn bloom_block(hash: u64, blocks: usize) -> usize {
    (hash >> 32) as usize & (blocks - 1)
}

impl RuntimeFilter {
    /// Bounds of the values that pass, for keys that are integers.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            RuntimeFilter::Bitmap { min, max, .. } => Some((*min, *max)),
            RuntimeFilter::Bloom { bounds, .. } => *bounds,
        }
    }

    /// Whether an integer may pass.
    #[inline]
    pub fn may_contain_integer(&self, value: i64) -> bool {
        match self {
            RuntimeFilter::Bitmap { min, bits, .. } => bit(bits, *min, value),
            RuntimeFilter::Bloom { bounds, blocks } => {
                if bounds.is_some_and(|(min, max)| value < min || value > max) {
                    return false;
                }
                let hash = firesteel_common::hash::hash_u64(value as u64);
                let mask = bloom_mask(hash);
                blocks[bloom_block(hash, blocks.len())] & mask == mask
            }
        }
    }

    /// The rows of `keys` that may pass.
    pub fn select(&self, keys: &ArrayRef) -> Result<Selection> {
        macro_rules! integers {
            ($ty:ty) => {{
                let array = keys.as_primitive::<$ty>();
                Ok(self.select_integers(array.values(), array.nulls()))
            }};
        }
        match keys.data_type() {
            DataType::Int8 => integers!(Int8Type),
            DataType::Int16 => integers!(Int16Type),
            DataType::Int32 => integers!(Int32Type),
            DataType::Int64 => integers!(Int64Type),
            DataType::Date32 => integers!(Date32Type),
            DataType::Decimal64(..) => integers!(Decimal64Type),
            _ => self.select_hashed(keys),
        }
    }

    fn select_integers<T: BitmapKey>(&self, values: &[T], nulls: Option<&NullBuffer>) -> Selection {
        let row = |row: usize, passes: bool| (row as u32, passes);
        Selection::new(match (self, nulls) {
            (RuntimeFilter::Bitmap { min, bits, .. }, None) => rows_by_bit(values, *min, bits),
            (_, None) => passing(values.len(), |at| row(at, self.may_contain_integer(values[at].key()))),
            (_, Some(nulls)) => {
                passing(values.len(), |at| row(at, nulls.is_valid(at) && self.may_contain_integer(values[at].key())))
            }
        })
    }

    fn select_hashed(&self, keys: &ArrayRef) -> Result<Selection> {
        let RuntimeFilter::Bloom { blocks, .. } = self else {
            return Ok(Selection::new((0..keys.len() as u32).collect()));
        };
        let mut hashes = Vec::new();
        hash_columns(std::slice::from_ref(keys), keys.len(), &mut hashes)?;
        let passes = |row: usize| {
            let mask = bloom_mask(hashes[row]);
            keys.is_valid(row) && blocks[bloom_block(hashes[row], blocks.len())] & mask == mask
        };
        Ok(Selection::new((0..keys.len()).filter(|row| passes(*row)).map(|row| row as u32).collect()))
    }
}

/// The filters of a running query.
pub trait RuntimeFilters: Send + Sync + fmt::Debug {
    /// The filter, if its build side has finished.
    fn get(&self, id: FilterId) -> Option<Arc<RuntimeFilter>>;
}

/// For scans outside a query: no filters.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRuntimeFilters;

impl RuntimeFilters for NoRuntimeFilters {
    fn get(&self, _: FilterId) -> Option<Arc<RuntimeFilter>> {
        None
    }
}
