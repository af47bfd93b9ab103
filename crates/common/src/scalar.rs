//! One value of a SQL type: literals, statistics, parameters.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;

use crate::{Error, Result, SqlType, encoding};

/// A value. Floats compare and hash by bits, so that plans can be compared.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// NULL of a type.
    Null(SqlType),
    /// BOOLEAN.
    Boolean(bool),
    /// TINYINT.
    TinyInt(i8),
    /// SMALLINT.
    SmallInt(i16),
    /// INT.
    Int(i32),
    /// BIGINT.
    BigInt(i64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// Unscaled value, precision, scale.
    Decimal(i128, u8, u8),
    /// STRING.
    String(Arc<str>),
    /// BINARY.
    Binary(Arc<[u8]>),
    /// Days since the epoch.
    Date(i32),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
    /// Microseconds of the wall clock.
    TimestampNtz(i64),
    /// Months.
    IntervalYearMonth(i32),
    /// Microseconds.
    IntervalDayTime(i64),
}

impl Scalar {
    /// A STRING.
    pub fn string(value: &str) -> Self {
        Scalar::String(Arc::from(value))
    }

    /// The type.
    pub fn ty(&self) -> SqlType {
        match self {
            Scalar::Null(ty) => ty.clone(),
            Scalar::Boolean(_) => SqlType::Boolean,
            Scalar::TinyInt(_) => SqlType::TinyInt,
            Scalar::SmallInt(_) => SqlType::SmallInt,
            Scalar::Int(_) => SqlType::Int,
            Scalar::BigInt(_) => SqlType::BigInt,
            Scalar::Float(_) => SqlType::Float,
            Scalar::Double(_) => SqlType::Double,
            Scalar::Decimal(_, p, s) => SqlType::Decimal(*p, *s),
            Scalar::String(_) => SqlType::String,
            Scalar::Binary(_) => SqlType::Binary,
            Scalar::Date(_) => SqlType::Date,
            Scalar::Timestamp(_) => SqlType::Timestamp,
            Scalar::TimestampNtz(_) => SqlType::TimestampNtz,
            Scalar::IntervalYearMonth(_) => SqlType::IntervalYearMonth,
            Scalar::IntervalDayTime(_) => SqlType::IntervalDayTime,
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Scalar::Null(_))
    }

    /// The value of an integer type.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match self {
            Scalar::TinyInt(v) => i64::from(*v),
            Scalar::SmallInt(v) => i64::from(*v),
            Scalar::Int(v) => i64::from(*v),
            Scalar::BigInt(v) => *v,
            _ => return None,
        })
    }

    /// An approximation as a float, for estimates: numbers, dates, times.
    pub fn as_f64(&self) -> Option<f64> {
        Some(match self {
            Scalar::Boolean(v) => f64::from(u8::from(*v)),
            Scalar::Float(v) => f64::from(*v),
            Scalar::Double(v) => *v,
            Scalar::Decimal(v, _, s) => *v as f64 / 10f64.powi(i32::from(*s)),
            Scalar::Date(v) | Scalar::IntervalYearMonth(v) => f64::from(*v),
            Scalar::Timestamp(v) | Scalar::TimestampNtz(v) | Scalar::IntervalDayTime(v) => *v as f64,
            other => other.as_i64()? as f64,
        })
    }

    /// The text of a STRING.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Scalar::String(v) => Some(v),
            _ => None,
        }
    }

    /// `rows` copies, in the canonical encoding.
    pub fn to_array(&self, rows: usize) -> ArrayRef {
        fn fill<T: ArrowPrimitiveType>(value: T::Native, rows: usize) -> PrimitiveArray<T> {
            PrimitiveArray::from_value(value, rows)
        }
        match self {
            Scalar::Null(ty) => new_null_array(&ty.arrow(), rows),
            Scalar::Boolean(v) => Arc::new(BooleanArray::from(vec![*v; rows])),
            Scalar::TinyInt(v) => Arc::new(fill::<Int8Type>(*v, rows)),
            Scalar::SmallInt(v) => Arc::new(fill::<Int16Type>(*v, rows)),
            Scalar::Int(v) => Arc::new(fill::<Int32Type>(*v, rows)),
            Scalar::BigInt(v) => Arc::new(fill::<Int64Type>(*v, rows)),
            Scalar::Float(v) => Arc::new(fill::<Float32Type>(*v, rows)),
            Scalar::Double(v) => Arc::new(fill::<Float64Type>(*v, rows)),
            Scalar::Decimal(v, p, s) => match SqlType::Decimal(*p, *s).arrow() {
                ty @ DataType::Decimal64(..) => Arc::new(fill::<Decimal64Type>(*v as i64, rows).with_data_type(ty)),
                ty => Arc::new(fill::<Decimal128Type>(*v, rows).with_data_type(ty)),
            },
            Scalar::String(v) => Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(&**v, rows))),
            Scalar::Binary(v) => Arc::new(BinaryViewArray::from_iter_values(std::iter::repeat_n(&**v, rows))),
            Scalar::Date(v) => Arc::new(fill::<Date32Type>(*v, rows)),
            Scalar::Timestamp(v) => Arc::new(fill::<TimestampMicrosecondType>(*v, rows).with_timezone("UTC")),
            Scalar::TimestampNtz(v) => Arc::new(fill::<TimestampMicrosecondType>(*v, rows)),
            Scalar::IntervalYearMonth(v) => Arc::new(fill::<IntervalYearMonthType>(*v, rows)),
            Scalar::IntervalDayTime(v) => Arc::new(fill::<DurationMicrosecondType>(*v, rows)),
        }
    }

    /// The value at `row` of an array that holds values of `ty`, in any of its encodings.
    pub fn from_array(array: &dyn Array, row: usize, ty: &SqlType) -> Result<Self> {
        if array.is_null(row) {
            return Ok(Scalar::Null(ty.clone()));
        }
        let array = encoding::canonical(&array.slice(row, 1), ty)?;
        if array.is_null(0) {
            return Ok(Scalar::Null(ty.clone()));
        }
        fn at<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<T::Native> {
            let typed = array.as_primitive_opt::<T>();
            Ok(typed.ok_or_else(|| Error::internal("array does not have its canonical encoding"))?.value(0))
        }
        Ok(match ty {
            SqlType::Void => Scalar::Null(SqlType::Void),
            SqlType::Boolean => Scalar::Boolean(array.as_boolean().value(0)),
            SqlType::TinyInt => Scalar::TinyInt(at::<Int8Type>(&array)?),
            SqlType::SmallInt => Scalar::SmallInt(at::<Int16Type>(&array)?),
            SqlType::Int => Scalar::Int(at::<Int32Type>(&array)?),
            SqlType::BigInt => Scalar::BigInt(at::<Int64Type>(&array)?),
            SqlType::Float => Scalar::Float(at::<Float32Type>(&array)?),
            SqlType::Double => Scalar::Double(at::<Float64Type>(&array)?),
            SqlType::Decimal(p, s) => match array.data_type() {
                DataType::Decimal64(..) => Scalar::Decimal(i128::from(at::<Decimal64Type>(&array)?), *p, *s),
                _ => Scalar::Decimal(at::<Decimal128Type>(&array)?, *p, *s),
            },
            SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) => Scalar::string(array.as_string_view().value(0)),
            SqlType::Binary => Scalar::Binary(Arc::from(array.as_binary_view().value(0))),
            SqlType::Date => Scalar::Date(at::<Date32Type>(&array)?),
            SqlType::Timestamp => Scalar::Timestamp(at::<TimestampMicrosecondType>(&array)?),
            SqlType::TimestampNtz => Scalar::TimestampNtz(at::<TimestampMicrosecondType>(&array)?),
            SqlType::IntervalYearMonth => Scalar::IntervalYearMonth(at::<IntervalYearMonthType>(&array)?),
            SqlType::IntervalDayTime => Scalar::IntervalDayTime(at::<DurationMicrosecondType>(&array)?),
        })
    }

    /// Order of two values of one type; NULLs, and values of different types, have none.
    pub fn partial_cmp_same(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
            (Scalar::Float(a), Scalar::Float(b)) => float_cmp(f64::from(*a), f64::from(*b)),
            (Scalar::Double(a), Scalar::Double(b)) => float_cmp(*a, *b),
            (Scalar::Decimal(a, _, s), Scalar::Decimal(b, _, t)) if s == t => a.cmp(b),
            (Scalar::String(a), Scalar::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Scalar::Binary(a), Scalar::Binary(b)) => a.cmp(b),
            (Scalar::Date(a), Scalar::Date(b)) => a.cmp(b),
            (Scalar::Timestamp(a), Scalar::Timestamp(b)) => a.cmp(b),
            (Scalar::TimestampNtz(a), Scalar::TimestampNtz(b)) => a.cmp(b),
            (Scalar::IntervalYearMonth(a), Scalar::IntervalYearMonth(b)) => a.cmp(b),
            (Scalar::IntervalDayTime(a), Scalar::IntervalDayTime(b)) => a.cmp(b),
            (a, b) => a.as_i64()?.cmp(&b.as_i64()?),
        })
    }
}

/// SQL's order of floats: NaN is equal to itself and greatest, -0.0 equals 0.0.
pub fn float_cmp(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Scalar::Null(a), Scalar::Null(b)) => a == b,
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
            (Scalar::Double(a), Scalar::Double(b)) => a.to_bits() == b.to_bits(),
            (Scalar::Decimal(a, p, s), Scalar::Decimal(b, q, t)) => (a, p, s) == (b, q, t),
            (a, b) => {
                std::mem::discriminant(a) == std::mem::discriminant(b) && a.partial_cmp_same(b) == Some(Ordering::Equal)
            }
        }
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Scalar::Null(ty) => ty.hash(state),
            Scalar::Boolean(v) => v.hash(state),
            Scalar::Float(v) => v.to_bits().hash(state),
            Scalar::Double(v) => v.to_bits().hash(state),
            Scalar::Decimal(v, p, s) => (v, p, s).hash(state),
            Scalar::String(v) => v.hash(state),
            Scalar::Binary(v) => v.hash(state),
            Scalar::Date(v) | Scalar::IntervalYearMonth(v) => v.hash(state),
            Scalar::Timestamp(v) | Scalar::TimestampNtz(v) | Scalar::IntervalDayTime(v) => v.hash(state),
            other => other.as_i64().hash(state),
        }
    }
}

macro_rules! from_values {
    ($($rust:ty => $variant:ident),* $(,)?) => {$(
        impl From<$rust> for Scalar {
            fn from(value: $rust) -> Self {
                Scalar::$variant(value)
            }
        }
    )*};
}

from_values!(bool => Boolean, i8 => TinyInt, i16 => SmallInt, i32 => Int, i64 => BigInt, f32 => Float, f64 => Double);

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Scalar::string(value)
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Scalar::String(Arc::from(value))
    }
}

impl From<&[u8]> for Scalar {
    fn from(value: &[u8]) -> Self {
        Scalar::Binary(Arc::from(value))
    }
}

impl<T: Into<Scalar>> From<Option<T>> for Scalar {
    /// `None` is a NULL without a type, as in SQL.
    fn from(value: Option<T>) -> Self {
        value.map_or(Scalar::Null(SqlType::Void), Into::into)
    }
}

/// Decimal text of an unscaled value: `-12.30` for (-1230, 2).
pub fn format_decimal(unscaled: i128, scale: u8) -> String {
    if scale == 0 {
        return unscaled.to_string();
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

impl fmt::Display for Scalar {
    /// The bare value, as EXPLAIN shows literals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null(_) => f.write_str("NULL"),
            Scalar::Boolean(v) => write!(f, "{v}"),
            Scalar::Float(v) => write!(f, "{v:?}"),
            Scalar::Double(v) => write!(f, "{v:?}"),
            Scalar::Decimal(v, _, s) => f.write_str(&format_decimal(*v, *s)),
            Scalar::String(v) => f.write_str(v),
            Scalar::Binary(v) => {
                f.write_str("X'")?;
                v.iter().try_for_each(|b| write!(f, "{b:02X}"))?;
                f.write_str("'")
            }
            Scalar::Date(days) => match Date32Type::to_naive_date_opt(*days) {
                Some(date) => write!(f, "{date}"),
                None => write!(f, "DATE({days})"),
            },
            Scalar::Timestamp(v) | Scalar::TimestampNtz(v) => {
                match arrow::temporal_conversions::timestamp_us_to_datetime(*v) {
                    Some(time) => write!(f, "{time}"),
                    None => write!(f, "TIMESTAMP({v})"),
                }
            }
            Scalar::IntervalYearMonth(v) => {
                let sign = if *v < 0 { "-" } else { "" };
                write!(f, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", v.unsigned_abs() / 12, v.unsigned_abs() % 12)
            }
            Scalar::IntervalDayTime(v) => {
                let (sign, v) = (if *v < 0 { "-" } else { "" }, v.unsigned_abs());
                let (seconds, micros) = (v / 1_000_000, v % 1_000_000);
                write!(
                    f,
                    "INTERVAL '{sign}{} {:02}:{:02}:{:02}",
                    seconds / 86_400,
                    seconds / 3_600 % 24,
                    seconds / 60 % 60,
                    seconds % 60
                )?;
                if micros > 0 {
                    write!(f, ".{}", format!("{micros:06}").trim_end_matches('0'))?;
                }
                f.write_str("' DAY TO SECOND")
            }
            other => write!(f, "{}", other.as_i64().unwrap_or_default()),
        }
    }
}
