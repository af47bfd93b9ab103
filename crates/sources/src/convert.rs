//! Conversion of texts of CSV and JSON to the types of columns; what does not convert is NULL.

use std::sync::Arc;

use arrow::array::ArrayRef;
use firesteel_common::{Batch, ColumnId, Error, Result, Span, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, Evaluator, Expr, Layout};

/// Converts texts to values of one type, as TRY_CAST does.
pub(crate) struct TextConverter {
    evaluator: Evaluator,
}

impl TextConverter {
    pub(crate) fn new(ty: &SqlType, cx: &EvalContext) -> Result<Self> {
        let column = ColumnRef { id: ColumnId(0), name: Arc::from("text"), ty: SqlType::String, nullable: true };
        let input = Box::new(Expr::Column(column.clone()));
        let cast = Expr::Cast { input, to: ty.clone(), safe: true, span: Span::NONE };
        Ok(Self { evaluator: Evaluator::compile(&[cast], &Layout::new(&[column]), cx)? })
    }

    /// The values of `text`.
    pub(crate) fn convert(&mut self, text: &ArrayRef) -> Result<ArrayRef> {
        let batch = Batch::new(vec![text.clone()], text.len());
        self.evaluator.evaluate(&batch)?.pop().ok_or_else(|| Error::internal("a cast gave no column"))
    }
}
