//! One partition whose rows several tasks have sorted, each a slice.

use arrow::array::ArrayRef;
use firesteel_common::{Batch, Result};
use firesteel_runtime::Reservation;

use super::WindowOperator;
use crate::gather::GatherPoint;
use crate::operators::sort::keys::{Entry, merged};

/// The rows of a slice with their places in order.
#[derive(Debug)]
pub(crate) struct SortedSlice {
    batches: Vec<Batch>,
    keys: Vec<Vec<ArrayRef>>,
    args: Vec<Vec<ArrayRef>>,
    order: Vec<Entry>,
    _memory: Reservation,
}

impl WindowOperator {
    /// Lets the sorted rows of all slices meet at `point`, where one task computes the functions; `reservation` is
    /// for what it needs to merge them.
    pub(crate) fn gather(mut self, point: GatherPoint<SortedSlice>, reservation: Reservation) -> Self {
        self.gather = Some((point, reservation));
        self
    }

    /// At the end of the input of a slice: leaves its rows, and goes on with those of all slices if it is to.
    pub(super) fn leave(&mut self, point: &GatherPoint<SortedSlice>, reservation: Reservation) -> Result<()> {
        let memory = std::mem::replace(&mut self.reservation, reservation);
        let slice = SortedSlice {
            batches: std::mem::take(&mut self.batches),
            keys: std::mem::take(&mut self.keys),
            args: std::mem::take(&mut self.args),
            order: std::mem::take(&mut self.order),
            _memory: memory,
        };
        let Some(slices) = point.leave(slice) else { return Ok(()) };
        let rows = slices.iter().map(|slice| slice.order.len()).sum();
        // The sort merges with the help of half as many.
        self.reservation.try_resize(rows * size_of::<Entry>() * 3 / 2)?;
        let mut entries = Vec::with_capacity(rows);
        for slice in &slices {
            let before = self.batches.len() as u32;
            entries.extend(slice.order.iter().map(|e| Entry { batch: e.batch + before, ..*e }));
            self.batches.extend(slice.batches.iter().cloned());
            self.keys.extend(slice.keys.iter().cloned());
            self.args.extend(slice.args.iter().cloned());
        }
        self.rows = rows;
        self.order = merged(&self.encoder, &self.keys, entries, &mut self.reservation, &self.cancel)?;
        Ok(())
    }
}
