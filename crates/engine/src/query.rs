//! Running a plan: from the bound query to a stream of its rows.

use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use firesteel_catalog::runtime_filter::NoRuntimeFilters;
use firesteel_catalog::{ScanContext, ScanMetrics, ScanRequest, TableResolver};
use firesteel_common::{Batch, Config, Error, QueryId, Result};
use firesteel_exec::{FilterRegistry, QueryServices, SharedPages};
use firesteel_expr::{ColumnRef, EvalContext, Expr};
use firesteel_optimizer::optimizer::Optimizer;
use firesteel_optimizer::rule::{OptimizerContext, PlanFacts, Workers};
use firesteel_optimizer::stage_planner::StagePlanner;
use firesteel_plan::{LogicalOp, LogicalPlan, Note, Scan};
use firesteel_runtime::{CancelToken, MemoryPool, Reservation, TaskScope, Threads};
use firesteel_scheduler::{LocalCluster, QueryCoordinator, QuerySetup};
pub use firesteel_scheduler::{Progress, QueryReport, StageReport};
use firesteel_shuffle::ShuffleStore;
use futures::channel::mpsc;
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;

use crate::dataframe::DataFrame;
use crate::history;
use crate::resolve::CatalogStats;
use crate::result::record_batch;
use crate::session::Session;

/// Batches of the result that wait for the reader.
const RESULT_BUFFER: usize = 4;

/// A query that was started: what can be known and done while it runs and after.
#[derive(Clone)]
pub struct QueryHandle(Arc<Shared>);

/// What a query took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryMetrics {
    /// Stages that ran.
    pub stages: u32,
    /// Tasks of all stages.
    pub tasks: u32,
    /// Bytes written to exchanges.
    pub shuffle_bytes: u64,
    /// Most bytes held at a time.
    pub peak_memory: u64,
    /// Bytes that were moved to disk since there was no memory for them.
    pub spilled_bytes: u64,
    /// Time from the start to the first stages.
    pub planning: Duration,
    /// Time from the first stages to the end.
    pub total: Duration,
}

pub(crate) struct Shared {
    id: QueryId,
    cancel: CancelToken,
    progress: Arc<Mutex<Progress>>,
    memory: Arc<MemoryPool>,
    outcome: Mutex<Outcome>,
    started: Instant,
}

#[derive(Default)]
struct Outcome {
    report: Option<Arc<QueryReport>>,
    optimized: Option<Arc<LogicalPlan>>,
    planning: Duration,
    /// The report has arrived, or never will.
    ended: bool,
}

impl QueryHandle {
    /// Identity in the session.
    pub fn id(&self) -> QueryId {
        self.0.id
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress { memory: self.0.memory.used() as u64, ..self.0.progress.lock().clone() }
    }

    /// Asks it to stop. Its stream ends with `OPERATION_CANCELED`.
    pub fn cancel(&self) {
        self.0.cancel.cancel();
    }

    /// Time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Stages, metrics and plans, once it has ended without an error.
    pub fn report(&self) -> Option<Arc<QueryReport>> {
        self.0.outcome.lock().report.clone()
    }

    /// What it took, once it has ended without an error.
    pub fn metrics(&self) -> Option<QueryMetrics> {
        self.report().map(|report| QueryMetrics {
            stages: report.stages.len() as u32,
            tasks: report.tasks(),
            shuffle_bytes: report.shuffle_bytes(),
            peak_memory: report.peak_memory,
            spilled_bytes: report.spilled_bytes(),
            planning: self.planning_time(),
            total: report.total,
        })
    }

    /// The decisions of the stage planner, once it has ended: versions of the plan, rules, evidence and effect as fields,
    /// and in words.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use firesteel::{Effect, Session};
    ///
    /// let session = Session::builder().config("spark.sql.autoBroadcastJoinThreshold", 1000).build()?;
    /// let few = "SELECT id FROM range(1000) GROUP BY id HAVING count(*) > 1 OR id < 3";
    /// let sql = format!("SELECT count(*) FROM range(100000) JOIN ({few}) USING (id)");
    /// let stream = session.sql(&sql).await?.stream()?;
    /// let handle = stream.handle().clone();
    /// stream.collect().await?;
    /// for decision in handle.decisions() {
    ///     if let Effect::JoinStrategy { join, from, to } = &decision.effect {
    ///         println!("plan {}, {}: {join} is {to:?} instead of {from:?}", decision.version, decision.rule);
    ///     }
    ///     for evidence in &decision.evidence {
    ///         let rows = |size: Option<firesteel::Estimate>| size.map(|size| size.rows);
    ///         println!("{}: {:?} rows, {:?} estimated", evidence.of, rows(evidence.actual), rows(evidence.estimated));
    ///     }
    /// }
    /// # Ok::<(), firesteel::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn decisions(&self) -> Vec<Note> {
        self.report().map(|report| report.notes.clone()).unwrap_or_default()
    }

    /// Time from the start to the first stages: optimising, sampling, planning.
    pub fn planning_time(&self) -> Duration {
        self.0.outcome.lock().planning
    }

    /// The logical plan after the optimizer, once it was made.
    pub fn optimized_plan(&self) -> Option<Arc<LogicalPlan>> {
        self.0.outcome.lock().optimized.clone()
    }
}

impl std::fmt::Debug for QueryHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryHandle").field("id", &self.0.id).field("progress", &self.progress()).finish()
    }
}

/// The rows of a query, as they are made. Dropping it cancels the query.
pub struct QueryStream {
    schema: SchemaRef,
    columns: Vec<ColumnRef>,
    rows: mpsc::Receiver<Batch>,
    end: Pin<Box<dyn Future<Output = Option<Result<()>>> + Send>>,
    handle: QueryHandle,
    memory: Arc<MemoryPool>,
    /// Kept, since the session may get other threads while the query runs.
    _threads: Arc<Threads>,
    done: bool,
}

impl QueryStream {
    /// Names and Arrow types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The query.
    pub fn handle(&self) -> &QueryHandle {
        &self.handle
    }

    /// A reservation for what is done with the rows.
    pub(crate) fn reserve(&self, purpose: &str) -> Reservation {
        self.memory.reserve(purpose)
    }

    /// All rows. While they are collected they count as held by the query; then they are the caller's.
    ///
    /// Errors: those of the query; `UNABLE_TO_ACQUIRE_MEMORY`.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut reservation = self.reserve("the collected result");
        let mut all = Vec::new();
        while let Some(batch) = self.next().await {
            let batch = batch?;
            let bytes: u64 = batch.columns().iter().map(firesteel_shuffle::block::row_bytes).sum();
            reservation.try_grow(bytes as usize)?;
            all.push(batch);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.rows.poll_next_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(batch)) => {
                let batch = record_batch(&batch, &self.columns, &self.schema);
                Poll::Ready(Some(batch))
            }
            Poll::Ready(None) => match self.end.poll_unpin(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(end) => {
                    self.done = true;
                    Poll::Ready(end.and_then(Result::err).map(Err))
                }
            },
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        if !self.done {
            self.handle.cancel();
        }
    }
}

/// Starts the query of `df`. Returns at once; planning is part of the query.
pub(crate) fn start(df: &DataFrame) -> Result<QueryStream> {
    let session = df.session();
    let config = Arc::new(session.config());
    let (threads, cluster) = session.workers();
    let cpu = threads.cpu()?;
    let id = session.next_query();
    let cancel = CancelToken::new();
    let memory = session.memory().child(format!("query {id}"), None);
    let (sender, rows) = mpsc::channel(RESULT_BUFFER);
    let eval = session.eval_context(&config);
    let services = Arc::new(QueryServices {
        eval,
        // Before the exchanges, since these have to write what they give back.
        pages: SharedPages::new(&memory),
        batch_rows: config.batch_rows,
        workers: config.threads,
        shuffle: ShuffleStore::new(memory.clone(), &config.temp_dir),
        memory: memory.clone(),
        tables: session.catalog().clone(),
        filters: Arc::new(FilterRegistry::default()),
        cancel: cancel.clone(),
        result: sender,
        result_started: AtomicBool::new(false),
    });
    let handle = QueryHandle(Arc::new(Shared {
        id,
        cancel,
        progress: Arc::default(),
        memory: memory.clone(),
        outcome: Mutex::default(),
        started: Instant::now(),
    }));
    session.remember(Arc::downgrade(&handle.0));
    let columns = df.output();
    let schema = df.schema();
    let mut scope = TaskScope::new(cpu.clone());
    let run = Run {
        df: df.clone(),
        config,
        services,
        handle: handle.clone(),
        columns: columns.clone(),
        cpu,
        cluster,
        _ended: Ended(handle.clone()),
    };
    scope.spawn(run.run());
    let end = Box::pin(async move { scope.next().await });
    Ok(QueryStream { schema, columns, rows, end, handle, memory, _threads: threads, done: false })
}

/// The handles of the queries among `started` that have not ended; the others are forgotten.
pub(crate) fn running(started: &mut Vec<Weak<Shared>>) -> Vec<QueryHandle> {
    let mut running = Vec::new();
    started.retain(|query| {
        let handle = query.upgrade().map(QueryHandle).filter(|handle| !handle.is_ended());
        handle.map(|handle| running.push(handle)).is_some()
    });
    running
}

/// Marks the end of a query, also of one whose stream was dropped: then its future is never polled to the end.
struct Ended(QueryHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.0.outcome.lock().ended = true;
    }
}

struct Run {
    df: DataFrame,
    config: Arc<Config>,
    services: Arc<QueryServices>,
    handle: QueryHandle,
    columns: Vec<ColumnRef>,
    cpu: tokio::runtime::Handle,
    cluster: Arc<LocalCluster>,
    /// Here and not in `run`, since a task may be dropped before it was polled at all.
    _ended: Ended,
}

impl Run {
    async fn run(self) -> Result<()> {
        let sql = self.df.sql_text();
        let result = self.execute().await;
        result.map_err(|error| match &sql {
            Some(sql) => error.in_sql(sql),
            None => error,
        })
    }

    async fn execute(self) -> Result<()> {
        let session = self.df.session().clone();
        let stats = Arc::new(CatalogStats(session.catalog().clone()));
        let ids = session.ids().clone();
        let (plan, facts) = optimized(&self.df, &self.config, &stats, &self.services.eval).await?;
        self.handle.0.outcome.lock().optimized = Some(Arc::new(plan.clone()));
        let optimized = self.handle.elapsed();
        let history_path = self.config.history_path.clone();
        let setup = QuerySetup {
            id: self.handle.id(),
            cluster: self.cluster,
            planner: StagePlanner::new(plan, self.columns),
            config: self.config,
            ids,
            tables: stats,
            facts,
            services: self.services,
            cpu: self.cpu,
            progress: self.handle.0.progress.clone(),
        };
        let report = QueryCoordinator::new(setup).run().await?;
        history::store(&history_path, &report.counted);
        let mut outcome = self.handle.0.outcome.lock();
        outcome.planning = optimized + report.first_step;
        outcome.report = Some(Arc::new(report));
        Ok(())
    }
}

/// The optimised plan of a query that has not started, and what can be known of it before: samples of its scans, which
/// joins are ordered by, and what earlier queries have counted.
pub(crate) async fn optimized(
    df: &DataFrame,
    config: &Config,
    stats: &CatalogStats,
    eval: &EvalContext,
) -> Result<(LogicalPlan, PlanFacts)> {
    let session = df.session();
    let nothing = PlanFacts::default();
    let workers = Workers::new(config.threads, firesteel_runtime::threads::cores());
    let cx = OptimizerContext { config, ids: session.ids(), eval, tables: stats, facts: &nothing, workers };
    let plan = Optimizer::once(df.plan().clone(), &cx)?;
    let facts = plan_facts(&plan, session, config, eval.clone()).await?;
    let plan = Optimizer::sampled(plan, &OptimizerContext { facts: &facts, ..cx })?;
    Ok((plan, facts))
}

async fn plan_facts(plan: &LogicalPlan, session: &Session, config: &Config, eval: EvalContext) -> Result<PlanFacts> {
    let context = ScanContext {
        eval,
        batch_rows: config.batch_rows,
        workers: config.threads,
        runtime_filters: Arc::new(NoRuntimeFilters),
        shared: None,
        metrics: Arc::new(ScanMetrics::default()),
    };
    let mut facts = sample(plan, &**session.catalog(), &context).await?;
    if config.adaptive && !config.history_path.is_empty() {
        facts.remembered = Arc::new(history::load(&config.history_path));
    }
    Ok(facts)
}

/// Samples the scans that have filters.
async fn sample(plan: &LogicalPlan, tables: &dyn TableResolver, context: &ScanContext) -> Result<PlanFacts> {
    let mut scans = Vec::new();
    plan.visit(&mut |node| {
        if let LogicalOp::Scan(scan) = &node.op
            && !scan.filters.is_empty()
        {
            scans.push((node.id, scan));
        }
    });
    let mut facts = PlanFacts::default();
    for (id, scan) in scans {
        let provider = tables.resolve(&scan.table)?;
        // A sample that fails says nothing; the scan will report what is wrong, if it matters.
        if let Ok(Some(selectivity)) = provider.sample(&sample_request(scan), context).await {
            facts.selectivity.insert(id, selectivity);
        }
    }
    Ok(facts)
}

fn sample_request(scan: &Scan) -> ScanRequest {
    let read = |filter: &Expr| filter.columns();
    let mut columns: Vec<ColumnRef> = scan.filters.iter().flat_map(read).collect();
    columns.sort_by_key(|c| c.id);
    columns.dedup();
    let position = |column: &ColumnRef| scan.source.iter().position(|c| c.id == column.id);
    ScanRequest {
        filters: scan.filters.clone(),
        filter_columns: columns.into_iter().filter_map(|c| position(&c).map(|p| (c, p))).collect(),
        ..ScanRequest::default()
    }
}

/// The context of expressions of a query that starts now.
pub(crate) fn eval_context(registry: Arc<firesteel_expr::FunctionRegistry>, config: &Config) -> EvalContext {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    EvalContext {
        registry,
        ansi: config.ansi,
        time_zone: Arc::from(config.time_zone.as_str()),
        now: now.as_micros() as i64,
    }
}

/// An error for a query whose report is asked for before it has ended.
pub(crate) fn not_ended() -> Error {
    Error::internal("the query has not ended")
}

impl QueryHandle {
    /// Whether it has ended, in whatever way.
    pub fn is_ended(&self) -> bool {
        self.0.outcome.lock().ended
    }

    /// Whether [`QueryHandle::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}
