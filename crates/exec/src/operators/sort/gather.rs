//! One partition whose rows several tasks have sorted, each a slice.

use arrow::array::ArrayRef;
use firesteel_common::{Batch, Result};
use firesteel_runtime::{CancelToken, Reservation};

use super::buffer::{kept_bytes, own_bytes};
use super::keys::{Entry, KeyEncoder, merged};
use crate::gather::GatherPoint;

/// Rows with the places of them in order.
#[derive(Debug, Default)]
pub(crate) struct SortedRows {
    pub(crate) batches: Vec<Batch>,
    /// Of each batch, the sort keys and what else was computed of it.
    pub(crate) keys: Vec<Vec<ArrayRef>>,
    pub(crate) args: Vec<Vec<ArrayRef>>,
    pub(crate) order: Vec<Entry>,
}

/// The rows of a slice, and what they hold.
#[derive(Debug)]
pub(crate) struct SortedSlice {
    rows: SortedRows,
    _memory: Reservation,
}

impl SortedRows {
    /// Bytes of a row on average.
    pub(crate) fn row_bytes(&self) -> usize {
        let parts = self.batches.iter().zip(&self.keys).zip(&self.args);
        let bytes =
            parts.map(|((batch, keys), args)| kept_bytes(batch) + own_bytes(batch, keys) + own_bytes(batch, args));
        bytes.sum::<usize>() / self.order.len().max(1)
    }

    /// Lets the rows of all slices meet at `point`; the task that is to go on gets them all. `memory` is for these rows,
    /// and becomes that for what merging them needs.
    pub(crate) fn meet(
        self,
        (point, reservation): (GatherPoint<SortedSlice>, Reservation),
        memory: &mut Reservation,
        encoder: &KeyEncoder,
        cancel: &CancelToken,
    ) -> Result<Option<Self>> {
        let held = std::mem::replace(memory, reservation);
        let Some(slices) = point.leave(SortedSlice { rows: self, _memory: held }) else { return Ok(None) };
        let rows = slices.iter().map(|slice| slice.rows.order.len()).sum();
        // The sort merges with the help of half as many.
        memory.try_resize(rows * size_of::<Entry>() * 3 / 2)?;
        let mut all = Self { order: Vec::with_capacity(rows), ..Self::default() };
        for SortedSlice { rows, .. } in slices.iter().map(|slice| &**slice) {
            let before = all.batches.len() as u32;
            all.order.extend(rows.order.iter().map(|e| Entry { batch: e.batch + before, ..*e }));
            all.batches.extend(rows.batches.iter().cloned());
            all.keys.extend(rows.keys.iter().cloned());
            all.args.extend(rows.args.iter().cloned());
        }
        all.order = merged(encoder, &all.keys, all.order, memory, cancel)?;
        Ok(Some(all))
    }
}
