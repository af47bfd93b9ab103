//! The expand operator.
