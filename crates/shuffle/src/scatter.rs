//! Puts the rows of batches into partitions.
//!
//! Batches are gathered until there are enough rows for partitions to get decent pieces; then the row
//! numbers are counting-sorted by partition and each column is gathered once in that order. The
//! pieces are slices of that, so every value is copied once and small pieces share buffers.

use arrow::array::UInt32Array;
use arrow::compute::take;
use firesteel_common::hash::partition_of;
use firesteel_common::texts::trim;
use firesteel_common::{Batch, Result, SqlType};

use crate::block::SMALL;

/// Rows gathered before they are scattered, per partition.
const ROWS_PER_PARTITION: usize = 2048;
/// Upper bound of rows gathered.
const MAX_ROWS: usize = 128 << 10;

/// Rows on their way into partitions.
#[derive(Debug)]
pub struct Scatter {
    types: Vec<SqlType>,
    partitions: u32,
    pending: Vec<Batch>,
    /// The partition of each row.
    targets: Vec<u32>,
}

impl Scatter {
    /// For rows of `types` into `partitions` partitions.
    pub fn new(types: Vec<SqlType>, partitions: u32) -> Self {
        Self { types, partitions, pending: Vec::new(), targets: Vec::new() }
    }

    /// Takes in the live rows of `batch`, whose keys have `hashes`, one per live row.
    pub fn push(&mut self, batch: Batch, hashes: &[u64]) -> Result<()> {
        let partitions = self.partitions;
        self.place(batch, hashes.iter().map(|hash| partition_of(*hash, partitions)))
    }

    /// Takes in the live rows of `batch` for the partitions `targets`, one per live row.
    pub fn place(&mut self, batch: Batch, targets: impl IntoIterator<Item = u32>) -> Result<()> {
        self.pending.push(batch.canonical(&self.types)?);
        self.targets.extend(targets);
        Ok(())
    }

    /// Whether enough rows are there for [`Scatter::flush`].
    pub fn is_full(&self) -> bool {
        self.targets.len() >= MAX_ROWS.min(ROWS_PER_PARTITION * self.partitions as usize)
    }

    /// Gives each partition that gets rows a batch of them.
    pub fn flush(&mut self, mut out: impl FnMut(u32, Batch) -> Result<()>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let targets = std::mem::take(&mut self.targets);
        if targets.is_empty() {
            return Ok(());
        }
        let batch = Batch::concat(&pending, &self.types)?;
        let (order, starts) = counting_sort(&targets, self.partitions);
        let order = UInt32Array::from(order);
        let columns =
            batch.columns().iter().map(|c| Ok(trim(&take(c, &order, None)?, SMALL))).collect::<Result<_>>()?;
        let sorted = Batch::new(columns, targets.len());
        for partition in 0..self.partitions {
            let (start, end) = (starts[partition as usize], starts[partition as usize + 1]);
            if end > start {
                out(partition, sorted.slice(start, end - start))?;
            }
        }
        Ok(())
    }
}

/// Row numbers ordered by partition, and where each partition starts (one more entry than partitions).
fn counting_sort(targets: &[u32], partitions: u32) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0usize; partitions as usize + 1];
    targets.iter().for_each(|p| starts[*p as usize + 1] += 1);
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; targets.len()];
    for (row, partition) in targets.iter().enumerate() {
        order[next[*partition as usize]] = row as u32;
        next[*partition as usize] += 1;
    }
    (order, starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use firesteel_common::hash::hash_columns;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn every_row_arrives_once_and_equal_keys_together() {
        let mut scatter = Scatter::new(vec![SqlType::BigInt], 5);
        for part in 0..4i64 {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100).map(|v| (v + part) % 50)));
            let mut hashes = Vec::new();
            hash_columns(std::slice::from_ref(&column), 100, &mut hashes).unwrap();
            scatter.push(Batch::new(vec![column], 100), &hashes).unwrap();
        }
        let mut seen: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        scatter
            .flush(|p, b| {
                b.columns()[0]
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .for_each(|v| seen.entry(*v).or_default().push(p));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 400);
        assert!(seen.values().all(|p| p.windows(2).all(|w| w[0] == w[1])));
    }
}
