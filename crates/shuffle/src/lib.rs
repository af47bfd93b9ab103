//! Exchanges: what map tasks write, kept by partition until nobody reads it any more.
//!
//! Only committed output is visible, and it belongs to one attempt of a task, so that a failed attempt
//! leaves nothing behind and two attempts are never mixed. Statistics are taken while rows are
//! written and can be read before the exchange has finished.
//!
//! Blocks are in memory until it is short; then whole outputs move to files in a folder for temporary ones, and come
//! back block by block (ADR 11).
//!
//! Invariant: knows no plans and no operators.

pub mod block;
mod output;
pub mod scatter;
pub mod sketch;
mod spill;
pub mod store;
pub mod watch;

pub use block::Block;
pub use scatter::Scatter;
pub use store::{ExchangeLayout, ShuffleStore, ShuffleWriter};
pub use watch::Watch;
