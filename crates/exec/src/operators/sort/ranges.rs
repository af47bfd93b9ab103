//! Ranges of an order: where they begin, and which one a row belongs to.
//!
//! Bounds are quantiles of a sample, so that ranges have about equally many rows. Equal keys are in one
//! range; a key with many rows leaves ranges beside it empty.

use arrow::array::{Array, ArrayRef};
use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, EvalContext, SortKey};
use firesteel_shuffle::Block;

use super::keys::{self, Entry, KeyEncoder};

/// Blocks that are looked into.
const BLOCKS: usize = 256;
/// Rows of the sample, about.
const ROWS: u64 = 16_384;

/// The keys that ranges begin with, but for the first one, which has no beginning.
#[derive(Debug)]
pub(crate) struct Bounds {
    prefixes: Vec<u64>,
    bytes: Vec<Box<[u8]>>,
    /// Whether prefixes say all of them.
    decided: bool,
}

/// Finds the ranges of rows.
pub(crate) struct Ranges {
    evaluator: Evaluator,
    encoder: KeyEncoder,
}

impl Ranges {
    /// For rows of `input` in the order of `keys`.
    pub(crate) fn new(keys: &[SortKey], input: &[ColumnRef], cx: &EvalContext) -> Result<Self> {
        let evaluator = Evaluator::compile(&KeyEncoder::exprs(keys), &Layout::new(input), cx)?;
        Ok(Self { evaluator, encoder: KeyEncoder::new(keys)? })
    }

    /// The bounds of so many ranges of the rows in `blocks`.
    pub(crate) fn bounds(&mut self, blocks: &[Block], ranges: u32) -> Result<Bounds> {
        let chosen: Vec<&Block> = blocks.iter().step_by(blocks.len().div_ceil(BLOCKS).max(1)).collect();
        let total: u64 = chosen.iter().map(|block| block.rows()).sum();
        let every = total.div_ceil(ROWS).max(1) as usize;
        let (mut sample, mut rows, mut decided) = (Vec::new(), Vec::new(), true);
        for (batch, block) in chosen.into_iter().enumerate() {
            let indices = (0..block.rows() as u32).step_by(every).collect();
            let keys = self.keys(&block.read()?.with_selection(Some(Selection::new(indices))))?;
            let entry = |(row, prefix)| Entry { prefix, batch: batch as u32, row: row as u32 };
            sample.extend(self.encoder.prefixes(&keys)?.into_iter().enumerate().map(entry));
            decided &= prefix_decides(&keys);
            rows.push(self.encoder.rows(&keys)?);
        }
        sample.sort_unstable_by(|a, b| keys::compare(a, b, &rows));
        let count = ranges.max(1) as usize;
        let mut bounds = Bounds { prefixes: Vec::new(), bytes: Vec::new(), decided };
        for entry in (1..count).filter_map(|range| sample.get(range * sample.len() / count)) {
            bounds.prefixes.push(entry.prefix);
            bounds.bytes.push(rows[entry.batch as usize].row(entry.row as usize).data().into());
        }
        Ok(bounds)
    }

    /// The range of each live row of `batch`.
    pub(crate) fn place(&mut self, batch: &Batch, bounds: &Bounds, ranges: &mut Vec<u32>) -> Result<()> {
        let keys = self.keys(batch)?;
        let prefixes = self.encoder.prefixes(&keys)?;
        ranges.clear();
        if bounds.decided && prefix_decides(&keys) {
            let range = |prefix: &u64| bounds.prefixes.partition_point(|bound| bound <= prefix) as u32;
            ranges.extend(prefixes.iter().map(range));
            return Ok(());
        }
        let rows = self.encoder.rows(&keys)?;
        for (row, prefix) in prefixes.iter().enumerate() {
            let below = bounds.prefixes.partition_point(|bound| bound < prefix);
            let alike = bounds.prefixes[below..].partition_point(|bound| bound == prefix);
            let bytes = rows.row(row);
            let more = bounds.bytes[below..below + alike].partition_point(|bound| **bound <= *bytes.data());
            ranges.push((below + more) as u32);
        }
        Ok(())
    }

    fn keys(&mut self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.encoder.prepare(&self.evaluator.evaluate(batch)?)
    }
}

/// Whether the prefixes of keys say all of them.
fn prefix_decides(keys: &[ArrayRef]) -> bool {
    matches!(keys, [key] if keys::is_word(key.data_type()) && key.logical_null_count() == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};
    use firesteel_common::{ColumnId, SqlType};
    use firesteel_expr::Expr;

    use super::*;
    use crate::operators::testing::task;

    /// Ranges of the values of one column, and the range of each.
    fn places(values: ArrayRef, ty: SqlType, count: u32) -> Vec<u32> {
        let column = ColumnRef { id: ColumnId(0), name: "k".into(), ty, nullable: true };
        let key = SortKey { expr: Expr::Column(column.clone()), ascending: true, nulls_first: true };
        let mut ranges = Ranges::new(&[key], &[column], &task().eval).unwrap();
        let batch = Batch::new(vec![values.clone()], values.len());
        let bounds = ranges.bounds(&[Block::memory(batch.clone())], count).unwrap();
        let mut places = Vec::new();
        ranges.place(&batch, &bounds, &mut places).unwrap();
        places
    }

    #[test]
    fn ranges_are_in_order_and_about_equal() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter((0..100).map(|v| (v % 10 > 0).then_some(99 - v))));
        let places = places(values, SqlType::BigInt, 4);
        assert!(places.windows(2).skip(1).all(|w| w[0] >= w[1] || w[1] == 0 || w[0] == 0));
        assert!((0..4).all(|range| places.iter().filter(|p| **p == range).count() >= 20), "{places:?}");
        // NULL comes first.
        assert!(places.iter().step_by(10).all(|range| *range == 0));
    }

    #[test]
    fn equal_keys_are_in_one_range_also_where_their_first_bytes_are_those_of_others() {
        let text = |v: i64| format!("a long prefix {}", if v < 60 { 7 } else { v });
        let values: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..100).map(text)));
        let places = places(values, SqlType::String, 4);
        assert!(places[..60].iter().all(|range| *range == places[0]));
        assert!(places[60..].windows(2).all(|w| w[0] <= w[1]) && places[99] == 3);
    }
}
