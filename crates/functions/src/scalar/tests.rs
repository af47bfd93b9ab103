//! Scalar functions by calls whose results are easy to get wrong; the documented examples run as SQL.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::Int32Type;
use firesteel_common::{Result, Scalar, SqlType};
use firesteel_expr::{Datum, EvalContext};

use crate::builtin_registry;

fn eval(name: &str, args: &[Scalar], zone: &str) -> Result<Scalar> {
    let cx = EvalContext { registry: builtin_registry(), ansi: true, time_zone: Arc::from(zone), now: 0 };
    let function = cx.registry.expect_scalar(name)?.clone();
    let types: Vec<SqlType> = args.iter().map(Scalar::ty).collect();
    let literals: Vec<Option<Scalar>> = args.iter().cloned().map(Some).collect();
    let signature = function.bind(&types, &literals)?;
    assert_eq!(signature.args, types, "{name} needs a cast");
    let kernel = function.kernel(&signature.args, &signature.ty, &literals, &cx)?;
    let data: Vec<Datum> = args.iter().cloned().map(Datum::Scalar).collect();
    let result = kernel.eval(&data, 1)?.into_array(1);
    // The same as arrays of three rows.
    let data: Vec<Datum> = args.iter().map(|v| Datum::Array(v.to_array(3))).collect();
    let rows = kernel.eval(&data, 3)?.into_array(3);
    let (one, last) = (Scalar::from_array(&result, 0, &signature.ty)?, Scalar::from_array(&rows, 2, &signature.ty)?);
    if function.is_deterministic() {
        assert_eq!(one, last, "{name}");
    }
    Ok(one)
}

fn s(v: &str) -> Scalar {
    Scalar::string(v)
}

fn i(v: i32) -> Scalar {
    Scalar::Int(v)
}

fn day(text: &str) -> Scalar {
    let date: chrono::NaiveDate = text.parse().unwrap();
    Scalar::Date((date - chrono::NaiveDate::default()).num_days() as i32)
}

fn instant(text: &str) -> Scalar {
    let time: chrono::NaiveDateTime = text.parse().unwrap();
    Scalar::Timestamp(time.and_utc().timestamp_micros())
}

#[track_caller]
fn check(name: &str, args: &[Scalar], expected: Scalar) {
    assert_eq!(eval(name, args, "UTC").unwrap(), expected, "{name}");
}

#[test]
fn strings_count_characters() {
    check("substring", &[s("héllo"), i(-4), i(2)], s("él"));
    check("substring", &[s("hello"), i(0), i(2)], s("he"));
    check("substring", &[s("hello"), i(-7), i(4)], s("he"));
    check("substring", &[s("hello"), i(9), i(4)], s(""));
    check("length", &[s("héllo")], i(5));
    check("octet_length", &[s("héllo")], i(6));
    check("right", &[s("héllo"), i(4)], s("éllo"));
    check("lpad", &[s("é"), i(3), s("ab")], s("abé"));
    check("instr", &[s("héllo"), s("l")], i(3));
    check("locate", &[s("l"), s("hello"), i(4)], i(4));
    check("overlay", &[s("Spark SQL"), s("ANSI "), i(7), i(0)], s("Spark ANSI SQL"));
    check("translate", &[s("AaBbCc"), s("abc"), s("12")], s("A1B2C"));
    check("initcap", &[s("sPark sql")], s("Spark Sql"));
    check("concat_ws", &[s("/"), s("foo"), Scalar::Null(SqlType::String), s("bar")], s("foo/bar"));
    check("concat", &[s("a"), Scalar::Null(SqlType::String)], Scalar::Null(SqlType::String));
    check("soundex", &[s("Miller")], s("M460"));
    check("levenshtein", &[s("kitten"), s("sitting")], i(3));
    check("split_part", &[s("11.12.13"), s("."), i(-1)], s("13"));
    check("substring_index", &[s("www.apache.org"), s("."), i(-2)], s("apache.org"));
    check("regexp_replace", &[s("100-200"), s(r"(\d+)-(\d+)"), s("$2-$1")], s("200-100"));
    check("regexp_extract", &[s("100-200"), s(r"(\d+)-(\d+)"), i(2)], s("200"));
    check("base64", &[Scalar::Binary(Arc::from(&b"Spark SQL"[..]))], s("U3BhcmsgU1FM"));
    check("unbase64", &[s("U3BhcmsgU1FM")], Scalar::Binary(Arc::from(&b"Spark SQL"[..])));
    check("format_number", &[Scalar::Double(12332.123456), i(4)], s("12,332.1235"));
    check("conv", &[s("-10"), i(16), i(-10)], s("-16"));
    check("crc32", &[Scalar::Binary(Arc::from(&b"Spark"[..]))], Scalar::BigInt(1_557_323_817));
}

#[test]
fn rounding() {
    let d = |v, p, s| Scalar::Decimal(v, p, s);
    check("round", &[d(25, 2, 1)], d(3, 2, 0));
    check("round", &[d(-25, 2, 1)], d(-3, 2, 0));
    check("bround", &[d(25, 2, 1)], d(2, 2, 0));
    check("round", &[d(1_234_567, 7, 3), i(-2)], d(1200, 5, 0));
    check("round", &[Scalar::Double(1.005), i(2)], Scalar::Double(1.01));
    check("round", &[Scalar::Double(-2.5)], Scalar::Double(-3.0));
    check("round", &[i(25), i(-1)], i(30));
    check("bround", &[i(25), i(-1)], i(20));
    check("ceil", &[Scalar::Double(-0.1)], Scalar::BigInt(0));
    check("floor", &[d(-1, 2, 1)], d(-1, 2, 0));
    check("ceil", &[d(31_411, 5, 4), i(3)], d(3142, 5, 3));
    check("pmod", &[i(-10), i(3)], i(2));
    check("greatest", &[i(1), Scalar::Null(SqlType::Int), i(3)], i(3));
    check("hypot", &[Scalar::Double(3.0), Scalar::Double(4.0)], Scalar::Double(5.0));
    check("ln", &[Scalar::Double(0.0)], Scalar::Null(SqlType::Double));
    check("try_add", &[i(i32::MAX), i(1)], Scalar::Null(SqlType::Int));
}

#[test]
fn dates() {
    check("year", &[day("1969-12-31")], i(1969));
    check("dayofweek", &[day("2009-07-30")], i(5));
    check("weekofyear", &[day("2008-02-20")], i(8));
    check("weekofyear", &[day("2021-01-03")], i(53));
    check("add_months", &[day("2016-08-31"), i(1)], day("2016-09-30"));
    check("last_day", &[day("2024-02-05")], day("2024-02-29"));
    check("next_day", &[day("2015-01-14"), s("TU")], day("2015-01-20"));
    check("trunc", &[day("2019-08-04"), s("week")], day("2019-07-29"));
    check("trunc", &[day("2019-08-04"), s("hour")], Scalar::Null(SqlType::Date));
    check("make_date", &[i(2013), i(7), i(15)], day("2013-07-15"));
    assert!(eval("make_date", &[i(2013), i(2), i(30)], "UTC").is_err());
    for text in ["0001-01-01", "1582-10-15", "1900-02-28", "2000-02-29", "9999-12-31"] {
        let year: i32 = text[..4].parse().unwrap();
        check("year", &[day(text)], i(year));
        check("day", &[day(text)], i(text[8..].parse().unwrap()));
    }
    let between = [instant("1997-02-28T10:30:00"), instant("1996-10-30T00:00:00")];
    check("months_between", &between, Scalar::Double(3.94959677));
}

#[test]
fn times_are_of_the_session_zone() {
    let t = instant("2024-07-01T22:30:15.123456");
    assert_eq!(eval("hour", std::slice::from_ref(&t), "Europe/Berlin").unwrap(), i(0));
    assert_eq!(eval("hour", std::slice::from_ref(&t), "+01:30").unwrap(), i(0));
    let text = eval("date_format", &[t.clone(), s("yyyy-MM-dd HH:mm:ss.SSS EEE a XXX 'at'")], "Europe/Berlin").unwrap();
    assert_eq!(text, s("2024-07-02 00:30:15.123 Tue AM +02:00 at"));
    let day = eval("date_trunc", &[s("day"), t.clone()], "Europe/Berlin").unwrap();
    assert_eq!(day, instant("2024-07-01T22:00:00"));
    let parsed = eval("to_timestamp", &[s("01/02/2024 3:04 PM"), s("dd/MM/yyyy h:mm a")], "UTC").unwrap();
    assert_eq!(parsed, instant("2024-02-01T15:04:00"));
    check("extract", &[s("second"), t], Scalar::Decimal(15_123_456, 8, 6));
    // 02:30 does not exist on that day; it becomes 03:30 of summer time.
    let gap = eval("to_timestamp", &[s("2024-03-31 02:30"), s("yyyy-MM-dd HH:mm")], "Europe/Berlin").unwrap();
    assert_eq!(gap, instant("2024-03-31T01:30:00"));
    let error = eval("to_date", &[s("foo"), s("yyyy-MM-dd")], "UTC").unwrap_err();
    assert_eq!(error.condition(), "CANNOT_PARSE_TIMESTAMP");
    check("from_unixtime", &[Scalar::BigInt(0)], s("1970-01-01 00:00:00"));
    check("current_date", &[], Scalar::Date(0));
}

#[test]
fn hashes_are_sparks() {
    // Reference values of Spark 4.
    check("hash", &[i(1)], i(-559_580_957));
    check("hash", &[s("Spark")], i(228_093_765));
    check("xxhash64", &[i(1)], Scalar::BigInt(-6_698_625_589_789_238_999));
    check("hash", &[Scalar::Null(SqlType::Int)], i(42));
}

#[test]
fn a_dictionary_is_computed_by_entry() {
    let cx = EvalContext { registry: builtin_registry(), ansi: true, time_zone: Arc::from("UTC"), now: 0 };
    let array: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let upper = cx.registry.expect_scalar("upper").unwrap().clone();
    let kernel = upper.kernel(&[SqlType::String], &SqlType::String, &[None], &cx).unwrap();
    let result = kernel.eval(&[Datum::Array(Arc::new(array))], 4).unwrap().into_array(4);
    assert!(result.as_any_dictionary_opt().is_some());
    let values: Vec<Scalar> = (0..4).map(|row| Scalar::from_array(&result, row, &SqlType::String).unwrap()).collect();
    assert_eq!(values, vec![s("A"), Scalar::Null(SqlType::String), s("B"), s("A")]);
}

#[test]
fn names_are_documented() {
    let registry = builtin_registry();
    assert!(registry.names().len() > 250, "{}", registry.names().len());
    for doc in registry.docs() {
        assert!(!doc.description.is_empty() && !doc.syntax.is_empty(), "{}", doc.name);
    }
}
