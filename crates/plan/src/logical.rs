//! The logical plan: what a query means.
//!
//! One struct for all nodes: id, operation, inputs. Columns have ids that are unique in the query, so
//! a rewrite may move expressions anywhere below which their columns are made. Rewrites take plans by
//! value.

use std::sync::Arc;

use firesteel_catalog::TableRef;
use firesteel_common::{ColumnId, NodeId, Result, Span};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate, SortKey, WindowCall};

use crate::hint::{JoinHint, JoinStrategy};
use crate::physical::PhysicalPlan;
use crate::statistics::Statistics;

/// A node with all that is below it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalPlan {
    /// Identity. Kept by rewrites of the node that return the same rows; new nodes get new ones.
    pub id: NodeId,
    /// What it does.
    pub op: LogicalOp,
    /// What it does it to.
    pub inputs: Vec<LogicalPlan>,
}

/// The operation of a logical node. The number of inputs is given for those with other than one.
#[derive(Clone, Debug, PartialEq)]
pub enum LogicalOp {
    /// Reads a table. No input.
    Scan(Scan),
    /// Literal rows; without rows, the empty relation; `SELECT 1` is a projection of one row without
    /// columns. No input.
    Values {
        /// The columns.
        columns: Vec<ColumnRef>,
        /// Rows of expressions without columns, of the types of `columns`.
        rows: Vec<Vec<Expr>>,
    },
    /// Keeps the rows for which the predicate is true.
    Filter {
        /// The predicate.
        predicate: Expr,
    },
    /// Computes columns; the output has these and no others.
    Project {
        /// Output columns and what they are. An input column is passed on under its own id.
        exprs: Vec<(ColumnRef, Expr)>,
    },
    /// Groups by `keys` and computes aggregates; without keys, one row. DISTINCT has no aggregates.
    Aggregate {
        /// Output columns and what is grouped by.
        keys: Vec<(ColumnRef, Expr)>,
        /// Aggregates.
        aggregates: Vec<NamedAggregate>,
    },
    /// Returns, for each input row, one row per projection: grouping sets, several DISTINCTs.
    Expand {
        /// Output columns.
        columns: Vec<ColumnRef>,
        /// One expression per output column, of its type.
        projections: Vec<Vec<Expr>>,
    },
    /// Joins two inputs.
    Join {
        /// Which rows are returned.
        kind: JoinKind,
        /// Pairs of an expression over the left input and one over the right that must be equal.
        on: Vec<JoinKey>,
        /// What must hold besides, over both inputs.
        residual: Option<Expr>,
        /// `NOT IN` and `IN` as a value: one key, no residual; NULL on either side makes the answer unknown.
        /// Only for `LeftAnti` and `Mark`.
        null_aware: bool,
        /// What the user asks for.
        hint: JoinHint,
    },
    /// Asks for a strategy of the join that the input is part of. The first rule puts it into the join.
    Hint {
        /// The strategy.
        strategy: JoinStrategy,
    },
    /// A join whose right input may read columns of the left one (or of dependent joins further up):
    /// a subquery before unnesting, a LATERAL join. The rules remove it; `lower` refuses it.
    DependentJoin {
        /// Which rows are returned.
        kind: JoinKind,
        /// What must hold, over both inputs.
        condition: Option<Expr>,
    },
    /// Adds the results of window functions that share one partitioning and order.
    Window {
        /// PARTITION BY.
        partition_by: Vec<Expr>,
        /// ORDER BY.
        order_by: Vec<SortKey>,
        /// The calls.
        calls: Vec<WindowCall>,
    },
    /// Orders all rows; with `fetch`, only the first that many are needed.
    Sort {
        /// Keys, most significant first.
        keys: Vec<SortKey>,
        /// Rows needed.
        fetch: Option<u64>,
        /// Over all rows; otherwise, it is enough that each task orders its own: SORT BY.
        global: bool,
    },
    /// Skips rows, then returns no more than `fetch`.
    Limit {
        /// Rows to skip.
        skip: u64,
        /// Rows to return.
        fetch: Option<u64>,
    },
    /// All rows of all inputs (one or more), columns matched by position; types are equal.
    Union {
        /// Output columns.
        columns: Vec<ColumnRef>,
    },
    /// INTERSECT or EXCEPT of two inputs, columns matched by position. A rule turns it into joins.
    SetOp {
        /// Which.
        operation: SetOperation,
        /// Keeps duplicates, by count.
        all: bool,
        /// Output columns.
        columns: Vec<ColumnRef>,
    },
    /// A redistribution that the user asked for.
    Repartition {
        /// How.
        kind: RepartitionKind,
        /// Number of partitions, if given.
        partitions: Option<u32>,
    },
    /// A subtree that has started; lowered to its physical form. No input.
    Pinned(Pinned),
}

impl LogicalOp {
    /// A join on a condition whose keys have not been found yet, without hints.
    pub fn join(kind: JoinKind, residual: Option<Expr>) -> Self {
        LogicalOp::Join { kind, on: Vec::new(), residual, null_aware: false, hint: JoinHint::NONE }
    }
}

/// A table read by a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The table.
    pub table: TableRef,
    /// Output columns: a subset of `source`, in any order.
    pub columns: Vec<ColumnRef>,
    /// All columns of the table with their ids in this scan, in the order of the schema.
    pub source: Vec<ColumnRef>,
    /// Predicates over `source` that returned rows satisfy.
    pub filters: Vec<Expr>,
    /// No more rows than this are needed.
    pub limit: Option<u64>,
}

/// Which rows a join returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Pairs that match.
    Inner,
    /// Pairs that match, and left rows without a match, with NULLs.
    Left,
    /// Pairs that match, and right rows without a match, with NULLs.
    Right,
    /// Pairs that match, and rows of both sides without a match, with NULLs.
    Full,
    /// Left rows with a match.
    LeftSemi,
    /// Left rows without a match.
    LeftAnti,
    /// Each left row with its match or NULLs; more than one match is an error
    /// (`SCALAR_SUBQUERY_TOO_MANY_ROWS`): a scalar subquery, with its place.
    LeftSingle(Span),
    /// Each left row with a BOOLEAN: true if some right row matches, else false: EXISTS, IN, ANY as a
    /// value. In dependent and in null-aware joins it is NULL if the condition is unknown for some right
    /// row and true for none.
    Mark(ColumnRef),
}

impl JoinKind {
    /// Whether right columns are part of the output.
    pub fn returns_right(&self) -> bool {
        !matches!(self, JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::Mark(_))
    }

    /// Whether every output row is one left row, so that right rows only decide.
    pub fn is_existence(&self) -> bool {
        !self.returns_right()
    }
}

/// A pair of expressions that a join compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JoinKey {
    /// Over the left input.
    pub left: Expr,
    /// Over the right input, of the same type.
    pub right: Expr,
    /// `<=>`: NULL matches NULL.
    pub null_safe: bool,
}

/// A set operation that is not UNION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetOperation {
    /// Rows in both inputs.
    Intersect,
    /// Rows of the first input that are not in the second.
    Except,
}

/// A redistribution that the user asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum RepartitionKind {
    /// REPARTITION without expressions.
    RoundRobin,
    /// By the hash of expressions: REPARTITION, DISTRIBUTE BY.
    Hash(Vec<Expr>),
    /// By ranges of the order of keys: REPARTITION_BY_RANGE.
    Range(Vec<SortKey>),
    /// Into partitions of about the advisory size, by the hash of expressions if there are any: REBALANCE.
    Rebalance(Vec<Expr>),
    /// No more than a number of tasks, without moving rows: COALESCE.
    Coalesce,
}

/// A subtree that has started. What it returns is fixed; statistics are exact once its stages ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Pinned {
    /// The physical form: reads of the started exchanges, and the final half of an aggregate and the like.
    pub physical: Arc<PhysicalPlan>,
    /// Output columns.
    pub columns: Vec<ColumnRef>,
    /// Statistics of the output.
    pub stats: Statistics,
    /// Whether all exchanges that it reads have finished.
    pub finished: bool,
}

impl LogicalPlan {
    /// A node without inputs.
    pub fn leaf(id: NodeId, op: LogicalOp) -> Self {
        Self { id, op, inputs: Vec::new() }
    }

    /// A node with one input.
    pub fn unary(id: NodeId, op: LogicalOp, input: LogicalPlan) -> Self {
        Self { id, op, inputs: vec![input] }
    }

    /// A node with two inputs.
    pub fn binary(id: NodeId, op: LogicalOp, left: LogicalPlan, right: LogicalPlan) -> Self {
        Self { id, op, inputs: vec![left, right] }
    }

    /// The relation without rows and with these columns.
    pub fn empty(id: NodeId, columns: Vec<ColumnRef>) -> Self {
        Self::leaf(id, LogicalOp::Values { columns, rows: Vec::new() })
    }

    /// Whether it is the relation without rows.
    pub fn is_empty_relation(&self) -> bool {
        matches!(&self.op, LogicalOp::Values { rows, .. } if rows.is_empty())
    }

    /// The output columns, in order.
    pub fn columns(&self) -> Vec<ColumnRef> {
        let input = |i: usize| self.inputs.get(i).map(LogicalPlan::columns).unwrap_or_default();
        let nullable = |columns: Vec<ColumnRef>| columns.into_iter().map(|c| ColumnRef { nullable: true, ..c });
        match &self.op {
            LogicalOp::Scan(scan) => scan.columns.clone(),
            LogicalOp::Values { columns, .. }
            | LogicalOp::Union { columns }
            | LogicalOp::SetOp { columns, .. }
            | LogicalOp::Expand { columns, .. } => columns.clone(),
            LogicalOp::Pinned(pinned) => pinned.columns.clone(),
            LogicalOp::Project { exprs } => exprs.iter().map(|(column, _)| column.clone()).collect(),
            LogicalOp::Aggregate { keys, aggregates } => {
                keys.iter().map(|(c, _)| c).chain(aggregates.iter().map(|a| &a.column)).cloned().collect()
            }
            LogicalOp::Window { calls, .. } => {
                input(0).into_iter().chain(calls.iter().map(|c| c.column.clone())).collect()
            }
            LogicalOp::Join { kind, .. } | LogicalOp::DependentJoin { kind, .. } => match kind {
                JoinKind::Inner => input(0).into_iter().chain(input(1)).collect(),
                JoinKind::Left | JoinKind::LeftSingle(_) => input(0).into_iter().chain(nullable(input(1))).collect(),
                JoinKind::Right => nullable(input(0)).chain(input(1)).collect(),
                JoinKind::Full => nullable(input(0)).chain(nullable(input(1))).collect(),
                JoinKind::LeftSemi | JoinKind::LeftAnti => input(0),
                JoinKind::Mark(mark) => input(0).into_iter().chain([mark.clone()]).collect(),
            },
            LogicalOp::Filter { .. }
            | LogicalOp::Sort { .. }
            | LogicalOp::Limit { .. }
            | LogicalOp::Hint { .. }
            | LogicalOp::Repartition { .. } => input(0),
        }
    }

    /// Ids of the output columns.
    pub fn column_ids(&self) -> Vec<ColumnId> {
        self.columns().into_iter().map(|c| c.id).collect()
    }

    /// The node with each input replaced by what `f` makes of it.
    pub fn try_map_inputs(mut self, f: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Self> {
        self.inputs = self.inputs.into_iter().map(f).collect::<Result<_>>()?;
        Ok(self)
    }

    /// Rewrites bottom up: `f` sees each node after its inputs were rewritten.
    pub fn transform_up(self, f: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Self> {
        let node = self.try_map_inputs(&mut |input| input.transform_up(f))?;
        f(node)
    }

    /// Calls `f` on the node and all below, parents first.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a LogicalPlan)) {
        f(self);
        self.inputs.iter().for_each(|input| input.visit(f));
    }

    /// The expressions of the node itself.
    pub fn expressions(&self) -> Vec<&Expr> {
        match &self.op {
            LogicalOp::Scan(scan) => scan.filters.iter().collect(),
            LogicalOp::Values { rows, .. } => rows.iter().flatten().collect(),
            LogicalOp::Filter { predicate } => vec![predicate],
            LogicalOp::Project { exprs } => exprs.iter().map(|(_, e)| e).collect(),
            LogicalOp::Aggregate { keys, aggregates } => keys
                .iter()
                .map(|(_, e)| e)
                .chain(aggregates.iter().flat_map(|a| a.call.args.iter().chain(&a.call.filter)))
                .collect(),
            LogicalOp::Expand { projections, .. } => projections.iter().flatten().collect(),
            LogicalOp::Join { on, residual, .. } => {
                on.iter().flat_map(|key| [&key.left, &key.right]).chain(residual).collect()
            }
            LogicalOp::DependentJoin { condition, .. } => condition.iter().collect(),
            LogicalOp::Window { partition_by, order_by, calls } => partition_by
                .iter()
                .chain(order_by.iter().map(|k| &k.expr))
                .chain(calls.iter().flat_map(WindowCall::args))
                .collect(),
            LogicalOp::Sort { keys, .. } => keys.iter().map(|k| &k.expr).collect(),
            LogicalOp::Repartition { kind, .. } => match kind {
                RepartitionKind::Hash(exprs) | RepartitionKind::Rebalance(exprs) => exprs.iter().collect(),
                RepartitionKind::Range(keys) => keys.iter().map(|k| &k.expr).collect(),
                RepartitionKind::RoundRobin | RepartitionKind::Coalesce => Vec::new(),
            },
            LogicalOp::Hint { .. }
            | LogicalOp::Limit { .. }
            | LogicalOp::Union { .. }
            | LogicalOp::SetOp { .. }
            | LogicalOp::Pinned(_) => Vec::new(),
        }
    }

    /// The node with each of its own expressions replaced by what `f` makes of it.
    #[must_use]
    pub fn map_expressions(self, f: &mut dyn FnMut(Expr) -> Expr) -> Self {
        let LogicalPlan { id, op, inputs } = self;
        let sort = |keys: Vec<SortKey>, f: &mut dyn FnMut(Expr) -> Expr| -> Vec<SortKey> {
            keys.into_iter().map(|k| SortKey { expr: f(k.expr), ..k }).collect()
        };
        let op = match op {
            LogicalOp::Scan(scan) => {
                LogicalOp::Scan(Scan { filters: scan.filters.into_iter().map(f).collect(), ..scan })
            }
            LogicalOp::Values { columns, rows } => LogicalOp::Values {
                columns,
                rows: rows.into_iter().map(|row| row.into_iter().map(&mut *f).collect()).collect(),
            },
            LogicalOp::Filter { predicate } => LogicalOp::Filter { predicate: f(predicate) },
            LogicalOp::Project { exprs } => {
                LogicalOp::Project { exprs: exprs.into_iter().map(|(c, e)| (c, f(e))).collect() }
            }
            LogicalOp::Aggregate { keys, aggregates } => LogicalOp::Aggregate {
                keys: keys.into_iter().map(|(c, e)| (c, f(e))).collect(),
                aggregates: aggregates
                    .into_iter()
                    .map(|mut a| {
                        a.call.args = a.call.args.into_iter().map(&mut *f).collect();
                        a.call.filter = a.call.filter.map(&mut *f);
                        a
                    })
                    .collect(),
            },
            LogicalOp::Expand { columns, projections } => LogicalOp::Expand {
                columns,
                projections: projections.into_iter().map(|p| p.into_iter().map(&mut *f).collect()).collect(),
            },
            LogicalOp::Join { kind, on, residual, null_aware, hint } => LogicalOp::Join {
                kind,
                on: on
                    .into_iter()
                    .map(|key| JoinKey { left: f(key.left), right: f(key.right), null_safe: key.null_safe })
                    .collect(),
                residual: residual.map(f),
                null_aware,
                hint,
            },
            LogicalOp::DependentJoin { kind, condition } => {
                LogicalOp::DependentJoin { kind, condition: condition.map(f) }
            }
            LogicalOp::Window { partition_by, order_by, calls } => LogicalOp::Window {
                partition_by: partition_by.into_iter().map(&mut *f).collect(),
                order_by: sort(order_by, f),
                calls: calls.into_iter().map(|call| call.map_exprs(f)).collect(),
            },
            LogicalOp::Sort { keys, fetch, global } => LogicalOp::Sort { keys: sort(keys, f), fetch, global },
            LogicalOp::Repartition { kind, partitions } => {
                let kind = match kind {
                    RepartitionKind::Hash(exprs) => RepartitionKind::Hash(exprs.into_iter().map(f).collect()),
                    RepartitionKind::Rebalance(exprs) => RepartitionKind::Rebalance(exprs.into_iter().map(f).collect()),
                    RepartitionKind::Range(keys) => RepartitionKind::Range(sort(keys, f)),
                    other => other,
                };
                LogicalOp::Repartition { kind, partitions }
            }
            other => other,
        };
        LogicalPlan { id, op, inputs }
    }
}
