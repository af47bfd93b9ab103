//! The texts of groups, as views over blocks of bytes.
//!
//! A view has the layout of Arrow's: a short text is in it, of a long one the length and the first four bytes. So a
//! short text is stored and compared as one word, a long one is copied once, and output takes the blocks as they are.
//! Blocks stay small so that a batch of output, which holds all blocks it has a text in, holds little else.
//!
//! Invariant: views ascend in (block, offset), for groups come in order; a view of NULL is 0.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanBufferBuilder, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use firesteel_common::{Error, Result, SqlType};

/// Longest text that a view holds itself.
const INLINE: u32 = 12;
/// Bytes of the first block; each next one is twice as large, up to [`LARGEST`].
const SMALLEST: usize = 4 << 10;
/// Bytes of a block, unless one text is longer.
const LARGEST: usize = 128 << 10;

/// A text of each group.
#[derive(Debug)]
pub(super) struct GroupTexts {
    ty: SqlType,
    views: Vec<u128>,
    valid: BooleanBufferBuilder,
    blocks: Vec<Buffer>,
    /// The block that is being filled.
    block: Vec<u8>,
    /// Capacity of all blocks.
    bytes: usize,
}

impl GroupTexts {
    pub(super) fn new(ty: SqlType) -> Self {
        let valid = BooleanBufferBuilder::new(0);
        Self { ty, views: Vec::new(), valid, blocks: Vec::new(), block: Vec::new(), bytes: 0 }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.views.capacity() * size_of::<u128>() + self.valid.capacity() / 8 + self.bytes
    }

    /// Forgets the groups after the first `groups`. The bytes of their texts stay where they are.
    pub(super) fn truncate(&mut self, groups: usize) {
        self.views.truncate(groups);
        self.valid.truncate(groups);
        if groups == 0 {
            self.blocks.clear();
            self.block = Vec::new();
            self.bytes = 0;
        }
    }

    /// Takes the texts of new groups, which come in order, and compares those of known ones; `false` if one differs.
    pub(super) fn take(&mut self, column: &ArrayRef, groups: &[u32]) -> Result<bool> {
        match column.as_string_view_opt() {
            Some(_) => Ok(self.take_views::<StringViewType>(column, groups)),
            None if column.as_binary_view_opt().is_some() => Ok(self.take_views::<BinaryViewType>(column, groups)),
            None => Err(Error::internal(format!("a text key is {}", column.data_type()))),
        }
    }

    fn take_views<T: ByteViewType>(&mut self, column: &ArrayRef, groups: &[u32]) -> bool {
        let array = column.as_byte_view::<T>();
        let (views, buffers) = (array.views(), array.data_buffers());
        for (row, group) in groups.iter().enumerate() {
            let valid = array.is_valid(row);
            let view = if valid { views[row] } else { 0 };
            let group = *group as usize;
            if group == self.views.len() {
                let stored = if view as u32 > INLINE { self.store(view, text(view, buffers)) } else { view };
                self.views.push(stored);
                self.valid.append(valid);
            } else if self.valid.get_bit(group) != valid || !self.is(group, view, buffers) {
                return false;
            }
        }
        true
    }

    /// Whether the text of a group is that of a view.
    #[inline]
    fn is(&self, group: usize, view: u128, buffers: &[Buffer]) -> bool {
        let known = self.views[group];
        if view as u32 <= INLINE {
            return known == view;
        }
        known as u64 == view as u64 && {
            let block = self.blocks.get((known >> 64) as u32 as usize);
            let block = block.map_or(self.block.as_slice(), Buffer::as_slice);
            let (length, offset) = (known as u32 as usize, (known >> 96) as u32 as usize);
            &block[offset..offset + length] == text(view, buffers)
        }
    }

    /// Copies a long text; returns the view of the copy.
    fn store(&mut self, view: u128, text: &[u8]) -> u128 {
        if self.block.capacity() - self.block.len() < text.len() {
            self.seal();
            let size = (SMALLEST << self.blocks.len().min(10)).min(LARGEST).max(text.len());
            self.block = Vec::with_capacity(size);
            self.bytes += size;
        }
        let (block, offset) = (self.blocks.len() as u32, self.block.len() as u32);
        self.block.extend_from_slice(text);
        u128::from(view as u64) | u128::from(block) << 64 | u128::from(offset) << 96
    }

    /// Ends the block that is being filled, if there is one.
    fn seal(&mut self) {
        if self.block.capacity() > 0 {
            self.blocks.push(Buffer::from_vec(std::mem::take(&mut self.block)));
        }
    }

    /// The texts of `rows` groups from `offset` on, over the blocks of these groups.
    pub(super) fn column(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        self.seal();
        let mut views = self.views[offset..offset + rows].to_vec();
        let long = || views.iter().filter(|view| **view as u32 > INLINE).map(|view| (view >> 64) as u32);
        let blocks = match (long().next(), long().next_back()) {
            (Some(first), Some(last)) => first as usize..last as usize + 1,
            _ => 0..0,
        };
        let first = (blocks.start as u128) << 64;
        views.iter_mut().filter(|view| **view as u32 > INLINE).for_each(|view| *view -= first);
        let nulls = (offset..offset + rows).map(|group| self.valid.get_bit(group)).collect::<NullBuffer>();
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        let (views, blocks) = (ScalarBuffer::from(views), self.blocks[blocks].to_vec());
        Ok(match self.ty {
            SqlType::Binary => Arc::new(BinaryViewArray::try_new(views, blocks, nulls)?),
            _ => Arc::new(StringViewArray::try_new(views, blocks, nulls)?),
        })
    }
}

/// The text of the view of a long one.
#[inline]
fn text(view: u128, buffers: &[Buffer]) -> &[u8] {
    let (length, buffer, offset) = (view as u32 as usize, (view >> 64) as u32, (view >> 96) as u32 as usize);
    &buffers[buffer as usize][offset..offset + length]
}

/// Whether two views have the same text.
#[inline]
pub(super) fn same_text(a: u128, of_a: &[Buffer], b: u128, of_b: &[Buffer]) -> bool {
    if a as u32 <= INLINE {
        return a == b;
    }
    a as u64 == b as u64 && text(a, of_a) == text(b, of_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of 0 to 300 bytes, some NULL, one longer than a block.
    fn texts(groups: usize) -> Vec<Option<String>> {
        let text = |n: usize| match n {
            7 => Some("y".repeat(LARGEST + 1)),
            n if n % 11 == 3 => None,
            n => Some(format!("{n}{}", "x".repeat(n * 7 % 300))),
        };
        (0..groups).map(text).collect()
    }

    #[test]
    fn texts_come_back_in_any_slices() {
        let all = texts(5000);
        let column: ArrayRef = Arc::new(all.iter().map(|text| text.as_deref()).collect::<StringViewArray>());
        let binary = arrow::compute::cast(&column, &arrow::datatypes::DataType::BinaryView).unwrap();
        for (ty, column) in [(SqlType::String, column), (SqlType::Binary, binary)] {
            let mut table = GroupTexts::new(ty);
            for start in (0..5000).step_by(500) {
                let groups: Vec<u32> = (start..start + 500).collect();
                assert!(table.take(&column.slice(start as usize, 500), &groups).unwrap());
                assert!(table.take(&column.slice(start as usize, 500), &groups).unwrap(), "the same again");
                // Output in between, which ends a block.
                assert!(table.column(start as usize, 500).unwrap() == column.slice(start as usize, 500));
            }
            for (offset, rows) in [(0, 5000), (0, 0), (3, 1), (7, 1), (4999, 1), (1234, 700)] {
                assert!(table.column(offset, rows).unwrap() == column.slice(offset, rows), "{rows} from {offset}");
            }
            let few = table.column(4000, 100).unwrap();
            assert!(few.get_array_memory_size() < 3 * LARGEST, "a few rows hold a few blocks");
            table.truncate(0);
            assert_eq!(table.column(0, 0).unwrap().len(), 0);
        }
    }

    #[test]
    fn another_text_is_another() {
        let long = "a text of more than twelve bytes";
        let known = [Some("short"), Some(long), None, Some("")];
        let mut table = GroupTexts::new(SqlType::String);
        let column = |texts: &[Option<&str>]| Arc::new(texts.iter().copied().collect::<StringViewArray>()) as ArrayRef;
        assert!(table.take(&column(&known), &[0, 1, 2, 3]).unwrap());
        let last = "a text of more than twelve byteS";
        let others =
            [Some("shorT"), Some(last), Some(""), None, Some("a text of more than twelve byte"), None, Some(long)];
        for (text, group) in others.iter().zip([0, 1, 2, 3, 1, 0, 0]) {
            assert!(!table.take(&column(&[*text]), &[group]).unwrap(), "{text:?} is not that of {group}");
        }
        // Groups of a batch that was given up.
        assert!(table.take(&column(&[Some(long)]), &[4]).unwrap());
        table.truncate(4);
        assert!(table.take(&column(&[Some(last), Some(last)]), &[4, 4]).unwrap());
        assert!(table.column(0, 5).unwrap() == column(&[known[0], known[1], None, known[3], Some(last)]));
    }
}
