//! The executor of a process: its workers, shared by all queries that run at once.
//!
//! The cluster owns the [`TaskScheduler`] and carries its decisions to the queries: a query joins, tells what happens
//! to its stages and tasks, and takes its actions from a queue. The tasks themselves live in the scope of the query's
//! coordinator, so that they end with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firesteel_common::{ExecutorId, QueryId, Result, TaskId};
use firesteel_exec::Worker;
use firesteel_runtime::CancelToken;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::task_scheduler::{Action, Event, TaskScheduler};

/// The only executor of a local cluster.
const LOCAL: ExecutorId = ExecutorId(0);

/// The workers of a process.
#[derive(Debug)]
pub struct LocalCluster {
    state: Mutex<State>,
    /// Whether tasks must ask at the end of a slice: read without the lock.
    crowded: AtomicBool,
}

#[derive(Debug)]
struct State {
    scheduler: TaskScheduler,
    /// Where the actions of each query go.
    queries: BTreeMap<QueryId, mpsc::UnboundedSender<Action>>,
    /// Wakes tasks that are parked.
    parked: BTreeMap<(QueryId, TaskId), oneshot::Sender<()>>,
}

impl LocalCluster {
    /// A cluster of one executor with `workers` slots.
    pub fn new(workers: usize) -> Arc<Self> {
        let scheduler = TaskScheduler::new([(LOCAL, workers.max(1) as u32)]);
        let state = State { scheduler, queries: BTreeMap::new(), parked: BTreeMap::new() };
        Arc::new(Self { state: Mutex::new(state), crowded: AtomicBool::new(false) })
    }

    /// Number of tasks that run or wait in the middle, of all queries.
    pub fn tasks(&self) -> usize {
        self.state.lock().scheduler.tasks()
    }

    /// Lets a query take part. `id` is of this query alone.
    pub(crate) fn join(self: &Arc<Self>, id: QueryId, max_failures: u32) -> QueryPort {
        let (sender, actions) = mpsc::unbounded();
        self.state.lock().queries.insert(id, sender);
        let port = QueryPort { cluster: self.clone(), id, actions };
        port.tell(Event::QueryStarted { max_failures });
        port
    }

    /// Takes in an event and hands out what follows. If the task of the event is parked, what wakes it.
    fn on_event(&self, id: QueryId, event: Event) -> Option<oneshot::Receiver<()>> {
        let mut parked = None;
        let mut state = self.state.lock();
        if matches!(event, Event::QueryEnded) {
            state.queries.remove(&id);
            state.parked.retain(|(query, _), _| *query != id);
        }
        for (query, action) in state.scheduler.on_event(id, event) {
            match action {
                Action::Park(task) => {
                    let (wake, woken) = oneshot::channel();
                    state.parked.insert((query, task), wake);
                    parked = Some(woken);
                }
                Action::Resume(task) => {
                    if let Some(wake) = state.parked.remove(&(query, task)) {
                        // A task that has been given up meanwhile says so by another event.
                        let _ = wake.send(());
                    }
                }
                action => {
                    if let Some(sender) = state.queries.get(&query) {
                        // As above: a query whose coordinator is gone leaves by itself.
                        let _ = sender.unbounded_send(action);
                    }
                }
            }
        }
        self.crowded.store(state.scheduler.is_crowded(), Ordering::Relaxed);
        parked
    }
}

/// A query's part in the cluster; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct QueryPort {
    cluster: Arc<LocalCluster>,
    id: QueryId,
    /// What to do.
    pub(crate) actions: mpsc::UnboundedReceiver<Action>,
}

impl QueryPort {
    pub(crate) fn tell(&self, event: Event) {
        self.cluster.on_event(self.id, event);
    }

    /// The worker that `task` runs on.
    pub(crate) fn worker(&self, task: TaskId, cancel: CancelToken) -> Arc<dyn Worker> {
        Arc::new(LocalWorker { cluster: self.cluster.clone(), query: self.id, task, cancel })
    }
}

impl Drop for QueryPort {
    fn drop(&mut self) {
        self.tell(Event::QueryEnded);
    }
}

/// A slot of the cluster, lent to one attempt of a task.
struct LocalWorker {
    cluster: Arc<LocalCluster>,
    query: QueryId,
    task: TaskId,
    cancel: CancelToken,
}

impl Worker for LocalWorker {
    fn slice_end(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.cluster.crowded.load(Ordering::Relaxed)
                && let Some(woken) = self.cluster.on_event(self.query, Event::SliceEnded(self.task))
            {
                // If the query leaves, nobody wakes it, and it is dropped.
                return self.cancel.guard(async { woken.await.map_or_else(|_| self.cancel.check(), Ok) }).await;
            }
            tokio::task::yield_now().await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use firesteel_common::StageId;
    use futures::FutureExt;
    use futures::StreamExt;

    use super::*;

    #[test]
    fn a_task_above_the_share_waits_until_the_other_query_has_left() {
        let cluster = LocalCluster::new(2);
        let mut long = cluster.join(QueryId(1), 4);
        long.tell(Event::StageSubmitted { stage: StageId(0), tasks: 2, urgency: 0 });
        let tasks: Vec<TaskId> = (0..2)
            .map(|_| match long.actions.next().now_or_never() {
                Some(Some(Action::Launch(task, _))) => task,
                other => panic!("{other:?}"),
            })
            .collect();
        let mut short = cluster.join(QueryId(2), 4);
        short.tell(Event::StageSubmitted { stage: StageId(0), tasks: 1, urgency: 0 });
        assert!(matches!(short.actions.next().now_or_never(), Some(Some(Action::Launch(..)))));
        assert_eq!(cluster.tasks(), 3);
        let worker = long.worker(tasks[1], CancelToken::new());
        let mut waiting = worker.slice_end();
        assert!((&mut waiting).now_or_never().is_none());
        drop(short);
        assert!((&mut waiting).now_or_never().is_some_and(|result| result.is_ok()));
        // What is cancelled does not wait.
        let short = cluster.join(QueryId(3), 4);
        short.tell(Event::StageSubmitted { stage: StageId(0), tasks: 1, urgency: 0 });
        let cancel = CancelToken::new();
        let worker = long.worker(tasks[0], cancel.clone());
        let mut waiting = worker.slice_end();
        assert!((&mut waiting).now_or_never().is_none());
        cancel.cancel();
        assert!((&mut waiting).now_or_never().is_some_and(|result| result.is_err()));
        drop((long, short));
        assert_eq!(cluster.tasks(), 0);
    }
}
