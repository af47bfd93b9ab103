//! Casts of values, as text in and text out.

use firesteel_common::{Result, Scalar, SqlType};

use super::*;
use crate::format::format_scalar;
use crate::function::FunctionRegistry;

fn context(ansi: bool) -> EvalContext {
    EvalContext { registry: Arc::new(FunctionRegistry::new()), ansi, time_zone: Arc::from("Europe/Paris"), now: 0 }
}

fn try_cast_to(value: Scalar, to: &SqlType, ansi: bool) -> Result<Scalar> {
    match cast(&Datum::Scalar(value.clone()), &value.ty(), to, false, &context(ansi))? {
        Datum::Scalar(value) => Ok(value),
        Datum::Array(_) => Err(Error::internal("an array")),
    }
}

fn text(value: Scalar, to: SqlType) -> String {
    format_scalar(&try_cast_to(value, &to, true).unwrap(), Zone::parse("Europe/Paris").unwrap())
}

fn condition(value: Scalar, to: SqlType) -> String {
    let safe = cast(&Datum::Scalar(value.clone()), &value.ty(), &to, true, &context(true)).unwrap();
    assert!(matches!(safe, Datum::Scalar(s) if s.is_null()), "TRY_CAST gives NULL");
    try_cast_to(value, &to, true).unwrap_err().condition().to_owned()
}

#[test]
fn numbers() {
    use SqlType::*;
    assert_eq!(text(Scalar::string(" 12 "), Int), "12");
    assert_eq!(text(Scalar::string("+5"), Int), "5");
    assert_eq!(text(Scalar::string("1e3"), Double), "1000.0");
    assert_eq!(text(Scalar::string("1d"), Double), "1.0");
    assert_eq!(text(Scalar::string("-inf"), Double), "-Infinity");
    assert_eq!(text(Scalar::string("1.25"), Decimal(5, 1)), "1.3");
    assert_eq!(text(Scalar::Double(12.345), Decimal(10, 2)), "12.35");
    assert_eq!(text(Scalar::Double(-12.345), Decimal(10, 2)), "-12.35");
    assert_eq!(text(Scalar::Double(1.15), Decimal(10, 1)), "1.2");
    assert_eq!(text(Scalar::Double(-12.7), BigInt), "-12");
    assert_eq!(text(Scalar::Decimal(127, 3, 1), Int), "12");
    assert_eq!(text(Scalar::Decimal(-1005, 10, 3), Decimal(10, 2)), "-1.01");
    assert_eq!(text(Scalar::Decimal(1, 1, 0), Decimal(38, 10)), "1.0000000000");
    assert_eq!(text(Scalar::Decimal(1, 10, 1), Double), "0.1");
    assert_eq!(text(Scalar::Int(7), Decimal(20, 2)), "7.00");
    assert_eq!(text(Scalar::Int(0), Boolean), "false");
    assert_eq!(text(Scalar::Boolean(true), Decimal(3, 1)), "1.0");
    assert_eq!(text(Scalar::string(" TRUE "), Boolean), "true");
    assert_eq!(text(Scalar::Decimal(100, 10, 2), String), "1.00");
    assert!(try_cast_to(Scalar::Double(f64::NAN), &Decimal(5, 1), true).unwrap().is_null());
}

#[test]
fn failures_have_sparks_conditions() {
    use SqlType::*;
    assert_eq!(condition(Scalar::string("abc"), Int), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::string("1.5"), Int), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::string("99999999999"), Int), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::string("maybe"), Boolean), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::string("2020-13-01"), Date), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::string("abc"), Decimal(5, 1)), "CAST_INVALID_INPUT");
    assert_eq!(condition(Scalar::Int(300), TinyInt), "CAST_OVERFLOW");
    assert_eq!(condition(Scalar::Double(f64::NAN), Int), "CAST_OVERFLOW");
    assert_eq!(condition(Scalar::Double(1e20), BigInt), "CAST_OVERFLOW");
    assert_eq!(condition(Scalar::Decimal(123_456, 6, 1), TinyInt), "CAST_OVERFLOW");
    assert_eq!(condition(Scalar::string("12345.6"), Decimal(5, 1)), "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION");
    assert_eq!(condition(Scalar::Int(100), Decimal(2, 0)), "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION");
    let message = try_cast_to(Scalar::BigInt(3_000_000_000), &Int, true).unwrap_err();
    assert!(message.message().starts_with("The value 3000000000L of the type \"BIGINT\" cannot be cast to \"INT\""));
    let message = try_cast_to(Scalar::Double(1e20), &BigInt, true).unwrap_err();
    assert!(message.message().starts_with("The value 1.0E20D of the type \"DOUBLE\""));
}

#[test]
fn without_ansi_mode_values_wrap_or_become_null() {
    use SqlType::*;
    assert_eq!(try_cast_to(Scalar::Int(300), &TinyInt, false).unwrap(), Scalar::TinyInt(44));
    assert_eq!(try_cast_to(Scalar::Double(1e20), &Int, false).unwrap(), Scalar::Int(i32::MAX));
    assert_eq!(try_cast_to(Scalar::string("1.5"), &Int, false).unwrap(), Scalar::Int(1));
    assert!(try_cast_to(Scalar::string("abc"), &Int, false).unwrap().is_null());
    assert!(try_cast_to(Scalar::Int(100), &Decimal(2, 0), false).unwrap().is_null());
}

#[test]
fn times_are_read_and_written_in_the_session_zone() {
    use SqlType::*;
    let noon = try_cast_to(Scalar::string("2020-07-01 12:00:00"), &Timestamp, true).unwrap();
    assert_eq!(noon, Scalar::Timestamp(1_593_597_600_000_000));
    assert_eq!(text(noon.clone(), String), "2020-07-01 12:00:00");
    assert_eq!(text(noon.clone(), TimestampNtz), "2020-07-01 12:00:00");
    assert_eq!(text(noon, BigInt), "1593597600");
    assert_eq!(text(Scalar::string("2020-01-01 00:30:00Z"), Timestamp), "2020-01-01 01:30:00");
    assert_eq!(text(Scalar::Timestamp(-1), Date), "1970-01-01");
    assert_eq!(text(Scalar::Date(0), Timestamp), "1970-01-01 00:00:00");
    assert_eq!(text(Scalar::Double(1.5), Timestamp), "1970-01-01 01:00:01.5");
    assert_eq!(text(Scalar::Timestamp(1_500_000), Decimal(10, 2)), "1.50");
    assert_eq!(text(Scalar::IntervalDayTime(5_000_000), Int), "5");
    assert_eq!(text(Scalar::string("1-2"), IntervalYearMonth), "INTERVAL '1-2' YEAR TO MONTH");
}
