//! Of redistributions above one another, the outermost decides.

use firesteel_common::Result;
use firesteel_plan::{LogicalOp, LogicalPlan, RepartitionKind};

use crate::rule::{OptimizerContext, OptimizerRule};

/// Drops redistributions that another one undoes, and limits of tasks that do not limit.
pub(crate) struct CollapseRepartition;

impl OptimizerRule for CollapseRepartition {
    fn name(&self) -> &'static str {
        "CollapseRepartition"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |mut node| {
            let (LogicalOp::Repartition { kind, partitions }, [input]) = (&node.op, node.inputs.as_slice()) else {
                return Ok(node);
            };
            let LogicalOp::Repartition { kind: below, partitions: given } = &input.op else { return Ok(node) };
            let (partitions, given) = (*partitions, *given);
            let coalesces = *kind == RepartitionKind::Coalesce;
            if coalesces && *below != RepartitionKind::Coalesce {
                // Fewer tasks than partitions need both; the others are as many already.
                let moot = given.is_some_and(|given| partitions.is_none_or(|most| most >= given));
                return Ok(if moot { node.inputs.swap_remove(0) } else { node });
            }
            let inner = node.inputs.swap_remove(0);
            if coalesces {
                let least = partitions.min(given).or(partitions);
                node.op = LogicalOp::Repartition { kind: RepartitionKind::Coalesce, partitions: least };
            }
            node.inputs = inner.inputs;
            Ok(node)
        })
    }
}
