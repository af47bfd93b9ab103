//! Keys of joins (Spark: `ExtractEquiJoinKeys`): equalities between the two sides, among the conditions of a join.
//!
//! Filter pushdown finds them while it sorts conditions; it can be switched off, and other rules may make an equality of
//! something else. Without keys a join is a loop over one side, held in memory, for each row of the other.

use firesteel_common::Result;
use firesteel_expr::Expr;
use firesteel_plan::{LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::{as_join_key, column_set};

/// Makes keys of equalities in the conditions of joins.
pub(crate) struct ExtractJoinKeys;

impl OptimizerRule for ExtractJoinKeys {
    fn name(&self) -> &'static str {
        "ExtractEquiJoinKeys"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |mut node| {
            if let (LogicalOp::Join { on, residual, null_aware: false, .. }, [left, right]) =
                (&mut node.op, node.inputs.as_slice())
            {
                let (left, right) = (column_set(left), column_set(right));
                let mut rest = Vec::new();
                for condition in residual.take().map(Expr::conjuncts).unwrap_or_default() {
                    match as_join_key(&condition, &left, &right, cx) {
                        Some(key) if on.contains(&key) => {}
                        Some(key) => on.push(key),
                        None => rest.push(condition),
                    }
                }
                *residual = (!rest.is_empty()).then(|| Expr::and(rest));
            }
            Ok(node)
        })
    }
}
