//! Columns whose values stand in directory names: `year=2024/month=01/part-0.parquet`.
//!
//! Types are inferred from all values of a column as Spark does: INT, BIGINT, DECIMAL(38,0), DOUBLE,
//! DATE or STRING, the first that holds them all; `__HIVE_DEFAULT_PARTITION__` is NULL.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use firesteel_catalog::Field;
use firesteel_common::{Error, Result, Scalar, SqlType};

use crate::storage::SourceFile;

const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";

/// The column and value that a directory name stands for. Names are percent-encoded.
pub(crate) fn parse_directory(name: &str) -> Option<(String, Option<String>)> {
    let (column, value) = name.split_once('=')?;
    if column.is_empty() {
        return None;
    }
    let value = unescape(value);
    Some((unescape(column), (value != NULL_NAME && !value.is_empty()).then_some(value)))
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_string())
}

/// The partition columns of `files` and their values, file by file.
///
/// Errors: `CONFLICTING_PARTITION_COLUMN_NAMES` if the files' directories name different columns.
pub(crate) fn infer(files: &[SourceFile]) -> Result<(Vec<Field>, Vec<Vec<Scalar>>)> {
    let names = |file: &SourceFile| file.partitions.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let Some(columns) = files.first().map(names) else { return Ok((Vec::new(), Vec::new())) };
    if let Some(other) = files.iter().find(|file| names(file) != columns) {
        return Err(Error::bind(
            "CONFLICTING_PARTITION_COLUMN_NAMES",
            "KD009",
            format!(
                "Conflicting partition column names detected: {} and {}",
                columns.join(", "),
                names(other).join(", ")
            ),
        ));
    }
    let mut fields = Vec::new();
    let mut values = vec![Vec::new(); files.len()];
    for (index, name) in columns.iter().enumerate() {
        let texts: Vec<Option<&str>> = files.iter().map(|f| f.partitions[index].1.as_deref()).collect();
        let ty = infer_type(texts.iter().flatten().copied());
        for (row, text) in values.iter_mut().zip(&texts) {
            row.push(text.and_then(|t| parse(t, &ty)).unwrap_or_else(|| Scalar::Null(ty.clone())));
        }
        fields.push(Field { name: Arc::from(name.as_str()), ty, nullable: true });
    }
    Ok((fields, values))
}

fn infer_type<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> SqlType {
    let candidates = [SqlType::Int, SqlType::BigInt, SqlType::Decimal(38, 0), SqlType::Double, SqlType::Date];
    let mut any = texts.clone().peekable();
    let found =
        any.peek().and_then(|_| candidates.into_iter().find(|ty| texts.clone().all(|text| parse(text, ty).is_some())));
    found.unwrap_or(SqlType::String)
}

fn parse(text: &str, ty: &SqlType) -> Option<Scalar> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let integral = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some(match ty {
        SqlType::Int => Scalar::Int(text.parse().ok().filter(|_| integral)?),
        SqlType::BigInt => Scalar::BigInt(text.parse().ok().filter(|_| integral)?),
        SqlType::Decimal(p, s) if integral && digits.len() <= *p as usize => {
            Scalar::Decimal(text.parse().ok()?, *p, *s)
        }
        SqlType::Double => {
            let value: f64 = text.parse().ok()?;
            Scalar::Double(Some(value).filter(|v| v.is_finite())?)
        }
        SqlType::Date => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)?;
            Scalar::Date(date.num_days_from_ce() - 719_163)
        }
        SqlType::String => Scalar::string(text),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names_are_decoded() {
        assert_eq!(parse_directory("a=b%2Fc"), Some(("a".into(), Some("b/c".into()))));
        assert_eq!(parse_directory("a=__HIVE_DEFAULT_PARTITION__"), Some(("a".into(), None)));
        assert_eq!(parse_directory("plain"), None);
    }

    #[test]
    fn the_narrowest_type_that_holds_all_values() {
        assert_eq!(infer_type(["1", "02"].into_iter()), SqlType::Int);
        assert_eq!(infer_type(["1", "3000000000"].into_iter()), SqlType::BigInt);
        assert_eq!(infer_type(["1", "1.5"].into_iter()), SqlType::Double);
        assert_eq!(infer_type(["2024-01-31"].into_iter()), SqlType::Date);
        assert_eq!(infer_type(["2024-01-31", "x"].into_iter()), SqlType::String);
        assert_eq!(parse("1970-01-02", &SqlType::Date), Some(Scalar::Date(1)));
    }
}
