//! From the trees of the API to bound expressions: names are looked up in a frame, everything else is left to the
//! binder of SQL.

use std::sync::Arc;

use firesteel_catalog::{CatalogEntry, TableName};
use firesteel_common::{ColumnId, Error, Result, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, SortKey};
use firesteel_sql::call::{bind_case, bind_cast, condition};
use firesteel_sql::frame::{FrameBinder, FrameColumn};
use firesteel_sql::{BindContext, Parameters, TableLookup};

use crate::column::{Column, Node, TypeForm};
use crate::session::Session;
use crate::window::WindowSpec;

/// A column of a frame.
#[derive(Clone, Debug)]
pub(crate) struct NamedColumn {
    /// Name in the result.
    pub(crate) name: Arc<str>,
    /// The column of the plan.
    pub(crate) column: ColumnRef,
    /// Alias of the frame that it comes from.
    pub(crate) qualifier: Option<Arc<str>>,
    /// The id that it had before a self-join gave it another.
    pub(crate) origin: ColumnId,
}

impl NamedColumn {
    pub(crate) fn new(name: Arc<str>, column: ColumnRef) -> Self {
        Self { name, qualifier: None, origin: column.id, column }
    }

    pub(crate) fn offered(&self) -> FrameColumn {
        FrameColumn { qualifier: self.qualifier.clone(), name: self.name.clone(), column: self.column.clone() }
    }
}

/// Expressions of the API name no tables.
struct NoTables;

impl TableLookup for NoTables {
    fn lookup(&self, _: &TableName, _: Span) -> Result<CatalogEntry> {
        Err(subqueries())
    }
}

fn subqueries() -> Error {
    Error::unsupported("Subqueries in expressions of the API are not supported.")
        .with_hint("register the frame as a view, and write the query in SQL")
}

/// Runs `f` with what the binder needs to know of a session.
pub(crate) fn with_context<T>(session: &Session, f: impl FnOnce(&BindContext<'_>) -> Result<T>) -> Result<T> {
    let (registry, config) = (session.registry(), session.config());
    let parameters = Parameters::default();
    f(&BindContext { tables: &NoTables, registry: &registry, ids: session.ids(), config: &config, parameters })
}

/// Resolves the expressions of one operation.
pub(crate) struct Resolver<'a> {
    pub(crate) binder: FrameBinder<'a>,
    columns: &'a [NamedColumn],
}

impl<'a> Resolver<'a> {
    /// For an operation that may have aggregates and window functions.
    pub(crate) fn new(columns: &'a [NamedColumn], cx: &'a BindContext<'a>) -> Self {
        let offered: Vec<FrameColumn> = columns.iter().map(NamedColumn::offered).collect();
        Self { binder: FrameBinder::new(&offered, cx), columns }
    }

    /// For a clause that has neither.
    pub(crate) fn scalar(columns: &'a [NamedColumn], clause: &'static str, cx: &'a BindContext<'a>) -> Self {
        let offered: Vec<FrameColumn> = columns.iter().map(NamedColumn::offered).collect();
        Self { binder: FrameBinder::scalar(&offered, clause, cx), columns }
    }

    /// Items of a select list with their names; `*` is many.
    pub(crate) fn items(&mut self, columns: &[Column]) -> Result<Vec<(Arc<str>, Expr)>> {
        let mut items = Vec::with_capacity(columns.len());
        for Column(node) in columns {
            match node {
                Node::Star => {
                    items.extend(self.columns.iter().map(|c| (c.name.clone(), Expr::Column(c.column.clone()))));
                }
                Node::Text(sql) => items.extend(self.binder.text(sql)?),
                Node::Name(name) if name.ends_with(".*") => items.extend(self.binder.text(name)?),
                Node::Name(name) => {
                    let expr = self.binder.name(name)?;
                    // The name is spelled as the frame has it, not as it was asked for.
                    let shown = self.columns.iter().find(|c| expr.as_column().is_some_and(|e| e.id == c.column.id));
                    items.push((shown.map_or_else(|| Arc::from(node.name()), |c| c.name.clone()), expr));
                }
                other => items.push((Arc::from(other.name()), self.expr(other)?)),
            }
        }
        Ok(items)
    }

    /// A predicate.
    pub(crate) fn condition(&mut self, column: &Column) -> Result<Expr> {
        condition(self.expr(&column.0)?, Span::NONE)
    }

    /// A key of an order; ascending if it is no [`Node::Sort`].
    pub(crate) fn sort_key(&mut self, node: &Node) -> Result<SortKey> {
        match node {
            Node::Sort { input, ascending, nulls_first } => {
                Ok(SortKey { expr: self.expr(input)?, ascending: *ascending, nulls_first: *nulls_first })
            }
            other => Ok(SortKey { expr: self.expr(other)?, ascending: true, nulls_first: true }),
        }
    }

    /// One expression.
    pub(crate) fn expr(&mut self, node: &Node) -> Result<Expr> {
        match node {
            Node::Name(name) => self.binder.name(name),
            Node::Of { origin, qualifier, name } => self.of(origin.id, qualifier.as_deref(), name),
            Node::Star => {
                let message = "Invalid usage of '*' in an expression.";
                Err(Error::bind("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", message))
            }
            Node::Literal(value) => Ok(Expr::Literal(value.clone())),
            Node::Text(sql) => self.one_of_text(sql),
            Node::Call { name, args, distinct } => self.call(name, args, *distinct, node),
            Node::Connective { and, parts } => {
                let parts = parts.iter().map(|part| condition(self.expr(part)?, Span::NONE));
                let parts = parts.collect::<Result<Vec<_>>>()?;
                Ok(if *and { Expr::and(parts) } else { Expr::or(parts) })
            }
            Node::Case { branches, otherwise } => {
                let mut bound = Vec::with_capacity(branches.len());
                for (test, value) in branches {
                    bound.push((self.expr(test)?, self.expr(value)?));
                }
                let otherwise = otherwise.as_ref().map(|value| self.expr(value)).transpose()?;
                bind_case(bound, otherwise, Span::NONE)
            }
            Node::Cast { input, to, safe } => {
                let input = self.expr(input)?;
                let ty: SqlType = match &to.0 {
                    TypeForm::Known(ty) => ty.clone(),
                    TypeForm::Text(text) => firesteel_sql::parse_type(text)?,
                };
                bind_cast(input, &ty, *safe, Span::NONE, self.binder.context().config.ansi)
            }
            Node::Alias(input, _) => self.expr(input),
            Node::Sort { .. } => Err(Error::unsupported("A sort order is only for `sort` and for windows.")
                .with_hint("leave out asc and desc")),
            Node::Over(function, window) => self.over(function, window, node),
        }
    }

    fn exprs(&mut self, nodes: &[Node]) -> Result<Vec<Expr>> {
        nodes.iter().map(|node| self.expr(node)).collect()
    }

    fn one_of_text(&mut self, sql: &str) -> Result<Expr> {
        let mut items = self.binder.text(sql)?;
        match (items.pop(), items.is_empty()) {
            (Some((_, expr)), true) => Ok(expr),
            _ => Err(Error::bind(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                "42000",
                format!("`{sql}` is several columns where one expression is needed."),
            )),
        }
    }

    /// A column of a certain frame.
    fn of(&self, origin: ColumnId, qualifier: Option<&str>, name: &str) -> Result<Expr> {
        let mut found: Vec<&NamedColumn> = self.columns.iter().filter(|c| c.origin == origin).collect();
        if found.len() > 1 && qualifier.is_some() {
            found.retain(|c| c.qualifier.as_deref() == qualifier);
        }
        match found.as_slice() {
            [one] => Ok(Expr::Column(one.column.clone())),
            [] => {
                let names: Vec<String> = self.columns.iter().map(|c| format!("`{}`", c.name)).collect();
                let message = format!(
                    "A column, variable, or function parameter with name `{name}` cannot be resolved: it belongs to \
                     another frame. Did you mean one of the following? [{}].",
                    names.join(", ")
                );
                Err(Error::bind("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", message))
            }
            _ => {
                let message = format!("Column \"{name}\" is ambiguous: the frame is joined with itself.");
                Err(Error::bind("AMBIGUOUS_COLUMN_REFERENCE", "42702", message)
                    .with_hint("give the frames aliases with `alias`, and name columns as `alias.column`"))
            }
        }
    }

    fn call(&mut self, name: &str, args: &[Node], distinct: bool, node: &Node) -> Result<Expr> {
        if self.binder.context().registry.aggregate(name).is_none() {
            let args = self.exprs(args)?;
            return self.binder.call(name, args);
        }
        self.binder.enter_aggregate(name)?;
        let args = self.aggregate_args(name, args)?;
        self.binder.aggregate(name, args, distinct, &node.name())
    }

    fn aggregate_args(&mut self, name: &str, args: &[Node]) -> Result<Vec<Expr>> {
        match args {
            [Node::Star] if name == "count" => Ok(Vec::new()),
            args => self.exprs(args),
        }
    }

    fn over(&mut self, function: &Node, window: &WindowSpec, node: &Node) -> Result<Expr> {
        let Node::Call { name, args, distinct } = function else {
            return Err(Error::unsupported("Only a call of a function can be over a window.")
                .with_hint("write the whole expression in SQL: expr(\"… OVER (…)\")"));
        };
        if *distinct {
            let message = "Distinct window functions are not supported.";
            return Err(Error::bind("DISTINCT_WINDOW_FUNCTION_UNSUPPORTED", "0A000", message));
        }
        let args = self.aggregate_args(name, args)?;
        let partition_by = self.exprs(&window.partition_by)?;
        let order_by = window.order_by.iter().map(|key| self.sort_key(key)).collect::<Result<Vec<_>>>()?;
        self.binder.window((name, args), partition_by, order_by, window.range, &node.name())
    }
}
