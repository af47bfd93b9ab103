//! Arrow arrays of strings from the pages of a column, without checking each value again.
//!
//! Arrow checks every view and every key when such an array is made. Here both are made from values
//! just checked, or checked in bulk: if all lengths of a run of PLAIN values are below 128, their length
//! prefixes are ASCII, so the run is UTF-8 as a whole exactly if each of its values is. That is one
//! fast pass instead of millions of short ones. The unchecked constructors are called in this module
//! only; its tests compare the result with the checked ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray, DictionaryArray, Int32Array, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};
use arrow::error::ArrowError;
use bytes::Bytes;

use super::rle::Truncated;
use super::unpack::all_below;

/// Longest value that a view holds itself.
const INLINE: usize = 12;

/// Why values cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BadValues {
    /// The page ends within a value.
    Truncated,
    /// A string is not UTF-8.
    NotText,
}

impl From<Truncated> for BadValues {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// Views of PLAIN values. Each view is within its buffer, and UTF-8 if `text`.
#[derive(Debug)]
pub(crate) struct Views {
    text: bool,
    views: Vec<u128>,
    buffers: Vec<Buffer>,
}

impl Views {
    /// No values yet; strings if `text`, else binaries.
    pub(crate) fn new(text: bool) -> Self {
        Self { text, views: Vec::new(), buffers: Vec::new() }
    }

    /// Takes `present` values off the front of `page`.
    pub(crate) fn append(&mut self, page: &mut Bytes, present: usize) -> Result<(), BadValues> {
        let before = self.views.len();
        let result = self.append_run(page, present);
        if result.is_err() {
            self.views.truncate(before);
        }
        result
    }

    fn append_run(&mut self, page: &mut Bytes, present: usize) -> Result<(), BadValues> {
        let before = self.views.len();
        let block = u128::from(self.buffers.len() as u32) << 64;
        self.views.resize(before + present, 0);
        let bytes: &[u8] = page;
        let (mut at, mut lengths) = (0, 0);
        for view in &mut self.views[before..] {
            let (start, end) = plain_value(bytes, at)?;
            lengths |= end - start;
            *view = if end - start > INLINE {
                let prefix = u128::from(word(bytes, start)) << 32;
                (end - start) as u128 | prefix | block | (start as u128) << 96
            } else {
                inline_view(bytes, start, end)
            };
            at = end;
        }
        if self.text {
            if lengths < 128 {
                simdutf8::basic::from_utf8(&bytes[..at]).map_err(|_| BadValues::NotText)?;
            } else {
                let mut at = 0;
                for _ in 0..present {
                    let (start, end) = plain_value(bytes, at)?;
                    simdutf8::basic::from_utf8(&bytes[start..end]).map_err(|_| BadValues::NotText)?;
                    at = end;
                }
            }
        }
        self.buffers.push(Buffer::from(page.split_to(at)));
        Ok(())
    }

    /// Takes `present` values off the front of `page`, of which those at `positions` (ascending, below
    /// `present`) are kept and checked.
    pub(crate) fn append_at(
        &mut self,
        page: &mut Bytes,
        present: usize,
        positions: impl Iterator<Item = usize>,
    ) -> Result<(), BadValues> {
        let block = u128::from(self.buffers.len() as u32) << 64;
        let bytes: &[u8] = page;
        let mut kept = Vec::new();
        let (mut at, mut passed) = (0, 0);
        for position in positions {
            while passed < position {
                at = plain_value(bytes, at)?.1;
                passed += 1;
            }
            let (start, end) = plain_value(bytes, at)?;
            if self.text {
                simdutf8::basic::from_utf8(&bytes[start..end]).map_err(|_| BadValues::NotText)?;
            }
            kept.push(if end - start > INLINE {
                let prefix = u128::from(word(bytes, start)) << 32;
                (end - start) as u128 | prefix | block | (start as u128) << 96
            } else {
                inline_view(bytes, start, end)
            });
            at = end;
            passed += 1;
        }
        while passed < present {
            at = plain_value(bytes, at)?.1;
            passed += 1;
        }
        self.views.append(&mut kept);
        self.buffers.push(Buffer::from(page.split_to(at)));
        Ok(())
    }

    /// Number of values, with those that [`Views::spread`] added.
    pub(crate) fn len(&self) -> usize {
        self.views.len()
    }

    /// Moves the values after `before` apart to their valid rows of `n`.
    pub(crate) fn spread(&mut self, before: usize, n: usize, validity: &NullBuffer) {
        // The empty view, which fills the gaps, is valid in any array.
        super::assemble::spread(&mut self.views, before, n, validity);
    }

    /// The values as an array.
    #[allow(unsafe_code, reason = "Arrow would check each value again, at several times the cost of reading it")]
    pub(crate) fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let views = std::mem::take(&mut self.views);
        let buffers = std::mem::take(&mut self.buffers);
        if nulls.as_ref().is_some_and(|nulls| nulls.len() != views.len()) {
            return Err(ArrowError::InvalidArgumentError("validity and values differ in length".to_string()));
        }
        let views = ScalarBuffer::from(views);
        // SAFETY: every view was made above from a range inside the buffer it names, with the prefix found
        // there, or is an inline view with zeros after its bytes; a failed append leaves none behind. If
        // `text`, the ranges were found to be UTF-8. The validity has as many rows as there are views.
        Ok(unsafe {
            if self.text {
                Arc::new(StringViewArray::new_unchecked(views, buffers.into(), nulls))
            } else {
                Arc::new(BinaryViewArray::new_unchecked(views, buffers.into(), nulls))
            }
        })
    }
}

/// Codes as a dictionary array.
#[allow(unsafe_code, reason = "Arrow would check key by key, at twice the cost of decoding them")]
pub(crate) fn dictionary_array(
    keys: Vec<u32>,
    nulls: Option<NullBuffer>,
    values: &ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    let in_range = values.len() <= i32::MAX as usize && all_below(&keys, values.len());
    let count = keys.len();
    let keys = Int32Array::try_new(ScalarBuffer::new(Buffer::from_vec(keys), 0, count), nulls)?;
    if !in_range || *keys.data_type() != Int32Type::DATA_TYPE {
        return Ok(Arc::new(DictionaryArray::try_new(keys, values.clone())?));
    }
    // SAFETY: all keys, even those of NULL rows, are below the number of values.
    Ok(Arc::new(unsafe { DictionaryArray::new_unchecked(keys, values.clone()) }))
}

/// Range of the value whose length stands at `at`: its start and its end.
#[inline(always)]
pub(crate) fn plain_value(bytes: &[u8], at: usize) -> Result<(usize, usize), Truncated> {
    let Some((length, rest)) = bytes.get(at..).and_then(|b| b.split_first_chunk::<4>()) else { return Err(Truncated) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > rest.len() { Err(Truncated) } else { Ok((at + 4, at + 4 + length)) }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The view of the at most [`INLINE`] bytes `start..end`.
#[inline(always)]
fn inline_view(bytes: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let data = match bytes.get(start..).and_then(|b| b.first_chunk::<16>()) {
        Some(chunk) => u128::from_le_bytes(*chunk) & ((1 << (8 * length)) - 1),
        None => bytes[start..end].iter().rev().fold(0, |data, byte| data << 8 | u128::from(*byte)),
    };
    data << 32 | length as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    fn page(values: &[&[u8]]) -> Bytes {
        let encode = |v: &&[u8]| [&(v.len() as u32).to_le_bytes()[..], v].concat();
        values.iter().flat_map(encode).collect::<Vec<u8>>().into()
    }

    /// The array through Arrow's checked constructor must be accepted and equal.
    fn checked(array: &ArrayRef) {
        let array = array.as_string_view();
        let again =
            StringViewArray::try_new(array.views().clone(), array.data_buffers().to_vec(), array.nulls().cloned());
        assert_eq!(&again.unwrap(), array);
    }

    #[test]
    fn as_the_checked_constructor() {
        let long = "ü".repeat(100);
        for values in [
            vec!["", "a", "twelve bytes", "thirteen byte", "größer als zwölf", "x"],
            vec!["short", &long, "", "end"],
            vec!["tail without sixteen"],
        ] {
            let bytes: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
            let mut views = Views::new(true);
            for _ in 0..2 {
                let mut page = page(&bytes);
                views.append(&mut page, bytes.len()).unwrap();
                assert!(page.is_empty());
            }
            let array = views.finish(None).unwrap();
            checked(&array);
            let expected: Vec<_> = values.iter().chain(&values).copied().collect();
            assert_eq!(array.as_string_view().iter().map(Option::unwrap).collect::<Vec<_>>(), expected);
            let positions = (0..values.len()).filter(|i| i % 2 == 1);
            views.append_at(&mut page(&bytes), bytes.len(), positions.clone()).unwrap();
            let array = views.finish(None).unwrap();
            checked(&array);
            let expected: Vec<_> = positions.map(|i| values[i]).collect();
            assert_eq!(array.as_string_view().iter().map(Option::unwrap).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn damage_is_found() {
        let append = |values: &[&[u8]], n| Views::new(true).append(&mut page(values), n);
        // The two halves of a character in neighbouring values, and bytes that no text has.
        assert!(matches!(append(&[b"a\xc3", b"\xbcb"], 2), Err(BadValues::NotText)));
        assert!(matches!(append(&[&[b'a'; 200], b"\xff"], 2), Err(BadValues::NotText)));
        assert!(matches!(append(&[b"abc"], 2), Err(BadValues::Truncated)));
        let mut views = Views::new(true);
        assert!(views.append(&mut page(&[b"good", b"\xff"]), 2).is_err());
        assert_eq!(views.len(), 0);
        assert!(views.append_at(&mut page(&[b"good", b"\xff"]), 2, [0].into_iter()).is_ok());
    }

    #[test]
    fn keys_are_checked() {
        let values: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let array = dictionary_array(vec![1, 0, 1], None, &values).unwrap();
        let again = DictionaryArray::try_new(Int32Array::from(vec![1, 0, 1]), values.clone()).unwrap();
        assert_eq!(array.as_dictionary::<Int32Type>(), &again);
        assert!(dictionary_array(vec![2], None, &values).is_err());
        assert!(dictionary_array(vec![u32::MAX], None, &values).is_err());
    }
}
