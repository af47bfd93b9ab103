//! The filters of a scan, compiled: evaluated on the columns that they read, chunk by chunk.

use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::{ColumnRef, EvalContext, Expr};

/// The conjunction of a scan's static filters.
pub(crate) struct RowFilter {}

impl RowFilter {
    /// Compiles `filters`, which read `columns`; `None` if there is no filter.
    pub(crate) fn compile(filters: &[Expr], _columns: &[ColumnRef], _cx: &EvalContext) -> Result<Option<Self>> {
        if filters.is_empty() {
            return Ok(None);
        }
        Err(firesteel_common::Error::unsupported("filters in scans"))
    }

    /// The rows of `batch`, which has the columns given to [`RowFilter::compile`], that pass.
    pub(crate) fn select(&mut self, _batch: &Batch) -> Result<Selection> {
        Err(firesteel_common::Error::unsupported("filters in scans"))
    }
}
