//! Window functions over the partitions that a task sees.
//!
//! The input, which has all rows of its partitions in any order, is kept, put together and sorted by
//! partition and order. Everything after that works on whole columns over all partitions at once:
//! boundaries and frames are positions in the sorted rows ([`frames`]), values are taken by position
//! ([`values`]), aggregates merge states ([`aggregates`]).

mod aggregates;
mod frames;
mod scan;
mod values;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use firesteel_common::{Batch, Error, Result, ResultExt, SqlType, encoding};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, EvalContext, Expr, Frame, SortKey, WindowCall, WindowFunction};
use firesteel_runtime::Reservation;

use super::sort::buffer::retain;
use super::sort::keys::{Entry, KeyEncoder, sorted};
use crate::{Operator, TaskContext};
use aggregates::FrameAggregate;
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
    types: Vec<SqlType>,
    batches: Vec<Batch>,
    /// All rows with the results, once the input has ended; those from `returned` on are still to be returned.
    output: Option<Batch>,
    returned: usize,
    reservation: Reservation,
    eval: EvalContext,
    batch_rows: usize,
}

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
            types: input.iter().map(|c| c.ty.clone()).collect(),
            batches: Vec::new(),
            output: None,
            returned: 0,
            reservation: cx.reserve("Window"),
            eval: cx.eval.clone(),
            batch_rows: cx.batch_rows.max(1),
        })
    }

    /// Computes all calls over all rows.
    fn compute(&mut self) -> Result<Batch> {
        let batches = std::mem::take(&mut self.batches);
        let input = Batch::concat(&batches, &self.types)?;
        drop(batches);
        let rows = input.rows();
        if u32::try_from(rows).is_err() {
            return Err(Error::unsupported("More than 4 billion rows in one task of a window are not supported."));
        }
        let mut evaluated = self.evaluator.evaluate(&input)?;
        let width = self.partition_by + self.order_by.len();
        let args = evaluated.split_off(width);
        let keys = self.encoder.prepare(&evaluated)?;
        let sort = |columns: &[ArrayRef], order: &UInt32Array| -> Result<Vec<ArrayRef>> {
            columns.iter().map(|c| Ok(take(c, order, None)?)).collect()
        };
        let (mut columns, keys, args) = if keys.is_empty() {
            (input.columns().to_vec(), keys, args)
        } else {
            let order = sorted(&self.encoder, std::slice::from_ref(&keys), &mut self.reservation)?;
            let order = UInt32Array::from_iter_values(order.iter().map(|e| e.row));
            (sort(input.columns(), &order)?, sort(&keys, &order)?, sort(&args, &order)?)
        };
        drop(input);
        let results = self.results(&keys, &args, rows)?;
        columns.extend(results);
        Ok(Batch::new(columns, rows))
    }

    /// The column of each call, from sorted keys and arguments.
    fn results(&self, keys: &[ArrayRef], args: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        let partitions = Segments::of(&keys[..self.partition_by], rows)?;
        // Without ORDER BY all rows of a partition are peers.
        let peers = Segments::of(keys, rows)?;
        let order_keys = &keys[self.partition_by..];
        let order_types: Vec<SqlType> = self.order_by.iter().map(|k| k.expr.ty()).collect();
        let key = match (order_keys, order_types.as_slice(), self.order_by.as_slice()) {
            ([column], [ty], [key]) => Some((column, ty, key.ascending)),
            _ => None,
        };
        let input = FrameInput { partitions: &partitions, peers: &peers, key, eval: &self.eval };
        let mut frames: HashMap<&Frame, Segments> = HashMap::new();
        let mut results = Vec::with_capacity(self.calls.len());
        let mut next = 0;
        for call in &self.calls {
            let own = &args[next..next + call.args().len()];
            next += own.len();
            if let Some(ranks) = values::rank(&call.function, &partitions, &peers) {
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
        Ok(results)
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

impl Operator for WindowOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let batch = retain(batch, &self.types)?;
        // The rows are held twice while they are sorted, and there are positions and results.
        let per_row = size_of::<Entry>() + 16 * (2 + self.calls.len());
        self.reservation.try_grow(2 * batch.memory() + batch.rows() * per_row)?;
        self.batches.push(batch);
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        let Some(output) = &self.output else { return Ok(None) };
        let rows = self.batch_rows.min(output.rows() - self.returned);
        if rows == 0 {
            self.output = None;
            self.reservation.free();
            return Ok(None);
        }
        let batch = output.slice(self.returned, rows);
        self.returned += rows;
        Ok(Some(batch))
    }

    fn input_done(&mut self) -> Result<()> {
        if !self.batches.is_empty() {
            self.output = Some(self.compute()?);
        }
        Ok(())
    }
}
