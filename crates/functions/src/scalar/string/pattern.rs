//! Regular expressions. A constant pattern is compiled once per batch.
//!
//! The syntax is Java's as far as Rust's `regex` has it, which has no look-around and no back-references; it takes time
//! linear in the input whatever the pattern.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use firesteel_common::SqlType::{Int, String as Str};
use firesteel_common::{Error, ErrorKind, Result};
use firesteel_expr::kernels::java_regex::translate;
use regex::Regex;

use crate::scalar::{Args, Function, Sig, function};

const CATEGORY: &str = "string";

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("regexp_replace", &[]),
        "regexp_replace(str, regexp, rep[, position])",
        "Replaces all parts of the string that match, from a position on; `$1` in `rep` is a group.",
        &[(r"SELECT regexp_replace('100-200', r'(\d+)', 'num')", "num-num")],
        Sig::Fixed(&[Str, Str, Str, Int], 3, &Str),
        regexp_replace,
    )
    .not_null(),
    function(
        CATEGORY,
        ("regexp_extract", &[]),
        "regexp_extract(str, regexp[, idx])",
        "Returns group `idx` (1) of the first match, '' if there is none.",
        &[(r"SELECT regexp_extract('100-200', r'(\d+)-(\d+)', 1)", "100")],
        Sig::Fixed(&[Str, Str, Int], 2, &Str),
        regexp_extract,
    )
    .not_null(),
    function(
        CATEGORY,
        ("regexp_count", &[]),
        "regexp_count(str, regexp)",
        "Returns how many times the pattern matches.",
        &[("SELECT regexp_count('Steven Jones and Stephen Smith are the best players', 'Ste(v|ph)en')", "2")],
        Sig::Fixed(&[Str, Str], 2, &Int),
        |a| {
            let (s, patterns) = (a.strings(0)?, a.strings(1)?);
            let mut cache = Cache::default();
            a.try_out::<arrow::datatypes::Int32Type>(|i| {
                let (Some(s), Some(p)) = (s.get(i), patterns.get(i)) else { return Ok(None) };
                Ok(Some(cache.get("regexp_count", p)?.find_iter(s).count() as i32))
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("regexp_substr", &[]),
        "regexp_substr(str, regexp)",
        "Returns the first part of the string that matches, NULL if there is none.",
        &[("SELECT regexp_substr('Steven Jones and Stephen Smith are the best players', 'Ste(v|ph)en')", "Steven")],
        Sig::Fixed(&[Str, Str], 2, &Str),
        |a| {
            let (s, patterns) = (a.strings(0)?, a.strings(1)?);
            let mut cache = Cache::default();
            a.try_strings(|i| {
                let (Some(s), Some(p)) = (s.get(i), patterns.get(i)) else { return Ok(None) };
                Ok(cache.get("regexp_substr", p)?.find(s).map(|m| m.as_str()))
            })
        },
    ),
    function(
        CATEGORY,
        ("regexp_instr", &[]),
        "regexp_instr(str, regexp)",
        "Returns the position (from 1) of the first match, or 0.",
        &[(r"SELECT regexp_instr('user@spark.apache.org', '@[^.]*')", "5")],
        Sig::Fixed(&[Str, Str, Int], 2, &Int),
        |a| {
            let (s, patterns) = (a.strings(0)?, a.strings(1)?);
            let mut cache = Cache::default();
            a.try_out::<arrow::datatypes::Int32Type>(|i| {
                let (Some(s), Some(p)) = (s.get(i), patterns.get(i)) else { return Ok(None) };
                let found = cache.get("regexp_instr", p)?.find(s);
                Ok(Some(found.map_or(0, |m| super::char_count(&s[..m.start()]) as i32 + 1)))
            })
        },
    )
    .not_null(),
];

/// Compiled patterns of one batch.
#[derive(Default)]
struct Cache {
    last: Option<(String, Arc<Regex>)>,
    all: HashMap<String, Arc<Regex>>,
}

impl Cache {
    fn get(&mut self, function: &str, pattern: &str) -> Result<Arc<Regex>> {
        if let Some((last, regex)) = &self.last
            && last == pattern
        {
            return Ok(regex.clone());
        }
        let regex = match self.all.get(pattern) {
            Some(regex) => regex.clone(),
            None => Arc::new(Regex::new(&translate(pattern)).map_err(|e| invalid(function, pattern, e))?),
        };
        self.all.insert(pattern.to_owned(), regex.clone());
        self.last = Some((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }
}

fn invalid(function: &str, pattern: &str, error: regex::Error) -> Error {
    Error::new(
        ErrorKind::Compute,
        "INVALID_PARAMETER_VALUE.PATTERN",
        "22023",
        format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'."),
    )
    .with_source(error)
}

/// Java's replacement text in Rust's syntax: `$1` is a group, a backslash escapes.
fn replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' if chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("${");
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    out.push(digit);
                }
                out.push('}');
            }
            other => out.push(other),
        }
    }
    out
}

fn regexp_replace(a: &Args) -> Result<ArrayRef> {
    let (s, patterns, by) = (a.strings(0)?, a.strings(1)?, a.strings(2)?);
    let from = if a.len() > 3 { Some(a.ints(3)?) } else { None };
    let mut cache = Cache::default();
    let constant = by.constant().map(replacement);
    a.try_strings(|i| {
        let (Some(s), Some(p), Some(by)) = (s.get(i), patterns.get(i), by.get(i)) else { return Ok(None) };
        let from = match &from {
            Some(from) => match from.get(i) {
                Some(from) => from.max(1) as usize - 1,
                None => return Ok(None),
            },
            None => 0,
        };
        let regex = cache.get("regexp_replace", p)?;
        let tail = super::char_range(s, from, usize::MAX);
        let head = &s[..s.len() - tail.len()];
        let own;
        let by = match &constant {
            Some(by) => by,
            None => {
                own = replacement(by);
                &own
            }
        };
        Ok(Some(format!("{head}{}", regex.replace_all(tail, by.as_str()))))
    })
}

fn regexp_extract(a: &Args) -> Result<ArrayRef> {
    let (s, patterns) = (a.strings(0)?, a.strings(1)?);
    let group = if a.len() > 2 { Some(a.ints(2)?) } else { None };
    let mut cache = Cache::default();
    a.try_strings(|i| {
        let (Some(s), Some(p)) = (s.get(i), patterns.get(i)) else { return Ok(None) };
        let group = match &group {
            Some(group) => match group.get(i) {
                Some(group) => group,
                None => return Ok(None),
            },
            None => 1,
        };
        let regex = cache.get("regexp_extract", p)?;
        let groups = regex.captures_len() as i32 - 1;
        if group < 0 || group > groups {
            return Err(Error::compute(
                "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
                "22023",
                format!(
                    "The value of parameter(s) `idx` in `regexp_extract` is invalid: Expects group index between 0 and \
                     {groups}, but got {group}."
                ),
            ));
        }
        let found = regex.captures(s).and_then(|c| c.get(group as usize));
        Ok(Some(found.map_or("", |m| m.as_str())))
    })
}
