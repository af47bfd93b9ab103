//! LIKE, ILIKE and RLIKE.
//!
//! A literal pattern is compiled once into the cheapest test that decides it: most are an equality, a
//! prefix, a suffix or a few pieces that must occur in order, which needs no regular expression. A
//! dictionary array is tested entry by entry and the answers are spread over its rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use firesteel_common::{Error, Result, Scalar, SqlType};
use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};

use super::operand::{boxed, union_nulls};
use super::{Operator, expect_args, wrong_type};
use crate::expr::op;
use crate::function::{Datum, EvalContext, FunctionDoc, ScalarKernel, Signature};

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    let doc = |name, aliases, syntax, description, examples| FunctionDoc {
        name,
        aliases,
        category: "predicate",
        syntax,
        description,
        examples,
    };
    let operator = |doc| Operator { doc, bind, kernel, handles_null: false, may_fail: |_, args, _| args.len() != 2 };
    vec![
        operator(doc(
            op::LIKE,
            &[],
            "str LIKE pattern [ESCAPE escape]",
            "Whether the text matches a pattern, in which % stands for any text and _ for any character.",
            &[("'Spark' LIKE '_park'", "true")],
        )),
        operator(doc(
            op::ILIKE,
            &[],
            "str ILIKE pattern [ESCAPE escape]",
            "LIKE without regard to case.",
            &[("'Spark' ILIKE '_PARK'", "true")],
        )),
        operator(doc(
            op::RLIKE,
            &["regexp", "regexp_like"],
            "str RLIKE regexp",
            "Whether a part of the text matches a regular expression.",
            &[("'Spark' RLIKE '^S.*k$'", "true")],
        )),
    ]
}

fn bind(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, if name == op::RLIKE { 2..=2 } else { 2..=3 })?;
    if let Some(ty) = args.iter().find(|ty| !ty.is_string() && **ty != SqlType::Void) {
        return Err(wrong_type(name, "\"STRING\"", ty));
    }
    Ok(Signature { args: vec![SqlType::String; args.len()], ty: SqlType::Boolean, may_be_null: false })
}

/// A compiled pattern.
enum Matcher {
    Equal(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    /// Any text that is at least as long as both together, with this start and this end.
    Ends(Vec<u8>, Vec<u8>),
    Contains(Box<Finder<'static>>),
    /// A start, pieces that follow in order, an end; the start and the end may be empty.
    Pieces(Vec<u8>, Vec<Finder<'static>>, Vec<u8>),
    Regex(Regex),
}

impl Matcher {
    fn matches(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Matcher::Equal(all) => bytes == all.as_slice(),
            Matcher::Prefix(start) => starts_with(bytes, start),
            Matcher::Suffix(end) => ends_with(bytes, end),
            Matcher::Ends(start, end) => {
                bytes.len() >= start.len() + end.len() && starts_with(bytes, start) && ends_with(bytes, end)
            }
            Matcher::Contains(piece) => piece.find(bytes).is_some(),
            Matcher::Pieces(start, pieces, end) => {
                if bytes.len() < start.len() + end.len() || !starts_with(bytes, start) || !ends_with(bytes, end) {
                    return false;
                }
                let mut rest = &bytes[start.len()..bytes.len() - end.len()];
                pieces.iter().all(|piece| match piece.find(rest) {
                    Some(at) => {
                        rest = &rest[at + piece.needle().len()..];
                        true
                    }
                    None => false,
                })
            }
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }

    fn compile(name: &str, pattern: &str, escape: char) -> Result<Self> {
        match name {
            op::RLIKE => compile_regex(&super::java_regex::translate(pattern), pattern, name),
            op::ILIKE => {
                let regex = like_to_regex(&tokens(pattern, escape)?);
                compile_regex(&format!("(?is){regex}"), pattern, name)
            }
            _ => Self::like(pattern, escape),
        }
    }

    fn like(pattern: &str, escape: char) -> Result<Self> {
        let tokens = tokens(pattern, escape)?;
        if tokens.iter().any(|t| matches!(t, Token::AnyOne)) {
            return compile_regex(&format!("(?s){}", like_to_regex(&tokens)), pattern, op::LIKE);
        }
        // Text between the `%`s; the first and the last are tied to the ends.
        let mut pieces = vec![String::new()];
        for token in &tokens {
            match token {
                Token::Text(c) => {
                    if let Some(last) = pieces.last_mut() {
                        last.push(*c);
                    }
                }
                _ => pieces.push(String::new()),
            }
        }
        let mut pieces: Vec<Vec<u8>> = pieces.into_iter().map(String::into_bytes).collect();
        let end = pieces.pop().unwrap_or_default();
        if pieces.is_empty() {
            return Ok(Matcher::Equal(end));
        }
        let start = pieces.remove(0);
        pieces.retain(|piece| !piece.is_empty());
        let finder = |piece: &Vec<u8>| Finder::new(piece).into_owned();
        Ok(match (start.is_empty(), pieces.as_slice(), end.is_empty()) {
            (_, [], true) => Matcher::Prefix(start),
            (true, [], false) => Matcher::Suffix(end),
            (false, [], false) => Matcher::Ends(start, end),
            (true, [piece], true) => Matcher::Contains(Box::new(finder(piece))),
            (_, pieces, _) => Matcher::Pieces(start, pieces.iter().map(finder).collect(), end),
        })
    }
}

/// `bytes.starts_with(start)` that never compares nothing: an empty `Vec` points nowhere, and the vector
/// instructions of `memcmp` take over a hundred cycles to suppress the fault of looking there.
#[inline]
fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    start.is_empty() || bytes.starts_with(start)
}

/// As [`starts_with`], for the end.
#[inline]
fn ends_with(bytes: &[u8], end: &[u8]) -> bool {
    end.is_empty() || bytes.ends_with(end)
}

enum Token {
    Text(char),
    AnyOne,
    Any,
}

/// The parts of a LIKE pattern.
fn tokens(pattern: &str, escape: char) -> Result<Vec<Token>> {
    let invalid = |condition, what: String| {
        Err(Error::compute(
            condition,
            "42601",
            format!("The format is invalid: '{pattern}'. The escape character is not allowed to {what}."),
        ))
    };
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if c == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || next == escape => Token::Text(next),
                Some(next) => return invalid("INVALID_FORMAT.ESC_IN_THE_MIDDLE", format!("precede '{next}'")),
                None => return invalid("INVALID_FORMAT.ESC_AT_THE_END", "end with".to_owned()),
            },
            '%' => Token::Any,
            '_' => Token::AnyOne,
            c => Token::Text(c),
        });
    }
    Ok(tokens)
}

fn like_to_regex(tokens: &[Token]) -> String {
    let mut regex = String::from("^");
    for token in tokens {
        match token {
            Token::Text(c) => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Token::AnyOne => regex.push('.'),
            Token::Any => regex.push_str(".*"),
        }
    }
    regex.push('$');
    regex
}

fn compile_regex(regex: &str, written: &str, name: &str) -> Result<Matcher> {
    let compiled = RegexBuilder::new(regex).size_limit(64 << 20).build();
    compiled.map(Matcher::Regex).map_err(|error| {
        Error::compute(
            "INVALID_PARAMETER_VALUE.PATTERN",
            "22023",
            format!("The value of parameter(s) `regexp` in `{name}` is invalid: '{written}'."),
        )
        .with_hint(error.to_string())
    })
}

fn escape_char(value: Option<&Scalar>) -> Result<char> {
    let Some(text) = value.and_then(Scalar::as_str) else { return Ok('\\') };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(Error::compute(
            "INVALID_ESCAPE_CHAR",
            "42604",
            format!("The escape character must be a single character, but found '{text}'."),
        )),
    }
}

fn kernel(
    name: &str,
    args: &[SqlType],
    _: &SqlType,
    literals: &[Option<Scalar>],
    _: &EvalContext,
) -> Result<Box<dyn ScalarKernel>> {
    if args.len() == 3 && literals.get(2).is_none_or(Option::is_none) {
        return Err(Error::unsupported(format!("The escape character of `{name}` must be a literal.")));
    }
    let escape = escape_char(literals.get(2).and_then(Option::as_ref))?;
    let name = name.to_owned();
    if let Some(Some(Scalar::String(pattern))) = literals.get(1) {
        let matcher = Matcher::compile(&name, pattern, escape)?;
        return Ok(boxed(move |args, rows| match_literal(&matcher, args, rows)));
    }
    Ok(boxed(move |args, rows| match_rows(&name, escape, args, rows)))
}

fn match_literal(matcher: &Matcher, args: &[Datum], _: usize) -> Result<Datum> {
    match &args[0] {
        Datum::Scalar(Scalar::String(text)) => Ok(Datum::Scalar(Scalar::Boolean(matcher.matches(text)))),
        Datum::Scalar(_) => Ok(Datum::Scalar(Scalar::Null(SqlType::Boolean))),
        Datum::Array(array) => match array.as_any_dictionary_opt() {
            Some(dictionary) => {
                let verdicts = test_strings(dictionary.values(), |text| matcher.matches(text))?;
                Ok(Datum::Array(Arc::new(spread(array, &verdicts)?)))
            }
            None => Ok(Datum::Array(Arc::new(test_strings(array, |text| matcher.matches(text))?))),
        },
    }
}

/// A test of each text of a plain string array.
pub(crate) fn test_strings(array: &ArrayRef, test: impl Fn(&str) -> bool) -> Result<BooleanArray> {
    let rows = array.len();
    let bits = if let Some(view) = array.as_string_view_opt() {
        BooleanBuffer::collect_bool(rows, |i| test(view.value(i)))
    } else if let Some(strings) = array.as_string_opt::<i32>() {
        BooleanBuffer::collect_bool(rows, |i| test(strings.value(i)))
    } else if let Some(strings) = array.as_string_opt::<i64>() {
        BooleanBuffer::collect_bool(rows, |i| test(strings.value(i)))
    } else {
        return Err(Error::internal(format!("expected strings, got {}", array.data_type())));
    };
    Ok(BooleanArray::new(bits, array.nulls().cloned()))
}

/// Gives each row of a dictionary array the verdict on its entry; NULL rows are NULL.
pub(crate) fn spread(array: &ArrayRef, verdicts: &BooleanArray) -> Result<BooleanArray> {
    let dictionary = array.as_any_dictionary_opt().ok_or_else(|| Error::internal("a dictionary was expected"))?;
    let keys = dictionary.normalized_keys();
    let values = verdicts.values();
    let entries = values.len();
    let bits = BooleanBuffer::collect_bool(array.len(), |i| keys[i] < entries && values.value(keys[i]));
    let nulls = array.logical_nulls();
    // An entry itself may be NULL, or have a NULL verdict.
    let nulls = if verdicts.null_count() > 0 {
        let valid = BooleanBuffer::collect_bool(array.len(), |i| keys[i] < entries && verdicts.is_valid(keys[i]));
        arrow::buffer::NullBuffer::union(nulls.as_ref(), Some(&arrow::buffer::NullBuffer::new(valid)))
    } else {
        nulls
    };
    Ok(BooleanArray::new(bits, nulls))
}

/// Patterns that differ from row to row; the last one is kept, since neighbours are often equal.
fn match_rows(name: &str, escape: char, args: &[Datum], rows: usize) -> Result<Datum> {
    super::operand::null_propagating(&args[..2], rows, &SqlType::Boolean, |rows| {
        let nulls = union_nulls(&args[..2]);
        let texts = canonical_strings(&args[0], rows)?;
        let patterns = canonical_strings(&args[1], rows)?;
        let (texts, patterns) = (texts.as_string_view(), patterns.as_string_view());
        let mut last: Option<(String, Matcher)> = None;
        let mut bits = Vec::with_capacity(rows);
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                bits.push(false);
                continue;
            }
            let pattern = patterns.value(row);
            if last.as_ref().is_none_or(|(text, _)| text != pattern) {
                last = Some((pattern.to_owned(), Matcher::compile(name, pattern, escape)?));
            }
            bits.push(last.as_ref().is_some_and(|(_, matcher)| matcher.matches(texts.value(row))));
        }
        Ok(Arc::new(BooleanArray::new(bits.into(), nulls)))
    })
}

fn canonical_strings(datum: &Datum, rows: usize) -> Result<ArrayRef> {
    firesteel_common::encoding::canonical(&datum.clone().into_array(rows), &SqlType::String)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Matcher::compile(op::LIKE, pattern, '\\').unwrap().matches(text)
    }

    #[test]
    fn like_takes_the_cheapest_test() {
        assert!(matches!(Matcher::compile(op::LIKE, "a%", '\\').unwrap(), Matcher::Prefix(_)));
        assert!(matches!(Matcher::compile(op::LIKE, "%a", '\\').unwrap(), Matcher::Suffix(_)));
        assert!(matches!(Matcher::compile(op::LIKE, "%a%", '\\').unwrap(), Matcher::Contains(_)));
        assert!(matches!(Matcher::compile(op::LIKE, "%a%b%", '\\').unwrap(), Matcher::Pieces(..)));
        assert!(matches!(Matcher::compile(op::LIKE, "a\\%", '\\').unwrap(), Matcher::Equal(_)));
    }

    #[test]
    fn like_matches() {
        assert!(like("special packages requests", "%special%requests%"));
        assert!(!like("requests special", "%special%requests%"));
        assert!(like("aba", "a%a") && !like("a", "a%a"));
        assert!(like("a%", "a\\%") && !like("ab", "a\\%"));
        assert!(like("a\nb", "a%b") && like("a\nb", "a_b") && like("é", "_"));
        assert!(like("", "%") && like("", "") && !like("x", ""));
        assert!(like("xaybz", "x%a%b%z") && !like("xabz", "x%ab%b%z"));
    }

    #[test]
    fn escapes_are_checked() {
        let error = |pattern| Matcher::compile(op::LIKE, pattern, '\\').err().unwrap();
        assert_eq!(error("ab\\c").condition(), "INVALID_FORMAT.ESC_IN_THE_MIDDLE");
        assert_eq!(error("abc\\").condition(), "INVALID_FORMAT.ESC_AT_THE_END");
    }
}
