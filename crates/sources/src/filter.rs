//! The filters of a scan, compiled: evaluated on the columns that they read, chunk by chunk.

use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::{ColumnRef, EvalContext, Expr, Layout, Predicate};

/// The conjunction of a scan's static filters.
pub(crate) struct RowFilter {
    predicate: Predicate,
}

impl RowFilter {
    /// Compiles `filters`, which read `columns`; `None` if there is no filter.
    pub(crate) fn compile(filters: &[Expr], columns: &[ColumnRef], cx: &EvalContext) -> Result<Option<Self>> {
        if filters.is_empty() {
            return Ok(None);
        }
        let all = Expr::and(filters.iter().cloned());
        Ok(Some(Self { predicate: Predicate::compile(&all, &Layout::new(columns), cx)? }))
    }

    /// The rows of `batch`, which has the columns given to [`RowFilter::compile`], that pass.
    pub(crate) fn select(&mut self, batch: &Batch) -> Result<Selection> {
        self.predicate.select(batch)
    }
}
