//! What a task may use.

use std::sync::Arc;

use firesteel_common::TaskId;
use firesteel_expr::EvalContext;
use firesteel_runtime::{CancelToken, MemoryPool, Reservation, Usage};

/// The surroundings of one attempt of one task.
#[derive(Clone, Debug)]
pub struct TaskContext {
    /// Which attempt.
    pub id: TaskId,
    /// For expressions.
    pub eval: EvalContext,
    /// Rows of the batches that operators make.
    pub batch_rows: usize,
    /// The pool of the query.
    pub memory: Arc<MemoryPool>,
    /// What the operator that gets the context holds in all tasks.
    pub usage: Arc<Usage>,
    /// Set when the query or the stage is no longer wanted.
    pub cancel: CancelToken,
}

impl TaskContext {
    /// An empty reservation in the name of `operator` of this task.
    pub fn reserve(&self, operator: &str) -> Reservation {
        let name = format!("{operator} (stage {}, task {})", self.id.stage, self.id.task);
        self.memory.reserve(name).counted_in(self.usage.clone())
    }

    /// The context of an operator whose bytes are counted in `usage`.
    #[must_use]
    pub fn counted_in(&self, usage: &Arc<Usage>) -> Self {
        Self { usage: usage.clone(), ..self.clone() }
    }
}
