//! Searching, replacing and splitting.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use firesteel_common::SqlType::{Boolean, Int, String as Str};
use firesteel_common::{Error, Result};

use super::{char_count, char_range, string};
use crate::scalar::{Args, Function, Sig};

const SS_B: Sig = Sig::Fixed(&[Str, Str], 2, &Boolean);
const SSS_S: Sig = Sig::Fixed(&[Str, Str, Str], 3, &Str);

pub(super) const FUNCTIONS: &[Function] = &[
    string(
        ("startswith", &[]),
        "startswith(left, right)",
        "Returns whether the string starts with another.",
        &[("SELECT startswith('Spark SQL', 'Spark')", "true"), ("SELECT startswith('Spark SQL', 'SQL')", "false")],
        SS_B,
        |a| test(a, |s, t| s.as_bytes().starts_with(t.as_bytes())),
    )
    .total(),
    string(
        ("endswith", &[]),
        "endswith(left, right)",
        "Returns whether the string ends with another.",
        &[("SELECT endswith('Spark SQL', 'SQL')", "true")],
        SS_B,
        |a| test(a, |s, t| s.as_bytes().ends_with(t.as_bytes())),
    )
    .total(),
    string(
        ("contains", &[]),
        "contains(left, right)",
        "Returns whether the string contains another.",
        &[("SELECT contains('Spark SQL', 'Spark')", "true"), ("SELECT contains('Spark SQL', 'SPARK')", "false")],
        SS_B,
        |a| test(a, |s, t| s.contains(t)),
    )
    .total(),
    string(
        ("instr", &[]),
        "instr(str, substr)",
        "Returns the position (from 1) of the first occurrence of `substr` in `str`, or 0.",
        &[("SELECT instr('SparkSQL', 'SQL')", "6")],
        Sig::Fixed(&[Str, Str], 2, &Int),
        |a| {
            let (s, t) = (a.strings(0)?, a.strings(1)?);
            a.out_ints(|i| Some(position(s.get(i)?, t.get(i)?, 1)))
        },
    )
    .total(),
    string(
        ("locate", &["position"]),
        "locate(substr, str[, pos])",
        "Returns the position (from 1) of the first occurrence of `substr` in `str` from `pos` on, or 0.",
        &[
            ("SELECT locate('bar', 'foobarbar')", "4"),
            ("SELECT locate('bar', 'foobarbar', 5)", "7"),
            ("SELECT position('bar', 'foobarbar')", "4"),
        ],
        Sig::Fixed(&[Str, Str, Int], 2, &Int),
        |a| locate(a, 0, 1),
    )
    .total(),
    string(
        ("charindex", &[]),
        "charindex(substr, str[, pos])",
        "Returns the position (from 1) of the first occurrence of `substr` in `str` from `pos` on, or 0.",
        &[("SELECT charindex('bar', 'foobarbar')", "4")],
        Sig::Fixed(&[Str, Str, Int], 2, &Int),
        |a| locate(a, 0, 1),
    )
    .total(),
    string(
        ("replace", &[]),
        "replace(str, search[, replace])",
        "Replaces all occurrences of `search` with `replace`, or removes them.",
        &[("SELECT replace('ABCabc', 'abc', 'DEF')", "ABCDEF")],
        Sig::Fixed(&[Str, Str, Str], 2, &Str),
        |a| {
            let (s, from) = (a.strings(0)?, a.strings(1)?);
            let to = if a.len() > 2 { Some(a.strings(2)?) } else { None };
            a.out_strings(|i| {
                let (s, from) = (s.get(i)?, from.get(i)?);
                let to = match &to {
                    Some(to) => to.get(i)?,
                    None => "",
                };
                Some(if from.is_empty() { s.to_owned() } else { s.replace(from, to) })
            })
        },
    )
    .total(),
    string(
        ("translate", &[]),
        "translate(input, from, to)",
        "Replaces the characters in `from` with those in `to` at the same place; the others are removed.",
        &[("SELECT translate('AaBbCc', 'abc', '123')", "A1B2C3")],
        SSS_S,
        translate,
    )
    .total(),
    string(
        ("split_part", &[]),
        "split_part(str, delimiter, partNum)",
        "Splits the string and returns part `partNum` (from 1, or from the end if negative), '' beyond it.",
        &[("SELECT split_part('11.12.13', '.', 3)", "13"), ("SELECT split_part('11.12.13', '.', -1)", "13")],
        Sig::Fixed(&[Str, Str, Int], 3, &Str),
        split_part,
    )
    .not_null(),
    string(
        ("substring_index", &[]),
        "substring_index(str, delim, count)",
        "Returns what is before `count` occurrences of `delim`, or after them from the end if negative.",
        &[
            ("SELECT substring_index('www.apache.org', '.', 2)", "www.apache"),
            ("SELECT substring_index('www.apache.org', '.', -2)", "apache.org"),
        ],
        Sig::Fixed(&[Str, Str, Int], 3, &Str),
        |a| {
            let (s, delimiter, count) = (a.strings(0)?, a.strings(1)?, a.ints(2)?);
            a.out_strings(|i| Some(substring_index(s.get(i)?, delimiter.get(i)?, count.get(i)?)))
        },
    )
    .total(),
    string(
        ("find_in_set", &[]),
        "find_in_set(str, str_array)",
        "Returns the position (from 1) of a string in a comma-separated list, or 0.",
        &[("SELECT find_in_set('ab','abc,b,ab,c,def')", "3")],
        Sig::Fixed(&[Str, Str], 2, &Int),
        |a| {
            let (s, list) = (a.strings(0)?, a.strings(1)?);
            a.out_ints(|i| {
                let (s, list) = (s.get(i)?, list.get(i)?);
                Some(list.split(',').position(|part| part == s).map_or(0, |p| p as i32 + 1))
            })
        },
    )
    .total(),
    string(
        ("overlay", &[]),
        "overlay(input, replace, pos[, len])",
        "Replaces `len` characters (as many as `replace` has) from `pos` on with `replace`.",
        &[
            ("SELECT overlay('Spark SQL', '_', 6)", "Spark_SQL"),
            ("SELECT overlay('Spark SQL', 'CORE', 7)", "Spark CORE"),
            ("SELECT overlay('Spark SQL', 'ANSI ', 7, 0)", "Spark ANSI SQL"),
        ],
        Sig::Fixed(&[Str, Str, Int, Int], 3, &Str),
        |a| {
            let (s, by, pos) = (a.strings(0)?, a.strings(1)?, a.ints(2)?);
            let len = if a.len() > 3 { Some(a.ints(3)?) } else { None };
            a.out_strings(|i| {
                let (s, by, pos) = (s.get(i)?, by.get(i)?, i64::from(pos.get(i)?));
                let len = match &len {
                    Some(len) => i64::from(len.get(i)?),
                    None => -1,
                };
                let len = if len >= 0 { len } else { char_count(by) as i64 };
                let head = super::substring(s, 1, pos - 1);
                let tail = super::substring(s, pos.saturating_add(len), i64::from(i32::MAX));
                Some(format!("{head}{by}{tail}"))
            })
        },
    )
    .total(),
    string(
        ("levenshtein", &[]),
        "levenshtein(str1, str2[, threshold])",
        "Returns the edit distance of two strings, or -1 if it is over the threshold.",
        &[("SELECT levenshtein('kitten', 'sitting')", "3"), ("SELECT levenshtein('kitten', 'sitting', 2)", "-1")],
        Sig::Fixed(&[Str, Str, Int], 2, &Int),
        |a| {
            let (s, t) = (a.strings(0)?, a.strings(1)?);
            let limit = if a.len() > 2 { Some(a.ints(2)?) } else { None };
            a.out_ints(|i| {
                let distance = levenshtein(s.get(i)?, t.get(i)?);
                let limit = match &limit {
                    Some(limit) => limit.get(i)?,
                    None => i32::MAX,
                };
                Some(if distance > limit { -1 } else { distance })
            })
        },
    )
    .total(),
    string(
        ("soundex", &[]),
        "soundex(str)",
        "Returns the Soundex code of the string.",
        &[("SELECT soundex('Miller')", "M460")],
        Sig::Fixed(&[Str], 1, &Str),
        |a| {
            let s = a.strings(0)?;
            a.out_strings(|i| s.get(i).map(soundex))
        },
    )
    .total(),
    string(
        ("luhn_check", &[]),
        "luhn_check(str)",
        "Returns whether a string of digits is valid by the Luhn algorithm.",
        &[("SELECT luhn_check('79927398713')", "true"), ("SELECT luhn_check('79927398714')", "false")],
        Sig::Fixed(&[Str], 1, &Boolean),
        |a| {
            let s = a.strings(0)?;
            a.out_booleans(|i| s.get(i).map(luhn))
        },
    )
    .total(),
    string(
        ("mask", &[]),
        "mask(input[, upperChar, lowerChar, digitChar, otherChar])",
        "Replaces upper case letters, lower case letters, digits and, if given, others; NULL keeps a class.",
        &[
            ("SELECT mask('abcd-EFGH-8765-4321')", "xxxx-XXXX-nnnn-nnnn"),
            ("SELECT mask('AbCD123-@$#', 'Q', 'q', 'd', 'o')", "QqQQdddoooo"),
        ],
        Sig::Fixed(&[Str, Str, Str, Str, Str], 1, &Str),
        mask,
    )
    .handles_null()
    .infallible(),
];

fn test(a: &Args, f: impl Fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (s, t) = (a.strings(0)?, a.strings(1)?);
    a.out_booleans(|i| Some(f(s.get(i)?, t.get(i)?)))
}

/// Position of `t` in `s` from character `from` (1 is the first) on.
fn position(s: &str, t: &str, from: i32) -> i32 {
    if from < 1 {
        return 0;
    }
    let skipped = from as usize - 1;
    if t.is_empty() {
        return 1;
    }
    let tail = char_range(s, skipped, usize::MAX);
    tail.find(t).map_or(0, |offset| (skipped + char_count(&tail[..offset])) as i32 + 1)
}

fn locate(a: &Args, sub: usize, str: usize) -> Result<ArrayRef> {
    let (t, s) = (a.strings(sub)?, a.strings(str)?);
    let from = if a.len() > 2 { Some(a.ints(2)?) } else { None };
    a.out_ints(|i| {
        let from = match &from {
            Some(from) => from.get(i)?,
            None => 1,
        };
        Some(position(s.get(i)?, t.get(i)?, from))
    })
}

fn translate(a: &Args) -> Result<ArrayRef> {
    fn table(from: &str, to: &str) -> HashMap<char, Option<char>> {
        let mut to = to.chars();
        let mut table = HashMap::new();
        for c in from.chars() {
            let target = to.next();
            table.entry(c).or_insert(target);
        }
        table
    }
    let (s, from, to) = (a.strings(0)?, a.strings(1)?, a.strings(2)?);
    let prepared = from.constant().zip(to.constant()).map(|(from, to)| table(from, to));
    a.out_strings(|i| {
        let own;
        let table = match &prepared {
            Some(table) => table,
            None => {
                own = table(from.get(i)?, to.get(i)?);
                &own
            }
        };
        Some(s.get(i)?.chars().filter_map(|c| table.get(&c).copied().unwrap_or(Some(c))).collect::<String>())
    })
}

fn split_part(a: &Args) -> Result<ArrayRef> {
    let (s, delimiter, part) = (a.strings(0)?, a.strings(1)?, a.ints(2)?);
    a.try_strings(|i| {
        let (Some(s), Some(delimiter), Some(part)) = (s.get(i), delimiter.get(i), part.get(i)) else { return Ok(None) };
        if part == 0 {
            return Err(Error::compute(
                "INVALID_INDEX_OF_ZERO",
                "22003",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            ));
        }
        let nth = part.unsigned_abs() as usize - 1;
        Ok(Some(match (delimiter.is_empty(), part > 0) {
            (true, _) => {
                if nth == 0 {
                    s
                } else {
                    ""
                }
            }
            (false, true) => s.split(delimiter).nth(nth).unwrap_or(""),
            (false, false) => s.rsplit(delimiter).nth(nth).unwrap_or(""),
        }))
    })
}

fn substring_index<'a>(s: &'a str, delimiter: &str, count: i32) -> &'a str {
    if count == 0 || delimiter.is_empty() {
        return "";
    }
    let nth = count.unsigned_abs() as usize - 1;
    if count > 0 {
        s.match_indices(delimiter).nth(nth).map_or(s, |(offset, _)| &s[..offset])
    } else {
        s.rmatch_indices(delimiter).nth(nth).map_or(s, |(offset, _)| &s[offset + delimiter.len()..])
    }
}

fn levenshtein(s: &str, t: &str) -> i32 {
    let t: Vec<char> = t.chars().collect();
    let mut previous: Vec<i32> = (0..=t.len() as i32).collect();
    for (row, c) in s.chars().enumerate() {
        let mut diagonal = previous[0];
        previous[0] = row as i32 + 1;
        for (column, d) in t.iter().enumerate() {
            let replaced = diagonal + i32::from(c != *d);
            diagonal = previous[column + 1];
            previous[column + 1] = replaced.min(diagonal + 1).min(previous[column] + 1);
        }
    }
    previous[t.len()]
}

/// A string that does not start with a letter stays as it is.
fn soundex(s: &str) -> String {
    const CODES: &[u8; 26] = b"01230120022455012623010202";
    let code = |c: char| c.is_ascii_alphabetic().then(|| CODES[(c.to_ascii_uppercase() as u8 - b'A') as usize]);
    let Some(first) = s.chars().next().filter(char::is_ascii_alphabetic) else { return s.to_owned() };
    let mut out = String::from(first.to_ascii_uppercase());
    let mut last = code(first);
    for c in s.chars().skip(1) {
        let Some(digit) = code(c) else {
            last = None;
            continue;
        };
        // H and W do not separate equal codes; vowels do.
        if matches!(c.to_ascii_uppercase(), 'H' | 'W') {
            continue;
        }
        if digit != b'0' && Some(digit) != last {
            out.push(char::from(digit));
            if out.len() == 4 {
                return out;
            }
        }
        last = Some(digit);
    }
    format!("{out:0<4}")
}

fn luhn(s: &str) -> bool {
    let mut sum = 0;
    for (place, c) in s.chars().rev().enumerate() {
        let Some(digit) = c.to_digit(10) else { return false };
        let digit = if place % 2 == 1 { digit * 2 } else { digit };
        sum += digit / 10 + digit % 10;
    }
    !s.is_empty() && sum % 10 == 0
}

fn mask(a: &Args) -> Result<ArrayRef> {
    let s = a.strings(0)?;
    let classes = a.strings_from(1)?;
    let default = [Some('X'), Some('x'), Some('n'), None];
    a.out_strings(|i| {
        let mut by = default;
        for (class, column) in by.iter_mut().zip(&classes) {
            *class = column.get(i).and_then(|c| c.chars().next());
        }
        let replace = |c: char| {
            let class = match c {
                c if c.is_uppercase() => 0,
                c if c.is_lowercase() => 1,
                c if c.is_ascii_digit() => 2,
                _ => 3,
            };
            by[class].unwrap_or(c)
        };
        Some(s.get(i)?.chars().map(replace).collect::<String>())
    })
}
