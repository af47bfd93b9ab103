//! Execution of stages: operators, the loop that drives them, sources and sinks.
//!
//! Invariant: no planning decision is made here and nothing is spawned. Operators are synchronous;
//! waiting happens at the source and at the sink of a pipeline only.

pub mod carried;
mod context;
mod gather;
pub mod metrics;
mod once;
pub mod operator;
pub mod operators;
pub mod pages;
pub mod pipeline;
pub mod services;
pub mod sink;
mod slices;
pub mod source;
pub mod stage;

pub use context::TaskContext;
pub use metrics::{MetricsMap, OperatorMetrics};
pub use operator::{Operator, Sink, SinkState, Source, Worker};
pub use pages::SharedPages;
pub use services::{FilterRegistry, QueryServices};
pub use stage::StageExecution;
