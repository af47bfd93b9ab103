//! Actions: what runs a frame.

use std::collections::VecDeque;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use firesteel_common::{Error, Result};
use futures::StreamExt;

use crate::dataframe::DataFrame;
use crate::explain::{self, ExplainMode};
use crate::functions::count;
use crate::query::{self, QueryStream};

impl DataFrame {
    /// Runs it; rows come as they are made, and no faster than they are taken. Dropping the stream cancels the query.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use futures::StreamExt;
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let mut stream = session.sql("SELECT id FROM range(1000)").await?.stream()?;
    /// let mut rows = 0;
    /// while let Some(batch) = stream.next().await {
    ///     rows += batch?.num_rows();
    /// }
    /// assert_eq!(rows, 1000);
    /// assert!(stream.handle().metrics().is_some_and(|metrics| metrics.tasks > 0));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn stream(&self) -> Result<QueryStream> {
        query::start(self)
    }

    /// Runs it and returns all rows.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.stream()?.collect().await
    }

    /// Runs it and counts the rows.
    pub async fn count(&self) -> Result<u64> {
        let batches = self.agg(count("*"))?.collect().await?;
        let value = batches.iter().find(|b| b.num_rows() > 0).map(|b| b.column(0).as_primitive::<Int64Type>().value(0));
        value.map(|n| n as u64).ok_or_else(|| Error::internal("count returned no row"))
    }

    /// Runs it for its first `n` rows.
    pub async fn take(&self, n: u64) -> Result<Vec<RecordBatch>> {
        self.limit(n).collect().await
    }

    /// As [`DataFrame::take`].
    pub async fn head(&self, n: u64) -> Result<Vec<RecordBatch>> {
        self.take(n).await
    }

    /// Runs it and returns its last `n` rows, without holding the others.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let last = session.sql("SELECT id FROM range(100) ORDER BY id").await?.tail(3).await?;
    /// assert_eq!(last.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn tail(&self, n: usize) -> Result<Vec<RecordBatch>> {
        let mut stream = self.stream()?;
        let mut kept = VecDeque::new();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            kept.push_back(batch);
            while let Some(first) = kept.front().map(RecordBatch::num_rows).filter(|first| rows - first >= n) {
                kept.pop_front();
                rows -= first;
            }
        }
        if let Some(first) = kept.front_mut() {
            let skipped = rows.saturating_sub(n);
            *first = first.slice(skipped, first.num_rows() - skipped);
        }
        Ok(kept.into())
    }

    /// Runs it for its first row, if it has one.
    pub async fn first(&self) -> Result<Option<RecordBatch>> {
        Ok(self.take(1).await?.into_iter().find(|batch| batch.num_rows() > 0))
    }

    /// Runs it until it is known whether there is a row.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.first().await?.is_none())
    }

    /// The plan as text. [`ExplainMode::Analyze`] runs the query.
    pub async fn explain(&self, mode: ExplainMode) -> Result<String> {
        explain::explain(self, mode).await
    }
}
