//! The hash_join operator.
