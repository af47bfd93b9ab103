//! What the footer says of the values of a column chunk, and the column index of those of a page, as SQL
//! values, and what a filter can be told from it.

use std::cmp::Ordering;
use std::sync::Arc;

use firesteel_common::{Scalar, SqlType};
use firesteel_expr::{ColumnRef, Expr, op};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as PhysicalType};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

/// Bounds of the values of a column in some rows. Unknown is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Not above any value that is not NULL.
    pub(crate) min: Option<Scalar>,
    /// Not below any value that is not NULL.
    pub(crate) max: Option<Scalar>,
    /// Number of NULLs.
    pub(crate) nulls: Option<u64>,
    /// Number of rows.
    pub(crate) rows: u64,
}

impl Bounds {
    /// Those of a column that has one value.
    pub(crate) fn constant(value: &Scalar, rows: u64) -> Self {
        if value.is_null() {
            return Self { min: None, max: None, nulls: Some(rows), rows };
        }
        Self { min: Some(value.clone()), max: Some(value.clone()), nulls: Some(0), rows }
    }

    /// Those of a column chunk.
    pub(crate) fn of_chunk(chunk: &ColumnChunkMetaData, ty: &SqlType, rows: u64) -> Self {
        let Some(statistics) = chunk.statistics() else { return Self { rows, ..Self::default() } };
        let nulls = statistics.null_count_opt();
        // Deprecated bounds compare bytes as signed: right for numbers only.
        let bytes = matches!(statistics.physical_type(), PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY);
        if statistics.is_min_max_deprecated() && bytes {
            return Self { nulls, rows, ..Self::default() };
        }
        let (min, max) = match statistics {
            Statistics::Boolean(s) => {
                (s.min_opt().map(|v| Scalar::Boolean(*v)), s.max_opt().map(|v| Scalar::Boolean(*v)))
            }
            Statistics::Int32(s) => {
                let value = |v: Option<&i32>| v.and_then(|v| integer(i64::from(*v), ty, chunk));
                (value(s.min_opt()), value(s.max_opt()))
            }
            Statistics::Int64(s) => {
                let value = |v: Option<&i64>| v.and_then(|v| integer(*v, ty, chunk));
                (value(s.min_opt()), value(s.max_opt()))
            }
            // NaN is greater than all numbers in SQL, and statistics leave it out: no upper bound.
            Statistics::Float(s) => (s.min_opt().filter(|v| !v.is_nan()).map(|v| Scalar::Float(*v)), None),
            Statistics::Double(s) => (s.min_opt().filter(|v| !v.is_nan()).map(|v| Scalar::Double(*v)), None),
            Statistics::ByteArray(s) => {
                let value = |v: Option<&parquet::data_type::ByteArray>| v.and_then(|v| from_bytes(v.data(), ty));
                (value(s.min_opt()), value(s.max_opt()))
            }
            Statistics::FixedLenByteArray(s) => {
                let value =
                    |v: Option<&parquet::data_type::FixedLenByteArray>| v.and_then(|v| from_bytes(v.data(), ty));
                (value(s.min_opt()), value(s.max_opt()))
            }
            Statistics::Int96(_) => (None, None),
        };
        Self { min, max, nulls, rows }
    }

    /// Those of a page of `rows` rows.
    pub(crate) fn of_page(
        index: &ColumnIndexMetaData,
        page: usize,
        chunk: &ColumnChunkMetaData,
        ty: &SqlType,
        rows: u64,
    ) -> Self {
        use ColumnIndexMetaData as Index;
        if index.is_null_page(page) {
            return Self { min: None, max: None, nulls: Some(rows), rows };
        }
        let nulls = index.null_count(page).and_then(|n| u64::try_from(n).ok());
        // A writer that shortens bounds shortens strings; a shortened decimal would be another number.
        let fixed = |v: &&[u8]| i32::try_from(v.len()).is_ok_and(|n| n == chunk.column_descr().type_length());
        let (min, max) = match index {
            Index::BOOLEAN(i) => {
                (i.min_value(page).map(|v| Scalar::Boolean(*v)), i.max_value(page).map(|v| Scalar::Boolean(*v)))
            }
            Index::INT32(i) => {
                let value = |v: Option<&i32>| v.and_then(|v| integer(i64::from(*v), ty, chunk));
                (value(i.min_value(page)), value(i.max_value(page)))
            }
            Index::INT64(i) => {
                let value = |v: Option<&i64>| v.and_then(|v| integer(*v, ty, chunk));
                (value(i.min_value(page)), value(i.max_value(page)))
            }
            // As for chunks: NaN may be there, above the upper bound.
            Index::FLOAT(i) => (i.min_value(page).filter(|v| !v.is_nan()).map(|v| Scalar::Float(*v)), None),
            Index::DOUBLE(i) => (i.min_value(page).filter(|v| !v.is_nan()).map(|v| Scalar::Double(*v)), None),
            Index::BYTE_ARRAY(i) => {
                let value = |v: Option<&[u8]>| v.and_then(|v| from_bytes(v, ty));
                (value(i.min_value(page)), value(i.max_value(page)))
            }
            Index::FIXED_LEN_BYTE_ARRAY(i) => {
                let value = |v: Option<&[u8]>| v.filter(fixed).and_then(|v| from_bytes(v, ty));
                (value(i.min_value(page)), value(i.max_value(page)))
            }
            Index::INT96(_) => (None, None),
        };
        Self { min, max, nulls, rows }
    }

    /// Those of the rows of both.
    pub(crate) fn union(self, other: Self) -> Self {
        if self.rows == 0 || self.all_null() {
            let nulls = self.nulls.zip(other.nulls).map(|(a, b)| a + b);
            return Self { nulls, rows: self.rows + other.rows, ..other };
        }
        let wider = |a: Option<Scalar>, b: Option<Scalar>, keep: Ordering| {
            let (a, b) = (a?, b?);
            let order = a.partial_cmp_same(&b)?;
            Some(if order == keep { a } else { b })
        };
        let (min, max) = if other.all_null() {
            (self.min, self.max)
        } else {
            (wider(self.min, other.min, Ordering::Less), wider(self.max, other.max, Ordering::Greater))
        };
        let nulls = self.nulls.zip(other.nulls).map(|(a, b)| a + b);
        Self { min, max, nulls, rows: self.rows + other.rows }
    }

    /// Whether there is nothing but NULL.
    pub(crate) fn all_null(&self) -> bool {
        self.nulls == Some(self.rows)
    }

    /// Whether some value may be equal to `value`.
    fn may_equal(&self, value: &Scalar) -> bool {
        !self.all_null()
            && self.min.as_ref().is_none_or(|min| min.partial_cmp_same(value) != Some(Ordering::Greater))
            && self.max.as_ref().is_none_or(|max| max.partial_cmp_same(value) != Some(Ordering::Less))
    }

    /// Bounds as integers, if the values are integers, dates or decimals within 64 bits.
    pub(crate) fn integers(&self) -> Option<(i64, i64)> {
        fn integer(value: &Scalar) -> Option<i64> {
            match value {
                Scalar::Decimal(v, ..) => i64::try_from(*v).ok(),
                Scalar::Date(v) => Some(i64::from(*v)),
                Scalar::TinyInt(_) | Scalar::SmallInt(_) | Scalar::Int(_) | Scalar::BigInt(_) => value.as_i64(),
                _ => None,
            }
        }
        Some((integer(self.min.as_ref()?)?, integer(self.max.as_ref()?)?))
    }
}

/// An integer of the file as a value of `ty`; `None` where its unit or sign is another.
fn integer(value: i64, ty: &SqlType, chunk: &ColumnChunkMetaData) -> Option<Scalar> {
    let column = chunk.column_descr();
    let unsigned = matches!(
        column.converted_type(),
        ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
    );
    if unsigned {
        return None;
    }
    let micros = || match column.logical_type_ref() {
        Some(LogicalType::Timestamp(t)) => match t.unit {
            TimeUnit::MILLIS => value.checked_mul(1_000),
            TimeUnit::MICROS => Some(value),
            TimeUnit::NANOS => None,
        },
        None if column.converted_type() == ConvertedType::TIMESTAMP_MILLIS => value.checked_mul(1_000),
        None if column.converted_type() == ConvertedType::TIMESTAMP_MICROS => Some(value),
        _ => None,
    };
    Some(match ty {
        SqlType::TinyInt => Scalar::TinyInt(value.try_into().ok()?),
        SqlType::SmallInt => Scalar::SmallInt(value.try_into().ok()?),
        SqlType::Int => Scalar::Int(value.try_into().ok()?),
        SqlType::BigInt => Scalar::BigInt(value),
        SqlType::Date => Scalar::Date(value.try_into().ok()?),
        SqlType::Decimal(p, s) => Scalar::Decimal(i128::from(value), *p, *s),
        SqlType::Timestamp => Scalar::Timestamp(micros()?),
        SqlType::TimestampNtz => Scalar::TimestampNtz(micros()?),
        _ => return None,
    })
}

fn from_bytes(bytes: &[u8], ty: &SqlType) -> Option<Scalar> {
    match ty {
        SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) => std::str::from_utf8(bytes).ok().map(Scalar::string),
        SqlType::Binary => Some(Scalar::Binary(Arc::from(bytes))),
        SqlType::Decimal(p, s) if !bytes.is_empty() && bytes.len() <= 16 => {
            let mut wide = [if bytes[0] & 0x80 == 0 { 0 } else { 0xff }; 16];
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            Some(Scalar::Decimal(i128::from_be_bytes(wide), *p, *s))
        }
        _ => None,
    }
}

/// Whether a row may satisfy `filter`, given the bounds of columns. True if in doubt.
pub(crate) fn may_match(filter: &Expr, bounds: &impl Fn(&ColumnRef) -> Option<Bounds>) -> bool {
    match filter {
        Expr::And(parts) => parts.iter().all(|part| may_match(part, bounds)),
        Expr::Or(parts) => parts.iter().any(|part| may_match(part, bounds)),
        Expr::Literal(Scalar::Boolean(value)) => *value,
        Expr::Literal(Scalar::Null(_)) => false,
        Expr::Column(column) => bounds(column).is_none_or(|b| b.may_equal(&Scalar::Boolean(true))),
        Expr::Call(call) => match call.args.as_slice() {
            [Expr::Column(column)] => bounds(column).is_none_or(|b| match &*call.function {
                op::IS_NULL => b.nulls != Some(0),
                op::IS_NOT_NULL => !b.all_null(),
                op::NOT => b.may_equal(&Scalar::Boolean(false)),
                _ => true,
            }),
            [Expr::Column(column), list @ ..] if &*call.function == op::IN => {
                let may =
                    |b: Bounds| list.iter().any(|v| v.as_literal().is_none_or(|v| !v.is_null() && b.may_equal(v)));
                bounds(column).is_none_or(may)
            }
            [Expr::Column(column), Expr::Literal(value)] => {
                bounds(column).is_none_or(|b| may_compare(&call.function, &b, value))
            }
            [Expr::Literal(value), Expr::Column(column)] => {
                bounds(column).is_none_or(|b| may_compare(mirrored(&call.function), &b, value))
            }
            _ => true,
        },
        _ => true,
    }
}

/// The columns whose bounds [`may_match`] asks for.
pub(crate) fn bounded_columns(filter: &Expr) -> Vec<ColumnRef> {
    match filter {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().flat_map(bounded_columns).collect(),
        Expr::Column(column) => vec![column.clone()],
        Expr::Call(call) => match call.args.as_slice() {
            [Expr::Column(column)] => vec![column.clone()],
            [Expr::Column(column), ..] if &*call.function == op::IN => vec![column.clone()],
            [Expr::Column(column), Expr::Literal(_)] | [Expr::Literal(_), Expr::Column(column)] => vec![column.clone()],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn mirrored(function: &str) -> &str {
    match function {
        op::LT => op::GT,
        op::LT_EQ => op::GT_EQ,
        op::GT => op::LT,
        op::GT_EQ => op::LT_EQ,
        other => other,
    }
}

fn may_compare(function: &str, bounds: &Bounds, value: &Scalar) -> bool {
    let comparison = matches!(function, op::EQ | op::NOT_EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ);
    if comparison && (value.is_null() || bounds.all_null()) {
        return false;
    }
    let order = |bound: &Option<Scalar>| bound.as_ref().and_then(|b| b.partial_cmp_same(value));
    let (min, max) = (order(&bounds.min), order(&bounds.max));
    match function {
        op::EQ => bounds.may_equal(value),
        op::NULL_SAFE_EQ if value.is_null() => bounds.nulls != Some(0),
        op::NULL_SAFE_EQ => bounds.may_equal(value),
        op::NOT_EQ => !(min == Some(Ordering::Equal) && max == Some(Ordering::Equal)),
        op::LT => !matches!(min, Some(Ordering::Greater | Ordering::Equal)),
        op::LT_EQ => min != Some(Ordering::Greater),
        op::GT => !matches!(max, Some(Ordering::Less | Ordering::Equal)),
        op::GT_EQ => max != Some(Ordering::Less),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_common::ColumnId;

    fn column() -> Expr {
        Expr::Column(ColumnRef { id: ColumnId(1), name: Arc::from("a"), ty: SqlType::Int, nullable: true })
    }

    fn matches(function: &str, value: Scalar, nulls: u64) -> bool {
        let filter = Expr::predicate(function, vec![column(), Expr::Literal(value)]);
        let bounds = |_: &ColumnRef| {
            Some(Bounds { min: Some(Scalar::Int(3)), max: Some(Scalar::Int(7)), nulls: Some(nulls), rows: 10 })
        };
        may_match(&filter, &bounds)
    }

    #[test]
    fn comparisons_at_the_edges() {
        assert!(!matches(op::LT, Scalar::Int(3), 0));
        assert!(matches(op::LT_EQ, Scalar::Int(3), 0));
        assert!(!matches(op::GT, Scalar::Int(7), 0));
        assert!(matches(op::GT_EQ, Scalar::Int(7), 0));
        assert!(!matches(op::EQ, Scalar::Int(8), 0));
        assert!(matches(op::IN, Scalar::Int(5), 0));
        assert!(!matches(op::IN, Scalar::Int(9), 0));
        assert!(!matches(op::NOT_EQ, Scalar::Int(9), 10));
        assert!(!matches(op::EQ, Scalar::Null(SqlType::Int), 0));
    }

    #[test]
    fn other_types_prune_nothing() {
        assert!(matches(op::EQ, Scalar::string("x"), 0));
    }
}
