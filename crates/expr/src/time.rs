//! Calendar arithmetic: time zones, dates and months.

use chrono::{DateTime, Datelike, Days, FixedOffset, LocalResult, Months, NaiveDate, NaiveDateTime, Offset, TimeZone};
use firesteel_common::{Error, Result};

/// Microseconds of a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A time zone: a region or an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A region of the IANA database.
    Region(chrono_tz::Tz),
}

impl Zone {
    /// UTC.
    pub const UTC: Zone = Zone::Fixed(0);

    /// The zone of a name: `Europe/Paris`, `UTC`, `Z`, `+01:00`, `GMT+1`.
    ///
    /// Errors: `INVALID_TIMEZONE`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::try_parse(name)
            .ok_or_else(|| Error::compute("INVALID_TIMEZONE", "22009", format!("The timezone: {name} is invalid.")))
    }

    /// As [`Zone::parse`], without the making of an error.
    pub fn try_parse(name: &str) -> Option<Self> {
        let name = name.trim();
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        if offset.is_empty() {
            return (!name.is_empty()).then_some(Zone::UTC);
        }
        if offset.eq_ignore_ascii_case("z") {
            return Some(Zone::UTC);
        }
        if let Some(rest) = offset.strip_prefix(['+', '-']) {
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            return parse_offset(rest).map(|seconds| Zone::Fixed(sign * seconds));
        }
        name.parse().ok().map(Zone::Region)
    }

    /// Seconds east of UTC at an instant.
    fn offset_at(self, utc_micros: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => i64::from(seconds),
            Zone::Region(region) => match DateTime::from_timestamp_micros(utc_micros) {
                Some(time) => i64::from(region.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc()),
                None => 0,
            },
        }
    }

    /// The wall clock, in microseconds since 1970-01-01 00:00:00, at an instant.
    pub fn to_local(self, utc_micros: i64) -> i64 {
        utc_micros.saturating_add(self.offset_at(utc_micros) * MICROS_PER_SECOND)
    }

    /// The instant at which the wall clock shows `local_micros`. Where it shows it twice, the first;
    /// where it never does, the clock is read as if it had not been put forward.
    pub fn to_utc(self, local_micros: i64) -> i64 {
        let seconds = match self {
            Zone::Fixed(seconds) => i64::from(seconds),
            Zone::Region(region) => {
                let Some(local) = DateTime::from_timestamp_micros(local_micros) else { return local_micros };
                match region.offset_from_local_datetime(&local.naive_utc()) {
                    LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => {
                        i64::from(offset.fix().local_minus_utc())
                    }
                    LocalResult::None => self.offset_at(local_micros.saturating_sub(MICROS_PER_DAY)),
                }
            }
        };
        local_micros.saturating_sub(seconds * MICROS_PER_SECOND)
    }
}

/// Seconds of `h`, `hh`, `hhmm`, `h:mm` or `hh:mm:ss`, up to 18 hours.
fn parse_offset(text: &str) -> Option<i32> {
    let number = |part: &str| -> Option<i32> {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    let seconds = if text.len() == 4 && !text.contains(':') {
        number(text.get(..2)?)? * 3_600 + number(text.get(2..)?)? * 60
    } else {
        let mut parts = text.split(':');
        let hours = number(parts.next()?)?;
        let minutes = parts.next().map_or(Some(0), number)?;
        let seconds = parts.next().map_or(Some(0), number)?;
        if parts.next().is_some() || minutes > 59 || seconds > 59 {
            return None;
        }
        hours * 3_600 + minutes * 60 + seconds
    };
    (seconds <= 18 * 3_600 && FixedOffset::east_opt(seconds).is_some()).then_some(seconds)
}

/// The date of a number of days since 1970-01-01.
pub fn date_of(days: i32) -> Option<NaiveDate> {
    const EPOCH_FROM_CE: i32 = 719_163;
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_FROM_CE)?)
}

/// Days from 1970-01-01 to a date.
pub fn days_of(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - 719_163
}

/// The date and time of a wall clock in microseconds.
pub fn datetime_of(local_micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(local_micros).map(|time| time.naive_utc())
}

/// Microseconds of a date and time of a wall clock.
pub fn micros_of(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}

/// A date moved by months; the day is cut to the length of the month.
pub fn add_months(days: i32, months: i32) -> Option<i32> {
    shift_months(date_of(days)?, months).map(days_of)
}

fn shift_months(date: NaiveDate, months: i32) -> Option<NaiveDate> {
    let step = Months::new(months.unsigned_abs());
    if months < 0 { date.checked_sub_months(step) } else { date.checked_add_months(step) }
}

/// An instant moved by months of the calendar of a zone.
pub fn add_months_to_micros(micros: i64, months: i32, zone: Zone) -> Option<i64> {
    let local = datetime_of(zone.to_local(micros))?;
    let date = shift_months(local.date(), months)?;
    Some(zone.to_utc(micros_of(date.and_time(local.time()))))
}

/// An instant moved by a day-time interval: its days are days of the calendar of a zone.
pub fn add_day_time_to_micros(micros: i64, interval: i64, zone: Zone) -> Option<i64> {
    let (days, rest) = (interval / MICROS_PER_DAY, interval % MICROS_PER_DAY);
    if days == 0 || matches!(zone, Zone::Fixed(_)) {
        return micros.checked_add(interval);
    }
    let local = datetime_of(zone.to_local(micros))?;
    let step = Days::new(days.unsigned_abs());
    let moved = if days < 0 { local.checked_sub_days(step) } else { local.checked_add_days(step) }?;
    zone.to_utc(micros_of(moved)).checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_cut_to_their_length() {
        let day = |y, m, d| days_of(NaiveDate::from_ymd_opt(y, m, d).unwrap());
        assert_eq!(add_months(day(2020, 1, 31), 1), Some(day(2020, 2, 29)));
        assert_eq!(add_months(day(2020, 3, 31), -1), Some(day(2020, 2, 29)));
    }

    #[test]
    fn zones_parse() {
        assert_eq!(Zone::try_parse("UTC"), Some(Zone::UTC));
        assert_eq!(Zone::try_parse("GMT+1"), Some(Zone::Fixed(3_600)));
        assert_eq!(Zone::try_parse("-08:30"), Some(Zone::Fixed(-30_600)));
        assert!(matches!(Zone::try_parse("Europe/Paris"), Some(Zone::Region(_))));
        assert_eq!(Zone::try_parse("Nowhere"), None);
        assert_eq!(Zone::try_parse(""), None);
    }

    #[test]
    fn a_time_in_the_gap_keeps_the_offset_before_it() {
        let paris = Zone::parse("Europe/Paris").unwrap();
        let local = micros_of(NaiveDate::from_ymd_opt(2024, 3, 31).unwrap().and_hms_opt(2, 30, 0).unwrap());
        assert_eq!(paris.to_utc(local), local - 3_600 * MICROS_PER_SECOND);
        assert_eq!(paris.to_local(paris.to_utc(local)), local + 3_600 * MICROS_PER_SECOND);
    }
}
