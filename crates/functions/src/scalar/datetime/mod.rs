//! Dates and times.
//!
//! A TIMESTAMP is an instant; its fields are those of the session time zone. Calendar arithmetic is
//! the proleptic Gregorian one, on integers ([`calendar`]).

mod calendar;
mod convert;
mod dates;
mod fields;
mod pattern;
mod zone;

use super::Function;

pub(super) const TABLES: &[&[Function]] = &[fields::FUNCTIONS, dates::FUNCTIONS, convert::FUNCTIONS];

/// The category of the functions here.
const CATEGORY: &str = "datetime";

/// Whether a text names a time zone.
pub(super) fn is_time_zone(name: &str) -> bool {
    zone::Zone::parse(name).is_ok()
}
