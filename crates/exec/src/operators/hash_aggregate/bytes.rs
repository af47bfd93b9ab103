//! Groups by encoded keys: what tests hold the tables against that queries use.
//!
//! The encoding of a row is, per column, a byte that is 0 for NULL or 1, then the value: fixed-width
//! values in little endian, text as its length (32 bits) and its bytes. It is unambiguous, so two rows are
//! in one group exactly if their bytes are equal. Rows of a batch are encoded column by column, so
//! that the type is looked at once per column.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use firesteel_common::hash::hash_bytes;
use firesteel_common::{Error, Result, SqlType};

use super::slots::Slots;
use super::values::{fixed_bits, for_each_bits, from_bits, from_bytes};

/// Groups by encoded key.
#[derive(Debug)]
pub(super) struct ByteTable {
    slots: Slots,
    /// Encoded keys of the groups, one after the other.
    arena: Vec<u8>,
    /// Ends of the keys in `arena`; the first entry is 0.
    ends: Vec<usize>,
    scratch: Scratch,
}

/// The encoded rows of a batch; kept for its memory.
#[derive(Debug, Default)]
struct Scratch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    cursors: Vec<usize>,
}

impl ByteTable {
    pub(super) fn new() -> Self {
        Self { slots: Slots::new(), arena: Vec::new(), ends: vec![0], scratch: Scratch::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Appends the group of each row to `groups`.
    pub(super) fn intern(
        &mut self,
        types: &[SqlType],
        columns: &[ArrayRef],
        rows: usize,
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        self.scratch.encode(types, columns, rows)?;
        groups.reserve(rows);
        let mut last: (&[u8], u32) = (&[], u32::MAX);
        let mut start = 0;
        for end in &self.scratch.ends {
            let key = &self.scratch.bytes[start..*end];
            start = *end;
            if last.1 == u32::MAX || key != last.0 {
                let (arena, ends) = (&self.arena, &self.ends);
                let next = (ends.len() - 1) as u32;
                let group = self
                    .slots
                    .find_or_insert(hash_bytes(key), next, |g| &arena[ends[g as usize]..ends[g as usize + 1]] == key);
                if group == next {
                    self.arena.extend_from_slice(key);
                    self.ends.push(self.arena.len());
                }
                last = (key, group);
            }
            groups.push(last.1);
        }
        Ok(())
    }

    /// The key columns of `rows` groups from `offset` on.
    pub(super) fn keys(&self, types: &[SqlType], offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut cursors = self.ends[offset..offset + rows].to_vec();
        types.iter().map(|ty| self.decode(ty, &mut cursors)).collect()
    }

    /// The column of which each value begins at its cursor; moves the cursors past it.
    fn decode(&self, ty: &SqlType, cursors: &mut [usize]) -> Result<ArrayRef> {
        let arena = &self.arena;
        let Some(bits) = fixed_bits(ty) else {
            let values = cursors.iter_mut().map(|cursor| {
                let start = *cursor + 1;
                *cursor = start;
                (arena[start - 1] == 1).then(|| {
                    let length = read(&arena[start..start + 4]) as usize;
                    *cursor = start + 4 + length;
                    &arena[start + 4..*cursor]
                })
            });
            return from_bytes(ty, values);
        };
        let width = bits.div_ceil(8) as usize;
        let values = cursors.iter_mut().map(|cursor| {
            let start = *cursor + 1;
            *cursor = start;
            (arena[start - 1] == 1).then(|| {
                *cursor = start + width;
                read(&arena[start..start + width])
            })
        });
        from_bits(ty, values)
    }
}

#[inline]
fn read(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    word[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(word)
}

impl Scratch {
    fn encode(&mut self, types: &[SqlType], columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.measure(types, columns, rows)?;
        self.bytes.clear();
        self.bytes.resize(self.ends.last().copied().unwrap_or(0), 0);
        // Where each row starts is where the one before ends.
        self.cursors.clear();
        self.cursors.push(0);
        self.cursors.extend_from_slice(&self.ends[..rows.saturating_sub(1)]);
        let (bytes, cursors) = (&mut self.bytes, &mut self.cursors);
        for (ty, column) in types.iter().zip(columns) {
            match fixed_bits(ty) {
                Some(bits) => {
                    let width = bits.div_ceil(8) as usize;
                    for_each_bits(column, |row, bits| {
                        let at = cursors[row];
                        bytes[at] = 1;
                        bytes[at + 1..at + 1 + width].copy_from_slice(&bits.to_le_bytes()[..width]);
                        cursors[row] = at + width;
                    })?;
                }
                None => for_each_text(column, |row, text| {
                    let at = cursors[row];
                    bytes[at] = 1;
                    bytes[at + 1..at + 5].copy_from_slice(&(text.len() as u32).to_le_bytes());
                    bytes[at + 5..at + 5 + text.len()].copy_from_slice(text);
                    cursors[row] = at + 4 + text.len();
                }),
            }
            // The byte that says whether it is NULL.
            cursors.iter_mut().for_each(|at| *at += 1);
        }
        Ok(())
    }

    /// Sets `ends` to the ends of the encoded rows.
    fn measure(&mut self, types: &[SqlType], columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.ends.clear();
        self.ends.resize(rows, columns.len());
        let ends = &mut self.ends;
        for (ty, column) in types.iter().zip(columns) {
            if column.len() != rows {
                return Err(Error::internal("key columns differ in length"));
            }
            match fixed_bits(ty) {
                Some(bits) => {
                    let width = bits.div_ceil(8) as usize;
                    match column.logical_nulls() {
                        None => ends.iter_mut().for_each(|end| *end += width),
                        Some(nulls) => nulls.valid_indices().for_each(|row| ends[row] += width),
                    }
                }
                None => for_each_text(column, |row, text| ends[row] += 4 + text.len()),
            }
        }
        let mut end = 0;
        ends.iter_mut().for_each(|length| {
            end += *length;
            *length = end;
        });
        Ok(())
    }
}

/// Calls `f` with the position and the bytes of each value that is not NULL.
#[inline]
fn for_each_text(column: &ArrayRef, f: impl FnMut(usize, &[u8])) {
    fn each<T: ByteViewType>(column: &ArrayRef, mut f: impl FnMut(usize, &[u8])) {
        let array = column.as_byte_view::<T>();
        match array.nulls() {
            None => (0..array.len()).for_each(|row| f(row, array.value(row).as_ref())),
            Some(nulls) => nulls.valid_indices().for_each(|row| f(row, array.value(row).as_ref())),
        }
    }
    match column.as_string_view_opt() {
        Some(_) => each::<StringViewType>(column, f),
        None => each::<BinaryViewType>(column, f),
    }
}
