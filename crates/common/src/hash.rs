//! The one 64-bit hash of the engine: joins, aggregates, exchanges and filters use it, so that a
//! hash computed once can be carried along. Partitions are taken from the top bits, slots of hash
//! tables from the low ones. (Spark's Murmur3 is the SQL function `hash`, not this.)
//!
//! Equal values hash alike in every encoding of their type: integers by value, decimals by unscaled
//! value, floats with -0.0 and all NaNs unified, strings by bytes. NULL has a hash of its own.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::take;
use arrow::datatypes::*;

use crate::{Error, Result};

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const NULL: u64 = 0x5851_F42D_4C95_7F2D;

/// Hash of an integer: the finaliser of MurmurHash3.
#[inline]
pub fn hash_u64(value: u64) -> u64 {
    let mut x = value ^ SEED;
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

/// Hash of bytes: eight at a time through a folded multiplication, the last ones padded with zeros.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut state = (bytes.len() as u64).wrapping_mul(SEED);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        // Fewer than eight bytes are cut from a word that ends with them, which is cheaper than to copy so many.
        let word = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => short_word(rest),
        };
        state = fold(state ^ word);
    }
    hash_u64(state)
}

/// Fewer than eight bytes as a word.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let last = u64::from(u32::from_le_bytes(*last)) >> (64 - 8 * bytes.len());
            u64::from(u32::from_le_bytes(*first)) | last << 32
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// [`hash_bytes`] of a value of which the view is at hand: short values are in their views, padded with zeros.
#[inline]
fn hash_view<'a>(view: u128, value: impl FnOnce() -> &'a [u8]) -> u64 {
    let length = view as u32;
    if length > 12 {
        return hash_bytes(value());
    }
    let mut state = u64::from(length).wrapping_mul(SEED);
    if length > 0 {
        state = fold(state ^ (view >> 32) as u64);
    }
    if length > 8 {
        state = fold(state ^ (view >> 96) as u64);
    }
    hash_u64(state)
}

#[inline]
fn fold(x: u64) -> u64 {
    let product = u128::from(x) * u128::from(0xA076_1D64_78BD_642Fu64);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hash of the second and later columns of a key into that of the first ones.
#[inline]
pub fn combine(hash: u64, next: u64) -> u64 {
    hash.rotate_left(23).wrapping_mul(SEED) ^ next
}

/// Hash of so many columns that are all NULL.
pub fn null_hash(columns: usize) -> u64 {
    (1..columns).fold(NULL, |hash, _| combine(hash, NULL))
}

/// Which of `partitions` a hash belongs to: by its top bits, for any number of partitions.
#[inline]
pub fn partition_of(hash: u64, partitions: u32) -> u32 {
    ((u128::from(hash) * u128::from(partitions)) >> 64) as u32
}

#[inline]
fn hash_i128(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(small) => hash_u64(small as u64),
        Err(_) => combine(hash_u64(value as u64), hash_u64((value >> 64) as u64)),
    }
}

#[inline]
fn hash_f64(value: f64) -> u64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    hash_u64(value.to_bits())
}

/// Hashes of the rows of `columns`, one per row, into `out`, which is replaced. Without columns
/// all rows hash alike.
pub fn hash_columns(columns: &[ArrayRef], rows: usize, out: &mut Vec<u64>) -> Result<()> {
    out.clear();
    out.resize(rows, SEED);
    for (index, column) in columns.iter().enumerate() {
        hash_column(column, index == 0, out)?;
    }
    Ok(())
}

fn hash_column(column: &ArrayRef, first: bool, out: &mut [u64]) -> Result<()> {
    macro_rules! primitive {
        ($ty:ty, $hash:expr) => {{
            let array = column.as_primitive::<$ty>();
            let values = array.values();
            mix(array, first, out, |row| $hash(values[row]))
        }};
    }
    match column.data_type() {
        DataType::Null => mix(column, first, out, |_| NULL),
        DataType::Boolean => {
            let array = column.as_boolean();
            mix(array, first, out, |row| hash_u64(u64::from(array.value(row))))
        }
        DataType::Int8 => primitive!(Int8Type, |v| hash_u64(i64::from(v) as u64)),
        DataType::Int16 => primitive!(Int16Type, |v| hash_u64(i64::from(v) as u64)),
        DataType::Int32 => primitive!(Int32Type, |v| hash_u64(i64::from(v) as u64)),
        DataType::Int64 => primitive!(Int64Type, |v| hash_u64(v as u64)),
        DataType::Float32 => primitive!(Float32Type, |v| hash_f64(f64::from(v))),
        DataType::Float64 => primitive!(Float64Type, hash_f64),
        DataType::Decimal64(..) => primitive!(Decimal64Type, |v| hash_u64(v as u64)),
        DataType::Decimal128(..) => primitive!(Decimal128Type, hash_i128),
        DataType::Date32 => primitive!(Date32Type, |v| hash_u64(i64::from(v) as u64)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive!(TimestampMicrosecondType, |v| hash_u64(v as u64))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive!(IntervalYearMonthType, |v| hash_u64(i64::from(v) as u64))
        }
        DataType::Duration(TimeUnit::Microsecond) => primitive!(DurationMicrosecondType, |v| hash_u64(v as u64)),
        DataType::Utf8View => {
            let array = column.as_string_view();
            let views = array.views();
            mix(array, first, out, |row| hash_view(views[row], || array.value(row).as_bytes()))
        }
        DataType::Utf8 => {
            let array = column.as_string::<i32>();
            mix(array, first, out, |row| hash_bytes(array.value(row).as_bytes()))
        }
        DataType::BinaryView => {
            let array = column.as_binary_view();
            let views = array.views();
            mix(array, first, out, |row| hash_view(views[row], || array.value(row)))
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            if dictionary.values().len() > out.len() {
                return hash_column(&take(dictionary.values(), dictionary.keys(), None)?, first, out);
            }
            let mut hashes = vec![0; dictionary.values().len()];
            hash_column(dictionary.values(), true, &mut hashes)?;
            let codes = dictionary.normalized_keys();
            mix(column, first, out, |row| hashes.get(codes[row]).copied().unwrap_or(NULL))
        }
        other => return Err(Error::internal(format!("no hash for {other}"))),
    }
    Ok(())
}

#[inline]
fn mix(array: &dyn Array, first: bool, out: &mut [u64], hash: impl Fn(usize) -> u64) {
    let nulls = array.nulls();
    for (row, slot) in out.iter_mut().enumerate() {
        let value = match nulls {
            Some(nulls) if nulls.is_null(row) => NULL,
            _ => hash(row),
        };
        *slot = if first { value } else { combine(*slot, value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use std::sync::Arc;

    fn hashes(column: ArrayRef) -> Vec<u64> {
        let mut out = Vec::new();
        hash_columns(std::slice::from_ref(&column), column.len(), &mut out).unwrap();
        out
    }

    #[test]
    fn encodings_of_one_value_agree() {
        let narrow = Decimal64Array::from(vec![5, -7]).with_precision_and_scale(18, 2).unwrap();
        let wide = Decimal128Array::from(vec![5, -7]).with_precision_and_scale(38, 2).unwrap();
        assert_eq!(hashes(Arc::new(narrow)), hashes(Arc::new(wide)));
        let long = "a string of more than twelve bytes";
        let view = StringViewArray::from(vec![Some("x"), None, Some(long)]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None, Some(long)].into_iter().collect();
        assert_eq!(hashes(Arc::new(view)), hashes(Arc::new(dictionary)));
    }

    #[test]
    fn bytes_of_every_length_hash_as_words_that_end_with_zeros() {
        let plain = |bytes: &[u8]| {
            let words = bytes.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            });
            hash_u64(words.fold((bytes.len() as u64).wrapping_mul(SEED), |state, word| fold(state ^ word)))
        };
        let all: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(37) ^ 0x95).collect();
        let values: Vec<&[u8]> = (0..=40).map(|length| &all[..length]).collect();
        let expected: Vec<u64> = values.iter().map(|bytes| plain(bytes)).collect();
        assert_eq!(values.iter().map(|bytes| hash_bytes(bytes)).collect::<Vec<_>>(), expected);
        assert_eq!(hashes(Arc::new(BinaryViewArray::from_iter_values(&values))), expected);
        let sliced = BinaryViewArray::from_iter_values(&values).slice(7, 20);
        assert_eq!(hashes(Arc::new(sliced)), expected[7..27]);
    }

    #[test]
    fn zeros_and_nans_are_unified() {
        let h = hashes(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])));
        assert_eq!(h[0], h[1]);
        assert_eq!(h[2], h[3]);
    }

    #[test]
    fn partitions_are_even() {
        let mut counts = [0; 7];
        (0..70_000u64).for_each(|v| counts[partition_of(hash_u64(v), 7) as usize] += 1);
        assert!(counts.iter().all(|c| (9_000..11_000).contains(c)), "{counts:?}");
    }
}
