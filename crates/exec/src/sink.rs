//! Where the batches of a task go: into an exchange, or to whoever asked the query.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use firesteel_common::hash::hash_columns;
use firesteel_common::{Batch, Error, Result, SqlType};
use firesteel_expr::evaluator::Evaluator;
use firesteel_shuffle::ShuffleWriter;
use futures::channel::mpsc;
use futures::future::BoxFuture;

use crate::operator::{Sink, SinkState};
use crate::operators::sort::ranges::{Bounds, Ranges};
use crate::services::QueryServices;

/// Writes an exchange.
pub(crate) struct ExchangeSink {
    writer: ShuffleWriter,
    route: Route,
}

/// How the partition of a row is found.
pub(crate) enum Route {
    /// Partitions take blocks in turn, or there is one.
    Any,
    /// By the hash of keys, which have these types.
    Hash(Evaluator, Vec<SqlType>, Vec<u64>),
    /// By ranges of an order.
    Range(Ranges, Arc<Bounds>, Vec<u32>),
}

impl ExchangeSink {
    /// Writes through `writer`.
    pub(crate) fn new(writer: ShuffleWriter, route: Route) -> Self {
        Self { writer, route }
    }
}

impl Sink for ExchangeSink {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let batch = batch.canonical(self.writer.types())?;
        match &mut self.route {
            Route::Any => self.writer.write(batch),
            Route::Hash(evaluator, types, hashes) => {
                let keys = evaluator.evaluate(&batch)?;
                let keys = keys
                    .iter()
                    .zip(types.iter())
                    .map(|(key, ty)| firesteel_common::encoding::canonical(key, ty))
                    .collect::<Result<Vec<_>>>()?;
                hash_columns(&keys, batch.rows(), hashes)?;
                self.writer.write_hashed(batch, hashes)
            }
            Route::Range(ranges, bounds, places) => {
                ranges.place(&batch, bounds, places)?;
                self.writer.write_placed(batch, places)
            }
        }
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<SinkState>> {
        Poll::Ready(Ok(SinkState::Open))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.writer.commit() })
    }
}

/// Hands rows to the reader of the query's result; waits while the reader is behind.
pub struct ResultSink {
    services: Arc<QueryServices>,
    sender: mpsc::Sender<Batch>,
    pending: Option<Batch>,
    types: Vec<SqlType>,
}

impl ResultSink {
    /// For rows of `types`.
    pub fn new(services: Arc<QueryServices>, types: Vec<SqlType>) -> Self {
        let sender = services.result.clone();
        Self { services, sender, pending: None, types }
    }
}

impl Sink for ResultSink {
    fn push(&mut self, batch: Batch) -> Result<()> {
        self.pending = Some(batch.canonical(&self.types)?);
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<SinkState>> {
        if self.pending.is_none() {
            return Poll::Ready(Ok(SinkState::Open));
        }
        match self.sender.poll_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Ok(SinkState::Closed)),
            Poll::Ready(Ok(())) => {
                self.services.result_started.store(true, Ordering::Release);
                if let Some(batch) = self.pending.take() {
                    self.sender.start_send(batch).map_err(|_| Error::cancelled("The reader of the result is gone."))?;
                }
                Poll::Ready(Ok(SinkState::Open))
            }
        }
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
