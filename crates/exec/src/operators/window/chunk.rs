//! Chunks: the rows that are computed at a time.
//!
//! A chunk has whole partitions, if a call may see any of its rows. Otherwise it ends anywhere, or where peers end
//! ([`Cut`]), so that a large partition is computed in pieces that stay in the cache. For ranks and running aggregates
//! what they know of the row before is carried from chunk to chunk ([`Before`], [`Carried`]). Calls that see a bounded
//! number of neighbours are computed over a chunk with so many rows around it ([`Margin`]).

use arrow::array::ArrayRef;
use firesteel_common::{Error, Result, Scalar};
use firesteel_expr::{Frame, FrameBound, FrameUnit, WindowCall, WindowFunction};

use super::WindowOperator;
use super::frames::Segments;
use crate::operators::sort::buffer::gather_column;
use crate::operators::sort::keys::Entry;

/// Rows of a chunk, unless it has to be longer.
const CHUNK_ROWS: usize = 64 << 10;

/// Most neighbours on one side that are computed with a chunk.
const MOST_NEIGHBOURS: usize = 4096;

/// Where a chunk may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    Anywhere,
    Peers,
    Partitions,
}

/// How many rows before and after its own a call sees at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Margin {
    pub(super) before: usize,
    pub(super) after: usize,
}

impl Margin {
    pub(super) fn max(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), after: self.after.max(other.after) }
    }
}

/// Of each call, the state of its aggregate after the row before a chunk; empty if that row is in another partition.
pub(super) type Carried = Vec<Vec<ArrayRef>>;

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

    /// What is known of the last row, whose peer the next one `is_peer`.
    pub(super) fn last(&self, is_peer: bool) -> Before {
        let Some(last) = self.partitions.len().checked_sub(1) else { return self.before };
        Before {
            rows: self.row_number(last),
            is_peer,
            rank: self.rank(last),
            dense_rank: self.dense_ranks().last().unwrap_or_default(),
        }
    }
}

/// Where chunks may end for a call.
pub(super) fn cut(call: &WindowCall) -> Cut {
    match &call.function {
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => Cut::Anywhere,
        _ if margin(call).is_some() => Cut::Anywhere,
        // The last row of a running frame is the own one, or its last peer.
        WindowFunction::Aggregate(_) | WindowFunction::Last { ignore_nulls: false, .. } if is_running(&call.frame) => {
            if call.frame.unit == FrameUnit::Rows {
                Cut::Anywhere
            } else {
                Cut::Peers
            }
        }
        _ => Cut::Partitions,
    }
}

/// Whether a frame is all rows of the partition up to the own one or its peers.
pub(super) fn is_running(frame: &Frame) -> bool {
    (&frame.start, &frame.end) == (&FrameBound::Unbounded, &FrameBound::CurrentRow)
}

/// The neighbours that a call sees, if that are a few at most and nothing else.
pub(super) fn margin(call: &WindowCall) -> Option<Margin> {
    let few = |n: i64| usize::try_from(n).ok().filter(|n| *n <= MOST_NEIGHBOURS);
    match &call.function {
        WindowFunction::Shift { offset, ignore_nulls: false, .. } => {
            let (before, after) = (few((*offset).max(0))?, few(offset.checked_neg()?.max(0))?);
            Some(Margin { before, after })
        }
        WindowFunction::Aggregate(_) | WindowFunction::Nth { .. } | WindowFunction::Last { .. }
            if call.frame.unit == FrameUnit::Rows =>
        {
            let side = |bound: &FrameBound| {
                let rows = |n: &Scalar| few(n.as_i64()?);
                match bound {
                    FrameBound::Unbounded => None,
                    FrameBound::CurrentRow => Some(Margin::default()),
                    FrameBound::Preceding(n) => Some(Margin { before: rows(n)?, after: 0 }),
                    FrameBound::Following(n) => Some(Margin { before: 0, after: rows(n)? }),
                }
            };
            Some(side(&call.frame.start)?.max(side(&call.frame.end)?))
        }
        _ => None,
    }
}

impl WindowOperator {
    /// Where the chunk that starts with the next row ends.
    pub(super) fn chunk_end(&self) -> Result<usize> {
        let (order, next) = (&self.sorted.order, self.next);
        let keys = match self.cut {
            Cut::Anywhere => 0,
            Cut::Peers => self.seen_keys,
            Cut::Partitions => self.partition_by,
        };
        let mut rows = CHUNK_ROWS;
        let mut end = if self.cut == Cut::Anywhere { order.len().min(next + rows) } else { order.len() };
        while keys > 0 && next + rows < order.len() {
            // One row more tells whether a partition, or a run of peers, ends with the last one.
            let places = &order[next..=next + rows];
            let runs = Segments::of(&self.gather_keys(keys, places)?, places.len())?;
            if let Some(last) = runs.starts.last().filter(|last| **last > 0) {
                end = next + *last as usize;
                break;
            }
            rows *= 2;
        }
        // Positions are words of 32 bits.
        match u32::try_from(end - next).ok().and_then(|rows| self.before.rows.checked_add(rows)) {
            Some(_) => Ok(end),
            None => Err(Error::unsupported("Partitions of more than 4 billion rows are not supported in windows.")),
        }
    }

    /// Whether the partition of the row before `end` goes on, and whether the next row is a peer.
    pub(super) fn goes_on_at(&self, end: usize) -> Result<(bool, bool)> {
        if self.cut == Cut::Partitions || end == self.sorted.order.len() {
            return Ok((false, false));
        }
        let keys = self.gather_keys(self.seen_keys, &self.sorted.order[end - 1..=end])?;
        let together = |keys: &[ArrayRef]| Segments::of(keys, 2).map(|s| s.starts == [0, 0]);
        Ok((together(&keys[..self.partition_by])?, together(&keys)?))
    }

    /// The first `count` keys at `places`.
    fn gather_keys(&self, count: usize, places: &[Entry]) -> Result<Vec<ArrayRef>> {
        (0..count).map(|at| gather_column(self.sorted.keys.iter().map(|keys| &keys[at]), places)).collect()
    }
}
