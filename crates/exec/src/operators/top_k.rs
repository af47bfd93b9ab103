//! The top_k operator.
