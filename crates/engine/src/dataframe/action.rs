//! Actions: what runs a frame.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use firesteel_common::{Error, Result};

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
