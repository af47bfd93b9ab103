//! Which task of which query runs next, where, and what a failure means: a pure state machine.
//!
//! `on_event` takes what happened and returns what to do. There is no clock, no randomness and no hash-map order
//! inside, so that any history can be replayed. There is one scheduler per process; queries share its slots:
//!
//! - A free slot goes to the query with the fewest running tasks; of equal ones, to the oldest.
//! - Every query may run its *share* of the slots (at least one task), also when others hold them all: tasks
//!   of a scan live as long as their stage, and a short query must not wait for that. A task of a query above its share
//!   is then parked at the end of its time slice, until there is a slot for it again.
//! - Within a query, what was parked comes first, then the most urgent stage; of equal ones, the one with the least number.
//!
//! A task that failed for a reason that another attempt may cure is started again, up to a number of attempts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use firesteel_common::{Error, ExecutorId, QueryId, StageId, TaskId};

/// What happened in a query.
#[derive(Clone, Debug)]
pub enum Event {
    /// It has begun; stages may follow.
    QueryStarted {
        /// Failed attempts of a task after which its stage has failed.
        max_failures: u32,
    },
    /// It needs nothing any more.
    QueryEnded,
    /// A stage may run.
    StageSubmitted {
        /// Which.
        stage: StageId,
        /// Number of its tasks.
        tasks: u32,
        /// Of the stages of a query, the one with more runs first.
        urgency: u64,
    },
    /// A task has run for a time slice and can be parked.
    SliceEnded(TaskId),
    /// A task has committed.
    TaskFinished(TaskId),
    /// An attempt has failed.
    TaskFailed {
        /// Which.
        task: TaskId,
        /// Why.
        error: Error,
        /// Whether running it again could not give a wrong result: nothing was handed out yet.
        repeatable: bool,
    },
    /// Nobody needs the stage any more.
    StageCancelled(StageId),
}

/// What to do for a query.
#[derive(Clone, Debug)]
pub enum Action {
    /// Start an attempt.
    Launch(TaskId, ExecutorId),
    /// Let a task wait. Only ever the answer to its own [`Event::SliceEnded`].
    Park(TaskId),
    /// Let a parked task go on.
    Resume(TaskId),
    /// All tasks of the stage have committed.
    StageFinished(StageId),
    /// The stage cannot be finished: the query fails.
    StageFailed(StageId, Error),
}

/// Slots of a process and the tasks of its queries.
#[derive(Clone, Debug)]
pub struct TaskScheduler {
    /// Slots of each executor, and how many tasks run there.
    slots: BTreeMap<ExecutorId, u32>,
    running: BTreeMap<ExecutorId, u32>,
    queries: BTreeMap<QueryId, Query>,
}

#[derive(Clone, Debug)]
struct Query {
    max_failures: u32,
    stages: BTreeMap<StageId, StageTasks>,
    running: BTreeMap<TaskId, ExecutorId>,
    /// Tasks that wait in the middle, longest first.
    parked: VecDeque<(TaskId, ExecutorId)>,
}

#[derive(Clone, Debug)]
struct StageTasks {
    pending: VecDeque<TaskId>,
    unfinished: u32,
    urgency: u64,
}

impl Query {
    fn wants_slot(&self) -> bool {
        !self.parked.is_empty() || self.stages.values().any(|stage| !stage.pending.is_empty())
    }

    /// The task to run next, and where, if it has been somewhere before.
    fn next(&mut self) -> Option<(TaskId, Option<ExecutorId>)> {
        if let Some((task, executor)) = self.parked.pop_front() {
            return Some((task, Some(executor)));
        }
        let waiting = self.stages.iter_mut().filter(|(_, stage)| !stage.pending.is_empty());
        let (_, stage) = waiting.max_by_key(|(id, stage)| (stage.urgency, Reverse(**id)))?;
        stage.pending.pop_front().map(|task| (task, None))
    }
}

impl TaskScheduler {
    /// With `slots` of each executor.
    pub fn new(slots: impl IntoIterator<Item = (ExecutorId, u32)>) -> Self {
        Self { slots: slots.into_iter().collect(), running: BTreeMap::new(), queries: BTreeMap::new() }
    }

    /// Takes in an event of a query; returns what to do, for this and for other queries.
    pub fn on_event(&mut self, id: QueryId, event: Event) -> Vec<(QueryId, Action)> {
        let mut actions = Vec::new();
        match event {
            Event::QueryStarted { max_failures } => {
                let (stages, running, parked) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
                self.queries.insert(id, Query { max_failures, stages, running, parked });
            }
            Event::QueryEnded => {
                let query = self.queries.remove(&id);
                query.iter().flat_map(|q| q.running.values()).for_each(|executor| self.give_back(*executor));
            }
            Event::StageSubmitted { stage, tasks, urgency } => {
                let pending = (0..tasks).map(|task| TaskId { stage, task, attempt: 0 }).collect();
                if tasks == 0 {
                    actions.push((id, Action::StageFinished(stage)));
                } else if let Some(query) = self.queries.get_mut(&id) {
                    query.stages.insert(stage, StageTasks { pending, unfinished: tasks, urgency });
                }
            }
            Event::SliceEnded(task) => self.slice_ended(id, task, &mut actions),
            Event::TaskFinished(task) => {
                self.release(id, task);
                if let Some(query) = self.queries.get_mut(&id)
                    && let Some(stage) = query.stages.get_mut(&task.stage)
                {
                    stage.unfinished -= 1;
                    if stage.unfinished == 0 {
                        query.stages.remove(&task.stage);
                        actions.push((id, Action::StageFinished(task.stage)));
                    }
                }
            }
            Event::TaskFailed { task, error, repeatable } => {
                self.release(id, task);
                if let Some(failed) = self.failed(id, task, error, repeatable) {
                    actions.push((id, failed));
                }
            }
            Event::StageCancelled(stage) => {
                if let Some(query) = self.queries.get_mut(&id) {
                    query.stages.remove(&stage);
                }
            }
        }
        self.schedule(&mut actions);
        actions
    }

    /// Whether more tasks run than there are slots, so that the end of a slice matters.
    pub fn is_crowded(&self) -> bool {
        self.running.values().sum::<u32>() > self.slots.values().sum()
    }

    fn give_back(&mut self, executor: ExecutorId) {
        self.running.entry(executor).and_modify(|n| *n -= 1);
    }

    fn release(&mut self, id: QueryId, task: TaskId) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        query.parked.retain(|(parked, _)| *parked != task);
        if let Some(executor) = query.running.remove(&task) {
            self.give_back(executor);
        }
    }

    fn slice_ended(&mut self, id: QueryId, task: TaskId, actions: &mut Vec<(QueryId, Action)>) {
        let (crowded, share) = (self.is_crowded(), self.share());
        let Some(query) = self.queries.get_mut(&id) else { return };
        if crowded
            && query.running.len() > share
            && let Some(executor) = query.running.remove(&task)
        {
            query.parked.push_back((task, executor));
            self.give_back(executor);
            actions.push((id, Action::Park(task)));
        }
    }

    fn failed(&mut self, id: QueryId, task: TaskId, error: Error, repeatable: bool) -> Option<Action> {
        // The stage may be gone: cancelled, or failed through another task.
        let query = self.queries.get_mut(&id)?;
        let stage = query.stages.get_mut(&task.stage)?;
        let failures = task.attempt + 1;
        if error.kind().is_retryable() && repeatable && failures < query.max_failures {
            stage.pending.push_front(TaskId { attempt: failures, ..task });
            return None;
        }
        query.stages.remove(&task.stage);
        let error = if failures > 1 {
            error.with_context(format!(
                "running task {} in stage {}, which failed {failures} times",
                task.task, task.stage
            ))
        } else {
            error
        };
        Some(Action::StageFailed(task.stage, error))
    }

    /// Slots that every query may use that has something to run.
    fn share(&self) -> usize {
        let slots: u32 = self.slots.values().sum();
        let active = self.queries.values().filter(|q| !q.running.is_empty() || q.wants_slot()).count();
        (slots as usize / active.max(1)).max(1)
    }

    fn schedule(&mut self, actions: &mut Vec<(QueryId, Action)>) {
        let share = self.share();
        loop {
            let waiting = self.queries.iter().filter(|(_, query)| query.wants_slot());
            let Some(id) = waiting.min_by_key(|(id, query)| (query.running.len(), **id)).map(|(id, _)| *id) else {
                return;
            };
            // The executor with most free slots (which may be negative); the first of several.
            let used = |executor: &ExecutorId| i64::from(self.running.get(executor).copied().unwrap_or(0));
            let free = self.slots.iter().map(|(executor, slots)| (i64::from(*slots) - used(executor), *executor));
            let Some((free, best)) = free.max_by_key(|(free, executor)| (*free, Reverse(*executor))) else {
                return;
            };
            let Some(query) = self.queries.get_mut(&id) else { return };
            if free <= 0 && query.running.len() >= share {
                return;
            }
            let Some((task, parked)) = query.next() else { return };
            let executor = parked.unwrap_or(best);
            query.running.insert(task, executor);
            *self.running.entry(executor).or_default() += 1;
            actions.push((id, parked.map_or(Action::Launch(task, executor), |_| Action::Resume(task))));
        }
    }

    /// Number of tasks that run or are parked.
    pub fn tasks(&self) -> usize {
        self.queries.values().map(|query| query.running.len() + query.parked.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: QueryId = QueryId(7);

    fn launched(actions: &[(QueryId, Action)]) -> Vec<(u32, u32, u32)> {
        let of = |a: &(QueryId, Action)| match a.1 {
            Action::Launch(t, _) => Some((t.stage.0, t.task, t.attempt)),
            _ => None,
        };
        actions.iter().filter_map(of).collect()
    }

    /// What happens to whom: `+` launched, `-` parked, `>` resumed.
    fn moves(actions: &[(QueryId, Action)]) -> Vec<String> {
        let of = |(q, a): &(QueryId, Action)| match a {
            Action::Launch(t, _) => Some(format!("{}+{}", q.0, t.task)),
            Action::Park(t) => Some(format!("{}-{}", q.0, t.task)),
            Action::Resume(t) => Some(format!("{}>{}", q.0, t.task)),
            _ => None,
        };
        actions.iter().filter_map(of).collect()
    }

    fn id(stage: u32, task: u32, attempt: u32) -> TaskId {
        TaskId { stage: StageId(stage), task, attempt }
    }

    fn scheduler(slots: u32, queries: &[u64]) -> TaskScheduler {
        let mut scheduler = TaskScheduler::new([(ExecutorId(0), slots)]);
        for query in queries {
            scheduler.on_event(QueryId(*query), Event::QueryStarted { max_failures: 4 });
        }
        scheduler
    }

    fn submit(s: &mut TaskScheduler, query: u64, stage: u32, tasks: u32) -> Vec<(QueryId, Action)> {
        s.on_event(QueryId(query), Event::StageSubmitted { stage: StageId(stage), tasks, urgency: 0 })
    }

    #[test]
    fn the_most_urgent_stage_gets_the_next_slot() {
        let mut s = scheduler(1, &[7]);
        assert_eq!(launched(&submit(&mut s, 7, 0, 2)), [(0, 0, 0)]);
        submit(&mut s, 7, 1, 1);
        s.on_event(Q, Event::StageSubmitted { stage: StageId(2), tasks: 1, urgency: 9 });
        assert_eq!(launched(&s.on_event(Q, Event::TaskFinished(id(0, 0, 0)))), [(2, 0, 0)]);
        assert_eq!(launched(&s.on_event(Q, Event::TaskFinished(id(2, 0, 0)))), [(0, 1, 0)]);
    }

    #[test]
    fn slots_are_filled_in_the_order_of_stages() {
        let mut s = scheduler(2, &[7]);
        assert_eq!(launched(&submit(&mut s, 7, 1, 3)), [(1, 0, 0), (1, 1, 0)]);
        assert!(submit(&mut s, 7, 0, 1).is_empty());
        assert_eq!(launched(&s.on_event(Q, Event::TaskFinished(id(1, 0, 0)))), [(0, 0, 0)]);
        let actions = s.on_event(Q, Event::TaskFinished(id(0, 0, 0)));
        assert!(matches!(actions[0].1, Action::StageFinished(StageId(0))));
        assert_eq!(launched(&actions), [(1, 2, 0)]);
    }

    #[test]
    fn retries_are_decided_by_kind() {
        let mut s = scheduler(1, &[7]);
        submit(&mut s, 7, 0, 1);
        let failed =
            |attempt| Event::TaskFailed { task: id(0, 0, attempt), error: Error::io("gone"), repeatable: true };
        for attempt in 0..3 {
            assert_eq!(launched(&s.on_event(Q, failed(attempt))), [(0, 0, attempt + 1)]);
        }
        let actions = s.on_event(Q, failed(3));
        assert!(matches!(&actions[0].1, Action::StageFailed(_, e) if e.context()[0].contains("failed 4 times")));

        submit(&mut s, 7, 1, 1);
        let error = Error::divide_by_zero();
        let actions = s.on_event(Q, Event::TaskFailed { task: id(1, 0, 0), error, repeatable: true });
        assert!(matches!(&actions[0].1, Action::StageFailed(_, e) if e.condition() == "DIVIDE_BY_ZERO"));
    }

    #[test]
    fn what_was_handed_out_is_not_run_again() {
        let mut s = scheduler(1, &[7]);
        submit(&mut s, 7, 0, 1);
        let error = Error::io("gone");
        let actions = s.on_event(Q, Event::TaskFailed { task: id(0, 0, 0), error, repeatable: false });
        assert!(matches!(&actions[0].1, Action::StageFailed(..)));
        assert_eq!(s.tasks(), 0);
    }

    #[test]
    fn a_cancelled_stage_frees_its_slots_and_never_finishes() {
        let mut s = scheduler(1, &[7]);
        submit(&mut s, 7, 0, 2);
        submit(&mut s, 7, 1, 1);
        assert!(s.on_event(Q, Event::StageCancelled(StageId(0))).is_empty());
        let error = Error::cancelled("");
        let actions = s.on_event(Q, Event::TaskFailed { task: id(0, 0, 0), error, repeatable: true });
        assert_eq!(launched(&actions), [(1, 0, 0)]);
    }

    #[test]
    fn a_free_slot_goes_to_the_query_that_has_fewest() {
        let mut s = scheduler(4, &[1, 2]);
        assert_eq!(moves(&submit(&mut s, 1, 0, 3)), ["1+0", "1+1", "1+2"]);
        // One slot is free, the second task comes on top: two of four are the share.
        assert_eq!(moves(&submit(&mut s, 2, 0, 9)), ["2+0", "2+1"]);
        assert_eq!(moves(&s.on_event(QueryId(1), Event::TaskFinished(id(0, 0, 0)))), [""; 0]);
        assert_eq!(moves(&s.on_event(QueryId(2), Event::TaskFinished(id(0, 0, 0)))), ["2+2"]);
        // The first query has nothing to start: the second may use its slots.
        assert_eq!(moves(&s.on_event(QueryId(1), Event::TaskFinished(id(0, 1, 0)))), ["2+3"]);
        assert_eq!(moves(&s.on_event(QueryId(1), Event::QueryEnded)), ["2+4"]);
        assert_eq!(s.tasks(), 4);
    }

    #[test]
    fn a_short_query_takes_its_share_from_a_long_one_and_gives_it_back() {
        let mut s = scheduler(2, &[1, 2]);
        assert_eq!(moves(&submit(&mut s, 1, 0, 2)), ["1+0", "1+1"]);
        assert_eq!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 0, 0)))), [""; 0]);
        assert_eq!(moves(&submit(&mut s, 2, 0, 2)), ["2+0"]);
        assert!(s.is_crowded());
        // The short query is within its share; the long one is not.
        assert_eq!(moves(&s.on_event(QueryId(2), Event::SliceEnded(id(0, 0, 0)))), [""; 0]);
        assert_eq!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 1, 0)))), ["1-1"]);
        assert!(!s.is_crowded());
        assert_eq!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 0, 0)))), [""; 0]);
        assert_eq!(moves(&s.on_event(QueryId(2), Event::TaskFinished(id(0, 0, 0)))), ["2+1"]);
        assert_eq!(moves(&s.on_event(QueryId(2), Event::TaskFinished(id(0, 1, 0)))), ["1>1"]);
    }

    #[test]
    fn more_queries_than_slots_run_a_task_each() {
        let mut s = scheduler(2, &[1, 2, 3]);
        for query in 1..=3 {
            let started = moves(&submit(&mut s, query, 0, 2));
            assert_eq!(started[0], format!("{query}+0"));
        }
        assert_eq!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 1, 0)))), ["1-1"]);
        assert_eq!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 0, 0)))), [""; 0]);
        assert_eq!(s.tasks(), 4);
        s.on_event(QueryId(2), Event::QueryEnded);
        s.on_event(QueryId(3), Event::QueryEnded);
        assert_eq!(s.tasks(), 2);
    }

    #[test]
    fn a_parked_task_may_fail() {
        let mut s = scheduler(1, &[1, 2]);
        submit(&mut s, 1, 0, 1);
        submit(&mut s, 2, 0, 1);
        assert!(moves(&s.on_event(QueryId(1), Event::SliceEnded(id(0, 0, 0)))).is_empty(), "one task is its share");
        let error = Error::cancelled("");
        s.on_event(QueryId(1), Event::TaskFailed { task: id(0, 0, 0), error, repeatable: true });
        s.on_event(QueryId(2), Event::TaskFinished(id(0, 0, 0)));
        assert_eq!((s.tasks(), s.running[&ExecutorId(0)]), (0, 0));
    }
}
