//! The store of a query's exchanges, in the memory of the process as long as there is room.
//!
//! It gives memory back when anybody asks the pool for more than there is: outputs that were committed, the largest
//! first, then those that are being written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use firesteel_common::texts::trim;
use firesteel_common::{Batch, Error, ExchangeId, ExchangeStats, KeyCounts, PartitionSpec, Result, SqlType, TaskId};
use firesteel_runtime::{MemoryPool, Reclaim, Reservation, Usage};
use parking_lot::Mutex;

use crate::block::{Block, SMALL, held_bytes, row_bytes};
use crate::output::Output;
use crate::scatter::Scatter;
use crate::sketch::{Distinct, HotKeys};
use crate::spill::SpillFile;
use crate::watch::{Watch, Watched};

/// A key counts as hot from this share of the rows.
const HOT_SHARE: f64 = 0.02;

/// Shape of an exchange.
#[derive(Clone, Debug)]
pub struct ExchangeLayout {
    /// Types of the columns.
    pub types: Vec<SqlType>,
    /// Number of partitions.
    pub partitions: u32,
    /// Whether blocks are kept as IPC streams.
    pub serialized: bool,
    /// Who wants to know while it is written that it has too many rows.
    pub watch: Option<Arc<Watch>>,
}

/// Committed output by exchange, task and partition.
#[derive(Debug)]
pub struct ShuffleStore {
    exchanges: Mutex<BTreeMap<ExchangeId, ExchangeState>>,
    memory: Arc<MemoryPool>,
    /// Where files go.
    folder: PathBuf,
    /// Held while blocks are moved: whoever asks meanwhile waits for what comes free.
    reclaiming: Mutex<()>,
}

#[derive(Debug)]
struct ExchangeState {
    layout: ExchangeLayout,
    file: Arc<SpillFile>,
    outputs: BTreeMap<u32, MapOutput>,
    /// Of attempts that have not committed.
    open: Vec<Weak<Mutex<Output>>>,
    /// Made when all tasks have committed: putting the sketches of all tasks together is not free.
    finished: Option<ExchangeStats>,
}

impl ExchangeState {
    /// Rows and bytes of what was committed.
    fn sizes(&self) -> ExchangeStats {
        let partitions = self.layout.partitions as usize;
        let mut stats =
            ExchangeStats { rows: vec![0; partitions], bytes: vec![0; partitions], ..ExchangeStats::default() };
        for output in self.outputs.values() {
            for (partition, blocks) in output.output.lock().partitions().iter().enumerate() {
                stats.rows[partition] += blocks.iter().map(Block::rows).sum::<u64>();
                stats.bytes[partition] += blocks.iter().map(Block::bytes).sum::<u64>();
            }
        }
        stats
    }

    /// Rows and bytes of what was written, also by tasks that still run if it is watched and has one partition.
    fn so_far(&self) -> ExchangeStats {
        let mut stats = self.sizes();
        if let (Some(watch), [rows], [bytes]) =
            (&self.layout.watch, stats.rows.as_mut_slice(), stats.bytes.as_mut_slice())
        {
            (*rows, *bytes) = watch.written();
        }
        stats
    }

    fn finish(&mut self) {
        let mut stats = self.sizes();
        let (mut keys, mut hot): (Option<Keys>, _) = (None, HotKeys::default());
        for output in self.outputs.values_mut() {
            match (&mut keys, output.keys.take()) {
                (Some(keys), Some(others)) => keys.merge(&others),
                (None, others) => keys = others,
                (Some(_), None) => {}
            }
            hot.merge(&std::mem::take(&mut output.hot));
        }
        stats.distinct_keys = keys.as_ref().map(|keys| keys.distinct.estimate());
        stats.key_counts = keys.map(|keys| Arc::new(keys.counts));
        stats.hot_keys = hot.above(HOT_SHARE, stats.total_rows());
        stats.finished = true;
        self.finished = Some(stats);
    }
}

/// What one task has committed; its memory is held until the exchange is released.
#[derive(Debug)]
struct MapOutput {
    output: Arc<Mutex<Output>>,
    keys: Option<Keys>,
    hot: HotKeys,
}

/// What is counted of every key.
#[derive(Debug, Default)]
struct Keys {
    distinct: Distinct,
    counts: KeyCounts,
}

impl Keys {
    fn add(&mut self, hashes: &[u64]) {
        self.distinct.add(hashes);
        self.counts.add(hashes);
    }

    fn merge(&mut self, other: &Keys) {
        self.distinct.merge(&other.distinct);
        self.counts.merge(&other.counts);
    }
}

impl ShuffleStore {
    /// A store whose blocks are reserved from `memory`, and go to files in `folder` when it is short.
    pub fn new(memory: Arc<MemoryPool>, folder: impl Into<PathBuf>) -> Arc<Self> {
        let exchanges = Mutex::new(BTreeMap::new());
        let store =
            Arc::new(Self { exchanges, memory: memory.clone(), folder: folder.into(), reclaiming: Mutex::default() });
        let reclaim: Arc<dyn Reclaim> = store.clone();
        memory.register(&reclaim);
        store
    }

    /// Makes an exchange known before its first writer.
    pub fn register(&self, id: ExchangeId, layout: ExchangeLayout) {
        let file = Arc::new(SpillFile::new(&self.folder));
        let state = ExchangeState { layout, file, outputs: BTreeMap::new(), open: Vec::new(), finished: None };
        self.exchanges.lock().insert(id, state);
    }

    /// A writer for one attempt of a task, whose bytes are counted in `usage`.
    pub fn writer(self: &Arc<Self>, id: ExchangeId, task: TaskId, usage: Arc<Usage>) -> Result<ShuffleWriter> {
        let memory = || {
            let name = format!("Exchange {id} (stage {}, task {})", task.stage, task.task);
            self.memory.reserve(name).counted_in(usage.clone())
        };
        let (layout, output) = self.with(id, |state| {
            let layout = state.layout.clone();
            let output =
                Output::new(layout.types.clone(), layout.partitions, memory(), state.file.clone(), usage.clone());
            let output = Arc::new(Mutex::new(output));
            state.open.retain(|open| open.strong_count() > 0);
            state.open.push(Arc::downgrade(&output));
            (layout, output)
        })?;
        Ok(ShuffleWriter {
            store: self.clone(),
            id,
            task,
            scatter: Scatter::new(layout.types.clone(), layout.partitions),
            tail: Vec::new(),
            tail_rows: 0,
            next: 0,
            output,
            keys: None,
            hot: HotKeys::default(),
            pending: 0,
            memory: memory(),
            watched: Watched::new(layout.watch.clone()),
            layout,
        })
    }

    /// Says that all tasks have committed.
    pub fn finish(&self, id: ExchangeId) -> Result<()> {
        self.with(id, ExchangeState::finish)
    }

    /// What is known of an exchange now: of one that has not finished, the sizes of what was committed, or of all
    /// that was written to the one partition of a watched one.
    pub fn stats(&self, id: ExchangeId) -> Option<ExchangeStats> {
        self.with(id, |state| state.finished.clone().unwrap_or_else(|| state.so_far())).ok()
    }

    /// The blocks that `spec` names, in the order of tasks.
    pub fn blocks(&self, id: ExchangeId, spec: &PartitionSpec) -> Result<Vec<Block>> {
        let (blocks, cut) = self.with(id, |state| {
            let of = |partition: u32| -> Vec<Block> {
                let parts = state.outputs.values();
                parts.flat_map(|o| o.output.lock().partitions()[partition as usize].clone()).collect()
            };
            match spec {
                PartitionSpec::All => ((0..state.layout.partitions).flat_map(of).collect(), None),
                PartitionSpec::Whole(range) => (range.clone().flat_map(of).collect(), None),
                PartitionSpec::Slice { partition, rows } => (of(*partition), Some(rows.clone())),
                PartitionSpec::Share { partition, .. } => (of(*partition), None),
            }
        })?;
        match cut {
            None => Ok(blocks),
            Some(rows) => slice(blocks, rows.start, rows.end),
        }
    }

    /// Types of an exchange's columns.
    pub fn types(&self, id: ExchangeId) -> Result<Vec<SqlType>> {
        self.with(id, |state| state.layout.types.clone())
    }

    /// Forgets an exchange and gives its memory back.
    pub fn release(&self, id: ExchangeId) {
        let state = self.exchanges.lock().remove(&id);
        drop(state);
    }

    fn with<T>(&self, id: ExchangeId, f: impl FnOnce(&mut ExchangeState) -> T) -> Result<T> {
        let mut exchanges = self.exchanges.lock();
        let state = exchanges.get_mut(&id).ok_or_else(|| Error::internal(format!("exchange {id} is not known")))?;
        Ok(f(state))
    }
}

impl Reclaim for ShuffleStore {
    fn reclaim(&self, bytes: usize) -> Result<usize> {
        let _one_at_a_time = self.reclaiming.lock();
        let (mut committed, mut open) = (Vec::new(), Vec::new());
        for state in self.exchanges.lock().values() {
            committed.extend(state.outputs.values().map(|output| output.output.clone()));
            open.extend(state.open.iter().filter_map(Weak::upgrade));
        }
        committed.sort_by_key(|output| std::cmp::Reverse(output.lock().memory()));
        let mut freed = 0;
        for output in &committed {
            if freed >= bytes {
                return Ok(freed);
            }
            freed += output.lock().spill()?;
        }
        for output in &open {
            if freed >= bytes {
                break;
            }
            // One whose writer is at work may be what asks.
            if let Some(mut output) = output.try_lock() {
                freed += output.spill()?;
            }
        }
        Ok(freed)
    }
}

/// Rows `start..end` of a list of blocks.
fn slice(blocks: Vec<Block>, start: u64, end: u64) -> Result<Vec<Block>> {
    let mut at = 0;
    let mut out = Vec::new();
    for block in blocks {
        let (first, last) = (at, at + block.rows());
        at = last;
        let (from, to) = (start.max(first), end.min(last));
        if from >= to {
            continue;
        }
        if from == first && to == last {
            out.push(block);
        } else {
            out.push(Block::memory(block.read()?.slice((from - first) as usize, (to - from) as usize)));
        }
    }
    Ok(out)
}

/// Writes the output of one attempt. Dropping it without [`ShuffleWriter::commit`] leaves nothing.
#[derive(Debug)]
pub struct ShuffleWriter {
    store: Arc<ShuffleStore>,
    id: ExchangeId,
    task: TaskId,
    layout: ExchangeLayout,
    scatter: Scatter,
    /// Small batches waiting to become one block, where rows are not scattered.
    tail: Vec<Batch>,
    tail_rows: usize,
    /// Next partition of a round robin.
    next: u32,
    output: Arc<Mutex<Output>>,
    keys: Option<Keys>,
    hot: HotKeys,
    /// Bytes of the rows that wait to become blocks.
    pending: usize,
    memory: Reservation,
    watched: Watched,
}

/// Rows of a block that is made of small batches.
const BLOCK_ROWS: usize = 8192;

impl ShuffleWriter {
    /// Types of the columns.
    pub fn types(&self) -> &[SqlType] {
        &self.layout.types
    }

    /// Writes rows to the partitions of their `hashes`, one per live row.
    pub fn write_hashed(&mut self, batch: Batch, hashes: &[u64]) -> Result<()> {
        self.keys.get_or_insert_default().add(hashes);
        self.hot.add(hashes);
        let room = self.reserve_pending(&batch)?;
        self.scatter.push(batch, hashes)?;
        if self.scatter.is_full() || !room { self.flush_scatter() } else { Ok(()) }
    }

    /// Writes rows to the partitions `targets`, one per live row.
    pub fn write_placed(&mut self, batch: Batch, targets: &[u32]) -> Result<()> {
        let room = self.reserve_pending(&batch)?;
        self.scatter.place(batch, targets.iter().copied())?;
        if self.scatter.is_full() || !room { self.flush_scatter() } else { Ok(()) }
    }

    /// Writes rows to the partitions in turn, or to the only one.
    pub fn write(&mut self, batch: Batch) -> Result<()> {
        self.tail_rows += batch.rows();
        let room = self.reserve_pending(&batch)?;
        self.tail.push(batch);
        if self.tail_rows >= BLOCK_ROWS || !room { self.flush_tail() } else { Ok(()) }
    }

    /// Reserves the rows of a batch that is to wait; whether there is room for it to wait for others.
    fn reserve_pending(&mut self, batch: &Batch) -> Result<bool> {
        let bytes: u64 = batch.columns().iter().map(row_bytes).sum();
        // Of the rows that a selection has left out, nothing is kept.
        self.pending += bytes as usize * batch.rows() / batch.physical_rows().max(1);
        if self.memory.try_resize(self.pending).is_ok() {
            return Ok(true);
        }
        self.output.lock().spill()?;
        Ok(self.memory.try_resize(self.pending).is_ok())
    }

    /// The rows that waited have become blocks.
    fn waited(&mut self) {
        self.pending = 0;
        self.memory.free();
    }

    fn flush_scatter(&mut self) -> Result<()> {
        let mut pieces = Vec::new();
        self.scatter.flush(|partition, batch| {
            pieces.push((partition, batch));
            Ok(())
        })?;
        self.waited();
        // What they share was made for them: together they hold their rows.
        pieces.into_iter().try_for_each(|(partition, batch)| self.keep(partition, batch, 0))
    }

    fn flush_tail(&mut self) -> Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let batch = Batch::concat(&std::mem::take(&mut self.tail), &self.layout.types)?;
        self.tail_rows = 0;
        self.waited();
        let rows = batch.rows();
        let batch = Batch::new(batch.columns().iter().map(|column| trim(column, SMALL)).collect(), rows);
        let held = batch.columns().iter().map(held_bytes).sum();
        let partition = self.next;
        self.next = (self.next + 1) % self.layout.partitions;
        self.keep(partition, batch, held)
    }

    /// Keeps a block; `held` are the bytes of a batch that shares nothing with others.
    fn keep(&mut self, partition: u32, batch: Batch, held: u64) -> Result<()> {
        let block =
            if self.layout.serialized { Block::serialized(&batch, &self.layout.types)? } else { Block::memory(batch) };
        let held = if self.layout.serialized { block.bytes() } else { block.bytes().max(held) };
        let (rows, bytes) = (block.rows(), block.bytes());
        self.output.lock().keep(partition, block, held)?;
        self.watched.add(rows, bytes);
        Ok(())
    }

    /// Makes the output visible. A second commit of the same task is ignored: the first attempt won.
    pub fn commit(mut self) -> Result<()> {
        self.flush_scatter()?;
        self.flush_tail()?;
        let output = MapOutput { output: self.output, keys: self.keys, hot: self.hot };
        self.store.with(self.id, |state| {
            state.open.retain(|open| !std::ptr::addr_eq(open.as_ptr(), Arc::as_ptr(&output.output)));
            if let Entry::Vacant(entry) = state.outputs.entry(self.task.task) {
                entry.insert(output);
                self.watched.commit();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use firesteel_common::StageId;
    use firesteel_common::hash::hash_columns;

    fn batch(values: impl Iterator<Item = i64>) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        let rows = column.len();
        Batch::new(vec![column], rows)
    }

    fn task(task: u32, attempt: u32) -> TaskId {
        TaskId { stage: StageId(0), task, attempt }
    }

    fn read(store: &ShuffleStore, spec: &PartitionSpec) -> Vec<i64> {
        let blocks = store.blocks(ExchangeId(1), spec).unwrap();
        let batches: Vec<Batch> = blocks.iter().map(|b| b.read().unwrap()).collect();
        batches.iter().flat_map(|b| b.columns()[0].as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn write(store: &Arc<ShuffleStore>, id: TaskId, values: std::ops::Range<i64>) -> ShuffleWriter {
        let mut writer = store.writer(ExchangeId(1), id, Arc::default()).unwrap();
        let batch = batch(values);
        let mut hashes = Vec::new();
        hash_columns(batch.columns(), batch.rows(), &mut hashes).unwrap();
        writer.write_hashed(batch, &hashes).unwrap();
        writer
    }

    #[test]
    fn only_committed_output_is_seen_and_memory_returns() {
        for serialized in [false, true] {
            let pool = MemoryPool::root(100 << 20);
            let store = ShuffleStore::new(pool.clone(), std::env::temp_dir());
            store.register(
                ExchangeId(1),
                ExchangeLayout { types: vec![SqlType::BigInt], partitions: 4, serialized, watch: None },
            );
            drop(write(&store, task(0, 0), 0..100));
            write(&store, task(0, 1), 0..1000).commit().unwrap();
            write(&store, task(0, 2), 0..1000).commit().unwrap();
            write(&store, task(1, 0), 1000..1500).commit().unwrap();
            store.finish(ExchangeId(1)).unwrap();
            let stats = store.stats(ExchangeId(1)).unwrap();
            assert_eq!((stats.total_rows(), stats.finished, stats.rows.len()), (1500, true, 4));
            let mut all = read(&store, &PartitionSpec::Whole(0..4));
            all.sort_unstable();
            assert_eq!(all, (0..1500).collect::<Vec<_>>());
            let whole = read(&store, &PartitionSpec::Whole(2..3));
            let n = stats.rows[2];
            let mut parts = read(&store, &PartitionSpec::Slice { partition: 2, rows: 0..n / 3 });
            parts.extend(read(&store, &PartitionSpec::Slice { partition: 2, rows: n / 3..n }));
            assert_eq!(parts, whole);
            store.release(ExchangeId(1));
            assert_eq!(pool.used(), 0);
        }
    }

    #[test]
    fn what_has_no_room_goes_to_disk_and_comes_back() {
        for serialized in [false, true] {
            let pool = MemoryPool::root(8 << 20);
            let folder = std::env::temp_dir().join(format!("firesteel-store-{}-{serialized}", std::process::id()));
            let store = ShuffleStore::new(pool.clone(), &folder);
            store.register(
                ExchangeId(1),
                ExchangeLayout { types: vec![SqlType::BigInt], partitions: 4, serialized, watch: None },
            );
            let usage = Arc::new(Usage::default());
            // 16 MB of rows, in three tasks at a time.
            let mut writers: Vec<_> =
                (0..3).map(|n| store.writer(ExchangeId(1), task(n, 0), usage.clone()).unwrap()).collect();
            for start in (0..2_000_000i64).step_by(50_000) {
                let batch = batch(start..start + 50_000);
                let mut hashes = Vec::new();
                hash_columns(batch.columns(), batch.rows(), &mut hashes).unwrap();
                writers[start as usize / 50_000 % 3].write_hashed(batch, &hashes).unwrap();
            }
            writers.into_iter().for_each(|writer| writer.commit().unwrap());
            store.finish(ExchangeId(1)).unwrap();
            assert!(usage.spilled() > 4 << 20, "{} spilled", usage.spilled());
            assert!(pool.used() <= 8 << 20);
            // Who asks gets all, but for blocks that somebody has.
            let kept = store.blocks(ExchangeId(1), &PartitionSpec::All).unwrap();
            let mut other = pool.reserve("Sort");
            other.try_grow(7 << 20).unwrap();
            let all = |store: &ShuffleStore| {
                let mut all = read(store, &PartitionSpec::Whole(0..4));
                all.sort_unstable();
                all
            };
            assert!(all(&store) == (0..2_000_000).collect::<Vec<_>>());
            drop(other);
            assert_eq!(kept.iter().map(Block::rows).sum::<u64>(), 2_000_000);
            store.release(ExchangeId(1));
            drop((kept, store));
            assert_eq!(pool.used(), 0);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
            std::fs::remove_dir(&folder).unwrap();
        }
    }
}
