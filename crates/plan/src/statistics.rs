//! What is known or believed of the rows that a plan returns.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, Scalar};

/// Rows and bytes of a plan's result.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Estimate {
    /// Rows.
    pub rows: f64,
    /// Bytes, uncompressed.
    pub bytes: f64,
    /// Whether they were counted rather than estimated.
    pub exact: bool,
}

impl Estimate {
    /// Memory for a table of these rows: as they come and as they are kept, the keys and an index of them.
    pub fn table_bytes(&self) -> f64 {
        const PER_ROW: f64 = 20.0;
        2.0 * self.bytes + PER_ROW * self.rows
    }
}

/// What is believed of a column.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ColumnEstimate {
    /// Distinct values, not counting NULL.
    pub distinct: Option<f64>,
    /// Distinct values among which a partner is looked for: those that the column had before filters on other columns
    /// took rows away. `None`: as many as `distinct`.
    pub domain: Option<f64>,
    /// Whether the domain is only what lies between the bounds, of which there may be far fewer values.
    pub sparse: bool,
    /// Columns whose values have filtered this one at run time, and how many values that were: a row that is left has
    /// a partner there.
    pub matched: Vec<(ColumnId, f64)>,
    /// The input of a join that the column comes from: one of its columns, and its rows. Columns that come from one
    /// input have no more combinations than it had rows.
    pub input: Option<(ColumnId, f64)>,
    /// Lower bound.
    pub min: Option<Scalar>,
    /// Upper bound.
    pub max: Option<Scalar>,
    /// Fraction of NULLs.
    pub null_fraction: f64,
    /// Average bytes of a value.
    pub width: f64,
}

/// Statistics of a plan's result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Statistics {
    /// Rows.
    pub rows: f64,
    /// Whether `rows` was counted rather than estimated.
    pub exact: bool,
    /// By column; columns that are missing are unknown.
    pub columns: BTreeMap<ColumnId, ColumnEstimate>,
}
