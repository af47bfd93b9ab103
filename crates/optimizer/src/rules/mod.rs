//! The rules, in order.

mod casts;
mod distinct_aggregates;
mod eager_aggregates;
mod empty;
mod existence;
pub(crate) mod hints;
mod infer;
mod join_keys;
mod limits;
mod nullability;
mod outer_joins;
mod projects;
mod prune;
mod pushdown;
mod repartition;
mod set_operations;
mod simplify;
mod split_aggregates;

use crate::join_order::{AggregateJoinToWindow, JoinOrder};
use crate::rule::OptimizerRule;
use crate::unnest::Unnest;

/// Rules that run before a query starts.
pub(crate) fn once() -> Vec<Box<dyn OptimizerRule>> {
    vec![
        Box::new(hints::EliminateHints),
        Box::new(simplify::Simplify),
        Box::new(existence::MarksToJoins),
        Box::new(Unnest),
        Box::new(set_operations::ReplaceSetOperations),
        Box::new(distinct_aggregates::RewriteDistinctAggregates),
        Box::new(nullability::UpdateNullability),
        Box::new(simplify::Simplify),
        Box::new(projects::CollapseProjects),
        // Outer joins first: what they become decides what filters may pass.
        Box::new(pushdown::PushDownFilters),
        Box::new(outer_joins::SimplifyOuterJoins),
        Box::new(pushdown::PushDownFilters),
        Box::new(infer::InferFilters),
        Box::new(pushdown::PushDownFilters),
        Box::new(join_keys::ExtractJoinKeys),
        Box::new(repartition::CollapseRepartition),
        Box::new(limits::RemoveSorts),
        Box::new(nullability::UpdateNullability),
        Box::new(simplify::Simplify),
        Box::new(prune::PruneColumns),
        Box::new(projects::CollapseProjects),
        Box::new(limits::PushDownLimits),
    ]
}

/// Rules that run once before a query starts, when samples have said how many rows pass filters.
pub(crate) fn sampled() -> Vec<Box<dyn OptimizerRule>> {
    vec![Box::new(eager_aggregates::EagerAggregation), Box::new(nullability::UpdateNullability)]
}

/// Rules that run before a query starts and whenever a stage has ended.
pub(crate) fn every_step() -> Vec<Box<dyn OptimizerRule>> {
    vec![
        Box::new(empty::PropagateEmpty),
        Box::new(limits::EliminateLimits),
        Box::new(limits::OptimizeOneRowPlan),
        Box::new(AggregateJoinToWindow),
        Box::new(JoinOrder),
    ]
}
