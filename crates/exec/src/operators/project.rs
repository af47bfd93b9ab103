//! Computes expressions.
//!
//! A projection that only picks columns keeps the selection and copies nothing. Any other one makes
//! dense columns, since each is computed for the live rows only.

use firesteel_common::{Batch, Result};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, Expr};

use crate::{Operator, TaskContext};

/// The operator of [`firesteel_plan::PhysicalOp::Project`].
pub struct ProjectOperator {
    step: Step,
    ready: Option<Batch>,
}

enum Step {
    /// Positions of the columns to keep.
    Pick(Vec<usize>),
    Compute(Evaluator),
}

impl ProjectOperator {
    /// Computes `exprs` over rows of `input`.
    pub fn new(exprs: &[Expr], input: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        let position = |e: &Expr| e.as_column().and_then(|column| input.iter().position(|c| c == column));
        let step = match exprs.iter().map(position).collect::<Option<Vec<_>>>() {
            Some(positions) => Step::Pick(positions),
            None => Step::Compute(Evaluator::compile(exprs, &Layout::new(input), &cx.eval)?),
        };
        Ok(Self { step, ready: None })
    }
}

impl Operator for ProjectOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        self.ready = Some(match &mut self.step {
            Step::Pick(positions) => batch.project(positions),
            Step::Compute(evaluator) => Batch::new(evaluator.evaluate(&batch)?, batch.rows()),
        });
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        Ok(self.ready.take())
    }
}
