//! Aggregate functions.
//!
//! Each function is an [`Aggregate`]: documentation, a `bind` and a maker of accumulators. States
//! are vectors indexed by group. Updates run over primitive slices: NULLs and the filter are first
//! combined into one bitmap ([`rows::live`]), so that a loop has two forms, with and without a bitmap,
//! and a third one where there is a single group, which is a plain reduction.

mod approximate;
mod average;
mod bits;
mod by;
mod count;
mod distribution;
mod extreme;
mod few_groups;
mod first;
mod list;
mod mode;
mod moments;
mod rows;
mod slots;
mod sum;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use firesteel_common::{Result, SqlType};
use firesteel_expr::{
    AggregateFunction, AggregateSignature, EvalContext, FunctionDoc, FunctionRegistry, GroupAccumulator,
};

type Bind = fn(&'static str, &[SqlType]) -> Result<AggregateSignature>;
type Make = fn(&[SqlType], &SqlType, &EvalContext) -> Result<Box<dyn GroupAccumulator>>;

/// An aggregate function as a row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Aggregate {
    doc: FunctionDoc,
    bind: Bind,
    make: Make,
    ignores_duplicates: bool,
}

impl AggregateFunction for Aggregate {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType]) -> Result<AggregateSignature> {
        (self.bind)(self.doc.name, args)
    }

    fn accumulator(&self, args: &[SqlType], ty: &SqlType, cx: &EvalContext) -> Result<Box<dyn GroupAccumulator>> {
        (self.make)(args, ty, cx)
    }

    fn ignores_duplicates(&self) -> bool {
        self.ignores_duplicates
    }
}

/// The documentation of an aggregate.
pub(crate) const fn doc(
    name: &'static str,
    aliases: &'static [&'static str],
    syntax: &'static str,
    description: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> FunctionDoc {
    FunctionDoc { name, aliases, category: "aggregate", syntax, description, examples }
}

/// Registers all aggregate functions.
pub fn register(registry: &mut FunctionRegistry) {
    let tables: [&[Aggregate]; 12] = [
        sum::FUNCTIONS,
        average::FUNCTIONS,
        count::FUNCTIONS,
        extreme::FUNCTIONS,
        first::FUNCTIONS,
        moments::FUNCTIONS,
        by::FUNCTIONS,
        approximate::FUNCTIONS,
        distribution::FUNCTIONS,
        bits::FUNCTIONS,
        mode::FUNCTIONS,
        list::FUNCTIONS,
    ];
    for function in tables.into_iter().flatten() {
        registry.register_aggregate(Arc::new(*function));
    }
}
