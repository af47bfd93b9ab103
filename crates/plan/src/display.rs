//! EXPLAIN text of plans.
