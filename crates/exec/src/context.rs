//! What a task may use.

use std::sync::Arc;

use firesteel_common::TaskId;
use firesteel_expr::EvalContext;
use firesteel_runtime::{CancelToken, MemoryPool, Reservation};

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
    /// Set when the query or the stage is no longer wanted.
    pub cancel: CancelToken,
}

impl TaskContext {
    /// An empty reservation in the name of `operator` of this task.
    pub fn reserve(&self, operator: &str) -> Reservation {
        self.memory.reserve(format!("{operator} (stage {}, task {})", self.id.stage, self.id.task))
    }
}
