//! Date patterns of Java's `DateTimeFormatter`, as far as Spark documents them: `yyyy-MM-dd HH:mm:ss.SSS`,
//! `E`, `a`, `D`, `Q`, zone offsets, quoted text, and optional parts in brackets.

use firesteel_common::{Error, Result};

use super::calendar::{DAY, SECOND, checked_days, civil, day_of_year, days_of, split, weekday};
use super::zone::Zone;

/// Days of the week from Monday.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[derive(Clone, Debug, PartialEq)]
enum Item {
    /// A letter and how often it stands there.
    Field(char, usize),
    Text(String),
    /// Start of an optional part, which ends at the item of the given index.
    Optional(usize),
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    items: Vec<Item>,
}

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn new(text: &str) -> Result<Self> {
        let invalid = || {
            Error::compute(
                "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
                "22007",
                format!("Unrecognized datetime pattern: {text}. Illegal pattern character found in datetime pattern."),
            )
        };
        let (mut items, mut open) = (Vec::new(), Vec::new());
        let mut chars = text.chars().peekable();
        let push_text = |items: &mut Vec<Item>, c: char| match items.last_mut() {
            Some(Item::Text(text)) => text.push(c),
            _ => items.push(Item::Text(c.to_string())),
        };
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => push_text(&mut items, '\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => push_text(&mut items, '\''),
                        Some('\'') => break,
                        Some(c) => push_text(&mut items, c),
                        None => return Err(invalid()),
                    }
                },
                '[' => {
                    open.push(items.len());
                    items.push(Item::Optional(0));
                }
                ']' => {
                    let start = open.pop().ok_or_else(invalid)?;
                    items[start] = Item::Optional(items.len());
                }
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !"GyuMLdDEaHhKkmsSQqXxZzVO".contains(c) {
                        return Err(invalid());
                    }
                    items.push(Item::Field(c, count));
                }
                c => push_text(&mut items, c),
            }
        }
        if open.is_empty() { Ok(Self { items }) } else { Err(invalid()) }
    }

    /// The text of a wall clock; `offset` and `zone` are those of its time zone.
    pub(super) fn format(&self, local: i64, offset: i64, zone: &str) -> String {
        let (days, micros) = split(local);
        let (year, month, day) = civil(days);
        let hour = micros / (3_600 * SECOND);
        let mut out = String::new();
        for item in &self.items {
            let (field, count) = match item {
                Item::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Item::Optional(_) => continue,
                Item::Field(field, count) => (*field, *count),
            };
            let number = match field {
                'G' => {
                    out.push_str(if year > 0 { "AD" } else { "BC" });
                    continue;
                }
                'y' | 'u' if count == 2 => i64::from(year.rem_euclid(100)),
                'y' | 'u' => i64::from(year),
                'M' | 'L' if count >= 3 => {
                    out.push_str(name(MONTHS[month as usize - 1], count));
                    continue;
                }
                'M' | 'L' => i64::from(month),
                'd' => i64::from(day),
                'D' => i64::from(day_of_year(days)),
                'Q' | 'q' if count == 3 => {
                    out.push_str(&format!("Q{}", month.div_ceil(3)));
                    continue;
                }
                'Q' | 'q' if count >= 4 => {
                    out.push_str(
                        ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][(month as usize - 1) / 3],
                    );
                    continue;
                }
                'Q' | 'q' => i64::from(month.div_ceil(3)),
                'E' => {
                    out.push_str(name(DAYS[weekday(days) as usize], count));
                    continue;
                }
                'a' => {
                    out.push_str(if hour < 12 { "AM" } else { "PM" });
                    continue;
                }
                'H' => hour,
                'k' => (hour + 23) % 24 + 1,
                'h' => (hour + 11) % 12 + 1,
                'K' => hour % 12,
                'm' => micros / (60 * SECOND) % 60,
                's' => micros / SECOND % 60,
                'S' => {
                    let digits = format!("{:06}000", micros % SECOND);
                    out.push_str(&digits[..count.min(9)]);
                    continue;
                }
                'z' | 'V' => {
                    out.push_str(zone);
                    continue;
                }
                _ => {
                    out.push_str(&offset_text(field, count, offset));
                    continue;
                }
            };
            let sign = if number < 0 { "-" } else { "" };
            out.push_str(&format!("{sign}{:0>count$}", number.unsigned_abs()));
        }
        out
    }

    /// The instant (of `zone`, unless the text has an offset) that a text denotes.
    pub(super) fn parse(&self, text: &str, zone: Zone) -> Option<i64> {
        let mut parsed = Parsed::default();
        let rest = self.parse_items(0, self.items.len(), text, &mut parsed)?;
        if rest.is_empty() { parsed.instant(zone) } else { None }
    }

    fn parse_items<'a>(&self, from: usize, to: usize, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
        let (mut at, mut rest) = (from, text);
        while at < to {
            match &self.items[at] {
                Item::Text(expected) => rest = rest.strip_prefix(expected.as_str())?,
                Item::Optional(end) => {
                    let mut attempt = parsed.clone();
                    if let Some(after) = self.parse_items(at + 1, *end, rest, &mut attempt) {
                        *parsed = attempt;
                        rest = after;
                    }
                    at = *end;
                    continue;
                }
                Item::Field(field, count) => {
                    let next_is_number =
                        matches!(self.items.get(at + 1), Some(Item::Field(f, _)) if !"aEGzVXxZO".contains(*f));
                    rest = parsed.field(*field, *count, next_is_number, rest)?;
                }
            }
            at += 1;
        }
        Some(rest)
    }
}

fn name(full: &str, count: usize) -> &str {
    if count >= 4 { full } else { &full[..3] }
}

fn offset_text(field: char, count: usize, offset: i64) -> String {
    if offset == 0 && field == 'X' {
        return "Z".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3_600, offset.abs() / 60 % 60);
    match (field, count) {
        ('O', _) if offset == 0 => "GMT".to_owned(),
        ('O', 1) if minutes == 0 => format!("GMT{sign}{hours}"),
        ('O', 1) => format!("GMT{sign}{hours}:{minutes:02}"),
        ('O', _) | ('Z', 4) => format!("GMT{sign}{hours:02}:{minutes:02}"),
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 3 | 5) | ('Z', 5) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// What has been read of a text.
#[derive(Clone, Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    hour12: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

impl Parsed {
    fn field<'a>(&mut self, field: char, count: usize, next_is_number: bool, text: &'a str) -> Option<&'a str> {
        let named = |names: &[&str]| {
            let index = names.iter().position(|n| {
                let n = name(n, count);
                text.get(..n.len()).is_some_and(|t| t.eq_ignore_ascii_case(n))
            })?;
            Some((index, &text[name(names[index], count).len()..]))
        };
        match field {
            'M' | 'L' if count >= 3 => {
                let (index, rest) = named(&MONTHS)?;
                self.month = Some(index as i64 + 1);
                return Some(rest);
            }
            'E' => return named(&DAYS).map(|(_, rest)| rest),
            'a' => {
                let half = text.get(..2)?.to_uppercase();
                self.afternoon = half == "PM";
                return (half == "AM" || half == "PM").then(|| &text[2..]);
            }
            'G' => return text.strip_prefix("AD"),
            'z' | 'V' | 'X' | 'x' | 'Z' | 'O' => {
                let end = text.find(|c: char| c.is_whitespace() || c == ']').unwrap_or(text.len());
                self.zone = Some(Zone::parse(&with_colon(&text[..end])).ok()?);
                return Some(&text[end..]);
            }
            _ => {}
        }
        let most = if next_is_number || (count >= 2 && !"yu".contains(field)) { count } else { 19.min(count.max(10)) };
        let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (count > 1 && digits < count) {
            return None;
        }
        let number: i64 = text[..digits].parse().ok()?;
        match field {
            'y' | 'u' if count == 2 => self.year = Some(2000 + number),
            'y' | 'u' => self.year = Some(number),
            'M' | 'L' => self.month = Some(number),
            'd' => self.day = Some(number),
            'D' => self.day_of_year = Some(number),
            'H' if number < 24 => self.hour = Some(number),
            'k' if (1..=24).contains(&number) => self.hour = Some(number % 24),
            'h' if (1..=12).contains(&number) => self.hour12 = Some(number % 12),
            'K' if number < 12 => self.hour12 = Some(number),
            'm' if number < 60 => self.minute = number,
            's' if number < 60 => self.second = number,
            'S' => self.micros = format!("{:0<6}", &text[..digits])[..6].parse().ok()?,
            'Q' | 'q' => self.month = self.month.or(Some(number * 3 - 2)),
            _ => return None,
        }
        Some(&text[digits..])
    }

    fn instant(&self, zone: Zone) -> Option<i64> {
        let year = i32::try_from(self.year.unwrap_or(1970)).ok()?;
        let days = match self.day_of_year {
            Some(day) if self.month.is_none() => i32::try_from(days_of(year, 1, day)).ok()?,
            _ => checked_days(year, self.month.unwrap_or(1) as i32, self.day.unwrap_or(1) as i32)?,
        };
        let hour = self.hour.or(self.hour12.map(|h| h + if self.afternoon { 12 } else { 0 })).unwrap_or(0);
        let time = (hour * 3_600 + self.minute * 60 + self.second) * SECOND + self.micros;
        Some(self.zone.unwrap_or(zone).to_utc(i64::from(days) * DAY + time))
    }
}

/// `+0200` as `+02:00`, which zones are written with.
fn with_colon(text: &str) -> String {
    match text.as_bytes() {
        [b'+' | b'-', digits @ ..] if digits.len() == 4 && digits.iter().all(u8::is_ascii_digit) => {
            format!("{}:{}", &text[..3], &text[3..])
        }
        _ => text.to_owned(),
    }
}
