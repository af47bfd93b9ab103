//! An aggregate that is joined with the rows it was computed from becomes a window over them.
//!
//! `… FROM t, r WHERE t.k = r.k AND t.v < (SELECT avg(v) FROM t WHERE t.k = r.k)` is, without its subquery, a join of `r`, of
//! `t`, and of the averages of `t` by `k`. Each row of `t` meets the average of its own group, which a window over `t` has
//! without a second scan. What `r` says of `k` reaches the scan as a runtime filter, since groups go missing as a whole.
//! (Zuzarte et al., "WinMagic: Subquery Elimination Using Window Aggregation", SIGMOD 2003.)
//!
//! Algorithm, for a leaf of a region that is an aggregate over scans and their inner joins:
//! - each of its scans is another leaf of the region that scans the same table ([`twins`]);
//! - what holds of the aggregate's rows holds of the region's, too; what the region says besides stays above the window;
//! - each group key is, in the region, equal to the column it was made of;
//! - another leaf leaves few of the values of a key, so that few rows are kept for the window ([`MOST_KEYS`]);
//! - no result of the aggregate is a join key, such as the least price that a row must have: the results are then a filter that
//!   makes the second scan short.
//!
//! Then one leaf takes the place of all of these: the aggregate's own input under a window, under a projection to the columns
//! that the leaves had.

use std::collections::BTreeMap;

use firesteel_common::ColumnId;
use firesteel_expr::{ColumnRef, Expr, Frame, NamedAggregate, WindowCall, WindowFunction, op};
use firesteel_plan::{JoinHint, JoinKind, LogicalOp, LogicalPlan, Scan};

use super::region::{Equalities, Leaf};
use crate::rule::OptimizerContext;
use crate::util::{ColumnMap, is_deterministic, key_predicate, pass, substitute};

/// The greatest share of the values of a key that may be left for the window: more rows cost more to keep and to order than
/// to read again.
const MOST_KEYS: f64 = 0.125;

/// Replaces the first aggregate that can be; whether there was one.
pub(super) fn fold(leaves: &mut Vec<Leaf>, conjuncts: &mut Vec<Expr>, cx: &OptimizerContext<'_>) -> bool {
    let folded = (0..leaves.len()).find_map(|i| Fold::of(i, leaves, conjuncts, cx));
    let Some(Fold { grouped, twins, keys, below, above }) = folded else { return false };
    let plan = Grouping::of(&leaves[grouped]).and_then(|grouping| windowed(&grouping, &twins, leaves, cx));
    let Some(plan) = plan else { return false };
    let stays = |i: usize| i != grouped && twins.iter().all(|twin| twin.leaf != i);
    let all = std::mem::take(leaves).into_iter().enumerate();
    leaves.extend(all.filter(|(i, _)| stays(*i)).map(|(_, leaf)| leaf));
    leaves.push(Leaf::new(plan, cx));
    conjuncts.extend(above);
    let same: Vec<Expr> = std::mem::take(conjuncts).into_iter().map(|conjunct| substitute(conjunct, &keys)).collect();
    let said = Equalities::of(&below);
    for conjunct in same {
        let conjunct = match conjunct.as_call(op::EQ) {
            Some([Expr::Column(a), Expr::Column(b)]) if a.id == b.id => {
                Expr::predicate(op::IS_NOT_NULL, vec![Expr::Column(a.clone())])
            }
            _ => conjunct,
        };
        let is_known = below.contains(&conjunct) || said.says(&conjunct) || conjuncts.contains(&conjunct);
        if !is_known {
            conjuncts.push(conjunct);
        }
    }
    true
}

/// What is replaced, and by what.
struct Fold {
    /// The aggregate, among the leaves.
    grouped: usize,
    twins: Vec<Twin>,
    /// By output column of the aggregate: the column of the region that a group key is equal to.
    keys: ColumnMap,
    /// What the aggregate's input says of its rows, in columns of the region.
    below: Vec<Expr>,
    /// What the leaves that go say besides.
    above: Vec<Expr>,
}

/// A scan below the aggregate, and the leaf that scans the same table.
struct Twin {
    leaf: usize,
    /// By column of the leaf's table: the column of the scan.
    inner: BTreeMap<ColumnId, ColumnRef>,
}

impl Fold {
    fn of(grouped: usize, leaves: &[Leaf], conjuncts: &[Expr], cx: &OptimizerContext<'_>) -> Option<Fold> {
        let grouping = Grouping::of(&leaves[grouped])?;
        let is_plain = |aggregate: &NamedAggregate| {
            let call = &aggregate.call;
            !call.distinct && call.args.iter().chain(&call.filter).all(|e| is_deterministic(e, cx))
        };
        if grouping.keys.is_empty() || !grouping.aggregates.iter().all(is_plain) {
            return None;
        }
        let mut block = Block::default();
        block.add(grouping.input, cx)?;
        let found = twins(&block, grouped, leaves)?;
        let outer = block.seen_from_outside(&found, leaves);

        let mut known = conjuncts.to_vec();
        known.extend(found.iter().filter_map(|twin| scan(&leaves[twin.leaf])).flat_map(|scan| scan.filters.clone()));
        let equal = Equalities::of(&known);
        let holds = |condition: &Expr| known.contains(condition) || equal.says(condition);
        let below: Vec<Expr> = block.conditions.into_iter().map(|c| substitute(c, &outer)).collect();
        if !below.iter().all(holds) {
            return None;
        }
        let mut own = ColumnMap::new();
        for (column, key) in grouping.keys {
            let (seen, key) = (grouping.seen_as(column)?, outer.get(&key.as_column()?.id)?);
            if !equal.says(&Expr::eq(Expr::Column(seen.clone()), key.clone())) {
                return None;
            }
            own.insert(seen.id, key.clone());
        }
        let is_result = |e: &Expr| match e.as_column() {
            Some(column) => leaves[grouped].columns.contains(&column.id) && !own.contains_key(&column.id),
            None => false,
        };
        if conjuncts.iter().any(|c| c.as_call(op::EQ).is_some_and(|sides| sides.iter().any(is_result))) {
            return None;
        }
        let of_twins = |i: &usize| found.iter().any(|twin| twin.leaf == *i);
        let others: Vec<&Leaf> =
            (0..leaves.len()).filter(|i| *i != grouped && !of_twins(i)).map(|i| &leaves[i]).collect();
        let few = own.values().filter_map(Expr::as_column).any(|key| {
            let all = found.iter().find_map(|twin| leaves[twin.leaf].stats.columns.get(&key.id)?.distinct);
            all.is_some_and(|all| {
                others.iter().any(|leaf| rows_by(key, leaf, &equal).is_some_and(|rows| rows <= MOST_KEYS * all))
            })
        });
        let said = found.iter().filter_map(|twin| scan(&leaves[twin.leaf])).flat_map(|scan| scan.filters.iter());
        let above = said.filter(|said| !below.contains(said)).cloned().collect();
        few.then_some(Fold { grouped, twins: found, keys: own, below, above })
    }
}

/// How many rows say which values of `key` are left, if the leaf is joined by it: no fewer than values.
fn rows_by(key: &ColumnRef, leaf: &Leaf, equal: &Equalities) -> Option<f64> {
    let joined = leaf.existence.is_none() && leaf.columns.iter().any(|id| equal.are(*id, key.id));
    joined.then_some(leaf.stats.rows)
}

/// A scan whose rows are not counted by a limit.
fn scan(leaf: &Leaf) -> Option<&Scan> {
    match &leaf.plan.op {
        LogicalOp::Scan(scan) if scan.limit.is_none() && leaf.existence.is_none() && leaf.hint.is_none() => Some(scan),
        _ => None,
    }
}

/// A leaf that is an aggregate, or a projection over one.
struct Grouping<'a> {
    leaf: &'a LogicalPlan,
    project: Option<&'a [(ColumnRef, Expr)]>,
    aggregate: &'a LogicalPlan,
    keys: &'a [(ColumnRef, Expr)],
    aggregates: &'a [NamedAggregate],
    input: &'a LogicalPlan,
}

impl<'a> Grouping<'a> {
    fn of(leaf: &'a Leaf) -> Option<Self> {
        if leaf.existence.is_some() || leaf.hint.is_some() {
            return None;
        }
        let leaf = &leaf.plan;
        let (project, aggregate) = match &leaf.op {
            LogicalOp::Project { exprs } => (Some(exprs.as_slice()), leaf.inputs.first()?),
            _ => (None, leaf),
        };
        let LogicalOp::Aggregate { keys, aggregates } = &aggregate.op else { return None };
        Some(Self { leaf, project, aggregate, keys, aggregates, input: aggregate.inputs.first()? })
    }

    /// The output column of the leaf that is the column `key` of its aggregate.
    fn seen_as<'b>(&'b self, key: &'b ColumnRef) -> Option<&'b ColumnRef> {
        let Some(project) = self.project else { return Some(key) };
        let passes = |e: &Expr| e.as_column().is_some_and(|c| c.id == key.id);
        project.iter().find(|(_, e)| passes(e)).map(|(column, _)| column)
    }
}

/// What an aggregate reads.
#[derive(Default)]
struct Block<'a> {
    scans: Vec<&'a Scan>,
    /// What holds of its rows.
    conditions: Vec<Expr>,
}

impl<'a> Block<'a> {
    /// Adds what is below `plan`; nothing if there is anything but scans, filters and inner joins.
    fn add(&mut self, plan: &'a LogicalPlan, cx: &OptimizerContext<'_>) -> Option<()> {
        match &plan.op {
            LogicalOp::Scan(scan) if scan.limit.is_none() => {
                self.scans.push(scan);
                self.conditions.extend(scan.filters.iter().cloned());
            }
            LogicalOp::Filter { predicate } if is_deterministic(predicate, cx) => {
                self.conditions.extend(predicate.clone().conjuncts());
            }
            LogicalOp::Join { kind: JoinKind::Inner, on, residual, hint, .. }
                if *hint == JoinHint::NONE && super::reorders(plan, cx) =>
            {
                self.conditions.extend(on.iter().cloned().map(key_predicate));
                self.conditions.extend(residual.clone().map(Expr::conjuncts).unwrap_or_default());
            }
            _ => return None,
        }
        plan.inputs.iter().try_for_each(|input| self.add(input, cx))
    }

    /// By column of a scan: the column of the leaf of the same table.
    fn seen_from_outside(&self, twins: &[Twin], leaves: &[Leaf]) -> ColumnMap {
        let pairs = self.scans.iter().zip(twins);
        let columns =
            pairs.filter_map(|(inner, twin)| Some(inner.source.iter().zip(&scan(&leaves[twin.leaf])?.source)));
        columns.flatten().map(|(inner, outer)| (inner.id, Expr::Column(outer.clone()))).collect()
    }
}

/// A leaf of the same table for each scan, no leaf twice. Where a table is there several times, the leaf is taken that has all
/// conditions that the scan has alone, if there is one.
fn twins(block: &Block<'_>, grouped: usize, leaves: &[Leaf]) -> Option<Vec<Twin>> {
    let mut found: Vec<Twin> = Vec::new();
    for inner in &block.scans {
        let free = (0..leaves.len()).filter(|i| *i != grouped && found.iter().all(|twin| twin.leaf != *i));
        let same = free.filter_map(|leaf| Some((leaf, scan(&leaves[leaf])?))).filter(|(_, s)| s.table == inner.table);
        let filtered = |outer: &Scan| {
            let pairs = inner.source.iter().zip(&outer.source);
            let map: ColumnMap = pairs.map(|(i, o)| (i.id, Expr::Column(o.clone()))).collect();
            inner.filters.iter().all(|f| outer.filters.contains(&substitute(f.clone(), &map)))
        };
        let (leaf, outer) = same.max_by_key(|(leaf, outer)| (filtered(outer), std::cmp::Reverse(*leaf)))?;
        let columns = outer.source.iter().zip(&inner.source).map(|(o, i)| (o.id, i.clone()));
        found.push(Twin { leaf, inner: columns.collect() });
    }
    Some(found)
}

/// The aggregate's input under a window, with the columns of all leaves that it replaces.
fn windowed(
    grouping: &Grouping<'_>,
    twins: &[Twin],
    leaves: &[Leaf],
    cx: &OptimizerContext<'_>,
) -> Option<LogicalPlan> {
    let Grouping { leaf, project, aggregate, keys, aggregates, input } = *grouping;
    let mut outputs: Vec<(ColumnRef, Expr)> = Vec::new();
    for twin in twins {
        let outer = scan(&leaves[twin.leaf])?;
        let filtered = outer.filters.iter().flat_map(Expr::columns);
        for column in outer.columns.iter().cloned().chain(filtered) {
            if !outputs.iter().any(|(known, _)| known.id == column.id) {
                let inner = twin.inner.get(&column.id)?.clone();
                outputs.push((column, Expr::Column(inner)));
            }
        }
    }
    let read: Vec<ColumnRef> = outputs.iter().filter_map(|(_, e)| e.as_column().cloned()).collect();
    let input = input.clone().transform_up(&mut |mut node| {
        if let LogicalOp::Scan(scan) = &mut node.op {
            let more = read.iter().filter(|c| scan.source.iter().any(|s| s.id == c.id));
            let new: Vec<ColumnRef> = more.filter(|c| !scan.columns.iter().any(|s| s.id == c.id)).cloned().collect();
            scan.columns.extend(new);
        }
        Ok(node)
    });
    let call = |NamedAggregate { column, call }: &NamedAggregate| WindowCall {
        column: column.clone(),
        function: WindowFunction::Aggregate(call.clone()),
        frame: Frame::whole(),
        span: call.span,
    };
    let window = LogicalOp::Window {
        partition_by: keys.iter().map(|(_, key)| key.clone()).collect(),
        order_by: Vec::new(),
        calls: aggregates.iter().map(call).collect(),
    };
    let window = LogicalPlan::unary(aggregate.id, window, input.ok()?);
    let columns = outputs.iter().map(|(column, _)| column.clone()).collect::<Vec<_>>();
    outputs.extend(keys.iter().cloned());
    outputs.extend(pass(aggregates.iter().map(|a| a.column.clone())));
    let plain = LogicalPlan::unary(cx.ids.node(), LogicalOp::Project { exprs: outputs }, window);
    let Some(exprs) = project else { return Some(plain) };
    let exprs = pass(columns).into_iter().chain(exprs.iter().cloned()).collect();
    Some(LogicalPlan::unary(leaf.id, LogicalOp::Project { exprs }, plain))
}
