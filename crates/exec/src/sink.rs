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
use crate::services::QueryServices;

/// Writes an exchange.
pub struct ExchangeSink {
    writer: ShuffleWriter,
    /// The keys, where rows are partitioned by hash, with their types.
    keys: Option<(Evaluator, Vec<SqlType>)>,
    hashes: Vec<u64>,
}

impl ExchangeSink {
    /// Writes through `writer`, by the hash of `keys` if there are any.
    pub fn new(writer: ShuffleWriter, keys: Option<(Evaluator, Vec<SqlType>)>) -> Self {
        Self { writer, keys, hashes: Vec::new() }
    }
}

impl Sink for ExchangeSink {
    fn push(&mut self, batch: Batch) -> Result<()> {
        let Some((evaluator, types)) = &mut self.keys else { return self.writer.write(batch) };
        let keys = evaluator.evaluate(&batch)?;
        let keys = keys
            .iter()
            .zip(types.iter())
            .map(|(key, ty)| firesteel_common::encoding::canonical(key, ty))
            .collect::<Result<Vec<_>>>()?;
        hash_columns(&keys, batch.rows(), &mut self.hashes)?;
        self.writer.write_hashed(batch, &self.hashes)
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
