//! Queries: WITH, the body, ORDER BY of what is no SELECT, LIMIT and OFFSET, VALUES.

use std::rc::Rc;
use std::sync::Arc;

use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, Expr, SortKey};
use firesteel_plan::{LogicalOp, LogicalPlan};
use sqlparser::ast::{self, LimitClause, OrderBy, OrderByKind, Query, SetExpr, TableAlias, Values, With};

use crate::binder::aggregate::ordinal;
use crate::binder::expr::ExprCx;
use crate::binder::select::order_out_of_range;
use crate::binder::window::sort_key_of;
use crate::binder::{Binder, CteNode, Ctes, Env, Relation, Scope, ident_span};
use crate::call::to_common_type;
use crate::parser::lexer::span_of;

impl<'a> Binder<'a> {
    /// Binds a query.
    pub(crate) fn query(&self, query: &'a Query, ctes: Ctes<'a>, outer: Option<&Env<'_, 'a>>) -> Result<Relation> {
        self.deeper(Self::query_span(query), || self.query_inner(query, ctes, outer))
    }

    fn query_inner(&self, query: &'a Query, ctes: Ctes<'a>, outer: Option<&Env<'_, 'a>>) -> Result<Relation> {
        let ctes = match &query.with {
            Some(with) => self.with_ctes(with, ctes, Env::depth(outer))?,
            None => ctes,
        };
        let mut relation = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, query.order_by.as_ref(), ctes.clone(), outer)?,
            body => {
                let relation = self.body(body, ctes.clone(), outer)?;
                match &query.order_by {
                    Some(order_by) => self.order_output(relation, order_by, ctes.clone(), outer)?,
                    None => relation,
                }
            }
        };
        let (fetch, skip) = self.limits(query)?;
        if fetch.is_some() || skip > 0 {
            relation.plan = self.unary(LogicalOp::Limit { skip, fetch }, relation.plan);
        }
        Ok(relation)
    }

    /// The tables of WITH, each visible to those after it.
    fn with_ctes(&self, with: &'a With, outer: Ctes<'a>, depth: usize) -> Result<Ctes<'a>> {
        for (at, cte) in with.cte_tables.iter().enumerate() {
            let name = &cte.alias.name;
            if with.cte_tables[..at].iter().any(|other| self.same_name(&other.alias.name.value, &name.value)) {
                let message = format!("CTE definition can't have duplicate names: `{}`.", name.value);
                return Err(Error::bind("DUPLICATED_CTE_NAMES", "42602", message).at(ident_span(name)));
            }
        }
        let node = |outer, cte| Some(Rc::new(CteNode { cte, recursive: with.recursive, depth, outer }));
        Ok(with.cte_tables.iter().fold(outer, node))
    }

    /// Binds the body of a query or an operand of a set operation.
    pub(crate) fn body(&self, body: &'a SetExpr, ctes: Ctes<'a>, outer: Option<&Env<'_, 'a>>) -> Result<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, None, ctes, outer),
            SetExpr::Query(query) => self.query(query, ctes, outer),
            SetExpr::SetOperation { .. } => self.set_operation(body, ctes, outer),
            SetExpr::Values(values) => self.values(values, ctes, outer),
            SetExpr::Table(table) => {
                let parts = table.schema_name.iter().chain(&table.table_name).cloned().collect();
                let name = firesteel_catalog::TableName(parts);
                let (plan, scope) = self.named_relation(&name, Span::NONE, &ctes, outer)?;
                let columns = scope.visible().map(|c| (c.name.clone(), c.column.clone())).collect();
                Ok(Relation { plan, columns })
            }
            _ => Err(Error::unsupported("INSERT, UPDATE and DELETE inside a query are not supported.")),
        }
    }

    /// ORDER BY above something that is no SELECT: only the result's columns are known.
    fn order_output(
        &self,
        relation: Relation,
        order_by: &'a OrderBy,
        ctes: Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<Relation> {
        let Relation { plan, columns } = relation;
        let scope = Scope::of(Vec::new(), columns.clone());
        let env = Env::new(&scope, ctes, outer);
        let mut cx = ExprCx::plain(&env, "ORDER BY");
        let mut keys: Vec<SortKey> = Vec::new();
        match &order_by.kind {
            OrderByKind::All(options) => {
                keys.extend(columns.iter().map(|(_, c)| sort_key_of(Expr::Column(c.clone()), options)));
            }
            OrderByKind::Expressions(list) => {
                for key in list {
                    keys.push(match ordinal(&key.expr) {
                        Some(position) => {
                            let column = usize::try_from(position).ok().and_then(|p| columns.get(p.checked_sub(1)?));
                            let span = span_of(ast::Spanned::span(&key.expr));
                            let (_, column) =
                                column.ok_or_else(|| order_out_of_range(position, columns.len(), span))?;
                            sort_key_of(Expr::Column(column.clone()), &key.options)
                        }
                        None => self.sort_key(key, &mut cx)?,
                    });
                }
            }
        }
        let visible: Vec<ColumnRef> = columns.iter().map(|(_, column)| column.clone()).collect();
        let plan = self.attach(plan, cx.subqueries);
        let plan = self.unary(LogicalOp::Sort { keys, fetch: None, global: true }, plan);
        Ok(Relation { plan: self.only(plan, &visible), columns })
    }

    /// LIMIT and OFFSET.
    fn limits(&self, query: &'a Query) -> Result<(Option<u64>, u64)> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(Error::unsupported("LIMIT BY is not supported."));
                }
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        };
        if query.fetch.is_some() {
            return Err(Error::unsupported("FETCH is not supported; LIMIT is."));
        }
        let limit = limit.map(|limit| self.count(limit, "limit")).transpose()?;
        let offset = offset.map(|offset| self.count(offset, "offset")).transpose()?;
        Ok((limit, offset.unwrap_or(0)))
    }

    fn count(&self, expr: &'a ast::Expr, name: &str) -> Result<u64> {
        let scope = Scope::default();
        let env = Env::new(&scope, None, None);
        let unfoldable = || {
            let message = format!(
                "The limit like expression \"{expr}\" is invalid. The {name} expression must evaluate to a constant value."
            );
            let span = span_of(ast::Spanned::span(expr));
            Error::bind("INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE", "42K0E", message).at(span)
        };
        let mut cx = ExprCx::plain(&env, "LIMIT");
        let bound = match self.bind(expr, &mut cx) {
            Ok(bound) if cx.subqueries.is_empty() => bound,
            Ok(_) => return Err(unfoldable()),
            Err(error) if error.condition().starts_with("UNRESOLVED_COLUMN") => return Err(unfoldable()),
            Err(error) => return Err(error),
        };
        let invalid = |condition, why: &str| {
            let message = format!("The limit like expression \"{expr}\" is invalid. The {name} expression {why}.");
            Error::bind(condition, "42K0E", message).at(bound.span)
        };
        if !matches!(bound.expr.ty(), SqlType::Int | SqlType::SmallInt | SqlType::TinyInt) {
            return Err(invalid("INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE", "must be integer type"));
        }
        match self.fold(&bound.expr)?.as_i64() {
            Some(n) if n < 0 => Err(invalid(
                "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE",
                &format!("must be equal to or greater than 0, but got {n}"),
            )),
            Some(n) => Ok(n as u64),
            None => Err(invalid("INVALID_LIMIT_LIKE_EXPRESSION.IS_NULL", "must not be null")),
        }
    }

    /// The value of an expression without columns.
    pub(crate) fn fold(&self, expr: &Expr) -> Result<Scalar> {
        if let Some(value) = expr.as_literal() {
            return Ok(value.clone());
        }
        let cx = EvalContext {
            registry: Arc::new(self.cx.registry.clone()),
            ansi: self.cx.config.ansi,
            time_zone: Arc::from(self.cx.config.time_zone.as_str()),
            now: 0,
        };
        firesteel_expr::evaluate_constant(expr, &cx)
    }

    /// The value of an argument that must be known when the query is bound.
    pub(crate) fn constant(&self, expr: &'a ast::Expr, clause: &'static str) -> Result<Scalar> {
        let scope = Scope::default();
        let env = Env::new(&scope, None, None);
        self.fold(&self.expr(expr, &mut ExprCx::plain(&env, clause))?)
    }

    /// VALUES: columns are `col1`, `col2`, …, of the common types of the rows.
    fn values(&self, values: &'a Values, ctes: Ctes<'a>, outer: Option<&Env<'_, 'a>>) -> Result<Relation> {
        let scope = Scope::default();
        let env = Env::new(&scope, ctes, outer);
        let mut rows: Vec<Vec<Expr>> = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let mut cx = ExprCx::plain(&env, "VALUES");
            // `VALUES (1, 2)` is one row of two columns, and so is `VALUES ((1, 2))`.
            let row = match row.content.as_slice() {
                [ast::Expr::Tuple(items)] => self.exprs(items, &mut cx)?,
                items => self.exprs(items, &mut cx)?,
            };
            if !cx.subqueries.is_empty() || row.iter().any(|e| !e.columns().is_empty()) {
                let message = "Invalid inline table: a value is not a constant.";
                return Err(Error::bind(
                    "INVALID_INLINE_TABLE.CANNOT_EVALUATE_EXPRESSION_IN_INLINE_TABLE",
                    "42000",
                    message,
                ));
            }
            rows.push(row);
        }
        let span = span_of(ast::Spanned::span(values));
        let width = rows.first().map_or(0, Vec::len);
        if let Some(wrong) = rows.iter().find(|row| row.len() != width) {
            let message = format!("Invalid inline table: expected {width} columns but found {} columns.", wrong.len());
            return Err(Error::bind("INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH", "42000", message).at(span));
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let list: Vec<Expr> =
                rows.iter_mut().map(|row| std::mem::replace(&mut row[at], Expr::null(SqlType::Void))).collect();
            let nullable = list.iter().any(Expr::nullable);
            let list = to_common_type("VALUES", list, Span::NONE).map_err(|_| {
                let message = format!("Invalid inline table: found incompatible types in the column `col{}`.", at + 1);
                Error::bind("INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE", "42000", message).at(span)
            })?;
            let ty = list.first().map_or(SqlType::Void, Expr::ty);
            for (row, value) in rows.iter_mut().zip(list) {
                row[at] = value;
            }
            let name: Arc<str> = Arc::from(format!("col{}", at + 1));
            columns.push((name.clone(), self.column(name, ty, nullable)));
        }
        let op = LogicalOp::Values { columns: columns.iter().map(|(_, c)| c.clone()).collect(), rows };
        Ok(Relation { plan: LogicalPlan::leaf(self.cx.ids.node(), op), columns })
    }

    /// The CTE of a name, bound anew.
    pub(crate) fn cte(
        &self,
        name: &str,
        span: Span,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<Option<Relation>> {
        let mut at = ctes.clone();
        while let Some(node) = at {
            if self.same_name(&node.cte.alias.name.value, name) {
                if node.recursive && refers_to_itself(node.cte) {
                    return Err(Error::unsupported("Recursive common table expressions are not supported.").at(span));
                }
                // Names in it are those of the queries around the WITH, and not of those around its use.
                let mut around = outer;
                while let Some(env) = around.filter(|env| Env::depth(Some(*env)) > node.depth) {
                    around = env.outer;
                }
                let mut relation = self.query(&node.cte.query, node.outer.clone(), around)?;
                rename(&mut relation, &node.cte.alias)?;
                return Ok(Some(relation));
            }
            at = node.outer.clone();
        }
        Ok(None)
    }
}

fn refers_to_itself(cte: &ast::Cte) -> bool {
    crate::parser::relation_names(&cte.query).iter().any(|name| match name.0.as_slice() {
        [one] => one.eq_ignore_ascii_case(&cte.alias.name.value),
        _ => false,
    })
}

/// Gives columns the names of `AS t(a, b)`, if there are any.
pub(crate) fn rename(relation: &mut Relation, alias: &TableAlias) -> Result<()> {
    if alias.columns.is_empty() {
        return Ok(());
    }
    if alias.columns.len() != relation.columns.len() {
        let message = format!(
            "Number of column aliases does not match number of columns. Number of column aliases: {}; number of columns: {}.",
            alias.columns.len(),
            relation.columns.len()
        );
        return Err(Error::bind("NUM_TABLE_VALUE_ALIASES_MISMATCH", "42K0F", message).at(ident_span(&alias.name)));
    }
    for ((name, _), new) in relation.columns.iter_mut().zip(&alias.columns) {
        *name = Arc::from(new.name.value.as_str());
    }
    Ok(())
}
