//! Unnesting.
