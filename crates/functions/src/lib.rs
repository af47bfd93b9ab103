//! The built-in functions of the SQL dialect: aggregates and scalar functions.
//!
//! Invariant: a function settles types in `bind` and only computes in its kernel or accumulator;
//! nothing here parses SQL or knows a plan. A function is a row of a table (names, syntax, examples,
//! a `bind` and a maker), so that adding one is a few lines and the documentation cannot drift.

pub mod aggregate;
mod check;
mod hash;
pub mod scalar;

use std::sync::{Arc, OnceLock};

use firesteel_expr::FunctionRegistry;
use firesteel_expr::kernels::register_operators;

/// Registers every built-in function, the operators included.
pub fn register_all(registry: &mut FunctionRegistry) {
    register_operators(registry);
    aggregate::register(registry);
    scalar::register(registry);
}

/// Whether a text names a time zone: a region, or an offset.
pub fn is_time_zone(name: &str) -> bool {
    scalar::is_time_zone(name)
}

/// The registry of all built-in functions, made once.
pub fn builtin_registry() -> Arc<FunctionRegistry> {
    static REGISTRY: OnceLock<Arc<FunctionRegistry>> = OnceLock::new();
    REGISTRY
        .get_or_init(|| {
            let mut registry = FunctionRegistry::new();
            register_all(&mut registry);
            Arc::new(registry)
        })
        .clone()
}
