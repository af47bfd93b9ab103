//! The search for the cheapest order.

use firesteel_expr::Expr;
use firesteel_plan::{JoinKey, JoinKind, Statistics};

use super::EXHAUSTIVE;
use super::region::Region;
use crate::statistics::join_statistics;

/// A set of leaves, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set(u128);

impl Set {
    /// No leaf.
    pub(super) const EMPTY: Set = Set(0);

    pub(super) fn single(leaf: usize) -> Self {
        Set(1 << leaf)
    }

    pub(super) fn of(leaves: impl Iterator<Item = usize>) -> Self {
        leaves.fold(Self::EMPTY, |all, leaf| all.union(Self::single(leaf)))
    }

    pub(super) fn union(self, other: Self) -> Self {
        Set(self.0 | other.0)
    }

    pub(super) fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(super) fn contains(self, leaf: usize) -> bool {
        self.0 >> leaf & 1 == 1
    }
}

/// An order of joins.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// A leaf of the region.
    Leaf(usize),
    /// A join.
    Join {
        /// The larger input, or the left one of a semi or anti join.
        left: Box<Tree>,
        /// The other input.
        right: Box<Tree>,
        /// Leaves below.
        set: Set,
    },
}

/// The cheapest way that is known to join a set.
#[derive(Clone)]
struct Candidate {
    set: Set,
    tree: Tree,
    stats: Statistics,
    cost: f64,
}

/// The best order, or nothing if the region has no choice or is too large to look at.
pub(super) fn best(region: &Region) -> Option<Tree> {
    let count = region.leaves.len();
    if !(2..=120).contains(&count) {
        return None;
    }
    let search = Search { region };
    let plan = if count <= EXHAUSTIVE { search.exhaustive() } else { search.greedy() };
    plan.map(|candidate| candidate.tree)
}

struct Search<'a> {
    region: &'a Region,
}

impl Search<'_> {
    fn leaf(&self, i: usize) -> Candidate {
        let mut stats = self.region.leaves[i].stats.clone();
        let set = Set::single(i);
        for predicate in self.region.predicates.iter().filter(|p| p.leaves == set) {
            stats = crate::statistics::filtered(stats, &predicate.expr);
        }
        stats.columns.retain(|id, _| self.is_compared(*id));
        Candidate { set, tree: Tree::Leaf(i), stats, cost: 0.0 }
    }

    /// Whether a predicate of the region reads the column; estimates need no others.
    fn is_compared(&self, id: firesteel_common::ColumnId) -> bool {
        let reads = |e: &Expr| !e.reads_only(|c| c != id);
        self.region.predicates.iter().any(|p| reads(&p.expr))
            || self
                .region
                .leaves
                .iter()
                .filter_map(|l| l.existence.as_ref())
                .any(|x| x.on.iter().any(|k| reads(&k.left) || reads(&k.right)) || x.residual.iter().any(reads))
    }

    /// Whether a predicate needs both sets and no other.
    fn connected(&self, a: Set, b: Set) -> bool {
        let both = a.union(b);
        self.region
            .predicates
            .iter()
            .any(|p| p.leaves.is_subset(both) && p.leaves.intersects(a) && p.leaves.intersects(b))
    }

    /// If a set is a single leaf that is the right side of a semi or anti join: which.
    fn existence_leaf(&self, set: Set) -> Option<usize> {
        (set.len() == 1).then(|| set.0.trailing_zeros() as usize).filter(|i| self.region.leaves[*i].existence.is_some())
    }

    /// The left and the right input of the join of two disjoint sets, if there is one. `cross`: also without a predicate.
    fn sides<'c>(&self, a: &'c Candidate, b: &'c Candidate, cross: bool) -> Option<(&'c Candidate, &'c Candidate)> {
        match (self.existence_leaf(a.set), self.existence_leaf(b.set)) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => self.sides(b, a, cross),
            (None, Some(leaf)) => {
                let join = self.region.leaves[leaf].existence.as_ref()?;
                join.needs.is_subset(a.set).then_some((a, b))
            }
            (None, None) => {
                if !cross && !self.connected(a.set, b.set) {
                    return None;
                }
                // The smaller side on the right, where readers expect the one to build from.
                let swap = a.stats.rows < b.stats.rows || (a.stats.rows == b.stats.rows && a.set > b.set);
                Some(if swap { (b, a) } else { (a, b) })
            }
        }
    }

    /// What is believed of the join of these [sides](Self::sides).
    fn statistics(&self, left: &Candidate, right: &Candidate) -> Statistics {
        let existence = self.existence_leaf(right.set).and_then(|leaf| self.region.leaves[leaf].existence.as_ref());
        if let Some(join) = existence {
            return join_statistics(&join.kind, &join.on, join.residual.as_ref(), &left.stats, &right.stats);
        }
        let (on, rest) = self.conditions(left.set, right.set);
        let residual = (!rest.is_empty()).then(|| Expr::and(rest));
        join_statistics(&JoinKind::Inner, &on, residual.as_ref(), &left.stats, &right.stats)
    }

    /// The join of two disjoint sets, if there is one.
    fn join(&self, a: &Candidate, b: &Candidate, cross: bool) -> Option<Candidate> {
        let (left, right) = self.sides(a, b, cross)?;
        let stats = self.statistics(left, right);
        let cost = cost(left, right, stats.rows);
        Some(candidate(left, right, stats, cost))
    }

    /// Keys and other predicates between two sets. Of the keys over columns that are equal anyway, one.
    fn conditions(&self, left: Set, right: Set) -> (Vec<JoinKey>, Vec<Expr>) {
        let both = left.union(right);
        let (mut on, mut rest): (Vec<JoinKey>, Vec<Expr>) = (Vec::new(), Vec::new());
        for predicate in &self.region.predicates {
            let spans = predicate.leaves.is_subset(both)
                && predicate.leaves.intersects(left)
                && predicate.leaves.intersects(right);
            if !spans {
                continue;
            }
            let side = |e: &Expr, set: Set| {
                e.reads_only(|id| {
                    (0..self.region.leaves.len())
                        .any(|i| set.contains(i) && self.region.leaves[i].columns.contains(&id))
                })
            };
            match predicate.expr.as_call(firesteel_expr::op::EQ) {
                Some([a, b]) if side(a, left) && side(b, right) => add_key(&mut on, a, b),
                Some([a, b]) if side(b, left) && side(a, right) => add_key(&mut on, b, a),
                _ => rest.push(predicate.expr.clone()),
            }
        }
        (on, rest)
    }

    /// All ways to split every set into two that can be joined.
    fn exhaustive(&self) -> Option<Candidate> {
        let count = self.region.leaves.len();
        let mut table: Vec<Option<Candidate>> = vec![None; 1 << count];
        for i in 0..count {
            table[1 << i] = Some(self.leaf(i));
        }
        for set in 1usize..1 << count {
            if set.count_ones() < 2 {
                continue;
            }
            let best = self.cheapest_split(set, &table);
            if best.is_none() && set == (1 << count) - 1 {
                return self.greedy();
            }
            table[set] = best;
        }
        table.pop().flatten()
    }

    /// The cheapest way to make a set of two others.
    fn cheapest_split(&self, set: usize, table: &[Option<Candidate>]) -> Option<Candidate> {
        // Rows of a set do not depend on how it is made: those of the first way are taken.
        let mut known: Option<Statistics> = None;
        let mut best: Option<(&Candidate, &Candidate, f64)> = None;
        let mut part = (set - 1) & set;
        while part > 0 {
            let other = set & !part;
            if part > other
                && let (Some(a), Some(b)) = (&table[part], &table[other])
                && let Some((left, right)) = self.sides(a, b, false)
            {
                let rows = known.get_or_insert_with(|| self.statistics(left, right)).rows;
                let cost = cost(left, right, rows);
                if best.is_none_or(|(_, _, least)| cost < least * (1.0 - 1e-9)) {
                    best = Some((left, right, cost));
                }
            }
            part = (part - 1) & set;
        }
        let (left, right, cost) = best?;
        Some(candidate(left, right, known?, cost))
    }

    /// Joins the pair with the smallest result until one is left; cross products only at the end.
    fn greedy(&self) -> Option<Candidate> {
        let mut parts: Vec<Candidate> = (0..self.region.leaves.len()).map(|i| self.leaf(i)).collect();
        while parts.len() > 1 {
            let (i, j, joined) = self.cheapest(&parts, false).or_else(|| self.cheapest(&parts, true))?;
            parts.swap_remove(j.max(i));
            parts.swap_remove(j.min(i));
            parts.push(joined);
        }
        parts.pop()
    }

    fn cheapest(&self, parts: &[Candidate], cross: bool) -> Option<(usize, usize, Candidate)> {
        let mut best: Option<(usize, usize, Candidate)> = None;
        for i in 0..parts.len() {
            for j in i + 1..parts.len() {
                let Some(joined) = self.join(&parts[i], &parts[j], cross) else { continue };
                let better = best.as_ref().is_none_or(|(_, _, b)| {
                    (joined.stats.rows, joined.cost, joined.set) < (b.stats.rows, b.cost, b.set)
                });
                if better {
                    best = Some((i, j, joined));
                }
            }
        }
        best
    }
}

fn cost(left: &Candidate, right: &Candidate, rows: f64) -> f64 {
    left.cost + right.cost + rows + work(left.stats.rows, right.stats.rows)
}

fn candidate(left: &Candidate, right: &Candidate, stats: Statistics, cost: f64) -> Candidate {
    let set = left.set.union(right.set);
    let tree = Tree::Join { left: Box::new(left.tree.clone()), right: Box::new(right.tree.clone()), set };
    Candidate { set, tree, stats, cost }
}

/// Building a table costs more per row than looking up in it.
fn work(left: f64, right: f64) -> f64 {
    let (build, probe) = if left < right { (left, right) } else { (right, left) };
    build + 0.2 * probe
}

fn add_key(on: &mut Vec<JoinKey>, left: &Expr, right: &Expr) {
    if !on.iter().any(|k| k.left == *left || k.right == *right) {
        on.push(JoinKey { left: left.clone(), right: right.clone(), null_safe: false });
    }
}
