//! Names of types.

use firesteel_common::sql_type::MAX_PRECISION;
use firesteel_common::{Error, ErrorKind, Result, SqlType};
use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

/// The type that a syntax tree names.
///
/// Errors: `UNSUPPORTED_DATATYPE`, `DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION`.
pub(crate) fn sql_type(ty: &DataType) -> Result<SqlType> {
    Ok(match ty {
        DataType::Boolean | DataType::Bool => SqlType::Boolean,
        DataType::TinyInt(None) => SqlType::TinyInt,
        DataType::SmallInt(None) => SqlType::SmallInt,
        DataType::Int(None) | DataType::Integer(None) => SqlType::Int,
        DataType::BigInt(None) => SqlType::BigInt,
        DataType::Float(ExactNumberInfo::None) | DataType::Real => SqlType::Float,
        DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision => SqlType::Double,
        DataType::Decimal(info) | DataType::Dec(info) | DataType::Numeric(info) => decimal(info)?,
        DataType::String(None) | DataType::Text => SqlType::String,
        DataType::Char(length) | DataType::Character(length) => match length {
            Some(CharacterLength::IntegerLength { length, .. }) => SqlType::Char(*length as u32),
            _ => return Err(unsupported(ty)),
        },
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            match length {
                Some(CharacterLength::IntegerLength { length, .. }) => SqlType::Varchar(*length as u32),
                _ => return Err(unsupported(ty)),
            }
        }
        DataType::Binary(None) => SqlType::Binary,
        DataType::Date => SqlType::Date,
        DataType::Timestamp(None, TimezoneInfo::None) => SqlType::Timestamp,
        DataType::TimestampNtz(None) => SqlType::TimestampNtz,
        DataType::Interval { fields, .. } => {
            let text = fields.as_ref().map(ToString::to_string).unwrap_or_default();
            match text.split(' ').next().unwrap_or_default() {
                "YEAR" | "MONTH" => SqlType::IntervalYearMonth,
                "DAY" | "HOUR" | "MINUTE" | "SECOND" => SqlType::IntervalDayTime,
                _ => return Err(unsupported(ty)),
            }
        }
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match name.to_string().trim_matches('`').to_lowercase().as_str() {
                "byte" => SqlType::TinyInt,
                "short" => SqlType::SmallInt,
                "long" => SqlType::BigInt,
                "void" => SqlType::Void,
                "timestamp_ltz" => SqlType::Timestamp,
                "timestamp_ntz" => SqlType::TimestampNtz,
                _ => return Err(unsupported(ty)),
            }
        }
        _ => return Err(unsupported(ty)),
    })
}

fn unsupported(ty: &DataType) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "UNSUPPORTED_DATATYPE",
        "0A000",
        format!("Unsupported data type \"{}\".", ty.to_string().to_uppercase()),
    )
}

fn decimal(info: &ExactNumberInfo) -> Result<SqlType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if precision > u64::from(MAX_PRECISION) {
        return Err(Error::bind(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            "22003",
            format!("Decimal precision {precision} exceeds max precision {MAX_PRECISION}."),
        ));
    }
    if scale < 0 || scale as u64 > precision || precision == 0 {
        return Err(Error::bind(
            "DECIMAL_SCALE_EXCEEDS_PRECISION",
            "22003",
            format!("Decimal scale ({scale}) cannot be greater than precision ({precision})."),
        ));
    }
    Ok(SqlType::Decimal(precision as u8, scale as u8))
}
