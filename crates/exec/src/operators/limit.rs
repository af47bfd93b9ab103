//! The limit operator.
