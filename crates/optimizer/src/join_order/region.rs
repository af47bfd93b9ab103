//! Regions of joins: taken apart and put together.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ColumnId, NodeId};
use firesteel_expr::{Expr, op};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, JoinStrategy, LogicalOp, LogicalPlan, Statistics};

use super::enumerate::{Set, Tree};
use super::{reorders, windows};
use crate::adversary::Adversary;
use crate::rule::OptimizerContext;
use crate::statistics::estimate;
use crate::util::{as_join_key, column_set, filter, key_predicate, same_shape, touches};

/// Something that is joined.
pub(super) struct Leaf {
    /// The plan.
    pub(super) plan: LogicalPlan,
    /// What is believed of its rows.
    pub(super) stats: Statistics,
    /// Its output columns.
    pub(super) columns: BTreeSet<ColumnId>,
    /// What the user asks for, for its join.
    pub(super) hint: Option<JoinStrategy>,
    /// For the right input of a semi or anti join: how it is joined.
    pub(super) existence: Option<Existence>,
}

/// A semi or anti join of a region.
pub(super) struct Existence {
    /// The kind.
    pub(super) kind: JoinKind,
    /// Keys.
    pub(super) on: Vec<JoinKey>,
    /// The rest of the condition.
    pub(super) residual: Option<Expr>,
    /// As in the node.
    pub(super) null_aware: bool,
    /// Leaves that must have been joined before.
    pub(super) needs: Set,
}

/// A predicate of a region.
pub(super) struct Predicate {
    /// What must hold.
    pub(super) expr: Expr,
    /// Leaves that it reads.
    pub(super) leaves: Set,
}

/// Joins that may be put in another order.
pub(super) struct Region {
    /// What is joined.
    pub(super) leaves: Vec<Leaf>,
    /// What must hold of inner joins and filters.
    pub(super) predicates: Vec<Predicate>,
    /// Node ids of the joins there were, by the leaves below them.
    nodes: BTreeMap<Set, NodeId>,
    /// Node ids of filters there were.
    filters: Vec<NodeId>,
}

/// Takes a region apart.
pub(super) fn collect(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Region {
    let (region, conjuncts) = parts(plan, cx);
    complete(region, conjuncts)
}

/// Takes a region apart in which an aggregate becomes a window over other leaves; nothing if there is none.
pub(super) fn folded(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Option<Region> {
    let (mut region, mut conjuncts) = parts(plan, cx);
    let mut any = false;
    while windows::fold(&mut region.leaves, &mut conjuncts, cx) {
        any = true;
    }
    any.then(|| {
        region.nodes.clear();
        complete(region, conjuncts)
    })
}

/// Leaves in the order in which they are joined, and what the region says of them.
fn parts(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> (Region, Vec<Expr>) {
    let mut region = Region { leaves: Vec::new(), predicates: Vec::new(), nodes: BTreeMap::new(), filters: Vec::new() };
    let mut conjuncts = Vec::new();
    gather(plan, &mut region, &mut conjuncts, cx);
    (region, conjuncts)
}

fn complete(mut region: Region, mut conjuncts: Vec<Expr>) -> Region {
    region.renumber();
    for existence in 0..region.leaves.len() {
        let Some(join) = &region.leaves[existence].existence else { continue };
        let mut exprs: Vec<&Expr> = join.on.iter().map(|k| &k.left).collect();
        exprs.extend(&join.residual);
        let own = existence;
        let needs = Set::of((0..region.leaves.len()).filter(|i| {
            *i != own
                && region.leaves[*i].existence.is_none()
                && exprs.iter().any(|e| touches(e, &region.leaves[*i].columns))
        }));
        if let Some(join) = &mut region.leaves[existence].existence {
            join.needs = needs;
        }
    }
    let given = conjuncts.len();
    derive_equalities(&mut conjuncts);
    for (i, expr) in conjuncts.into_iter().enumerate() {
        let leaves = Set::of(
            (0..region.leaves.len())
                .filter(|i| region.leaves[*i].existence.is_none() && touches(&expr, &region.leaves[*i].columns)),
        );
        // What is derived helps to find orders; it is no reason to filter a leaf.
        if i < given || leaves.len() > 1 {
            region.predicates.push(Predicate { expr, leaves });
        }
    }
    // Of equal columns the search compares the first pair; which one that is must not depend on the order there was.
    region.predicates.sort_by_key(|predicate| equal_columns(&predicate.expr));
    region
}

/// The columns that an equality says are equal, the lesser first.
fn equal_columns(expr: &Expr) -> Option<(ColumnId, ColumnId)> {
    let Some([Expr::Column(a), Expr::Column(b)]) = expr.as_call(op::EQ) else { return None };
    Some((a.id.min(b.id), a.id.max(b.id)))
}

impl Region {
    /// Numbers the leaves by their columns, not by their places in the tree: the search then gives the
    /// same result for its own result.
    fn renumber(&mut self) {
        let mut order: Vec<usize> = (0..self.leaves.len()).collect();
        order.sort_by_key(|i| (self.leaves[*i].columns.first().copied(), self.leaves[*i].plan.id));
        let mut leaves: Vec<Option<Leaf>> = std::mem::take(&mut self.leaves).into_iter().map(Some).collect();
        self.leaves = order.iter().filter_map(|i| leaves[*i].take()).collect();
        let renumbered = |set: Set| Set::of((0..order.len()).filter(|new| set.contains(order[*new])));
        self.nodes = std::mem::take(&mut self.nodes).into_iter().map(|(set, id)| (renumbered(set), id)).collect();
    }
}

/// Adds the leaves and predicates of `plan`; returns the leaves below it.
fn gather(plan: &LogicalPlan, region: &mut Region, conjuncts: &mut Vec<Expr>, cx: &OptimizerContext<'_>) -> Set {
    match &plan.op {
        LogicalOp::Filter { predicate } if super::is_root(plan, cx) => {
            region.filters.push(plan.id);
            conjuncts.extend(predicate.clone().conjuncts());
            gather(&plan.inputs[0], region, conjuncts, cx)
        }
        LogicalOp::Join { kind, on, residual, null_aware, hint } if reorders(plan, cx) => {
            let left = gather_input(&plan.inputs[0], hint.left, region, conjuncts, cx);
            let all = if matches!(kind, JoinKind::Inner) {
                conjuncts.extend(on.iter().cloned().map(key_predicate));
                conjuncts.extend(residual.clone().map(Expr::conjuncts).unwrap_or_default());
                left.union(gather_input(&plan.inputs[1], hint.right, region, conjuncts, cx))
            } else {
                let existence = Existence {
                    kind: kind.clone(),
                    on: on.clone(),
                    residual: residual.clone(),
                    null_aware: *null_aware,
                    needs: Set::EMPTY,
                };
                left.union(add_leaf(&plan.inputs[1], hint.right, Some(existence), region, cx))
            };
            region.nodes.insert(all, plan.id);
            all
        }
        _ => add_leaf(plan, None, None, region, cx),
    }
}

/// An input of a join. A hint is about the whole of it, so that it stays together.
fn gather_input(
    plan: &LogicalPlan,
    hint: Option<JoinStrategy>,
    region: &mut Region,
    conjuncts: &mut Vec<Expr>,
    cx: &OptimizerContext<'_>,
) -> Set {
    match hint {
        Some(_) => add_leaf(plan, hint, None, region, cx),
        None => gather(plan, region, conjuncts, cx),
    }
}

fn add_leaf(
    plan: &LogicalPlan,
    hint: Option<JoinStrategy>,
    existence: Option<Existence>,
    region: &mut Region,
    cx: &OptimizerContext<'_>,
) -> Set {
    let index = region.leaves.len();
    region.leaves.push(Leaf { hint, existence, ..Leaf::new(plan.clone(), cx) });
    Set::single(index)
}

impl Leaf {
    /// A leaf that is joined in any way.
    pub(super) fn new(plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Self {
        let (stats, columns) = (believed(&plan, cx), column_set(&plan));
        Self { stats, columns, plan, hint: None, existence: None }
    }

    /// Puts another plan of the same rows in the place of the leaf's. It is looked at again: what is believed of joins
    /// depends on their order, and the search must give the same result for its own result.
    pub(super) fn replace(&mut self, plan: LogicalPlan, cx: &OptimizerContext<'_>) {
        if !same_shape(&plan, &self.plan) {
            self.stats = believed(&plan, cx);
        }
        self.plan = plan;
    }
}

/// What is believed of the rows of a leaf.
fn believed(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Statistics {
    let mut stats = estimate(plan, cx);
    if let Some(adversary) = Adversary::of(cx.config) {
        let first = plan.columns().iter().map(|column| column.id).min();
        stats.rows = adversary.belief(&format!("leaf {first:?}"), stats.rows);
    }
    stats
}

/// `a = b` and `b = c` also say `a = c`, which lets `a` and `c` be joined first. Where all three are
/// joined, `build` leaves out what the others imply.
fn derive_equalities(conjuncts: &mut Vec<Expr>) {
    let mut classes: Vec<Vec<Expr>> = Vec::new();
    for conjunct in conjuncts.iter() {
        let Some([a @ Expr::Column(_), b @ Expr::Column(_)]) = conjunct.as_call(op::EQ) else { continue };
        let found: Vec<usize> =
            (0..classes.len()).filter(|i| classes[*i].contains(a) || classes[*i].contains(b)).collect();
        let mut merged: Vec<Expr> = Vec::new();
        for i in found.into_iter().rev() {
            merged.extend(classes.remove(i));
        }
        for side in [a, b] {
            if !merged.contains(side) {
                merged.push(side.clone());
            }
        }
        classes.push(merged);
    }
    for class in classes {
        for (i, a) in class.iter().enumerate() {
            for b in &class[i + 1..] {
                let (ab, ba) = (Expr::eq(a.clone(), b.clone()), Expr::eq(b.clone(), a.clone()));
                if !conjuncts.contains(&ab) && !conjuncts.contains(&ba) {
                    conjuncts.push(ab);
                }
            }
        }
    }
}

/// Columns that are known to be equal, as sets.
#[derive(Default)]
pub(super) struct Equalities(Vec<BTreeSet<ColumnId>>);

impl Equalities {
    /// What follows from the equalities among `conjuncts`.
    pub(super) fn of(conjuncts: &[Expr]) -> Self {
        let mut all = Self::default();
        for conjunct in conjuncts {
            if let Some([Expr::Column(a), Expr::Column(b)]) = conjunct.as_call(op::EQ) {
                all.add(a.id, b.id);
            }
        }
        all
    }

    /// Whether two columns are known to be equal.
    pub(super) fn are(&self, a: ColumnId, b: ColumnId) -> bool {
        a == b || self.0.iter().any(|class| class.contains(&a) && class.contains(&b))
    }

    /// Whether `condition` is an equality that is known.
    pub(super) fn says(&self, condition: &Expr) -> bool {
        matches!(condition.as_call(op::EQ), Some([Expr::Column(a), Expr::Column(b)]) if self.are(a.id, b.id))
    }

    /// Records that two columns are equal; false if that was known.
    fn add(&mut self, a: ColumnId, b: ColumnId) -> bool {
        if self.are(a, b) {
            return false;
        }
        let mut merged = BTreeSet::from([a, b]);
        self.0.retain(|class| {
            let joins = class.contains(&a) || class.contains(&b);
            if joins {
                merged.extend(class.iter().copied());
            }
            !joins
        });
        self.0.push(merged);
        true
    }
}

/// Puts a region together in the order of `tree`.
pub(super) fn build(mut region: Region, tree: &Tree, cx: &OptimizerContext<'_>) -> LogicalPlan {
    let mut used = vec![false; region.predicates.len()];
    let mut equalities = Equalities::default();
    let mut plan = assemble(&mut region, tree, &mut used, &mut equalities, cx);
    let rest: Vec<Expr> =
        region.predicates.iter().zip(&used).filter(|(_, used)| !**used).map(|(p, _)| p.expr.clone()).collect();
    if !rest.is_empty() {
        plan = filter(cx.ids, rest, plan);
        if let Some(id) = region.filters.first() {
            plan.id = *id;
        }
    }
    plan
}

fn assemble(
    region: &mut Region,
    tree: &Tree,
    used: &mut [bool],
    equalities: &mut Equalities,
    cx: &OptimizerContext<'_>,
) -> LogicalPlan {
    let (left, right, set) = match tree {
        Tree::Leaf(i) => {
            let leaf = &mut region.leaves[*i];
            let plan = std::mem::replace(&mut leaf.plan, LogicalPlan::empty(NodeId(0), Vec::new()));
            let set = Set::single(*i);
            let mine: Vec<usize> =
                (0..used.len()).filter(|p| !used[*p] && region.predicates[*p].leaves == set).collect();
            mine.iter().for_each(|p| used[*p] = true);
            let own = mine.iter().map(|p| region.predicates[*p].expr.clone()).collect();
            return filter(cx.ids, own, plan);
        }
        Tree::Join { left, right, set } => (left, right, *set),
    };
    let asked = |tree: &Tree| match tree {
        Tree::Leaf(i) => region.leaves[*i].hint,
        Tree::Join { .. } => None,
    };
    let hint = JoinHint { left: asked(left), right: asked(right) };
    let id = region.nodes.get(&set).copied().unwrap_or_else(|| cx.ids.node());
    let left_plan = assemble(region, left, used, equalities, cx);
    let right_plan = assemble(region, right, used, equalities, cx);
    if let Tree::Leaf(i) = &**right
        && let Some(join) = region.leaves[*i].existence.take()
    {
        let Existence { kind, on, residual, null_aware, .. } = join;
        return LogicalPlan::binary(
            id,
            LogicalOp::Join { kind, on, residual, null_aware, hint },
            left_plan,
            right_plan,
        );
    }
    let (left_columns, right_columns) = (column_set(&left_plan), column_set(&right_plan));
    let (mut on, mut rest) = (Vec::new(), Vec::new());
    for (i, predicate) in region.predicates.iter().enumerate() {
        if used[i] || predicate.leaves.is_empty() || !predicate.leaves.is_subset(set) {
            continue;
        }
        used[i] = true;
        if let Some([Expr::Column(a), Expr::Column(b)]) = predicate.expr.as_call(op::EQ)
            && !equalities.add(a.id, b.id)
        {
            continue;
        }
        match as_join_key(&predicate.expr, &left_columns, &right_columns, cx) {
            Some(key) => on.push(key),
            None => rest.push(predicate.expr.clone()),
        }
    }
    let residual = (!rest.is_empty()).then(|| Expr::and(rest));
    let op = LogicalOp::Join { kind: JoinKind::Inner, on, residual, null_aware: false, hint };
    LogicalPlan::binary(id, op, left_plan, right_plan)
}
