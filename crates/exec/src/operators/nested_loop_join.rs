//! The nested_loop_join operator.
