//! Guessing the type of a column from texts, as Spark's readers do.

use chrono::{NaiveDate, NaiveDateTime};
use firesteel_common::SqlType;

/// What all texts of a column have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypeGuess {
    guess: Option<SqlType>,
}

impl TypeGuess {
    /// Takes one more value into account. NULLs tell nothing.
    pub(crate) fn see(&mut self, value: Option<&str>) {
        let Some(value) = value else { return };
        if self.guess == Some(SqlType::String) {
            return;
        }
        self.merge(type_of(value));
    }

    /// Takes a value of a known type into account.
    pub(crate) fn merge(&mut self, ty: SqlType) {
        self.guess = Some(match self.guess.take() {
            None => ty,
            Some(before) => common(before, ty),
        });
    }

    /// The type for a CSV column: STRING if nothing is known.
    pub(crate) fn csv_type(&self) -> SqlType {
        self.guess.clone().unwrap_or(SqlType::String)
    }
}

fn type_of(text: &str) -> SqlType {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(v) if i32::try_from(v).is_ok() => SqlType::Int,
            Ok(_) => SqlType::BigInt,
            Err(_) if digits.len() <= 38 => SqlType::Decimal(digits.len() as u8, 0),
            Err(_) => SqlType::Double,
        };
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !digits.contains(['x', 'X', '_']);
    if (numeric && text.parse::<f64>().is_ok()) || matches!(text, "NaN" | "Infinity" | "-Infinity" | "Inf" | "-Inf") {
        return SqlType::Double;
    }
    if text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
        return SqlType::Date;
    }
    if is_timestamp(text) {
        return SqlType::Timestamp;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return SqlType::Boolean;
    }
    SqlType::String
}

fn is_timestamp(text: &str) -> bool {
    if text.len() < 16 || !text.as_bytes()[0].is_ascii_digit() {
        return false;
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    formats.iter().any(|f| NaiveDateTime::parse_from_str(text, f).is_ok())
        || chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// The narrowest type that both fit.
fn common(a: SqlType, b: SqlType) -> SqlType {
    use SqlType::*;
    match (a, b) {
        (a, b) if a == b => a,
        (Int, BigInt) | (BigInt, Int) => BigInt,
        (Decimal(p, 0), Decimal(q, 0)) => Decimal(p.max(q), 0),
        (Decimal(p, 0), Int | BigInt) | (Int | BigInt, Decimal(p, 0)) => Decimal(p.max(20), 0),
        (Double, Int | BigInt | Decimal(..)) | (Int | BigInt | Decimal(..), Double) => Double,
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        _ => String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> SqlType {
        let mut guess = TypeGuess::default();
        values.iter().for_each(|v| guess.see(Some(v)));
        guess.csv_type()
    }

    #[test]
    fn types_widen() {
        assert_eq!(guess(&["1", "5000000000"]), SqlType::BigInt);
        assert_eq!(guess(&["1", "2.5"]), SqlType::Double);
        assert_eq!(guess(&["2024-02-29", "2024-02-29 10:00:00"]), SqlType::Timestamp);
        assert_eq!(guess(&["1", "true"]), SqlType::String);
        assert_eq!(guess(&["true", "FALSE"]), SqlType::Boolean);
        assert_eq!(guess(&[]), SqlType::String);
    }
}
