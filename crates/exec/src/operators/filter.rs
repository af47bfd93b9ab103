//! The filter operator.
