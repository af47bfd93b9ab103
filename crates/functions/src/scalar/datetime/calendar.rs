//! Calendar arithmetic on days since 1970-01-01 and microseconds.

/// Microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400 * SECOND;

/// Year, month and day of a day. (Years start in March here, so that leap days come last.)
pub(super) fn civil(days: i32) -> (i32, u32, u32) {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let doe = days.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, (doy - (153 * mp + 2) / 5 + 1) as u32)
}

/// The day of a date, whose day may be any number.
pub(super) fn days_of(year: i32, month: u32, day: i64) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let mp = (i64::from(month) + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Number of days of a month.
pub(super) fn month_length(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of a valid date of years 1 to 9999 or beyond; `None` if there is no such date.
pub(super) fn checked_days(year: i32, month: i32, day: i32) -> Option<i32> {
    let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m))?;
    let day = u32::try_from(day).ok().filter(|d| (1..=month_length(year, month)).contains(d))?;
    i32::try_from(days_of(year, month, i64::from(day))).ok()
}

/// The date `months` later; the last day of the month if it has no such day.
pub(super) fn add_months(days: i32, months: i64) -> Option<i32> {
    let (year, month, day) = civil(days);
    let total = i64::from(year) * 12 + i64::from(month) - 1 + months;
    let (year, month) = (i32::try_from(total.div_euclid(12)).ok()?, total.rem_euclid(12) as u32 + 1);
    i32::try_from(days_of(year, month, i64::from(day.min(month_length(year, month))))).ok()
}

/// Day of the week: 0 is Monday.
pub(super) fn weekday(days: i32) -> i32 {
    (i64::from(days) + 3).rem_euclid(7) as i32
}

/// Day of the year, from 1.
pub(super) fn day_of_year(days: i32) -> i32 {
    let (year, _, _) = civil(days);
    (i64::from(days) - days_of(year, 1, 1)) as i32 + 1
}

/// Year and week of ISO 8601: the week belongs to the year of its Thursday.
pub(super) fn iso_week(days: i32) -> (i32, i32) {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil(thursday);
    (year, (day_of_year(thursday) - 1) / 7 + 1)
}

/// Splits microseconds of a wall clock into the day and the microseconds in it.
pub(super) fn split(micros: i64) -> (i32, i64) {
    (micros.div_euclid(DAY) as i32, micros.rem_euclid(DAY))
}

/// A unit that dates and times are truncated to.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    /// The unit of a name of `trunc`, `date_trunc` or `timestampadd`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_uppercase().as_str() {
            "MICROSECOND" => Unit::Microsecond,
            "MILLISECOND" => Unit::Millisecond,
            "SECOND" => Unit::Second,
            "MINUTE" => Unit::Minute,
            "HOUR" => Unit::Hour,
            "DAY" | "DD" | "DAYOFYEAR" => Unit::Day,
            "WEEK" => Unit::Week,
            "MONTH" | "MM" | "MON" => Unit::Month,
            "QUARTER" => Unit::Quarter,
            "YEAR" | "YYYY" | "YY" => Unit::Year,
            "DECADE" => Unit::Decade,
            "CENTURY" => Unit::Century,
            "MILLENNIUM" => Unit::Millennium,
            _ => return None,
        })
    }

    /// Microseconds of the units that have a fixed length, days excluded.
    pub(super) fn micros(self) -> Option<i64> {
        Some(match self {
            Unit::Microsecond => 1,
            Unit::Millisecond => 1_000,
            Unit::Second => SECOND,
            Unit::Minute => 60 * SECOND,
            Unit::Hour => 3_600 * SECOND,
            _ => return None,
        })
    }

    /// Months of the units that consist of months.
    pub(super) fn months(self) -> Option<i64> {
        Some(match self {
            Unit::Month => 1,
            Unit::Quarter => 3,
            Unit::Year => 12,
            _ => return None,
        })
    }

    /// The first day of the unit that a day is in.
    pub(super) fn truncate(self, days: i32) -> i32 {
        let (year, month, _) = civil(days);
        let first = |year: i32, month: u32| days_of(year, month, 1) as i32;
        match self {
            Unit::Week => days - weekday(days),
            Unit::Month => first(year, month),
            Unit::Quarter => first(year, (month - 1) / 3 * 3 + 1),
            Unit::Year => first(year, 1),
            Unit::Decade => first(year.div_euclid(10) * 10, 1),
            Unit::Century => first((year - 1).div_euclid(100) * 100 + 1, 1),
            Unit::Millennium => first((year - 1).div_euclid(1000) * 1000 + 1, 1),
            _ => days,
        }
    }
}
