//! Queries that are built by calls instead of text.
//!
//! The `DataFrame` API walks its own trees; names, calls, aggregates, window functions and set operations go through
//! [`FrameBinder`], which is the binder of SQL without the syntax tree. So both have the same types, errors and plans.

use std::sync::{Arc, LazyLock};

use firesteel_common::{ColumnId, Error, IdGenerator, Result, Span};
use firesteel_expr::{
    ColumnRef, Expr, Frame, FrameBound, FrameUnit, NamedAggregate, SortKey, WindowCall, WindowFunction,
};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use sqlparser::ast::{Ident, SetOperator};

use crate::binder::aggregate::{GroupBy, Grouping, cube, rollup};
use crate::binder::expr::ExprCx;
use crate::binder::from::{fresh_ids, without_spans};
use crate::binder::function::{WINDOW_ONLY, invalid_place};
use crate::binder::hints::Hint;
use crate::binder::select::{Item, Order};
use crate::binder::statement::{BoundQuery, OutputColumn};
use crate::binder::window::{PendingWindow, check_ordered, frame_distance, positional_function};
use crate::binder::{BindContext, Binder, Env, Relation, Scope, ScopeColumn};
use crate::call::{bind_aggregate, bind_call};
use crate::parser::parse_expression;
use crate::parser::spans::SpanMap;

static NO_SPANS: LazyLock<SpanMap> = LazyLock::new(SpanMap::default);

/// A column that a frame offers to expressions.
#[derive(Clone, Debug)]
pub struct FrameColumn {
    /// The frame's alias, if it has one.
    pub qualifier: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// The column of the plan.
    pub column: ColumnRef,
}

/// How groups are formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// By all keys.
    Plain,
    /// By all prefixes of the keys.
    Rollup,
    /// By all subsets of the keys.
    Cube,
}

/// Rows of a frame whose bounds are distances from the current row: negative is before, [`i64::MIN`] and [`i64::MAX`]
/// are unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// Counted in rows or by value.
    pub unit: FrameUnit,
    /// First row.
    pub start: i64,
    /// Last row.
    pub end: i64,
}

/// A set operation of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSetOp {
    /// UNION
    Union,
    /// INTERSECT
    Intersect,
    /// EXCEPT
    Except,
}

/// The plan and the columns of one side of a join.
pub type FrameSide = (LogicalPlan, Vec<FrameColumn>);

/// Rows of a join, with names and columns of its result.
pub type JoinedFrame = (LogicalPlan, Vec<(Arc<str>, ColumnRef)>);

/// Binds the expressions of one operation over a frame's columns, and makes the plan of the operation.
///
/// Aggregates and window functions that expressions use are collected, and become nodes in [`FrameBinder::select`].
#[derive(Debug)]
pub struct FrameBinder<'a> {
    cx: &'a BindContext<'a>,
    scope: Scope,
    /// The clause, if neither aggregates nor window functions are allowed.
    scalar_only: Option<&'static str>,
    in_aggregate: bool,
    aggregates: Vec<NamedAggregate>,
    groupings: Vec<Grouping>,
    windows: Vec<PendingWindow>,
}

impl<'a> FrameBinder<'a> {
    /// A binder of expressions over `columns` that may have aggregates and window functions.
    pub fn new(columns: &[FrameColumn], cx: &'a BindContext<'a>) -> Self {
        Self {
            cx,
            scope: scope_of(columns),
            scalar_only: None,
            in_aggregate: false,
            aggregates: Vec::new(),
            groupings: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// A binder of a clause, such as `WHERE`, without aggregates and window functions.
    pub fn scalar(columns: &[FrameColumn], clause: &'static str, cx: &'a BindContext<'a>) -> Self {
        Self { scalar_only: Some(clause), ..Self::new(columns, cx) }
    }

    /// What binding needs to know.
    pub fn context(&self) -> &'a BindContext<'a> {
        self.cx
    }

    fn binder(&self) -> Binder<'a> {
        Binder::new(self.cx, &NO_SPANS, 0)
    }

    /// The column of a name, perhaps with a qualifier: `a`, `t.a`, `` `a.b` ``.
    ///
    /// Errors: `UNRESOLVED_COLUMN`, `AMBIGUOUS_REFERENCE`.
    pub fn name(&self, name: &str) -> Result<Expr> {
        let parts: Vec<Ident> = name_parts(name).into_iter().map(Ident::new).collect();
        let binder = self.binder();
        binder.lookup(&parts, &self.scope)?.ok_or_else(|| binder.unresolved(&parts, &self.scope))
    }

    /// Items of a select list in SQL: `a + 1 AS b`, `sum(a)`, `*`.
    ///
    /// Errors: those of syntax, names and types; `UNSUPPORTED_FEATURE` for subqueries.
    pub fn text(&mut self, sql: &str) -> Result<Vec<(Arc<str>, Expr)>> {
        let parsed = parse_expression(sql)?;
        let env = Env::new(&self.scope, None, None);
        let binder = Binder::new(self.cx, &parsed.spans, 0);
        let mut ecx = ExprCx::plain(&env, self.scalar_only.unwrap_or("SELECT"));
        if self.scalar_only.is_none() {
            (ecx.no_aggregates, ecx.no_windows) = (None, None);
        }
        ecx.in_aggregate = self.in_aggregate;
        ecx.aggregates = std::mem::take(&mut self.aggregates);
        ecx.groupings = std::mem::take(&mut self.groupings);
        ecx.windows = std::mem::take(&mut self.windows);
        let items = binder.items(std::slice::from_ref(&parsed.item), &mut ecx);
        let items = items.map_err(|error| error.in_sql(&parsed.text))?;
        if !ecx.subqueries.is_empty() || !ecx.below.is_empty() {
            return Err(Error::unsupported("Subqueries in expressions of the API are not supported."));
        }
        // Places in this text mean nothing in the text of the query that the frame may come from.
        self.aggregates = ecx.aggregates.into_iter().map(aggregate_without_spans).collect();
        self.groupings = ecx.groupings;
        self.windows = ecx.windows.into_iter().map(window_without_spans).collect();
        Ok(items.into_iter().map(|Item { name, expr, .. }| (name, expr.transform(&mut without_spans))).collect())
    }

    /// A call of a scalar function.
    ///
    /// Errors: as [`bind_call`]; `WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE`.
    pub fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        if WINDOW_ONLY.contains(&name) {
            let message = format!("Window function {name}() requires an OVER clause.");
            return Err(Error::bind("WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", "42601", message));
        }
        bind_call(name, args, Span::NONE, self.cx.registry)
    }

    /// Says that arguments of an aggregate are bound from now on.
    ///
    /// Errors: `NESTED_AGGREGATE_FUNCTION`; those of a clause without aggregates.
    pub fn enter_aggregate(&mut self, name: &str) -> Result<()> {
        if let Some(clause) = self.scalar_only {
            return Err(invalid_place("aggregate functions", clause, name, Span::NONE));
        }
        if std::mem::replace(&mut self.in_aggregate, true) {
            let message = "It is not allowed to use an aggregate function in the argument of another aggregate function. \
                           Please use the inner aggregate function in a sub-query.";
            return Err(Error::bind("NESTED_AGGREGATE_FUNCTION", "42607", message));
        }
        Ok(())
    }

    /// A call of an aggregate, whose arguments were bound since [`FrameBinder::enter_aggregate`].
    ///
    /// Errors: as [`bind_aggregate`].
    pub fn aggregate(&mut self, name: &str, args: Vec<Expr>, distinct: bool, shown: &str) -> Result<Expr> {
        self.in_aggregate = false;
        let call = bind_aggregate(name, args, distinct, None, Span::NONE, self.cx.registry)?;
        if let Some(known) = self.aggregates.iter().find(|known| known.call == call) {
            return Ok(Expr::Column(known.column.clone()));
        }
        let named = NamedAggregate::new(self.cx.ids.column(), shown, call);
        let column = named.column.clone();
        self.aggregates.push(named);
        Ok(Expr::Column(column))
    }

    /// A call with OVER.
    ///
    /// Errors: those of the function; `WINDOW_FUNCTION_FRAME_NOT_ORDERED`; those of a clause without window functions.
    pub fn window(
        &mut self,
        (name, args): (&str, Vec<Expr>),
        partition_by: Vec<Expr>,
        order_by: Vec<SortKey>,
        range: Option<FrameRange>,
        shown: &str,
    ) -> Result<Expr> {
        if self.scalar_only.is_some() || self.in_aggregate {
            let clause = self.scalar_only.unwrap_or("The argument of an aggregate");
            return Err(invalid_place("window functions", clause, name, Span::NONE));
        }
        let (function, ty, nullable) = match positional_function(name, &args, false, Span::NONE)? {
            Some(found) => found,
            None => {
                let call = bind_aggregate(name, args, false, None, Span::NONE, self.cx.registry)?;
                let (ty, nullable) = (call.ty.clone(), call.nullable);
                (WindowFunction::Aggregate(call), ty, nullable)
            }
        };
        check_ordered(name, &order_by, Span::NONE)?;
        let frame = frame(range, &order_by)?;
        let column = self.binder().column(shown, ty, nullable);
        let call = WindowCall { column: column.clone(), function, frame, span: Span::NONE };
        self.windows.push(PendingWindow { call, partition_by, order_by });
        Ok(Expr::Column(column))
    }

    /// The projection of `items` over `plan`, with the aggregation and the windows that they use.
    ///
    /// Errors: `MISSING_AGGREGATION`, `MISSING_GROUP_BY`.
    pub fn select(
        self,
        mut plan: LogicalPlan,
        group: Option<(GroupKind, Vec<Expr>)>,
        items: Vec<(Arc<str>, Expr)>,
    ) -> Result<BoundQuery> {
        let binder = self.binder();
        let mut items: Vec<Item> =
            items.into_iter().map(|(name, expr)| Item { name, expr, span: Span::NONE }).collect();
        let mut windows = self.windows;
        if group.is_some() || !self.aggregates.is_empty() || !self.groupings.is_empty() {
            let group = group_by(group)?;
            let (aggregated, rewriter) = binder.apply_aggregate(plan, group, self.aggregates, self.groupings)?;
            plan = aggregated;
            for item in &mut items {
                item.expr = rewriter.rewrite(item.expr.clone(), &item.name)?;
            }
            windows = rewriter.windows(windows)?;
        }
        plan = binder.apply_windows(plan, windows);
        let relation = binder.project_and_sort(plan, items, Order::default(), false)?;
        Ok(binder.finish(relation))
    }
}

/// The plan below what a hint asks for; `columns` are what its parameters may name.
///
/// Errors: parameters that the hint does not take, `UNRESOLVED_COLUMN`.
pub fn hint(
    plan: LogicalPlan,
    columns: &[OutputColumn],
    name: &str,
    parameters: &[String],
    cx: &BindContext<'_>,
) -> Result<LogicalPlan> {
    let binder = Binder::new(cx, &NO_SPANS, 0);
    let scope = Scope::of(Vec::new(), columns.iter().map(|c| (c.name.clone(), c.column.clone())).collect());
    let resolve = |parts: &[Ident]| binder.lookup(parts, &scope)?.ok_or_else(|| binder.unresolved(parts, &scope));
    let Some(hint) = Hint::new(name, parameters) else { return Ok(plan) };
    Ok(match binder.hint_op(&hint, &resolve)? {
        Some(op) => binder.unary(op, plan),
        None => plan,
    })
}

fn group_by(group: Option<(GroupKind, Vec<Expr>)>) -> Result<GroupBy> {
    let mut grouped = GroupBy::default();
    let Some((kind, keys)) = group else { return Ok(grouped) };
    grouped.present = !keys.is_empty();
    let parts: Vec<Vec<usize>> = keys.into_iter().map(|key| vec![grouped.key(key)]).collect();
    grouped.sets = match kind {
        GroupKind::Plain => None,
        GroupKind::Rollup => Some(rollup(&parts)),
        GroupKind::Cube => Some(cube(&parts)?),
    };
    Ok(grouped)
}

fn frame(range: Option<FrameRange>, order_by: &[SortKey]) -> Result<Frame> {
    let Some(FrameRange { unit, start, end }) = range else {
        return Ok(if order_by.is_empty() { Frame::whole() } else { Frame::running() });
    };
    let key = match (unit, order_by) {
        (FrameUnit::Range, [key]) => Some(key.expr.ty()),
        _ => None,
    };
    if start > end || start == i64::MAX || end == i64::MIN {
        let message = "The frame's lower bound must not be above its upper bound.";
        return Err(Error::bind("DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_INVALID_BOUND", "42K09", message));
    }
    let bound = |distance: i64| {
        let value = || {
            let magnitude = firesteel_common::Scalar::BigInt(distance.saturating_abs());
            frame_distance(&magnitude, unit, key.as_ref(), Span::NONE)
        };
        Ok::<_, Error>(match distance {
            i64::MIN | i64::MAX => FrameBound::Unbounded,
            0 => FrameBound::CurrentRow,
            before if before < 0 => FrameBound::Preceding(value()?),
            _ => FrameBound::Following(value()?),
        })
    };
    Ok(Frame { unit, start: bound(start)?, end: bound(end)? })
}

/// The join of two frames that share no column, with the columns of the result. Columns of `using` come first, once.
///
/// Errors: `UNRESOLVED_USING_COLUMN_FOR_JOIN`.
pub fn join_using(
    left: FrameSide,
    right: FrameSide,
    kind: JoinKind,
    using: &[String],
    cx: &BindContext<'_>,
) -> Result<JoinedFrame> {
    let binder = Binder::new(cx, &NO_SPANS, 0);
    let (left_scope, right_scope) = (scope_of(&left.1), scope_of(&right.1));
    let idents: Vec<Ident> = using.iter().map(|name| Ident::new(name.as_str())).collect();
    let mut merged = Vec::new();
    let condition = binder.using(&idents, &left_scope, &right_scope, &mut merged)?;
    let op = LogicalOp::join(kind.clone(), Some(condition));
    let plan = LogicalPlan::binary(cx.ids.node(), op, left.0, right.0);
    let (plan, scope) = if kind.returns_right() {
        let both = Scope { columns: left_scope.columns.into_iter().chain(right_scope.columns).collect() };
        binder.merge_columns(plan, both, merged, &kind)?
    } else {
        (plan, left_scope)
    };
    let columns = scope.visible().map(|c| (c.name.clone(), c.column.clone())).collect();
    Ok((plan, columns))
}

/// A set operation of two queries that share no column; columns are matched by position.
///
/// Errors: `NUM_COLUMNS_MISMATCH`, `INCOMPATIBLE_COLUMN_TYPE`.
pub fn set_operation(
    left: BoundQuery,
    right: BoundQuery,
    operation: FrameSetOp,
    all: bool,
    cx: &BindContext<'_>,
) -> Result<BoundQuery> {
    let binder = Binder::new(cx, &NO_SPANS, 0);
    let operands = vec![relation(left), relation(right)];
    let result = match operation {
        FrameSetOp::Union => binder.union(operands, all)?,
        FrameSetOp::Intersect => binder.intersect_or_except(operands, SetOperator::Intersect, all)?,
        FrameSetOp::Except => binder.intersect_or_except(operands, SetOperator::Except, all)?,
    };
    Ok(binder.finish(result))
}

/// The rows of a plan without duplicates.
pub fn distinct(plan: LogicalPlan, cx: &BindContext<'_>) -> LogicalPlan {
    Binder::new(cx, &NO_SPANS, 0).distinct(plan)
}

/// The plan without places in a text.
pub fn plan_without_spans(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| {
        let mut node = node.map_expressions(&mut |expr| expr.transform(&mut without_spans));
        if let LogicalOp::Join { kind, .. } | LogicalOp::DependentJoin { kind, .. } = &mut node.op
            && let JoinKind::LeftSingle(span) = kind
        {
            *span = Span::NONE;
        }
        Ok(node)
    })
}

/// The right plan of an operation with fresh ids if it shares some with the left one, as in a self-join, and what became
/// of its columns.
pub fn apart(
    left: &LogicalPlan,
    right: LogicalPlan,
    ids: &IdGenerator,
) -> Result<(LogicalPlan, std::collections::BTreeMap<ColumnId, ColumnId>)> {
    let mut known = std::collections::BTreeSet::new();
    left.visit(&mut |node| {
        known.insert(node.id);
    });
    let mut shared = false;
    right.visit(&mut |node| shared |= known.contains(&node.id));
    if shared { fresh_ids(right, ids) } else { Ok((right, std::collections::BTreeMap::new())) }
}

fn relation(query: BoundQuery) -> Relation {
    Relation { plan: query.plan, columns: query.columns.into_iter().map(|c| (c.name, c.column)).collect() }
}

fn scope_of(columns: &[FrameColumn]) -> Scope {
    let column = |c: &FrameColumn| ScopeColumn {
        qualifier: c.qualifier.iter().map(|q| q.to_string()).collect(),
        name: c.name.clone(),
        column: c.column.clone(),
        hidden: false,
    };
    Scope { columns: columns.iter().map(column).collect() }
}

fn aggregate_without_spans(mut named: NamedAggregate) -> NamedAggregate {
    let strip = |expr: Expr| expr.transform(&mut without_spans);
    named.call.args = named.call.args.into_iter().map(strip).collect();
    named.call.filter = named.call.filter.map(strip);
    named.call.span = Span::NONE;
    named
}

fn window_without_spans(window: PendingWindow) -> PendingWindow {
    let mut strip = |expr: Expr| expr.transform(&mut without_spans);
    PendingWindow {
        call: WindowCall { span: Span::NONE, ..window.call.map_exprs(&mut strip) },
        partition_by: window.partition_by.into_iter().map(&mut strip).collect(),
        order_by: window.order_by.into_iter().map(|key| SortKey { expr: strip(key.expr), ..key }).collect(),
    }
}

/// The parts of a dotted name; backquotes protect dots, and are doubled inside.
fn name_parts(name: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' if quoted && rest.peek() == Some(&'`') => {
                rest.next();
                part.push('`');
            }
            '`' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::name_parts;

    #[test]
    fn names_have_parts() {
        assert_eq!(name_parts("a"), ["a"]);
        assert_eq!(name_parts("t.a b"), ["t", "a b"]);
        assert_eq!(name_parts("`x.y`.`a``b`"), ["x.y", "a`b"]);
    }
}
