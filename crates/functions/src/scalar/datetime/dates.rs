//! Arithmetic on dates and times, and truncation.

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, DurationMicrosecondType, IntervalYearMonthType, TimestampMicrosecondType};
use firesteel_common::SqlType::{self, BigInt, Boolean, Date, Double, Int, String as Str, Timestamp};
use firesteel_common::{Error, Result};
use firesteel_expr::Signature;

use super::CATEGORY;
use super::calendar::{DAY, SECOND, Unit, add_months, checked_days, civil, month_length, split, weekday};
use super::fields::{local, timestamp_type};
use super::zone::Zone;
use crate::check;
use crate::scalar::{Args, Function, Sig, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("date_add", &["dateadd"]),
        "date_add(start_date, num_days)",
        "Returns the date that is a number of days later.",
        &[("SELECT date_add('2016-07-30', 1)", "2016-07-31")],
        Sig::Fixed(&[Date, Int], 2, &Date),
        |a| {
            let (d, n) = (a.dates(0)?, a.ints(1)?);
            a.out::<Date32Type>(|i| Some(d.get(i)?.wrapping_add(n.get(i)?)))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("date_sub", &[]),
        "date_sub(start_date, num_days)",
        "Returns the date that is a number of days earlier.",
        &[("SELECT date_sub('2016-07-30', 1)", "2016-07-29")],
        Sig::Fixed(&[Date, Int], 2, &Date),
        |a| {
            let (d, n) = (a.dates(0)?, a.ints(1)?);
            a.out::<Date32Type>(|i| Some(d.get(i)?.wrapping_sub(n.get(i)?)))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("datediff", &["date_diff"]),
        "datediff(endDate, startDate)",
        "Returns the number of days from `startDate` to `endDate`.",
        &[("SELECT datediff('2009-07-31', '2009-07-30')", "1")],
        Sig::Fixed(&[Date, Date], 2, &Int),
        |a| {
            let (d, e) = (a.dates(0)?, a.dates(1)?);
            a.out_ints(|i| Some(d.get(i)?.wrapping_sub(e.get(i)?)))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("add_months", &[]),
        "add_months(start_date, num_months)",
        "Returns the date that is a number of months later, at most the last day of its month.",
        &[("SELECT add_months('2016-08-31', 1)", "2016-09-30")],
        Sig::Fixed(&[Date, Int], 2, &Date),
        |a| {
            let (d, n) = (a.dates(0)?, a.ints(1)?);
            a.try_out::<Date32Type>(|i| match (d.get(i), n.get(i)) {
                (Some(d), Some(n)) => add_months(d, n.into()).map(Some).ok_or_else(|| check::overflow("integer", "")),
                _ => Ok(None),
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("months_between", &[]),
        "months_between(timestamp1, timestamp2[, roundOff])",
        "Returns the months from `timestamp2` to `timestamp1`, with 31 days to a month, rounded to 8 digits.",
        &[
            ("SELECT months_between('1997-02-28 10:30:00', '1996-10-30')", "3.94959677"),
            ("SELECT months_between('1997-02-28 10:30:00', '1996-10-30', false)", "3.9495967741935485"),
        ],
        Sig::Fixed(&[Timestamp, Timestamp, Boolean], 2, &Double),
        months_between,
    )
    .total(),
    function(
        CATEGORY,
        ("last_day", &[]),
        "last_day(date)",
        "Returns the last day of the month.",
        &[("SELECT last_day('2009-01-12')", "2009-01-31")],
        Sig::Fixed(&[Date], 1, &Date),
        |a| {
            let d = a.dates(0)?;
            a.out::<Date32Type>(|i| {
                let d = d.get(i)?;
                let (year, month, day) = civil(d);
                Some(d + (month_length(year, month) - day) as i32)
            })
        },
    )
    .total(),
    function(
        CATEGORY,
        ("next_day", &[]),
        "next_day(start_date, day_of_week)",
        "Returns the first date after `start_date` that is the named day of the week.",
        &[("SELECT next_day('2015-01-14', 'TU')", "2015-01-20")],
        Sig::Fixed(&[Date, Str], 2, &Date),
        next_day,
    ),
    function(
        CATEGORY,
        ("trunc", &[]),
        "trunc(date, fmt)",
        "Returns the first day of the year, quarter, month or week; NULL for another unit.",
        &[("SELECT trunc('2019-08-04', 'week')", "2019-07-29"), ("SELECT trunc('2009-02-12', 'MM')", "2009-02-01")],
        Sig::Fixed(&[Date, Str], 2, &Date),
        |a| {
            let (d, unit) = (a.dates(0)?, a.strings(1)?);
            a.out::<Date32Type>(|i| {
                let unit = Unit::parse(unit.get(i)?).filter(|u| u.micros().is_none() && *u != Unit::Day)?;
                Some(unit.truncate(d.get(i)?))
            })
        },
    )
    .infallible(),
    function(
        CATEGORY,
        ("date_trunc", &[]),
        "date_trunc(fmt, ts)",
        "Returns the start of the unit that a time is in; NULL for an unknown unit.",
        &[
            ("SELECT date_trunc('YEAR', '2015-03-05T09:32:05.359')", "2015-01-01 00:00:00"),
            ("SELECT date_trunc('HOUR', '2015-03-05T09:32:05.359')", "2015-03-05 09:00:00"),
        ],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, 2)?;
            let ty = timestamp_type(name, 1, &args[1])?;
            Ok(Signature { args: vec![Str, ty.clone()], ty, may_be_null: true })
        }),
        date_trunc,
    )
    .infallible(),
    function(
        CATEGORY,
        ("timestampadd", &[]),
        "timestampadd(unit, quantity, timestamp)",
        "Adds a number of units to a time.",
        &[("SELECT timestampadd(HOUR, 8, timestamp_ntz'2022-02-11 20:30:00')", "2022-02-12 04:30:00")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 3, 3)?;
            let ty = timestamp_type(name, 2, &args[2])?;
            Ok(Signature { args: vec![Str, BigInt, ty.clone()], ty, may_be_null: false })
        }),
        timestampadd,
    )
    .not_null(),
    function(
        CATEGORY,
        ("timestampdiff", &[]),
        "timestampdiff(unit, start, end)",
        "Returns the number of whole units from one time to another.",
        &[("SELECT timestampdiff(MONTH, timestamp_ntz'2022-02-11 20:30:00', timestamp_ntz'2022-03-12 20:30:00')", "1")],
        Sig::Fixed(&[Str, Timestamp, Timestamp], 3, &BigInt),
        timestampdiff,
    )
    .not_null(),
    function(
        CATEGORY,
        ("make_date", &[]),
        "make_date(year, month, day)",
        "Makes a date.",
        &[("SELECT make_date(2013, 7, 15)", "2013-07-15")],
        Sig::Fixed(&[Int, Int, Int], 3, &Date),
        |a| {
            let (y, m, d) = (a.ints(0)?, a.ints(1)?, a.ints(2)?);
            a.try_out::<Date32Type>(|i| {
                let (Some(y), Some(m), Some(d)) = (y.get(i), m.get(i), d.get(i)) else { return Ok(None) };
                in_range(a, checked_days(y, m, d), || format!("Invalid date '{y}-{m}-{d}'"))
            })
        },
    ),
    function(
        CATEGORY,
        ("make_timestamp", &["make_timestamp_ltz"]),
        "make_timestamp(year, month, day, hour, min, sec)",
        "Makes a timestamp of the session time zone.",
        &[("SELECT make_timestamp(2014, 12, 28, 6, 30, 45.887)", "2014-12-28 06:30:45.887")],
        Sig::Fixed(&[Int, Int, Int, Int, Int, SqlType::Decimal(16, 6)], 6, &Timestamp),
        |a| make_timestamp(a, Zone::parse(&a.cx.time_zone)?),
    ),
    function(
        CATEGORY,
        ("make_timestamp_ntz", &[]),
        "make_timestamp_ntz(year, month, day, hour, min, sec)",
        "Makes a timestamp without time zone.",
        &[("SELECT make_timestamp_ntz(2014, 12, 28, 6, 30, 45.887)", "2014-12-28 06:30:45.887")],
        Sig::Fixed(&[Int, Int, Int, Int, Int, SqlType::Decimal(16, 6)], 6, &SqlType::TimestampNtz),
        |a| make_timestamp(a, Zone::Fixed(0)),
    ),
    function(
        CATEGORY,
        ("make_ym_interval", &[]),
        "make_ym_interval([years[, months]])",
        "Makes an interval of years and months.",
        &[("SELECT make_ym_interval(1, 2)", "INTERVAL '1-2' YEAR TO MONTH")],
        Sig::Fixed(&[Int, Int], 0, &SqlType::IntervalYearMonth),
        |a| {
            let parts = (0..a.len()).map(|index| a.ints(index)).collect::<Result<Vec<_>>>()?;
            a.try_out::<IntervalYearMonthType>(|i| {
                let mut months = Some(0i32);
                for (part, unit) in parts.iter().zip([12, 1]) {
                    let Some(part) = part.get(i) else { return Ok(None) };
                    months = months.and_then(|m| m.checked_add(part.checked_mul(unit)?));
                }
                months.map(Some).ok_or_else(|| check::overflow("integer", ""))
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("make_dt_interval", &[]),
        "make_dt_interval([days[, hours[, mins[, secs]]]])",
        "Makes an interval of days, hours, minutes and seconds.",
        &[("SELECT make_dt_interval(1, 12, 30, 01.001001)", "INTERVAL '1 12:30:01.001001' DAY TO SECOND")],
        Sig::Fixed(&[Int, Int, Int, SqlType::Decimal(18, 6)], 0, &SqlType::IntervalDayTime),
        |a| {
            let parts = (0..a.len().min(3)).map(|index| a.ints(index)).collect::<Result<Vec<_>>>()?;
            let seconds = if a.len() > 3 { Some(a.decimals(3)?) } else { None };
            a.try_out::<DurationMicrosecondType>(|i| {
                let mut micros = Some(0i64);
                for (part, unit) in parts.iter().zip([DAY, 3_600 * SECOND, 60 * SECOND]) {
                    let Some(part) = part.get(i) else { return Ok(None) };
                    micros = micros.and_then(|m| m.checked_add(i64::from(part).checked_mul(unit)?));
                }
                if let Some(seconds) = &seconds {
                    let Some(seconds) = seconds.get(i) else { return Ok(None) };
                    micros = micros.and_then(|m| m.checked_add(i64::try_from(seconds).ok()?));
                }
                micros.map(Some).ok_or_else(|| check::overflow("long", ""))
            })
        },
    )
    .not_null(),
];

/// A value, or without one the error of a field out of range; NULL without ANSI mode.
fn in_range<T>(a: &Args, value: Option<T>, message: impl Fn() -> String) -> Result<Option<T>> {
    if value.is_some() || !a.cx.ansi {
        return Ok(value);
    }
    Err(Error::compute(
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
        "22023",
        format!("{}. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.", message()),
    ))
}

fn make_timestamp(a: &Args, zone: Zone) -> Result<ArrayRef> {
    let parts = (0..5).map(|index| a.ints(index)).collect::<Result<Vec<_>>>()?;
    let seconds = a.decimals(5)?;
    a.try_out::<TimestampMicrosecondType>(|i| {
        let fields = parts.iter().map(|p| p.get(i)).collect::<Option<Vec<_>>>();
        let (Some(fields), Some(micros)) = (fields, seconds.get(i)) else { return Ok(None) };
        let [year, month, day, hour, minute] = fields[..] else { return Ok(None) };
        // 60 seconds are the next minute, but only without a fraction.
        let valid =
            (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60 * i128::from(SECOND)).contains(&micros);
        let local = checked_days(year, month, day).filter(|_| valid).map(|days| {
            let time = (i64::from(hour) * 3_600 + i64::from(minute) * 60) * SECOND + micros as i64;
            zone.to_utc(i64::from(days) * DAY + time)
        });
        in_range(a, local, || format!("Invalid value of a field of {year}-{month}-{day} {hour}:{minute}"))
    })
}

fn months_between(a: &Args) -> Result<ArrayRef> {
    let (first, second) = (local(a, 0)?, local(a, 1)?);
    let round = if a.len() > 2 { Some(a.booleans(2)?) } else { None };
    a.out_doubles(|i| {
        let (x, y) = (first(i)?, second(i)?);
        let round = match &round {
            Some(round) => round.get(i)?,
            None => true,
        };
        let ((d1, t1), (d2, t2)) = (split(x), split(y));
        let ((y1, m1, day1), (y2, m2, day2)) = (civil(d1), civil(d2));
        let months = f64::from((y1 - y2) * 12 + m1 as i32 - m2 as i32);
        let last = |y, m, d| d == month_length(y, m);
        if day1 == day2 || (last(y1, m1, day1) && last(y2, m2, day2)) {
            return Some(months);
        }
        let seconds = i64::from(day1 as i32 - day2 as i32) * 86_400 + t1 / SECOND - t2 / SECOND;
        let difference = months + seconds as f64 / (31.0 * 86_400.0);
        Some(if round { (difference * 1e8).round() / 1e8 } else { difference })
    })
}

fn next_day(a: &Args) -> Result<ArrayRef> {
    let (d, name) = (a.dates(0)?, a.strings(1)?);
    a.try_out::<Date32Type>(|i| {
        let (Some(d), Some(name)) = (d.get(i), name.get(i)) else { return Ok(None) };
        let day = match name.to_uppercase().as_str() {
            "MO" | "MON" | "MONDAY" => 0,
            "TU" | "TUE" | "TUESDAY" => 1,
            "WE" | "WED" | "WEDNESDAY" => 2,
            "TH" | "THU" | "THURSDAY" => 3,
            "FR" | "FRI" | "FRIDAY" => 4,
            "SA" | "SAT" | "SATURDAY" => 5,
            "SU" | "SUN" | "SUNDAY" => 6,
            _ if !a.cx.ansi => return Ok(None),
            _ => {
                return Err(Error::compute(
                    "ILLEGAL_DAY_OF_WEEK",
                    "22009",
                    format!("Illegal input for day of week: {name}."),
                ));
            }
        };
        Ok(Some(d + 1 + (day - weekday(d) - 1).rem_euclid(7)))
    })
}

/// The zone of a time argument: none for TIMESTAMP_NTZ.
fn zone_of(a: &Args, index: usize) -> Result<Zone> {
    if a.types[index] == SqlType::TimestampNtz { Ok(Zone::Fixed(0)) } else { Zone::parse(&a.cx.time_zone) }
}

fn date_trunc(a: &Args) -> Result<ArrayRef> {
    let (unit, t) = (a.strings(0)?, a.timestamps(1)?);
    let zone = zone_of(a, 1)?;
    let constant = unit.constant().map(Unit::parse);
    a.out::<TimestampMicrosecondType>(|i| {
        let unit = match constant {
            Some(unit) => unit?,
            None => Unit::parse(unit.get(i)?)?,
        };
        let local = zone.to_local(t.get(i)?);
        let truncated = match unit.micros() {
            Some(micros) => local - local.rem_euclid(micros),
            None => i64::from(unit.truncate(split(local).0)) * DAY,
        };
        Some(zone.to_utc(truncated))
    })
}

fn unit_of(name: &str, function: &str) -> Result<Unit> {
    Unit::parse(name).ok_or_else(|| {
        Error::compute(
            "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
            "22023",
            format!(
                "The value of parameter(s) `unit` in `{function}` is invalid: expects one of the units without quotes \
                 YEAR, QUARTER, MONTH, WEEK, DAY, DAYOFYEAR, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND, but got \
                 '{name}'."
            ),
        )
    })
}

fn timestampadd(a: &Args) -> Result<ArrayRef> {
    let (unit, n, t) = (a.strings(0)?, a.longs(1)?, a.timestamps(2)?);
    let zone = zone_of(a, 2)?;
    a.try_out::<TimestampMicrosecondType>(|i| {
        let (Some(unit), Some(n), Some(t)) = (unit.get(i), n.get(i), t.get(i)) else { return Ok(None) };
        let unit = unit_of(unit, "timestampadd")?;
        let moved = match (unit.micros(), unit.months()) {
            (Some(micros), _) => n.checked_mul(micros).and_then(|m| t.checked_add(m)),
            (_, Some(months)) => {
                let (days, time) = split(zone.to_local(t));
                n.checked_mul(months).and_then(|m| add_months(days, m)).map(|d| zone.to_utc(i64::from(d) * DAY + time))
            }
            _ => {
                let days = if unit == Unit::Week { 7 } else { 1 };
                let local = zone.to_local(t);
                n.checked_mul(days * DAY).and_then(|m| local.checked_add(m)).map(|l| zone.to_utc(l))
            }
        };
        moved.map(Some).ok_or_else(|| {
            Error::compute("DATETIME_OVERFLOW", "22008", format!("Datetime operation overflow: add {n} to a time."))
        })
    })
}

fn timestampdiff(a: &Args) -> Result<ArrayRef> {
    let (unit, start, end) = (a.strings(0)?, a.timestamps(1)?, a.timestamps(2)?);
    let zone = zone_of(a, 1)?;
    a.try_out::<arrow::datatypes::Int64Type>(|i| {
        let (Some(unit), Some(start), Some(end)) = (unit.get(i), start.get(i), end.get(i)) else { return Ok(None) };
        let unit = unit_of(unit, "timestampdiff")?;
        if let Some(micros) = unit.micros() {
            return Ok(Some((end - start) / micros));
        }
        let (start, end) = (zone.to_local(start), zone.to_local(end));
        let Some(months) = unit.months() else {
            return Ok(Some((end - start) / (DAY * if unit == Unit::Week { 7 } else { 1 })));
        };
        let ((d1, t1), (d2, t2)) = (split(start), split(end));
        let ((y1, m1, day1), (y2, m2, day2)) = (civil(d1), civil(d2));
        let mut whole = i64::from((y2 - y1) * 12 + m2 as i32 - m1 as i32);
        // A month that has not passed yet does not count.
        if whole > 0 && (day2, t2) < (day1, t1) {
            whole -= 1;
        } else if whole < 0 && (day2, t2) > (day1, t1) {
            whole += 1;
        }
        Ok(Some(whole / months))
    })
}
