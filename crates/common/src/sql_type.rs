//! SQL types: Spark's, with their names, widths and the Arrow encoding of each.

use std::fmt;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::{Error, Result};

/// A SQL type. The Arrow encoding of its values is [`SqlType::arrow`]; a batch may carry an
/// alternative one (see [`crate::encoding`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SqlType {
    /// The type of a bare NULL.
    Void,
    /// BOOLEAN.
    Boolean,
    /// TINYINT, 8 bits.
    TinyInt,
    /// SMALLINT, 16 bits.
    SmallInt,
    /// INT, 32 bits.
    Int,
    /// BIGINT, 64 bits.
    BigInt,
    /// FLOAT, 32 bits.
    Float,
    /// DOUBLE, 64 bits.
    Double,
    /// DECIMAL(precision, scale): precision 1..=38, scale 0..=precision.
    Decimal(u8, u8),
    /// STRING, UTF-8.
    String,
    /// CHAR(n): reads and compares as STRING.
    Char(u32),
    /// VARCHAR(n): reads and compares as STRING.
    Varchar(u32),
    /// BINARY.
    Binary,
    /// DATE, days since 1970-01-01.
    Date,
    /// TIMESTAMP (with local time zone), microseconds since the epoch in UTC.
    Timestamp,
    /// TIMESTAMP_NTZ, microseconds since 1970-01-01 00:00:00 of the wall clock.
    TimestampNtz,
    /// INTERVAL YEAR TO MONTH, months.
    IntervalYearMonth,
    /// INTERVAL DAY TO SECOND, microseconds.
    IntervalDayTime,
}

/// Greatest precision of a DECIMAL.
pub const MAX_PRECISION: u8 = 38;
/// Greatest precision whose values fit 64 bits.
pub const MAX_PRECISION_64: u8 = 18;

impl SqlType {
    /// The canonical Arrow encoding.
    pub fn arrow(&self) -> DataType {
        match self {
            SqlType::Void => DataType::Null,
            SqlType::Boolean => DataType::Boolean,
            SqlType::TinyInt => DataType::Int8,
            SqlType::SmallInt => DataType::Int16,
            SqlType::Int => DataType::Int32,
            SqlType::BigInt => DataType::Int64,
            SqlType::Float => DataType::Float32,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal(p, s) if *p <= MAX_PRECISION_64 => DataType::Decimal64(*p, *s as i8),
            SqlType::Decimal(p, s) => DataType::Decimal128(*p, *s as i8),
            SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) => DataType::Utf8View,
            SqlType::Binary => DataType::BinaryView,
            SqlType::Date => DataType::Date32,
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            SqlType::TimestampNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::IntervalYearMonth => DataType::Interval(IntervalUnit::YearMonth),
            SqlType::IntervalDayTime => DataType::Duration(TimeUnit::Microsecond),
        }
    }

    /// The SQL type of values that arrive as `ty` from a file or a caller.
    ///
    /// Errors: `UNSUPPORTED_FEATURE` for types that the engine does not hold.
    pub fn from_arrow(ty: &DataType) -> Result<Self> {
        Ok(match ty {
            DataType::Null => SqlType::Void,
            DataType::Boolean => SqlType::Boolean,
            DataType::Int8 => SqlType::TinyInt,
            DataType::Int16 | DataType::UInt8 => SqlType::SmallInt,
            DataType::Int32 | DataType::UInt16 => SqlType::Int,
            DataType::Int64 | DataType::UInt32 => SqlType::BigInt,
            DataType::UInt64 => SqlType::Decimal(20, 0),
            DataType::Float16 | DataType::Float32 => SqlType::Float,
            DataType::Float64 => SqlType::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
                if *s >= 0 && *s as u8 <= *p =>
            {
                SqlType::Decimal(*p, *s as u8)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                SqlType::Binary
            }
            DataType::Date32 | DataType::Date64 => SqlType::Date,
            DataType::Timestamp(_, Some(_)) => SqlType::Timestamp,
            DataType::Timestamp(_, None) => SqlType::TimestampNtz,
            DataType::Interval(IntervalUnit::YearMonth) => SqlType::IntervalYearMonth,
            DataType::Duration(_) => SqlType::IntervalDayTime,
            DataType::Dictionary(_, values) => return Self::from_arrow(values),
            other => return Err(Error::unsupported(format!("The data type {other} is not supported."))),
        })
    }

    /// TINYINT to BIGINT.
    pub fn is_integer(&self) -> bool {
        matches!(self, SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt)
    }

    /// FLOAT or DOUBLE.
    pub fn is_float(&self) -> bool {
        matches!(self, SqlType::Float | SqlType::Double)
    }

    /// Integers, floats and decimals.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, SqlType::Decimal(..))
    }

    /// STRING, CHAR or VARCHAR.
    pub fn is_string(&self) -> bool {
        matches!(self, SqlType::String | SqlType::Char(_) | SqlType::Varchar(_))
    }

    /// DATE or a timestamp.
    pub fn is_datetime(&self) -> bool {
        matches!(self, SqlType::Date | SqlType::Timestamp | SqlType::TimestampNtz)
    }

    /// An interval.
    pub fn is_interval(&self) -> bool {
        matches!(self, SqlType::IntervalYearMonth | SqlType::IntervalDayTime)
    }

    /// The decimal type that holds every value of an integer type: INT is DECIMAL(10,0).
    pub fn integer_as_decimal(&self) -> Option<(u8, u8)> {
        Some(match self {
            SqlType::TinyInt => (3, 0),
            SqlType::SmallInt => (5, 0),
            SqlType::Int => (10, 0),
            SqlType::BigInt => (20, 0),
            SqlType::Decimal(p, s) => (*p, *s),
            _ => return None,
        })
    }

    /// Average bytes of a value, for estimates where nothing better is known.
    pub fn default_width(&self) -> usize {
        match self {
            SqlType::Void | SqlType::Boolean | SqlType::TinyInt => 1,
            SqlType::SmallInt => 2,
            SqlType::Int | SqlType::Float | SqlType::Date | SqlType::IntervalYearMonth => 4,
            SqlType::Decimal(p, _) if *p > MAX_PRECISION_64 => 16,
            SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Binary => 24,
            _ => 8,
        }
    }
}

impl fmt::Display for SqlType {
    /// Upper case, as in error messages: `DECIMAL(10,2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Void => f.write_str("VOID"),
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::TinyInt => f.write_str("TINYINT"),
            SqlType::SmallInt => f.write_str("SMALLINT"),
            SqlType::Int => f.write_str("INT"),
            SqlType::BigInt => f.write_str("BIGINT"),
            SqlType::Float => f.write_str("FLOAT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::Decimal(p, s) => write!(f, "DECIMAL({p},{s})"),
            SqlType::String => f.write_str("STRING"),
            SqlType::Char(n) => write!(f, "CHAR({n})"),
            SqlType::Varchar(n) => write!(f, "VARCHAR({n})"),
            SqlType::Binary => f.write_str("BINARY"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::TimestampNtz => f.write_str("TIMESTAMP_NTZ"),
            SqlType::IntervalYearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            SqlType::IntervalDayTime => f.write_str("INTERVAL DAY TO SECOND"),
        }
    }
}
