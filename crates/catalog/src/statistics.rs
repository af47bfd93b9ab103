//! What is known of a table before it is read.

use firesteel_common::Scalar;

/// Facts on a table, from footers and listings. Counts are exact unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableStatistics {
    /// Rows, if known.
    pub rows: Option<u64>,
    /// Whether `rows` is exact.
    pub exact: bool,
    /// Bytes of all columns when decoded, if known.
    pub bytes: Option<u64>,
    /// One per column of the schema, or empty if nothing is known.
    pub columns: Vec<ColumnStatistics>,
}

/// Facts on a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// A lower bound of the values that are not NULL.
    pub min: Option<Scalar>,
    /// An upper bound of the values that are not NULL.
    pub max: Option<Scalar>,
    /// Number of NULLs.
    pub nulls: Option<u64>,
    /// Estimate of the number of distinct values.
    pub distinct: Option<u64>,
    /// Average bytes of a decoded value.
    pub width: Option<f64>,
    /// Whether each file has one value, which is known without opening it.
    pub is_partition: bool,
}
