//! Making the table, by as many threads as there are.
//!
//! Three phases, each a list of independent units that threads take from a counter:
//!
//! 1. *prepare*, per group of batches: the keys, and the columns that are kept, compact and canonical;
//! 2. *concatenate*, per kept column, and one unit for the keys, which also chooses the kind of index;
//! 3. *insert*, per range of rows.
//!
//! A thread that finds no unit while others still work waits for the next phase: units are short, and the
//! next phase needs hands. The thread that ends the last unit makes the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::row::RowConverter;
use firesteel_common::texts::trim;
use firesteel_common::{Batch, Error, ErrorKind, Result, encoding};
use firesteel_runtime::{CancelToken, Reservation};
use firesteel_shuffle::block::row_bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use super::expressions::Exprs;
use super::filter::widen;
use super::index::{IndexPlan, KeyIndex};
use super::keys::{BuildKeys, KeyBatch, Keys};
use super::matches::Matches;
use super::spec::JoinSpec;
use super::table::{BuildSide, JoinTable};
use crate::TaskContext;

/// Rows of a unit.
const UNIT_ROWS: usize = 64 << 10;
/// Unused bytes of string buffers that are not worth a copy.
const SLACK: usize = 4 << 10;

/// One hash table under construction, shared by all tasks of a stage or owned by one task.
#[derive(Debug)]
pub struct JoinBuild {
    spec: Arc<JoinSpec>,
    rows: usize,
    tasks: usize,
    inputs: Vec<Mutex<Vec<Batch>>>,
    prepared: RwLock<Vec<Vec<Prepared>>>,
    columns: Vec<Mutex<Option<ArrayRef>>>,
    index: Mutex<Option<Arc<KeyIndex>>>,
    memory: Mutex<Option<Reservation>>,
    /// That of the batches, as far as nobody else has reserved it.
    input_memory: Mutex<Option<Reservation>>,
    control: Mutex<Control>,
    wake: Condvar,
    result: watch::Sender<Option<Result<Arc<JoinTable>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Prepare,
    Concat,
    Insert,
    Done,
}

#[derive(Debug)]
struct Control {
    phase: Phase,
    /// The unit to be taken next.
    next: usize,
    units: usize,
    in_flight: usize,
    failure: Option<Error>,
}

/// A batch after the first phase.
struct Prepared {
    columns: Vec<ArrayRef>,
    keys: KeyBatch,
    /// Keys that filters may be asked for.
    filter_columns: Vec<ArrayRef>,
    /// Range of integer keys.
    range: Option<(i64, i64)>,
    rows: usize,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({} rows)", self.rows)
    }
}

/// What a thread needs to prepare batches.
struct Preparer {
    keys: Exprs,
    converter: Option<RowConverter>,
}

impl JoinBuild {
    /// A build of `batches`, all rows of the build side, with what is reserved for them. `tasks` tasks will probe the
    /// table. Nothing happens until somebody calls [`JoinBuild::help`].
    pub fn new(
        spec: Arc<JoinSpec>,
        batches: Vec<Batch>,
        memory: Reservation,
        tasks: usize,
        cx: &TaskContext,
    ) -> Result<Arc<Self>> {
        let rows = batches.iter().map(Batch::rows).sum();
        let mut inputs: Vec<Mutex<Vec<Batch>>> = Vec::new();
        let mut rows_of_last = UNIT_ROWS;
        for batch in batches.into_iter().filter(|batch| batch.rows() > 0) {
            if rows_of_last >= UNIT_ROWS {
                inputs.push(Mutex::default());
                rows_of_last = 0;
            }
            rows_of_last += batch.rows();
            if let Some(unit) = inputs.last_mut() {
                unit.get_mut().push(batch);
            }
        }
        let mut control = Control { phase: Phase::Prepare, next: 0, units: inputs.len(), in_flight: 0, failure: None };
        if inputs.is_empty() {
            control = Control { phase: Phase::Concat, units: spec.shape.build_columns.len() + 1, ..control };
        }
        Ok(Arc::new(Self {
            rows,
            tasks,
            prepared: RwLock::new(inputs.iter().map(|_| Vec::new()).collect()),
            inputs,
            columns: spec.shape.build_columns.iter().map(|_| Mutex::default()).collect(),
            index: Mutex::default(),
            memory: Mutex::new(Some(cx.reserve("HashJoin build"))),
            input_memory: Mutex::new(Some(memory)),
            control: Mutex::new(control),
            wake: Condvar::new(),
            result: watch::Sender::new(None),
            spec,
        }))
    }

    /// Whether it can no longer become a table.
    pub fn has_failed(&self) -> bool {
        self.control.lock().failure.is_some()
    }

    /// Works on the table for about `slice`; returns whether no unit of work is left. Every task of the stage may call
    /// it, each on its own thread; one alone builds the whole table.
    ///
    /// Errors: what any of the threads failed with.
    pub fn help(&self, cx: &TaskContext, slice: Duration) -> Result<bool> {
        let start = Instant::now();
        let mut preparer = None;
        while start.elapsed() < slice {
            let Some((phase, unit)) = self.claim()? else { return Ok(true) };
            let guard = Claim(Some(self));
            let done = cx.cancel.check().and_then(|()| self.run(phase, unit, &mut preparer, cx));
            guard.end(done)?;
        }
        Ok(false)
    }

    /// Waits for the table.
    ///
    /// Errors: what a helper failed with; `OPERATION_CANCELED`.
    pub async fn ready(&self, cancel: &CancelToken) -> Result<Arc<JoinTable>> {
        let mut result = self.result.subscribe();
        let done = async {
            match result.wait_for(Option::is_some).await {
                Ok(value) => value.clone().unwrap_or_else(|| Err(Error::internal("a join table got lost"))),
                Err(_) => Err(Error::internal("a join table was given up")),
            }
        };
        tokio::select! {
            table = done => table,
            () = cancel.cancelled() => Err(Error::cancelled("Operation has been canceled.")),
        }
    }

    fn claim(&self) -> Result<Option<(Phase, usize)>> {
        let mut control = self.control.lock();
        loop {
            if let Some(failure) = &control.failure {
                return Err(failure.clone());
            }
            if control.phase == Phase::Done {
                return Ok(None);
            }
            if control.next < control.units {
                control.next += 1;
                control.in_flight += 1;
                return Ok(Some((control.phase, control.next - 1)));
            }
            self.wake.wait(&mut control);
        }
    }

    fn end(&self, done: Result<()>) -> Result<()> {
        let mut control = self.control.lock();
        control.in_flight -= 1;
        let done = match done {
            Ok(()) if control.failure.is_some() || control.next < control.units || control.in_flight > 0 => {
                return Ok(());
            }
            Ok(()) => self.advance(&mut control),
            Err(error) => Err(error),
        };
        if let Err(error) = &done
            && control.failure.is_none()
        {
            control.failure = Some(error.clone());
            self.result.send_replace(Some(Err(error.clone())));
            self.memory.lock().take();
            self.input_memory.lock().take();
        }
        self.wake.notify_all();
        done
    }

    /// From a finished phase to the next one that has units.
    fn advance(&self, control: &mut Control) -> Result<()> {
        let (phase, units) = match control.phase {
            Phase::Prepare => (Phase::Concat, self.columns.len() + 1),
            Phase::Concat if self.rows > 0 => (Phase::Insert, self.rows.div_ceil(UNIT_ROWS)),
            _ => {
                let table = self.finish()?;
                self.result.send_replace(Some(Ok(Arc::new(table))));
                (Phase::Done, 0)
            }
        };
        *control = Control { phase, next: 0, units, in_flight: 0, failure: None };
        Ok(())
    }

    fn run(&self, phase: Phase, unit: usize, preparer: &mut Option<Preparer>, cx: &TaskContext) -> Result<()> {
        match phase {
            Phase::Prepare => {
                let preparer = match preparer {
                    Some(preparer) => preparer,
                    None => preparer.insert(self.preparer(cx)?),
                };
                let batches = std::mem::take(&mut *self.inputs[unit].lock());
                let prepared: Vec<_> = batches.into_iter().map(|b| self.prepare(b, preparer)).collect::<Result<_>>()?;
                self.reserve(prepared.iter().map(|p| p.keys.bytes()).sum())?;
                self.prepared.write()[unit] = prepared;
            }
            Phase::Concat if unit < self.columns.len() => {
                *self.columns[unit].lock() = Some(self.concat_column(unit)?);
            }
            Phase::Concat => *self.index.lock() = Some(Arc::new(self.plan_index()?)),
            Phase::Insert => {
                let index = self.index.lock().clone().ok_or_else(|| Error::internal("a join without index"))?;
                let start = unit * UNIT_ROWS;
                index.insert(start..self.rows.min(start + UNIT_ROWS), self.tasks == 1);
            }
            Phase::Done => {}
        }
        Ok(())
    }

    fn reserve(&self, bytes: usize) -> Result<()> {
        match self.memory.lock().as_mut() {
            Some(memory) => memory.try_grow(bytes),
            None => Ok(()),
        }
    }

    fn preparer(&self, cx: &TaskContext) -> Result<Preparer> {
        let keys = Exprs::compile(&self.spec.build_keys, &self.spec.build_input, &cx.eval)?;
        Ok(Preparer { keys, converter: self.spec.layout.converter()? })
    }

    fn prepare(&self, batch: Batch, preparer: &mut Preparer) -> Result<Prepared> {
        let spec = &self.spec;
        let key_columns = preparer.keys.evaluate(&batch)?;
        let keys = spec.layout.extract(&key_columns, preparer.converter.as_ref())?;
        let range = if spec.layout.is_integer() { range_of(&keys) } else { None };
        let filter_columns = if spec.layout.is_integer() {
            Vec::new()
        } else {
            let types = spec.filter_keys.iter().map(|key| Some((&key_columns[*key], spec.layout.ty(*key)?)));
            types.flatten().map(|(column, ty)| encoding::canonical(column, ty)).collect::<Result<_>>()?
        };
        let columns = spec.shape.build_columns.iter();
        let columns =
            columns.map(|i| Ok(trim(&encoding::canonical(&batch.column(*i)?, &spec.build_input[*i].ty)?, SLACK)));
        Ok(Prepared { columns: columns.collect::<Result<_>>()?, keys, filter_columns, range, rows: batch.rows() })
    }

    fn concat_column(&self, position: usize) -> Result<ArrayRef> {
        let prepared = self.prepared.read();
        let parts: Vec<&dyn Array> = prepared.iter().flatten().map(|p| p.columns[position].as_ref()).collect();
        Ok(match parts.as_slice() {
            [] => {
                let input = self.spec.shape.build_columns[position];
                arrow::array::new_empty_array(&self.spec.build_input[input].ty.arrow())
            }
            _ => {
                let columns = prepared.iter().flatten().map(|p| &p.columns[position]);
                self.reserve(columns.map(row_bytes).sum::<u64>() as usize)?;
                arrow::compute::concat(&parts)?
            }
        })
    }

    /// The index before any row is in it.
    fn plan_index(&self) -> Result<KeyIndex> {
        let prepared = self.prepared.read();
        let batches = || prepared.iter().flatten();
        let keys = BuildKeys::concat(&self.spec.layout, batches().map(|p| &p.keys), self.rows);
        self.reserve(keys.bytes())?;
        let mut plan = IndexPlan::new(self.rows, self.range(&prepared), !self.spec.keys_only())?;
        if let Err(error) = self.reserve(plan.bytes()) {
            if !plan.is_dense() || plan.hashed().bytes() >= plan.bytes() {
                return Err(error);
            }
            plan = plan.hashed();
            self.reserve(plan.bytes())?;
        }
        let comparable = batches().any(|p| p.keys.comparable.is_some()).then(|| {
            let mut valid = BooleanBufferBuilder::new(self.rows);
            for batch in batches() {
                match &batch.keys.comparable {
                    Some(nulls) => valid.append_buffer(nulls.inner()),
                    None => valid.append_n(batch.rows, true),
                }
            }
            NullBuffer::new(valid.finish())
        });
        Ok(KeyIndex::new(plan, keys, comparable))
    }

    fn range(&self, prepared: &[Vec<Prepared>]) -> Option<(i64, i64)> {
        let ranges = prepared.iter().flatten().filter_map(|p| p.range);
        ranges.fold(None, |all, (min, max)| widen(widen(all, min), max))
    }

    fn finish(&self) -> Result<JoinTable> {
        let lost = || Error::internal("a part of a join table is missing");
        let spec = &self.spec;
        let prepared = std::mem::take(&mut *self.prepared.write());
        let filter_columns = if spec.layout.is_integer() {
            Vec::new()
        } else {
            let of_key = |i: usize| prepared.iter().flatten().map(|p| p.filter_columns[i].clone()).collect();
            spec.filter_keys.iter().enumerate().map(|(i, key)| (*key, of_key(i))).collect()
        };
        // All columns were copied, but for keys of filters.
        self.input_memory.lock().take();
        self.reserve(Matches::bytes(self.rows, spec.shape.remember()))?;
        let index = self.index.lock().take().ok_or_else(lost)?;
        let side = BuildSide {
            columns: self.columns.iter().map(|c| c.lock().take().ok_or_else(lost)).collect::<Result<_>>()?,
            rows: self.rows,
            matches: Arc::new(Matches::new(self.rows, self.tasks, spec.shape.remember())),
            comparable: index.comparable().cloned(),
        };
        let mut memory = self.memory.lock().take().ok_or_else(lost)?;
        // The index has its own copy of the keys.
        memory.shrink(prepared.iter().flatten().map(|p| p.keys.bytes()).sum());
        let range = self.range(&prepared);
        Ok(JoinTable { spec: spec.clone(), side, index, range, filter_columns, _memory: memory })
    }
}

/// A unit in work. If its thread panics, all others learn of it instead of waiting for ever.
struct Claim<'a>(Option<&'a JoinBuild>);

impl Claim<'_> {
    fn end(mut self, done: Result<()>) -> Result<()> {
        self.0.take().map_or(Ok(()), |build| build.end(done))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(build) = self.0.take() {
            let message = "A thread panicked while it built the table of a join.";
            // Reaches the other threads by the state of the build; this one is unwinding.
            let _ = build.end(Err(Error::new(ErrorKind::Panic, "INTERNAL_ERROR", "XX000", message)));
        }
    }
}

fn range_of(keys: &KeyBatch) -> Option<(i64, i64)> {
    let Keys::Word(words) = &keys.keys else { return None };
    let values = words.iter().map(|word| *word as i64);
    match &keys.comparable {
        Some(nulls) => nulls.valid_indices().map(|row| words[row] as i64).fold(None, widen),
        None => Some((values.clone().min()?, values.max()?)),
    }
}
