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

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use firesteel_common::{Error, Result, SqlType};

use super::fields::Extent;
use super::packed::Packed;
use super::values::{fixed_bits, from_bytes};

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

/// A text of each group.
#[derive(Debug)]
struct GroupTexts {
    ty: SqlType,
    bytes: Vec<u8>,
    /// Where the text of each group is; `None` is NULL.
    places: Vec<Option<(usize, u32)>>,
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

    pub(super) fn clear(&mut self) {
        self.packed.clear();
        self.texts.iter_mut().flatten().for_each(|texts| texts.truncate(0));
        self.groups = 0;
    }

    pub(super) fn memory(&self) -> usize {
        let texts = self.texts.iter().flatten();
        self.packed.memory() + texts.map(|t| t.bytes.capacity() + t.places.capacity() * 24).sum::<usize>()
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
    pub(super) fn keys(&self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut packed = self.packed.keys(&self.types, offset, rows)?.into_iter();
        let column = |texts: &Option<GroupTexts>| match texts {
            Some(texts) => from_bytes(&texts.ty, (offset..offset + rows).map(|group| texts.get(group))),
            None => packed.next().ok_or_else(|| Error::internal("a packed key is missing")),
        };
        self.texts.iter().map(column).collect()
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

impl GroupTexts {
    fn new(ty: SqlType) -> Self {
        Self { ty, bytes: Vec::new(), places: Vec::new() }
    }

    fn get(&self, group: usize) -> Option<&[u8]> {
        let (start, length) = self.places[group]?;
        Some(&self.bytes[start..start + length as usize])
    }

    fn truncate(&mut self, groups: usize) {
        self.places.truncate(groups);
        let end = self.places.iter().rev().flatten().next().map_or(0, |(start, length)| start + *length as usize);
        self.bytes.truncate(end);
    }

    /// Takes the texts of new groups, which come in order, and compares those of known ones; `false` if one differs.
    fn take(&mut self, column: &ArrayRef, groups: &[u32]) -> Result<bool> {
        match column.as_string_view_opt() {
            Some(_) => Ok(self.take_views::<StringViewType>(column, groups)),
            None if column.as_binary_view_opt().is_some() => Ok(self.take_views::<BinaryViewType>(column, groups)),
            None => Err(Error::internal(format!("a text key is {}", column.data_type()))),
        }
    }

    fn take_views<T: ByteViewType>(&mut self, column: &ArrayRef, groups: &[u32]) -> bool {
        let array = column.as_byte_view::<T>();
        for (row, group) in groups.iter().enumerate() {
            let value: Option<&[u8]> = array.is_valid(row).then(|| array.value(row).as_ref());
            if *group as usize == self.places.len() {
                self.places.push(value.map(|value| (self.bytes.len(), value.len() as u32)));
                self.bytes.extend_from_slice(value.unwrap_or_default());
            } else if self.get(*group as usize) != value {
                return false;
            }
        }
        true
    }
}
