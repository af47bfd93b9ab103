//! Tables in memory: batches of a caller, and VALUES.

use std::sync::Arc;

use firesteel_catalog::{
    ColumnStatistics, Field, ScanContext, ScanMetrics, ScanRequest, Split, TableProvider, TableScan, TableStatistics,
};
use firesteel_common::{Batch, Error, Result, encoding};
use firesteel_expr::ColumnRef;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};

use crate::filter::RowFilter;

/// Rows of a split.
const SPLIT_ROWS: usize = 65_536;

/// A table whose rows are batches in memory.
#[derive(Debug)]
pub struct MemoryTable {
    fields: Vec<Field>,
    batches: Arc<Vec<Batch>>,
    rows: u64,
}

impl MemoryTable {
    /// A table of `batches`, whose columns are those of `fields` in any encoding of their types.
    ///
    /// Errors: an internal error if a batch has another number of columns, or columns of other types.
    pub fn new(fields: Vec<Field>, batches: Vec<Batch>) -> Result<Self> {
        let types: Vec<_> = fields.iter().map(|f| f.ty.clone()).collect();
        let canonical = |batch: Batch| {
            if batch.columns().len() != types.len() {
                return Err(Error::internal("a batch does not have the columns of its table"));
            }
            batch.canonical(&types)
        };
        let batches = batches.into_iter().map(canonical).collect::<Result<Vec<_>>>()?;
        let rows = batches.iter().map(|b| b.rows() as u64).sum();
        Ok(Self { fields, batches: Arc::new(batches), rows })
    }

    /// A table of Arrow record batches, converted to the types of `fields`.
    pub fn from_arrow(fields: Vec<Field>, batches: &[arrow::array::RecordBatch]) -> Result<Self> {
        let convert = |batch: &arrow::array::RecordBatch| {
            let columns = batch.columns().iter().zip(&fields);
            let columns =
                columns.map(|(column, field)| encoding::canonical(column, &field.ty)).collect::<Result<_>>()?;
            Ok(Batch::new(columns, batch.num_rows()))
        };
        let batches = batches.iter().map(convert).collect::<Result<Vec<_>>>()?;
        Self::new(fields, batches)
    }
}

impl TableProvider for MemoryTable {
    fn schema(&self) -> &[Field] {
        &self.fields
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        let bytes: usize = self.batches.iter().map(Batch::memory).sum();
        let column = |(index, field): (usize, &Field)| {
            let arrays = || self.batches.iter().filter_map(move |b| b.columns().get(index));
            let memory: usize = arrays().map(|a| a.get_array_memory_size()).sum();
            let width = if self.rows > 0 { memory as f64 / self.rows as f64 } else { field.ty.default_width() as f64 };
            let nulls = arrays().map(|a| a.null_count() as u64).sum();
            ColumnStatistics { nulls: Some(nulls), width: Some(width), ..ColumnStatistics::default() }
        };
        let columns = self.fields.iter().enumerate().map(column).collect();
        Arc::new(TableStatistics { rows: Some(self.rows), exact: true, bytes: Some(bytes as u64), columns })
    }

    fn scan(&self, request: ScanRequest) -> Result<Arc<dyn TableScan>> {
        Ok(Arc::new(MemoryScan { batches: self.batches.clone(), request: Arc::new(request) }))
    }

    fn description(&self) -> String {
        format!("memory ({} rows)", self.rows)
    }
}

#[derive(Debug)]
struct MemoryScan {
    batches: Arc<Vec<Batch>>,
    request: Arc<ScanRequest>,
}

impl TableScan for MemoryScan {
    fn splits<'a>(&'a self, _: &'a ScanContext) -> BoxFuture<'a, Result<Vec<Split>>> {
        let mut splits = Vec::new();
        for (part, batch) in self.batches.iter().enumerate() {
            let bytes_per_row = batch.memory() / batch.rows().max(1);
            for start in (0..batch.rows()).step_by(SPLIT_ROWS) {
                let end = batch.rows().min(start + SPLIT_ROWS);
                let rows = (end - start) as u64;
                let bytes = rows * bytes_per_row as u64;
                splits.push(Split { part: part as u32, group: 0, start: start as u64, end: end as u64, rows, bytes });
            }
        }
        Box::pin(async move { Ok(splits) })
    }

    fn open(&self, split: &Split, cx: &ScanContext) -> BoxStream<'static, Result<Batch>> {
        let Some(batch) = self.batches.get(split.part as usize) else {
            return stream::iter([Err(Error::internal("a split names a batch that the table does not have"))]).boxed();
        };
        let rows = batch.slice(split.start as usize, (split.end - split.start) as usize);
        let cuts: Vec<Batch> = (0..rows.rows())
            .step_by(cx.batch_rows.max(1))
            .map(|start| rows.slice(start, cx.batch_rows.max(1).min(rows.rows() - start)))
            .collect();
        filtered(stream::iter(cuts.into_iter().map(Ok)).boxed(), self.request.clone(), cx.clone())
    }
}

/// Applies the filters of `request` to batches that have all columns of the table, and projects them.
pub(crate) fn filtered(
    batches: BoxStream<'static, Result<Batch>>,
    request: Arc<ScanRequest>,
    cx: ScanContext,
) -> BoxStream<'static, Result<Batch>> {
    let columns: Vec<ColumnRef> = request.filter_columns.iter().map(|(column, _)| column.clone()).collect();
    let mut filter = match RowFilter::compile(&request.filters, &columns, &cx.eval) {
        Ok(filter) => filter,
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let filter_positions: Vec<usize> = request.filter_columns.iter().map(|(_, at)| *at).collect();
    let positions: Vec<usize> = request.columns.iter().map(|(_, at)| *at).collect();
    let mut apply = move |batch: Batch| -> Result<Batch> {
        ScanMetrics::add(&cx.metrics.rows, batch.rows() as u64);
        let before = batch.rows();
        let selection = match &mut filter {
            Some(filter) => Some(filter.select(&batch.project(&filter_positions))?),
            None => None,
        };
        let mut batch = batch;
        if let Some(selection) = &selection {
            batch = batch.refine(selection);
        }
        for (id, at) in &request.runtime_filters {
            let position = filter_positions.get(*at).copied();
            if let (Some(filter), Some(position)) = (cx.runtime_filters.get(*id), position) {
                let passed = filter.select(&batch.column(position)?)?;
                batch = batch.refine(&passed);
            }
        }
        ScanMetrics::add(&cx.metrics.rows_pruned, (before - batch.rows()) as u64);
        Ok(batch.project(&positions))
    };
    batches.map(move |batch| apply(batch?)).boxed()
}
