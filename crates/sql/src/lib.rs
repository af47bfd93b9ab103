//! From SQL text to bound statements.
//!
//! [`parse`] makes syntax trees (sqlparser's, from tokens of our own lexer), [`bind`] resolves names
//! and types and makes a [`LogicalPlan`](firesteel_plan::LogicalPlan). Invariant: a bound plan needs no
//! text, every column in it has an id that is unique in the query, every operand has the type that
//! its function takes; subqueries are dependent joins, which the optimizer removes.

pub mod binder;
pub mod call;
mod literal;
mod missing;
pub mod parser;
mod types;

pub use binder::frame;
pub use binder::function::names_without_registry;
pub use binder::statement::{
    BoundQuery, CreateTable, ExplainMode, OutputColumn, ShowNames, Statement, bind, bind_expression, bind_select_item,
    filter_condition,
};
pub use binder::{BindContext, Parameters, TableLookup, fresh_ids};
pub use call::{bind_aggregate, bind_call};
pub use parser::{ParsedStatement, StatementText, parse, parse_expression, parse_schema, parse_type, split_statements};
