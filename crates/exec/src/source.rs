//! Where the batches of a task come from: scans, exchanges, literal rows.
//!
//! Tasks take units of work (splits, blocks) from a queue that they share. An attempt that runs a task again
//! takes exactly the units that the former attempt took, and then goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use firesteel_catalog::{ScanContext, Split, TableScan};
use firesteel_common::{Batch, Result, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, Expr};
use firesteel_shuffle::Block;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;

use crate::operator::Source;

/// Units of work that tasks take as they become free.
#[derive(Debug)]
pub struct WorkQueue<T> {
    units: Vec<T>,
    next: AtomicUsize,
    leases: Mutex<BTreeMap<u32, Vec<usize>>>,
}

impl<T: Clone> WorkQueue<T> {
    /// A queue of `units`, given out in order.
    pub fn new(units: Vec<T>) -> Self {
        Self { units, next: AtomicUsize::new(0), leases: Mutex::new(BTreeMap::new()) }
    }

    /// The unit that `task` takes as its `position`-th.
    fn lease(&self, task: u32, position: usize) -> Option<T> {
        let mut leases = self.leases.lock();
        let taken = leases.entry(task).or_default();
        let index = match taken.get(position) {
            Some(index) => *index,
            None => {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                taken.push(index);
                index
            }
        };
        self.units.get(index).cloned()
    }
}

/// The splits of a scan: found by the first task that asks.
#[derive(Debug)]
pub struct ScanQueue {
    scan: Arc<dyn TableScan>,
    context: ScanContext,
    splits: tokio::sync::OnceCell<WorkQueue<Split>>,
}

impl ScanQueue {
    /// A queue for `scan`; nothing is read yet.
    pub fn new(scan: Arc<dyn TableScan>, context: ScanContext) -> Self {
        Self { scan, context, splits: tokio::sync::OnceCell::new() }
    }

    /// What the scan has counted.
    pub fn context(&self) -> &ScanContext {
        &self.context
    }

    async fn lease(&self, task: u32, position: usize) -> Result<Option<Split>> {
        let queue = self
            .splits
            .get_or_try_init(|| async {
                Ok::<_, firesteel_common::Error>(WorkQueue::new(self.scan.splits(&self.context).await?))
            })
            .await?;
        Ok(queue.lease(task, position))
    }
}

struct ScanState {
    queue: Arc<ScanQueue>,
    task: u32,
    position: usize,
    open: Option<BoxStream<'static, Result<Batch>>>,
}

/// The rows of the splits that `task` takes.
pub fn scan_source(queue: Arc<ScanQueue>, task: u32) -> Source {
    let state = ScanState { queue, task, position: 0, open: None };
    Box::pin(stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(open) = &mut state.open {
                match open.next().await.transpose()? {
                    Some(batch) => return Ok(Some((batch, state))),
                    None => state.open = None,
                }
            }
            let Some(split) = state.queue.lease(state.task, state.position).await? else { return Ok(None) };
            state.position += 1;
            state.open = Some(state.queue.scan.open(&split, &state.queue.context));
        }
    }))
}

/// The rows of `blocks`, small ones put together.
pub fn block_source(blocks: Vec<Block>, types: Vec<SqlType>, batch_rows: usize) -> Source {
    let mut blocks = blocks.into_iter().peekable();
    Box::pin(stream::iter(std::iter::from_fn(move || {
        let mut rows = blocks.peek()?.rows();
        let mut group = vec![blocks.next()?];
        while let Some(next) = blocks.peek()
            && rows + next.rows() <= batch_rows as u64
        {
            rows += next.rows();
            group.extend(blocks.next());
        }
        Some(merge(&group, &types))
    })))
}

/// The rows of the blocks that `task` takes from a common queue.
pub fn elastic_source(queue: Arc<WorkQueue<Block>>, task: u32) -> Source {
    let mut position = 0;
    Box::pin(stream::iter(std::iter::from_fn(move || {
        let block = queue.lease(task, position)?;
        position += 1;
        Some(block.read())
    })))
}

fn merge(blocks: &[Block], types: &[SqlType]) -> Result<Batch> {
    match blocks {
        [one] => one.read(),
        many => Batch::concat(&many.iter().map(Block::read).collect::<Result<Vec<_>>>()?, types),
    }
}

/// Literal rows as one batch.
pub fn values_source(rows: &[Vec<Expr>], columns: &[ColumnRef], cx: &EvalContext) -> Result<Source> {
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let cells = rows
                .iter()
                .map(|row| Ok(firesteel_expr::evaluate_constant(&row[i].clone().cast_to(&column.ty), cx)?.to_array(1)))
                .collect::<Result<Vec<_>>>()?;
            let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
            Ok(arrow::compute::concat(&cells)?)
        })
        .collect::<Result<Vec<_>>>();
    let rows = rows.len();
    let batch = if rows == 0 { None } else { Some(Ok(Batch::new(arrays?, rows))) };
    Ok(Box::pin(stream::iter(batch)))
}
