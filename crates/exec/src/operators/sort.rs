//! The sort operator.
