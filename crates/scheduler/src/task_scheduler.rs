//! Which task runs next, where, and what a failure means: a pure state machine.
//!
//! `on_event` takes what happened and returns what to do. There is no clock, no randomness and no hash-map order
//! inside, so that any history can be replayed. Stages with a lower number come first; a task that failed for a
//! reason that another attempt may cure is started again, up to a number of attempts.

use std::collections::{BTreeMap, VecDeque};

use firesteel_common::{Error, ExecutorId, StageId, TaskId};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stage may run.
    StageSubmitted {
        /// Which.
        stage: StageId,
        /// Number of its tasks.
        tasks: u32,
    },
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

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Start an attempt.
    Launch(TaskId, ExecutorId),
    /// All tasks of the stage have committed.
    StageFinished(StageId),
    /// The stage cannot be finished: the query fails.
    StageFailed(StageId, Error),
}

/// Attempts and slots of a query.
#[derive(Clone, Debug)]
pub struct TaskScheduler {
    max_failures: u32,
    free: BTreeMap<ExecutorId, u32>,
    stages: BTreeMap<StageId, StageTasks>,
    running: BTreeMap<TaskId, ExecutorId>,
}

#[derive(Clone, Debug)]
struct StageTasks {
    pending: VecDeque<TaskId>,
    unfinished: u32,
}

impl TaskScheduler {
    /// With `slots` of each executor, and at most `max_failures` failed attempts of a task.
    pub fn new(slots: impl IntoIterator<Item = (ExecutorId, u32)>, max_failures: u32) -> Self {
        Self { max_failures, free: slots.into_iter().collect(), stages: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// Takes in an event.
    pub fn on_event(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::StageSubmitted { stage, tasks } => {
                let pending = (0..tasks).map(|task| TaskId { stage, task, attempt: 0 }).collect();
                self.stages.insert(stage, StageTasks { pending, unfinished: tasks });
                if tasks == 0 {
                    self.stages.remove(&stage);
                    actions.push(Action::StageFinished(stage));
                }
            }
            Event::TaskFinished(task) => {
                self.release(task);
                if let Some(stage) = self.stages.get_mut(&task.stage) {
                    stage.unfinished -= 1;
                    if stage.unfinished == 0 {
                        self.stages.remove(&task.stage);
                        actions.push(Action::StageFinished(task.stage));
                    }
                }
            }
            Event::TaskFailed { task, error, repeatable } => {
                self.release(task);
                self.failed(task, error, repeatable, &mut actions);
            }
            Event::StageCancelled(stage) => {
                self.stages.remove(&stage);
            }
        }
        self.launch(&mut actions);
        actions
    }

    fn release(&mut self, task: TaskId) {
        if let Some(executor) = self.running.remove(&task) {
            *self.free.entry(executor).or_default() += 1;
        }
    }

    fn failed(&mut self, task: TaskId, error: Error, repeatable: bool, actions: &mut Vec<Action>) {
        // The stage may be gone: cancelled, or failed through another task.
        let Some(stage) = self.stages.get_mut(&task.stage) else { return };
        let failures = task.attempt + 1;
        if error.kind().is_retryable() && repeatable && failures < self.max_failures {
            stage.pending.push_front(TaskId { attempt: failures, ..task });
            return;
        }
        self.stages.remove(&task.stage);
        let error = if failures > 1 {
            error.with_context(format!(
                "running task {} in stage {}, which failed {failures} times",
                task.task, task.stage
            ))
        } else {
            error
        };
        actions.push(Action::StageFailed(task.stage, error));
    }

    fn launch(&mut self, actions: &mut Vec<Action>) {
        for stage in self.stages.values_mut() {
            while let Some(task) = stage.pending.front().copied() {
                // The executor with most free slots; the first of several.
                let best =
                    self.free.iter().filter(|(_, n)| **n > 0).max_by_key(|(id, n)| (**n, std::cmp::Reverse(**id)));
                let Some(executor) = best.map(|(id, _)| *id) else { return };
                stage.pending.pop_front();
                self.free.entry(executor).and_modify(|n| *n -= 1);
                self.running.insert(task, executor);
                actions.push(Action::Launch(task, executor));
            }
        }
    }

    /// Number of attempts that run.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(actions: &[Action]) -> Vec<(u32, u32, u32)> {
        let of = |a: &Action| match a {
            Action::Launch(t, _) => Some((t.stage.0, t.task, t.attempt)),
            _ => None,
        };
        actions.iter().filter_map(of).collect()
    }

    fn id(stage: u32, task: u32, attempt: u32) -> TaskId {
        TaskId { stage: StageId(stage), task, attempt }
    }

    fn scheduler(slots: u32) -> TaskScheduler {
        TaskScheduler::new([(ExecutorId(0), slots)], 4)
    }

    #[test]
    fn slots_are_filled_in_the_order_of_stages() {
        let mut s = scheduler(2);
        assert_eq!(
            launched(&s.on_event(Event::StageSubmitted { stage: StageId(1), tasks: 3 })),
            [(1, 0, 0), (1, 1, 0)]
        );
        assert!(s.on_event(Event::StageSubmitted { stage: StageId(0), tasks: 1 }).is_empty());
        assert_eq!(launched(&s.on_event(Event::TaskFinished(id(1, 0, 0)))), [(0, 0, 0)]);
        let actions = s.on_event(Event::TaskFinished(id(0, 0, 0)));
        assert!(matches!(actions[0], Action::StageFinished(StageId(0))));
        assert_eq!(launched(&actions), [(1, 2, 0)]);
    }

    #[test]
    fn retries_are_decided_by_kind() {
        let mut s = scheduler(1);
        s.on_event(Event::StageSubmitted { stage: StageId(0), tasks: 1 });
        for attempt in 0..3 {
            let actions =
                s.on_event(Event::TaskFailed { task: id(0, 0, attempt), error: Error::io("gone"), repeatable: true });
            assert_eq!(launched(&actions), [(0, 0, attempt + 1)]);
        }
        let actions = s.on_event(Event::TaskFailed { task: id(0, 0, 3), error: Error::io("gone"), repeatable: true });
        assert!(matches!(&actions[0], Action::StageFailed(_, e) if e.context()[0].contains("failed 4 times")));

        s.on_event(Event::StageSubmitted { stage: StageId(1), tasks: 1 });
        let error = Error::divide_by_zero();
        let actions = s.on_event(Event::TaskFailed { task: id(1, 0, 0), error, repeatable: true });
        assert!(matches!(&actions[0], Action::StageFailed(_, e) if e.condition() == "DIVIDE_BY_ZERO"));
    }

    #[test]
    fn what_was_handed_out_is_not_run_again() {
        let mut s = scheduler(1);
        s.on_event(Event::StageSubmitted { stage: StageId(0), tasks: 1 });
        let actions = s.on_event(Event::TaskFailed { task: id(0, 0, 0), error: Error::io("gone"), repeatable: false });
        assert!(matches!(&actions[0], Action::StageFailed(..)));
        assert_eq!(s.running(), 0);
    }

    #[test]
    fn a_cancelled_stage_frees_its_slots_and_never_finishes() {
        let mut s = scheduler(1);
        s.on_event(Event::StageSubmitted { stage: StageId(0), tasks: 2 });
        s.on_event(Event::StageSubmitted { stage: StageId(1), tasks: 1 });
        assert!(s.on_event(Event::StageCancelled(StageId(0))).is_empty());
        let error = Error::cancelled("");
        let actions = s.on_event(Event::TaskFailed { task: id(0, 0, 0), error, repeatable: true });
        assert_eq!(launched(&actions), [(1, 0, 0)]);
    }
}
