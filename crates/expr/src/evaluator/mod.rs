//! Evaluation of expressions over batches.
//!
//! [`Evaluator::compile`] turns expressions into a flat program: one step per distinct
//! subexpression, operands before users, constants folded. A step's result is a register. Steps run
//! over all live rows at once.
//!
//! Invariant: what may fail is evaluated only on rows that need it. The later operands of AND and
//! OR and the branches of CASE are therefore programs of their own, run on the rows that are left,
//! unless they cannot fail and are cheap: then they are steps like all others and the results are
//! combined, which is faster than moving rows around.

mod compile;
mod lazy;
mod predicate;
mod program;

use std::collections::HashMap;

use arrow::array::{ArrayRef, new_empty_array};
use firesteel_common::{Batch, ColumnId, Error, Result, Scalar, Selection, SqlType};

pub use compile::cannot_fail;
pub use predicate::Predicate;

use crate::expr::{ColumnRef, Expr};
use crate::function::{Datum, EvalContext};
use program::Program;

/// Where the columns of the input are in its batches.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    positions: HashMap<ColumnId, usize>,
}

impl Layout {
    /// The layout of batches that have these columns in this order.
    pub fn new(columns: &[ColumnRef]) -> Self {
        Self { positions: columns.iter().enumerate().map(|(i, column)| (column.id, i)).collect() }
    }

    /// The position of a column.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.positions.get(&id).copied()
    }

    fn expect(&self, column: &ColumnRef) -> Result<usize> {
        self.position(column.id).ok_or_else(|| Error::internal(format!("column {column} is not in the input")))
    }
}

/// Compiled expressions. It keeps scratch space, so that each task has its own.
pub struct Evaluator {
    program: Program,
    types: Vec<SqlType>,
}

impl Evaluator {
    /// Compiles expressions whose columns are those of `layout`.
    pub fn compile(exprs: &[Expr], layout: &Layout, cx: &EvalContext) -> Result<Self> {
        let program = Program::compile(exprs.iter(), layout, cx)?;
        Ok(Self { program, types: exprs.iter().map(Expr::ty).collect() })
    }

    /// The results over the live rows: arrays of [`Batch::rows`] rows, possibly in an alternative
    /// encoding.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        let rows = batch.rows();
        if rows == 0 {
            return Ok(self.types.iter().map(|ty| new_empty_array(&ty.arrow())).collect());
        }
        Ok(self.program.run(batch)?.into_iter().map(|datum| datum.into_array(rows)).collect())
    }

    /// The live rows, counted among themselves, where the first expression is true.
    pub fn select(&mut self, batch: &Batch) -> Result<Selection> {
        let rows = batch.rows();
        if rows == 0 {
            return Ok(Selection::new(Vec::new()));
        }
        let verdict = self.program.run(batch)?.swap_remove(0);
        Ok(match lazy::true_rows(&verdict)? {
            lazy::Rows::All => Selection::new((0..rows as u32).collect()),
            lazy::Rows::None => Selection::new(Vec::new()),
            lazy::Rows::Some(mask) => Selection::new(mask.set_indices_u32().collect()),
        })
    }
}

/// The value of an expression without columns.
pub fn evaluate_constant(expr: &Expr, cx: &EvalContext) -> Result<Scalar> {
    if let Expr::Literal(value) = expr {
        return Ok(value.clone());
    }
    let mut program = Program::compile(std::iter::once(expr), &Layout::default(), cx)?;
    match program.run(&Batch::new(Vec::new(), 1))?.swap_remove(0) {
        Datum::Scalar(value) => Ok(value),
        Datum::Array(array) => Scalar::from_array(&array, 0, &expr.ty()),
    }
}

#[cfg(test)]
mod tests;
