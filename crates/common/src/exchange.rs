//! What a finished exchange tells, and how a task reads one.

use std::ops::Range;
use std::sync::Arc;

use crate::KeyCounts;

/// How one task reads a finished exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartitionSpec {
    /// One or several neighbouring partitions.
    Whole(Range<u32>),
    /// Rows of one partition, from the first to one past the last, in the order of the committed
    /// blocks. Several slices of one partition make up a skewed partition that was split.
    Slice {
        /// The partition.
        partition: u32,
        /// Rows of it.
        rows: Range<u64>,
    },
    /// A whole partition, of which the task groups a share: the keys whose hash falls to it among so many tasks.
    Share {
        /// The partition.
        partition: u32,
        /// Number of the share, from 0.
        index: u32,
        /// How many there are.
        of: u32,
    },
    /// All partitions: a shared build side, a local read by one task.
    All,
}

/// Exact facts on a finished exchange, or on what has been written so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExchangeStats {
    /// Rows of each partition.
    pub rows: Vec<u64>,
    /// Bytes of each partition, uncompressed.
    pub bytes: Vec<u64>,
    /// Heavy hitters among the partition keys: hash and an estimate of its rows.
    pub hot_keys: Vec<(u64, u64)>,
    /// About the rows of any partition key, where there are keys.
    pub key_counts: Option<Arc<KeyCounts>>,
    /// Estimate of distinct partition keys, where there are keys.
    pub distinct_keys: Option<u64>,
    /// Whether all tasks have committed.
    pub finished: bool,
}

impl ExchangeStats {
    /// Rows of all partitions.
    pub fn total_rows(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// Bytes of all partitions.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}
