//! The planner: logical rules, cardinality estimates, join order, and the step from logical plans to
//! stages.
//!
//! Invariant: planning is a pure function of the plan, the settings, the statistics and the facts that
//! ended stages left. There is no I/O, clock, randomness or iteration over hash maps in this crate, so
//! that the same query has the same plan on every machine and a recorded run can be planned again.

mod adversary;
mod fingerprint;
pub mod join_order;
pub mod lower;
pub mod optimizer;
pub mod remembered;
pub mod rule;
pub mod rules;
pub mod stage_planner;
mod stage_rules;
pub mod statistics;
pub mod unnest;
mod util;
mod verify;

pub use optimizer::Optimizer;
pub use rule::{OptimizerContext, OptimizerRule, Phase, PlanFacts, TableStats, Workers};
pub use stage_planner::{Facts, StagePlanner, Step};
pub use statistics::{estimate, row_width};
