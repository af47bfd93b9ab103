//! Groups below a join what is grouped above it anyway.
//!
//! `SELECT c_name, sum(o_total) FROM orders JOIN customer … GROUP BY c_name` joins each order. Grouped by their customer first,
//! there is one row to join for each customer, and a name is hashed as often. The rows of one such group meet the same
//! partners, since all columns that anything above reads are among its keys: what the aggregate sees of the group is its
//! part, as often as the group has partners. (Yan and Larson, "Eager Aggregation and Lazy Aggregation", VLDB 1995.)
//!
//! Algorithm: from the aggregate down through joins, along the side that all arguments come from (those of `min` and the like
//! may come from anywhere, since repeated values do not matter to them); the deepest input of a join that pays is grouped, by
//! those of its columns that are read above it.
//!
//! Invariant: what is computed for rows that the join would have dropped cannot fail. On the side of an outer join that may
//! be missing, arguments are NULL if it is, as their parts are.
//!
//! It pays ([`pays`]) where the join drops few rows and groups have many, since it adds a grouping; where the result has far
//! fewer groups than the join has keys, tables of the keys must besides stay in the cache. Guesses do not count ([`joins_groups`]).

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Error, Result, Scalar, SqlType};
use firesteel_expr::evaluator::cannot_fail;
use firesteel_expr::{AggregateCall, ColumnRef, Expr, NamedAggregate};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use super::split_aggregates::{is_splittable, split};
use crate::rule::{OptimizerContext, OptimizerRule};
use crate::statistics::estimate;
use crate::util::{
    ColumnMap, column_set, ignores_duplicates, is_deterministic, is_strict, pass, substitute, touches, within,
};

/// Below so many rows a further exchange costs more than it saves.
const LEAST_ROWS: f64 = 100_000.0;
/// The smallest share of the rows that the join keeps.
const KEPT: f64 = 0.7;
/// Rows of a group, on average, where the result has about as many groups.
const ROWS_OF_GROUP: f64 = 4.0;
/// Rows of a group where the result has far fewer groups, so that to group the joined rows is cheap.
const ROWS_OF_FINER_GROUP: f64 = 16.0;
/// Groups of which partial tables stay in the cache.
const CACHED_GROUPS: f64 = 262_144.0;

/// Groups inputs of joins by what is read of them above.
pub(crate) struct EagerAggregation;

impl OptimizerRule for EagerAggregation {
    fn name(&self) -> &'static str {
        "EagerAggregation"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| match best(&node, cx) {
            Some(grouped) => grouped.apply(node, cx),
            None => Ok(node),
        })
    }
}

/// An aggregate on the way down.
#[derive(Clone)]
struct Call {
    aggregate: NamedAggregate,
    /// It stays above: what it reads is needed there. So may those that repeated values do not matter to.
    whole: bool,
}

/// A node on the way down.
struct Level<'a> {
    node: &'a LogicalPlan,
    /// Which input of the node above it is.
    side: usize,
    /// Columns that are read above, not by the arguments of parts.
    needed: BTreeSet<ColumnId>,
    /// The aggregates, in columns of this node.
    calls: Vec<Call>,
    /// Whether a join above may return NULLs instead of its rows.
    missing: bool,
}

/// The deepest place on the way down from an aggregate, `top`, where grouping is possible and pays.
fn best(top: &LogicalPlan, cx: &OptimizerContext<'_>) -> Option<Grouped> {
    let levels: Vec<Level<'_>> = std::iter::successors(Level::first(top, cx), |level| level.below(cx)).collect();
    (1..levels.len()).rev().find_map(|i| {
        let (above, level) = (levels[i - 1].node, &levels[i]);
        if !matches!(above.op, LogicalOp::Join { .. }) {
            return None;
        }
        let keys = level.keys(cx).filter(|keys| cx.config.force_adaptive || pays(level.node, above, keys, top, cx))?;
        Grouped::new(&levels[..=i], level, keys, cx)
    })
}

impl<'a> Level<'a> {
    fn first(node: &'a LogicalPlan, cx: &OptimizerContext<'_>) -> Option<Self> {
        let LogicalOp::Aggregate { keys, aggregates } = &node.op else { return None };
        let call = |aggregate: &NamedAggregate| {
            let whole = ignores_duplicates(&aggregate.call, cx) && !is_splittable(&aggregate.call);
            Call { aggregate: aggregate.clone(), whole }
        };
        if keys.is_empty() || !node.expressions().into_iter().all(|e| is_deterministic(e, cx)) {
            return None;
        }
        let calls: Vec<Call> = aggregates.iter().map(call).collect();
        let whole = calls.iter().filter(|call| call.whole).flat_map(Call::inputs);
        let needed = ids(keys.iter().map(|(_, key)| key).chain(whole)).collect();
        let node = node.inputs.first().filter(|input| !joins_groups(input))?;
        Some(Level { node, side: 0, needed, calls, missing: false })
    }

    /// The next node down, if rows of this one that agree in what is needed of them may be put together below it.
    fn below(&self, cx: &OptimizerContext<'_>) -> Option<Level<'a>> {
        let node = self.node;
        if !node.expressions().into_iter().all(|e| is_deterministic(e, cx)) {
            return None;
        }
        let mut needed: BTreeSet<ColumnId> = match &node.op {
            LogicalOp::Project { exprs } => {
                ids(exprs.iter().filter(|(c, _)| self.needed.contains(&c.id)).map(|(_, e)| e)).collect()
            }
            _ => self.needed.iter().copied().chain(ids(node.expressions())).collect(),
        };
        let mut calls = self.calls.clone();
        let (mut side, mut missing) = (0, self.missing);
        match &node.op {
            LogicalOp::Filter { .. } => {}
            LogicalOp::Project { exprs } => {
                let map: ColumnMap = exprs.iter().map(|(c, e)| (c.id, e.clone())).collect();
                calls.iter_mut().for_each(|call| call.substitute(&map));
            }
            LogicalOp::Join { kind, .. } => {
                let may_miss;
                (side, may_miss) = self.side_of_arguments(kind, cx)?;
                missing |= may_miss;
                let own = column_set(node.inputs.get(side)?);
                for call in calls.iter_mut().filter(|call| !call.whole && !call.is_within(&own)) {
                    call.whole = true;
                    needed.extend(ids(call.inputs()));
                }
            }
            _ => return None,
        }
        Some(Level { node: node.inputs.get(side)?, side, needed, calls, missing })
    }

    /// The side of a join that all arguments come from, and whether its rows may be missing. Where nothing is read, as by
    /// `count(*)`, the larger one whose rows are not.
    fn side_of_arguments(&self, kind: &JoinKind, cx: &OptimizerContext<'_>) -> Option<(usize, bool)> {
        let missing = match kind {
            JoinKind::Inner => [Some(false), Some(false)],
            JoinKind::Left => [Some(false), Some(true)],
            JoinKind::Right => [Some(true), Some(false)],
            JoinKind::Full => [Some(true), Some(true)],
            JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftSingle(_) | JoinKind::Mark(_) => {
                [Some(false), None]
            }
        };
        let [left, right] = self.node.inputs.as_slice() else { return None };
        let parts: Vec<&Call> =
            self.calls.iter().filter(|call| !call.whole && !ignores_duplicates(&call.aggregate.call, cx)).collect();
        let possible = |side: usize, input: &LogicalPlan| {
            let own = column_set(input);
            let counts_rows = |call: &&Call| ids(call.inputs()).next().is_none();
            match missing[side] {
                None => false,
                Some(true) if parts.iter().any(counts_rows) => false,
                _ => parts.iter().all(|call| call.is_within(&own)),
            }
        };
        let side = match (possible(0, left), possible(1, right)) {
            (true, true) => usize::from(estimate(right, cx).rows > estimate(left, cx).rows),
            (true, false) => 0,
            (false, true) => 1,
            (false, false) => return None,
        };
        Some((side, missing[side]?))
    }

    /// What this node's rows are grouped by, if they can be.
    fn keys(&self, cx: &OptimizerContext<'_>) -> Option<Vec<ColumnRef>> {
        let own = column_set(self.node);
        let is_null = |arg: &Expr| touches(arg, &own) && is_strict(arg, &own, cx);
        let is_part = |part: &Call| {
            let call = &part.aggregate.call;
            let may_miss = !self.missing || call.args.len() == 1 && call.args.iter().all(is_null);
            let is_safe = part.inputs().all(|e| cannot_fail(e, cx.eval)) && self.fits(call, cx);
            part.whole || is_splittable(call) && may_miss && is_safe
        };
        let keys: Vec<ColumnRef> = self.node.columns().into_iter().filter(|c| self.needed.contains(&c.id)).collect();
        // 0.0 and -0.0 are one group, but not one text.
        let is_exact = keys.iter().all(|key| !key.ty.is_float());
        (!keys.is_empty() && is_exact && self.calls.iter().all(is_part)).then_some(keys)
    }

    /// Whether a sum of rows that the join would have dropped cannot overflow.
    fn fits(&self, call: &AggregateCall, cx: &OptimizerContext<'_>) -> bool {
        let [arg] = call.args.as_slice() else { return true };
        match (&*call.function, arg.ty()) {
            ("sum", SqlType::Decimal(precision, _)) => precision <= 28,
            ("sum", SqlType::BigInt) => self.sum_is_small(arg, cx).unwrap_or(false),
            ("sum", ty) => ty.is_integer() || ty.is_float(),
            _ => true,
        }
    }

    /// Whether the bounds of a column of a table say that no sum of its rows leaves the range of BIGINT.
    fn sum_is_small(&self, arg: &Expr, cx: &OptimizerContext<'_>) -> Option<bool> {
        let LogicalOp::Scan(scan) = &self.node.op else { return None };
        let table = cx.tables.statistics(&scan.table).filter(|table| table.exact)?;
        let id = arg.as_column()?.id;
        let at = scan.source.iter().position(|c| c.id == id)?;
        let column = table.columns.get(at)?;
        let bound = |of: &Option<Scalar>| match of {
            Some(Scalar::BigInt(value)) => Some(value.unsigned_abs() as u128),
            _ => None,
        };
        let most = bound(&column.min)?.max(bound(&column.max)?);
        Some(most * u128::from(table.rows?) <= i64::MAX as u128)
    }
}

/// An aggregate in two, and where its lower part goes.
struct Grouped {
    /// The way down: which input is taken, and what is needed of what is found there.
    way: Vec<(usize, BTreeSet<ColumnId>)>,
    keys: Vec<ColumnRef>,
    below: Vec<NamedAggregate>,
    above: Vec<NamedAggregate>,
    /// The results.
    values: Vec<(ColumnRef, Expr)>,
}

impl Grouped {
    /// `levels` are those down to `level`, whose node is grouped by `keys`.
    fn new(levels: &[Level<'_>], level: &Level<'_>, keys: Vec<ColumnRef>, cx: &OptimizerContext<'_>) -> Option<Self> {
        // What stays above is read there from whatever it is called there.
        let needed = |l: &Level<'_>| {
            let whole = l.calls.iter().zip(&level.calls).filter(|(_, end)| end.whole);
            l.needed.iter().copied().chain(ids(whole.flat_map(|(call, _)| call.inputs()))).collect()
        };
        let way = levels.iter().map(|level| (level.side, needed(level))).collect();
        let mut grouped = Grouped { way, keys, below: Vec::new(), above: Vec::new(), values: Vec::new() };
        for (first, end) in levels.first()?.calls.iter().zip(&level.calls) {
            let column = first.aggregate.column.clone();
            if end.whole {
                grouped.values.push((column.clone(), Expr::Column(column)));
                grouped.above.push(first.aggregate.clone());
                continue;
            }
            let split = split(&end.aggregate.call, &column.name, cx)?;
            grouped.values.push((column, split.value));
            grouped.below.extend(split.below);
            grouped.above.extend(split.above);
        }
        Some(grouped)
    }

    /// `node` is the aggregate.
    fn apply(self, node: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        let LogicalPlan { id, op: LogicalOp::Aggregate { keys, .. }, mut inputs } = node else {
            return Err(Error::internal("parts of what is no aggregate"));
        };
        let input = inputs.pop().ok_or_else(|| Error::internal("an aggregate lacks its input"))?;
        let input = self.rebuilt(input, &self.way, cx)?;
        let output = pass(keys.iter().map(|(c, _)| c.clone())).into_iter().chain(self.values).collect();
        let op = LogicalOp::Aggregate { keys, aggregates: self.above };
        let top = LogicalPlan { id, op, inputs: vec![input] };
        Ok(LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs: output }, top))
    }

    /// The nodes along the way, with the last one grouped. Projections pass the parts on, and no longer make arguments.
    fn rebuilt(
        &self,
        mut node: LogicalPlan,
        way: &[(usize, BTreeSet<ColumnId>)],
        cx: &OptimizerContext<'_>,
    ) -> Result<LogicalPlan> {
        let [(_, needed), rest @ ..] = way else { return Err(Error::internal("a way down that ends early")) };
        let Some((side, _)) = rest.first() else {
            let op = LogicalOp::Aggregate { keys: pass(self.keys.clone()), aggregates: self.below.clone() };
            return Ok(LogicalPlan::unary(cx.ids.node(), op, node));
        };
        if let LogicalOp::Project { exprs } = &mut node.op {
            exprs.retain(|(c, _)| needed.contains(&c.id));
            exprs.extend(pass(self.below.iter().map(|part| part.column.clone())));
        }
        let mut at = 0..;
        node.try_map_inputs(&mut |input| {
            if at.next() == Some(*side) { self.rebuilt(input, rest, cx) } else { Ok(input) }
        })
    }
}

/// Whether to group `node` by `keys` below `join` and `top`, the aggregate, takes less time than it saves.
fn pays(
    node: &LogicalPlan,
    join: &LogicalPlan,
    keys: &[ColumnRef],
    top: &LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> bool {
    let stats = estimate(node, cx);
    let is_known = |key: &ColumnRef| stats.columns.get(&key.id).is_some_and(|c| c.distinct.is_some());
    let joined = || top.inputs.first().map_or(0.0, |joined| estimate(joined, cx).rows);
    if stats.rows < LEAST_ROWS || !keys.iter().all(is_known) || joined() < KEPT * stats.rows {
        return false;
    }
    // Over the join, since its other side may say more of how many keys there are.
    let op = LogicalOp::Aggregate { keys: pass(keys.iter().cloned()), aggregates: Vec::new() };
    let groups = estimate(&LogicalPlan { id: join.id, op, inputs: vec![join.clone()] }, cx).rows.max(1.0);
    let rows = stats.rows / groups;
    let about_as_many = groups <= ROWS_OF_GROUP * estimate(top, cx).rows;
    rows >= ROWS_OF_GROUP && about_as_many || rows >= ROWS_OF_FINER_GROUP && groups <= CACHED_GROUPS
}

impl Call {
    fn inputs(&self) -> impl Iterator<Item = &Expr> {
        self.aggregate.call.args.iter().chain(&self.aggregate.call.filter)
    }

    fn is_within(&self, columns: &BTreeSet<ColumnId>) -> bool {
        self.inputs().all(|e| within(e, columns))
    }

    fn substitute(&mut self, map: &ColumnMap) {
        let call = &mut self.aggregate.call;
        call.args.iter_mut().chain(&mut call.filter).for_each(|e| *e = substitute(e.clone(), map));
    }
}

fn ids<'e>(exprs: impl IntoIterator<Item = &'e Expr>) -> impl Iterator<Item = ColumnId> {
    exprs.into_iter().flat_map(Expr::columns).map(|c| c.id)
}

/// Whether groups are joined. How many there are is a guess, and they may be this rule's own.
fn joins_groups(plan: &LogicalPlan) -> bool {
    match &plan.op {
        LogicalOp::Aggregate { .. } => true,
        LogicalOp::Join { .. } | LogicalOp::Project { .. } | LogicalOp::Filter { .. } => {
            plan.inputs.iter().any(joins_groups)
        }
        _ => false,
    }
}
