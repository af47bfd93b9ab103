//! Where the key columns of a packed group have their places in a word.
//!
//! A column takes as many bits as its type if all columns fit like that. Else it takes as many as the values need
//! that were seen: the difference of the largest and the smallest, one more for NULL, and one bit to spare, so that
//! a range that grows has at least doubled before places are found anew. What is left of the word is shared out as
//! more slack. Places are exact for any value: one that has no place is seen as such, whatever it is.

use arrow::array::{Array, ArrayRef, AsArray};
use firesteel_common::{Result, SqlType};

use super::values::{fixed_bits, for_each_bits};

/// Most bytes of a text in a word: its number plus one takes a byte.
const LONGEST: u32 = 15;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field {
    /// A value of so many bits.
    Fixed { shift: u32, bits: u32 },
    /// A bit that says "not NULL", then the value.
    Nullable { shift: u32, bits: u32 },
    /// Zero for NULL, else one more than what a value of `width` bits is above `base`, which is `span` at most;
    /// both count in the ring of the width.
    Ranged { shift: u32, bits: u32, width: u32, base: u128, span: u128 },
    /// Up to `capacity` bytes, then a byte with their number plus one.
    Text { shift: u32, capacity: u32 },
}

/// What was seen of a key column: the smallest and the largest of its values, as numbers in the order of integers, or
/// zero and the length of the longest text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    low: u128,
    high: u128,
}

impl Extent {
    /// That of some columns of `ty` in the canonical encoding.
    pub(super) fn of<'a>(ty: &SqlType, columns: impl Iterator<Item = &'a ArrayRef>) -> Result<Self> {
        let (mut low, mut high) = (u128::MAX, 0);
        let width = fixed_bits(ty);
        for column in columns {
            match width {
                Some(width) => for_each_bits(column, |_, bits| {
                    let value = ordered(bits, width);
                    (low, high) = (low.min(value), high.max(value));
                })?,
                None => (low, high) = (0, high.max(longest(column))),
            }
        }
        let zero = width.map_or(0, |width| ordered(0, width));
        Ok(if low > high { Self { low: zero, high: zero } } else { Self { low, high } })
    }

    /// That of integers from 0 on.
    pub(super) fn numbers(count: usize) -> Self {
        let zero = ordered(0, i32::BITS);
        Self { low: zero, high: zero + count as u128 }
    }

    /// Bits of a field for these values of `width` bits and for NULL; more than `width + 1` are never of use.
    fn bits(self, width: u32) -> u32 {
        let codes = (self.high - self.low).saturating_add(1);
        let needed = u128::BITS - codes.leading_zeros();
        (needed + 1).min(width + 1)
    }

    /// The field of `bits` bits: its range lies around these values, but not below zero if none of them does.
    fn field(self, shift: u32, bits: u32, width: u32) -> Field {
        let span = if bits > width { mask(width) } else { mask(bits) - 1 };
        let slack = span.saturating_sub(self.high - self.low);
        let zero = ordered(0, width);
        let floor = if self.low >= zero { zero } else { 0 };
        let base = ordered(self.low - (slack / 2).min(self.low - floor), width);
        Field::Ranged { shift, bits, width, base, span }
    }
}

/// The bits of an integer as a number that compares like it, and back.
fn ordered(bits: u128, width: u32) -> u128 {
    bits ^ mask(width) ^ (mask(width) >> 1)
}

pub(super) fn mask(bits: u32) -> u128 {
    1u128.checked_shl(bits).unwrap_or(0).wrapping_sub(1)
}

fn longest(column: &ArrayRef) -> u128 {
    let views = column.as_string_view_opt().map(|array| array.views());
    let views = views.or_else(|| column.as_binary_view_opt().map(|array| array.views()));
    // The view of a NULL says nothing; those of arrow are zero.
    let lengths = views.into_iter().flat_map(|views| views.iter()).enumerate();
    let lengths = lengths.filter(|(row, _)| column.is_valid(*row)).map(|(_, view)| *view as u32);
    u128::from(lengths.max().unwrap_or(0))
}

/// Places of the key columns in a word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fields(pub(super) Vec<Field>);

impl Fields {
    /// Places for all values that columns of `types` may have, in a word of `bits`, or `None` if there is no room.
    /// `texts` says whether strings are to be tried; only they are judged by what was seen.
    pub(super) fn fixed(
        types: &[SqlType],
        nullable: &[bool],
        extents: &[Extent],
        texts: bool,
        bits: u32,
    ) -> Option<Self> {
        let widths: Vec<Option<u32>> = types.iter().map(fixed_bits).collect();
        let used = widths.iter().zip(nullable).map(|(w, n)| w.map_or(0, |w| w + u32::from(*n))).sum();
        let capacity = capacity(bits.checked_sub(used)?, &widths, extents, texts)?;
        let mut shift = 0;
        let place = |(width, nullable): (Option<u32>, &bool)| {
            let (field, used) = match width {
                None => (Field::Text { shift, capacity }, capacity * 8 + 8),
                Some(bits) if *nullable => (Field::Nullable { shift, bits }, bits + 1),
                Some(bits) => (Field::Fixed { shift, bits }, bits),
            };
            shift += used;
            field
        };
        Some(Self(widths.into_iter().zip(nullable).map(place).collect()))
    }

    /// The same for the values that were seen, NULL, and as many others as there is room for.
    pub(super) fn ranged(types: &[SqlType], extents: &[Extent], texts: bool, bits: u32) -> Option<Self> {
        let widths: Vec<Option<u32>> = types.iter().map(fixed_bits).collect();
        let mut own: Vec<u32> = widths.iter().zip(extents).map(|(w, extent)| w.map_or(0, |w| extent.bits(w))).collect();
        let mut room = bits.checked_sub(own.iter().sum())?;
        let capacity = capacity(room, &widths, extents, texts)?;
        room -= widths.iter().filter(|w| w.is_none()).count() as u32 * (capacity * 8 + 8);
        // A bit for each column in turn, as long as one has use for it.
        let mut before = u32::MAX;
        while room < before {
            before = room;
            for (own, width) in own.iter_mut().zip(&widths) {
                if room > 0 && width.is_some_and(|width| *own <= width) {
                    (*own, room) = (*own + 1, room - 1);
                }
            }
        }
        let mut shift = 0;
        let place = |((width, extent), bits): ((Option<u32>, &Extent), u32)| {
            let (field, used) = match width {
                None => (Field::Text { shift, capacity }, capacity * 8 + 8),
                // All are NULL.
                Some(0) => (Field::Nullable { shift, bits: 0 }, bits),
                Some(width) => (extent.field(shift, bits, width), bits),
            };
            shift += used;
            field
        };
        Some(Self(widths.into_iter().zip(extents).zip(own).map(place).collect()))
    }
}

/// Bytes that each of the texts among the columns may have in `room` bits; `None` if there are some and it is too
/// little for what was seen.
fn capacity(room: u32, widths: &[Option<u32>], extents: &[Extent], texts: bool) -> Option<u32> {
    let count = widths.iter().filter(|w| w.is_none()).count() as u32;
    if count == 0 {
        return Some(0);
    }
    let capacity = (room / count / 8).saturating_sub(1).min(LONGEST);
    let fits = |(width, extent): (&Option<u32>, &Extent)| width.is_some() || extent.high <= u128::from(capacity);
    (texts && capacity > 0 && widths.iter().zip(extents).all(fits)).then_some(capacity)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array};

    use super::*;

    fn extent(ty: &SqlType, values: ArrayRef) -> Extent {
        Extent::of(ty, std::iter::once(&values)).unwrap()
    }

    #[test]
    fn a_range_has_a_spare_bit_and_shares_what_is_left() {
        let long = extent(&SqlType::BigInt, Arc::new(Int64Array::from(vec![Some(100), None, Some(1099)])));
        let short = extent(&SqlType::Int, Arc::new(Int32Array::from(vec![-3, 4])));
        let fields = Fields::ranged(&[SqlType::BigInt, SqlType::Int], &[long, short], false, 64).unwrap();
        let [Field::Ranged { bits: a, base: first, .. }, Field::Ranged { shift, bits: b, base, span, .. }] =
            fields.0[..]
        else {
            panic!("{fields:?}");
        };
        // 10 bits and 4, one more each, then the same of the 48 that are left, up to 33 for an INT.
        assert_eq!((a, b, shift), (35, 29, 35));
        assert_eq!(first, 0, "numbers that were not negative are not expected to become so");
        assert_eq!(span, (1 << 29) - 2);
        assert!((base as u32 as i32) < -3);
        // Without a spare bit for each column there is no place.
        assert!(Fields::ranged(&[SqlType::BigInt, SqlType::Int], &[long, short], false, 16).is_some());
        assert!(Fields::ranged(&[SqlType::BigInt, SqlType::Int], &[long, short], false, 15).is_none());
    }

    #[test]
    fn a_full_range_takes_one_bit_more_than_the_type() {
        let all = extent(&SqlType::BigInt, Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])));
        assert!(Fields::ranged(&[SqlType::BigInt], &[all], false, 64).is_none());
        let fields = Fields::ranged(&[SqlType::BigInt], &[all], false, 128).unwrap();
        assert_eq!(fields.0[..], [Field::Ranged { shift: 0, bits: 65, width: 64, base: 1 << 63, span: mask(64) }]);
        let void = Extent::of(&SqlType::Void, std::iter::empty()).unwrap();
        let fields = Fields::ranged(&[SqlType::Void], &[void], false, 64).unwrap();
        assert_eq!(fields.0[..], [Field::Nullable { shift: 0, bits: 0 }]);
    }
}
