//! Join ordering.
