//! Makes several rows of each: GROUPING SETS, and DISTINCT aggregates with different arguments.
//!
//! The projections are evaluated one after the other, so that one batch at a time is in flight.

use firesteel_common::{Batch, Result};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, Expr};

use crate::{Operator, TaskContext};

/// The operator of [`firesteel_plan::PhysicalOp::Expand`].
pub struct ExpandOperator {
    projections: Vec<Evaluator>,
    /// The batch that is being expanded, and the projection that is next.
    current: Option<(Batch, usize)>,
}

impl ExpandOperator {
    /// One output row per row of `input` and projection.
    pub fn new(projections: &[Vec<Expr>], input: &[ColumnRef], cx: &TaskContext) -> Result<Self> {
        let layout = Layout::new(input);
        let projections =
            projections.iter().map(|exprs| Evaluator::compile(exprs, &layout, &cx.eval)).collect::<Result<_>>()?;
        Ok(Self { projections, current: None })
    }
}

impl Operator for ExpandOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        // Compacted once rather than by each projection.
        self.current = Some((batch.compact()?, 0));
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        let Some((batch, next)) = &mut self.current else { return Ok(None) };
        let Some(projection) = self.projections.get_mut(*next) else {
            self.current = None;
            return Ok(None);
        };
        *next += 1;
        Ok(Some(Batch::new(projection.evaluate(batch)?, batch.rows())))
    }
}
