//! From logical plans to physical ones: picks strategies and puts exchanges where rows must move.
//!
//! Invariants: lowering is pure and starts from the logical plan, never from its own output, so a
//! remainder can be planned again whenever a stage has ended. What has started is a
//! [`LogicalOp::Pinned`] leaf and keeps its form; only how its exchange is read is chosen here.
//! A node that becomes several physical ones gives all of them its id as origin; an exchange that a
//! consumer asks for has the origin of the plan beneath it. The stage planner finds pins by that.
//!
//! Algorithm: bottom up. Each plan comes with how its rows are spread over tasks; a consumer that
//! needs another spread wraps it in an exchange.

mod aggregate;
mod filters;
mod hint;
mod join;
mod later_filters;
mod narrow;
mod partitioning;
mod redistribute;
mod reuse;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::ScanRequest;
use firesteel_common::config::ExchangeMode;
use firesteel_common::{ColumnId, Error, ExchangeId, ExchangeStats, FilterId, NodeId, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{
    AggregateMode, Distribution, Estimate, Exchange, ExchangeForm, ExchangeOrigin, FilterSource, LogicalOp,
    LogicalPlan, PhysicalOp, PhysicalPlan, Pinned, ReadMode, Scan, Statistics,
};

use crate::remembered::recalled_rows;
use crate::rule::OptimizerContext;
use crate::stage_rules::NEAR_TABLE;
use crate::statistics::{estimate, row_width, with_rows};
use crate::util::substitute;
pub(crate) use filters::{DYNAMIC_PRUNING, filters_partitions};
pub(crate) use join::{DEMOTE, SettledJoins, may_be_shared};
use later_filters::LaterFilters;
pub(crate) use partitioning::spine_leaf;
use partitioning::{HashPart, Lowered, Part, read_partitioned};
pub(crate) use reuse::RULE as REUSE;

/// Up to so many rows that are there already, one task does what would else need another exchange.
const ONE_TASK_ROWS: f64 = 32_768.0;

/// A side that is too large before it is complete is taken to grow to so many times its size. Partitions that are made
/// too small for it are merged later; one that is too large may not fit.
const STILL_TO_COME: f64 = 8.0;

/// What lowering knows of an exchange that has started.
#[derive(Clone, Debug)]
pub struct StartedExchange {
    /// What was asked of it.
    pub exchange: Exchange,
    /// The columns that are written; reads may have other ids for them.
    pub columns: Vec<ColumnRef>,
    /// What was written, once it is finished.
    pub stats: Option<ExchangeStats>,
    /// What had been written when it was found to be too large to be shared, before it was finished.
    pub outgrown: Option<Estimate>,
}

impl StartedExchange {
    /// Whether it is too large to be shared, and there is more to come.
    pub(crate) fn grows(&self) -> bool {
        self.stats.is_none() && self.outgrown.is_some()
    }
}

/// How the tasks of a stage are cut, decided with its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Any task takes any rows.
    Elastic,
    /// One task.
    One,
    /// By partition.
    Partitioned,
}

/// A physical plan that ends in the exchange of the result, with all its exchanges.
#[derive(Clone, Debug)]
pub struct LoweredPlan {
    /// The plan; its root is the exchange with [`Distribution::Any`].
    pub root: PhysicalPlan,
    /// By exchange: how the stage that writes it is cut into tasks.
    pub spreads: BTreeMap<ExchangeId, Spread>,
    /// The first filter id that was not given out.
    pub next_filter: u32,
    /// Filters that the stages that use them make themselves, from exchanges that have finished.
    pub filters: BTreeMap<FilterId, FilterSource>,
    /// Exchanges over a scan that a filter is going to be made for, and why they should wait for it.
    pub holds: BTreeMap<ExchangeId, String>,
    /// Groups of exchanges that write the same rows; one of each is enough.
    pub twins: Vec<Vec<ExchangeId>>,
    /// By join that is not shared although it is small enough: why.
    pub demoted: BTreeMap<NodeId, String>,
}

/// Lowers `plan`, returning `result` columns. Exchange and filter ids are given out from the given
/// ones on. Joins among `settled` keep their strategy and build side, whatever the sizes.
///
/// Errors: operations that a rule should have removed.
pub fn lower(
    plan: &LogicalPlan,
    result: &[ColumnRef],
    started: &BTreeMap<ExchangeId, StartedExchange>,
    settled: &SettledJoins,
    next_exchange: u32,
    next_filter: u32,
    cx: &OptimizerContext<'_>,
) -> Result<LoweredPlan> {
    let nothing = PhysicalPlan {
        id: plan.id,
        origin: plan.id,
        op: PhysicalOp::Values { rows: Vec::new() },
        inputs: Vec::new(),
        output: Vec::new(),
        estimate: Estimate::default(),
    };
    let nothing = Arc::new(nothing);
    let (spreads, distinct) = (BTreeMap::new(), BTreeMap::new());
    let (wanted, demoted) = (BTreeMap::new(), BTreeMap::new());
    let mut lowering =
        Lowering { cx, started, settled, next_exchange, next_filter, spreads, distinct, wanted, demoted, nothing };
    let (root, _) = lowering.lower(plan)?;
    let root = lowering.project_result(root, result)?;
    let mut root = lowering.exchange(root, Distribution::Any, ExchangeOrigin::Planner);
    let twins = reuse::twins(&root, cx);
    let LaterFilters { filters, holds } = lowering.filter_later_stages(&mut root, &twins);
    if !cx.config.dynamic_partition_pruning || cx.config.is_excluded_adaptively(DYNAMIC_PRUNING) {
        root = filters::keep_partitions(root, cx);
    }
    narrow::narrow(&mut root, None);
    let Lowering { spreads, next_filter, demoted, .. } = lowering;
    Ok(LoweredPlan { root, spreads, next_filter, filters, holds, twins, demoted })
}

struct Lowering<'a> {
    cx: &'a OptimizerContext<'a>,
    started: &'a BTreeMap<ExchangeId, StartedExchange>,
    settled: &'a SettledJoins,
    next_exchange: u32,
    next_filter: u32,
    spreads: BTreeMap<ExchangeId, Spread>,
    /// Distinct values of the columns that scans return, as far as known.
    distinct: BTreeMap<ColumnId, f64>,
    /// By aggregate: the keys that a consumer further up asks for, fewer than its own.
    wanted: BTreeMap<NodeId, Vec<ColumnId>>,
    /// By join that is not shared although it is small enough: why.
    demoted: BTreeMap<NodeId, String>,
    /// Stands in for the physical form of leaves that only describe.
    nothing: Arc<PhysicalPlan>,
}

/// A logical node, its columns and statistics.
struct Described<'p> {
    plan: &'p LogicalPlan,
    columns: Vec<ColumnRef>,
    stats: Statistics,
    inputs: Vec<Described<'p>>,
}

impl Lowering<'_> {
    fn lower<'p>(&mut self, plan: &'p LogicalPlan) -> Result<(Lowered, Described<'p>)> {
        self.wanted.extend(wanted::wanted_by(plan));
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        let mut described = Vec::with_capacity(plan.inputs.len());
        for input in &plan.inputs {
            let (lowered, description) = self.lower(input)?;
            inputs.push(lowered);
            described.push(description);
        }
        let description = self.describe(plan, described);
        Ok((self.lower_node(&description, inputs)?, description))
    }

    /// Columns and statistics of a node from those of its inputs, so that nothing below is visited again.
    fn describe<'p>(&self, plan: &'p LogicalPlan, inputs: Vec<Described<'p>>) -> Described<'p> {
        if inputs.is_empty() {
            return Described { plan, columns: plan.columns(), stats: estimate(plan, self.cx), inputs };
        }
        let leaf = |input: &Described<'_>| {
            let pinned = Pinned {
                physical: self.nothing.clone(),
                columns: input.columns.clone(),
                stats: input.stats.clone(),
                finished: false,
            };
            LogicalPlan::leaf(input.plan.id, LogicalOp::Pinned(pinned))
        };
        let node = LogicalPlan { id: plan.id, op: plan.op.clone(), inputs: inputs.iter().map(leaf).collect() };
        let mut stats = estimate(&node, self.cx);
        if let Some(rows) = recalled_rows(plan, self.cx) {
            stats = with_rows(stats, rows, false);
        }
        Described { plan, columns: node.columns(), stats, inputs }
    }

    fn lower_node(&mut self, plan: &Described<'_>, mut inputs: Vec<Lowered>) -> Result<Lowered> {
        if let LogicalOp::Union { .. } = plan.plan.op {
            return Ok(self.union(plan, inputs));
        }
        if let LogicalOp::Join { .. } = plan.plan.op {
            return self.join(plan, inputs);
        }
        match (&plan.plan.op, inputs.pop()) {
            (LogicalOp::Scan(scan), None) => self.scan(plan, scan),
            (LogicalOp::Values { rows, .. }, None) => {
                let op = PhysicalOp::Values { rows: rows.clone() };
                Ok(Lowered { plan: self.node(plan, op, Vec::new()), part: Part::One })
            }
            (LogicalOp::Pinned(pinned), None) => self.pinned(plan, pinned),
            (LogicalOp::Filter { predicate }, Some(input)) => {
                let op = PhysicalOp::Filter { predicate: predicate.clone() };
                Ok(Lowered { part: input.part, plan: self.node(plan, op, vec![input.plan]) })
            }
            (LogicalOp::Project { exprs }, Some(input)) => {
                let part = input.part.map_keys(|hash| {
                    exprs.iter().for_each(|(column, expr)| hash.alias(expr, column));
                    hash.restrict(&plan.columns);
                });
                let op = PhysicalOp::Project { exprs: exprs.iter().map(|(_, expr)| expr.clone()).collect() };
                Ok(Lowered { part, plan: self.node(plan, op, vec![input.plan]) })
            }
            (LogicalOp::Expand { projections, .. }, Some(input)) => {
                let op = PhysicalOp::Expand { projections: projections.clone() };
                Ok(Lowered { part: input.part.forget_keys(), plan: self.node(plan, op, vec![input.plan]) })
            }
            (LogicalOp::Aggregate { keys, aggregates }, Some(input)) => self.aggregate(plan, keys, aggregates, input),
            (LogicalOp::Window { partition_by, order_by, calls }, Some(input)) => {
                let input = self.clustered(input, partition_by);
                let op = PhysicalOp::Window {
                    partition_by: partition_by.clone(),
                    order_by: order_by.clone(),
                    calls: calls.clone(),
                };
                Ok(Lowered { part: input.part, plan: self.node(plan, op, vec![input.plan]) })
            }
            (LogicalOp::Sort { keys, fetch: None, global: false }, Some(input)) => {
                Ok(self.sort_within(plan, keys, input))
            }
            (LogicalOp::Sort { keys, fetch, .. }, Some(input)) => Ok(self.sort(plan, keys, *fetch, input)),
            (LogicalOp::Limit { skip, fetch }, Some(input)) => Ok(self.limit(plan, *skip, *fetch, input)),
            (LogicalOp::Repartition { kind, partitions }, Some(input)) => {
                Ok(self.repartition(plan, kind, *partitions, input))
            }
            (LogicalOp::DependentJoin { .. }, _) => {
                Err(Error::unsupported("this correlated subquery cannot be planned as a join"))
            }
            (LogicalOp::SetOp { .. }, _) => Err(Error::internal("a set operation was not rewritten to joins")),
            _ => Err(Error::internal("a logical node has the wrong number of inputs")),
        }
    }

    /// A physical form of the logical node `plan`.
    fn node(&self, plan: &Described<'_>, op: PhysicalOp, inputs: Vec<PhysicalPlan>) -> PhysicalPlan {
        let (output, estimate) = (plan.columns.clone(), self.estimate(plan));
        PhysicalPlan { id: self.cx.ids.node(), origin: plan.plan.id, op, inputs, output, estimate }
    }

    /// Rows and bytes of a logical plan: exact for a finished exchange, if facts may be used.
    fn estimate(&self, plan: &Described<'_>) -> Estimate {
        if let Some(stats) = self.pinned_stats(plan.plan) {
            return Estimate { rows: stats.total_rows() as f64, bytes: stats.total_bytes() as f64, exact: true };
        }
        let stats = &plan.stats;
        let bytes = stats.rows * row_width(&plan.columns, stats);
        match self.outgrown(plan.plan) {
            Some(so_far) => {
                Estimate { rows: stats.rows.max(so_far.rows), bytes: bytes.max(so_far.bytes), exact: false }
            }
            None => Estimate { rows: stats.rows, bytes, exact: stats.exact },
        }
    }

    /// The exchange that a leaf is nothing but a read of, if what is known of it may be used.
    fn pinned_exchange(&self, plan: &LogicalPlan) -> Option<&StartedExchange> {
        match &plan.op {
            LogicalOp::Pinned(Pinned { physical, .. }) if self.cx.config.adaptive => match physical.op {
                PhysicalOp::ExchangeRead { exchange, .. } => self.started.get(&exchange),
                _ => None,
            },
            _ => None,
        }
    }

    /// What was counted of a leaf that is nothing but a finished exchange.
    fn pinned_stats(&self, plan: &LogicalPlan) -> Option<&ExchangeStats> {
        self.pinned_exchange(plan)?.stats.as_ref()
    }

    /// What has been written so far of a leaf that is nothing but an exchange which is too large to be shared.
    fn outgrown(&self, plan: &LogicalPlan) -> Option<Estimate> {
        self.pinned_exchange(plan).filter(|started| started.grows())?.outgrown
    }

    /// Ends a stage with an exchange.
    fn exchange(&mut self, input: Lowered, distribution: Distribution, origin: ExchangeOrigin) -> PhysicalPlan {
        let id = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        let spread = match input.part {
            Part::Elastic { .. } => Spread::Elastic,
            Part::One => Spread::One,
            Part::Partitioned(_) => Spread::Partitioned,
        };
        self.spreads.insert(id, spread);
        let form = match self.cx.config.exchange_mode {
            // The result goes to the client, not to other tasks.
            ExchangeMode::Serialized if distribution != Distribution::Any => ExchangeForm::Serialized,
            _ => ExchangeForm::Memory,
        };
        PhysicalPlan {
            id: self.cx.ids.node(),
            origin: input.plan.origin,
            output: input.plan.output.clone(),
            estimate: input.plan.estimate,
            op: PhysicalOp::Exchange(Exchange { id, distribution, form, origin }),
            inputs: vec![input.plan],
        }
    }

    /// All rows in one task.
    fn single(&mut self, input: Lowered) -> Lowered {
        if input.part == Part::One {
            return input;
        }
        if matches!(input.plan.op, PhysicalOp::ExchangeRead { .. }) {
            return Lowered { plan: read_partitioned(input.plan), part: Part::One };
        }
        let plan = self.exchange(input, Distribution::Single, ExchangeOrigin::Planner);
        Lowered { plan, part: Part::One }
    }

    /// One task, if the input has been counted and is so small that several gain nothing.
    fn single_if_small(&mut self, input: Lowered) -> Lowered {
        let small = input.plan.estimate.exact && input.plan.estimate.rows <= ONE_TASK_ROWS;
        if small && matches!(input.plan.op, PhysicalOp::ExchangeRead { .. }) { self.single(input) } else { input }
    }

    /// Rows that agree in `exprs` in one task; all rows if there are none.
    fn clustered(&mut self, input: Lowered, exprs: &[Expr]) -> Lowered {
        let exprs: Vec<Expr> = exprs.iter().filter(|e| e.as_literal().is_none()).cloned().collect();
        if exprs.is_empty() {
            return self.single(input);
        }
        if input.part == Part::One {
            return input;
        }
        if let Some(hash) = input.part.hash().filter(|hash| hash.gathers(&exprs)).cloned() {
            return Lowered { plan: read_partitioned(input.plan), part: Part::Partitioned(hash) };
        }
        let input = self.single_if_small(input);
        if input.part == Part::One {
            return input;
        }
        let bytes = input.plan.estimate.bytes;
        let partitions = self.partitions_for(bytes).max(self.partitions_to_hold(&input.plan.estimate));
        self.hash(input, exprs, partitions)
    }

    /// Exchange by the hash of `keys`.
    fn hash(&mut self, input: Lowered, keys: Vec<Expr>, partitions: u32) -> Lowered {
        let distribution = Distribution::Hash { keys, partitions };
        let part = HashPart::of(&distribution).map_or(Part::One, Part::Partitioned);
        Lowered { plan: self.exchange(input, distribution, ExchangeOrigin::Planner), part }
    }

    /// Number of partitions for so many bytes: the set number, else enough that none is expected to be
    /// larger than the advisory size.
    fn partitions_for(&self, bytes: f64) -> u32 {
        let config = self.cx.config;
        let least = config.hash_partitions();
        if config.shuffle_partitions.is_some() {
            return least;
        }
        least.max(parts_of(bytes, config.advisory_bytes().max(1) as f64, 1024.0))
    }

    /// Least number of partitions with which the memory holds what all workers make of one each, if a partition has
    /// to be held as a whole.
    fn partitions_to_hold(&self, kept: &Estimate) -> u32 {
        let config = self.cx.config;
        if config.shuffle_partitions.is_some() {
            return 1;
        }
        parts_of(kept.table_bytes(), config.held_bytes() as f64, MOST_FOR_TABLES)
    }

    /// Least number of partitions with which the table of each is small enough to be fast.
    fn partitions_for_tables(&self, kept: &Estimate) -> u32 {
        let config = self.cx.config;
        if config.shuffle_partitions.is_some() || config.advisory_partition_bytes.is_some() {
            return 1;
        }
        parts_of(kept.table_bytes(), NEAR_TABLE, MOST_FOR_TABLES)
    }

    fn scan(&mut self, plan: &Described<'_>, scan: &Scan) -> Result<Lowered> {
        let mut filter_columns: Vec<ColumnRef> = Vec::new();
        for column in scan.filters.iter().flat_map(Expr::columns) {
            if !filter_columns.contains(&column) {
                filter_columns.push(column);
            }
        }
        let request = ScanRequest {
            columns: positions(&scan.columns, &scan.source)?,
            filters: scan.filters.clone(),
            filter_columns: positions(&filter_columns, &scan.source)?,
            runtime_filters: Vec::new(),
            limit: scan.limit,
        };
        let known = plan.stats.columns.iter().filter_map(|(id, column)| Some((*id, column.distinct?)));
        self.distinct.extend(known);
        let op = PhysicalOp::Scan { table: scan.table.clone(), request };
        Ok(Lowered { plan: self.node(plan, op, Vec::new()), part: Part::elastic() })
    }

    /// The form in which a subtree was started.
    fn pinned(&mut self, plan: &Described<'_>, pinned: &Pinned) -> Result<Lowered> {
        let mut physical = (*pinned.physical).clone();
        physical.estimate = self.estimate(plan);
        let read = spine_leaf(&physical);
        let PhysicalOp::ExchangeRead { exchange, .. } = read.op else {
            return Err(Error::internal("a pinned plan does not read an exchange"));
        };
        let started = &self.started.get(&exchange).ok_or_else(|| Error::internal("a pin of an unknown exchange"))?;
        let columns = started.columns.iter().zip(&read.output);
        let columns = columns.map(|(written, read)| (written.id, Expr::Column(read.clone()))).collect();
        let hash = HashPart::of(&started.exchange.distribution).map(|mut hash| {
            hash.keys.iter_mut().flatten().for_each(|key| *key = substitute(key.clone(), &columns));
            hash
        });
        let part = match (&physical.op, hash) {
            (PhysicalOp::ExchangeRead { .. }, Some(hash))
                if started.exchange.origin != ExchangeOrigin::Planner || !self.cx.config.local_reads =>
            {
                physical = read_partitioned(physical);
                Part::Partitioned(hash)
            }
            (PhysicalOp::ExchangeRead { .. }, hash) => Part::Elastic { hash },
            (PhysicalOp::HashAggregate(aggregate), Some(hash)) if aggregate.mode == AggregateMode::Final => {
                Part::Partitioned(hash)
            }
            _ => Part::One,
        };
        Ok(Lowered { plan: physical, part })
    }

    /// Inputs with one task each share a stage, as do those that are partitioned, each with tasks of its own, and
    /// those of which tasks take any rows, which tasks for partitions do too. One task beside others ends a stage.
    fn union(&mut self, plan: &Described<'_>, inputs: Vec<Lowered>) -> Lowered {
        // What is done to the rows of a union within a branch of another one would have to be done for each of its
        // own branches: it ends a stage.
        let nested = |plan: &PhysicalPlan| !is_union(plan) && is_union(spine_leaf(plan));
        let apart = |lowering: &mut Self, input: Lowered| {
            let plan = lowering.exchange(input, Distribution::Single, ExchangeOrigin::Planner);
            Lowered { plan, part: Part::elastic() }
        };
        let inputs: Vec<Lowered> =
            inputs.into_iter().map(|input| if nested(&input.plan) { apart(self, input) } else { input }).collect();
        let is_elastic = |input: &Lowered| matches!(input.part, Part::Elastic { .. }) || streams_values(&input.plan);
        let count = |input: &Lowered| match &input.part {
            Part::Partitioned(hash) => Some(hash.partitions),
            _ => None,
        };
        let counts: Vec<u32> = inputs.iter().filter_map(count).collect();
        let (part, inputs) = if inputs.iter().all(|input| input.part == Part::One) {
            (Part::One, inputs)
        } else {
            let fits = |input: &Lowered| count(input).is_some() || is_elastic(input);
            let inputs = inputs.into_iter().map(|input| if fits(&input) { input } else { apart(self, input) });
            let partitioned = Part::Partitioned(HashPart::unknown(counts.iter().sum()));
            (if counts.is_empty() { Part::elastic() } else { partitioned }, inputs.collect())
        };
        let branches = |input: Lowered| if is_union(&input.plan) { input.plan.inputs } else { vec![input.plan] };
        let inputs = inputs.into_iter().flat_map(branches).collect();
        Lowered { plan: self.node(plan, PhysicalOp::Union, inputs), part }
    }

    fn limit(&mut self, plan: &Described<'_>, skip: u64, fetch: Option<u64>, input: Lowered) -> Lowered {
        let mut input = self.single_if_small(input);
        if input.part != Part::One {
            if let Some(fetch) = fetch {
                let op = PhysicalOp::Limit { skip: 0, fetch: Some(skip.saturating_add(fetch)) };
                input = Lowered { plan: self.node(plan, op, vec![input.plan]), part: input.part };
            }
            input = self.single(input);
        }
        let op = PhysicalOp::Limit { skip, fetch };
        Lowered { plan: self.node(plan, op, vec![input.plan]), part: Part::One }
    }

    /// The columns of the result in their order; rules may return them in another one.
    fn project_result(&mut self, input: Lowered, result: &[ColumnRef]) -> Result<Lowered> {
        if input.plan.output.iter().map(|c| c.id).eq(result.iter().map(|c| c.id)) {
            return Ok(input);
        }
        let exprs = result
            .iter()
            .map(|column| input.plan.output.iter().find(|c| c.id == column.id).cloned().map(Expr::Column))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a column of the result was lost in planning"))?;
        let plan = PhysicalPlan {
            id: self.cx.ids.node(),
            origin: self.cx.ids.node(),
            op: PhysicalOp::Project { exprs },
            output: result.to_vec(),
            estimate: input.plan.estimate,
            inputs: vec![input.plan],
        };
        Ok(Lowered { plan, part: input.part })
    }
}

fn is_union(plan: &PhysicalPlan) -> bool {
    matches!(plan.op, PhysicalOp::Union)
}

/// Literal rows and what is done to each of them alone. One task of an elastic stage takes the rows; what
/// must see all of them (and returns a row even for none) would run in every task.
fn streams_values(plan: &PhysicalPlan) -> bool {
    match &plan.op {
        PhysicalOp::Values { .. } => true,
        PhysicalOp::Filter { .. } | PhysicalOp::Project { .. } | PhysicalOp::Expand { .. } => {
            plan.inputs.iter().all(streams_values)
        }
        _ => false,
    }
}

/// Each column with its position among `source`.
fn positions(columns: &[ColumnRef], source: &[ColumnRef]) -> Result<Vec<(ColumnRef, usize)>> {
    let position = |column: &ColumnRef| {
        let index = source.iter().position(|c| c.id == column.id);
        index.map(|i| (column.clone(), i)).ok_or_else(|| Error::internal(format!("a scan has no column {column}")))
    };
    columns.iter().map(position).collect()
}

/// The plan that a started exchange leaves behind: `read` in the place of the exchange, under the nodes
/// above it that were made from the same logical node. With it, the id of that node.
pub(crate) fn pin_of(root: &PhysicalPlan, exchange: ExchangeId, read: &PhysicalPlan) -> Option<(NodeId, PhysicalPlan)> {
    if let PhysicalOp::Exchange(e) = &root.op
        && e.id == exchange
    {
        return Some((root.origin, read.clone()));
    }
    for (i, input) in root.inputs.iter().enumerate() {
        let Some((origin, below)) = pin_of(input, exchange, read) else { continue };
        let same_node = root.origin == origin && !matches!(root.op, PhysicalOp::Exchange(_));
        if !same_node || root.op.spine_input() != Some(i) {
            return Some((origin, below));
        }
        return Some((origin, PhysicalPlan { inputs: vec![read_partitioned(below)], ..root.clone() }));
    }
    None
}

/// A read of an exchange that has been started.
pub(crate) fn read_of(exchange: &PhysicalPlan, id: ExchangeId, cx: &OptimizerContext<'_>) -> PhysicalPlan {
    PhysicalPlan {
        id: cx.ids.node(),
        op: PhysicalOp::ExchangeRead { exchange: id, read: ReadMode::Elastic },
        inputs: Vec::new(),
        ..exchange.clone()
    }
}

/// Partitions that are made for the sake of tables, at most.
const MOST_FOR_TABLES: f64 = 256.0;

/// How many parts `bytes` have if no part is to have more than `each`: a power of two, at most `most`.
fn parts_of(bytes: f64, each: f64, most: f64) -> u32 {
    let wanted = (bytes / each).ceil().clamp(1.0, most);
    (wanted as u32).next_power_of_two()
}
