//! Ranks, and values taken from other rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, UInt32Array};
use arrow::compute::{concat, take};
use firesteel_common::{Result, Scalar, SqlType, encoding};
use firesteel_expr::WindowFunction;

use super::chunk::Ranks;
use super::frames::Segments;

/// The result of each row for a function that depends on positions alone; `None` for all others.
pub(super) fn rank(function: &WindowFunction, ranks: &Ranks<'_>) -> Option<ArrayRef> {
    let Ranks { partitions, peers, .. } = *ranks;
    let rows = 0..partitions.len();
    let in_partition = |row: usize, position: u32| position - partitions.starts[row];
    let integers = |f: &dyn Fn(usize) -> u32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.clone().map(|row| f(row) as i32)))
    };
    let size = |row: usize| partitions.ends[row] - partitions.starts[row];
    Some(match function {
        WindowFunction::RowNumber => {
            let numbers = rows.map(|row| ranks.row_number(row) as i32);
            Arc::new(Int32Array::from_iter_values(numbers))
        }
        WindowFunction::Rank => integers(&|row| ranks.rank(row)),
        WindowFunction::DenseRank => {
            Arc::new(Int32Array::from_iter_values(ranks.dense_ranks().map(|rank| rank as i32)))
        }
        WindowFunction::PercentRank => Arc::new(Float64Array::from_iter_values(rows.map(|row| {
            let before = f64::from(in_partition(row, peers.starts[row]));
            if size(row) > 1 { before / f64::from(size(row) - 1) } else { 0.0 }
        }))),
        WindowFunction::CumeDist => Arc::new(Float64Array::from_iter_values(
            rows.map(|row| f64::from(in_partition(row, peers.ends[row])) / f64::from(size(row))),
        )),
        WindowFunction::Ntile(buckets) => integers(&|row| {
            let (position, size) = (u64::from(in_partition(row, row as u32)), u64::from(size(row)));
            let buckets = (*buckets).max(1);
            // The first `larger` buckets have one row more than the others.
            let (least, larger) = (size / buckets, size % buckets);
            let in_larger = larger * (least + 1);
            let bucket = if position < in_larger {
                position / (least + 1)
            } else {
                larger + (position - in_larger) / least.max(1)
            };
            bucket as u32 + 1
        }),
        _ => return None,
    })
}

/// Positions of values, by row: a row of the input, or none.
#[derive(Debug)]
pub(super) struct Values<'a> {
    column: &'a ArrayRef,
    /// With IGNORE NULLS: the rows whose value is not NULL, and for each row how many are before it.
    known: Option<(Vec<u32>, Vec<u32>)>,
}

impl<'a> Values<'a> {
    pub(super) fn new(column: &'a ArrayRef, ignore_nulls: bool) -> Self {
        let nulls = column.logical_nulls().filter(|n| ignore_nulls && n.null_count() > 0);
        let known = nulls.map(|nulls| {
            let mut before = Vec::with_capacity(column.len() + 1);
            let mut rows = Vec::new();
            for (row, valid) in nulls.iter().enumerate() {
                before.push(rows.len() as u32);
                if valid {
                    rows.push(row as u32);
                }
            }
            before.push(rows.len() as u32);
            (rows, before)
        });
        Self { column, known }
    }

    /// `lag` by `offset` rows of the partition (`lead` if it is negative); `default` where there is no such row.
    pub(super) fn shift(&self, offset: i64, default: &Scalar, ty: &SqlType, partitions: &Segments) -> Result<ArrayRef> {
        let rows = self.column.len();
        let missing = rows as u32;
        let at = |row: usize| {
            let (start, end) = partitions.range(row);
            let target = match &self.known {
                _ if offset == 0 => Some(row as i64),
                None => (row as i64).checked_sub(offset),
                Some((known, before)) => {
                    let nth = if offset > 0 {
                        i64::from(before[row]).checked_sub(offset)
                    } else {
                        i64::from(before[row + 1]).checked_sub(offset).map(|n| n - 1)
                    };
                    nth.and_then(|n| usize::try_from(n).ok()).and_then(|n| known.get(n)).map(|row| i64::from(*row))
                }
            };
            target.filter(|t| (start as i64..end as i64).contains(t)).map_or(missing, |t| t as u32)
        };
        let places = UInt32Array::from_iter_values((0..rows).map(at));
        let default = encoding::canonical(&default.to_array(1), ty)?;
        let column = encoding::canonical(self.column, ty)?;
        Ok(take(&concat(&[&column, &default])?, &places, None)?)
    }

    /// The `n`-th value of each frame, from 1.
    pub(super) fn nth(&self, n: u64, frames: &Segments) -> Result<ArrayRef> {
        let at = |row: usize| {
            let (start, end) = frames.range(row);
            let skip = usize::try_from(n).ok()?.checked_sub(1)?;
            let place = match &self.known {
                None => start.checked_add(skip)?,
                Some((known, before)) => *known.get((before[start] as usize).checked_add(skip)?)? as usize,
            };
            (place < end).then_some(place as u32)
        };
        self.take((0..self.column.len()).map(at).collect())
    }

    /// The last value of each frame.
    pub(super) fn last(&self, frames: &Segments) -> Result<ArrayRef> {
        let at = |row: usize| {
            let (start, end) = frames.range(row);
            let place = match &self.known {
                None => end.checked_sub(1)?,
                Some((known, before)) => known[(before[end] as usize).checked_sub(1)?] as usize,
            };
            (start..end).contains(&place).then_some(place as u32)
        };
        self.take((0..self.column.len()).map(at).collect())
    }

    fn take(&self, places: UInt32Array) -> Result<ArrayRef> {
        Ok(take(self.column, &places, None)?)
    }
}
