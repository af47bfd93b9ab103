//! How the rows of a plan under construction are spread over the tasks of its stage.
//!
//! Known keys let an aggregate, a window or a join do without an exchange. An elastic read of one
//! hash exchange could as well be read by partition; [`Part::Elastic`] remembers that, and
//! [`read_partitioned`] makes the switch where a consumer gains from it.

use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{Distribution, PhysicalOp, PhysicalPlan, ReadMode};

/// Rows that agree in the keys are in one partition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HashPart {
    /// By position of the hash key, the expressions that hold its value; empty if the keys are
    /// unknown, or none of them can be named any more.
    pub(super) keys: Vec<Vec<Expr>>,
    /// Number of partitions.
    pub(super) partitions: u32,
    /// One is so large that several tasks should share it. A join can follow; what needs all rows of a key in one task
    /// is better off with an exchange of its own.
    pub(super) overloaded: bool,
}

/// How rows are spread over tasks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Tasks take morsels of any rows. With `hash`, the only leaf of the spine reads an exchange that
    /// was written in this way.
    Elastic { hash: Option<HashPart> },
    /// One task sees all rows.
    One,
    /// One task per partition, or per range of partitions.
    Partitioned(HashPart),
}

/// A plan and how its rows are spread.
#[derive(Clone, Debug)]
pub(super) struct Lowered {
    pub(super) plan: PhysicalPlan,
    pub(super) part: Part,
}

impl HashPart {
    /// Partitions without known keys.
    pub(super) fn unknown(partitions: u32) -> Self {
        Self { keys: Vec::new(), partitions, overloaded: false }
    }

    /// What an exchange with this distribution gives, if it has partitions.
    pub(super) fn of(distribution: &Distribution) -> Option<Self> {
        match distribution {
            Distribution::Hash { keys, partitions } => {
                let keys = keys.iter().map(|key| vec![key.clone()]).collect();
                Some(Self { keys, partitions: *partitions, overloaded: false })
            }
            Distribution::RoundRobin { partitions } | Distribution::Range { partitions, .. } => {
                Some(Self::unknown(*partitions))
            }
            _ => None,
        }
    }

    /// For each hash key, a position among `exprs` that holds its value. `None` if one has none: then
    /// rows that agree in `exprs` may be in several partitions.
    pub(super) fn positions(&self, exprs: &[Expr]) -> Option<Vec<usize>> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.iter().map(|key| exprs.iter().position(|expr| key.contains(expr))).collect()
    }

    /// Whether a task has all rows that agree in `exprs`, and is not to be helped by others.
    pub(super) fn gathers(&self, exprs: &[Expr]) -> bool {
        !self.overloaded && self.positions(exprs).is_some()
    }

    /// After a node that also returns the value of `from` as `to`.
    pub(super) fn alias(&mut self, from: &Expr, to: &ColumnRef) {
        for key in &mut self.keys {
            let to = Expr::Column(to.clone());
            if key.contains(from) && !key.contains(&to) {
                key.push(to);
            }
        }
    }

    /// After a node that returns only `columns`: keys that cannot be computed from them are forgotten.
    pub(super) fn restrict(&mut self, columns: &[ColumnRef]) {
        for key in &mut self.keys {
            key.retain(|expr| expr.reads_only(|id| columns.iter().any(|c| c.id == id)));
        }
        if self.keys.iter().any(Vec::is_empty) {
            self.keys.clear();
        }
    }
}

impl Part {
    /// Rows in any task.
    pub(super) fn elastic() -> Self {
        Part::Elastic { hash: None }
    }

    /// The hash partitioning that is there, or that the leaf could be read with.
    pub(super) fn hash(&self) -> Option<&HashPart> {
        match self {
            Part::Partitioned(hash) | Part::Elastic { hash: Some(hash) } => Some(hash),
            _ => None,
        }
    }

    /// Changes the known keys.
    pub(super) fn map_keys(mut self, f: impl FnOnce(&mut HashPart)) -> Self {
        if let Part::Partitioned(hash) | Part::Elastic { hash: Some(hash) } = &mut self {
            f(hash);
        }
        self
    }

    /// The same number of tasks, but nothing known of the keys.
    pub(super) fn forget_keys(self) -> Self {
        match self {
            Part::Elastic { .. } => Part::elastic(),
            Part::One => Part::One,
            Part::Partitioned(hash) => Part::Partitioned(HashPart::unknown(hash.partitions)),
        }
    }
}

/// The leaf of the spine of a plan without a union.
pub(crate) fn spine_leaf(plan: &PhysicalPlan) -> &PhysicalPlan {
    match plan.spine_input() {
        Some(input) => spine_leaf(input),
        None => plan,
    }
}

/// The plan with the exchange at the end of its spine read by partition.
pub(super) fn read_partitioned(mut plan: PhysicalPlan) -> PhysicalPlan {
    if let PhysicalOp::ExchangeRead { read, .. } = &mut plan.op {
        *read = ReadMode::Partitioned;
    } else if let Some(input) = plan.op.spine_input()
        && input < plan.inputs.len()
    {
        let below = plan.inputs.remove(input);
        plan.inputs.insert(input, read_partitioned(below));
    }
    plan
}
