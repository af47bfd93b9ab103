//! The probe side: a step of a pipeline.

use std::sync::Arc;

use arrow::row::RowConverter;
use firesteel_common::{Batch, Result};

use super::expressions::Exprs;
use super::index::NONE;
use super::keys::KeyBatch;
use super::pairs::PairJoin;
use super::table::JoinTable;
use crate::{Operator, TaskContext};

/// Joins probe batches with a table. At the end, the last task of the stage returns the build rows that are
/// due, if any.
pub struct HashJoinOperator {
    table: Arc<JoinTable>,
    keys: Exprs,
    converter: Option<RowConverter>,
    pairs: PairJoin,
    /// Whether a batch is in work, in `pairs`.
    active: bool,
    /// First build row of each live probe row of that batch.
    firsts: Vec<u32>,
    /// The probe row that comes next, and its build row if its list was left in the middle.
    position: usize,
    row: u32,
    positions: Vec<u32>,
    rows: Vec<u32>,
    ready: Option<Batch>,
}

impl HashJoinOperator {
    /// Task `task_index` of the tasks that were announced to `JoinBuild::new`.
    pub fn new(table: Arc<JoinTable>, task_index: u32, cx: &TaskContext) -> Result<Self> {
        let spec = table.spec.clone();
        let mut cx = cx.clone();
        cx.id.task = task_index;
        Ok(Self {
            keys: Exprs::compile(&spec.probe_keys, &spec.probe_input, &cx.eval)?,
            converter: spec.layout.converter()?,
            pairs: PairJoin::new(spec.shape.clone(), table.side.clone(), spec.shape.residual.is_none(), &cx)?,
            table,
            active: false,
            firsts: Vec::new(),
            position: 0,
            row: NONE,
            positions: Vec::new(),
            rows: Vec::new(),
            ready: None,
        })
    }

    fn probe_exists(&self, batch: Batch, keys: &KeyBatch) -> Result<Option<Batch>> {
        let firsts = &self.firsts;
        if !self.pairs.shape.null_aware || self.table.is_empty() {
            return self.pairs.existence(batch, |row| Some(firsts[row] != NONE));
        }
        let build_null = self.table.index.comparable().is_some();
        let probe_null = |row: usize| keys.comparable.as_ref().is_some_and(|nulls| nulls.is_null(row));
        self.pairs.existence(batch, |row| {
            let found = firsts[row] != NONE;
            (found || !(build_null || probe_null(row))).then_some(found)
        })
    }

    /// Marks all build rows with the keys that were found.
    fn mark_build(&self, keys: &KeyBatch) {
        let matches = &self.pairs.side.matches;
        if self.pairs.shape.null_aware {
            matches.note_probe(!self.firsts.is_empty(), keys.comparable.is_some());
        }
        for first in self.firsts.iter().filter(|first| **first != NONE) {
            if matches.is_matched(*first) {
                continue;
            }
            let mut row = self.table.index.next(*first);
            while row != NONE {
                matches.set_matched(row);
                row = self.table.index.next(row);
            }
            // Last, because it stands for the whole list.
            matches.set_matched(*first);
        }
    }

    /// Fills `positions` and `rows` with the next pairs that have equal keys.
    fn find_pairs(&mut self) {
        self.positions.clear();
        self.rows.clear();
        let with_unmatched = self.pairs.shape.probe_outer() && self.pairs.shape.residual.is_none();
        let limit = self.pairs.batch_rows();
        let by_build = self.pairs.shape.build_existence();
        while self.position < self.firsts.len() && self.positions.len() < limit {
            let position = self.position as u32;
            let mut row = if self.row == NONE { self.firsts[self.position] } else { self.row };
            if row == NONE && with_unmatched {
                self.positions.push(position);
                self.rows.push(NONE);
            }
            if row != NONE && self.pairs.is_settled(position) {
                row = NONE;
            }
            while row != NONE && self.positions.len() < limit {
                if !(by_build && self.pairs.side.matches.is_matched(row)) {
                    self.positions.push(position);
                    self.rows.push(row);
                }
                row = self.table.index.next(row);
            }
            self.row = row;
            self.position += usize::from(row == NONE);
        }
    }

    /// As [`Self::find_pairs`] for a table without duplicates: all pairs at once.
    fn find_unique_pairs(&mut self) {
        let rows = self.firsts.len();
        let with_unmatched = self.pairs.shape.probe_outer() && self.pairs.shape.residual.is_none();
        self.positions.clear();
        self.rows.clear();
        if with_unmatched {
            self.positions.extend(0..rows as u32);
            self.rows.extend_from_slice(&self.firsts);
        } else {
            self.positions.resize(rows, 0);
            self.rows.resize(rows, 0);
            let (positions, build_rows) = (self.positions.as_mut_slice(), self.rows.as_mut_slice());
            let mut count = 0;
            for (position, first) in self.firsts.iter().enumerate() {
                positions[count] = position as u32;
                build_rows[count] = *first;
                count += usize::from(*first != NONE);
            }
            self.positions.truncate(count);
            self.rows.truncate(count);
        }
        self.position = rows;
    }
}

impl Operator for HashJoinOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        if self.pairs.is_void() {
            return Ok(());
        }
        let columns = self.keys.evaluate(&batch)?;
        let keys = self.table.spec.layout.extract(&columns, self.converter.as_ref())?;
        self.table.index.lookup(&keys, &mut self.firsts)?;
        let shape = &self.pairs.shape;
        if shape.residual.is_none() && shape.probe_existence() {
            self.ready = self.probe_exists(batch, &keys)?;
        } else if shape.residual.is_none() && shape.build_existence() {
            self.mark_build(&keys);
        } else {
            self.pairs.begin(batch);
            (self.position, self.row, self.active) = (0, NONE, true);
        }
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        if let Some(batch) = self.ready.take() {
            return Ok(Some(batch));
        }
        let unique = self.table.index.is_unique();
        if self.active {
            if self.position < self.firsts.len() {
                if unique {
                    self.find_unique_pairs();
                } else {
                    self.find_pairs();
                }
                let output = self.pairs.process(&mut self.positions, &mut self.rows, unique)?;
                return Ok(Some(output.unwrap_or_default()));
            }
            self.active = false;
            if let Some(batch) = self.pairs.end_batch()? {
                return Ok(Some(batch));
            }
        }
        self.pairs.next_tail()
    }

    fn input_done(&mut self) -> Result<()> {
        self.pairs.end_input();
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.pairs.is_void()
    }
}
