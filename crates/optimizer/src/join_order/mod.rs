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
mod windows;

use std::collections::BTreeSet;

use firesteel_common::Result;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use self::region::Region;
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
        order(plan, Place::TOP, &|plan| Some(region::collect(plan, cx)), cx)
    }
}

/// Makes windows of aggregates that are joined with the rows they were computed from.
pub(crate) struct AggregateJoinToWindow;

impl OptimizerRule for AggregateJoinToWindow {
    fn name(&self) -> &'static str {
        "AggregateJoinToWindow"
    }

    fn phase(&self) -> Phase {
        Phase::EveryStep
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        // The rows of a window are few only where its scan waits for a filter.
        let waits = cx.config.adaptive && !cx.config.is_excluded_adaptively("InjectRuntimeFilter");
        if !waits || !reads_twice(&plan) {
            return Ok(plan);
        }
        order(plan, Place::TOP, &|plan| region::folded(plan, cx), cx)
    }
}

/// Whether some table is scanned more than once; most queries are done with that, and regions need not be looked at.
fn reads_twice(plan: &LogicalPlan) -> bool {
    let mut tables = BTreeSet::new();
    let mut again = false;
    plan.visit(&mut |node| {
        if let LogicalOp::Scan(scan) = &node.op {
            again |= !tables.insert(scan.table.id);
        }
    });
    again
}

/// Where a plan is.
#[derive(Clone, Copy)]
struct Place {
    /// Somebody above depends on the order of the output columns.
    positional: bool,
    /// It is part of a region that stays as it is.
    inside: bool,
}

impl Place {
    const TOP: Place = Place { positional: true, inside: false };
}

/// Orders the regions that `collect` makes of the joins of `plan`.
fn order(
    plan: LogicalPlan,
    place: Place,
    collect: &dyn Fn(&LogicalPlan) -> Option<Region>,
    cx: &OptimizerContext<'_>,
) -> Result<LogicalPlan> {
    let joins = is_root(&plan, cx);
    let region = if joins && !place.inside { collect(&plan) } else { None };
    let stays = joins && region.is_none();
    if let Some(mut region) = region {
        for leaf in region.leaves.iter_mut().filter(|leaf| !leaf.plan.inputs.is_empty()) {
            let ordered = order(leaf.plan.clone(), Place { positional: false, inside: false }, collect, cx)?;
            leaf.replace(ordered, cx);
        }
        if let Some(tree) = enumerate::best(&region) {
            let rebuilt = region::build(region, &tree, cx);
            if same_shape(&rebuilt, &plan) {
                return Ok(plan);
            }
            return Ok(if place.positional { with_columns(cx.ids, rebuilt, plan.columns()) } else { rebuilt });
        }
    }
    let positional = match &plan.op {
        LogicalOp::Project { .. } | LogicalOp::Aggregate { .. } | LogicalOp::Expand { .. } => false,
        LogicalOp::Union { .. } | LogicalOp::SetOp { .. } => true,
        _ => place.positional,
    };
    // The right input of a semi or anti join is a leaf.
    let mut inside =
        [stays, stays && !matches!(&plan.op, LogicalOp::Join { kind, .. } if kind.is_existence())].into_iter();
    plan.try_map_inputs(&mut |input| {
        order(input, Place { positional, inside: inside.next().unwrap_or(false) }, collect, cx)
    })
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
