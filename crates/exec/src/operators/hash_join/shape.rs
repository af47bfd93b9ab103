//! What a join returns: the part of its description that does not depend on how pairs are found.
//!
//! Shared by the hash join and the nested loop join. The *build* side is kept, the *probe* side streams.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use firesteel_common::{ColumnId, Error, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::logical::JoinKind;
use firesteel_plan::physical::Side;

use super::matches::Remember;

/// Where a column of a pair comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operators) enum Slot {
    /// Column of the probe input.
    Probe(usize),
    /// Position in [`JoinShape::build_columns`].
    Build(usize),
    /// The result of a mark join.
    Mark,
}

/// What must hold besides equal keys.
#[derive(Clone, Debug)]
pub(in crate::operators) struct Residual {
    /// The condition.
    pub(in crate::operators) condition: Expr,
    /// The columns that it reads.
    pub(in crate::operators) columns: Vec<ColumnRef>,
    /// Where these come from.
    pub(in crate::operators) slots: Vec<Slot>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::operators) struct JoinShape {
    pub(in crate::operators) kind: JoinKind,
    pub(in crate::operators) build: Side,
    pub(in crate::operators) null_aware: bool,
    /// One per output column, with its canonical type.
    pub(in crate::operators) output: Vec<(Slot, DataType)>,
    /// Columns of the build input that are kept.
    pub(in crate::operators) build_columns: Vec<usize>,
    /// By position in `build_columns`: whether it may be returned as a dictionary of which the codes are build rows.
    pub(in crate::operators) carried: Vec<bool>,
    pub(in crate::operators) residual: Option<Residual>,
}

struct Slots<'a> {
    probe: HashMap<ColumnId, usize>,
    build: HashMap<ColumnId, usize>,
    mark: Option<&'a ColumnRef>,
    kept: Vec<usize>,
}

impl Slots<'_> {
    fn find(&mut self, column: &ColumnRef) -> Result<Slot> {
        if self.mark == Some(column) {
            return Ok(Slot::Mark);
        }
        if let Some(index) = self.probe.get(&column.id) {
            return Ok(Slot::Probe(*index));
        }
        let Some(index) = self.build.get(&column.id) else {
            return Err(Error::internal(format!("column {column} is in neither input of a join")));
        };
        let position = self.kept.iter().position(|kept| kept == index).unwrap_or_else(|| {
            self.kept.push(*index);
            self.kept.len() - 1
        });
        Ok(Slot::Build(position))
    }
}

impl JoinShape {
    pub(in crate::operators) fn new(
        kind: &JoinKind,
        build: Side,
        residual: Option<&Expr>,
        inputs: [&[ColumnRef]; 2],
        output: &[ColumnRef],
    ) -> Result<Self> {
        let by_id = |columns: &[ColumnRef]| columns.iter().enumerate().map(|(i, c)| (c.id, i)).collect();
        let mark = if let JoinKind::Mark(mark) = kind { Some(mark) } else { None };
        let mut slots = Slots {
            probe: by_id(inputs[build.other().index()]),
            build: by_id(inputs[build.index()]),
            mark,
            kept: Vec::new(),
        };
        let output = output.iter().map(|c| Ok((slots.find(c)?, c.ty.arrow()))).collect::<Result<_>>()?;
        let residual = match residual {
            None => None,
            Some(condition) => {
                let columns = condition.columns();
                let slots = columns.iter().map(|c| slots.find(c)).collect::<Result<_>>()?;
                Some(Residual { condition: condition.clone(), columns, slots })
            }
        };
        let (build_columns, carried) = (slots.kept, Vec::new());
        Ok(Self { kind: kind.clone(), build, null_aware: false, output, build_columns, carried, residual })
    }

    /// Whether probe rows without a match are returned, with NULLs.
    pub(in crate::operators) fn probe_outer(&self) -> bool {
        match self.kind {
            JoinKind::Full => true,
            JoinKind::Left | JoinKind::LeftSingle(_) => self.build == Side::Right,
            JoinKind::Right => self.build == Side::Left,
            _ => false,
        }
    }

    /// Whether build rows without a match are returned, with NULLs.
    pub(in crate::operators) fn build_outer(&self) -> bool {
        match self.kind {
            JoinKind::Full => true,
            JoinKind::Left | JoinKind::LeftSingle(_) => self.build == Side::Left,
            JoinKind::Right => self.build == Side::Right,
            _ => false,
        }
    }

    /// Whether each output row is a probe row.
    pub(in crate::operators) fn probe_existence(&self) -> bool {
        self.kind.is_existence() && self.build == Side::Right
    }

    /// Whether each output row is a build row.
    pub(in crate::operators) fn build_existence(&self) -> bool {
        self.kind.is_existence() && self.build == Side::Left
    }

    /// Whether a second match of a left row is an error.
    pub(in crate::operators) fn single(&self) -> bool {
        matches!(self.kind, JoinKind::LeftSingle(_))
    }

    /// Whether build rows are returned after the last probe row.
    pub(in crate::operators) fn has_tail(&self) -> bool {
        self.build_outer() || self.build_existence()
    }

    /// Whether nothing can be returned if there are no build rows.
    pub(in crate::operators) fn empty_without_build(&self) -> bool {
        !self.probe_outer() && (!self.probe_existence() || matches!(self.kind, JoinKind::LeftSemi))
    }

    /// What must be remembered of each build row.
    pub(in crate::operators) fn remember(&self) -> Remember {
        Remember { matched: self.has_tail(), owner: self.single() && self.build == Side::Left }
    }
}
