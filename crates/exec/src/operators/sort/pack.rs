//! Sort keys packed into as few words as their values need.
//!
//! A key column whose values are words (numbers, dates, timestamps) becomes a field as wide as the difference
//! of its largest and its smallest value, one more value standing for NULL; a descending key counts from the
//! largest value down. The fields of all keys in a row, most significant first, are one long number that
//! compares like the keys. It is cut into words of 64 bits: most often the first says it all, and later words
//! are made only if rows agree in all before.

use arrow::array::{Array, ArrayRef};
use arrow::compute::SortOptions;
use firesteel_common::Result;

use super::keys::{is_word, words};

/// The fields of the keys of some batches.
#[derive(Debug)]
pub(super) struct Packing {
    fields: Vec<Field>,
    bits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    smallest: u64,
    largest: u64,
    options: SortOptions,
    has_nulls: bool,
    /// Bits before it, and its own: up to 65.
    start: u32,
    width: u32,
}

impl Packing {
    /// Fields for all rows of `batches` of key columns; `None` if a key is not a word.
    pub(super) fn plan(options: &[SortOptions], batches: &[Vec<ArrayRef>]) -> Result<Option<Self>> {
        let mut fields = Vec::with_capacity(options.len());
        let mut bits = 0;
        for (i, options) in options.iter().enumerate() {
            let (mut smallest, mut largest, mut has_nulls) = (u64::MAX, 0, false);
            for keys in batches {
                let column = &keys[i];
                if !is_word(column.data_type()) {
                    return Ok(None);
                }
                let words = words(column)?;
                let mut take = |word: u64| (smallest, largest) = (smallest.min(word), largest.max(word));
                match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                    None => words.into_iter().for_each(take),
                    Some(nulls) => {
                        has_nulls = true;
                        nulls.valid_indices().for_each(|row| take(words[row]));
                    }
                }
            }
            // Without any value, NULL is the only one.
            let smallest = smallest.min(largest);
            let values = u128::from(largest - smallest) + u128::from(has_nulls);
            let width = u128::BITS - values.leading_zeros();
            fields.push(Field { smallest, largest, options: *options, has_nulls, start: bits, width });
            bits += width;
        }
        Ok(Some(Self { fields, bits }))
    }

    /// Number of words that a row has.
    pub(super) fn words(&self) -> usize {
        self.bits.div_ceil(u64::BITS).max(1) as usize
    }

    /// Word `at` of each row.
    pub(super) fn word(&self, at: usize, keys: &[ArrayRef]) -> Result<Vec<u64>> {
        let rows = keys.first().map_or(0, |key| key.len());
        let mut out = vec![0u64; rows];
        let (from, to) = (at as u32 * u64::BITS, (at as u32 + 1) * u64::BITS);
        for (column, field) in keys.iter().zip(&self.fields) {
            let end = field.start + field.width;
            if field.width == 0 || field.start >= to || end <= from {
                continue;
            }
            field.place(column, to as i32 - end as i32, &mut out)?;
        }
        Ok(out)
    }
}

impl Field {
    /// Adds the field of each row to `out`, moved left by `shift` bits.
    fn place(&self, column: &ArrayRef, shift: i32, out: &mut [u64]) -> Result<()> {
        let words = words(column)?;
        let placed = |code: u128| if shift >= 0 { (code << shift) as u64 } else { (code >> -shift) as u64 };
        let first = u128::from(self.has_nulls && self.options.nulls_first);
        let code = |word: u64| {
            let value = if self.options.descending { self.largest - word } else { word - self.smallest };
            u128::from(value) + first
        };
        match column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            None => out.iter_mut().zip(words).for_each(|(out, word)| *out |= placed(code(word))),
            Some(nulls) => {
                let null = if self.options.nulls_first { 0 } else { u128::from(self.largest - self.smallest) + 1 };
                for ((out, word), valid) in out.iter_mut().zip(words).zip(nulls.iter()) {
                    *out |= placed(if valid { code(word) } else { null });
                }
            }
        }
        Ok(())
    }
}
