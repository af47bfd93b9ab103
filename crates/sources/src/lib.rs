//! Placeholder module docs.
