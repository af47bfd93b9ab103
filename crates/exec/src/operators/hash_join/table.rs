//! The finished build side: columns, index and what the tasks that probe it share.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use firesteel_catalog::RuntimeFilter;
use firesteel_common::Result;
use firesteel_runtime::Reservation;

use super::filter;
use super::index::KeyIndex;
use super::keys::BuildKeys;
use super::matches::Matches;
use super::spec::JoinSpec;

/// Build rows as the tail and the pairs of a join read them.
#[derive(Clone, Debug)]
pub(in crate::operators) struct BuildSide {
    /// The columns at `JoinShape::build_columns`, canonical.
    pub(in crate::operators) columns: Vec<ArrayRef>,
    /// Number of rows.
    pub(in crate::operators) rows: usize,
    /// What the tasks have found out.
    pub(in crate::operators) matches: Arc<Matches>,
    /// Rows whose key is NULL are "NULL" here.
    pub(in crate::operators) comparable: Option<NullBuffer>,
}

/// The build side of a join: read-only but for the marks of rows that have matched. All tasks share it.
#[derive(Debug)]
pub struct JoinTable {
    pub(super) spec: Arc<JoinSpec>,
    pub(super) side: BuildSide,
    pub(super) index: Arc<KeyIndex>,
    /// Range of integer keys.
    pub(super) range: Option<(i64, i64)>,
    /// Values of the keys that filters may be asked for, unless the index has them.
    pub(super) filter_columns: Vec<(usize, Vec<ArrayRef>)>,
    /// Held as long as the table.
    pub(super) _memory: Reservation,
}

impl JoinTable {
    /// Number of build rows, those with NULL keys included.
    pub fn rows(&self) -> usize {
        self.side.rows
    }

    /// Whether there is no build row.
    pub fn is_empty(&self) -> bool {
        self.side.rows == 0
    }

    /// The values of key `key_index` that may find a partner. `None` if a filter would not pay or would
    /// keep out rows that match.
    pub fn runtime_filter(&self, key_index: usize) -> Result<Option<RuntimeFilter>> {
        let layout = &self.spec.layout;
        let Some(ty) = layout.ty(key_index) else { return Ok(None) };
        if layout.is_null_safe(key_index) || self.rows() > filter::MAX_ROWS {
            return Ok(None);
        }
        if layout.is_integer()
            && filter::is_integer(ty)
            && let BuildKeys::Word(keys) = self.index.keys()
        {
            return Ok(Some(filter::of_integers(keys, self.index.comparable(), self.range)));
        }
        let Some((_, columns)) = self.filter_columns.iter().find(|(key, _)| *key == key_index) else {
            return Ok(None);
        };
        filter::of_columns(columns, ty).map(Some)
    }
}
