//! Expressions: one tree from the binder to the evaluator, the traits of functions, and the
//! evaluator that runs compiled expressions on batches.
//!
//! Invariant: no name is resolved here and no table is read. Types are settled when an expression
//! is made; column ids become positions only in `Evaluator::compile`.

pub mod aggregate;
pub mod cast;
pub mod coercion;
pub mod evaluator;
pub mod expr;
pub mod format;
pub mod function;
pub mod kernels;
pub mod time;
pub mod window;

pub use aggregate::{AggregateCall, AggregateFunction, AggregateSignature, GroupAccumulator, NamedAggregate};
pub use evaluator::{Evaluator, Layout, Predicate, evaluate_constant};
pub use expr::{Call, ColumnRef, Expr, SortKey, op};
pub use function::{Datum, EvalContext, FunctionDoc, FunctionRegistry, ScalarFunction, ScalarKernel, Signature};
pub use window::{Frame, FrameBound, FrameUnit, WindowCall, WindowFunction};
