//! Skips rows and limits them; ends the input early.

use firesteel_common::{Batch, Result};

use crate::Operator;

/// The operator of [`firesteel_plan::PhysicalOp::Limit`].
#[derive(Debug)]
pub struct LimitOperator {
    /// Rows still to skip.
    skip: u64,
    /// Rows still to return; `None` is all.
    fetch: Option<u64>,
    ready: Option<Batch>,
}

impl LimitOperator {
    /// Drops the first `skip` rows, then returns up to `fetch`.
    pub fn new(skip: u64, fetch: Option<u64>) -> Self {
        Self { skip, fetch, ready: None }
    }
}

impl Operator for LimitOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.rows();
        let skipped = usize::try_from(self.skip).map_or(rows, |skip| skip.min(rows));
        self.skip -= skipped as u64;
        let left = rows - skipped;
        let kept = self.fetch.map_or(left, |fetch| usize::try_from(fetch).map_or(left, |fetch| fetch.min(left)));
        if let Some(fetch) = &mut self.fetch {
            *fetch -= kept as u64;
        }
        if kept == rows {
            self.ready = Some(batch);
        } else if kept > 0 {
            self.ready = Some(batch.slice(skipped, kept));
        }
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        Ok(self.ready.take())
    }

    fn is_done(&self) -> bool {
        self.fetch == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;
    use firesteel_common::Selection;

    use super::*;

    #[test]
    fn skip_and_fetch_cross_batches() {
        let mut limit = LimitOperator::new(3, Some(4));
        let mut rows = Vec::new();
        for start in [0, 4, 8] {
            // Rows start, start + 2, start + 3 are live.
            let batch = Batch::new(vec![Arc::new(Int32Array::from_iter_values(start..start + 4))], 4);
            limit.push(batch.refine(&Selection::new(vec![0, 2, 3]))).unwrap();
            while let Some(out) = limit.next_output().unwrap() {
                rows.extend_from_slice(out.compact().unwrap().columns()[0].as_primitive::<Int32Type>().values());
            }
        }
        assert_eq!(rows, [4, 6, 7, 8]);
        assert!(limit.is_done());
    }
}
