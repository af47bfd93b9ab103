//! String functions. Positions and lengths count characters, from 1.

mod basic;
mod charset;
mod digest;
mod encode;
mod format;
mod pattern;
mod search;
mod url;

use arrow::array::ArrayRef;
use firesteel_common::Result;

use super::{Args, Function, Sig, function};

pub(super) const TABLES: &[&[Function]] = &[
    basic::FUNCTIONS,
    search::FUNCTIONS,
    encode::FUNCTIONS,
    pattern::FUNCTIONS,
    digest::FUNCTIONS,
    format::FUNCTIONS,
    url::FUNCTIONS,
];

/// A function of the category `string`.
const fn string(
    names: (&'static str, &'static [&'static str]),
    syntax: &'static str,
    description: &'static str,
    examples: &'static [(&'static str, &'static str)],
    sig: Sig,
    run: fn(&Args) -> Result<ArrayRef>,
) -> Function {
    function("string", names, syntax, description, examples, sig, run)
}

/// The byte range of characters `start..end` (from 0).
fn char_range(s: &str, start: usize, end: usize) -> &str {
    if end <= start {
        return "";
    }
    if s.is_ascii() {
        return &s[start.min(s.len())..end.min(s.len())];
    }
    let mut offsets = s.char_indices().map(|(offset, _)| offset).skip(start);
    let Some(from) = offsets.next() else { return "" };
    let to = offsets.nth(end - start - 1).unwrap_or(s.len());
    &s[from..to]
}

/// `substring(s, pos, len)`: position 0 is the first character, a negative one counts from the end.
fn substring(s: &str, pos: i64, len: i64) -> &str {
    if len <= 0 {
        return "";
    }
    let start = match pos {
        1.. => pos - 1,
        0 => 0,
        _ => pos + char_count(s) as i64,
    };
    let end = start.saturating_add(len);
    char_range(s, start.max(0) as usize, end.max(0) as usize)
}

fn char_count(s: &str) -> usize {
    if s.is_ascii() { s.len() } else { s.chars().count() }
}
