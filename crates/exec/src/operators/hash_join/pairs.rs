//! From pairs of a probe row and a build row to output: the half of a join that does not care how the
//! pairs were found. The hash join and the nested loop join share it.
//!
//! A pair is a position among the live rows of the probe batch and a build row, or [`NONE`] for a probe row that is
//! returned with NULLs. Conditions are evaluated on many pairs at once, on a batch of the columns
//! that they read. Columns are gathered only for the output and only for pairs that survive.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use firesteel_common::{Batch, Error, Result, Selection, TaskId};
use firesteel_plan::logical::JoinKind;
use firesteel_runtime::CancelToken;

use super::expressions::Exprs;
use super::index::NONE;
use super::shape::{JoinShape, Slot};
use super::table::BuildSide;
use crate::TaskContext;

/// See the module. Owned by one task.
pub(in crate::operators) struct PairJoin {
    pub(in crate::operators) shape: Arc<JoinShape>,
    pub(in crate::operators) side: BuildSide,
    condition: Option<Exprs>,
    task: TaskId,
    cancel: CancelToken,
    batch_rows: usize,
    /// Whether probe rows without a match come as pairs with [`NONE`].
    unmatched_are_pairs: bool,
    batch: Option<Batch>,
    /// By position: some pair matched. Empty if it does not matter.
    matched: Vec<bool>,
    /// The build row from which the tail goes on.
    tail: Option<u32>,
}

fn too_many_rows(kind: &JoinKind) -> Error {
    let error = Error::compute(
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "21000",
        "More than one row returned by a subquery used as an expression.",
    );
    if let JoinKind::LeftSingle(span) = kind { error.at(*span) } else { error }
}

impl PairJoin {
    pub(in crate::operators) fn new(
        shape: Arc<JoinShape>,
        side: BuildSide,
        unmatched_are_pairs: bool,
        cx: &TaskContext,
    ) -> Result<Self> {
        let condition = match &shape.residual {
            None => None,
            Some(r) => Some(Exprs::compile(std::slice::from_ref(&r.condition), &r.columns, &cx.eval)?),
        };
        Ok(Self {
            shape,
            side,
            condition,
            task: cx.id,
            cancel: cx.cancel.clone(),
            batch_rows: cx.batch_rows.max(1),
            unmatched_are_pairs,
            batch: None,
            matched: Vec::new(),
            tail: None,
        })
    }

    /// Most pairs to be processed at a time.
    pub(in crate::operators) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Whether nothing can be returned, whatever comes.
    pub(in crate::operators) fn is_void(&self) -> bool {
        self.side.rows == 0 && self.shape.empty_without_build()
    }

    /// Starts on a probe batch.
    pub(in crate::operators) fn begin(&mut self, batch: Batch) {
        let rows = batch.rows();
        let by_probe = self.shape.probe_existence() || self.shape.probe_outer();
        self.matched.clear();
        if by_probe {
            self.matched.resize(rows, false);
        }
        self.batch = Some(batch);
    }

    /// Whether the probe row needs no more pairs.
    #[inline]
    pub(in crate::operators) fn is_settled(&self, position: u32) -> bool {
        self.shape.probe_existence() && self.matched[position as usize]
    }

    /// Joins candidate pairs, which are left in an unspecified state. `ascending` if no probe row occurs twice and they
    /// are in order.
    pub(in crate::operators) fn process(
        &mut self,
        positions: &mut Vec<u32>,
        rows: &mut Vec<u32>,
        ascending: bool,
    ) -> Result<Option<Batch>> {
        // A probe batch may have any number of pairs of which none survives.
        self.cancel.check()?;
        self.filter(positions, rows)?;
        self.note(positions, rows)?;
        if positions.is_empty() || self.shape.kind.is_existence() {
            return Ok(None);
        }
        let batch = self.batch.as_ref().ok_or_else(|| Error::internal("pairs without a probe batch"))?;
        if ascending && positions.len() * 4 >= batch.physical_rows() * 3 {
            return self.in_place(batch, positions, rows).map(Some);
        }
        let probe_rows = probe_indices(batch, positions);
        let build_rows = build_indices(rows);
        let columns = self.shape.output.iter().map(|(slot, ty)| match slot {
            Slot::Probe(i) => Ok(take(&batch.columns()[*i], &probe_rows, None)?),
            Slot::Build(i) => self.build_column(*i, &build_rows, ty),
            Slot::Mark => Err(Error::internal("a mark among pairs")),
        });
        Ok(Some(Batch::new(columns.collect::<Result<_>>()?, positions.len())))
    }

    /// Nearly all probe rows are returned once: their columns are not copied, and a selection leaves out the
    /// others.
    fn in_place(&self, batch: &Batch, positions: &[u32], rows: &[u32]) -> Result<Batch> {
        let physical = batch.physical_rows();
        let (build_rows, selection) = if positions.len() == physical {
            (build_indices(rows), None)
        } else {
            let live = probe_indices(batch, positions);
            // Rows that are not selected take any build row.
            let mut spread = vec![rows[0]; physical];
            live.values().iter().zip(rows).for_each(|(place, row)| spread[*place as usize] = *row);
            (build_indices(&spread), Some(Selection::new(live.values().to_vec())))
        };
        let columns = self.shape.output.iter().map(|(slot, ty)| match slot {
            Slot::Probe(i) => Ok(batch.columns()[*i].clone()),
            Slot::Build(i) => self.build_column(*i, &build_rows, ty),
            Slot::Mark => Err(Error::internal("a mark among pairs")),
        });
        Ok(Batch::new(columns.collect::<Result<_>>()?, physical).with_selection(selection))
    }

    fn build_column(&self, index: usize, rows: &UInt32Array, ty: &DataType) -> Result<ArrayRef> {
        if rows.null_count() == rows.len() {
            return Ok(new_null_array(ty, rows.len()));
        }
        let column = &self.side.columns[index];
        if self.shape.carried.get(index) == Some(&true)
            && rows.null_count() + column.null_count() == 0
            && i32::try_from(column.len()).is_ok()
        {
            return codes(rows, column);
        }
        Ok(take(column, rows, None)?)
    }

    /// Keeps the pairs on which the condition is true.
    fn filter(&mut self, positions: &mut Vec<u32>, rows: &mut Vec<u32>) -> Result<()> {
        let (Some(condition), Some(residual)) = (&mut self.condition, &self.shape.residual) else { return Ok(()) };
        let Some(batch) = &self.batch else { return Ok(()) };
        if positions.is_empty() {
            return Ok(());
        }
        let probe_rows = probe_indices(batch, positions);
        let build_rows = build_indices(rows);
        let columns = residual.slots.iter().map(|slot| match slot {
            Slot::Probe(i) => Ok(take(&batch.columns()[*i], &probe_rows, None)?),
            Slot::Build(i) => Ok(take(&self.side.columns[*i], &build_rows, None)?),
            Slot::Mark => Err(Error::internal("a join condition reads its own mark")),
        });
        let candidates = Batch::new(columns.collect::<Result<_>>()?, positions.len());
        let results = condition.evaluate(&candidates)?;
        let truth = results
            .first()
            .and_then(|array| array.as_boolean_opt())
            .ok_or_else(|| Error::internal("a join condition is not BOOLEAN"))?;
        let passed = Selection::from_mask(truth);
        for (to, from) in passed.indices().iter().enumerate() {
            positions[to] = positions[*from as usize];
            rows[to] = rows[*from as usize];
        }
        positions.truncate(passed.len());
        rows.truncate(passed.len());
        Ok(())
    }

    /// Remembers on both sides who has matched.
    fn note(&mut self, positions: &[u32], rows: &[u32]) -> Result<()> {
        if !self.matched.is_empty() {
            let single = self.shape.single();
            for (position, row) in positions.iter().zip(rows) {
                let seen = std::mem::replace(&mut self.matched[*position as usize], true);
                if seen && single && *row != NONE {
                    return Err(too_many_rows(&self.shape.kind));
                }
            }
        }
        if self.shape.has_tail() {
            let claims = self.shape.single();
            for row in rows.iter().filter(|row| **row != NONE) {
                if claims && !self.side.matches.claim(*row, self.task.task, self.task.attempt) {
                    return Err(too_many_rows(&self.shape.kind));
                }
                self.side.matches.set_matched(*row);
            }
        }
        Ok(())
    }

    /// All pairs of the probe batch have been processed: returns what depends on there being no match.
    pub(in crate::operators) fn end_batch(&mut self) -> Result<Option<Batch>> {
        let Some(batch) = self.batch.take() else { return Ok(None) };
        if self.shape.probe_existence() {
            // An unknown condition is no match; only a null-aware key tells the difference.
            let matched = std::mem::take(&mut self.matched);
            let result = self.existence(batch, |row: usize| Some(matched[row]));
            self.matched = matched;
            return result;
        }
        if !self.shape.probe_outer() || self.unmatched_are_pairs {
            return Ok(None);
        }
        let unmatched = self.matched.iter().enumerate().filter(|(_, matched)| !**matched);
        let positions: Vec<u32> = unmatched.map(|(position, _)| position as u32).collect();
        if positions.is_empty() {
            return Ok(None);
        }
        let rows = vec![NONE; positions.len()];
        let physical = batch.physical_rows();
        if positions.len() * 4 >= physical * 3 {
            return self.in_place(&batch, &positions, &rows).map(Some);
        }
        let probe_rows = probe_indices(&batch, &positions);
        let columns = self.shape.output.iter().map(|(slot, ty)| match slot {
            Slot::Probe(i) => Ok(take(&batch.columns()[*i], &probe_rows, None)?),
            _ => Ok(new_null_array(ty, positions.len())),
        });
        Ok(Some(Batch::new(columns.collect::<Result<_>>()?, positions.len())))
    }

    /// The probe rows of a semi, anti or mark join. `truth` is that of "there is a match", by position; NULL counts
    /// as neither for semi and anti.
    pub(in crate::operators) fn existence(
        &self,
        batch: Batch,
        truth: impl Fn(usize) -> Option<bool>,
    ) -> Result<Option<Batch>> {
        let wanted = match self.shape.kind {
            JoinKind::LeftSemi => Some(true),
            JoinKind::LeftAnti => Some(false),
            _ => return self.mark(&batch, truth).map(Some),
        };
        // Without branches: whether a row has a match is hard to predict.
        let mut kept = vec![0u32; batch.rows()];
        let mut count = 0;
        for row in 0..kept.len() {
            kept[count] = row as u32;
            count += usize::from(truth(row) == wanted);
        }
        kept.truncate(count);
        if kept.is_empty() {
            return Ok(None);
        }
        let columns = self.shape.output.iter().map(|(slot, _)| match slot {
            Slot::Probe(i) => Ok(*i),
            _ => Err(Error::internal("a semi join returns its left input only")),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let output = batch.project(&columns);
        let all = kept.len() == output.rows();
        Ok(Some(if all { output } else { output.refine(&Selection::new(kept)) }))
    }

    fn mark(&self, batch: &Batch, truth: impl Fn(usize) -> Option<bool>) -> Result<Batch> {
        let mark: BooleanArray = match batch.selection() {
            None => (0..batch.rows()).map(truth).collect(),
            Some(selection) => {
                let mut spread = vec![None; batch.physical_rows()];
                let each = selection.indices().iter().enumerate();
                each.for_each(|(position, place)| spread[*place as usize] = truth(position));
                spread.into_iter().collect()
            }
        };
        let mark: ArrayRef = Arc::new(mark);
        let columns = self.shape.output.iter().map(|(slot, _)| match slot {
            Slot::Probe(i) => Ok(batch.columns()[*i].clone()),
            Slot::Mark => Ok(mark.clone()),
            Slot::Build(_) => Err(Error::internal("a mark join returns its left input only")),
        });
        let output = Batch::new(columns.collect::<Result<_>>()?, batch.physical_rows());
        Ok(output.with_selection(batch.selection().cloned()))
    }

    /// The probe input has ended: the last task to say so returns build rows from now on.
    pub(in crate::operators) fn end_input(&mut self) {
        if self.shape.has_tail() && self.side.matches.report_end(self.task.task) {
            self.tail = Some(0);
        }
    }

    /// Whether there is a match for a build row.
    fn build_truth(&self, row: u32) -> Option<bool> {
        let matches = &self.side.matches;
        if matches.is_matched(row) {
            return Some(true);
        }
        let null_key = || self.side.comparable.as_ref().is_some_and(|nulls| nulls.is_null(row as usize));
        let unknown = self.shape.null_aware && (matches.probe_null() || (matches.probe_seen() && null_key()));
        (!unknown).then_some(false)
    }

    /// The next build rows that are returned at the end.
    pub(in crate::operators) fn next_tail(&mut self) -> Result<Option<Batch>> {
        let Some(mut row) = self.tail else { return Ok(None) };
        let mut rows = Vec::new();
        let mut marks = Vec::new();
        while (row as usize) < self.side.rows && rows.len() < self.batch_rows {
            let truth = self.build_truth(row);
            let wanted = match self.shape.kind {
                JoinKind::Mark(_) => {
                    marks.push(truth);
                    true
                }
                JoinKind::LeftSemi => truth == Some(true),
                // Of joins that are not null-aware, the truth of a build row is never unknown here.
                _ => truth == Some(false),
            };
            if wanted {
                rows.push(row);
            }
            row += 1;
        }
        self.tail = Some(row);
        if rows.is_empty() {
            return Ok(None);
        }
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let columns = self.shape.output.iter().map(|(slot, ty)| match slot {
            Slot::Build(i) => Ok(take(&self.side.columns[*i], &rows, None)?),
            Slot::Probe(_) => Ok(new_null_array(ty, count)),
            Slot::Mark => {
                let mark: ArrayRef = Arc::new(BooleanArray::from(std::mem::take(&mut marks)));
                Ok(mark)
            }
        });
        Ok(Some(Batch::new(columns.collect::<Result<_>>()?, count)))
    }
}

/// Physical rows of positions among the live ones.
fn probe_indices(batch: &Batch, positions: &[u32]) -> UInt32Array {
    match batch.selection() {
        None => UInt32Array::from(positions.to_vec()),
        Some(selection) => {
            let live = selection.indices();
            UInt32Array::from_iter_values(positions.iter().map(|position| live[*position as usize]))
        }
    }
}

/// The values of `column` at `rows`, none of them NULL, as the dictionary that the column is. All dictionaries at the
/// same rows share their codes.
fn codes(rows: &UInt32Array, column: &ArrayRef) -> Result<ArrayRef> {
    let codes = ScalarBuffer::new(rows.values().inner().clone(), 0, rows.len());
    Ok(Arc::new(DictionaryArray::try_new(Int32Array::new(codes, None), column.clone())?))
}

/// Build rows for `take`, NULL where there is none.
fn build_indices(rows: &[u32]) -> UInt32Array {
    if !rows.contains(&NONE) {
        return UInt32Array::from(rows.to_vec());
    }
    let valid = NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |i| rows[i] != NONE));
    let values: Vec<u32> = rows.iter().map(|row| if *row == NONE { 0 } else { *row }).collect();
    UInt32Array::new(values.into(), Some(valid))
}
