//! Hints move from the relations that they are written on to the joins of these.
//!
//! A hint reaches the join above through nodes with one input, as in Spark: `(SELECT … FROM t) JOIN u`
//! keeps what is asked for `t`. Of several hints for one side, the outermost and leftmost counts. A hint
//! that no join is found for has no effect.

use firesteel_common::Result;
use firesteel_plan::{JoinHint, JoinStrategy, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};

/// Puts hints into joins, so that no other rule meets one elsewhere.
pub(crate) struct EliminateHints;

impl OptimizerRule for EliminateHints {
    fn name(&self) -> &'static str {
        "EliminateResolvedHint"
    }

    fn is_required(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let plan = plan.transform_up(&mut |mut node| {
            if let (LogicalOp::Join { hint, .. }, [left, right]) = (&mut node.op, node.inputs.as_mut_slice()) {
                let (of_left, of_right) = (take(left), take(right));
                *hint = JoinHint { left: hint.left.or(of_left), right: hint.right.or(of_right) };
            }
            Ok(node)
        })?;
        plan.transform_up(&mut |mut node| match (&node.op, node.inputs.pop()) {
            (LogicalOp::Hint { .. }, Some(input)) => Ok(input),
            (_, input) => {
                node.inputs.extend(input);
                Ok(node)
            }
        })
    }
}

/// Takes the hints off a relation; returns the outermost one.
fn take(plan: &mut LogicalPlan) -> Option<JoinStrategy> {
    let [input] = plan.inputs.as_mut_slice() else { return None };
    let below = take(input);
    let LogicalOp::Hint { strategy } = plan.op else { return below };
    *plan = plan.inputs.swap_remove(0);
    Some(strategy)
}
