//! The first rows of a task in order, without sorting all.
//!
//! Candidates are collected until there are about twice as many as are wanted; then all but the best are
//! dropped. The last of those kept is the *boundary*: rows that are not before it never become
//! candidates, and most are recognised by their prefix alone, before anything is copied.

use arrow::array::UInt32Array;
use arrow::compute::take;
use arrow::row::Rows;
use firesteel_common::{Batch, Result, Selection, SqlType};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, SortKey};
use firesteel_runtime::Reservation;

use super::sort::buffer::{gather, retain};
use super::sort::keys::{Entry, KeyEncoder, compare};
use crate::{Operator, TaskContext};

/// Candidates that are collected beyond the limit at least.
const SLACK: usize = 1024;

/// The operator of [`firesteel_plan::PhysicalOp::TopK`].
pub struct TopKOperator {
    evaluator: Evaluator,
    encoder: KeyEncoder,
    types: Vec<SqlType>,
    limit: usize,
    /// Candidates, the bytes of their keys, and their entries, which are not in order.
    batches: Vec<Batch>,
    rows: Vec<Rows>,
    entries: Vec<Entry>,
    /// Prefix and bytes of the worst row that is still wanted, once there are enough.
    boundary: Option<(u64, Vec<u8>)>,
    /// Rows that were returned, once the input has ended.
    returned: usize,
    done: bool,
    reservation: Reservation,
    batch_rows: usize,
}

impl TopKOperator {
    /// The first `limit` rows of `input` by `keys`, of which there is at least one.
    pub fn new(keys: &[SortKey], limit: u64, input: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        Ok(Self {
            evaluator: Evaluator::compile(&KeyEncoder::exprs(keys), &Layout::new(input), &cx.eval)?,
            encoder: KeyEncoder::new(keys)?,
            types: input.iter().map(|c| c.ty.clone()).collect(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            batches: Vec::new(),
            rows: Vec::new(),
            entries: Vec::new(),
            boundary: None,
            returned: 0,
            done: false,
            reservation: cx.reserve("TopK"),
            batch_rows: cx.batch_rows.max(1),
        })
    }

    /// Adds the rows of `batch` that come before the boundary to the candidates.
    fn collect(&mut self, batch: Batch) -> Result<()> {
        let mut batch = batch;
        let mut keys = self.encoder.prepare(&self.evaluator.evaluate(&batch)?)?;
        let mut prefixes = self.encoder.prefixes(&keys)?;
        if let Some((prefix, _)) = &self.boundary {
            let near = positions(prefixes.len(), |row| prefixes[row] <= *prefix);
            if near.is_empty() {
                return Ok(());
            }
            if near.len() < prefixes.len() {
                prefixes = near.iter().map(|row| prefixes[*row as usize]).collect();
                let indices = UInt32Array::from(near.clone());
                keys = keys.iter().map(|k| Ok(take(k, &indices, None)?)).collect::<Result<_>>()?;
                batch = batch.refine(&Selection::new(near));
            }
        }
        let rows = self.encoder.rows(&keys)?;
        let wanted = match &self.boundary {
            Some((_, bytes)) => positions(prefixes.len(), |row| rows.row(row).data() < bytes.as_slice()),
            None => positions(prefixes.len(), |_| true),
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let number = self.batches.len() as u32;
        let mut kept = self.encoder.no_rows(wanted.len());
        for (place, row) in wanted.iter().enumerate() {
            kept.push(rows.row(*row as usize));
            self.entries.push(Entry { prefix: prefixes[*row as usize], batch: number, row: place as u32 });
        }
        self.rows.push(kept);
        self.batches.push(retain(batch.refine(&Selection::new(wanted)), &self.types)?);
        Ok(())
    }

    /// Drops all candidates but the best.
    fn shrink(&mut self) -> Result<()> {
        if self.entries.len() > self.limit {
            let rows = &self.rows;
            self.entries.select_nth_unstable_by(self.limit - 1, |a, b| compare(a, b, rows));
            self.entries.truncate(self.limit);
        }
        let last = |e: &Entry| (e.prefix, self.rows[e.batch as usize].row(e.row as usize).data().to_vec());
        self.boundary = self.entries.get(self.limit - 1).map(last);
        let mut kept = self.encoder.no_rows(self.entries.len());
        let mut places = Vec::with_capacity(self.entries.len());
        for (place, entry) in self.entries.iter_mut().enumerate() {
            kept.push(self.rows[entry.batch as usize].row(entry.row as usize));
            places.push(*entry);
            *entry = Entry { prefix: entry.prefix, batch: 0, row: place as u32 };
        }
        let batch = retain(gather(&self.batches, &places)?, &self.types)?;
        self.batches = vec![batch];
        self.rows = vec![kept];
        Ok(())
    }

    fn memory(&self) -> usize {
        let batches: usize = self.batches.iter().map(Batch::memory).sum();
        let rows: usize = self.rows.iter().map(Rows::size).sum();
        batches + rows + self.entries.capacity() * size_of::<Entry>()
    }
}

fn positions(rows: usize, keep: impl Fn(usize) -> bool) -> Vec<u32> {
    (0..rows).filter(|row| keep(*row)).map(|row| row as u32).collect()
}

impl Operator for TopKOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        if self.limit == 0 {
            return Ok(());
        }
        self.collect(batch)?;
        if self.entries.len() >= self.limit.saturating_add(self.limit.max(SLACK)) {
            self.shrink()?;
        }
        let memory = self.memory();
        self.reservation.try_resize(memory)
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        if !self.done {
            return Ok(None);
        }
        let rows = self.batch_rows.min(self.entries.len() - self.returned);
        if rows == 0 {
            return Ok(None);
        }
        let part = &self.entries[self.returned..self.returned + rows];
        self.returned += rows;
        gather(&self.batches, part).map(Some)
    }

    fn input_done(&mut self) -> Result<()> {
        let rows = &self.rows;
        self.entries.sort_unstable_by(|a, b| compare(a, b, rows));
        self.entries.truncate(self.limit);
        self.done = true;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.limit == 0
    }
}
