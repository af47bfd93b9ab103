//! Plans: logical, physical, stages, and their EXPLAIN text.
//!
//! Invariant: plans are data. They can be cloned and compared, hold no locks and no run-time state,
//! and no node knows whether it has run.

pub mod decision;
pub mod display;
pub mod hint;
pub mod logical;
pub mod physical;
pub mod stage;
pub mod statistics;

pub use decision::{Effect, Evidence, Note};
pub use hint::{JoinHint, JoinStrategy};
pub use logical::{JoinKey, JoinKind, LogicalOp, LogicalPlan, Pinned, RepartitionKind, Scan, SetOperation};
pub use physical::{
    AggregateMode, BuildMode, Distribution, Exchange, ExchangeForm, ExchangeOrigin, HashAggregate, HashJoin,
    PhysicalOp, PhysicalPlan, ReadMode, Side,
};
pub use stage::{FilterSource, Stage, TaskInput, TaskLayout};
pub use statistics::{ColumnEstimate, Estimate, Statistics};
