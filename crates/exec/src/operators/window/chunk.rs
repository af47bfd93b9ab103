//! Chunks: the rows that are computed at a time.
//!
//! A chunk has whole partitions, so that each call sees all of its rows. Where every call can go on from what it
//! knew of the row before, a chunk ends anywhere, and [`Before`] is carried from one to the next: a large partition is
//! then computed in pieces that stay in the cache.

use arrow::array::ArrayRef;
use firesteel_common::{Error, Result};
use firesteel_expr::{WindowCall, WindowFunction};

use super::WindowOperator;
use super::frames::Segments;
use crate::operators::sort::buffer::gather_column;
use crate::operators::sort::keys::Entry;

/// Rows of a chunk, unless it has to be longer.
const CHUNK_ROWS: usize = 64 << 10;

/// What is known of the row before a chunk if it is in the partition that the chunk begins in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// Rows of the partition up to it.
    rows: u32,
    /// Whether it is a peer of the first row of the chunk.
    is_peer: bool,
    rank: u32,
    dense_rank: u32,
}

/// Ranks of the rows of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranks<'a> {
    pub(super) partitions: &'a Segments,
    pub(super) peers: &'a Segments,
    pub(super) before: Before,
}

impl Ranks<'_> {
    #[inline]
    pub(super) fn row_number(&self, row: usize) -> u32 {
        self.position(row, row as u32) + 1
    }

    pub(super) fn rank(&self, row: usize) -> u32 {
        match self.peers.starts[row] {
            0 if self.before.is_peer => self.before.rank,
            first => self.position(row, first) + 1,
        }
    }

    /// Of all rows.
    pub(super) fn dense_ranks(&self) -> impl Iterator<Item = u32> + '_ {
        let mut rank = self.before.dense_rank;
        (0..self.partitions.len()).map(move |row| {
            if self.partitions.starts[row] as usize == row && (row > 0 || self.before.rows == 0) {
                rank = 1;
            } else if self.peers.starts[row] as usize == row && (row > 0 || !self.before.is_peer) {
                rank += 1;
            }
            rank
        })
    }

    /// Rows of the partition of `row` before `other`, which is in it too.
    #[inline]
    fn position(&self, row: usize, other: u32) -> u32 {
        let start = self.partitions.starts[row];
        other - start + if start == 0 { self.before.rows } else { 0 }
    }

    /// What the next chunk is to know of the last row.
    pub(super) fn last(&self) -> Before {
        let Some(last) = self.partitions.len().checked_sub(1) else { return self.before };
        Before {
            rows: self.row_number(last),
            is_peer: false,
            rank: self.rank(last),
            dense_rank: self.dense_ranks().last().unwrap_or_default(),
        }
    }
}

/// Whether a call can go on from the row before.
pub(super) fn goes_on(call: &WindowCall) -> bool {
    matches!(call.function, WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank)
}

impl WindowOperator {
    /// Where the chunk that starts with the next row ends.
    pub(super) fn chunk_end(&self) -> Result<usize> {
        let mut rows = CHUNK_ROWS;
        if self.goes_on {
            let end = self.order.len().min(self.next + rows);
            // Positions are words of 32 bits.
            return match self.before.rows.checked_add((end - self.next) as u32) {
                Some(_) => Ok(end),
                None => Err(too_large()),
            };
        }
        while self.partition_by > 0 && self.next + rows < self.order.len() {
            // One row more tells whether a partition ends with the last one.
            let places = &self.order[self.next..=self.next + rows];
            let partitions = Segments::of(&self.gather_keys(self.partition_by, places)?, places.len())?;
            match partitions.starts.last() {
                Some(last) if *last > 0 => return Ok(self.next + *last as usize),
                _ => rows *= 2,
            }
        }
        let end = self.order.len();
        if u32::try_from(end - self.next).is_err() { Err(too_large()) } else { Ok(end) }
    }

    /// What is known of the row before the next one; nothing if it is in another partition.
    pub(super) fn before(&self) -> Result<Before> {
        if !self.goes_on || self.next == 0 {
            return Ok(Before::default());
        }
        let keys = self.gather_keys(self.seen_keys, &self.order[self.next - 1..=self.next])?;
        let together = |keys: &[ArrayRef]| Segments::of(keys, 2).map(|s| s.starts == [0, 0]);
        if !together(&keys[..self.partition_by])? {
            return Ok(Before::default());
        }
        Ok(Before { is_peer: together(&keys)?, ..self.before })
    }

    /// The first `count` keys at `places`.
    fn gather_keys(&self, count: usize, places: &[Entry]) -> Result<Vec<ArrayRef>> {
        (0..count).map(|at| gather_column(self.keys.iter().map(|keys| &keys[at]), places)).collect()
    }
}

fn too_large() -> Error {
    Error::unsupported("Partitions of more than 4 billion rows are not supported in windows.")
}
