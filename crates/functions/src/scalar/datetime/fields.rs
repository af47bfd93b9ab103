//! Fields of dates and times.

use arrow::array::ArrayRef;
use arrow::datatypes::{DurationMicrosecondType, Int8Type, IntervalYearMonthType};
use firesteel_common::SqlType::{self, Date, Int, String as Str, Timestamp, TimestampNtz};
use firesteel_common::{Error, ErrorKind, Result, Scalar};
use firesteel_expr::Signature;

use super::CATEGORY;
use super::calendar::{SECOND, civil, day_of_year, iso_week, split, weekday};
use super::pattern::{DAYS, MONTHS};
use super::zone::Zone;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

macro_rules! of_date {
    ($name:literal, $aliases:expr, $description:literal, $examples:expr, $f:expr) => {
        function(
            CATEGORY,
            ($name, $aliases),
            concat!($name, "(date)"),
            $description,
            $examples,
            Sig::Fixed(&[Date], 1, &Int),
            |a| {
                let d = a.dates(0)?;
                let f: fn(i32) -> i32 = $f;
                a.out_ints(|i| d.get(i).map(f))
            },
        )
        .total()
    };
}

macro_rules! of_time {
    ($name:literal, $description:literal, $examples:expr, $unit:expr, $modulo:expr) => {
        function(
            CATEGORY,
            ($name, &[]),
            concat!($name, "(timestamp)"),
            $description,
            $examples,
            Sig::Custom(|name, args, _| {
                check::arity(name, args.len(), 1, 1)?;
                Ok(Signature { args: vec![timestamp_type(name, 0, &args[0])?], ty: Int, may_be_null: false })
            }),
            |a| {
                let t = local(a, 0)?;
                a.out_ints(|i| Some((t(i)?.div_euclid($unit * SECOND)).rem_euclid($modulo) as i32))
            },
        )
        .total()
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    of_date!("year", &[], "Returns the year.", &[("SELECT year('2016-07-30')", "2016")], |d| civil(d).0),
    of_date!("quarter", &[], "Returns the quarter, 1 to 4.", &[("SELECT quarter('2016-08-31')", "3")], |d| (civil(d).1
        as i32
        + 2)
        / 3),
    of_date!("month", &[], "Returns the month, 1 to 12.", &[("SELECT month('2016-07-30')", "7")], |d| civil(d).1
        as i32),
    of_date!(
        "day",
        &["dayofmonth"],
        "Returns the day of the month.",
        &[("SELECT day('2009-07-30')", "30"), ("SELECT dayofmonth('2009-07-30')", "30")],
        |d| civil(d).2 as i32
    ),
    of_date!(
        "dayofweek",
        &[],
        "Returns the day of the week: 1 is Sunday, 7 is Saturday.",
        &[("SELECT dayofweek('2009-07-30')", "5")],
        |d| (weekday(d) + 1) % 7 + 1
    ),
    of_date!(
        "weekday",
        &[],
        "Returns the day of the week: 0 is Monday, 6 is Sunday.",
        &[("SELECT weekday('2009-07-30')", "3")],
        weekday
    ),
    of_date!(
        "dayofyear",
        &[],
        "Returns the day of the year.",
        &[("SELECT dayofyear('2016-04-09')", "100")],
        day_of_year
    ),
    of_date!(
        "weekofyear",
        &["week"],
        "Returns the week of the year of ISO 8601.",
        &[("SELECT weekofyear('2008-02-20')", "8")],
        |d| iso_week(d).1
    ),
    of_time!("hour", "Returns the hour, 0 to 23.", &[("SELECT hour('2018-02-14 12:58:59')", "12")], 3_600, 24),
    of_time!("minute", "Returns the minute, 0 to 59.", &[("SELECT minute('2009-07-30 12:58:59')", "58")], 60, 60),
    of_time!("second", "Returns the second, 0 to 59.", &[("SELECT second('2018-02-14 12:58:59')", "59")], 1, 60),
    function(
        CATEGORY,
        ("dayname", &[]),
        "dayname(date)",
        "Returns the abbreviated name of the day of the week.",
        &[("SELECT dayname(DATE'2008-02-20')", "Wed")],
        Sig::Fixed(&[Date], 1, &Str),
        |a| {
            let d = a.dates(0)?;
            a.out_strings(|i| Some(&DAYS[weekday(d.get(i)?) as usize][..3]))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("monthname", &[]),
        "monthname(date)",
        "Returns the abbreviated name of the month.",
        &[("SELECT monthname(DATE'2008-02-20')", "Feb")],
        Sig::Fixed(&[Date], 1, &Str),
        |a| {
            let d = a.dates(0)?;
            a.out_strings(|i| Some(&MONTHS[civil(d.get(i)?).1 as usize - 1][..3]))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("date_part", &["datepart", "extract"]),
        "date_part(field, source)",
        "Returns a field of a date or time; EXTRACT(field FROM source) is the same.",
        &[
            ("SELECT date_part('YEAR', TIMESTAMP '2019-08-12 01:00:00.123456')", "2019"),
            ("SELECT date_part('week', timestamp'2019-08-12 01:00:00.123456')", "33"),
            ("SELECT date_part('SECONDS', timestamp'2019-10-01 00:00:01.000001')", "1.000001"),
            ("SELECT extract(doy FROM DATE'2019-08-12')", "224"),
        ],
        Sig::Custom(bind_part),
        part,
    )
    .total(),
];

/// The type that a time argument is taken as.
pub(super) fn timestamp_type(name: &'static str, index: usize, ty: &SqlType) -> Result<SqlType> {
    match ty {
        TimestampNtz => Ok(TimestampNtz),
        Date | Timestamp | SqlType::Void => Ok(Timestamp),
        ty if ty.is_string() => Ok(Timestamp),
        other => Err(check::unexpected_type(name, index, "TIMESTAMP", other)),
    }
}

/// The wall clock of a time argument by row; the zone's offset is found per row.
pub(super) fn local<'a>(a: &Args<'a>, index: usize) -> Result<impl Fn(usize) -> Option<i64> + use<'a>> {
    let t = a.timestamps(index)?;
    let zone = if a.types[index] == TimestampNtz { Zone::Fixed(0) } else { Zone::parse(&a.cx.time_zone)? };
    Ok(move |i| t.get(i).map(|t| zone.to_local(t)))
}

#[derive(Clone, Copy)]
enum Field {
    Year,
    YearOfWeek,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

impl Field {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_uppercase().as_str() {
            "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => Field::Year,
            "YEAROFWEEK" => Field::YearOfWeek,
            "QUARTER" | "QTR" => Field::Quarter,
            "MONTH" | "MON" | "MONS" | "MONTHS" => Field::Month,
            "WEEK" | "W" | "WEEKS" => Field::Week,
            "DAY" | "D" | "DAYS" => Field::Day,
            "DAYOFWEEK" | "DOW" => Field::DayOfWeek,
            "DAYOFWEEK_ISO" | "DOW_ISO" => Field::DayOfWeekIso,
            "DOY" | "DAYOFYEAR" => Field::DayOfYear,
            "HOUR" | "H" | "HOURS" | "HR" | "HRS" => Field::Hour,
            "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => Field::Minute,
            "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => Field::Second,
            _ => return None,
        })
    }
}

fn bind_part(name: &'static str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 2, 2)?;
    let Some(Some(field)) = literals.first().map(|l| l.as_ref().and_then(Scalar::as_str)) else {
        return Err(Error::new(
            ErrorKind::Type,
            "NON_FOLDABLE_ARGUMENT",
            "42K08",
            format!(
                "The function `{name}` requires the parameter `field` to be a foldable expression of the type \"STRING\", but the actual argument is a non-foldable."
            ),
        ));
    };
    let parsed = Field::parse(field).ok_or_else(|| {
        Error::new(
            ErrorKind::Type,
            "INVALID_EXTRACT_FIELD",
            "42601",
            format!("Cannot extract `{field}` from a value of the type \"{}\".", args[1]),
        )
    })?;
    if args[1].is_interval() {
        let ty = interval_field_type(parsed, &args[1]).ok_or_else(|| {
            let message = format!("Cannot extract `{field}` from a value of the type \"{}\".", args[1]);
            Error::new(ErrorKind::Type, "INVALID_EXTRACT_FIELD", "42601", message)
        })?;
        return Ok(Signature { args: vec![Str, args[1].clone()], ty, may_be_null: false });
    }
    let time = matches!(parsed, Field::Hour | Field::Minute | Field::Second);
    let source = if time || args[1] != Date { timestamp_type(name, 1, &args[1])? } else { Date };
    let ty = if matches!(parsed, Field::Second) { SqlType::Decimal(8, 6) } else { Int };
    Ok(Signature { args: vec![Str, source], ty, may_be_null: false })
}

/// The type of a field of an interval; `None` if the interval has no such field.
fn interval_field_type(field: Field, interval: &SqlType) -> Option<SqlType> {
    match (interval, field) {
        (SqlType::IntervalYearMonth, Field::Year) | (SqlType::IntervalDayTime, Field::Day) => Some(Int),
        (SqlType::IntervalYearMonth, Field::Month) | (SqlType::IntervalDayTime, Field::Hour | Field::Minute) => {
            Some(SqlType::TinyInt)
        }
        (SqlType::IntervalDayTime, Field::Second) => Some(SqlType::Decimal(8, 6)),
        _ => None,
    }
}

/// Fields of intervals; all have the interval's sign.
fn part_of_interval(a: &Args, field: Field) -> Result<ArrayRef> {
    if a.types[1] == SqlType::IntervalYearMonth {
        let months = a.column::<IntervalYearMonthType>(1)?;
        return match field {
            Field::Year => a.out_ints(|i| months.get(i).map(|m| m / 12)),
            _ => a.out::<Int8Type>(|i| months.get(i).map(|m| (m % 12) as i8)),
        };
    }
    let micros = a.column::<DurationMicrosecondType>(1)?;
    match field {
        Field::Day => a.out_ints(|i| micros.get(i).map(|m| (m / (86_400 * SECOND)) as i32)),
        Field::Hour => a.out::<Int8Type>(|i| micros.get(i).map(|m| (m / (3_600 * SECOND) % 24) as i8)),
        Field::Minute => a.out::<Int8Type>(|i| micros.get(i).map(|m| (m / (60 * SECOND) % 60) as i8)),
        _ => a.out_decimals(|i| Ok(micros.get(i).map(|m| i128::from(m % (60 * SECOND))))),
    }
}

fn part(a: &Args) -> Result<ArrayRef> {
    let field = a.strings(0)?;
    let Some(field) = field.constant().and_then(Field::parse) else {
        return Err(Error::internal("the field of date_part is not settled"));
    };
    if a.types[1].is_interval() {
        return part_of_interval(a, field);
    }
    if let Field::Second = field {
        let t = local(a, 1)?;
        return a.out_decimals(|i| Ok(t(i).map(|t| i128::from(t.rem_euclid(60 * SECOND)))));
    }
    let of_day = |days: i32| match field {
        Field::Year => civil(days).0,
        Field::YearOfWeek => iso_week(days).0,
        Field::Quarter => (civil(days).1 as i32 + 2) / 3,
        Field::Month => civil(days).1 as i32,
        Field::Week => iso_week(days).1,
        Field::Day => civil(days).2 as i32,
        Field::DayOfWeek => (weekday(days) + 1) % 7 + 1,
        Field::DayOfWeekIso => weekday(days) + 1,
        _ => day_of_year(days),
    };
    if a.types[1] == Date {
        let d = a.dates(1)?;
        return a.out_ints(|i| d.get(i).map(of_day));
    }
    let t = local(a, 1)?;
    a.out_ints(|i| {
        let t = t(i)?;
        Some(match field {
            Field::Hour => t.div_euclid(3_600 * SECOND).rem_euclid(24) as i32,
            Field::Minute => t.div_euclid(60 * SECOND).rem_euclid(60) as i32,
            _ => of_day(split(t).0),
        })
    })
}
