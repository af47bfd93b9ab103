//! The binder: syntax trees to plans.
//!
//! One file per clause. Names are looked up along a chain of environments ([`Env`]): the scope of the
//! query that an expression belongs to, then those of the queries around it. A reference to an outer
//! scope is a plain column whose id is not made in the subquery; that is what makes it correlated.

mod aggregate;
mod expr;
pub mod frame;
mod from;
pub mod function;
pub(crate) mod hints;
mod names;
mod pivot;
mod query;
mod scope;
mod select;
mod setop;
pub mod statement;
mod subquery;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use firesteel_catalog::{CatalogEntry, TableName};
use firesteel_common::{Config, IdGenerator, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, FunctionRegistry};
use firesteel_plan::{LogicalOp, LogicalPlan};
use sqlparser::ast::{Cte, Ident};

pub use from::fresh_ids;
pub(crate) use scope::{Env, Scope, ScopeColumn};

use crate::parser::lexer::span_of;
use crate::parser::spans::SpanMap;
use crate::parser::too_deep;

/// Finds what a relation name stands for: the catalog, and tables that are read by path.
pub trait TableLookup {
    /// The table or view of a name.
    ///
    /// Errors: `TABLE_OR_VIEW_NOT_FOUND`.
    fn lookup(&self, name: &TableName, span: Span) -> Result<CatalogEntry>;
}

/// Values of `:name` and `?`.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// By name, without the colon.
    pub named: BTreeMap<String, Scalar>,
    /// In the order of the question marks.
    pub positional: Vec<Scalar>,
}

/// What binding needs to know besides the statement.
#[derive(Clone)]
pub struct BindContext<'a> {
    /// Tables and views.
    pub tables: &'a dyn TableLookup,
    /// Functions.
    pub registry: &'a FunctionRegistry,
    /// Source of ids of the query.
    pub ids: &'a IdGenerator,
    /// Settings of the session.
    pub config: &'a Config,
    /// Values of parameters.
    pub parameters: Parameters,
}

impl std::fmt::Debug for BindContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BindContext({:?})", self.registry)
    }
}

/// Levels of views and subqueries that are followed.
const MAX_DEPTH: usize = 64;

/// The common table expressions that a query may name, innermost first.
pub(crate) struct CteNode<'a> {
    cte: &'a Cte,
    recursive: bool,
    /// Environments around the query that defines it.
    depth: usize,
    outer: Ctes<'a>,
}

/// The chain of CTEs in scope.
pub(crate) type Ctes<'a> = Option<Rc<CteNode<'a>>>;

/// Binds one statement's text.
pub(crate) struct Binder<'a> {
    pub(crate) cx: &'a BindContext<'a>,
    pub(crate) spans: &'a SpanMap,
    /// Views and queries that are being bound, to bound the depth.
    depth: Cell<usize>,
    /// Join hints of the FROM clause that is being bound.
    hints: RefCell<Vec<hints::RelationHint>>,
}

/// A bound query or set operation: its rows, and names and columns of the result.
pub(crate) struct Relation {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<(Arc<str>, ColumnRef)>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(cx: &'a BindContext<'a>, spans: &'a SpanMap, depth: usize) -> Self {
        Self { cx, spans, depth: Cell::new(depth), hints: RefCell::default() }
    }

    /// Runs `f` one level deeper.
    fn deeper<T>(&self, span: Span, f: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.depth.set(self.depth.get() + 1);
        let result = f();
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn column(&self, name: impl Into<Arc<str>>, ty: SqlType, nullable: bool) -> ColumnRef {
        ColumnRef { id: self.cx.ids.column(), name: name.into(), ty, nullable }
    }

    /// A fresh column for the value of `expr`.
    fn column_for(&self, name: impl Into<Arc<str>>, expr: &Expr) -> ColumnRef {
        self.column(name, expr.ty(), expr.nullable())
    }

    fn unary(&self, op: LogicalOp, input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::unary(self.cx.ids.node(), op, input)
    }

    fn filter(&self, predicate: Expr, input: LogicalPlan) -> LogicalPlan {
        self.unary(LogicalOp::Filter { predicate }, input)
    }

    /// One row without columns.
    fn one_row(&self) -> LogicalPlan {
        LogicalPlan::leaf(self.cx.ids.node(), LogicalOp::Values { columns: Vec::new(), rows: vec![Vec::new()] })
    }

    /// Whether two names are the same.
    fn same_name(&self, a: &str, b: &str) -> bool {
        if self.cx.config.case_sensitive { a == b } else { a == b || a.to_lowercase() == b.to_lowercase() }
    }
}

/// The place of a name.
pub(crate) fn ident_span(ident: &Ident) -> Span {
    span_of(ident.span)
}

/// The place of a dotted name.
pub(crate) fn idents_span(parts: &[Ident]) -> Span {
    parts.iter().map(ident_span).fold(Span::NONE, Span::union)
}
