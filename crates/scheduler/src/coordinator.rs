//! The coordinator of a query: one task that owns all its state.
//!
//! It asks the stage planner what to start, submits stages to the cluster, whose workers all queries share, starts
//! tasks as the cluster says, and after each group of finished stages asks the planner again, with exact facts. Nothing
//! is shared and nothing is locked but the cluster and the progress that others may look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use firesteel_common::{Config, Error, ExchangeId, ExchangeStats, IdGenerator, QueryId, Result, StageId, TaskId, show};
use firesteel_exec::{QueryServices, StageExecution};
use firesteel_optimizer::rule::{OptimizerContext, PlanFacts, TableStats, Workers};
use firesteel_optimizer::stage_planner::{Facts, StagePlanner, outgrows};
use firesteel_plan::{Distribution, ExchangeForm, Stage};
use firesteel_runtime::{TaskScope, Usage};
use firesteel_shuffle::{ExchangeLayout, Watch};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::cluster::{LocalCluster, QueryPort};
use crate::report::{Progress, QueryReport, StageReport};
use crate::task_scheduler::{Action, Event};

/// What a query needs to run.
pub struct QuerySetup {
    /// Its identity in the cluster.
    pub id: QueryId,
    /// Whose workers run its tasks.
    pub cluster: Arc<LocalCluster>,
    /// The planner, with the optimised plan.
    pub planner: StagePlanner,
    /// Settings, as they were when the query started.
    pub config: Arc<Config>,
    /// Ids of the query.
    pub ids: IdGenerator,
    /// Statistics of tables.
    pub tables: Arc<dyn TableStats>,
    /// What sampling has found.
    pub facts: PlanFacts,
    /// What tasks share.
    pub services: Arc<QueryServices>,
    /// The threads of the workers.
    pub cpu: Handle,
    /// Written by the coordinator, read by anyone.
    pub progress: Arc<Mutex<Progress>>,
}

/// Runs one query.
pub struct QueryCoordinator {
    setup: QuerySetup,
    port: QueryPort,
    /// Exchanges that have outgrown what may be shared, as told by those who write them.
    outgrown: (mpsc::UnboundedSender<ExchangeId>, mpsc::UnboundedReceiver<ExchangeId>),
    tasks: TaskScope<(TaskId, Result<()>)>,
    running: BTreeMap<StageId, RunningStage>,
    report: QueryReport,
    /// Of the stages of the report, in its order: what they wrote may go to disk when they have ended.
    usages: Vec<Arc<Usage>>,
    start: Instant,
    done: bool,
}

struct RunningStage {
    execution: Arc<StageExecution>,
    started: Instant,
    attempts: u32,
}

impl QueryCoordinator {
    /// A coordinator that has not started anything.
    pub fn new(setup: QuerySetup) -> Self {
        let port = setup.cluster.join(setup.id, setup.config.max_task_failures);
        let tasks = TaskScope::new(setup.cpu.clone());
        let (running, report, usages) = (BTreeMap::new(), QueryReport::default(), Vec::new());
        Self {
            setup,
            port,
            outgrown: mpsc::unbounded(),
            tasks,
            running,
            report,
            usages,
            start: Instant::now(),
            done: false,
        }
    }

    /// Runs the query to its end. When it returns, no task is left and all memory is given back.
    pub async fn run(mut self) -> Result<QueryReport> {
        let result = self.drive().await;
        if result.is_err() {
            self.setup.services.cancel.cancel();
        }
        while self.tasks.next().await.is_some() {}
        for (stage, usage) in self.report.stages.iter_mut().zip(&self.usages) {
            stage.spilled = usage.spilled();
        }
        self.report.total = self.start.elapsed();
        self.report.peak_memory = self.setup.services.memory.peak() as u64;
        self.report.versions = self.setup.planner.version() + 1;
        self.report.counted = self.setup.planner.counted_rows().clone();
        self.report.initial_plan = self.setup.planner.initial_plan().cloned();
        self.report.final_plan = self.setup.planner.final_plan();
        if let Some(plan) = &self.report.final_plan {
            plan.visit(&mut |node| {
                if let Some(label) = self.setup.planner.read_label(node.id) {
                    self.report.reads.insert(node.id, label);
                }
            });
        }
        result.map(|()| self.report)
    }

    async fn drive(&mut self) -> Result<()> {
        self.step()?;
        self.report.first_step = self.report.planning;
        let cancel = self.setup.services.cancel.clone();
        while !self.running.is_empty() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return cancel.check(),
                Some(action) = self.port.actions.next() => {
                    let mut finished = self.act(action)?;
                    // All stages that have finished by now are facts of one step.
                    while let Some(Some(action)) = self.port.actions.next().now_or_never() {
                        finished |= self.act(action)?;
                    }
                    if finished {
                        self.step()?;
                    }
                }
                Some(_) = self.outgrown.1.next() => self.step()?,
                Some(ended) = self.tasks.next() => self.on_ended(ended)?,
            }
        }
        if self.done {
            Ok(())
        } else {
            Err(Error::internal("the planner has started no stage for the rest of the query"))
        }
    }

    /// Asks the planner what to do now, and does it.
    fn step(&mut self) -> Result<()> {
        let begin = Instant::now();
        let facts = self.facts();
        let setup = &mut self.setup;
        let cx = OptimizerContext {
            config: &setup.config,
            ids: &setup.ids,
            eval: &setup.services.eval,
            tables: &*setup.tables,
            facts: &setup.facts,
            workers: Workers::new(setup.services.workers, firesteel_runtime::threads::cores()),
        };
        let step = setup.planner.step(&facts, &cx)?;
        self.report.planning += begin.elapsed();
        tracing::debug!(start = step.start.len(), cancel = step.cancel.len(), done = step.done, "planning step");
        self.report.notes.extend(step.notes);
        self.done |= step.done;
        step.cancel.into_iter().for_each(|stage| self.cancel_stage(stage));
        for exchange in step.release {
            self.setup.services.shuffle.release(exchange);
        }
        if let Some(readers) = step.readers {
            self.setup.services.pages.share(readers);
        }
        for stage in step.start {
            self.start_stage(stage)?;
        }
        self.show_progress();
        Ok(())
    }

    fn facts(&self) -> QueryFacts {
        let stats = |id: ExchangeId| self.setup.services.shuffle.stats(id).map(|s| (id, s));
        let started = self.report.stages.iter().map(|s| s.stage.output.id);
        let running = self.running.values().map(|s| s.execution.stage().output.id);
        QueryFacts { exchanges: started.chain(running).filter_map(stats).collect() }
    }

    fn start_stage(&mut self, stage: Stage) -> Result<()> {
        let stage = Arc::new(stage);
        let output = &stage.output;
        if output.distribution != Distribution::Any {
            let layout = ExchangeLayout {
                types: stage.plan.output.iter().map(|c| c.ty.clone()).collect(),
                partitions: output.distribution.partitions(),
                serialized: output.form == ExchangeForm::Serialized,
                watch: (output.distribution == Distribution::Broadcast).then(|| self.watch(output.id)),
            };
            self.setup.services.shuffle.register(output.id, layout);
        }
        let execution = StageExecution::new(stage.clone(), self.setup.services.clone())?;
        self.running.insert(stage.id, RunningStage { execution, started: Instant::now(), attempts: 0 });
        {
            let mut progress = self.setup.progress.lock();
            progress.stages_started += 1;
            progress.tasks += stage.tasks.tasks();
        }
        self.port.tell(Event::StageSubmitted { stage: stage.id, tasks: stage.tasks.tasks(), urgency: stage.urgency });
        Ok(())
    }

    /// Asks the planner again as soon as `exchange` is too large to be shared.
    fn watch(&self, exchange: ExchangeId) -> Arc<Watch> {
        let (config, outgrown) = (self.setup.config.clone(), self.outgrown.0.clone());
        let tell = move || {
            // Nobody asks any more when the coordinator is gone.
            let _ = outgrown.unbounded_send(exchange);
        };
        Watch::new(move |rows, bytes| outgrows(rows, bytes, &config), tell)
    }

    fn cancel_stage(&mut self, stage: StageId) {
        if let Some(running) = self.running.remove(&stage) {
            running.execution.cancel();
            self.setup.services.shuffle.release(running.execution.stage().output.id);
            self.finish_report(&running, true);
        }
        self.port.tell(Event::StageCancelled(stage));
    }

    /// Tells the cluster of the end of an attempt.
    fn on_ended(&mut self, ended: Result<(TaskId, Result<()>)>) -> Result<()> {
        let (task, result) = ended?;
        let event = match result {
            Ok(()) => {
                self.setup.progress.lock().tasks_finished += 1;
                Event::TaskFinished(task)
            }
            Err(error) => {
                let stage = self.running.get(&task.stage);
                let is_result = stage.is_some_and(|s| s.execution.stage().output.distribution == Distribution::Any);
                let handed_out = self.setup.services.result_started.load(Ordering::Acquire);
                tracing::debug!(%task, %error, "task failed");
                Event::TaskFailed { task, error, repeatable: !(is_result && handed_out) }
            }
        };
        self.port.tell(event);
        Ok(())
    }

    /// Does what the cluster says; whether a stage has finished.
    fn act(&mut self, action: Action) -> Result<bool> {
        match action {
            Action::Launch(task, _) => self.launch(task),
            Action::StageFinished(stage) => {
                self.finish_stage(stage)?;
                return Ok(true);
            }
            Action::StageFailed(_, error) => return Err(error),
            Action::Park(_) | Action::Resume(_) => return Err(Error::internal("a parked task is the cluster's part")),
        }
        Ok(false)
    }

    fn launch(&mut self, task: TaskId) {
        let Some(running) = self.running.get_mut(&task.stage) else {
            // The stage was cancelled after the cluster had decided.
            return self.port.tell(Event::TaskFinished(task));
        };
        running.attempts += 1;
        let execution = running.execution.clone();
        let worker = self.port.worker(task, execution.cancel_token());
        self.tasks.spawn(async move {
            // Caught here and not by the scope, so that the failure has the task's name.
            let attempt = std::panic::AssertUnwindSafe(execution.run_task(task, worker));
            let result = attempt.catch_unwind().await;
            Ok((task, result.unwrap_or_else(|panic| Err(firesteel_runtime::threads::panicked(&*panic)))))
        });
    }

    fn finish_stage(&mut self, id: StageId) -> Result<()> {
        let Some(running) = self.running.remove(&id) else { return Ok(()) };
        let output = &running.execution.stage().output;
        if output.distribution != Distribution::Any {
            self.setup.services.shuffle.finish(output.id)?;
        }
        self.finish_report(&running, false);
        self.setup.progress.lock().stages_finished += 1;
        Ok(())
    }

    fn finish_report(&mut self, running: &RunningStage, cancelled: bool) {
        let stage = Arc::new(running.execution.stage().clone());
        let stats = self.setup.services.shuffle.stats(stage.output.id).unwrap_or_default();
        self.usages.push(running.execution.usage());
        self.report.stages.push(StageReport {
            attempts: running.attempts,
            started: running.started - self.start,
            duration: running.started.elapsed(),
            rows: stats.rows,
            bytes: stats.bytes,
            metrics: running.execution.metrics(),
            peak_memory: running.execution.peak_memory(),
            spilled: 0,
            output: running.execution.output_metrics(),
            scans: running.execution.scan_metrics().into_iter().map(|(id, m)| (id, describe_scan(&m))).collect(),
            cancelled,
            stage,
        });
    }

    fn show_progress(&self) {
        let mut progress = self.setup.progress.lock();
        progress.memory = self.setup.services.memory.used() as u64;
        progress.decisions = self.report.notes.len() as u32;
    }
}

fn describe_scan(metrics: &firesteel_catalog::ScanMetrics) -> String {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let dropped = match read(&metrics.filters_dropped) {
        0 => String::new(),
        filters => format!(", useless runtime filters dropped {filters}"),
    };
    let shared = match read(&metrics.pages_shared) {
        0 => String::new(),
        pages => format!(", pages of other scans {}", show::count(pages)),
    };
    format!(
        "rows decoded {}, rows pruned {}, row groups pruned {}, pages pruned {}, read {}{shared}{dropped}",
        show::count(read(&metrics.rows)),
        show::count(read(&metrics.rows_pruned)),
        show::count(read(&metrics.groups_pruned)),
        show::count(read(&metrics.pages_pruned)),
        show::bytes(read(&metrics.bytes))
    )
}

struct QueryFacts {
    exchanges: BTreeMap<ExchangeId, ExchangeStats>,
}

impl Facts for QueryFacts {
    fn exchange(&self, id: ExchangeId) -> Option<&ExchangeStats> {
        self.exchanges.get(&id)
    }
}
