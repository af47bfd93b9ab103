//! The hash_aggregate operator.
