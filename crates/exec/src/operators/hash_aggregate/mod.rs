//! Grouping with a hash table.
//!
//! Keys are numbered by a [`groups::GroupTable`]; accumulators hold the states of all groups by number.
//! All keys, arguments and filters are compiled into one evaluator, so that what they share is
//! computed once.
//!
//! The partial half is a reducer, not a place to keep groups: it hands its groups on when they outgrow
//! [`PARTIAL_BYTES`] (or the memory limit), since duplicates are merged by the final half; when rows come
//! clustered by their keys, already at [`CLUSTERED_GROUPS`], since groups that are left do not come back and a
//! small table stays in the nearest caches. It stops hashing for good once it sees that most rows make a group
//! of their own ([`PASS_THROUGH_RATIO`]). It looks sooner if the planner expects that: few rows alone prove
//! little, since keys that come back much later look new at first.

#[cfg(test)]
mod bytes;
mod columns;
mod determined;
mod fields;
mod gather;
mod groups;
mod interned;
mod known_rows;
mod packed;
mod share;
mod slots;
mod texts;
pub(crate) mod values;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use firesteel_common::{Batch, Error, Result, ResultExt, Span, SqlType};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{AggregateCall, AggregateFunction, ColumnRef, EvalContext, Expr, GroupAccumulator};
use firesteel_plan::{AggregateMode, HashAggregate};
use firesteel_runtime::Reservation;

use crate::gather::GatherPoint;
use crate::{Operator, TaskContext};
pub(crate) use gather::SliceGroups;
use groups::GroupTable;
pub(crate) use share::Share;
use slots::Slots;

/// Bytes of groups that a partial half keeps: what stays near the caches.
const PARTIAL_BYTES: usize = 32 << 20;
/// Groups that a partial half keeps if rows of a group follow each other.
const CLUSTERED_GROUPS: usize = 1 << 13;
/// Rows after which a partial half judges whether hashing pays.
const PASS_THROUGH_ROWS: usize = 100_000;
/// The same, if the planner expects that it does not.
const PASS_THROUGH_ROWS_EXPECTED: usize = 8_192;
/// Groups per row above which it does not.
const PASS_THROUGH_RATIO: f64 = 0.8;
/// Groups whose tables are too small for their doubling to matter.
const FEW_GROUPS: usize = 1 << 16;
/// Groups from which a table is made as large as it is expected to get.
const GROUPS_SEEN: usize = 1 << 11;
/// New groups per row of the last batch from which the expectation is believed.
const NEARLY_ALL_NEW: f64 = 0.9;
/// Groups for which a table is made, in groups that there are: what was expected may be wrong.
const LARGEST_STEP: usize = 16;

/// The operator of [`firesteel_plan::PhysicalOp::HashAggregate`].
pub struct HashAggregateOperator {
    mode: AggregateMode,
    /// Keys, then the arguments and the filter of each call (in a final half: its states).
    evaluator: Evaluator,
    keys: usize,
    calls: Vec<Call>,
    table: GroupTable,
    accumulators: Vec<Box<dyn GroupAccumulator>>,
    /// Groups of the rows of a batch; kept for its memory.
    groups: Vec<u32>,
    /// Rows taken in since the table was empty.
    rows: usize,
    /// Rows after which a partial half judges.
    trial: usize,
    /// Groups that are expected, if the number of rows is known.
    expected: usize,
    /// New groups per row of the last batch.
    fresh: f64,
    phase: Phase,
    ready: Option<Batch>,
    /// Which groups to make, if not all.
    share: Option<Share>,
    /// Where the groups of the slices of a partition meet.
    gather: Option<(GatherPoint<SliceGroups>, Reservation)>,
    reservation: Reservation,
    eval: EvalContext,
    batch_rows: usize,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Groups are collected.
    Build,
    /// Groups from `offset` on are still to be returned, then what `then` says.
    Drain { offset: usize, then: Then },
    /// Partial results are made of rows one by one.
    PassThrough,
    /// All was returned.
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Build,
    PassThrough,
    Done,
}

/// A call, resolved.
struct Call {
    function: Arc<dyn AggregateFunction>,
    args: Vec<SqlType>,
    ty: SqlType,
    span: Span,
    /// Positions of its arguments, or states, among what is evaluated.
    columns: Range<usize>,
    /// Position of its filter.
    filter: Option<usize>,
    /// Number of its state columns.
    states: usize,
}

impl Call {
    fn accumulator(&self, cx: &EvalContext) -> Result<Box<dyn GroupAccumulator>> {
        self.function.accumulator(&self.args, &self.ty, cx).at(self.span)
    }

    /// Takes raw rows into `accumulator`.
    fn update(&self, accumulator: &mut dyn GroupAccumulator, groups: &[u32], columns: &[ArrayRef]) -> Result<()> {
        let filter = match self.filter {
            None => None,
            Some(position) => Some(
                columns[position]
                    .as_boolean_opt()
                    .ok_or_else(|| Error::internal("the filter of an aggregate is not BOOLEAN"))?,
            ),
        };
        accumulator.update(groups, &columns[self.columns.clone()], filter).at(self.span)
    }
}

impl HashAggregateOperator {
    /// Groups rows of `input` as `node` says; `output` is what its batches have.
    pub fn new(node: &HashAggregate, input: &[ColumnRef], output: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        let mut exprs = node.keys.clone();
        let calls = node
            .aggregates
            .iter()
            .map(|call| resolve(call, node.mode, input, &mut exprs, cx))
            .collect::<Result<Vec<_>>>()?;
        let columns = match node.mode {
            AggregateMode::Partial => calls.iter().map(|c| c.states).sum(),
            AggregateMode::Final | AggregateMode::Complete => calls.len(),
        };
        if output.len() != node.keys.len() + columns {
            return Err(Error::internal(format!(
                "an aggregate makes {} columns, not {}",
                node.keys.len() + columns,
                output.len()
            )));
        }
        let accumulators = calls.iter().map(|call| call.accumulator(&cx.eval)).collect::<Result<_>>()?;
        Ok(Self {
            mode: node.mode,
            evaluator: Evaluator::compile(&exprs, &Layout::new(input), &cx.eval)?,
            keys: node.keys.len(),
            calls,
            table: GroupTable::new(node.keys.iter().map(Expr::ty).collect()),
            accumulators,
            groups: Vec::new(),
            rows: 0,
            trial: PASS_THROUGH_ROWS,
            expected: 0,
            fresh: 0.0,
            phase: Phase::Build,
            ready: None,
            share: None,
            gather: None,
            reservation: cx.reserve("HashAggregate"),
            eval: cx.eval.clone(),
            batch_rows: cx.batch_rows.max(1),
        })
    }

    /// Tells how many groups the planner expects per row, and how many rows there will be, if that is known.
    pub fn expect(mut self, groups_per_row: f64, rows: Option<u64>) -> Self {
        self.expected = (rows.unwrap_or(0) as f64 * groups_per_row.min(1.0)) as usize;
        if groups_per_row > PASS_THROUGH_RATIO {
            self.trial = PASS_THROUGH_ROWS_EXPECTED;
        }
        self
    }

    /// Makes only the groups of `share`.
    pub(crate) fn share(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Reserves what `rows` more groups may need. Everything that is kept by group doubles about when the number of
    /// groups passes a power of two, which must not be found out afterwards; partial halves stay small anyway.
    fn make_room(&mut self, rows: usize) -> Result<()> {
        let groups = self.table.len();
        if self.mode == AggregateMode::Partial || groups < FEW_GROUPS || groups + rows <= groups.next_power_of_two() {
            return Ok(());
        }
        self.reservation.try_resize(2 * self.memory())
    }

    /// If the table would grow for `rows` more groups, and nearly all rows make new ones: gives it the size that is
    /// expected, if there is memory. Otherwise each group would be moved several times.
    fn make_table_large(&mut self, rows: usize) {
        let groups = self.table.len();
        let target = self.expected.min(groups * LARGEST_STEP);
        let is_due = groups >= GROUPS_SEEN && self.fresh >= NEARLY_ALL_NEW && !self.table.has_room(groups + rows);
        if is_due
            && target > groups + rows
            && self.mode != AggregateMode::Partial
            && self.reservation.try_resize(self.memory() + Slots::memory_of(target)).is_ok()
        {
            self.table.make_room(target);
        }
    }

    /// Takes a batch into the table.
    fn build(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.make_room(rows)?;
        self.make_table_large(rows);
        let before = self.table.len();
        self.table.intern(&columns[..self.keys], rows, &mut self.groups)?;
        let groups = self.table.len();
        self.fresh = (groups - before) as f64 / rows.max(1) as f64;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            accumulator.resize(groups);
            match self.mode {
                AggregateMode::Final => {
                    accumulator.merge(&self.groups, &columns[call.columns.clone()]).at(call.span)?;
                }
                AggregateMode::Partial | AggregateMode::Complete => {
                    call.update(accumulator.as_mut(), &self.groups, columns)?;
                }
            }
        }
        self.rows += rows;
        let bytes = self.memory();
        if self.mode != AggregateMode::Partial || self.keys == 0 {
            return self.reservation.try_resize(bytes);
        }
        let reduces = groups as f64 <= self.rows as f64 * PASS_THROUGH_RATIO;
        let left_behind = reduces && groups >= CLUSTERED_GROUPS && self.table.is_clustered();
        if self.rows >= self.trial && !reduces {
            self.phase = Phase::Drain { offset: 0, then: Then::PassThrough };
        } else if left_behind || bytes > PARTIAL_BYTES || self.reservation.try_resize(bytes).is_err() {
            self.phase = Phase::Drain { offset: 0, then: Then::Build };
        }
        Ok(())
    }

    /// Makes a partial result of each row.
    fn pass_through(&mut self, mut columns: Vec<ArrayRef>, rows: usize) -> Result<Batch> {
        self.groups.clear();
        self.groups.extend(0..rows as u32);
        let mut output = columns[..self.keys].to_vec();
        for call in &self.calls {
            let mut accumulator = call.accumulator(&self.eval)?;
            accumulator.resize(rows);
            call.update(accumulator.as_mut(), &self.groups, &columns)?;
            output.extend(accumulator.states(0, rows).at(call.span)?);
        }
        columns.clear();
        Ok(Batch::new(output, rows))
    }

    /// The batch of the groups from `offset` on.
    fn emit(&mut self, offset: usize) -> Result<Batch> {
        let rows = self.batch_rows.min(self.table.len() - offset);
        if self.mode == AggregateMode::Partial {
            return self.states(offset, rows);
        }
        let mut columns = self.table.keys(offset, rows)?;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            columns.push(accumulator.finish(offset, rows).at(call.span)?);
        }
        Ok(Batch::new(columns, rows))
    }

    /// Keys and states of `rows` groups from `offset` on.
    fn states(&mut self, offset: usize, rows: usize) -> Result<Batch> {
        let mut columns = self.table.keys(offset, rows)?;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            columns.extend(accumulator.states(offset, rows).at(call.span)?);
        }
        Ok(Batch::new(columns, rows))
    }

    /// Forgets the groups, which were returned.
    fn reset(&mut self, then: Then) -> Result<()> {
        self.rows = 0;
        match then {
            Then::Build => {
                self.table.clear();
                self.phase = Phase::Build;
                self.accumulators =
                    self.calls.iter().map(|call| call.accumulator(&self.eval)).collect::<Result<_>>()?;
            }
            Then::PassThrough | Then::Done => {
                self.table = GroupTable::new(Vec::new());
                self.accumulators.clear();
                self.phase = if matches!(then, Then::Done) { Phase::Done } else { Phase::PassThrough };
            }
        }
        self.reservation.free();
        Ok(())
    }

    fn memory(&self) -> usize {
        let states: usize = self.accumulators.iter().map(|a| a.memory()).sum();
        states + self.table.memory() + self.groups.capacity() * 4
    }
}

/// Resolves a call and appends to `exprs` what is to be evaluated for it.
fn resolve(
    call: &AggregateCall,
    mode: AggregateMode,
    input: &[ColumnRef],
    exprs: &mut Vec<Expr>,
    cx: &TaskContext,
) -> Result<Call> {
    if call.distinct {
        return Err(Error::internal(format!("DISTINCT of {call} was not planned away")));
    }
    let function = cx.eval.registry.expect_aggregate(&call.function)?.clone();
    let args: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
    let states = function.bind(&args).at(call.span)?.state.len();
    let start = exprs.len();
    let mut filter = None;
    if mode == AggregateMode::Final {
        // What is evaluated has the order of the input: keys, then the states of all calls.
        let columns = input
            .get(start..start + states)
            .ok_or_else(|| Error::internal(format!("the input has no states of {call}")))?;
        exprs.extend(columns.iter().cloned().map(Expr::Column));
    } else {
        exprs.extend(call.args.iter().cloned());
        filter = call.filter.as_ref().map(|predicate| {
            exprs.push(predicate.clone());
            exprs.len() - 1
        });
    }
    let columns = start..filter.unwrap_or(exprs.len());
    Ok(Call { function, args, ty: call.ty.clone(), span: call.span, columns, filter, states })
}

impl Operator for HashAggregateOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let batch = match &mut self.share {
            Some(share) => share.keep(batch)?,
            None => batch,
        };
        let rows = batch.rows();
        let columns = self.evaluator.evaluate(&batch)?;
        drop(batch);
        match self.phase {
            Phase::PassThrough => self.ready = Some(self.pass_through(columns, rows)?),
            _ => self.build(&columns, rows)?,
        }
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        if let Some(batch) = self.ready.take() {
            return Ok(Some(batch));
        }
        let Phase::Drain { offset, then } = self.phase else { return Ok(None) };
        if offset >= self.table.len() {
            self.reset(then)?;
            return Ok(None);
        }
        let batch = self.emit(offset)?;
        self.phase = Phase::Drain { offset: offset + batch.rows(), then };
        Ok(Some(batch))
    }

    fn input_done(&mut self) -> Result<()> {
        self.phase = match self.phase {
            Phase::Build => {
                // Without keys there is one group, also if there was no row.
                let groups = self.table.len();
                self.accumulators.iter_mut().for_each(|a| a.resize(groups));
                match self.gather.take() {
                    Some((point, reservation)) => self.leave(&point, reservation)?,
                    None => Phase::Drain { offset: 0, then: Then::Done },
                }
            }
            Phase::Drain { offset, .. } => Phase::Drain { offset, then: Then::Done },
            Phase::PassThrough | Phase::Done => Phase::Done,
        };
        Ok(())
    }
}
