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

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use firesteel_common::{Batch, Error, Result, ResultExt, SqlType, encoding};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, EvalContext, Expr, FrameUnit, SortKey, WindowCall, WindowFunction};
use firesteel_runtime::{CancelToken, Reservation};

use super::sort::buffer::{columns_at, gather, gather_column, kept_bytes, own_bytes, places_of, retain};
use super::sort::gather::{SortedRows, SortedSlice};
use super::sort::keys::{Entry, KeyEncoder, sorted};
use crate::gather::GatherPoint;
use crate::{Operator, TaskContext};
use aggregates::FrameAggregate;
use chunk::{Before, Carried, Cut, Margin, Ranks};
use frames::{Frames, Segments};
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
    /// Where a chunk may end, how many rows around it are computed with it, and what is known of the row before.
    cut: Cut,
    margin: Margin,
    before: Before,
    carried: Carried,
    types: Vec<SqlType>,
    /// Which columns of the input are returned.
    kept: Vec<usize>,
    /// The rows, in order once the input has ended; those before `next` have been computed.
    sorted: SortedRows,
    next: usize,
    /// Bytes of a row.
    width: usize,
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
        let cut = calls.iter().map(chunk::cut).max().unwrap_or(Cut::Anywhere);
        let margins = calls.iter().filter_map(chunk::margin).filter(|_| cut != Cut::Partitions);
        Ok(Self {
            evaluator: Evaluator::compile(&exprs, &Layout::new(input), &cx.eval)?,
            encoder: KeyEncoder::from_types(by_partition.chain(by_order).collect())?,
            partition_by: partition_by.len(),
            order_by: order_by.to_vec(),
            calls: calls.to_vec(),
            seen_keys: partition_by.len() + if calls.iter().any(sees_peers) { order_by.len() } else { 0 },
            cut,
            margin: margins.fold(Margin::default(), Margin::max),
            before: Before::default(),
            carried: Carried::new(),
            types: input.iter().map(|c| c.ty.clone()).collect(),
            kept: (0..input.len()).collect(),
            sorted: SortedRows::default(),
            next: 0,
            width: 0,
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
        let (rows, lead) = (end - self.next, self.margin.before.min(self.next));
        let places = self.next - lead..self.sorted.order.len().min(end + self.margin.after);
        let calls: usize = self.calls.iter().map(|call| call_bytes(&call.function)).sum();
        self.chunk_reservation.try_resize(places.len() * (self.width + ROW_BYTES + calls))?;
        let places = &self.sorted.order[places];
        let SortedRows { batches, keys, args, .. } = &self.sorted;
        let columns = gather(batches, places)?.columns().to_vec();
        let keys = self.gather_own(keys, self.seen_keys, &columns, places)?;
        let args = self.gather_own(args, args.first().map_or(0, Vec::len), &columns, places)?;
        let around = View { keys, args, rows: places.len() };
        let (goes_on, is_peer) = self.goes_on_at(end)?;
        let (results, before, carried) = self.results(&around, lead..lead + rows, goes_on, is_peer)?;
        (self.next, self.before, self.carried) = (end, before, carried);
        let columns = columns.iter().map(|column| column.slice(lead, rows)).chain(results).collect();
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
                self.sorted.batches.iter().zip(parts).all(|(batch, part)| Arc::ptr_eq(&batch.columns()[*c], &part[i]))
            };
            match (0..gathered.len()).find(is_column) {
                Some(column) => Ok(gathered[column].clone()),
                None => gather_column(parts.iter().map(|part| &part[i]), places),
            }
        };
        (0..count).map(gather).collect()
    }

    /// The column of each call for the rows `chunk` of `around`; and what the next chunk is to know of the last row, if
    /// its partition `goes_on` there.
    fn results(
        &self,
        around: &View,
        chunk: Range<usize>,
        goes_on: bool,
        is_peer: bool,
    ) -> Result<(Vec<ArrayRef>, Before, Carried)> {
        let rows = around.slice(chunk.clone());
        let own = self.frames(&rows)?;
        let wide = if rows.rows == around.rows { None } else { Some(self.frames(around)?) };
        let ranks = Ranks { partitions: &own.partitions, peers: own.peers(), before: self.before };
        let mut results = Vec::with_capacity(self.calls.len());
        let mut carried = Carried::new();
        let mut next = 0;
        for (i, call) in self.calls.iter().enumerate() {
            self.cancel.check()?;
            let args = next..next + call.args().len();
            next = args.end;
            let mut state = Vec::new();
            let result = match (values::rank(&call.function, &ranks), &wide) {
                (Some(ranks), _) => ranks,
                (None, Some(wide)) if chunk::margin(call).is_some() => {
                    let result = self.by_frame(call, &around.args[args], wide, &[], false).at(call.span)?.0;
                    result.slice(chunk.start, chunk.len())
                }
                _ => {
                    let running = self.cut != Cut::Partitions && chunk::is_running(&call.frame);
                    let before = self.carried.get(i).map_or(&[][..], Vec::as_slice);
                    let result = self.by_frame(call, &rows.args[args], &own, before, running && goes_on);
                    let result = result.at(call.span)?;
                    state = result.1;
                    result.0
                }
            };
            results.push(encoding::canonical(&result, call.ty())?);
            carried.push(state);
        }
        let before = if goes_on { ranks.last(is_peer) } else { Before::default() };
        Ok((results, before, carried))
    }

    /// Partitions and peers of sorted rows.
    fn frames<'a>(&'a self, rows: &'a View) -> Result<Frames<'a>> {
        let partitions = Segments::of(&rows.keys[..self.partition_by], rows.rows)?;
        // Without ORDER BY all rows of a partition are peers; where nobody asks, it does not matter.
        let peers = self.calls.iter().any(sees_peers).then(|| Segments::of(&rows.keys, rows.rows)).transpose()?;
        let key = match (&rows.keys[self.partition_by..], self.order_by.as_slice()) {
            ([column], [key]) => Some((column, key.expr.ty(), key.ascending)),
            _ => None,
        };
        Ok(Frames { partitions, peers, key, eval: &self.eval, known: RefCell::default() })
    }

    /// The results of a call that sees a frame, and the state that it carries on.
    fn by_frame(
        &self,
        call: &WindowCall,
        args: &[ArrayRef],
        rows: &Frames<'_>,
        before: &[ArrayRef],
        goes_on: bool,
    ) -> Result<(ArrayRef, Vec<ArrayRef>)> {
        let frames = rows.of(&call.frame)?;
        let result = match (&call.function, args) {
            (WindowFunction::Aggregate(aggregate), _) => {
                let (args, filter) = args.split_at(aggregate.args.len());
                let filter = filter.first().and_then(|f| f.as_boolean_opt());
                let partitions = &rows.partitions;
                let eval = &self.eval;
                let aggregate = FrameAggregate { call: aggregate, args, filter, partitions, before, goes_on, eval };
                return aggregate.compute(&frames);
            }
            (WindowFunction::Shift { offset, default, ignore_nulls, .. }, [value]) => {
                Values::new(value, *ignore_nulls).shift(*offset, default, call.ty(), &rows.partitions)
            }
            (WindowFunction::Nth { n, ignore_nulls, .. }, [value]) => {
                Values::new(value, *ignore_nulls).nth(*n, &frames)
            }
            (WindowFunction::Last { ignore_nulls, .. }, [value]) => Values::new(value, *ignore_nulls).last(&frames),
            _ => Err(Error::internal(format!("no window function {call}"))),
        };
        Ok((result?, Vec::new()))
    }
}

/// Sorted rows: keys, as far as they are seen, and arguments.
struct View {
    keys: Vec<ArrayRef>,
    args: Vec<ArrayRef>,
    rows: usize,
}

impl View {
    fn slice(&self, rows: Range<usize>) -> Self {
        let slice = |columns: &[ArrayRef]| columns.iter().map(|c| c.slice(rows.start, rows.len())).collect();
        Self { keys: slice(&self.keys), args: slice(&self.args), rows: rows.len() }
    }
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
        self.sorted.batches.push(batch);
        self.sorted.keys.push(keys);
        self.sorted.args.push(args);
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
            if self.next == self.sorted.order.len() {
                if self.next > 0 {
                    (self.sorted, self.next) = (SortedRows::default(), 0);
                    (self.before, self.carried) = (Before::default(), Carried::new());
                    self.chunk_reservation.free();
                    self.reservation.free();
                }
                return Ok(None);
            }
            self.chunk = Some(self.compute()?);
        }
    }

    fn input_done(&mut self) -> Result<()> {
        self.sorted.order = if self.partition_by + self.order_by.len() > 0 {
            sorted(&self.encoder, &self.sorted.keys, &mut self.reservation, &self.cancel)?
        } else {
            let of = |(batch, rows): (usize, &Batch)| {
                (0..rows.rows()).map(move |row| Entry { prefix: 0, batch: batch as u32, row: row as u32 })
            };
            self.sorted.batches.iter().enumerate().flat_map(of).collect()
        };
        if let Some(gather) = self.gather.take() {
            let own = std::mem::take(&mut self.sorted);
            let met = own.meet(gather, &mut self.reservation, &self.encoder, &self.cancel)?;
            self.sorted = met.unwrap_or_default();
        }
        self.width = self.sorted.row_bytes();
        Ok(())
    }
}
