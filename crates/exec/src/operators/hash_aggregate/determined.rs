//! Groups whose texts follow from the numbers among their keys.
//!
//! `GROUP BY id, name, address` has a group for each `id`: the texts are there to be returned. Nothing declares
//! that, so it is found out: groups are numbered by the other keys alone, and each row's texts are compared with those
//! of the first row of its group. That reads a text where the table of columns would also hash it. The first
//! difference ends it ([`Fit::Undetermined`]), and the owner chooses another table; mostly that
//! is the first batch.
//!
//! Invariant: the texts of groups `0 .. len` are complete; the packed table may have more groups, which rows of a
//! batch that was given up have left behind and nobody sees.

use arrow::array::ArrayRef;
use firesteel_common::{Error, Result, SqlType};

use super::fields::Extent;
use super::packed::Packed;
use super::slots::Slots;
use super::texts::GroupTexts;
use super::values::fixed_bits;

/// Groups by some of their keys.
#[derive(Debug)]
pub(super) struct DeterminedTable {
    /// Types of the packed keys.
    types: Vec<SqlType>,
    packed: Packed,
    /// By key column; `None` if it is packed.
    texts: Vec<Option<GroupTexts>>,
    groups: usize,
}

impl DeterminedTable {
    /// A table for keys of `types` of which `extents` were seen; `None` unless there are texts beside keys that fit a
    /// word.
    pub(super) fn plan(types: &[SqlType], nullable: &[bool], extents: &[Extent]) -> Option<Self> {
        let is_text: Vec<bool> = types.iter().map(|ty| fixed_bits(ty).is_none()).collect();
        let packed: Vec<usize> = (0..types.len()).filter(|at| !is_text[*at]).collect();
        if packed.is_empty() || packed.len() == types.len() {
            return None;
        }
        let packed_types: Vec<SqlType> = packed.iter().map(|at| types[*at].clone()).collect();
        let nullable: Vec<bool> = packed.iter().map(|at| nullable[*at]).collect();
        let extents: Vec<Extent> = packed.iter().map(|at| extents[*at]).collect();
        let texts = types.iter().zip(is_text).map(|(ty, is_text)| is_text.then(|| GroupTexts::new(ty.clone())));
        Some(Self {
            packed: Packed::plan(&packed_types, &nullable, &extents, false)?,
            types: packed_types,
            texts: texts.collect(),
            groups: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.groups
    }

    /// What the groups are found by.
    pub(super) fn slots(&mut self) -> &mut Slots {
        self.packed.slots()
    }

    pub(super) fn clear(&mut self) {
        self.packed.clear();
        self.texts.iter_mut().flatten().for_each(|texts| texts.truncate(0));
        self.groups = 0;
    }

    pub(super) fn memory(&self) -> usize {
        self.packed.memory() + self.texts.iter().flatten().map(GroupTexts::memory).sum::<usize>()
    }

    /// Appends the group of each row to `groups`. If the batch does not fit, nothing is appended and the groups that were
    /// there are still there, to be moved; this table takes no other batch then.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<Fit> {
        let packed = columns.iter().zip(&self.texts).filter(|(_, texts)| texts.is_none());
        let packed: Vec<ArrayRef> = packed.map(|(column, _)| column.clone()).collect();
        let before = groups.len();
        if !self.packed.intern(&packed, rows, groups)? {
            return Ok(Fit::TooNarrow);
        }
        for (column, texts) in columns.iter().zip(&mut self.texts) {
            let Some(texts) = texts else { continue };
            if !texts.take(column, &groups[before..])? {
                self.texts.iter_mut().flatten().for_each(|texts| texts.truncate(self.groups));
                groups.truncate(before);
                return Ok(Fit::Undetermined);
            }
        }
        self.groups = self.packed.len();
        Ok(Fit::Fits)
    }

    /// The key columns of `rows` groups from `offset` on.
    pub(super) fn keys(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut packed = self.packed.keys(&self.types, offset, rows)?.into_iter();
        let column = |texts: &mut Option<GroupTexts>| match texts {
            Some(texts) => texts.column(offset, rows),
            None => packed.next().ok_or_else(|| Error::internal("a packed key is missing")),
        };
        self.texts.iter_mut().map(column).collect()
    }
}

/// Whether a batch could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// A packed key does not fit its place.
    TooNarrow,
    /// A text does not follow from the packed keys.
    Undetermined,
}
