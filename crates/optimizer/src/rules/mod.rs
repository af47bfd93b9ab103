//! The rules, in order.

mod existence;
mod prune;
mod pushdown;

use crate::rule::OptimizerRule;
use crate::unnest::Unnest;

/// Rules that run before a query starts.
pub(crate) fn once() -> Vec<Box<dyn OptimizerRule>> {
    vec![
        Box::new(existence::MarksToJoins),
        Box::new(Unnest),
        Box::new(pushdown::PushDownFilters),
        Box::new(prune::PruneColumns),
    ]
}

/// Rules that run before a query starts and whenever a stage has ended.
pub(crate) fn every_step() -> Vec<Box<dyn OptimizerRule>> {
    vec![]
}
