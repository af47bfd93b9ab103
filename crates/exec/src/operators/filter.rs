//! Keeps the rows on which a predicate is true.
//!
//! Nothing is copied: the batch gets a narrower selection. Whoever keeps rows compacts them.

use firesteel_common::{Batch, Result};
use firesteel_expr::evaluator::{Layout, Predicate};
use firesteel_expr::{ColumnRef, Expr};

use crate::{Operator, TaskContext};

/// The operator of [`firesteel_plan::PhysicalOp::Filter`].
pub struct FilterOperator {
    predicate: Predicate,
    ready: Option<Batch>,
}

impl FilterOperator {
    /// Keeps the rows of `input` on which `predicate` is true.
    pub fn new(predicate: &Expr, input: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        let predicate = Predicate::compile(predicate, &Layout::new(input), &cx.eval)?;
        Ok(Self { predicate, ready: None })
    }
}

impl Operator for FilterOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let kept = self.predicate.select(&batch)?;
        if kept.len() == batch.rows() {
            self.ready = Some(batch);
        } else if !kept.is_empty() {
            self.ready = Some(batch.refine(&kept));
        }
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        Ok(self.ready.take())
    }
}
