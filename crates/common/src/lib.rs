//! What every crate shares: ids, SQL types and values, batches, errors, settings
//! and the vocabulary of exchanges.
//!
//! Invariant: nothing here knows a plan, a function or a runtime.

pub mod batch;
pub mod config;
pub mod encoding;
pub mod error;
pub mod exchange;
pub mod hash;
pub mod ids;
pub mod key_counts;
pub mod replace;
pub mod scalar;
pub mod select;
pub mod show;
pub mod span;
pub mod sql_type;
pub mod texts;

pub use batch::{Batch, Selection};
pub use config::Config;
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use exchange::{ExchangeStats, PartitionSpec};
pub use ids::*;
pub use key_counts::KeyCounts;
pub use scalar::Scalar;
pub use span::Span;
pub use sql_type::SqlType;
