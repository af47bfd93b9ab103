//! Execution of stages: operators, the loop that drives them, sources and sinks.
//!
//! Invariant: no planning decision is made here and nothing is spawned. Operators are synchronous;
//! waiting happens at the source and at the sink of a pipeline only.

pub mod context;
pub mod operator;
pub mod operators;

pub use context::TaskContext;
pub use operator::{Operator, Sink, SinkState, Source};
