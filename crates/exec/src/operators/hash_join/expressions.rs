//! Expressions over a batch, where most are plain columns.

use arrow::array::ArrayRef;
use firesteel_common::{Batch, Result};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, EvalContext, Expr};

/// Computes expressions on the live rows of batches. Plain columns need no evaluator.
pub(in crate::operators) enum Exprs {
    Columns(Vec<usize>),
    Compiled(Box<Evaluator>),
}

impl Exprs {
    pub(in crate::operators) fn compile(exprs: &[Expr], columns: &[ColumnRef], cx: &EvalContext) -> Result<Self> {
        let position = |e: &Expr| columns.iter().position(|c| Some(c) == e.as_column());
        if let Some(positions) = exprs.iter().map(position).collect() {
            return Ok(Exprs::Columns(positions));
        }
        Ok(Exprs::Compiled(Box::new(Evaluator::compile(exprs, &Layout::new(columns), cx)?)))
    }

    /// The values, one row per live row.
    pub(in crate::operators) fn evaluate(&mut self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        match self {
            Exprs::Columns(positions) => positions.iter().map(|i| batch.column(*i)).collect(),
            Exprs::Compiled(evaluator) => evaluator.evaluate(batch),
        }
    }
}
