//! The part of the groups of a partition that one of several tasks makes, each of which reads all of it.
//!
//! Groups belong to tasks by the hash of their keys, so that every group is complete in one task.

use firesteel_common::hash::{hash_columns, partition_of};
use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, Expr};

use crate::TaskContext;
use crate::slices::Slice;

/// Keeps the rows of one task's groups.
pub(crate) struct Share {
    keys: Evaluator,
    slice: Slice,
    hashes: Vec<u64>,
}

impl Share {
    /// The groups by `keys` of rows of `input` that fall to `slice`.
    pub(crate) fn new(keys: &[Expr], input: &[ColumnRef], slice: Slice, cx: &TaskContext) -> Result<Self> {
        Ok(Self { keys: Evaluator::compile(keys, &Layout::new(input), &cx.eval)?, slice, hashes: Vec::new() })
    }

    /// The rows of `batch` in these groups.
    pub(super) fn keep(&mut self, batch: Batch) -> Result<Batch> {
        let keys = self.keys.evaluate(&batch)?;
        hash_columns(&keys, batch.rows(), &mut self.hashes)?;
        let of = self.slice.count;
        let own = self.hashes.iter().enumerate().filter(|(_, hash)| partition_of(**hash, of) == self.slice.index);
        let own = own.map(|(row, _)| row as u32).collect();
        Ok(batch.refine(&Selection::new(own)))
    }
}
