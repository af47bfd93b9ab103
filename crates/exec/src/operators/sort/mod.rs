//! Orders the rows of a task in memory.
//!
//! Batches are kept as they come. At the end of the input the places of the rows are sorted by their keys
//! ([`keys`]), and output batches are gathered from there one at a time. Ties are in any order.

pub(crate) mod buffer;
pub(crate) mod gather;
pub(crate) mod keys;
mod pack;
pub(crate) mod ranges;

#[cfg(test)]
mod tests;

use firesteel_common::{Batch, Result, SqlType};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, SortKey};
use firesteel_runtime::{CancelToken, Reservation};

use crate::gather::GatherPoint;
use crate::{Operator, TaskContext};
use gather::{SortedRows, SortedSlice};
use keys::{Entry, KeyEncoder};

/// The operator of [`firesteel_plan::PhysicalOp::Sort`].
pub struct SortOperator {
    evaluator: Evaluator,
    encoder: KeyEncoder,
    types: Vec<SqlType>,
    /// Which of its columns are returned.
    kept: Vec<usize>,
    /// The rows, in order once the input has ended; so many of them were returned.
    sorted: SortedRows,
    returned: usize,
    /// Where the slices of a partition meet.
    gather: Option<(GatherPoint<SortedSlice>, Reservation)>,
    reservation: Reservation,
    batch_rows: usize,
    cancel: CancelToken,
}

impl SortOperator {
    /// Orders rows of `input` by `keys`, of which there is at least one.
    pub fn new(keys: &[SortKey], input: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        Ok(Self {
            evaluator: Evaluator::compile(&KeyEncoder::exprs(keys), &Layout::new(input), &cx.eval)?,
            encoder: KeyEncoder::new(keys)?,
            types: input.iter().map(|c| c.ty.clone()).collect(),
            kept: (0..input.len()).collect(),
            sorted: SortedRows::default(),
            returned: 0,
            gather: None,
            reservation: cx.reserve("Sort"),
            batch_rows: cx.batch_rows.max(1),
            cancel: cx.cancel.clone(),
        })
    }

    /// Lets the sorted rows of all slices meet at `point`, where one task merges and returns them; `reservation` is for
    /// what it needs for that.
    pub(crate) fn gather(mut self, point: GatherPoint<SortedSlice>, reservation: Reservation) -> Self {
        self.gather = Some((point, reservation));
        self
    }

    /// Returns only those columns of `input` that are in `output`.
    pub(crate) fn returning(mut self, input: &[ColumnRef], output: &[ColumnRef]) -> Self {
        self.kept = buffer::places_of(input, output);
        self
    }
}

impl Operator for SortOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let batch = buffer::retain(batch, &self.types)?;
        let keys = self.encoder.prepare(&self.evaluator.evaluate(&batch)?)?;
        let batch = buffer::columns_at(&batch, &self.kept);
        let own = buffer::own_bytes(&batch, &keys);
        self.reservation.try_grow(buffer::kept_bytes(&batch) + own + batch.rows() * size_of::<Entry>())?;
        self.sorted.batches.push(batch);
        self.sorted.keys.push(keys);
        self.sorted.args.push(Vec::new());
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        self.cancel.check()?;
        let SortedRows { batches, order, .. } = &self.sorted;
        let rows = self.batch_rows.min(order.len() - self.returned);
        if rows == 0 {
            return Ok(None);
        }
        let batch = buffer::gather(batches, &order[self.returned..self.returned + rows])?;
        self.returned += rows;
        if self.returned == order.len() {
            (self.sorted, self.returned) = (SortedRows::default(), 0);
            self.reservation.free();
        }
        Ok(Some(batch))
    }

    fn input_done(&mut self) -> Result<()> {
        if !self.sorted.batches.is_empty() {
            self.sorted.order = keys::sorted(&self.encoder, &self.sorted.keys, &mut self.reservation, &self.cancel)?;
        }
        if let Some(gather) = self.gather.take() {
            let own = std::mem::take(&mut self.sorted);
            self.sorted = own.meet(gather, &mut self.reservation, &self.encoder, &self.cancel)?.unwrap_or_default();
        }
        // They are in order now.
        self.sorted.keys.clear();
        Ok(())
    }
}
