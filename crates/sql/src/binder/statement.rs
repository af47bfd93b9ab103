//! Statements, bound.

use std::sync::Arc;

use firesteel_catalog::{CatalogEntry, Field, TableName};
use firesteel_common::{Error, Result, Span};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{LogicalOp, LogicalPlan};
use sqlparser::ast::{self, Ident, Query};

use crate::binder::expr::ExprCx;
use crate::binder::scope::unresolved_column;
use crate::binder::select::Item;
use crate::binder::{BindContext, Binder, Env, Relation, Scope};
use crate::call::{bind_cast, condition};
use crate::parser::statement::StatementAst;
use crate::parser::{ParsedExpression, ParsedStatement, parse_expression};

/// What EXPLAIN shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainMode {
    /// The physical plan.
    Simple,
    /// All plans.
    Extended,
    /// The physical plan, numbered, with details of each node.
    Formatted,
    /// The optimized plan with its statistics.
    Cost,
    /// The query is run; the plan is shown with what was measured.
    Analyze,
}

/// What a SHOW statement lists besides tables, columns and functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowNames {
    /// SHOW SCHEMAS, or DATABASES, or NAMESPACES.
    Schemas,
    /// SHOW CATALOGS.
    Catalogs,
    /// SHOW CURRENT NAMESPACE.
    Current,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    /// The name that users see: an alias, or the expression as Spark prints it.
    pub name: Arc<str>,
    /// The column of the plan.
    pub column: ColumnRef,
}

/// A bound query.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundQuery {
    /// Its plan: the output has exactly the columns below, in order.
    pub plan: LogicalPlan,
    /// The result's columns.
    pub columns: Vec<OutputColumn>,
}

/// A bound statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// A query.
    Query(BoundQuery),
    /// EXPLAIN of a statement.
    Explain {
        /// What to show.
        mode: ExplainMode,
        /// Of what.
        statement: Box<Statement>,
    },
    /// CREATE TEMPORARY VIEW … AS. The query has been bound once, so that it is known to be right.
    CreateView {
        /// Name.
        name: TableName,
        /// Names of the columns, if they are renamed.
        columns: Option<Vec<String>>,
        /// Text of the query.
        sql: Arc<str>,
        /// OR REPLACE.
        replace: bool,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// CREATE TABLE, with AS or without, and CREATE TEMPORARY VIEW … USING.
    CreateTable(CreateTable),
    /// INSERT. The query returns the columns of the table, in its order and of its types.
    Insert {
        /// Into which table.
        table: TableName,
        /// Place of the name.
        span: Span,
        /// OVERWRITE.
        overwrite: bool,
        /// What.
        query: BoundQuery,
    },
    /// COPY (query) TO 'path'.
    Copy {
        /// What.
        query: BoundQuery,
        /// Where to.
        path: String,
        /// Format, in lower case; by the path if not given.
        format: Option<String>,
        /// Options of the format.
        options: Vec<(String, String)>,
    },
    /// DROP TABLE.
    DropTable {
        /// Name.
        name: TableName,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// DROP VIEW.
    DropView {
        /// Name.
        name: TableName,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// SHOW TABLES and SHOW VIEWS.
    ShowTables {
        /// Pattern.
        like: Option<String>,
        /// Only views.
        views_only: bool,
    },
    /// SHOW SCHEMAS, SHOW CATALOGS, SHOW CURRENT NAMESPACE.
    ShowNames {
        /// Which of them.
        what: ShowNames,
        /// Pattern.
        like: Option<String>,
    },
    /// DESCRIBE of a schema.
    DescribeSchema(String),
    /// SHOW COLUMNS.
    ShowColumns {
        /// Of which relation.
        table: TableName,
    },
    /// SHOW FUNCTIONS.
    ShowFunctions {
        /// Pattern.
        like: Option<String>,
    },
    /// DESCRIBE of a table or view.
    Describe {
        /// Which.
        table: TableName,
        /// Just this column.
        column: Option<String>,
        /// EXTENDED.
        extended: bool,
    },
    /// DESCRIBE of a query: its columns.
    DescribeQuery(BoundQuery),
    /// DESCRIBE FUNCTION.
    DescribeFunction {
        /// Which.
        name: String,
        /// EXTENDED.
        extended: bool,
    },
    /// `SET` (all settings), `SET key`, `SET key=value`.
    Set(Option<(String, Option<String>)>),
    /// `SET -v`
    SetVerbose,
    /// RESET of one setting, or of all.
    Reset(Option<String>),
    /// USE a schema.
    Use(String),
}

/// What CREATE TABLE says.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Name.
    pub name: TableName,
    /// USING.
    pub format: Option<String>,
    /// LOCATION, or the option `path`.
    pub location: Option<String>,
    /// OPTIONS, without `path`.
    pub options: Vec<(String, String)>,
    /// PARTITIONED BY.
    pub partitioned_by: Vec<String>,
    /// The columns, if they are given.
    pub schema: Option<Vec<Field>>,
    /// OR REPLACE.
    pub replace: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// It is CREATE TEMPORARY VIEW … USING.
    pub temporary: bool,
    /// AS query.
    pub query: Option<BoundQuery>,
}

/// Binds a statement.
///
/// Errors: those of names and types, with their place in the statement's text.
pub fn bind(statement: &ParsedStatement, cx: &BindContext<'_>) -> Result<Statement> {
    let binder = Binder::new(cx, &statement.spans, 0);
    binder.statement(&statement.ast).map_err(|error| error.in_sql(&statement.text))
}

/// Binds a scalar expression over columns, such as the condition of a filter. Spans are left out, since
/// the text is no part of a statement.
///
/// Errors: those of names and types; `UNSUPPORTED_FEATURE` for aggregates and subqueries.
pub fn bind_expression(text: &str, columns: &[ColumnRef], cx: &BindContext<'_>) -> Result<Expr> {
    let parsed = parse_expression(text)?;
    let expr = match &parsed.item {
        ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => expr,
        _ => return Err(Error::unsupported("`*` is no expression.").in_sql(&parsed.text)),
    };
    let scope = scope_of(columns);
    let env = Env::new(&scope, None, None);
    let binder = Binder::new(cx, &parsed.spans, 0);
    let mut ecx = ExprCx::plain(&env, "An expression");
    let bound = binder.expr(expr, &mut ecx).map_err(|error| error.in_sql(&parsed.text))?;
    if !ecx.subqueries.is_empty() {
        return Err(Error::unsupported("Subqueries in expressions of the API are not supported."));
    }
    Ok(bound)
}

/// Binds an item of a select list over columns, with its name: `a + 1 AS b`. Stars give several.
///
/// Errors: as [`bind_expression`].
pub fn bind_select_item(text: &str, columns: &[ColumnRef], cx: &BindContext<'_>) -> Result<Vec<(Arc<str>, Expr)>> {
    let parsed: ParsedExpression = parse_expression(text)?;
    let scope = scope_of(columns);
    let env = Env::new(&scope, None, None);
    let binder = Binder::new(cx, &parsed.spans, 0);
    let mut ecx = ExprCx::plain(&env, "An expression");
    let items = binder.items(std::slice::from_ref(&parsed.item), &mut ecx);
    let items = items.map_err(|error| error.in_sql(&parsed.text))?;
    if !ecx.subqueries.is_empty() {
        return Err(Error::unsupported("Subqueries in expressions of the API are not supported."));
    }
    Ok(items.into_iter().map(|Item { name, expr, .. }| (name, expr)).collect())
}

fn scope_of(columns: &[ColumnRef]) -> Scope {
    Scope::of(Vec::new(), columns.iter().map(|c| (c.name.clone(), c.clone())).collect())
}

/// A filter's condition, from an expression that was built by the API.
///
/// Errors: `DATATYPE_MISMATCH`.
pub fn filter_condition(expr: Expr) -> Result<Expr> {
    let span = expr.span();
    condition(expr, span)
}

impl<'a> Binder<'a> {
    fn statement(&self, ast: &'a StatementAst) -> Result<Statement> {
        Ok(match ast {
            StatementAst::Query(query) => Statement::Query(self.bound_query(query)?),
            StatementAst::Explain { mode, inner } => {
                Statement::Explain { mode: *mode, statement: Box::new(self.statement(inner)?) }
            }
            StatementAst::CreateView { name, columns, replace, if_not_exists, sql, query } => {
                let bound = self.bound_query(query)?;
                if let Some(columns) = columns
                    && columns.len() != bound.columns.len()
                {
                    let (condition, why) = if columns.len() > bound.columns.len() {
                        ("CREATE_VIEW_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS", "not enough")
                    } else {
                        ("CREATE_VIEW_COLUMN_ARITY_MISMATCH.TOO_MANY_DATA_COLUMNS", "too many")
                    };
                    let message = format!("Cannot create view {name}, the reason is {why} data columns.");
                    return Err(Error::bind(condition, "21S01", message));
                }
                Statement::CreateView {
                    name: name.clone(),
                    columns: columns.clone(),
                    sql: sql.clone(),
                    replace: *replace,
                    if_not_exists: *if_not_exists,
                }
            }
            StatementAst::CreateTable(table) => Statement::CreateTable(CreateTable {
                name: table.name.clone(),
                format: table.format.as_ref().map(|format| format.to_lowercase()),
                location: table.location.clone(),
                options: table.options.clone(),
                partitioned_by: table.partitioned_by.clone(),
                schema: table.schema.clone(),
                replace: table.replace,
                if_not_exists: table.if_not_exists,
                temporary: table.temporary,
                query: table.query.as_ref().map(|query| self.bound_query(query)).transpose()?,
            }),
            StatementAst::Insert { table, span, columns, overwrite, query } => {
                let query = self.insert_query(table, *span, columns.as_deref(), query)?;
                Statement::Insert { table: table.clone(), span: *span, overwrite: *overwrite, query }
            }
            StatementAst::Copy { query, path, format, options } => Statement::Copy {
                query: self.bound_query(query)?,
                path: path.clone(),
                format: format.as_ref().map(|format| format.to_lowercase()),
                options: options.clone(),
            },
            StatementAst::Drop { view: true, name, if_exists } => {
                Statement::DropView { name: name.clone(), if_exists: *if_exists }
            }
            StatementAst::Drop { name, if_exists, .. } => {
                Statement::DropTable { name: name.clone(), if_exists: *if_exists }
            }
            StatementAst::ShowTables { like, views_only } => {
                Statement::ShowTables { like: like.clone(), views_only: *views_only }
            }
            StatementAst::ShowColumns { table, span } => {
                self.cx.tables.lookup(table, *span)?;
                Statement::ShowColumns { table: table.clone() }
            }
            StatementAst::ShowFunctions { like } => Statement::ShowFunctions { like: like.clone() },
            StatementAst::Describe { table, span, column, extended } => {
                self.cx.tables.lookup(table, *span)?;
                Statement::Describe { table: table.clone(), column: column.clone(), extended: *extended }
            }
            StatementAst::ShowNames { what, like } => Statement::ShowNames { what: *what, like: like.clone() },
            StatementAst::DescribeSchema(name) => Statement::DescribeSchema(name.clone()),
            StatementAst::DescribeQuery(query) => Statement::DescribeQuery(self.bound_query(query)?),
            StatementAst::DescribeFunction { name, extended } => {
                Statement::DescribeFunction { name: name.clone(), extended: *extended }
            }
            StatementAst::Set(setting) => Statement::Set(setting.clone()),
            StatementAst::SetVerbose => Statement::SetVerbose,
            StatementAst::Reset(key) => Statement::Reset(key.clone()),
            StatementAst::Use(schema) => Statement::Use(schema.clone()),
        })
    }

    fn bound_query(&self, query: &'a Query) -> Result<BoundQuery> {
        Ok(self.finish(self.query(query, None, None)?))
    }

    /// The relation with exactly its columns. Types are taken from the plan, which knows nullability best.
    pub(crate) fn finish(&self, relation: Relation) -> BoundQuery {
        let columns: Vec<ColumnRef> = relation.columns.iter().map(|(_, column)| column.clone()).collect();
        let plan = self.only(relation.plan, &columns);
        let columns = relation
            .columns
            .into_iter()
            .zip(plan.columns())
            .map(|((name, _), column)| OutputColumn { name, column })
            .collect();
        BoundQuery { plan, columns }
    }

    /// The query of an INSERT, brought to the columns and types of the table.
    fn insert_query(
        &self,
        table: &TableName,
        span: Span,
        columns: Option<&[Ident]>,
        query: &'a Query,
    ) -> Result<BoundQuery> {
        let relation = self.query(query, None, None)?;
        let CatalogEntry::Table(_, provider) = self.cx.tables.lookup(table, span)? else {
            let message = format!("Inserting into the view {table} is not allowed.");
            return Err(Error::bind("UNSUPPORTED_INSERT.RDD_BASED", "42809", message).at(span));
        };
        let schema = provider.schema();
        let mut sources: Vec<Option<usize>> = (0..schema.len()).map(Some).collect();
        if let Some(columns) = columns {
            sources = vec![None; schema.len()];
            for (at, name) in columns.iter().enumerate() {
                let found = schema.iter().position(|field| self.same_name(&field.name, &name.value));
                let scope = || {
                    Scope::of(
                        Vec::new(),
                        schema
                            .iter()
                            .map(|f| (f.name.clone(), self.column(f.name.clone(), f.ty.clone(), f.nullable)))
                            .collect(),
                    )
                };
                let position = found.ok_or_else(|| {
                    unresolved_column(
                        &format!("`{}`", name.value),
                        &name.value,
                        &scope(),
                        crate::binder::ident_span(name),
                    )
                })?;
                sources[position] = Some(at);
            }
        }
        let wanted = columns.map_or(schema.len(), <[Ident]>::len);
        if relation.columns.len() != wanted {
            let (condition, why) = if relation.columns.len() < wanted {
                ("INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS", "not enough")
            } else {
                ("INSERT_COLUMN_ARITY_MISMATCH.TOO_MANY_DATA_COLUMNS", "too many")
            };
            let message = format!(
                "Cannot write to {table}, the reason is {why} data columns: the table takes {wanted}, the query returns {}.",
                relation.columns.len()
            );
            return Err(Error::bind(condition, "21S01", message).at(span));
        }
        let mut exprs = Vec::with_capacity(schema.len());
        let mut output = Vec::with_capacity(schema.len());
        for (field, source) in schema.iter().zip(sources) {
            let expr = match source {
                Some(at) => {
                    let value = Expr::Column(relation.columns[at].1.clone());
                    bind_cast(value, &field.ty, false, Span::NONE, self.cx.config.ansi)?
                }
                None => Expr::null(field.ty.clone()),
            };
            let column = self.column_for(field.name.clone(), &expr);
            output.push(OutputColumn { name: field.name.clone(), column: column.clone() });
            exprs.push((column, expr));
        }
        let plan = self.unary(LogicalOp::Project { exprs }, relation.plan);
        Ok(BoundQuery { plan, columns: output })
    }
}
