//! Exchanges: what map tasks write, kept by partition until nobody reads it any more.
//!
//! Only committed output is visible, and it belongs to one attempt of a task, so that a failed attempt
//! leaves nothing behind and two attempts are never mixed. Statistics are taken while rows are
//! written and can be read before the exchange has finished.
//!
//! Invariant: knows no plans and no operators.

pub mod block;
pub mod scatter;
pub mod sketch;
pub mod store;

pub use block::Block;
pub use scatter::Scatter;
pub use store::{ExchangeLayout, ShuffleStore, ShuffleWriter};
