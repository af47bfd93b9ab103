//! Aggregates over frames, by merging states; no function needs to know about windows.
//!
//! Frames that do not overlap (whole partitions, peers) are just groups: one pass. All others, running and
//! sliding ones, are put together from blocks whose sizes are powers of two: level k has the state of the
//! 2^k rows from each row on, made by merging two blocks of level k-1, and a frame of n rows is the merge of
//! one block per set bit of n, from its start on. That is O(rows · log(longest frame)) merges, all of
//! them over whole columns, in the order of the rows. Only one level is kept at a time.
//!
//! A block may cover rows that no frame has together; that a sum overflows over such rows only is
//! reported although no result has it.

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use firesteel_common::{Result, ResultExt};
use firesteel_expr::{AggregateCall, EvalContext, Expr, GroupAccumulator};

use super::frames::Segments;

/// Computes one call over the frames of all rows.
pub(super) struct FrameAggregate<'a> {
    pub(super) call: &'a AggregateCall,
    /// Arguments for the sorted rows.
    pub(super) args: &'a [ArrayRef],
    pub(super) filter: Option<&'a BooleanArray>,
    pub(super) partitions: &'a Segments,
    pub(super) eval: &'a EvalContext,
}

impl FrameAggregate<'_> {
    /// The result of each row.
    pub(super) fn compute(&self, frames: &Segments) -> Result<ArrayRef> {
        let (distinct, frame_of_row) = distinct(frames);
        let results = if are_disjoint(&distinct) { self.one_pass(&distinct) } else { self.by_blocks(&distinct) };
        let results = results.at(self.call.span)?;
        if distinct.len() == frames.len() {
            return Ok(results);
        }
        Ok(take(&results, &UInt32Array::from(frame_of_row), None)?)
    }

    fn accumulator(&self, groups: usize) -> Result<Box<dyn GroupAccumulator>> {
        let args: Vec<_> = self.call.args.iter().map(Expr::ty).collect();
        let function = self.eval.registry.expect_aggregate(&self.call.function)?;
        let mut accumulator = function.accumulator(&args, &self.call.ty, self.eval)?;
        accumulator.resize(groups);
        Ok(accumulator)
    }

    fn one_pass(&self, frames: &Segments) -> Result<ArrayRef> {
        let count = frames.len();
        let mut accumulator = self.accumulator(count)?;
        let (mut groups, mut rows) = (Vec::new(), Vec::new());
        for frame in 0..count {
            let (start, end) = frames.range(frame);
            groups.extend(std::iter::repeat_n(frame as u32, end - start));
            rows.extend(start as u32..end as u32);
        }
        if rows.len() == self.partitions.len() {
            accumulator.update(&groups, self.args, self.filter)?;
        } else {
            // Some rows are in no frame.
            let rows = UInt32Array::from(rows);
            let args = take_all(self.args, &rows)?;
            let filter = self.filter.map(|f| take(f, &rows, None)).transpose()?;
            let filter = filter.as_ref().and_then(|f| arrow::array::AsArray::as_boolean_opt(f));
            accumulator.update(&groups, &args, filter)?;
        }
        accumulator.finish(0, count)
    }

    fn by_blocks(&self, frames: &Segments) -> Result<ArrayRef> {
        let (rows, count) = (self.partitions.len(), frames.len());
        let longest = (0..count).map(|f| frames.ends[f] - frames.starts[f]).max().unwrap_or(0);
        let mut results = self.accumulator(count)?;
        // Where the rest of each frame starts.
        let mut positions = frames.starts.clone();
        let mut level = self.accumulator(rows)?;
        level.update(&(0..rows as u32).collect::<Vec<_>>(), self.args, self.filter)?;
        let mut size = 1u32;
        loop {
            let states = level.states(0, rows)?;
            let with_bit: Vec<u32> = (0..count as u32)
                .filter(|f| (frames.ends[*f as usize] - frames.starts[*f as usize]) & size != 0)
                .collect();
            let blocks = with_bit.iter().map(|f| positions[*f as usize]);
            let blocks = take_all(&states, &UInt32Array::from_iter_values(blocks))?;
            results.merge(&with_bit, &blocks)?;
            with_bit.iter().for_each(|f| positions[*f as usize] += size);
            if size > longest / 2 {
                break;
            }
            level = self.next_level(&states, size)?;
            size *= 2;
        }
        results.finish(0, count)
    }

    /// The states of blocks of `2 * size` rows, where the partition has as many from there on.
    fn next_level(&self, states: &[ArrayRef], size: u32) -> Result<Box<dyn GroupAccumulator>> {
        let rows = self.partitions.len() as u32;
        let ends = &self.partitions.ends;
        let whole: Vec<u32> = (0..rows).filter(|row| ends[*row as usize] - row >= 2 * size).collect();
        let mut level = self.accumulator(rows as usize)?;
        level.merge(&whole, &take_all(states, &UInt32Array::from(whole.clone()))?)?;
        let second = UInt32Array::from_iter_values(whole.iter().map(|row| row + size));
        level.merge(&whole, &take_all(states, &second)?)?;
        Ok(level)
    }
}

fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|c| Ok(take(c, rows, None)?)).collect()
}

/// The frames that differ from that of the row before, and which of them each row has.
fn distinct(frames: &Segments) -> (Segments, Vec<u32>) {
    let mut distinct = Segments { starts: Vec::new(), ends: Vec::new() };
    let mut frame_of_row = Vec::with_capacity(frames.len());
    for (start, end) in frames.starts.iter().zip(&frames.ends) {
        if distinct.starts.last() != Some(start) || distinct.ends.last() != Some(end) {
            distinct.starts.push(*start);
            distinct.ends.push(*end);
        }
        frame_of_row.push((distinct.starts.len() - 1) as u32);
    }
    (distinct, frame_of_row)
}

fn are_disjoint(frames: &Segments) -> bool {
    frames.ends.iter().zip(frames.starts.iter().skip(1)).all(|(end, next)| end <= next)
}
