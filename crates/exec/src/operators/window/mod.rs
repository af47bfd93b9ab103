//! Window functions over the partitions that a task sees.
//!
//! The input, which has all rows of its partitions in any order, is kept, and the places of the rows are sorted by
//! partition and order. Then a chunk ([`chunk`]) at a time is gathered, computed and returned, so that only the
//! input is held as a whole. Within a chunk everything works on whole columns over all partitions at once:
//! boundaries and frames are positions in the sorted rows ([`frames`]), values are taken by position
//! ([`values`]), aggregates merge states ([`aggregates`]).

mod aggregates;
mod chunk;
mod frames;
mod scan;
mod values;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use firesteel_common::{Batch, Error, Result, ResultExt, SqlType, encoding};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, EvalContext, Expr, Frame, FrameUnit, SortKey, WindowCall, WindowFunction};
use firesteel_runtime::{CancelToken, Reservation};

use super::sort::buffer::{columns_at, gather, gather_column, kept_bytes, own_bytes, places_of, retain};
use super::sort::gather::{SortedRows, SortedSlice};
use super::sort::keys::{Entry, KeyEncoder, sorted};
use crate::gather::GatherPoint;
use crate::{Operator, TaskContext};
use aggregates::FrameAggregate;
use chunk::{Before, Ranks};
use frames::{FrameInput, Segments};
use values::Values;

/// The operator of [`firesteel_plan::PhysicalOp::Window`].
pub struct WindowOperator {
    /// PARTITION BY, then ORDER BY, then what the calls read.
    evaluator: Evaluator,
    encoder: KeyEncoder,
    partition_by: usize,
    order_by: Vec<SortKey>,
    calls: Vec<WindowCall>,
    /// So many of the first keys matter for where partitions and, if a call asks, peers end.
    seen_keys: usize,
    /// Whether every call can go on from the row before a chunk, of which this is known.
    goes_on: bool,
    before: Before,
    types: Vec<SqlType>,
    /// Which columns of the input are returned.
    kept: Vec<usize>,
    batches: Vec<Batch>,
    /// Of each batch what the evaluator gives: the sort keys, and what the calls read.
    keys: Vec<Vec<ArrayRef>>,
    args: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// Places of the rows in order, once the input has ended; those before `next` have been computed.
    order: Vec<Entry>,
    next: usize,
    /// The rows of some partitions with the results; those from `returned` on are still to be returned.
    chunk: Option<Batch>,
    returned: usize,
    /// Where the slices of a partition meet.
    gather: Option<(GatherPoint<SortedSlice>, Reservation)>,
    reservation: Reservation,
    chunk_reservation: Reservation,
    eval: EvalContext,
    batch_rows: usize,
    cancel: CancelToken,
}

/// Bytes per row while a chunk is computed: places, partitions, peers.
const ROW_BYTES: usize = 32;

impl WindowOperator {
    /// Adds the columns of `calls` to rows of `input`, which is partitioned and ordered as given.
    pub fn new(
        partition_by: &[Expr],
        order_by: &[SortKey],
        calls: &[WindowCall],
        input: &[ColumnRef],
        cx: &TaskContext,
    ) -> Result<Self> {
        let mut exprs = partition_by.to_vec();
        exprs.extend(KeyEncoder::exprs(order_by));
        exprs.extend(calls.iter().flat_map(|call| call.args().into_iter().cloned()));
        let by_partition = partition_by.iter().map(|e| (e.ty(), true, true));
        let by_order = order_by.iter().map(|k| (k.expr.ty(), k.ascending, k.nulls_first));
        for call in calls {
            if let WindowFunction::Aggregate(aggregate) = &call.function
                && aggregate.distinct
            {
                return Err(Error::unsupported("DISTINCT window functions are not supported.").at(call.span));
            }
        }
        Ok(Self {
            evaluator: Evaluator::compile(&exprs, &Layout::new(input), &cx.eval)?,
            encoder: KeyEncoder::from_types(by_partition.chain(by_order).collect())?,
            partition_by: partition_by.len(),
            order_by: order_by.to_vec(),
            calls: calls.to_vec(),
            seen_keys: partition_by.len() + if calls.iter().any(sees_peers) { order_by.len() } else { 0 },
            goes_on: calls.iter().all(chunk::goes_on),
            before: Before::default(),
            types: input.iter().map(|c| c.ty.clone()).collect(),
            kept: (0..input.len()).collect(),
            batches: Vec::new(),
            keys: Vec::new(),
            args: Vec::new(),
            rows: 0,
            order: Vec::new(),
            next: 0,
            chunk: None,
            returned: 0,
            gather: None,
            reservation: cx.reserve("Window"),
            chunk_reservation: cx.reserve("Window"),
            eval: cx.eval.clone(),
            batch_rows: cx.batch_rows.max(1),
            cancel: cx.cancel.clone(),
        })
    }

    /// Returns only those columns of `input` that are in `output`, and the calls.
    pub(crate) fn returning(mut self, input: &[ColumnRef], output: &[ColumnRef]) -> Self {
        self.kept = places_of(input, output);
        self
    }

    /// Lets the sorted rows of all slices meet at `point`, where one task computes the functions; `reservation` is
    /// for what it needs to merge them.
    pub(crate) fn gather(mut self, point: GatherPoint<SortedSlice>, reservation: Reservation) -> Self {
        self.gather = Some((point, reservation));
        self
    }

    /// Computes all calls over the next rows.
    fn compute(&mut self) -> Result<Batch> {
        self.cancel.check()?;
        let end = self.chunk_end()?;
        let rows = end - self.next;
        let calls: usize = self.calls.iter().map(|call| call_bytes(&call.function)).sum();
        let width = self.reservation.size() / self.rows.max(1) + ROW_BYTES + calls;
        self.chunk_reservation.try_resize(rows * width)?;
        self.before = self.before()?;
        let places = &self.order[self.next..end];
        let mut columns = gather(&self.batches, places)?.columns().to_vec();
        let keys = self.gather_own(&self.keys, self.seen_keys, &columns, places)?;
        let args = self.gather_own(&self.args, self.args.first().map_or(0, Vec::len), &columns, places)?;
        let (results, before) = self.results(&keys, &args, rows)?;
        columns.extend(results);
        (self.next, self.before) = (end, before);
        Ok(Batch::new(columns, rows))
    }

    /// The rows at `places` of the first `count` columns of `parts`, one for each batch; of what is a column of all
    /// batches, it is in `gathered`.
    fn gather_own(
        &self,
        parts: &[Vec<ArrayRef>],
        count: usize,
        gathered: &[ArrayRef],
        places: &[Entry],
    ) -> Result<Vec<ArrayRef>> {
        let gather = |i: usize| {
            let is_column = |c: &usize| {
                self.batches.iter().zip(parts).all(|(batch, part)| Arc::ptr_eq(&batch.columns()[*c], &part[i]))
            };
            match (0..gathered.len()).find(is_column) {
                Some(column) => Ok(gathered[column].clone()),
                None => gather_column(parts.iter().map(|part| &part[i]), places),
            }
        };
        (0..count).map(gather).collect()
    }

    /// The column of each call, from sorted keys and arguments; and what the next chunk is to know of the last row.
    fn results(&self, keys: &[ArrayRef], args: &[ArrayRef], rows: usize) -> Result<(Vec<ArrayRef>, Before)> {
        let partitions = Segments::of(&keys[..self.partition_by], rows)?;
        // Without ORDER BY all rows of a partition are peers; where nobody asks, it does not matter.
        let peers = self.calls.iter().any(sees_peers).then(|| Segments::of(keys, rows)).transpose()?;
        let peers = peers.as_ref().unwrap_or(&partitions);
        let order_keys = &keys[self.partition_by..];
        let order_types: Vec<SqlType> = self.order_by.iter().map(|k| k.expr.ty()).collect();
        let key = match (order_keys, order_types.as_slice(), self.order_by.as_slice()) {
            ([column], [ty], [key]) => Some((column, ty, key.ascending)),
            _ => None,
        };
        let ranks = Ranks { partitions: &partitions, peers, before: self.before };
        let input = FrameInput { partitions: &partitions, peers, key, eval: &self.eval };
        let mut frames: HashMap<&Frame, Segments> = HashMap::new();
        let mut results = Vec::with_capacity(self.calls.len());
        let mut next = 0;
        for call in &self.calls {
            self.cancel.check()?;
            let own = &args[next..next + call.args().len()];
            next += own.len();
            if let Some(ranks) = values::rank(&call.function, &ranks) {
                results.push(typed(ranks, call.ty())?);
                continue;
            }
            if !frames.contains_key(&call.frame) {
                frames.insert(&call.frame, input.frames(&call.frame).at(call.span)?);
            }
            let frame = frames.get(&call.frame).ok_or_else(|| Error::internal("no frame"))?;
            let result = self.by_frame(call, own, &partitions, frame).at(call.span)?;
            results.push(typed(result, call.ty())?);
        }
        Ok((results, if self.goes_on { ranks.last() } else { Before::default() }))
    }

    fn by_frame(
        &self,
        call: &WindowCall,
        args: &[ArrayRef],
        partitions: &Segments,
        frames: &Segments,
    ) -> Result<ArrayRef> {
        match (&call.function, args) {
            (WindowFunction::Aggregate(aggregate), _) => {
                let (args, filter) = args.split_at(aggregate.args.len());
                let filter = filter.first().and_then(|f| f.as_boolean_opt());
                FrameAggregate { call: aggregate, args, filter, partitions, eval: &self.eval }.compute(frames)
            }
            (WindowFunction::Shift { offset, default, ignore_nulls, .. }, [value]) => {
                Values::new(value, *ignore_nulls).shift(*offset, default, call.ty(), partitions)
            }
            (WindowFunction::Nth { n, ignore_nulls, .. }, [value]) => Values::new(value, *ignore_nulls).nth(*n, frames),
            (WindowFunction::Last { ignore_nulls, .. }, [value]) => Values::new(value, *ignore_nulls).last(frames),
            _ => Err(Error::internal(format!("no window function {call}"))),
        }
    }
}

/// `column` in the encoding of `ty`.
fn typed(column: ArrayRef, ty: &SqlType) -> Result<ArrayRef> {
    encoding::canonical(&column, ty)
}

/// Whether it matters for a call which rows are equal in the order.
fn sees_peers(call: &WindowCall) -> bool {
    match call.function {
        WindowFunction::RowNumber | WindowFunction::Ntile(_) => false,
        WindowFunction::Rank | WindowFunction::DenseRank | WindowFunction::PercentRank | WindowFunction::CumeDist => {
            true
        }
        _ => call.frame.unit == FrameUnit::Range,
    }
}

/// Bytes per row while a call is computed: its frames, states and result.
fn call_bytes(function: &WindowFunction) -> usize {
    match function {
        WindowFunction::Aggregate(_) => 64,
        WindowFunction::Shift { .. } | WindowFunction::Nth { .. } | WindowFunction::Last { .. } => 32,
        _ => 8,
    }
}

impl Operator for WindowOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let batch = retain(batch, &self.types)?;
        let mut keys = self.evaluator.evaluate(&batch)?;
        let args = keys.split_off(self.partition_by + self.order_by.len());
        let keys = self.encoder.prepare(&keys)?;
        let batch = columns_at(&batch, &self.kept);
        let is_key = |arg: &ArrayRef| keys.iter().any(|key| Arc::ptr_eq(key, arg));
        let own_args: Vec<ArrayRef> = args.iter().filter(|arg| !is_key(arg)).cloned().collect();
        let own = own_bytes(&batch, &keys) + own_bytes(&batch, &own_args);
        self.reservation.try_grow(kept_bytes(&batch) + own + batch.rows() * size_of::<Entry>())?;
        self.rows += batch.rows();
        self.batches.push(batch);
        self.keys.push(keys);
        self.args.push(args);
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(chunk) = &self.chunk {
                let rows = self.batch_rows.min(chunk.rows() - self.returned);
                if rows > 0 {
                    let batch = chunk.slice(self.returned, rows);
                    self.returned += rows;
                    return Ok(Some(batch));
                }
                (self.chunk, self.returned) = (None, 0);
            }
            if self.next == self.order.len() {
                if self.next > 0 {
                    self.batches.clear();
                    self.keys.clear();
                    self.args.clear();
                    (self.order, self.next) = (Vec::new(), 0);
                    self.before = Before::default();
                    self.chunk_reservation.free();
                    self.reservation.free();
                }
                return Ok(None);
            }
            self.chunk = Some(self.compute()?);
        }
    }

    fn input_done(&mut self) -> Result<()> {
        self.order = if self.partition_by + self.order_by.len() > 0 {
            sorted(&self.encoder, &self.keys, &mut self.reservation, &self.cancel)?
        } else {
            let of = |(batch, rows): (usize, &Batch)| {
                (0..rows.rows()).map(move |row| Entry { prefix: 0, batch: batch as u32, row: row as u32 })
            };
            self.batches.iter().enumerate().flat_map(of).collect()
        };
        let Some(gather) = self.gather.take() else { return Ok(()) };
        let own = SortedRows {
            batches: std::mem::take(&mut self.batches),
            keys: std::mem::take(&mut self.keys),
            args: std::mem::take(&mut self.args),
            order: std::mem::take(&mut self.order),
        };
        let met = own.meet(gather, &mut self.reservation, &self.encoder, &self.cancel)?;
        SortedRows { batches: self.batches, keys: self.keys, args: self.args, order: self.order } =
            met.unwrap_or_default();
        self.rows = self.order.len();
        Ok(())
    }
}
