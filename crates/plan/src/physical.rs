//! The physical plan: how the rows are made. Plain data; executors need nothing else to run a task.

use firesteel_catalog::{ScanRequest, TableRef};
use firesteel_common::{ExchangeId, FilterId, NodeId};
use firesteel_expr::{AggregateCall, ColumnRef, Expr, SortKey, WindowCall};

use crate::hint::JoinStrategy;
use crate::logical::{JoinKey, JoinKind};
use crate::statistics::Estimate;

/// A node with all that is below it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhysicalPlan {
    /// Identity in one lowering; metrics are kept by it.
    pub id: NodeId,
    /// The logical node that it was made from. Both halves of an aggregate have the same origin.
    pub origin: NodeId,
    /// What it does.
    pub op: PhysicalOp,
    /// What it does it to.
    pub inputs: Vec<PhysicalPlan>,
    /// Output columns: batches have them in this order, in types and nothing else.
    pub output: Vec<ColumnRef>,
    /// Rows and bytes that are expected.
    pub estimate: Estimate,
}

/// The operation of a physical node.
#[derive(Clone, Debug, PartialEq)]
pub enum PhysicalOp {
    /// Reads a table; output columns are those of the request.
    Scan {
        /// The table.
        table: TableRef,
        /// What is read of it.
        request: ScanRequest,
    },
    /// Literal rows, all from one task.
    Values {
        /// Rows of expressions without columns.
        rows: Vec<Vec<Expr>>,
    },
    /// Keeps rows. Conjuncts are evaluated in order, each on the rows that the former ones left.
    Filter {
        /// The predicate.
        predicate: Expr,
    },
    /// Computes the output columns.
    Project {
        /// One per output column.
        exprs: Vec<Expr>,
    },
    /// One output row per input row and projection.
    Expand {
        /// Each with one expression per output column.
        projections: Vec<Vec<Expr>>,
    },
    /// Groups.
    HashAggregate(HashAggregate),
    /// Equi-join with a hash table of one side. Inputs: left, right.
    HashJoin(HashJoin),
    /// Join by trying all pairs; the build side is kept in memory. Inputs: left, right.
    NestedLoopJoin {
        /// Which rows are returned.
        kind: JoinKind,
        /// What must hold; nothing for a cross join.
        condition: Option<Expr>,
        /// The side that is kept. `Left` only for `Inner` and `Right`; `Right` for all but `Right`.
        build: Side,
    },
    /// Orders the rows of a task. Returns columns of its input, perhaps not all.
    Sort {
        /// Keys, most significant first.
        keys: Vec<SortKey>,
    },
    /// The first rows of a task in order.
    TopK {
        /// Keys, most significant first.
        keys: Vec<SortKey>,
        /// How many.
        limit: u64,
    },
    /// Skips and limits the rows of a task.
    Limit {
        /// Rows to skip.
        skip: u64,
        /// Rows to return.
        fetch: Option<u64>,
    },
    /// Window functions over the partitions that a task sees. Sorts its input itself.
    Window {
        /// PARTITION BY.
        partition_by: Vec<Expr>,
        /// ORDER BY.
        order_by: Vec<SortKey>,
        /// The calls; their columns follow those of the input, of which some may be left out.
        calls: Vec<WindowCall>,
    },
    /// No more than so many tasks: what COALESCE asks for. Rows pass unchanged.
    Coalesce {
        /// How many.
        tasks: u32,
    },
    /// All rows of all inputs, by position.
    Union,
    /// Moves rows between tasks: the end of a stage. Never inside the plan of a [`crate::Stage`].
    Exchange(Exchange),
    /// Reads an exchange that has been started: a leaf.
    ExchangeRead {
        /// Which.
        exchange: ExchangeId,
        /// How.
        read: ReadMode,
    },
}

/// Grouping.
#[derive(Clone, Debug, PartialEq)]
pub struct HashAggregate {
    /// Which half.
    pub mode: AggregateMode,
    /// What is grouped by. In a final half: the key columns of the partial one.
    pub keys: Vec<Expr>,
    /// The calls. DISTINCT has been planned away. In a final half, the arguments are not evaluated: the
    /// input has, after the keys, the state columns of all calls in order.
    pub aggregates: Vec<AggregateCall>,
}

/// Which half of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateMode {
    /// Raw rows to partial results: output is keys, then the state columns of each call.
    Partial,
    /// Partial results to results: output is keys, then one column per call.
    Final,
    /// Raw rows to results.
    Complete,
}

/// An equi-join.
#[derive(Clone, Debug, PartialEq)]
pub struct HashJoin {
    /// Which rows are returned.
    pub kind: JoinKind,
    /// Keys; at least one.
    pub on: Vec<JoinKey>,
    /// What must hold besides, over both inputs.
    pub residual: Option<Expr>,
    /// See [`crate::LogicalOp::Join`].
    pub null_aware: bool,
    /// The side that the hash table is made of; the other one streams through. Any side for any kind.
    pub build: Side,
    /// Who sees the table.
    pub mode: BuildMode,
    /// The hint that decided the strategy.
    pub hint: Option<JoinStrategy>,
    /// Filters to publish when the table is complete: identity, and position of the key in `on`.
    pub filters: Vec<(FilterId, usize)>,
}

impl HashJoin {
    /// The keys of the left and the right side, and the text that names the join, whichever side is left.
    pub fn key_texts(on: &[JoinKey]) -> ([String; 2], String) {
        let text = |of: fn(&JoinKey) -> &Expr| on.iter().map(|key| of(key).to_string()).collect::<Vec<_>>().join(", ");
        let (left, right) = (text(|key| &key.left), text(|key| &key.right));
        let (first, second) = if left <= right { (&left, &right) } else { (&right, &left) };
        let both = format!("{first} = {second}");
        ([left, right], both)
    }

    /// The text that names the join in decisions.
    pub fn key_text(&self) -> String {
        Self::key_texts(&self.on).1
    }
}

/// Who sees the table of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuildMode {
    /// One table for all tasks of the stage; the build input is an exchange read with [`ReadMode::Shared`].
    Shared,
    /// One per task; both inputs are partitioned by the keys.
    Partitioned,
}

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first input.
    Left,
    /// The second input.
    Right,
}

impl Side {
    /// Position among the inputs.
    pub fn index(self) -> usize {
        match self {
            Side::Left => 0,
            Side::Right => 1,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// Moves rows between tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Identity; kept over re-plannings once the exchange has started.
    pub id: ExchangeId,
    /// Which rows come together.
    pub distribution: Distribution,
    /// How they are kept.
    pub form: ExchangeForm,
    /// Who asked for it.
    pub origin: ExchangeOrigin,
}

/// Which rows come together.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// All in one partition.
    Single,
    /// All rows to every task of the consumer.
    Broadcast,
    /// Rows with equal keys in one partition.
    Hash {
        /// Keys; at least one.
        keys: Vec<Expr>,
        /// Number of partitions.
        partitions: u32,
    },
    /// Evenly.
    RoundRobin {
        /// Number of partitions.
        partitions: u32,
    },
    /// Rows of each range of an order in one partition, the ranges in order, equal keys together. The plan below reads
    /// an exchange that has finished: a sample of that tells where ranges begin.
    Range {
        /// The order.
        keys: Vec<SortKey>,
        /// Number of partitions.
        partitions: u32,
    },
    /// As they come: the result of the query.
    Any,
}

impl Distribution {
    /// Number of partitions that are written.
    pub fn partitions(&self) -> u32 {
        match self {
            Distribution::Hash { partitions, .. }
            | Distribution::RoundRobin { partitions }
            | Distribution::Range { partitions, .. } => *partitions,
            _ => 1,
        }
    }
}

/// How the rows of an exchange are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeForm {
    /// Batches in memory, seen by all tasks of the process; nothing is copied but into partitions.
    Memory,
    /// Arrow IPC blocks, as between processes.
    Serialized,
}

/// Who asked for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeOrigin {
    /// The planner (Spark: `ENSURE_REQUIREMENTS`). Partitions may be merged and split.
    Planner,
    /// The user, with a number, which is kept (`REPARTITION_BY_NUM`).
    User,
    /// The user, without a number (`REPARTITION_BY_COL`). Partitions may be merged.
    UserColumns,
    /// The user, for partitions of about the advisory size (`REBALANCE_PARTITIONS_BY_NONE`, `…_BY_COL`). They are
    /// merged and split.
    Rebalance,
}

/// How an exchange is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// Every task sees all rows.
    Shared,
    /// Each task reads its [`crate::TaskInput`].
    Partitioned,
    /// Tasks take blocks from a common queue: any order, any task.
    Elastic,
}

impl PhysicalOp {
    /// Position of the input through which rows stream into a node that has one such input.
    pub fn spine_input(&self) -> Option<usize> {
        match self {
            PhysicalOp::HashJoin(join) => Some(join.build.other().index()),
            PhysicalOp::NestedLoopJoin { build, .. } => Some(build.other().index()),
            PhysicalOp::Scan { .. }
            | PhysicalOp::Values { .. }
            | PhysicalOp::ExchangeRead { .. }
            | PhysicalOp::Union
            | PhysicalOp::Exchange(_) => None,
            _ => Some(0),
        }
    }
}

impl PhysicalPlan {
    /// Calls `f` on the node and all below, parents first.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a PhysicalPlan)) {
        f(self);
        self.inputs.iter().for_each(|input| input.visit(f));
    }

    /// Rewrites bottom up.
    #[must_use]
    pub fn transform_up(mut self, f: &mut dyn FnMut(PhysicalPlan) -> PhysicalPlan) -> Self {
        self.inputs = self.inputs.into_iter().map(|input| input.transform_up(f)).collect();
        f(self)
    }

    /// Exchanges that the plan reads.
    pub fn reads(&self) -> Vec<(ExchangeId, ReadMode)> {
        let mut reads = Vec::new();
        self.visit(&mut |node| {
            if let PhysicalOp::ExchangeRead { exchange, read } = node.op {
                reads.push((exchange, read));
            }
        });
        reads
    }

    /// The input through which rows stream into this node, if it has one such input.
    pub fn spine_input(&self) -> Option<&PhysicalPlan> {
        self.inputs.get(self.op.spine_input()?)
    }

    /// Whether this node can put together what several tasks have made of slices of its input: it groups or orders
    /// all rows of a partition, and what it has of a part can be merged.
    pub fn gathers(&self) -> bool {
        match &self.op {
            PhysicalOp::HashAggregate(aggregate) => {
                aggregate.mode != AggregateMode::Partial && !aggregate.keys.is_empty()
            }
            PhysicalOp::Window { partition_by, .. } => !partition_by.is_empty(),
            PhysicalOp::Sort { .. } => true,
            _ => false,
        }
    }

    /// The nodes on the spine from here to its leaf.
    pub fn spine(&self) -> impl Iterator<Item = &PhysicalPlan> {
        std::iter::successors(Some(self), |node| node.spine_input())
    }

    /// The lowest node on the spine that [gathers](Self::gathers), where slices of a partition meet.
    pub fn gatherer(&self) -> Option<&PhysicalPlan> {
        self.spine().filter(|node| node.gathers()).last()
    }

    /// The gatherer after the lowest, where the shares meet in which that one groups.
    pub fn second_gatherer(&self) -> Option<&PhysicalPlan> {
        let lowest = self.gatherer()?.id;
        self.spine().take_while(|node| node.id != lowest).filter(|node| node.gathers()).last()
    }

    /// Whether `input` of this node may arrive in several tasks that do not see each other's rows.
    /// The skew rule asks before it splits a partition.
    pub fn tolerates_slices(&self, input: usize) -> bool {
        match &self.op {
            PhysicalOp::Filter { .. }
            | PhysicalOp::Project { .. }
            | PhysicalOp::Expand { .. }
            | PhysicalOp::Coalesce { .. }
            | PhysicalOp::Union => true,
            PhysicalOp::HashAggregate(aggregate) => aggregate.mode == AggregateMode::Partial,
            // The build side is complete for every slice, and slices share which of its rows have matched.
            PhysicalOp::HashJoin(join) => input == join.build.other().index(),
            _ => false,
        }
    }
}
