//! The project operator.
