//! A stage in one process: what its tasks share, and how a task's pipeline is built from the plan.
//!
//! The plan has one spine, from the root down through the inputs that stream; a UNION forks it. Sources are
//! at its leaves. The other input of a join is a finished exchange: tasks build one hash table of it
//! together (shared), or each its own (partitioned; slices of one partition together), before their pipeline starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firesteel_catalog::{ScanContext, ScanMetrics, ScanRequest, TableRef};
use firesteel_common::{Batch, Error, ExchangeId, NodeId, PartitionSpec, Result, TaskId, encoding};
use firesteel_expr::evaluator::{Evaluator, Layout};
use firesteel_expr::{ColumnRef, SortKey};
use firesteel_plan::{
    BuildMode, Distribution, FilterSource, HashJoin, JoinKind, PhysicalOp, PhysicalPlan, ReadMode, Side, Stage,
    TaskLayout,
};
use firesteel_runtime::{CancelToken, Reservation, Usage};
use firesteel_shuffle::Block;
use parking_lot::Mutex;

use crate::carried::{Carried, carried};
use crate::context::TaskContext;
use crate::metrics::{MetricsMap, OperatorMetrics};
use crate::once::Once;
use crate::operator::{Operator, Sink, Source, Worker};
use crate::operators::expand::ExpandOperator;
use crate::operators::filter::FilterOperator;
use crate::operators::hash_aggregate::{HashAggregateOperator, Share};
use crate::operators::hash_join::{HashJoinOperator, JoinBuild, JoinSpec, JoinTable, runtime_filter_of};
use crate::operators::limit::LimitOperator;
use crate::operators::nested_loop_join::{NestedLoopBuild, NestedLoopJoinOperator};
use crate::operators::project::ProjectOperator;
use crate::operators::sort::SortOperator;
use crate::operators::sort::ranges::{Bounds, Ranges};
use crate::operators::top_k::TopKOperator;
use crate::operators::window::WindowOperator;
use crate::pipeline::{Branch, PipelineTask, SLICE, Slot, TaskMetrics};
use crate::services::QueryServices;
use crate::sink::{ExchangeSink, ResultSink, Route};
use crate::slices::Slices;
use crate::source::{ScanQueue, WorkQueue, block_source, elastic_source, scan_source, values_source};

/// The shared side of a stage. Freed when its last task has ended.
pub struct StageExecution {
    stage: Arc<Stage>,
    services: Arc<QueryServices>,
    scans: BTreeMap<NodeId, Arc<ScanQueue>>,
    blocks: BTreeMap<NodeId, Arc<WorkQueue<Block>>>,
    builds: BTreeMap<NodeId, Once<JoinBuild>>,
    loops: BTreeMap<NodeId, Once<NestedLoopBuild>>,
    slices: Slices,
    /// Columns that joins return as rows of their build sides.
    carried: Carried,
    published: BTreeMap<NodeId, Once<()>>,
    /// Where ranges of an order begin.
    bounds: Once<Bounds>,
    /// The filters of earlier stages have been made.
    filtered: Once<()>,
    metrics: Mutex<TaskMetrics>,
    /// Bytes held by the stage, and by each operator.
    usage: Arc<Usage>,
    usages: BTreeMap<NodeId, Arc<Usage>>,
    /// Bytes of the output, which outlive the stage.
    output_usage: Arc<Usage>,
    cancel: CancelToken,
}

impl StageExecution {
    /// Prepares `stage`: resolves its tables and opens the queues of its inputs. Reads no rows.
    pub fn new(stage: Arc<Stage>, services: Arc<QueryServices>) -> Result<Arc<Self>> {
        let mut this = Self {
            stage: stage.clone(),
            cancel: services.cancel.child(),
            services,
            scans: BTreeMap::new(),
            blocks: BTreeMap::new(),
            builds: BTreeMap::new(),
            loops: BTreeMap::new(),
            slices: Slices::of(&stage.tasks, &stage.plan),
            carried: carried(&stage.plan),
            published: BTreeMap::new(),
            bounds: Once::default(),
            filtered: Once::default(),
            metrics: Mutex::default(),
            usage: Arc::default(),
            usages: BTreeMap::new(),
            output_usage: Arc::default(),
        };
        this.output_usage = this.usage.part();
        let mut nodes = Vec::new();
        stage.plan.visit(&mut |node| nodes.push(node));
        for node in nodes {
            this.prepare(node)?;
        }
        Ok(Arc::new(this))
    }

    fn prepare(&mut self, node: &PhysicalPlan) -> Result<()> {
        self.usages.insert(node.id, self.usage.part());
        match &node.op {
            PhysicalOp::Scan { table, request } => {
                let queue = self.scan_queue(table, request)?;
                self.scans.insert(node.id, Arc::new(queue));
            }
            PhysicalOp::ExchangeRead { exchange, read: ReadMode::Elastic } => {
                let blocks = self.services.shuffle.blocks(*exchange, &PartitionSpec::All)?;
                self.blocks.insert(node.id, Arc::new(WorkQueue::new(blocks)));
            }
            PhysicalOp::HashJoin(join) if join.mode == BuildMode::Partitioned => self.slices.add_join(node.id),
            PhysicalOp::HashJoin(_) => {
                self.builds.insert(node.id, Once::default());
                self.published.insert(node.id, Once::default());
            }
            PhysicalOp::NestedLoopJoin { .. } => {
                self.loops.insert(node.id, Once::default());
            }
            _ => {}
        }
        Ok(())
    }

    fn scan_queue(&self, table: &TableRef, request: &ScanRequest) -> Result<ScanQueue> {
        let provider = self.services.tables.resolve(table)?;
        let context = ScanContext {
            eval: self.services.eval.clone(),
            batch_rows: self.services.batch_rows,
            workers: self.services.workers,
            runtime_filters: self.services.filters.clone(),
            shared: self.services.pages.columns(table.id),
            metrics: Arc::new(ScanMetrics::default()),
        };
        Ok(ScanQueue::new(provider.scan(request.clone())?, context))
    }

    /// The stage.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Cancelled with the stage.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Stops the tasks of the stage; the query goes on.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What the operators of the tasks that have ended did, by physical node.
    pub fn metrics(&self) -> MetricsMap {
        let mut metrics = self.metrics.lock().operators.clone();
        for (node, usage) in self.usages.iter().filter(|(_, usage)| usage.peak() > 0) {
            metrics.entry(*node).or_default().memory = usage.peak();
        }
        metrics
    }

    /// What its tasks and its output hold.
    pub fn usage(&self) -> Arc<Usage> {
        self.usage.clone()
    }

    /// Most bytes that its tasks and its output held at a time.
    pub fn peak_memory(&self) -> u64 {
        self.usage.peak()
    }

    /// What was written by the tasks that have ended; the memory is that of attempts that were given up, too.
    pub fn output_metrics(&self) -> OperatorMetrics {
        OperatorMetrics { memory: self.output_usage.peak(), ..self.metrics.lock().output }
    }

    /// Counters of the scans, by physical node.
    pub fn scan_metrics(&self) -> Vec<(NodeId, Arc<ScanMetrics>)> {
        self.scans.iter().map(|(id, queue)| (*id, queue.context().metrics.clone())).collect()
    }

    /// Runs one attempt of one task, on a thread that `worker` lends.
    pub async fn run_task(self: Arc<Self>, id: TaskId, worker: Arc<dyn Worker>) -> Result<()> {
        let cx = TaskContext {
            id,
            eval: self.services.eval.clone(),
            batch_rows: self.services.batch_rows,
            memory: self.services.memory.clone(),
            usage: self.usage.clone(),
            cancel: self.cancel.clone(),
        };
        cx.cancel.check()?;
        let publish = || self.stage.filters.iter().try_for_each(|f| self.publish_keys(f)).map(Arc::new);
        self.filtered.get_or_make(|()| true, publish)?;
        let mut builds = TaskBuilds::default();
        self.prepare_builds(&self.stage.plan, &cx, &*worker, &mut builds).await?;
        let mut shared = Vec::new();
        let mut branches = Vec::new();
        self.pipeline(&self.stage.plan, &cx, &builds, true, &mut shared, &mut branches)?;
        shared.reverse();
        let sink = self.sink(&cx)?;
        let metrics = PipelineTask::new(branches, shared, sink, cx.cancel.clone(), worker).run().await?;
        self.slices.end(id.task);
        let mut all = self.metrics.lock();
        metrics.operators.iter().for_each(|(node, m)| all.operators.entry(*node).or_default().merge(m));
        builds.times.iter().for_each(|(node, time)| all.operators.entry(*node).or_default().time += *time);
        all.output.merge(&metrics.output);
        Ok(())
    }

    /// Makes the filter of the keys that an earlier stage has written.
    fn publish_keys(&self, source: &FilterSource) -> Result<()> {
        let shuffle = &self.services.shuffle;
        let ty = shuffle.types(source.exchange)?.get(source.column).cloned().ok_or_else(|| missing("filter key"))?;
        let blocks = shuffle.blocks(source.exchange, &PartitionSpec::All)?;
        let keys = |block: &Block| encoding::canonical(&block.read()?.column(source.column)?, &ty);
        let keys = blocks.iter().map(keys).collect::<Result<Vec<_>>>()?;
        self.services.filters.publish(source.id, runtime_filter_of(&keys, &ty)?);
        Ok(())
    }

    /// Builds the hash tables of all joins on the spine, the shared ones together with other tasks.
    async fn prepare_builds(
        &self,
        root: &PhysicalPlan,
        cx: &TaskContext,
        worker: &dyn Worker,
        builds: &mut TaskBuilds,
    ) -> Result<()> {
        let mut joins = Vec::new();
        root.visit(&mut |node| {
            if matches!(node.op, PhysicalOp::HashJoin(_) | PhysicalOp::NestedLoopJoin { .. }) {
                joins.push(node);
            }
        });
        for node in joins {
            let cx = &self.counted(node, cx);
            let start = Instant::now();
            match &node.op {
                PhysicalOp::HashJoin(join) => {
                    let table = self.join_table(node, join, cx, worker).await?;
                    builds.tables.insert(node.id, table);
                }
                PhysicalOp::NestedLoopJoin { build, .. } => {
                    let made = self.loops.get(&node.id).ok_or_else(|| missing("nested loop build"))?;
                    let input = &node.inputs[build.index()];
                    let make = || {
                        let (batches, _memory) = self.build_batches(input, "NestedLoopJoin build", cx)?;
                        NestedLoopBuild::new(batches, &input.output, self.tasks(), cx)
                    };
                    builds.loops.insert(node.id, made.get_or_make(|_| true, make)?);
                }
                _ => {}
            }
            builds.times.insert(node.id, start.elapsed());
        }
        Ok(())
    }

    /// The context of an operator of `node`.
    fn counted(&self, node: &PhysicalPlan, cx: &TaskContext) -> TaskContext {
        cx.counted_in(self.usages.get(&node.id).unwrap_or(&self.usage))
    }

    async fn join_table(
        &self,
        node: &PhysicalPlan,
        join: &HashJoin,
        cx: &TaskContext,
        worker: &dyn Worker,
    ) -> Result<Arc<JoinTable>> {
        let input = &node.inputs[join.build.index()];
        let make = |tasks: usize| {
            let spec = JoinSpec::new(join, &node.inputs[0].output, &node.inputs[1].output, &node.output)?;
            let spec = match self.carried.get(&node.id) {
                Some(columns) => spec.carrying(columns, &node.output),
                None => spec,
            };
            let (batches, memory) = self.build_batches(input, "HashJoin build", cx)?;
            JoinBuild::new(Arc::new(spec), batches, memory, tasks, cx)
        };
        let build = match join.mode {
            BuildMode::Shared => {
                let once = self.builds.get(&node.id).ok_or_else(|| missing("join build"))?;
                once.get_or_make(|build| !build.has_failed(), || make(self.tasks()))?
            }
            BuildMode::Partitioned => match self.slices.of_task(cx.id.task) {
                Some(slice) => {
                    let once = self.slices.build(node.id, slice).ok_or_else(|| missing("join build"))?;
                    once.get_or_make(|build| !build.has_failed(), || make(slice.count as usize))?
                }
                None => make(1)?,
            },
        };
        while !build.help(cx, SLICE)? {
            worker.slice_end().await?;
        }
        let table = build.ready(&cx.cancel).await?;
        if join.mode == BuildMode::Shared
            && let Some(published) = self.published.get(&node.id)
        {
            published.get_or_make(|()| true, || self.publish(join, &table).map(Arc::new))?;
        }
        Ok(table)
    }

    fn publish(&self, join: &HashJoin, table: &JoinTable) -> Result<()> {
        for (id, key) in &join.filters {
            if let Some(filter) = table.runtime_filter(*key)? {
                self.services.filters.publish(*id, filter);
            }
        }
        Ok(())
    }

    fn tasks(&self) -> usize {
        self.stage.tasks.tasks() as usize
    }

    /// The rows of a build side, which is always a read of an exchange, and the memory of those that come from disk:
    /// that of others is the exchange's.
    fn build_batches(&self, input: &PhysicalPlan, name: &str, cx: &TaskContext) -> Result<(Vec<Batch>, Reservation)> {
        let PhysicalOp::ExchangeRead { exchange, read } = &input.op else {
            return Err(Error::internal("the build side of a join must read an exchange"));
        };
        let spec = match read {
            ReadMode::Partitioned => self.spec(*exchange, cx)?,
            ReadMode::Shared | ReadMode::Elastic => PartitionSpec::All,
        };
        let mut memory = cx.reserve(name);
        let read = |block: &Block| {
            if block.is_spilled() {
                memory.try_grow(block.bytes() as usize)?;
            }
            block.read()
        };
        let batches = self.services.shuffle.blocks(*exchange, &spec)?.iter().map(read).collect::<Result<_>>()?;
        Ok((batches, memory))
    }

    fn spec(&self, exchange: ExchangeId, cx: &TaskContext) -> Result<PartitionSpec> {
        let TaskLayout::PerInput(inputs) = &self.stage.tasks else {
            return Err(Error::internal("a partitioned read needs a task per input"));
        };
        let input = inputs.get(cx.id.task as usize).ok_or_else(|| missing("task input"))?;
        input.specs.get(&exchange).cloned().ok_or_else(|| missing("partition spec"))
    }

    /// Adds the operators of `node` and of the spine below to `slots` (nearest to the sink first), and the
    /// sources to `branches`. `slots` are shared by all branches while `top` is true.
    fn pipeline(
        &self,
        node: &PhysicalPlan,
        cx: &TaskContext,
        builds: &TaskBuilds,
        top: bool,
        slots: &mut Vec<Slot>,
        branches: &mut Vec<Branch>,
    ) -> Result<()> {
        if matches!(node.op, PhysicalOp::Union) {
            for input in &node.inputs {
                let mut own = Vec::new();
                // Operators between two unions are made once per branch: each is a streaming one there.
                if !top {
                    return Err(Error::internal("nested unions must be flattened"));
                }
                self.pipeline(input, cx, builds, false, &mut own, branches)?;
            }
            return Ok(());
        }
        if let (PhysicalOp::Coalesce { .. }, Some(input)) = (&node.op, node.inputs.first()) {
            return self.pipeline(input, cx, builds, top, slots, branches);
        }
        if let Some((operator, input)) = self.operator(node, cx, builds)? {
            slots.push(Slot::new(node.id, operator));
            return self.pipeline(input, cx, builds, top, slots, branches);
        }
        let source = self.source(node, cx)?;
        let operators = if top {
            Vec::new()
        } else {
            let mut own = std::mem::take(slots);
            own.reverse();
            own
        };
        branches.push(Branch { node: node.id, source, operators });
        Ok(())
    }

    /// The operator of a node and the input that streams into it; `None` for a leaf.
    fn operator<'a>(
        &self,
        node: &'a PhysicalPlan,
        cx: &TaskContext,
        builds: &TaskBuilds,
    ) -> Result<Option<(Box<dyn Operator>, &'a PhysicalPlan)>> {
        let Some(first) = node.inputs.first() else { return Ok(None) };
        let columns: &[ColumnRef] = &first.output;
        let cx = &self.counted(node, cx);
        let operator: Box<dyn Operator> = match &node.op {
            PhysicalOp::Filter { predicate } => Box::new(FilterOperator::new(predicate, columns, cx)?),
            PhysicalOp::Project { exprs } => Box::new(ProjectOperator::new(exprs, columns, cx)?),
            PhysicalOp::Expand { projections } => Box::new(ExpandOperator::new(projections, columns, cx)?),
            PhysicalOp::HashAggregate(aggregate) => {
                let groups_per_row = node.estimate.rows / first.estimate.rows.max(1.0);
                let share = self.slices.share(node.id, cx.id.task);
                let of = share.as_ref().map_or(1, |slice| u64::from(slice.count));
                let rows = self.rows_read(first, cx)?.map(|rows| rows / of);
                let operator = HashAggregateOperator::new(aggregate, columns, &node.output, cx)?;
                let operator = operator.expect(groups_per_row, rows);
                let operator = match share {
                    Some(slice) => operator.share(Share::new(&aggregate.keys, columns, slice, cx)?),
                    None => operator,
                };
                match self.slices.groups(node.id, cx.id.task) {
                    Some(point) => Box::new(operator.gather(point, cx.reserve("HashAggregate"))),
                    None => Box::new(operator),
                }
            }
            PhysicalOp::Sort { keys } => {
                let operator = SortOperator::new(keys, columns, cx)?.returning(columns, &node.output);
                match self.slices.rows(node.id, cx.id.task) {
                    Some(point) => Box::new(operator.gather(point, cx.reserve("Sort"))),
                    None => Box::new(operator),
                }
            }
            PhysicalOp::TopK { keys, limit } => Box::new(TopKOperator::new(keys, *limit, columns, cx)?),
            PhysicalOp::Limit { skip, fetch } => Box::new(LimitOperator::new(*skip, *fetch)),
            PhysicalOp::Window { partition_by, order_by, calls } => {
                let operator = WindowOperator::new(partition_by, order_by, calls, columns, cx)?;
                let operator = operator.returning(columns, &node.output);
                match self.slices.rows(node.id, cx.id.task) {
                    Some(point) => Box::new(operator.gather(point, cx.reserve("Window"))),
                    None => Box::new(operator),
                }
            }
            PhysicalOp::HashJoin(join) => {
                let table = builds.tables.get(&node.id).ok_or_else(|| missing("join table"))?.clone();
                let index = match join.mode {
                    BuildMode::Shared => cx.id.task,
                    BuildMode::Partitioned => self.slices.of_task(cx.id.task).map_or(0, |slice| slice.index),
                };
                let operator = Box::new(HashJoinOperator::new(table, index, cx)?);
                return Ok(Some((operator, &node.inputs[join.build.other().index()])));
            }
            PhysicalOp::NestedLoopJoin { kind, condition, build } => {
                return Ok(Some(self.nested_loop(node, kind, condition.as_ref(), *build, cx, builds)?));
            }
            other => return Err(Error::internal(format!("no operator for {other:?}"))),
        };
        Ok(Some((operator, first)))
    }

    fn nested_loop<'a>(
        &self,
        node: &'a PhysicalPlan,
        kind: &JoinKind,
        condition: Option<&firesteel_expr::Expr>,
        build: Side,
        cx: &TaskContext,
        builds: &TaskBuilds,
    ) -> Result<(Box<dyn Operator>, &'a PhysicalPlan)> {
        let made = builds.loops.get(&node.id).ok_or_else(|| missing("nested loop build"))?.clone();
        let (left, right) = (&node.inputs[0].output, &node.inputs[1].output);
        let operator =
            NestedLoopJoinOperator::new(kind, condition, build, made, left, right, &node.output, cx.id.task, cx)?;
        Ok((Box::new(operator), &node.inputs[build.other().index()]))
    }

    /// How many rows the task reads from `node`, where that is known before: a part of an exchange.
    fn rows_read(&self, node: &PhysicalPlan, cx: &TaskContext) -> Result<Option<u64>> {
        let PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } = &node.op else { return Ok(None) };
        let blocks = self.services.shuffle.blocks(*exchange, &self.spec(*exchange, cx)?)?;
        Ok(Some(blocks.iter().map(|block| block.rows()).sum()))
    }

    fn source(&self, node: &PhysicalPlan, cx: &TaskContext) -> Result<Source> {
        let shuffle = &self.services.shuffle;
        match &node.op {
            PhysicalOp::Scan { .. } => {
                let queue = self.scans.get(&node.id).ok_or_else(|| missing("scan"))?;
                Ok(scan_source(queue.clone(), cx.id.task))
            }
            PhysicalOp::Values { rows } if cx.id.task == 0 => values_source(rows, &node.output, &cx.eval),
            PhysicalOp::Values { .. } => Ok(Box::pin(futures::stream::empty())),
            PhysicalOp::ExchangeRead { exchange, read } => {
                let spec = match read {
                    ReadMode::Elastic => {
                        let queue = self.blocks.get(&node.id).ok_or_else(|| missing("blocks"))?;
                        return Ok(elastic_source(queue.clone(), cx.id.task));
                    }
                    ReadMode::Partitioned => self.spec(*exchange, cx)?,
                    ReadMode::Shared => PartitionSpec::All,
                };
                let blocks = shuffle.blocks(*exchange, &spec)?;
                Ok(block_source(blocks, shuffle.types(*exchange)?, cx.batch_rows))
            }
            other => Err(Error::internal(format!("{other:?} is not a source"))),
        }
    }

    /// So many ranges of an order of what the stage reads, and where they begin.
    fn ranges(
        &self,
        keys: &[SortKey],
        columns: &[ColumnRef],
        count: u32,
        cx: &TaskContext,
    ) -> Result<(Ranges, Arc<Bounds>)> {
        let reads = self.stage.plan.reads();
        let [(exchange, _)] = reads.as_slice() else {
            return Err(Error::internal("ranges are of the rows of one exchange"));
        };
        let mut ranges = Ranges::new(keys, columns, &cx.eval)?;
        let bounds = self.bounds.get_or_make(
            |_| true,
            || {
                let blocks = self.services.shuffle.blocks(*exchange, &PartitionSpec::All)?;
                ranges.bounds(&blocks, count).map(Arc::new)
            },
        )?;
        Ok((ranges, bounds))
    }

    fn sink(&self, cx: &TaskContext) -> Result<Box<dyn Sink>> {
        let output = &self.stage.output;
        let columns = &self.stage.plan.output;
        match &output.distribution {
            Distribution::Any => {
                let types = columns.iter().map(|c| c.ty.clone()).collect();
                Ok(Box::new(ResultSink::new(self.services.clone(), types)))
            }
            distribution => {
                let writer = self.services.shuffle.writer(output.id, cx.id, self.output_usage.clone())?;
                let route = match distribution {
                    Distribution::Hash { keys, .. } => {
                        let evaluator = Evaluator::compile(keys, &Layout::new(columns), &cx.eval)?;
                        Route::Hash(evaluator, keys.iter().map(firesteel_expr::Expr::ty).collect(), Vec::new())
                    }
                    Distribution::Range { keys, partitions } => {
                        let (ranges, bounds) = self.ranges(keys, columns, *partitions, cx)?;
                        Route::Range(ranges, bounds, Vec::new())
                    }
                    _ => Route::Any,
                };
                Ok(Box::new(ExchangeSink::new(writer, route)))
            }
        }
    }
}

/// What a task has built before its pipeline starts.
#[derive(Default)]
struct TaskBuilds {
    tables: BTreeMap<NodeId, Arc<JoinTable>>,
    loops: BTreeMap<NodeId, Arc<NestedLoopBuild>>,
    /// Time that the task has spent on them.
    times: BTreeMap<NodeId, Duration>,
}

fn missing(what: &str) -> Error {
    Error::internal(format!("{what} is missing in the stage"))
}
