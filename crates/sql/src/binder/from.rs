//! FROM: tables, views, derived tables, joins, and the function `range`.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::{CatalogEntry, TableName, TableProvider, TableRef, ViewBody};
use firesteel_common::{ColumnId, Error, IdGenerator, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate, WindowCall, op};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan, Scan};
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, Ident, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor,
    TableWithJoins,
};

use crate::binder::expr::ExprCx;
use crate::binder::query::rename;
use crate::binder::statement::BoundQuery;
use crate::binder::{Binder, Ctes, Env, Relation, Scope, ScopeColumn, ident_span};
use crate::parser::lexer::span_of;
use crate::parser::parse_one;
use crate::parser::statement::{StatementAst, table_name};

/// What a join is, apart from its condition.
struct JoinShape<'a> {
    kind: JoinKind,
    constraint: &'a JoinConstraint,
}

impl<'a> Binder<'a> {
    /// Binds a FROM clause; without one there is one row without columns.
    pub(crate) fn relations(
        &self,
        from: &'a [TableWithJoins],
        ctes: Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let mut all: Option<(LogicalPlan, Scope)> = None;
        for item in from {
            let mut current = match all.take() {
                None => self.factor(&item.relation, &ctes, outer)?,
                Some(left) => {
                    let shape = JoinShape { kind: JoinKind::Inner, constraint: &JoinConstraint::None };
                    self.join(left, &item.relation, &shape, &ctes, outer)?
                }
            };
            for join in &item.joins {
                let shape = join_shape(&join.join_operator)?;
                current = self.join(current, &join.relation, &shape, &ctes, outer)?;
            }
            all = Some(current);
        }
        Ok(all.unwrap_or_else(|| (self.one_row(), Scope::default())))
    }

    pub(super) fn factor(
        &self,
        factor: &'a TableFactor,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let (plan, scope) = self.relation(factor, ctes, outer)?;
        // The relations of a join in parentheses have names of their own.
        if matches!(factor, TableFactor::NestedJoin { alias: None, .. }) {
            return Ok((plan, scope));
        }
        Ok((self.hinted(plan, &scope), scope))
    }

    fn relation(
        &self,
        factor: &'a TableFactor,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        match factor {
            TableFactor::Table { name, alias, args, version, sample, .. } => {
                if version.is_some() {
                    return Err(Error::unsupported("Time travel is not supported.").at(name_span(name)));
                }
                let (plan, scope) = match args {
                    Some(args) => self.table_function(name, &args.args, alias.as_ref(), ctes, outer)?,
                    None => self.table(name, alias.as_ref(), ctes, outer)?,
                };
                Ok((self.sample(plan, sample.as_ref())?, scope))
            }
            TableFactor::Derived { subquery, alias, sample, .. } => {
                let mut relation = self.query(subquery, ctes.clone(), outer)?;
                relation.plan = self.sample(relation.plan, sample.as_ref())?;
                let mut qualifier = Vec::new();
                if let Some(alias) = alias {
                    rename(&mut relation, alias)?;
                    qualifier.push(alias.name.value.clone());
                }
                Ok((relation.plan, Scope::of(qualifier, relation.columns)))
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let (plan, scope) = self.relations(std::slice::from_ref(table_with_joins), ctes.clone(), outer)?;
                let Some(alias) = alias else { return Ok((plan, scope)) };
                let columns = scope.visible().map(|c| (c.name.clone(), c.column.clone())).collect();
                let mut relation = Relation { plan, columns };
                rename(&mut relation, alias)?;
                Ok((relation.plan, Scope::of(vec![alias.name.value.clone()], relation.columns)))
            }
            TableFactor::Function { name, args, alias, .. } => {
                self.table_function(name, args, alias.as_ref(), ctes, outer)
            }
            TableFactor::Pivot { .. } => self.pivot(factor, ctes, outer),
            TableFactor::Unpivot { .. } => self.unpivot(factor, ctes, outer),
            other => Err(Error::unsupported(format!("`{other}` in FROM is not supported."))),
        }
    }

    fn table(
        &self,
        name: &'a ObjectName,
        alias: Option<&TableAlias>,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let (plan, scope) = self.named_relation(&table_name(name), name_span(name), ctes, outer)?;
        self.aliased(plan, scope, alias)
    }

    /// A relation under the name of its alias, if it has one.
    pub(super) fn aliased(
        &self,
        plan: LogicalPlan,
        mut scope: Scope,
        alias: Option<&TableAlias>,
    ) -> Result<(LogicalPlan, Scope)> {
        if let Some(alias) = alias {
            let columns = scope.visible().map(|c| (c.name.clone(), c.column.clone())).collect();
            let mut relation = Relation { plan, columns };
            rename(&mut relation, alias)?;
            scope = Scope::of(vec![alias.name.value.clone()], relation.columns);
            return Ok((relation.plan, scope));
        }
        Ok((plan, scope))
    }

    /// A CTE, a table or a view.
    pub(crate) fn named_relation(
        &self,
        name: &TableName,
        span: Span,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        if let [one] = name.0.as_slice()
            && let Some(relation) = self.cte(one, span, ctes, outer)?
        {
            return Ok((relation.plan, Scope::of(vec![one.clone()], relation.columns)));
        }
        let last = name.0.last().cloned().unwrap_or_default();
        let catalog = firesteel_catalog::catalog::DEFAULT_SCHEMA.to_owned();
        match self.cx.tables.lookup(name, span)? {
            CatalogEntry::Table(table, provider) => {
                let relation = self.scan(&table, provider.as_ref());
                let qualifier = match name.as_path() {
                    Some(_) => name.0.clone(),
                    None => vec!["spark_catalog".to_owned(), catalog, last],
                };
                Ok((relation.plan, Scope::of(qualifier, relation.columns)))
            }
            CatalogEntry::View { body, columns } => {
                let mut relation = self.deeper(span, || self.view(&body))?;
                if let Some(columns) = columns {
                    for ((name, _), new) in relation.columns.iter_mut().zip(columns) {
                        *name = Arc::from(new);
                    }
                }
                Ok((relation.plan, Scope::of(vec!["spark_catalog".to_owned(), catalog, last], relation.columns)))
            }
        }
    }

    fn scan(&self, table: &TableRef, provider: &dyn TableProvider) -> Relation {
        let source: Vec<ColumnRef> = provider
            .schema()
            .iter()
            .map(|field| self.column(field.name.clone(), field.ty.clone(), field.nullable))
            .collect();
        let columns = source.iter().map(|c| (c.name.clone(), c.clone())).collect();
        let scan = Scan { table: table.clone(), columns: source.clone(), source, filters: Vec::new(), limit: None };
        Relation { plan: LogicalPlan::leaf(self.cx.ids.node(), LogicalOp::Scan(scan)), columns }
    }

    /// A view's query, with columns of its own at each use.
    fn view(&self, body: &ViewBody) -> Result<Relation> {
        match body {
            ViewBody::Sql(sql) => {
                let parsed = parse_one(sql)?;
                let StatementAst::Query(query) = &parsed.ast else {
                    return Err(Error::internal("a view whose text is no query"));
                };
                let binder = Binder::new(self.cx, &parsed.spans, self.depth.get());
                let relation = binder.query(query, None, None).map_err(|error| error.in_sql(&parsed.text))?;
                // Places in the view's text mean nothing in the text of the query.
                let plan = relation.plan.transform_up(&mut |node| Ok(node.map_expressions(&mut without_spans)))?;
                Ok(Relation { plan, ..relation })
            }
            ViewBody::Plan(plan) => {
                if let Some(query) = plan.downcast_ref::<BoundQuery>() {
                    let (plan, map) = fresh_ids(query.plan.clone(), self.cx.ids)?;
                    let column =
                        |c: &ColumnRef| map.get(&c.id).map_or(c.clone(), |id| ColumnRef { id: *id, ..c.clone() });
                    let columns = query.columns.iter().map(|c| (c.name.clone(), column(&c.column))).collect();
                    return Ok(Relation { plan, columns });
                }
                let plan = plan
                    .downcast_ref::<LogicalPlan>()
                    .ok_or_else(|| Error::internal("a view whose plan is of an unknown kind"))?;
                let (plan, _) = fresh_ids(plan.clone(), self.cx.ids)?;
                let columns = plan.columns().into_iter().map(|c| (c.name.clone(), c)).collect();
                Ok(Relation { plan, columns })
            }
        }
    }

    /// `range(end)`, `range(start, end[, step[, partitions]])`.
    fn table_function(
        &self,
        name: &'a ObjectName,
        args: &'a [FunctionArg],
        alias: Option<&TableAlias>,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let span = self.spans.call(name_span(name));
        let called = table_name(name);
        let function = called.0.last().map(|n| n.to_lowercase()).unwrap_or_default();
        if function == "identifier"
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] = args
        {
            let text = self.constant(expr, "IDENTIFIER")?;
            let Some(text) = text.as_str() else {
                let message = "The argument of IDENTIFIER must be a string.";
                return Err(Error::bind("NOT_A_CONSTANT_STRING.WRONG_TYPE", "42601", message).at(span));
            };
            let name = TableName(text.split('.').map(|part| part.trim_matches('`').to_owned()).collect());
            let (plan, scope) = self.named_relation(&name, span, ctes, outer)?;
            return self.aliased(plan, scope, alias);
        }
        if function != "range" {
            let message = format!("Could not resolve `{function}` to a table-valued function.");
            return Err(Error::bind("UNRESOLVABLE_TABLE_VALUED_FUNCTION", "42883", message).at(span));
        }
        let mut numbers = Vec::new();
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
                return Err(Error::unsupported("Named arguments of range are not supported.").at(span));
            };
            let value = self.constant(expr, "range")?.as_i64();
            numbers.push(value.ok_or_else(|| Error::unsupported("Arguments of range must be integers.").at(span))?);
        }
        let (start, end, step) = match numbers.as_slice() {
            [end] => (0, *end, 1),
            [start, end] => (*start, *end, 1),
            [start, end, step] | [start, end, step, _] => (*start, *end, *step),
            _ => return Err(crate::call::wrong_num_args("range", "[1, 4]", numbers.len()).at(span)),
        };
        if step == 0 {
            return Err(Error::bind("DATATYPE_MISMATCH", "42K09", "The step of range must not be 0.").at(span));
        }
        let mut relation = self.range(start, end, step, span)?;
        let mut qualifier = Vec::new();
        if let Some(alias) = alias {
            rename(&mut relation, alias)?;
            qualifier.push(alias.name.value.clone());
        }
        Ok((relation.plan, Scope::of(qualifier, relation.columns)))
    }

    /// The rows of a range. More than a block of numbers are a cross join of blocks, so that a large
    /// range is a small plan.
    fn range(&self, start: i64, end: i64, step: i64, span: Span) -> Result<Relation> {
        const BLOCK: i128 = 1024;
        let distance = i128::from(end) - i128::from(start);
        let step_wide = i128::from(step);
        let count = if (distance > 0) == (step > 0) && distance != 0 {
            (distance.abs() + step_wide.abs() - 1) / step_wide.abs()
        } else {
            0
        };
        let big = |value: i64| Expr::Literal(Scalar::BigInt(value));
        let numbers = |n: i128, first: i64, step: i64| {
            let column = self.column("id", SqlType::BigInt, false);
            let rows = (0..n as i64).map(|i| vec![big(first.wrapping_add(i.wrapping_mul(step)))]).collect();
            let op = LogicalOp::Values { columns: vec![column.clone()], rows };
            (LogicalPlan::leaf(self.cx.ids.node(), op), column)
        };
        if count <= BLOCK {
            let (plan, column) = numbers(count, start, step);
            return Ok(Relation { plan, columns: vec![("id".into(), column)] });
        }
        // Digits of the row number, most significant first, in base BLOCK.
        let (mut plan, mut total) = (None::<(LogicalPlan, Expr)>, 1i128);
        let mut digits = Vec::new();
        let mut rest = count - 1;
        while rest > 0 {
            digits.push(rest % BLOCK);
            rest /= BLOCK;
        }
        for (at, _) in digits.iter().enumerate().rev() {
            // The leading digit needs only its own values; the others all of them.
            let size = if at + 1 == digits.len() { digits[at] + 1 } else { BLOCK };
            let (values, column) = numbers(size, 0, 1);
            total *= size;
            plan = Some(match plan {
                None => (values, Expr::Column(column)),
                Some((left, number)) => {
                    let op = LogicalOp::join(JoinKind::Inner, None);
                    let joined = LogicalPlan::binary(self.cx.ids.node(), op, left, values);
                    let number = self.call(op::MULTIPLY, vec![number, big(BLOCK as i64)], span)?;
                    (joined, self.call(op::ADD, vec![number, Expr::Column(column)], span)?)
                }
            });
        }
        let (mut plan, number) = plan.ok_or_else(|| Error::internal("a range without digits"))?;
        if total > count {
            let last = i64::try_from(count).map_err(|_| Error::unsupported("The range is too long.").at(span))?;
            plan = self.filter(self.call(op::LT, vec![number.clone(), big(last)], span)?, plan);
        }
        let scaled = if step == 1 { number } else { self.call(op::MULTIPLY, vec![number, big(step)], span)? };
        let id = if start == 0 { scaled } else { self.call(op::ADD, vec![scaled, big(start)], span)? };
        let column = self.column("id", SqlType::BigInt, false);
        let plan = self.unary(LogicalOp::Project { exprs: vec![(column.clone(), id)] }, plan);
        Ok(Relation { plan, columns: vec![("id".into(), column)] })
    }

    fn join(
        &self,
        left: (LogicalPlan, Scope),
        right: &'a TableFactor,
        shape: &JoinShape<'a>,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let (mut left_plan, left_scope) = left;
        let lateral = matches!(right, TableFactor::Derived { lateral: true, .. });
        let (mut right_plan, right_scope) = if lateral {
            let env = Env::new(&left_scope, ctes.clone(), outer);
            self.factor(right, ctes, Some(&env))?
        } else {
            self.factor(right, ctes, outer)?
        };
        let mut merged = Vec::new();
        let mut cx_subqueries = Vec::new();
        let both = Scope { columns: left_scope.columns.iter().chain(&right_scope.columns).cloned().collect() };
        let condition = match shape.constraint {
            JoinConstraint::On(on) => {
                let env = Env::new(&both, ctes.clone(), outer);
                let mut cx = ExprCx::plain(&env, "JOIN");
                let condition = self.predicate_or(on, &mut cx, ("JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE", "42K0E"))?;
                cx_subqueries = cx.subqueries;
                Some(condition)
            }
            JoinConstraint::Using(names) => {
                let names: Vec<Ident> =
                    names.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident().cloned())).collect();
                Some(self.using(&names, &left_scope, &right_scope, &mut merged)?)
            }
            JoinConstraint::Natural => {
                let common: Vec<Ident> = left_scope
                    .visible()
                    .filter(|l| right_scope.visible().any(|r| self.same_name(&l.name, &r.name)))
                    .map(|l| Ident::new(l.name.to_string()))
                    .collect();
                let condition = self.using(&common, &left_scope, &right_scope, &mut merged)?;
                (!common.is_empty()).then_some(condition)
            }
            JoinConstraint::None => None,
        };
        let kind = shape.kind.clone();
        if !cx_subqueries.is_empty() && (kind != JoinKind::Inner || lateral) {
            // What a subquery yields for a row of one side is computed below the join, on that side.
            for subquery in std::mem::take(&mut cx_subqueries) {
                if !subquery.reads(&left_plan) && !lateral {
                    right_plan = self.attach(right_plan, vec![subquery]);
                } else if !subquery.reads(&right_plan) {
                    left_plan = self.attach(left_plan, vec![subquery]);
                } else {
                    let condition =
                        "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.UNSUPPORTED_CORRELATED_EXPRESSION_IN_JOIN_CONDITION";
                    let message = "Correlated subqueries in the join predicate cannot reference both join inputs.";
                    return Err(Error::bind(condition, "0A000", message).at(subquery.span));
                }
            }
        }
        let id = self.cx.ids.node();
        let plan = if lateral {
            if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
                return Err(Error::unsupported("A LATERAL join must be INNER, CROSS or LEFT."));
            }
            let op = LogicalOp::DependentJoin { kind: kind.clone(), condition };
            LogicalPlan::binary(id, op, left_plan, right_plan)
        } else if cx_subqueries.is_empty() {
            let op = LogicalOp::join(kind.clone(), condition);
            LogicalPlan::binary(id, op, left_plan, right_plan)
        } else {
            let op = LogicalOp::join(kind.clone(), None);
            let plan = self.attach(LogicalPlan::binary(id, op, left_plan, right_plan), cx_subqueries);
            match condition {
                Some(condition) => self.filter(condition, plan),
                None => plan,
            }
        };
        if !kind.returns_right() {
            return Ok((plan, left_scope));
        }
        self.merge_columns(plan, both, merged, &kind)
    }

    /// The condition of USING; `merged` gets the name and both columns of each pair.
    pub(crate) fn using(
        &self,
        names: &[Ident],
        left: &Scope,
        right: &Scope,
        merged: &mut Vec<(Arc<str>, ColumnRef, ColumnRef)>,
    ) -> Result<Expr> {
        let find = |name: &Ident, scope: &Scope, side: &str| {
            let found = self.lookup(std::slice::from_ref(name), scope)?;
            found.and_then(|expr| expr.as_column().cloned()).ok_or_else(|| {
                let columns: Vec<String> = scope.visible().map(|c| format!("`{}`", c.name)).collect();
                let message = format!(
                    "USING column `{}` cannot be resolved on the {side} side of the join. The {side}-side columns: [{}].",
                    name.value,
                    columns.join(", ")
                );
                Error::bind("UNRESOLVED_USING_COLUMN_FOR_JOIN", "42703", message).at(ident_span(name))
            })
        };
        let mut tests = Vec::with_capacity(names.len());
        for name in names {
            let (l, r) = (find(name, left, "left")?, find(name, right, "right")?);
            tests.push(self.call(op::EQ, vec![Expr::Column(l.clone()), Expr::Column(r.clone())], ident_span(name))?);
            merged.push((Arc::from(name.value.as_str()), l, r));
        }
        Ok(Expr::and(tests))
    }

    /// The scope of a join: columns of USING come first, once, and their originals are hidden.
    pub(crate) fn merge_columns(
        &self,
        mut plan: LogicalPlan,
        mut both: Scope,
        merged: Vec<(Arc<str>, ColumnRef, ColumnRef)>,
        kind: &JoinKind,
    ) -> Result<(LogicalPlan, Scope)> {
        let mut first = Vec::with_capacity(merged.len());
        let mut computed: Vec<(ColumnRef, Expr)> = Vec::new();
        both.refresh(&plan.columns());
        for (name, left, right) in merged {
            for column in &mut both.columns {
                column.hidden |= column.column.id == left.id || column.column.id == right.id;
            }
            let column = match kind {
                JoinKind::Right => right,
                JoinKind::Full => {
                    let nullable = |c: ColumnRef| Expr::Column(ColumnRef { nullable: true, ..c });
                    let value = self.call("coalesce", vec![nullable(left), nullable(right)], Span::NONE)?;
                    let column = self.column_for(name.clone(), &value);
                    computed.push((column.clone(), value));
                    column
                }
                _ => left,
            };
            first.push(ScopeColumn { qualifier: Arc::from(Vec::new()), name, column, hidden: false });
        }
        if !computed.is_empty() {
            let mut exprs: Vec<(ColumnRef, Expr)> =
                plan.columns().into_iter().map(|c| (c.clone(), Expr::Column(c))).collect();
            exprs.extend(computed);
            plan = self.unary(LogicalOp::Project { exprs }, plan);
        }
        first.append(&mut both.columns);
        Ok((plan, Scope { columns: first }))
    }
}

/// The place of a relation's name.
pub(crate) fn name_span(name: &ObjectName) -> Span {
    name.0.iter().map(|part| span_of(ast::Spanned::span(part))).fold(Span::NONE, Span::union)
}

fn join_shape(operator: &JoinOperator) -> Result<JoinShape<'_>> {
    let (kind, constraint) = match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c) => (JoinKind::Inner, c),
        JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (JoinKind::Left, c),
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (JoinKind::Right, c),
        JoinOperator::FullOuter(c) => (JoinKind::Full, c),
        JoinOperator::Semi(c) | JoinOperator::LeftSemi(c) => (JoinKind::LeftSemi, c),
        JoinOperator::Anti(c) | JoinOperator::LeftAnti(c) => (JoinKind::LeftAnti, c),
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => {
            return Err(Error::unsupported("RIGHT SEMI and RIGHT ANTI joins are not supported."));
        }
        JoinOperator::AsOf { .. } => return Err(Error::unsupported("ASOF JOIN is not supported.")),
        _ => return Err(Error::unsupported("This kind of join is not supported.")),
    };
    Ok(JoinShape { kind, constraint })
}

/// The expression without places in a text.
pub(crate) fn without_spans(expr: Expr) -> Expr {
    expr.transform(&mut |mut e| {
        match &mut e {
            Expr::Call(call) => call.span = Span::NONE,
            Expr::Cast { span, .. } => *span = Span::NONE,
            _ => {}
        }
        e
    })
}

/// The plan with fresh ids for all of its columns and nodes, and what became of each column.
///
/// Errors: `INTERNAL_ERROR` for a plan that has started.
pub fn fresh_ids(plan: LogicalPlan, ids: &IdGenerator) -> Result<(LogicalPlan, BTreeMap<ColumnId, ColumnId>)> {
    let mut map = BTreeMap::new();
    let plan = plan.transform_up(&mut |node| fresh_node(node, ids, &mut map))?;
    Ok((plan, map))
}

fn fresh_node(node: LogicalPlan, ids: &IdGenerator, map: &mut BTreeMap<ColumnId, ColumnId>) -> Result<LogicalPlan> {
    let mut column = |c: ColumnRef| {
        let id = *map.entry(c.id).or_insert_with(|| ids.column());
        ColumnRef { id, ..c }
    };
    let LogicalPlan { op, inputs, .. } = node.map_expressions(&mut |expr| {
        expr.transform(&mut |e| match e {
            Expr::Column(c) => Expr::Column(column(c)),
            other => other,
        })
    });
    let op = match op {
        LogicalOp::Scan(scan) => LogicalOp::Scan(Scan {
            columns: scan.columns.into_iter().map(&mut column).collect(),
            source: scan.source.into_iter().map(&mut column).collect(),
            ..scan
        }),
        LogicalOp::Values { columns, rows } => {
            LogicalOp::Values { columns: columns.into_iter().map(column).collect(), rows }
        }
        LogicalOp::Project { exprs } => {
            LogicalOp::Project { exprs: exprs.into_iter().map(|(c, e)| (column(c), e)).collect() }
        }
        LogicalOp::Aggregate { keys, aggregates } => LogicalOp::Aggregate {
            keys: keys.into_iter().map(|(c, e)| (column(c), e)).collect(),
            aggregates: aggregates
                .into_iter()
                .map(|a| NamedAggregate { column: column(a.column), call: a.call })
                .collect(),
        },
        LogicalOp::Expand { columns, projections } => {
            LogicalOp::Expand { columns: columns.into_iter().map(column).collect(), projections }
        }
        LogicalOp::Window { partition_by, order_by, calls } => LogicalOp::Window {
            partition_by,
            order_by,
            calls: calls.into_iter().map(|c| WindowCall { column: column(c.column.clone()), ..c }).collect(),
        },
        LogicalOp::Join { kind: JoinKind::Mark(mark), on, residual, null_aware, hint } => {
            LogicalOp::Join { kind: JoinKind::Mark(column(mark)), on, residual, null_aware, hint }
        }
        LogicalOp::DependentJoin { kind: JoinKind::Mark(mark), condition } => {
            LogicalOp::DependentJoin { kind: JoinKind::Mark(column(mark)), condition }
        }
        LogicalOp::Union { columns } => LogicalOp::Union { columns: columns.into_iter().map(column).collect() },
        LogicalOp::SetOp { operation, all, columns } => {
            LogicalOp::SetOp { operation, all, columns: columns.into_iter().map(column).collect() }
        }
        LogicalOp::Pinned(_) => return Err(Error::internal("a view over a plan that has started")),
        other => other,
    };
    Ok(LogicalPlan { id: ids.node(), op, inputs })
}
