//! Parts of URLs, and the encoding of text in them.

use arrow::array::ArrayRef;
use firesteel_common::SqlType::String as Str;
use firesteel_common::{Error, Result};

use crate::scalar::{Args, Function, Sig, function};

const CATEGORY: &str = "url";

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("url_encode", &[]),
        "url_encode(str)",
        "Encodes text for a form (application/x-www-form-urlencoded).",
        &[("SELECT url_encode('https://spark.apache.org')", "https%3A%2F%2Fspark.apache.org")],
        Sig::Fixed(&[Str], 1, &Str),
        |a| {
            let s = a.strings(0)?;
            a.out_strings(|i| s.get(i).map(encode))
        },
    )
    .total(),
    function(
        CATEGORY,
        ("url_decode", &[]),
        "url_decode(str)",
        "Decodes text of a form (application/x-www-form-urlencoded).",
        &[("SELECT url_decode('https%3A%2F%2Fspark.apache.org')", "https://spark.apache.org")],
        Sig::Fixed(&[Str], 1, &Str),
        |a| {
            let s = a.strings(0)?;
            a.try_strings(|i| {
                let Some(text) = s.get(i) else { return Ok(None) };
                decode(text).map(Some).ok_or_else(|| {
                    let message = format!("The provided URL cannot be decoded: {text}. Please ensure that the URL is properly formatted and try again.");
                    Error::compute("CANNOT_DECODE_URL", "22546", message)
                })
            })
        },
    )
    .not_null(),
    function(
        CATEGORY,
        ("try_url_decode", &[]),
        "try_url_decode(str)",
        "Decodes text of a form; NULL if it is malformed.",
        &[("SELECT try_url_decode('a%2Fb')", "a/b"), ("SELECT try_url_decode('%zz')", "NULL")],
        Sig::Fixed(&[Str], 1, &Str),
        |a| {
            let s = a.strings(0)?;
            a.out_strings(|i| s.get(i).and_then(decode))
        },
    )
    .infallible(),
    function(
        CATEGORY,
        ("parse_url", &["try_parse_url"]),
        "parse_url(url, partToExtract[, key])",
        "Returns a part of a URL: HOST, PATH, QUERY, REF, PROTOCOL, FILE, AUTHORITY or USERINFO; with a key, that \
         parameter of the query. NULL if there is none.",
        &[
            ("SELECT parse_url('http://spark.apache.org/path?query=1', 'HOST')", "spark.apache.org"),
            ("SELECT parse_url('http://spark.apache.org/path?query=1', 'QUERY', 'query')", "1"),
        ],
        Sig::Fixed(&[Str, Str, Str], 2, &Str),
        parse_url,
    )
    .infallible(),
];

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                out.push((high * 16 + low) as u8);
            }
            other => out.push(other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The parts of `scheme://user@host:port/path?query#fragment`.
struct Url<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` for what is no URI: one with blanks or with a scheme that is none.
    fn parse(text: &'a str) -> Option<Self> {
        if text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '}')) {
            return None;
        }
        let cut = |text: &'a str, at: char| text.split_once(at).map_or((text, None), |(a, b)| (a, Some(b)));
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, after)) if !scheme.contains('/') => {
                let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
                let starts = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
                if !starts || !scheme.chars().all(legal) {
                    return None;
                }
                (Some(scheme), after)
            }
            _ => (None, rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority).filter(|a| !a.is_empty()), path)
            }
            None => (None, rest),
        };
        Some(Self { scheme, authority, path, query, fragment })
    }

    fn part(&self, name: &str) -> Option<String> {
        let authority =
            || self.authority.map(|a| a.rsplit_once('@').map_or((None, a), |(user, host)| (Some(user), host)));
        Some(match name {
            "HOST" => {
                let (_, host) = authority()?;
                let end =
                    if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
                host[..end].to_owned()
            }
            "USERINFO" => authority()?.0?.to_owned(),
            "AUTHORITY" => self.authority?.to_owned(),
            "PATH" => self.path.to_owned(),
            "QUERY" => self.query?.to_owned(),
            "REF" => self.fragment?.to_owned(),
            "PROTOCOL" => self.scheme?.to_owned(),
            "FILE" => match self.query {
                Some(query) => format!("{}?{query}", self.path),
                None => self.path.to_owned(),
            },
            _ => return None,
        })
    }
}

fn parse_url(a: &Args) -> Result<ArrayRef> {
    let (url, part) = (a.strings(0)?, a.strings(1)?);
    let key = if a.len() > 2 { Some(a.strings(2)?) } else { None };
    a.out_strings(|i| {
        let (parsed, part) = (Url::parse(url.get(i)?)?, part.get(i)?);
        let Some(key) = &key else { return parsed.part(part) };
        let key = key.get(i)?;
        if part != "QUERY" {
            return None;
        }
        let pairs = parsed.query?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
    })
}
