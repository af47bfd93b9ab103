//! Between dates, times, numbers and text; the current time.

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use firesteel_common::SqlType::{self, BigInt, Date, Double, Int, String as Str, Timestamp, TimestampNtz};
use firesteel_common::{Error, Result, Scalar};
use firesteel_expr::Signature;

use super::CATEGORY;
use super::calendar::{SECOND, split};
use super::fields::timestamp_type;
use super::pattern::Pattern;
use super::zone::Zone;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

const NONE: &[SqlType] = &[];

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("to_date", &[]),
        "to_date(date_str[, fmt])",
        "Converts text to a date, by a pattern if there is one.",
        &[
            ("SELECT to_date('2009-07-30 04:17:52')", "2009-07-30"),
            ("SELECT to_date('2016-12-31', 'yyyy-MM-dd')", "2016-12-31"),
        ],
        Sig::Custom(|name, args, _| bind_parse(name, args, &Date)),
        |a| parse(a, a.cx.ansi),
    ),
    function(
        CATEGORY,
        ("try_to_date", &[]),
        "try_to_date(date_str, fmt)",
        "Converts text to a date by a pattern; NULL if it does not fit.",
        &[("SELECT try_to_date('foo', 'yyyy-MM-dd')", "NULL")],
        Sig::Fixed(&[Str, Str], 2, &Date),
        |a| parse(a, false),
    ),
    function(
        CATEGORY,
        ("to_timestamp", &["to_timestamp_ltz"]),
        "to_timestamp(timestamp_str[, fmt])",
        "Converts text to a timestamp, by a pattern if there is one.",
        &[
            ("SELECT to_timestamp('2016-12-31 00:12:00')", "2016-12-31 00:12:00"),
            ("SELECT to_timestamp('2016-12-31', 'yyyy-MM-dd')", "2016-12-31 00:00:00"),
        ],
        Sig::Custom(|name, args, _| bind_parse(name, args, &Timestamp)),
        |a| parse(a, a.cx.ansi),
    ),
    function(
        CATEGORY,
        ("to_timestamp_ntz", &[]),
        "to_timestamp_ntz(timestamp_str[, fmt])",
        "Converts text to a timestamp without time zone, by a pattern if there is one.",
        &[("SELECT to_timestamp_ntz('2016-12-31', 'yyyy-MM-dd')", "2016-12-31 00:00:00")],
        Sig::Custom(|name, args, _| bind_parse(name, args, &TimestampNtz)),
        |a| parse(a, a.cx.ansi),
    ),
    function(
        CATEGORY,
        ("try_to_timestamp", &[]),
        "try_to_timestamp(timestamp_str, fmt)",
        "Converts text to a timestamp by a pattern; NULL if it does not fit.",
        &[("SELECT try_to_timestamp('foo', 'yyyy-MM-dd')", "NULL")],
        Sig::Fixed(&[Str, Str], 2, &Timestamp),
        |a| parse(a, false),
    ),
    function(
        CATEGORY,
        ("date_format", &[]),
        "date_format(timestamp, fmt)",
        "Converts a time to text by a pattern.",
        &[
            ("SELECT date_format('2016-04-08', 'y')", "2016"),
            ("SELECT date_format('2016-04-08', 'yyyy/MM/dd EEE')", "2016/04/08 Fri"),
        ],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, 2)?;
            Ok(Signature { args: vec![timestamp_type(name, 0, &args[0])?, Str], ty: Str, may_be_null: false })
        }),
        |a| {
            let t = a.timestamps(0)?;
            let zone = if a.types[0] == TimestampNtz { Zone::Fixed(0) } else { Zone::parse(&a.cx.time_zone)? };
            format(a, 1, zone, |i| t.get(i))
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("from_unixtime", &[]),
        "from_unixtime(unix_time[, fmt])",
        "Converts seconds since 1970-01-01 UTC to text.",
        &[("SELECT from_unixtime(0, 'yyyy-MM-dd HH:mm:ss')", "1970-01-01 00:00:00")],
        Sig::Fixed(&[BigInt, Str], 1, &Str),
        |a| {
            let t = a.longs(0)?;
            format(a, 1, Zone::parse(&a.cx.time_zone)?, |i| Some(t.get(i)?.saturating_mul(SECOND)))
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("unix_timestamp", &[]),
        "unix_timestamp([timeExp[, fmt]])",
        "Returns the seconds since 1970-01-01 UTC of a time, or of the start of the query.",
        &[("SELECT unix_timestamp('2016-04-08', 'yyyy-MM-dd')", "1460073600")],
        Sig::Custom(bind_unix),
        |a| if a.len() == 0 { a.constant(&Scalar::BigInt(a.cx.now.div_euclid(SECOND))) } else { unix_seconds(a) },
    ),
    function(
        CATEGORY,
        ("to_unix_timestamp", &[]),
        "to_unix_timestamp(timeExp[, fmt])",
        "Returns the seconds since 1970-01-01 UTC of a time.",
        &[("SELECT to_unix_timestamp('2016-04-08', 'yyyy-MM-dd')", "1460073600")],
        Sig::Custom(bind_unix),
        unix_seconds,
    ),
    function(
        CATEGORY,
        ("unix_seconds", &[]),
        "unix_seconds(timestamp)",
        "Returns the seconds since 1970-01-01 UTC.",
        &[("SELECT unix_seconds(TIMESTAMP('1970-01-01 00:00:01Z'))", "1")],
        Sig::Fixed(&[Timestamp], 1, &BigInt),
        |a| divided(a, SECOND),
    )
    .total(),
    function(
        CATEGORY,
        ("unix_millis", &[]),
        "unix_millis(timestamp)",
        "Returns the milliseconds since 1970-01-01 UTC.",
        &[("SELECT unix_millis(TIMESTAMP('1970-01-01 00:00:01Z'))", "1000")],
        Sig::Fixed(&[Timestamp], 1, &BigInt),
        |a| divided(a, 1_000),
    )
    .total(),
    function(
        CATEGORY,
        ("unix_micros", &[]),
        "unix_micros(timestamp)",
        "Returns the microseconds since 1970-01-01 UTC.",
        &[("SELECT unix_micros(TIMESTAMP('1970-01-01 00:00:01Z'))", "1000000")],
        Sig::Fixed(&[Timestamp], 1, &BigInt),
        |a| divided(a, 1),
    )
    .total(),
    function(
        CATEGORY,
        ("unix_date", &[]),
        "unix_date(date)",
        "Returns the days since 1970-01-01.",
        &[("SELECT unix_date(DATE('1970-01-02'))", "1")],
        Sig::Fixed(&[Date], 1, &Int),
        |a| {
            let d = a.dates(0)?;
            a.out_ints(|i| d.get(i))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("date_from_unix_date", &[]),
        "date_from_unix_date(days)",
        "Returns the date of a number of days since 1970-01-01.",
        &[("SELECT date_from_unix_date(1)", "1970-01-02")],
        Sig::Fixed(&[Int], 1, &Date),
        |a| {
            let n = a.ints(0)?;
            a.out::<Date32Type>(|i| n.get(i))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("timestamp_seconds", &[]),
        "timestamp_seconds(seconds)",
        "Returns the timestamp of a number of seconds, which may have a fraction, since 1970-01-01 UTC.",
        &[("SELECT timestamp_seconds(1230219000)", "2008-12-25 15:30:00")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 1)?;
            let arg = match &args[0] {
                ty if ty.is_integer() || *ty == SqlType::Void => BigInt,
                ty if ty.is_float() || ty.is_string() => Double,
                SqlType::Decimal(..) => SqlType::Decimal(38, 6),
                other => return Err(check::unexpected_type(name, 0, "NUMERIC", other)),
            };
            Ok(Signature { args: vec![arg], ty: Timestamp, may_be_null: true })
        }),
        timestamp_seconds,
    ),
    function(
        CATEGORY,
        ("timestamp_millis", &[]),
        "timestamp_millis(milliseconds)",
        "Returns the timestamp of a number of milliseconds since 1970-01-01 UTC.",
        &[("SELECT timestamp_millis(1230219000123)", "2008-12-25 15:30:00.123")],
        Sig::Fixed(&[BigInt], 1, &Timestamp),
        |a| multiplied(a, 1_000),
    )
    .not_null(),
    function(
        CATEGORY,
        ("timestamp_micros", &[]),
        "timestamp_micros(microseconds)",
        "Returns the timestamp of a number of microseconds since 1970-01-01 UTC.",
        &[("SELECT timestamp_micros(1230219000123123)", "2008-12-25 15:30:00.123123")],
        Sig::Fixed(&[BigInt], 1, &Timestamp),
        |a| multiplied(a, 1),
    )
    .not_null(),
    function(
        CATEGORY,
        ("current_date", &["curdate"]),
        "current_date()",
        "Returns the date at the start of the query.",
        &[],
        Sig::Fixed(NONE, 0, &Date),
        |a| a.constant(&Scalar::Date(split(Zone::parse(&a.cx.time_zone)?.to_local(a.cx.now)).0)),
    )
    .not_null(),
    function(
        CATEGORY,
        ("current_timestamp", &["now"]),
        "current_timestamp()",
        "Returns the time at the start of the query.",
        &[],
        Sig::Fixed(NONE, 0, &Timestamp),
        |a| a.constant(&Scalar::Timestamp(a.cx.now)),
    )
    .not_null(),
    function(
        CATEGORY,
        ("localtimestamp", &[]),
        "localtimestamp()",
        "Returns the time at the start of the query, without time zone.",
        &[],
        Sig::Fixed(NONE, 0, &TimestampNtz),
        |a| a.constant(&Scalar::TimestampNtz(Zone::parse(&a.cx.time_zone)?.to_local(a.cx.now))),
    )
    .not_null(),
    function(
        CATEGORY,
        ("current_timezone", &[]),
        "current_timezone()",
        "Returns the session time zone.",
        &[],
        Sig::Fixed(NONE, 0, &Str),
        |a| a.constant(&Scalar::string(&a.cx.time_zone)),
    )
    .not_null(),
    function(
        CATEGORY,
        ("from_utc_timestamp", &[]),
        "from_utc_timestamp(timestamp, timezone)",
        "Moves a time by the offset of a zone, as if it were UTC.",
        &[("SELECT from_utc_timestamp('2016-08-31', 'Asia/Seoul')", "2016-08-31 09:00:00")],
        Sig::Fixed(&[Timestamp, Str], 2, &Timestamp),
        |a| moved(a, Zone::to_local, Zone::to_utc),
    )
    .not_null(),
    function(
        CATEGORY,
        ("to_utc_timestamp", &[]),
        "to_utc_timestamp(timestamp, timezone)",
        "Moves a time by the offset of a zone, as if it were of the zone.",
        &[("SELECT to_utc_timestamp('2016-08-31', 'Asia/Seoul')", "2016-08-30 15:00:00")],
        Sig::Fixed(&[Timestamp, Str], 2, &Timestamp),
        |a| moved(a, Zone::to_utc, Zone::to_utc),
    )
    .not_null(),
];

/// Without a pattern the conversion is the cast that the argument gets.
fn bind_parse(name: &'static str, args: &[SqlType], ty: &SqlType) -> Result<Signature> {
    check::arity(name, args.len(), 1, 2)?;
    let from = &args[0];
    let numeric = *ty == Timestamp && from.is_numeric();
    if !(from.is_string() || from.is_datetime() || *from == SqlType::Void || numeric) {
        return Err(check::unexpected_type(name, 0, "STRING\" or \"DATE\" or \"TIMESTAMP", from));
    }
    let args = match args {
        [from, _] if from.is_string() => vec![Str, Str],
        [_, _] => vec![ty.clone(), Str],
        _ => vec![ty.clone()],
    };
    Ok(Signature { args, ty: ty.clone(), may_be_null: true })
}

/// Compiled patterns, of which usually there is one.
struct Patterns<'a> {
    column: &'a crate::scalar::args::Strings,
    last: Option<(String, Pattern)>,
}

impl Patterns<'_> {
    fn get(&mut self, row: usize) -> Result<Option<&Pattern>> {
        let Some(text) = self.column.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            self.last = Some((text.to_owned(), Pattern::new(text)?));
        }
        Ok(self.last.as_ref().map(|(_, pattern)| pattern))
    }
}

fn cannot_parse(text: &str) -> Error {
    Error::compute(
        "CANNOT_PARSE_TIMESTAMP",
        "22007",
        format!(
            "Text '{text}' could not be parsed. Use `try_to_timestamp` to tolerate invalid input string and return \
             NULL instead."
        ),
    )
}

fn parse(a: &Args, ansi: bool) -> Result<ArrayRef> {
    if !a.types[0].is_string() {
        return a.array(0);
    }
    let zone = if *a.ty == Timestamp { Zone::parse(&a.cx.time_zone)? } else { Zone::Fixed(0) };
    let (s, column) = (a.strings(0)?, a.strings(1)?);
    let mut patterns = Patterns { column: &column, last: None };
    let mut micros = |i: usize| {
        let (Some(s), Some(pattern)) = (s.get(i), patterns.get(i)?) else { return Ok(None) };
        match pattern.parse(s, zone) {
            None if ansi => Err(cannot_parse(s)),
            parsed => Ok(parsed),
        }
    };
    if *a.ty == Date {
        return a.try_out::<Date32Type>(|i| Ok(micros(i)?.map(|m| split(m).0)));
    }
    a.try_out::<TimestampMicrosecondType>(micros)
}

/// Formats instants by the pattern of an argument, which may be missing.
fn format(a: &Args, index: usize, zone: Zone, instant: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
    let name = match zone {
        Zone::Named(tz) => tz.name().to_owned(),
        Zone::Fixed(_) => a.cx.time_zone.to_string(),
    };
    let standard = Pattern::new("yyyy-MM-dd HH:mm:ss")?;
    let column = if a.len() > index { Some(a.strings(index)?) } else { None };
    let mut patterns = column.as_ref().map(|column| Patterns { column, last: None });
    a.try_strings(|i| {
        let pattern = match &mut patterns {
            Some(patterns) => patterns.get(i)?,
            None => Some(&standard),
        };
        let (Some(t), Some(pattern)) = (instant(i), pattern) else { return Ok(None) };
        let offset = zone.offset(t);
        Ok(Some(pattern.format(t.saturating_add(offset * SECOND), offset, &name)))
    })
}

fn bind_unix(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), usize::from(name != "unix_timestamp"), 2)?;
    let args = match args {
        [] => vec![],
        [time, ..] if time.is_string() => vec![Str; args.len()],
        [time, rest @ ..] => {
            let ty = if time.is_datetime() { Timestamp } else { timestamp_type(name, 0, time)? };
            std::iter::once(ty).chain(rest.iter().map(|_| Str)).collect()
        }
    };
    Ok(Signature { args, ty: BigInt, may_be_null: true })
}

/// A pattern counts for text only.
fn unix_seconds(a: &Args) -> Result<ArrayRef> {
    if !a.types[0].is_string() {
        // Unlike `unix_seconds`, this truncates towards zero.
        let time = a.timestamps(0)?;
        return a.out_longs(|i| time.get(i).map(|time| time / SECOND));
    }
    let zone = Zone::parse(&a.cx.time_zone)?;
    let standard = Pattern::new("yyyy-MM-dd HH:mm:ss")?;
    let s = a.strings(0)?;
    let column = if a.len() > 1 { Some(a.strings(1)?) } else { None };
    let mut patterns = column.as_ref().map(|column| Patterns { column, last: None });
    a.try_out::<arrow::datatypes::Int64Type>(|i| {
        let pattern = match &mut patterns {
            Some(patterns) => patterns.get(i)?,
            None => Some(&standard),
        };
        let (Some(s), Some(pattern)) = (s.get(i), pattern) else { return Ok(None) };
        match pattern.parse(s, zone) {
            None if a.cx.ansi => Err(cannot_parse(s)),
            parsed => Ok(parsed.map(|t| t.div_euclid(SECOND))),
        }
    })
}

fn divided(a: &Args, unit: i64) -> Result<ArrayRef> {
    let t = a.timestamps(0)?;
    a.out_longs(|i| Some(t.get(i)?.div_euclid(unit)))
}

fn multiplied(a: &Args, unit: i64) -> Result<ArrayRef> {
    let n = a.longs(0)?;
    a.try_out::<TimestampMicrosecondType>(|i| match n.get(i) {
        Some(n) => n.checked_mul(unit).map(Some).ok_or_else(|| check::overflow("long", "")),
        None => Ok(None),
    })
}

fn timestamp_seconds(a: &Args) -> Result<ArrayRef> {
    match &a.types[0] {
        BigInt => multiplied(a, SECOND),
        Double => {
            let n = a.doubles(0)?;
            a.out::<TimestampMicrosecondType>(|i| {
                n.get(i).filter(|n| n.is_finite()).map(|n| (n * SECOND as f64) as i64)
            })
        }
        _ => {
            let n = a.decimals(0)?;
            a.try_out::<TimestampMicrosecondType>(|i| match n.get(i) {
                Some(n) => i64::try_from(n).map(Some).map_err(|_| check::overflow("long", "")),
                None => Ok(None),
            })
        }
    }
}

/// The wall clock of the session is kept, and moved by `shift` of the zone of the second argument.
fn moved(a: &Args, shift: fn(Zone, i64) -> i64, back: fn(Zone, i64) -> i64) -> Result<ArrayRef> {
    let (t, names) = (a.timestamps(0)?, a.strings(1)?);
    let session = Zone::parse(&a.cx.time_zone)?;
    a.try_out::<TimestampMicrosecondType>(|i| {
        let (Some(t), Some(name)) = (t.get(i), names.get(i)) else { return Ok(None) };
        let zone = Zone::parse(name)?;
        Ok(Some(back(session, shift(zone, session.to_local(t)))))
    })
}
