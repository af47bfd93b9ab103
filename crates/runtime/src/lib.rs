//! What running queries share in a process: threads, memory, cancellation, scopes of tasks.
//!
//! Invariant: knows nothing of plans or expressions. It is the only crate that spawns.

pub mod cancel;
pub mod memory;
pub mod threads;

pub use cancel::CancelToken;
pub use memory::{MemoryPool, Reclaim, Reservation, Usage};
pub use threads::{TaskScope, Threads};
