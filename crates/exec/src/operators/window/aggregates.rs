//! Aggregates over frames, by merging states; no function needs to know about windows.
//!
//! Frames that do not overlap (whole partitions, peers) are just groups: one pass. So are short ones; their
//! rows are given several times. Running ones, which all start with their partition, are a prefix scan over
//! states ([`super::scan`]): O(rows) merges. Long sliding ones are put together from blocks whose sizes are powers of two: level k has the state of the
//! 2^k rows from each row on, made by merging two blocks of level k-1, and a frame of n rows is the merge of
//! one block per set bit of n, from its start on. That is O(rows · log(longest frame)) merges, all of
//! them over whole columns, in the order of the rows. Only one level is kept at a time.
//!
//! A block may cover rows that no frame has together; that a sum overflows over such rows only is
//! reported although no result has it.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{concat, take};
use firesteel_common::{Result, ResultExt};
use firesteel_expr::{AggregateCall, EvalContext, Expr, GroupAccumulator};

use super::frames::Segments;
use super::scan::scan;

/// Rows of a frame on average up to which frames are computed one by one.
const DIRECT: usize = 8;
/// The same where the order of rows matters.
const DIRECT_ORDERED: usize = 64;
/// Rows that are given to an accumulator at a time then.
const STEP: usize = 1 << 16;

/// Computes one call over the frames of all rows.
pub(super) struct FrameAggregate<'a> {
    pub(super) call: &'a AggregateCall,
    /// Arguments for the sorted rows.
    pub(super) args: &'a [ArrayRef],
    pub(super) filter: Option<&'a BooleanArray>,
    pub(super) partitions: &'a Segments,
    /// For running frames, the state of the rows of the first partition that are not among these; empty if there are
    /// none.
    pub(super) before: &'a [ArrayRef],
    /// Whether the last partition goes on, so that its state is wanted.
    pub(super) goes_on: bool,
    pub(super) eval: &'a EvalContext,
}

impl FrameAggregate<'_> {
    /// The result of each row; and the state after the last one, if the partition goes on.
    pub(super) fn compute(&self, frames: &Segments) -> Result<(ArrayRef, Vec<ArrayRef>)> {
        let (distinct, frame_of_row) = distinct(frames);
        let (results, state) = self.results(&distinct).at(self.call.span)?;
        if distinct.len() == frames.len() {
            return Ok((results, state));
        }
        Ok((take(&results, &UInt32Array::from(frame_of_row), None)?, state))
    }

    fn results(&self, frames: &Segments) -> Result<(ArrayRef, Vec<ArrayRef>)> {
        let rows = self.partitions.len();
        let seen: usize = (0..frames.len()).map(|f| (frames.ends[f] - frames.starts[f]) as usize).sum();
        // Sums of floats depend on their order, so they are added row by row while that is bearable.
        let is_ordered = self.call.args.iter().any(|e| e.ty().is_float());
        if self.goes_on || !self.before.is_empty() {
            return if is_ordered { self.row_by_row(frames) } else { self.running(frames) };
        }
        let results =
            if seen <= rows.saturating_mul(DIRECT) || (is_ordered && seen <= rows.saturating_mul(DIRECT_ORDERED)) {
                self.directly(frames, seen)
            } else if !self.is_running(frames) {
                self.by_blocks(frames)
            } else if is_ordered {
                return self.row_by_row(frames);
            } else {
                return self.running(frames);
            };
        Ok((results?, Vec::new()))
    }

    /// Whether every frame starts with its partition.
    fn is_running(&self, frames: &Segments) -> bool {
        let first = |start: &u32| self.partitions.starts.get(*start as usize).is_none_or(|first| first == start);
        frames.starts.iter().all(first) && frames.ends.is_sorted()
    }

    fn accumulator(&self, groups: usize) -> Result<Box<dyn GroupAccumulator>> {
        let args: Vec<_> = self.call.args.iter().map(Expr::ty).collect();
        let function = self.eval.registry.expect_aggregate(&self.call.function)?;
        let mut accumulator = function.accumulator(&args, &self.call.ty, self.eval)?;
        accumulator.resize(groups);
        Ok(accumulator)
    }

    /// Each frame is a group, to which its rows are given, `seen` in all.
    fn directly(&self, frames: &Segments, seen: usize) -> Result<ArrayRef> {
        let (rows, count) = (self.partitions.len(), frames.len());
        let mut accumulator = self.accumulator(count)?;
        if seen == rows && are_disjoint(frames) {
            // Every row is in one frame: nothing needs to be copied.
            let group = |f: usize| std::iter::repeat_n(f as u32, (frames.ends[f] - frames.starts[f]) as usize);
            let groups: Vec<u32> = (0..count).flat_map(group).collect();
            accumulator.update(&groups, self.args, self.filter)?;
            return accumulator.finish(0, count);
        }
        let (mut groups, mut places) = (Vec::new(), Vec::new());
        for frame in 0..count {
            let (start, end) = frames.range(frame);
            groups.extend(std::iter::repeat_n(frame as u32, end - start));
            places.extend(start as u32..end as u32);
            if groups.len() >= STEP || frame + 1 == count {
                let rows = UInt32Array::from(std::mem::take(&mut places));
                let filter = self.filter.map(|f| take(f, &rows, None)).transpose()?;
                let filter = filter.as_ref().and_then(|f| f.as_boolean_opt());
                accumulator.update(&groups, &take_all(self.args, &rows)?, filter)?;
                groups.clear();
            }
        }
        accumulator.finish(0, count)
    }

    /// For running frames: the result so far after each row.
    fn row_by_row(&self, frames: &Segments) -> Result<(ArrayRef, Vec<ArrayRef>)> {
        let mut accumulator = self.accumulator(1)?;
        if !self.before.is_empty() {
            accumulator.merge(&[0], self.before)?;
        }
        let mut results = Vec::with_capacity(frames.len());
        let (mut first, mut next) = (0, 0);
        for frame in 0..frames.len() {
            let (start, end) = frames.range(frame);
            if start != first {
                accumulator = self.accumulator(1)?;
                (first, next) = (start, start);
            }
            let more = end - next;
            let args: Vec<ArrayRef> = self.args.iter().map(|a| a.slice(next, more)).collect();
            let filter = self.filter.map(|f| f.slice(next, more));
            accumulator.update(&vec![0; more], &args, filter.as_ref())?;
            next = end;
            results.push(accumulator.finish(0, 1)?);
        }
        let results: Vec<&dyn Array> = results.iter().map(|r| r.as_ref()).collect();
        let state = if self.goes_on { accumulator.states(0, 1)? } else { Vec::new() };
        Ok((concat(&results)?, state))
    }

    /// For running frames: the states of what each frame adds to the one before, scanned.
    fn running(&self, frames: &Segments) -> Result<(ArrayRef, Vec<ArrayRef>)> {
        let count = frames.len();
        let (mut groups, mut places) = (Vec::new(), Vec::new());
        let mut next = 0;
        for frame in 0..count {
            let (start, end) = frames.range(frame);
            next = next.max(start);
            groups.extend(std::iter::repeat_n(frame as u32, end - next));
            places.extend(next as u32..end as u32);
            next = end;
        }
        let mut added = self.accumulator(count)?;
        if !self.before.is_empty() {
            // First, since the order of rows may matter.
            added.merge(&[0], self.before)?;
        }
        let rows = UInt32Array::from(places);
        let filter = self.filter.map(|f| take(f, &rows, None)).transpose()?;
        added.update(&groups, &take_all(self.args, &rows)?, filter.as_ref().and_then(|f| f.as_boolean_opt()))?;
        let states = added.states(0, count)?;
        let states = scan(states, &frames.starts, &|groups| self.accumulator(groups))?;
        let mut results = self.accumulator(count)?;
        results.merge(&(0..count as u32).collect::<Vec<_>>(), &states)?;
        let last = |state: &ArrayRef| take(state, &UInt32Array::from(vec![count as u32 - 1]), None);
        let state = if self.goes_on { states.iter().map(last).collect::<Result<_, _>>()? } else { Vec::new() };
        Ok((results.finish(0, count)?, state))
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

pub(super) fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
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
