//! The pipe syntax (`FROM t |> WHERE …`), written out as nested queries.
//!
//! Each operator is a query over the one before it, which stands in its FROM clause. `FROM t` and what filters and
//! joins it stay one query without a select list, so that the names of its tables qualify columns.

use std::ops::ControlFlow;

use firesteel_common::{Error, Result};
use sqlparser::ast::{
    self, ExprWithAlias, ExprWithAliasAndOrderBy, GroupByExpr, Ident, LimitClause, Offset, OffsetRows, OrderBy,
    OrderByKind, PipeOperator, Query, SelectFlavor, SelectItem, SetExpr, SetOperator, TableAlias, TableFactor,
    TableSampleKind, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::tables::{query_of, select_from};

/// Writes out the pipe operators of a query and of all queries in it.
///
/// Errors: `UNSUPPORTED_FEATURE` for operators that are not there.
pub(super) fn expand(query: &mut Query) -> Result<()> {
    match query.visit(&mut Expander) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Expander;

impl VisitorMut for Expander {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if query.pipe_operators.is_empty() {
            return ControlFlow::Continue(());
        }
        let operators = std::mem::take(&mut query.pipe_operators);
        let with = query.with.take();
        let mut current = std::mem::replace(query, query_of(SetExpr::Values(no_values())));
        for operator in operators {
            current = match apply(operator, current) {
                Ok(next) => next,
                Err(error) => return ControlFlow::Break(error),
            };
        }
        *query = Query { with, ..current };
        ControlFlow::Continue(())
    }
}

fn no_values() -> ast::Values {
    ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }
}

fn star() -> Vec<SelectItem> {
    vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())]
}

/// A SELECT over the rows so far that has no select list yet: the one at hand if it is nothing but `FROM … WHERE …`,
/// else one with the query in its FROM clause.
fn open(input: Query) -> ast::Select {
    let filtered = match input.body.as_ref() {
        SetExpr::Select(select) => is_open(select) && input.order_by.is_none() && input.limit_clause.is_none(),
        _ => false,
    };
    match *input.body {
        SetExpr::Select(select) if filtered => *select,
        body => over(Query { body: Box::new(body), ..input }, None),
    }
}

fn is_open(select: &ast::Select) -> bool {
    matches!(select.flavor, SelectFlavor::FromFirstNoSelect)
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty())
}

/// `FROM (input) AS alias`.
fn over(input: Query, alias: Option<Ident>) -> ast::Select {
    let alias = alias.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(input), alias, sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    ast::Select { flavor: SelectFlavor::FromFirstNoSelect, ..select_from(from, Vec::new()) }
}

fn done(select: ast::Select) -> Query {
    query_of(SetExpr::Select(Box::new(select)))
}

fn apply(operator: PipeOperator, input: Query) -> Result<Query> {
    let select = |input, projection| ast::Select { projection, flavor: SelectFlavor::Standard, ..open(input) };
    Ok(match operator {
        PipeOperator::Where { expr } => {
            let mut open = open(input);
            open.selection = Some(match open.selection.take() {
                Some(before) => ast::Expr::BinaryOp {
                    left: Box::new(ast::Expr::Nested(Box::new(before))),
                    op: ast::BinaryOperator::And,
                    right: Box::new(ast::Expr::Nested(Box::new(expr))),
                },
                None => expr,
            });
            done(open)
        }
        PipeOperator::Select { exprs } => done(select(input, exprs)),
        PipeOperator::Extend { exprs } => done(select(input, star().into_iter().chain(exprs).collect())),
        PipeOperator::Set { assignments } => {
            let items = assignments.into_iter().map(replacement).collect::<Result<Vec<_>>>()?;
            let options = WildcardAdditionalOptions {
                opt_replace: Some(ast::ReplaceSelectItem { items }),
                ..WildcardAdditionalOptions::default()
            };
            done(select(input, vec![SelectItem::Wildcard(options)]))
        }
        PipeOperator::Drop { columns } => {
            let mut columns = columns.into_iter();
            let first_element = columns.next().ok_or_else(|| Error::syntax("DROP without columns."))?;
            let except = ast::ExceptSelectItem { first_element, additional_elements: columns.collect() };
            let options =
                WildcardAdditionalOptions { opt_except: Some(except), ..WildcardAdditionalOptions::default() };
            done(select(input, vec![SelectItem::Wildcard(options)]))
        }
        PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
            let keys = group_by_expr.len();
            let items = group_by_expr.into_iter().chain(full_table_exprs).map(item).collect();
            let ordinal = |at: usize| ast::Expr::Value(ast::Value::Number(at.to_string(), false).with_empty_span());
            let group_by = GroupByExpr::Expressions((1..=keys).map(ordinal).collect(), Vec::new());
            done(ast::Select { group_by, ..select(input, items) })
        }
        PipeOperator::OrderBy { exprs } => {
            let order_by = Some(OrderBy { kind: OrderByKind::Expressions(exprs), interpolate: None });
            Query { order_by, ..done(select(input, star())) }
        }
        PipeOperator::Limit { expr, offset } => {
            let offset = offset.map(|value| Offset { value, rows: OffsetRows::None });
            let limit_clause = Some(LimitClause::LimitOffset { limit: Some(expr), offset, limit_by: Vec::new() });
            Query { limit_clause, ..ordered(input) }
        }
        PipeOperator::As { alias } => done(over(input, Some(alias))),
        PipeOperator::Join(join) => {
            let mut open = open(input);
            if open.selection.is_some() {
                open = over(done(open), None);
            }
            if let Some(last) = open.from.last_mut() {
                last.joins.push(join);
            }
            done(open)
        }
        PipeOperator::Union { set_quantifier, queries } => combine(SetOperator::Union, set_quantifier, input, queries),
        PipeOperator::Intersect { set_quantifier, queries } => {
            combine(SetOperator::Intersect, set_quantifier, input, queries)
        }
        PipeOperator::Except { set_quantifier, queries } => {
            combine(SetOperator::Except, set_quantifier, input, queries)
        }
        PipeOperator::TableSample { sample } => {
            let relation = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(input),
                alias: None,
                sample: Some(TableSampleKind::AfterTableAlias(sample)),
            };
            done(select_from(vec![TableWithJoins { relation, joins: Vec::new() }], star()))
        }
        other => return Err(Error::unsupported(format!("The pipe operator `|> {other}` is not supported."))),
    })
}

/// The rows so far in their order, without a limit: LIMIT after ORDER BY belongs to the same query.
fn ordered(input: Query) -> Query {
    if input.order_by.is_some() && input.limit_clause.is_none() {
        return input;
    }
    done(ast::Select { projection: star(), flavor: SelectFlavor::Standard, ..open(input) })
}

fn replacement(assignment: ast::Assignment) -> Result<Box<ast::ReplaceSelectElement>> {
    let name = match &assignment.target {
        ast::AssignmentTarget::ColumnName(name) => name.0.last().and_then(|part| part.as_ident().cloned()),
        ast::AssignmentTarget::Tuple(_) => None,
    };
    let column_name = name.ok_or_else(|| Error::unsupported("SET of several columns at once is not supported."))?;
    Ok(Box::new(ast::ReplaceSelectElement { expr: assignment.value, column_name, as_keyword: true }))
}

fn item(part: ExprWithAliasAndOrderBy) -> SelectItem {
    let ExprWithAlias { expr, alias } = part.expr;
    match alias {
        Some(alias) => SelectItem::ExprWithAlias { expr, alias },
        None => SelectItem::UnnamedExpr(expr),
    }
}

fn combine(op: SetOperator, set_quantifier: ast::SetQuantifier, first: Query, queries: Vec<Query>) -> Query {
    let start = SetExpr::Query(Box::new(first));
    let body = queries.into_iter().fold(start, |left, right| SetExpr::SetOperation {
        op,
        set_quantifier,
        left: Box::new(left),
        right: Box::new(SetExpr::Query(Box::new(right))),
    });
    query_of(body)
}
