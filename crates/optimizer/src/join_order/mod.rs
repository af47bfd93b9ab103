//! Join ordering.
//!
//! A region is a tree of inner joins, and of semi and anti joins whose left input belongs to it, with
//! nothing between them but filters. Its leaves may be joined in any order that has the same
//! predicates; a semi or anti join may come as soon as the columns it compares are there, which is often
//! early, since it makes its input smaller.
//!
//! Up to [`EXHAUSTIVE`] leaves, all orders are tried by dynamic programming over sets of leaves; larger
//! regions are joined greedily, always the pair with the smallest result. The cost is the number of
//! rows of all intermediate results, plus a little for building and probing. The number of rows of a
//! set is that of the first way in which it was made, so that it does not depend on the way.
//!
//! The rule runs at every step: then leaves are what has run already, with exact counts. It is
//! deterministic, and gives a tree back as it was if it would choose the same one.

mod enumerate;
mod region;

use firesteel_common::Result;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule, Phase};
use crate::util::{is_deterministic, same_shape, with_columns};

/// Regions of no more leaves are ordered by dynamic programming.
pub const EXHAUSTIVE: usize = 10;

/// Orders joins by cost.
pub(crate) struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &'static str {
        "CostBasedJoinReorder"
    }

    fn phase(&self) -> Phase {
        Phase::EveryStep
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        order(plan, true, cx)
    }
}

/// `positional`: somebody above depends on the order of the output columns.
fn order(plan: LogicalPlan, positional: bool, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
    if is_root(&plan, cx) {
        let mut region = region::collect(&plan, cx);
        for leaf in &mut region.leaves {
            let taken = std::mem::replace(&mut leaf.plan, LogicalPlan::empty(plan.id, Vec::new()));
            leaf.plan = order(taken, false, cx)?;
        }
        if let Some(tree) = enumerate::best(&region) {
            let rebuilt = region::build(region, &tree, cx);
            if same_shape(&rebuilt, &plan) {
                return Ok(plan);
            }
            return Ok(if positional { with_columns(cx.ids, rebuilt, plan.columns()) } else { rebuilt });
        }
    }
    let below = match &plan.op {
        LogicalOp::Project { .. } | LogicalOp::Aggregate { .. } | LogicalOp::Expand { .. } => false,
        LogicalOp::Union { .. } | LogicalOp::SetOp { .. } => true,
        _ => positional,
    };
    plan.try_map_inputs(&mut |input| order(input, below, cx))
}

/// Whether a region starts here: then its root is no leaf. Predicates that are not deterministic stay where they are.
fn is_root(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> bool {
    match &plan.op {
        LogicalOp::Filter { predicate } => {
            is_deterministic(predicate, cx) && plan.inputs.first().is_some_and(|input| is_root(input, cx))
        }
        _ => reorders(plan, cx),
    }
}

/// Whether a join belongs to a region.
fn reorders(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> bool {
    let LogicalOp::Join { kind: JoinKind::Inner | JoinKind::LeftSemi | JoinKind::LeftAnti, residual, .. } = &plan.op
    else {
        return false;
    };
    residual.as_ref().is_none_or(|residual| is_deterministic(residual, cx))
}
