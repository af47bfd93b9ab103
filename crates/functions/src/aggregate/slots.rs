//! One value of any type per group, as references into arrays that keep the picked rows.
//!
//! Each batch adds one array of the rows picked from it, so that no value is boxed. When replaced
//! rows outnumber the live ones, the live ones are gathered into a single array.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use firesteel_common::{Result, SqlType, encoding};

pub(super) struct Slots {
    ty: SqlType,
    /// The first array has one row, a NULL, which unset groups refer to.
    chunks: Vec<ArrayRef>,
    slots: Vec<(u32, u32)>,
    /// Rows in `chunks`, live or not.
    stored: usize,
    bytes: usize,
}

impl Slots {
    pub(super) fn new(ty: &SqlType) -> Self {
        let chunks = vec![new_null_array(&ty.arrow(), 1)];
        Self { ty: ty.clone(), chunks, slots: Vec::new(), stored: 0, bytes: 0 }
    }

    pub(super) fn resize(&mut self, groups: usize) {
        self.slots.resize(groups, (0, 0));
    }

    /// Sets groups to rows of `source`: pairs of group and row, of which the last one for a group holds.
    pub(super) fn set(&mut self, source: &ArrayRef, picks: &[(u32, u32)]) -> Result<()> {
        if picks.is_empty() {
            return Ok(());
        }
        let chunk = self.chunks.len() as u32;
        let mut rows: Vec<u32> = Vec::new();
        for (group, row) in picks {
            let slot = &mut self.slots[*group as usize];
            // A group that this batch set before keeps its place.
            if slot.0 == chunk {
                rows[slot.1 as usize] = *row;
            } else {
                *slot = (chunk, rows.len() as u32);
                rows.push(*row);
            }
        }
        self.stored += rows.len();
        let picked = take(&encoding::canonical(source, &self.ty)?, &UInt32Array::from(rows), None)?;
        self.bytes += picked.get_array_memory_size();
        self.chunks.push(picked);
        if self.stored > 2 * self.slots.len() + 1024 {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<()> {
        let all = self.gather(0, self.slots.len())?;
        self.chunks.truncate(1);
        self.bytes = all.get_array_memory_size();
        self.stored = all.len();
        self.chunks.push(all);
        for (row, slot) in self.slots.iter_mut().enumerate() {
            if slot.0 != 0 {
                *slot = (1, row as u32);
            }
        }
        Ok(())
    }

    /// The values of `rows` groups from `offset` on.
    pub(super) fn gather(&self, offset: usize, rows: usize) -> Result<ArrayRef> {
        if self.ty == SqlType::Void {
            return Ok(new_null_array(&self.ty.arrow(), rows));
        }
        let arrays: Vec<&dyn Array> = self.chunks.iter().map(|c| c.as_ref()).collect();
        let indices: Vec<(usize, usize)> =
            self.slots[offset..offset + rows].iter().map(|(chunk, row)| (*chunk as usize, *row as usize)).collect();
        Ok(interleave(&arrays, &indices)?)
    }

    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * 8 + self.bytes
    }
}
