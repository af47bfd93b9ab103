//! SELECT: the order in which its clauses take effect.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use firesteel_common::{ColumnId, Error, Result, ResultExt, Span};
use firesteel_expr::{ColumnRef, Expr, SortKey};
use firesteel_plan::{LogicalOp, LogicalPlan, RepartitionKind};
use sqlparser::ast::{
    self, Distinct, GroupByExpr, Ident, OrderBy, OrderByKind, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use crate::binder::aggregate::ordinal;
use crate::binder::expr::{AliasRule, ExprCx, PendingSubquery};
use crate::binder::hints::{Hint, hints_of};
use crate::binder::scope::dotted;
use crate::binder::window::sort_key_of;
use crate::binder::{Binder, Ctes, Env, Relation, names};
use crate::call::condition;
use crate::parser::lexer::span_of;

/// A bound item of the select list.
pub(crate) struct Item {
    pub(crate) name: Arc<str>,
    pub(crate) expr: Expr,
    pub(crate) span: Span,
}

/// A clause above the select list, with the subqueries that it uses.
#[derive(Default)]
struct Clause {
    predicate: Option<Expr>,
    span: Span,
    subqueries: Vec<PendingSubquery>,
}

/// What comes above the select list: ORDER BY and the like, before it is placed.
#[derive(Default)]
pub(crate) struct Order {
    keys: Vec<SortKey>,
    subqueries: Vec<PendingSubquery>,
    /// SORT BY and CLUSTER BY: each task orders its rows.
    local: bool,
    /// Hints and DISTRIBUTE BY, the lowest first.
    partitioning: Vec<LogicalPlan>,
}

impl<'a> Binder<'a> {
    /// Binds a SELECT with the ORDER BY that belongs to it.
    pub(crate) fn select(
        &self,
        select: &'a Select,
        order_by: Option<&'a OrderBy>,
        ctes: Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<Relation> {
        refuse_rare_clauses(select)?;
        let hints = hints_of(select);
        let (mut plan, scope) = self.with_hints(&hints, || self.relations(&select.from, ctes.clone(), outer))?;
        let env = Env::new(&scope, ctes, outer);
        if let Some(selection) = &select.selection {
            let mut cx = ExprCx::plain(&env, "WHERE");
            let condition = ("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", "42K09");
            let predicate = self.predicate_or(selection, &mut cx, condition)?;
            plan = self.filter(predicate, self.attach(plan, cx.subqueries));
        }
        let from_inside = RefCell::new(Vec::new());
        let env = Env { aggregates: Some(&from_inside), ..env };
        let mut cx = ExprCx::plain(&env, "SELECT");
        (cx.no_aggregates, cx.no_windows) = (None, None);
        cx.windows_by_name = &select.named_window;
        cx.alias_rule = AliasRule::After;
        let mut items = self.items(&select.projection, &mut cx)?;
        if matches!(select.flavor, SelectFlavor::FromFirstNoSelect) {
            let columns = scope.visible().map(|c| (c.name.clone(), Expr::Column(c.column.clone())));
            items.extend(columns.map(|(name, expr)| Item { name, expr, span: Span::NONE }));
        }
        let mut item_subqueries = std::mem::take(&mut cx.subqueries);

        cx.alias_rule = AliasRule::Before;
        cx.aliases = items.iter().map(|item| (item.name.clone(), item.expr.clone())).collect();
        cx.no_windows = Some("HAVING");
        let mut having = self.clause(select.having.as_ref(), &mut cx)?;
        cx.no_windows = None;
        let mut qualify = self.clause(select.qualify.as_ref(), &mut cx)?;
        let mut order = self.order_keys(select, order_by, &items, &mut cx)?;
        order.partitioning = self.partitioning(select, &hints, &items, &mut cx)?;
        cx.aggregates.extend(from_inside.take());

        let special: BTreeSet<ColumnId> =
            cx.aggregates.iter().map(|a| a.column.id).chain(cx.windows.iter().map(|w| w.call.column.id)).collect();
        let mut below = std::mem::take(&mut cx.below);
        let group = self.group_by(select, &items, &special, &env, &mut below)?;
        below.extend(item_subqueries.extract_if(.., |subquery| group.reads(subquery)));
        let mut windows = std::mem::take(&mut cx.windows);
        plan = self.attach(plan, below);
        if group.present || !cx.aggregates.is_empty() || !cx.groupings.is_empty() || select.having.is_some() {
            let (aggregates, groupings) = (std::mem::take(&mut cx.aggregates), std::mem::take(&mut cx.groupings));
            let (aggregated, rewriter) = self.apply_aggregate(plan, group, aggregates, groupings)?;
            plan = aggregated;
            for item in &mut items {
                item.expr = rewriter.rewrite(item.expr.clone(), &item.name).at(item.span)?;
            }
            for clause in [&mut having, &mut qualify] {
                clause.predicate =
                    clause.predicate.take().map(|p| rewriter.rewrite(p, "")).transpose().at(clause.span)?;
                clause.subqueries = rewriter.subqueries(std::mem::take(&mut clause.subqueries))?;
            }
            for key in &mut order.keys {
                key.expr = rewriter.rewrite(key.expr.clone(), "")?;
            }
            order.partitioning = rewrite_all(order.partitioning, |expr| rewriter.rewrite(expr, ""))?;
            order.subqueries = rewriter.subqueries(order.subqueries)?;
            item_subqueries = rewriter.subqueries(item_subqueries)?;
            windows = rewriter.windows(windows)?;
        }
        plan = self.apply_clause(plan, having);
        plan = self.attach(plan, item_subqueries);
        plan = self.apply_windows(plan, windows);
        plan = self.apply_clause(plan, qualify);
        plan = self.attach(plan, std::mem::take(&mut order.subqueries));
        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        self.project_and_sort(plan, items, order, distinct)
    }

    fn clause(&self, predicate: Option<&'a ast::Expr>, cx: &mut ExprCx<'_, 'a>) -> Result<Clause> {
        let Some(predicate) = predicate else { return Ok(Clause::default()) };
        let bound = self.bind(predicate, cx)?;
        let predicate = Some(condition(bound.expr, bound.span)?);
        Ok(Clause { predicate, span: bound.span, subqueries: std::mem::take(&mut cx.subqueries) })
    }

    fn apply_clause(&self, plan: LogicalPlan, clause: Clause) -> LogicalPlan {
        let plan = self.attach(plan, clause.subqueries);
        match clause.predicate {
            Some(predicate) => self.filter(predicate, plan),
            None => plan,
        }
    }

    /// The select list, stars expanded. Aliases become visible to the items after them.
    pub(crate) fn items(&self, projection: &'a [SelectItem], cx: &mut ExprCx<'_, 'a>) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let bound = self.bind(expr, cx)?;
                    items.push(Item { name: Arc::from(names::column_name(expr)), expr: bound.expr, span: bound.span });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let bound = self.bind(expr, cx)?;
                    let name: Arc<str> = Arc::from(alias.value.as_str());
                    cx.aliases.push((name.clone(), bound.expr.clone()));
                    items.push(Item { name, expr: bound.expr, span: bound.span });
                }
                SelectItem::Wildcard(options) => self.star(&[], options, cx, &mut items)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                    self.star(&parts, options, cx, &mut items)?;
                }
                other => return Err(Error::unsupported(format!("The select item `{other}` is not supported."))),
            }
        }
        Ok(items)
    }

    /// `*` or `t.*`, perhaps with EXCEPT.
    fn star(
        &self,
        qualifier: &[Ident],
        options: &'a WildcardAdditionalOptions,
        cx: &mut ExprCx<'_, 'a>,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        if options.opt_ilike.is_some() || options.opt_exclude.is_some() {
            return Err(Error::unsupported("Of the options of `*`, only EXCEPT is supported."));
        }
        let span = span_of(options.wildcard_token.0.span);
        let except: Vec<&Ident> = match &options.opt_except {
            Some(except) => std::iter::once(&except.first_element).chain(&except.additional_elements).collect(),
            None => Vec::new(),
        };
        let mut replaced = Vec::new();
        for element in options.opt_replace.iter().flat_map(|replace| &replace.items) {
            if self.lookup(std::slice::from_ref(&element.column_name), cx.env.scope)?.is_none() {
                return Err(self.unresolved(std::slice::from_ref(&element.column_name), cx.env.scope));
            }
            replaced.push((element.column_name.value.clone(), self.expr(&element.expr, cx)?));
        }
        for name in &except {
            if !cx.env.scope.visible().any(|column| self.same_name(&column.name, &name.value)) {
                return Err(self.unresolved(std::slice::from_ref(*name), cx.env.scope));
            }
        }
        let columns = cx.env.scope.columns.iter().filter(|column| match qualifier {
            [] => !column.hidden,
            parts => self.qualifier_matches(&column.qualifier, parts),
        });
        let before = items.len();
        for column in columns {
            if except.iter().any(|name| self.same_name(&column.name, &name.value)) {
                continue;
            }
            let replaced = replaced.iter().find(|(name, _)| self.same_name(name, &column.name));
            let expr = replaced.map_or_else(|| Expr::Column(column.column.clone()), |(_, expr)| expr.clone());
            items.push(Item { name: column.name.clone(), expr, span });
        }
        if items.len() == before && except.is_empty() {
            if qualifier.is_empty() {
                let message = "Invalid usage of '*': there is no FROM clause.";
                return Err(Error::bind("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", message).at(span));
            }
            let message = format!("Cannot resolve {}.* given input columns.", dotted(qualifier));
            let span = crate::binder::idents_span(qualifier);
            return Err(Error::bind("CANNOT_RESOLVE_STAR_EXPAND", "42704", message).at(span));
        }
        Ok(())
    }

    fn order_keys(
        &self,
        select: &'a Select,
        order_by: Option<&'a OrderBy>,
        items: &[Item],
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<Order> {
        let mut order = Order { local: order_by.is_none(), ..Order::default() };
        let sorted = select.sort_by.iter();
        let clustered: Vec<&'a ast::Expr> = select.cluster_by.iter().collect();
        match order_by.map(|order| &order.kind) {
            Some(OrderByKind::All(options)) => {
                order.keys = items.iter().map(|item| sort_key_of(item.expr.clone(), options)).collect();
            }
            Some(OrderByKind::Expressions(keys)) => {
                for key in keys {
                    order.keys.push(self.order_key(key, items, cx)?);
                }
            }
            None => {
                for key in sorted {
                    order.keys.push(self.order_key(key, items, cx)?);
                }
                for expr in clustered {
                    let expr = self.expr(expr, cx)?;
                    order.keys.push(SortKey { expr, ascending: true, nulls_first: true });
                }
            }
        }
        order.subqueries = std::mem::take(&mut cx.subqueries);
        Ok(order)
    }

    fn order_key(&self, key: &'a ast::OrderByExpr, items: &[Item], cx: &mut ExprCx<'_, 'a>) -> Result<SortKey> {
        match ordinal(&key.expr) {
            Some(position) => {
                let item = usize::try_from(position).ok().and_then(|p| items.get(p.checked_sub(1)?));
                let span = span_of(ast::Spanned::span(&key.expr));
                let item = item.ok_or_else(|| order_out_of_range(position, items.len(), span))?;
                Ok(sort_key_of(item.expr.clone(), &key.options))
            }
            None => self.sort_key(key, cx),
        }
    }

    /// DISTRIBUTE BY, CLUSTER BY, and hints on the result, the lowest first. Names of hints are those of the
    /// select list, then those of the FROM clause.
    fn partitioning(
        &self,
        select: &'a Select,
        hints: &[Hint],
        items: &[Item],
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<Vec<LogicalPlan>> {
        let mut all = Vec::new();
        for hint in hints.iter().rev() {
            let resolve = |parts: &[Ident]| match parts {
                [name] if let Some(item) = items.iter().find(|item| self.same_name(&item.name, &name.value)) => {
                    Ok(item.expr.clone())
                }
                parts => self.lookup(parts, cx.env.scope)?.ok_or_else(|| self.unresolved(parts, cx.env.scope)),
            };
            all.extend(self.hint_op(hint, &resolve)?);
        }
        let by: Vec<&'a ast::Expr> = select.distribute_by.iter().chain(&select.cluster_by).collect();
        if !by.is_empty() {
            let keys = by.into_iter().map(|expr| self.expr(expr, cx)).collect::<Result<Vec<_>>>()?;
            all.push(LogicalOp::Repartition { kind: RepartitionKind::Hash(keys), partitions: None });
        }
        Ok(all.into_iter().map(|op| LogicalPlan::leaf(self.cx.ids.node(), op)).collect())
    }

    /// The projection, DISTINCT, what moves rows, and the sort. What these compute and is no part of the
    /// result is in hidden columns, which are dropped at the end.
    pub(crate) fn project_and_sort(
        &self,
        plan: LogicalPlan,
        items: Vec<Item>,
        order: Order,
        distinct: bool,
    ) -> Result<Relation> {
        // A column of a query further out is not made here: it gets an id of its own.
        let input: BTreeSet<ColumnId> = plan.column_ids().into_iter().collect();
        let mut exprs: Vec<(ColumnRef, Expr)> = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len());
        for item in items {
            let own = |c: &&ColumnRef| input.contains(&c.id) && !exprs.iter().any(|(known, _)| known.id == c.id);
            let passed = item.expr.as_column().filter(own);
            let column = match passed {
                Some(column) => column.clone(),
                None => self.column_for(item.name.clone(), &item.expr),
            };
            columns.push((item.name, column.clone()));
            exprs.push((column, item.expr));
        }
        let visible: Vec<ColumnRef> = columns.iter().map(|(_, column)| column.clone()).collect();
        let outputs: BTreeSet<ColumnId> = visible.iter().map(|c| c.id).collect();
        let mut hidden: Vec<(ColumnRef, Expr)> = Vec::new();
        let mut output = |expr: Expr| -> Result<Expr> {
            let over_output = replace_outputs(expr.clone(), &exprs);
            if over_output.reads_only(|id| outputs.contains(&id)) {
                return Ok(over_output);
            }
            if distinct {
                let message =
                    format!("ORDER BY {expr} is not in the select list, which is needed with SELECT DISTINCT.");
                return Err(Error::bind("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", message));
            }
            let column = match expr.as_column().filter(|column| input.contains(&column.id)) {
                Some(column) => column.clone(),
                None => self.column_for("_sort", &expr),
            };
            if !hidden.iter().any(|(known, _)| known.id == column.id) {
                hidden.push((column.clone(), expr));
            }
            Ok(Expr::Column(column))
        };
        let partitioning = rewrite_all(order.partitioning, &mut output)?;
        let mut sort_keys = Vec::with_capacity(order.keys.len());
        for key in order.keys {
            let expr = output(key.expr)?;
            if expr.as_literal().is_none() {
                sort_keys.push(SortKey { expr, ..key });
            }
        }
        let has_hidden = !hidden.is_empty();
        exprs.extend(hidden);
        let identity = exprs.iter().all(|(column, expr)| expr.as_column() == Some(column))
            && exprs.iter().map(|(column, _)| column.id).eq(plan.column_ids());
        let mut plan = if identity { plan } else { self.unary(LogicalOp::Project { exprs }, plan) };
        if distinct {
            plan = self.distinct(plan);
        }
        for mut node in partitioning {
            node.inputs = vec![plan];
            plan = node;
        }
        if !sort_keys.is_empty() {
            plan = self.unary(LogicalOp::Sort { keys: sort_keys, fetch: None, global: !order.local }, plan);
        }
        if has_hidden {
            plan = self.only(plan, &visible);
        }
        Ok(Relation { plan, columns })
    }

    /// The rows without duplicates.
    pub(crate) fn distinct(&self, plan: LogicalPlan) -> LogicalPlan {
        let keys = plan.columns().into_iter().map(|c| (c.clone(), Expr::Column(c))).collect();
        self.unary(LogicalOp::Aggregate { keys, aggregates: Vec::new() }, plan)
    }
}

/// The nodes with their expressions replaced by what `f` makes of them.
fn rewrite_all(nodes: Vec<LogicalPlan>, mut f: impl FnMut(Expr) -> Result<Expr>) -> Result<Vec<LogicalPlan>> {
    let mut failed = None;
    let mut rewrite = |expr: Expr| {
        f(expr.clone()).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            expr
        })
    };
    let nodes = nodes.into_iter().map(|node| node.map_expressions(&mut rewrite)).collect();
    failed.map_or(Ok(nodes), Err)
}

/// The error for an ordinal of ORDER BY that names no column.
pub(crate) fn order_out_of_range(position: i64, count: usize, span: Span) -> Error {
    let message = format!("ORDER BY position {position} is not in select list (valid range is [1, {count}]).");
    Error::bind("ORDER_BY_POS_OUT_OF_RANGE", "42805", message).at(span)
}

/// The expression with the select list's expressions replaced by its columns.
fn replace_outputs(expr: Expr, exprs: &[(ColumnRef, Expr)]) -> Expr {
    let found = exprs.iter().find(|(_, known)| *known == expr && known.as_literal().is_none());
    if let Some((column, _)) = found {
        return Expr::Column(column.clone());
    }
    expr.map_children(&mut |child| replace_outputs(child, exprs))
}

fn refuse_rare_clauses(select: &Select) -> Result<()> {
    let rare = [
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
        (select.exclude.is_some(), "EXCLUDE"),
        (matches!(&select.group_by, GroupByExpr::All(m) if !m.is_empty()), "GROUP BY ALL WITH …"),
    ];
    match rare.iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(Error::unsupported(format!("{name} is not supported."))),
        None => Ok(()),
    }
}
