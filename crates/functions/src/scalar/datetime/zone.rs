//! Time zones: between instants and wall clocks.

use chrono::{DateTime, MappedLocalTime, Offset, TimeZone};
use chrono_tz::Tz;
use firesteel_common::{Error, Result};

use super::calendar::SECOND;

/// A time zone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    /// A zone of the IANA data base.
    Named(Tz),
}

impl Zone {
    /// The zone of an IANA name or an offset such as `+02:00` or `UTC+2`.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let text = name.trim();
        if text.eq_ignore_ascii_case("Z") {
            return Ok(Zone::Fixed(0));
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if offset.is_empty() {
            return Ok(Zone::Fixed(0));
        }
        if let Some(seconds) = parse_offset(offset) {
            return Ok(Zone::Fixed(seconds));
        }
        text.parse().map(Zone::Named).map_err(|_| {
            Error::compute("INVALID_TIMEZONE", "22009", format!("The timezone: {name} is invalid."))
                .with_hint("The timezone must be either a region-based zone ID or a zone offset.")
        })
    }

    /// Seconds that the wall clock is ahead of UTC at an instant.
    pub(super) fn offset(self, micros: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(tz) => DateTime::from_timestamp(micros.div_euclid(SECOND), 0)
                .map_or(0, |time| i64::from(tz.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())),
        }
    }

    /// The wall clock of an instant.
    pub(super) fn to_local(self, micros: i64) -> i64 {
        micros.saturating_add(self.offset(micros) * SECOND)
    }

    /// The instant of a wall clock: the earlier of two; one in a gap is moved by the gap's length.
    pub(super) fn to_utc(self, local: i64) -> i64 {
        let offset = match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(tz) => {
                let Some(time) = DateTime::from_timestamp(local.div_euclid(SECOND), 0) else { return local };
                match tz.offset_from_local_datetime(&time.naive_utc()) {
                    MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => {
                        i64::from(offset.fix().local_minus_utc())
                    }
                    // Before a gap the old offset holds, which moves the clock over it.
                    MappedLocalTime::None => self.offset(local.saturating_sub(86_400 * SECOND)),
                }
            }
        };
        local.saturating_sub(offset * SECOND)
    }
}

fn parse_offset(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut seconds = 0;
    let mut unit = 3_600;
    for part in text[1..].split(':') {
        if unit == 0 || part.is_empty() || part.len() > 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        seconds += part.parse::<i64>().ok()? * unit;
        unit /= 60;
    }
    (seconds <= 18 * 3_600).then_some(sign * seconds)
}
