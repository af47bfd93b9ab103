//! The contract of operators and sinks.

use std::task::{Context, Poll};

use firesteel_common::{Batch, Result};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Batches of a task's input. Where a pipeline waits for data.
pub type Source = BoxStream<'static, Result<Batch>>;

/// A step of a pipeline, owned by one task: no locks, no waiting, no spawning.
///
/// The loop calls `push` only after `next_output` has returned `None`, and after `input_done` asks
/// `next_output` until it returns `None`. No call should run longer than about 10 ms on one batch.
pub trait Operator: Send {
    /// Takes in a batch with at least one live row.
    fn push(&mut self, batch: Batch) -> Result<()>;

    /// The next batch that is ready, or `None` when more input is needed (or, after
    /// [`Operator::input_done`], when there is no more). One batch at a time bounds what is in flight.
    /// A batch without rows says "not yet": an operator that may search for long returns one now and
    /// then, so that the loop can cancel the task or let others run.
    fn next_output(&mut self) -> Result<Option<Batch>>;

    /// The input has ended.
    fn input_done(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether no more input is wanted, as after LIMIT.
    fn is_done(&self) -> bool {
        false
    }

    /// Bytes that [`Operator::spill`] could give back.
    fn reclaimable(&self) -> usize {
        0
    }

    /// Writes state out until `target` bytes are given back, if it can; returns the bytes given back. The
    /// loop calls it between batches.
    fn spill(&mut self, _target: usize) -> Result<usize> {
        Ok(0)
    }
}

/// Who lent a task the thread that it runs on.
pub trait Worker: Send + Sync {
    /// The task has run for a while and can wait: returns when it may go on, at once if nobody else wants to run.
    ///
    /// Errors: `OPERATION_CANCELED`.
    fn slice_end(&self) -> BoxFuture<'_, Result<()>>;
}

/// Whether a sink wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// More is wanted.
    Open,
    /// Nobody reads what would be written.
    Closed,
}

/// The end of a pipeline, owned by one task. Where a pipeline waits for room.
pub trait Sink: Send {
    /// Takes a batch with at least one live row.
    fn push(&mut self, batch: Batch) -> Result<()>;

    /// Ready for the next batch.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<SinkState>>;

    /// Completes the output of the task. Dropping a sink without it leaves nothing behind.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}
