//! Join by trying all pairs.
//!
//! The build side is kept in memory, shared by all tasks. Pairs of a probe batch are made row by row of the
//! smaller of the two, so that at least one side of a chunk of pairs is a plain range. Output is made as in the hash
//! join, whose `pairs` is shared.

use std::sync::Arc;

use arrow::array::ArrayRef;
use firesteel_common::{Batch, Error, Result, SqlType};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::logical::JoinKind;
use firesteel_plan::physical::Side;
use firesteel_runtime::Reservation;
use firesteel_shuffle::block::row_bytes;

use super::hash_join::matches::{Matches, Remember};
use super::hash_join::pairs::PairJoin;
use super::hash_join::shape::JoinShape;
use super::hash_join::table::BuildSide;
use crate::{Operator, TaskContext};

/// The kept side of a nested loop join. All tasks share it.
#[derive(Debug)]
pub struct NestedLoopBuild {
    columns: Vec<ArrayRef>,
    rows: usize,
    matches: Arc<Matches>,
    _memory: Reservation,
}

impl NestedLoopBuild {
    /// Keeps `batches`, whose columns are `columns`; `tasks` tasks will read them.
    pub fn new(batches: Vec<Batch>, columns: &[ColumnRef], tasks: usize, cx: &TaskContext) -> Result<Arc<Self>> {
        let types: Vec<SqlType> = columns.iter().map(|c| c.ty.clone()).collect();
        let mut memory = cx.reserve("NestedLoopJoin build");
        let remember = Remember { matched: true, ..Remember::default() };
        let rows = batches.iter().map(Batch::rows).sum();
        if rows >= u32::MAX as usize {
            return Err(Error::unsupported("The kept side of a nested loop join has more than 4 billion rows."));
        }
        let bytes: u64 = batches.iter().flat_map(Batch::columns).map(row_bytes).sum();
        memory.try_grow(bytes as usize + Matches::bytes(rows, remember))?;
        let all = Batch::concat(&batches, &types)?;
        Ok(Arc::new(Self {
            columns: all.columns().to_vec(),
            rows: all.rows(),
            matches: Arc::new(Matches::new(all.rows(), tasks, remember)),
            _memory: memory,
        }))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// Joins probe batches with all rows of the other side.
pub struct NestedLoopJoinOperator {
    _build: Arc<NestedLoopBuild>,
    pairs: PairJoin,
    /// Live rows of the batch in work; 0 if there is none.
    probe_rows: usize,
    active: bool,
    /// The pair that comes next: row of the outer loop and row of the inner one.
    outer: usize,
    inner: usize,
    positions: Vec<u32>,
    rows: Vec<u32>,
}

impl NestedLoopJoinOperator {
    /// Task `task_index` of those announced to [`NestedLoopBuild::new`]. `build` is the side that is kept.
    #[allow(
        clippy::too_many_arguments,
        reason = "these are the fields of the plan node, which has no struct of its own"
    )]
    pub fn new(
        kind: &JoinKind,
        condition: Option<&Expr>,
        build: Side,
        build_batches: Arc<NestedLoopBuild>,
        left: &[ColumnRef],
        right: &[ColumnRef],
        output: &[ColumnRef],
        task_index: u32,
        cx: &TaskContext,
    ) -> Result<Self> {
        let fits = match build {
            Side::Left => matches!(kind, JoinKind::Inner | JoinKind::Right),
            Side::Right => !matches!(kind, JoinKind::Right),
        };
        if !fits {
            return Err(Error::internal("a nested loop join cannot keep this side"));
        }
        let shape = JoinShape::new(kind, build, condition, [left, right], output)?;
        let kept = |i: &usize| {
            let column = build_batches.columns.get(*i).cloned();
            column.ok_or_else(|| Error::internal("a column of the kept side is missing"))
        };
        // Without a condition, one row says whether there is any, and two whether there is more than one.
        let rows = match kind {
            _ if condition.is_some() => build_batches.rows,
            kind if kind.is_existence() => build_batches.rows.min(1),
            JoinKind::LeftSingle(_) => build_batches.rows.min(2),
            _ => build_batches.rows,
        };
        let side = BuildSide {
            columns: shape.build_columns.iter().map(kept).collect::<Result<_>>()?,
            rows,
            matches: build_batches.matches.clone(),
            comparable: None,
        };
        let mut cx = cx.clone();
        cx.id.task = task_index;
        Ok(Self {
            pairs: PairJoin::new(Arc::new(shape), side, false, &cx)?,
            _build: build_batches,
            probe_rows: 0,
            active: false,
            outer: 0,
            inner: 0,
            positions: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Fills in the next pairs. Whether they are of one build row with every probe row in order.
    fn find_pairs(&mut self) -> bool {
        self.positions.clear();
        self.rows.clear();
        let (probe, build) = (self.probe_rows as u32, self.pairs.side.rows as u32);
        if build <= probe {
            // One build row with all probe rows.
            let row = self.outer as u32;
            self.positions.extend(0..probe);
            self.rows.resize(probe as usize, row);
            self.outer += 1;
            return true;
        }
        let limit = self.pairs.batch_rows();
        while self.outer < probe as usize && self.positions.len() < limit {
            let position = self.outer as u32;
            if self.pairs.is_settled(position) {
                (self.outer, self.inner) = (self.outer + 1, 0);
                continue;
            }
            let count = (limit - self.positions.len()).min(build as usize - self.inner);
            self.positions.resize(self.positions.len() + count, position);
            self.rows.extend(self.inner as u32..(self.inner + count) as u32);
            self.inner += count;
            if self.inner == build as usize {
                (self.outer, self.inner) = (self.outer + 1, 0);
            }
        }
        false
    }

    fn outer_rows(&self) -> usize {
        self.probe_rows.min(self.pairs.side.rows)
    }
}

impl Operator for NestedLoopJoinOperator {
    fn push(&mut self, batch: Batch) -> Result<()> {
        if self.pairs.is_void() {
            return Ok(());
        }
        self.probe_rows = batch.rows();
        self.pairs.begin(batch);
        (self.outer, self.inner, self.active) = (0, 0, true);
        Ok(())
    }

    fn next_output(&mut self) -> Result<Option<Batch>> {
        if self.active {
            if self.outer < self.outer_rows() {
                let ascending = self.find_pairs();
                let output = self.pairs.process(&mut self.positions, &mut self.rows, ascending)?;
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
