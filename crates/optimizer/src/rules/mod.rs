//! The rules, in order.

use crate::rule::OptimizerRule;

/// Rules that run before a query starts.
pub(crate) fn once() -> Vec<Box<dyn OptimizerRule>> {
    vec![]
}

/// Rules that run before a query starts and whenever a stage has ended.
pub(crate) fn every_step() -> Vec<Box<dyn OptimizerRule>> {
    vec![]
}
