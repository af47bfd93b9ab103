//! Groups whose whole key fits a machine word: 64 or 128 bits.
//!
//! Each key column has a field of the word ([`super::fields`]). A field of fixed width has a bit for NULL in front if
//! NULLs were seen; one for a range counts from its smallest value; one for text holds up to 15 bytes and their number
//! plus one, so that zero is NULL. Two rows are in one group exactly if their words are equal. What a word can hold is
//! found out from the data: [`PackedTable::intern`] says if a batch does not fit, and the owner chooses another table.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use firesteel_common::hash::hash_u64;
use firesteel_common::{Result, SqlType};

use super::fields::{Extent, Field, Fields, mask};
use super::slots::Slots;
use super::values::{for_each_bits, from_bits, from_bytes};

/// Bytes of a table that the caches of a core hold.
const NEAR: usize = 1 << 20;
/// Rows of which the slots are looked up together.
const AT_A_TIME: usize = 128;

/// A word that holds a key.
pub(super) trait Word: Copy + Eq + Default + Send {
    const BITS: u32;
    fn place(&mut self, bits: u128, shift: u32);
    fn bits(self) -> u128;
    fn hash(self) -> u64;
}

impl Word for u64 {
    const BITS: u32 = 64;

    #[inline]
    fn place(&mut self, bits: u128, shift: u32) {
        *self |= (bits as u64) << shift;
    }

    #[inline]
    fn bits(self) -> u128 {
        u128::from(self)
    }

    #[inline]
    fn hash(self) -> u64 {
        hash_u64(self)
    }
}

impl Word for u128 {
    const BITS: u32 = 128;

    #[inline]
    fn place(&mut self, bits: u128, shift: u32) {
        *self |= bits << shift;
    }

    #[inline]
    fn bits(self) -> u128 {
        self
    }

    #[inline]
    fn hash(self) -> u64 {
        let high = ((self >> 64) as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(32);
        hash_u64(self as u64 ^ high)
    }
}

/// Groups by a word of the width that is needed.
#[derive(Debug)]
pub(super) enum Packed {
    Narrow(PackedTable<u64>),
    Wide(PackedTable<u128>),
}

impl Packed {
    /// A table for keys of `types` of which `extents` were seen, or `None` if they do not fit. The narrow word goes
    /// first, since it makes a table half as large. Text, if it is to be tried, is tried in the wide one only: it
    /// rarely stays within the narrow one.
    pub(super) fn plan(types: &[SqlType], nullable: &[bool], extents: &[Extent], texts: bool) -> Option<Self> {
        let plan = |texts, bits| {
            Fields::fixed(types, nullable, extents, texts, bits).or_else(|| Fields::ranged(types, extents, texts, bits))
        };
        if let Some(fields) = plan(false, u64::BITS) {
            return Some(Self::Narrow(PackedTable::new(fields)));
        }
        plan(texts, u128::BITS).map(|fields| Self::Wide(PackedTable::new(fields)))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(table) => table.keys.len(),
            Self::Wide(table) => table.keys.len(),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Narrow(table) => table.clear(),
            Self::Wide(table) => table.clear(),
        }
    }

    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Narrow(table) => table.memory(),
            Self::Wide(table) => table.memory(),
        }
    }

    /// What the groups are found by.
    pub(super) fn slots(&mut self) -> &mut Slots {
        match self {
            Self::Narrow(table) => &mut table.slots,
            Self::Wide(table) => &mut table.slots,
        }
    }

    /// How often a row was in another group than the row before it, as far as that was counted.
    pub(super) fn runs(&self) -> usize {
        match self {
            Self::Narrow(table) => table.runs,
            Self::Wide(table) => table.runs,
        }
    }

    /// As [`PackedTable::intern`].
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<bool> {
        match self {
            Self::Narrow(table) => table.intern(columns, rows, groups),
            Self::Wide(table) => table.intern(columns, rows, groups),
        }
    }

    /// The key columns of `rows` groups from `offset` on.
    pub(super) fn keys(&self, types: &[SqlType], offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Narrow(table) => table.keys(types, offset, rows),
            Self::Wide(table) => table.keys(types, offset, rows),
        }
    }
}

/// Groups by word.
#[derive(Debug)]
pub(super) struct PackedTable<K> {
    fields: Fields,
    slots: Slots,
    /// Words of the groups.
    keys: Vec<K>,
    /// Words of the rows of a batch; kept for its memory.
    words: Vec<K>,
    /// Rows with a word other than that of the row before, counted while the table is near.
    runs: usize,
}

impl<K: Word> PackedTable<K> {
    fn new(fields: Fields) -> Self {
        Self { fields, slots: Slots::new(), keys: Vec::new(), words: Vec::new(), runs: 0 }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.keys.clear();
        self.runs = 0;
    }

    fn memory(&self) -> usize {
        self.slots.memory() + (self.keys.capacity() + self.words.capacity()) * size_of::<K>()
    }

    /// Appends the group of each row to `groups`, or returns `false` and appends nothing if a value does
    /// not fit its field.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<bool> {
        if !self.pack(columns, rows)? {
            return Ok(false);
        }
        let words = std::mem::take(&mut self.words);
        if self.memory() > NEAR {
            self.intern_far(&words, groups);
        } else if let Some(first) = words.first() {
            // Rows often come clustered by their key.
            let mut last = (*first, self.find(*first, first.hash()));
            let mut runs = 1;
            groups.extend(words.iter().map(|word| {
                if *word != last.0 {
                    last = (*word, self.find(*word, word.hash()));
                    runs += 1;
                }
                last.1
            }));
            self.runs += runs;
        }
        self.words = words;
        Ok(true)
    }

    /// As [`Self::intern`], for a table that the caches do not hold: slots are looked up for several rows before
    /// keys are, so that the memory serves many at a time.
    fn intern_far(&mut self, words: &[K], groups: &mut Vec<u32>) {
        let mut found = [(0u64, None); AT_A_TIME];
        for words in words.chunks(AT_A_TIME) {
            for (found, word) in found.iter_mut().zip(words) {
                let hash = word.hash();
                *found = (hash, self.slots.first(hash));
            }
            groups.extend(words.iter().zip(&found).map(|(word, (hash, group))| match group {
                Some(group) if self.keys[*group as usize] == *word => *group,
                _ => self.find(*word, *hash),
            }));
        }
    }

    #[inline]
    fn find(&mut self, word: K, hash: u64) -> u32 {
        let keys = &self.keys;
        let group = self.slots.find_or_insert(hash, keys.len() as u32, |g| keys[g as usize] == word);
        if group as usize == self.keys.len() {
            self.keys.push(word);
        }
        group
    }

    /// Makes `words` of a batch; `false` if a value does not fit.
    fn pack(&mut self, columns: &[ArrayRef], rows: usize) -> Result<bool> {
        self.words.clear();
        self.words.resize(rows, K::default());
        let words = &mut self.words;
        for (column, field) in columns.iter().zip(&self.fields.0) {
            match *field {
                Field::Fixed { .. } if column.null_count() > 0 => return Ok(false),
                Field::Fixed { shift, bits: 0 } | Field::Nullable { shift, bits: 0 } => {
                    debug_assert!(shift <= K::BITS, "a column of NULLs takes no room");
                }
                Field::Fixed { shift, .. } => for_each_bits(column, |row, bits| words[row].place(bits, shift))?,
                Field::Nullable { shift, .. } => {
                    for_each_bits(column, |row, bits| words[row].place(bits << 1 | 1, shift))?;
                }
                Field::Ranged { shift, width, base, span, .. } => {
                    if !pack_range(column, shift, width, base, span, words)? {
                        return Ok(false);
                    }
                }
                Field::Text { shift, capacity } => {
                    let fits = match column.as_string_view_opt() {
                        Some(_) => pack_text::<K, StringViewType>(column, shift, capacity, words),
                        None => pack_text::<K, BinaryViewType>(column, shift, capacity, words),
                    };
                    if !fits {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The key columns of `rows` groups from `offset` on.
    fn keys(&self, types: &[SqlType], offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let words = &self.keys[offset..offset + rows];
        let column = |(ty, field): (&SqlType, &Field)| match *field {
            Field::Fixed { shift, bits } => {
                from_bits(ty, words.iter().map(|w| (bits > 0).then(|| w.bits() >> shift & mask(bits))))
            }
            Field::Nullable { shift, bits } => from_bits(
                ty,
                words.iter().map(|w| {
                    let field = w.bits().checked_shr(shift).unwrap_or(0);
                    (field & 1 == 1).then_some(field >> 1 & mask(bits))
                }),
            ),
            Field::Ranged { shift, bits, width, base, .. } => from_bits(
                ty,
                words.iter().map(|w| {
                    let offset = (w.bits() >> shift & mask(bits)).checked_sub(1)?;
                    Some(base.wrapping_add(offset) & mask(width))
                }),
            ),
            Field::Text { shift, capacity } => {
                let texts: Vec<[u8; 16]> = words.iter().map(|w| (w.bits() >> shift).to_le_bytes()).collect();
                let values = texts.iter().map(|text| {
                    let length = (text[capacity as usize] as usize).checked_sub(1)?;
                    Some(&text[..length])
                });
                from_bytes(ty, values)
            }
        };
        types.iter().zip(&self.fields.0).map(column).collect()
    }
}

/// Places the distance of values from `base` into their field; `false` if one is more than `span`.
fn pack_range<K: Word>(
    column: &ArrayRef,
    shift: u32,
    width: u32,
    base: u128,
    span: u128,
    words: &mut [K],
) -> Result<bool> {
    let mut fits = true;
    if width > u64::BITS {
        for_each_bits(column, |row, bits| {
            let offset = bits.wrapping_sub(base) & mask(width);
            fits &= offset <= span;
            words[row].place(offset.wrapping_add(1), shift);
        })?;
    } else {
        // The same in half the instructions.
        let (base, span, mask) = (base as u64, span as u64, mask(width) as u64);
        for_each_bits(column, |row, bits| {
            let offset = (bits as u64).wrapping_sub(base) & mask;
            fits &= offset <= span;
            words[row].place(u128::from(offset) + 1, shift);
        })?;
    }
    Ok(fits)
}

/// Places text into its field; `false` if some is too long.
fn pack_text<K: Word, T: ByteViewType>(column: &ArrayRef, shift: u32, capacity: u32, words: &mut [K]) -> bool {
    const INLINE: u32 = 12;
    let array = column.as_byte_view::<T>();
    let nulls = array.nulls();
    let mut fits = true;
    for (row, (view, word)) in array.views().iter().zip(words).enumerate() {
        if nulls.is_some_and(|n| n.is_null(row)) {
            continue;
        }
        let length = *view as u32;
        if length > capacity {
            fits = false;
            break;
        }
        // An inline view has the bytes after the length, padded with zeros.
        let bytes = if length <= INLINE {
            view >> 32
        } else {
            let value: &[u8] = array.value(row).as_ref();
            let mut bytes = [0; 16];
            bytes[..value.len()].copy_from_slice(value);
            u128::from_le_bytes(bytes)
        };
        word.place(bytes | u128::from(length + 1) << (capacity * 8), shift);
    }
    fits
}
