//! The lexer: Spark's tokens, in the shape that sqlparser's parser reads.
//!
//! sqlparser's own tokenizer misreads literals of this dialect (`1S`, `1.5BD`, `r'…'`, `'a\'b'`,
//! adjacent strings). Locations are byte offsets: line 1, column offset + 1, so that every span of
//! the syntax tree gives a range of the text without a search.

use firesteel_common::{Error, ErrorKind, Result, Span};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span as Location2, Token, TokenWithSpan, Whitespace};

/// The operator that sqlparser has no token of its own for.
pub(crate) const UNSIGNED_SHIFT: &str = ">>>";

/// A bracketed comment that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unclosed;

/// sqlparser's location of a byte offset.
fn location(offset: usize) -> Location {
    Location { line: 1, column: offset as u64 + 1 }
}

/// The byte range of one of sqlparser's spans; unknown for the empty one.
pub(crate) fn span_of(span: Location2) -> Span {
    if span.start.line == 0 || span.end.line == 0 {
        return Span::NONE;
    }
    Span::new(span.start.column as usize - 1, span.end.column as usize - 1)
}

/// End of the quoted piece that starts at `start` with `quote`; `None` if it is not closed.
pub(crate) fn quoted_end(bytes: &[u8], start: usize, raw: bool) -> Option<usize> {
    let quote = bytes[start];
    let mut i = start + 1;
    while i < bytes.len() {
        if bytes[i] == b'\\' && quote != b'`' && !raw {
            i += 2;
        } else if bytes[i] == quote {
            if bytes.get(i + 1) == Some(&quote) && !raw {
                i += 2;
            } else {
                return Some(i + 1);
            }
        } else {
            i += 1;
        }
    }
    None
}

/// End of the comment at `start`, if there is one there. Bracketed comments nest.
pub(crate) fn comment_end(bytes: &[u8], start: usize) -> Option<Result<usize, Unclosed>> {
    match bytes.get(start..start + 2)? {
        b"--" => {
            let rest = &bytes[start..];
            Some(Ok(rest.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| start + n)))
        }
        b"/*" => {
            let (mut i, mut depth) = (start + 2, 1);
            while i + 1 < bytes.len() {
                match &bytes[i..i + 2] {
                    b"/*" => (depth, i) = (depth + 1, i + 2),
                    b"*/" => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    return Some(Ok(i));
                }
            }
            Some(Err(Unclosed))
        }
        _ => None,
    }
}

/// Whether a raw string (`r'…'`) starts at `i`.
pub(crate) fn is_raw_string(bytes: &[u8], i: usize) -> bool {
    matches!(bytes[i], b'r' | b'R')
        && matches!(bytes.get(i + 1), Some(b'\'' | b'"'))
        && (i == 0 || !is_word_byte(bytes[i - 1]))
}

fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    tokens: Vec<TokenWithSpan>,
    placeholders: usize,
}

/// The tokens of a statement. Of comments only hints (`/*+ … */`) are kept.
///
/// Errors: `PARSE_SYNTAX_ERROR` for what is not closed and for characters that start no token.
pub(crate) fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, tokens: Vec::new(), placeholders: 0 };
    while lexer.at < lexer.bytes.len() {
        lexer.next()?;
    }
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn push(&mut self, start: usize, end: usize, token: Token) {
        self.tokens.push(TokenWithSpan { token, span: Location2::new(location(start), location(end)) });
        self.at = end;
    }

    fn next(&mut self) -> Result<()> {
        let start = self.at;
        let b = self.bytes[start];
        if let Some(end) = comment_end(self.bytes, start) {
            let end = end.map_err(|_| {
                let message = "Found an unclosed bracketed comment. Please, append */ at the end of the comment.";
                Error::new(ErrorKind::Syntax, "UNCLOSED_BRACKETED_COMMENT", "42601", message)
                    .at(Span::new(start, self.bytes.len()))
            })?;
            if self.text[start..end].starts_with("/*+") {
                let body = self.text[start + 2..end - 2].to_owned();
                self.push(start, end, Token::Whitespace(Whitespace::MultiLineComment(body)));
            }
            self.at = end;
            return Ok(());
        }
        if is_raw_string(self.bytes, start) {
            let end =
                quoted_end(self.bytes, start + 1, true).ok_or_else(|| unclosed("string", start, self.bytes.len()))?;
            self.string(start, end, self.text[start + 2..end - 1].to_owned());
            return Ok(());
        }
        match b {
            b if b.is_ascii_whitespace() => self.at += 1,
            b'\'' | b'"' => {
                let end =
                    quoted_end(self.bytes, start, false).ok_or_else(|| unclosed("string", start, self.bytes.len()))?;
                let value = unescape(&self.text[start + 1..end - 1], b as char);
                self.string(start, end, value);
            }
            b'`' => {
                let end = quoted_end(self.bytes, start, false)
                    .ok_or_else(|| unclosed("quoted identifier", start, self.bytes.len()))?;
                let name = self.text[start + 1..end - 1].replace("``", "`");
                self.push(start, end, Token::make_word(&name, Some('`')));
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.bytes.get(start + 1).is_some_and(u8::is_ascii_digit) && !self.after_name() => self.number(),
            b if is_word_byte(b) => self.word(),
            _ => self.symbol()?,
        }
        Ok(())
    }

    /// Whether the last token touches this place and may be followed by `.name`.
    fn after_name(&self) -> bool {
        self.tokens.last().is_some_and(|last| {
            last.span.end == location(self.at) && matches!(last.token, Token::Word(_) | Token::RParen | Token::RBracket)
        })
    }

    /// Adds a string; one that follows another is joined with it.
    fn string(&mut self, start: usize, end: usize, value: String) {
        if let Some(TokenWithSpan { token: token @ Token::Word(_), .. }) = self.tokens.last_mut()
            && token.to_string().eq_ignore_ascii_case("timestamp_ltz")
        {
            // The literal is the same as TIMESTAMP '…', which sqlparser knows.
            *token = Token::make_word("TIMESTAMP", None);
        }
        if let Some(TokenWithSpan { token: Token::SingleQuotedString(before), span }) = self.tokens.last_mut() {
            before.push_str(&value);
            span.end = location(end);
            self.at = end;
            return;
        }
        self.push(start, end, Token::SingleQuotedString(value));
    }

    fn word(&mut self) {
        let start = self.at;
        let mut end = start;
        while self.bytes.get(end).is_some_and(|b| is_word_byte(*b)) {
            end += 1;
        }
        let word = &self.text[start..end];
        if word.eq_ignore_ascii_case("x")
            && self.bytes.get(end) == Some(&b'\'')
            && let Some(close) = quoted_end(self.bytes, end, true)
        {
            let digits = self.text[end + 1..close - 1].to_owned();
            self.push(start, close, Token::HexStringLiteral(digits));
            return;
        }
        if word.eq_ignore_ascii_case("FROM") && self.in_trim() {
            // `trim(BOTH FROM x)` trims blanks; sqlparser reads it with the blank only.
            self.push(start, start, Token::SingleQuotedString(" ".to_owned()));
        }
        self.push(start, end, Token::make_word(word, None));
    }

    /// Whether the last tokens are `TRIM ( BOTH`, LEADING or TRAILING.
    fn in_trim(&self) -> bool {
        let [.., trim, paren, side] = self.tokens.as_slice() else { return false };
        let word = |token: &TokenWithSpan| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        word(trim) == Keyword::TRIM
            && paren.token == Token::LParen
            && matches!(word(side), Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING)
    }

    /// A number with its suffix (`L S Y F D BD`), kept as text: the binder knows what it means.
    fn number(&mut self) {
        let start = self.at;
        let mut i = start;
        let digits = |mut i: usize| {
            while self.bytes.get(i).is_some_and(u8::is_ascii_digit) {
                i += 1;
            }
            i
        };
        i = digits(i);
        if self.bytes.get(i) == Some(&b'.') {
            i = digits(i + 1);
        }
        if matches!(self.bytes.get(i), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.bytes.get(i + 1), Some(b'+' | b'-')));
            if self.bytes.get(i + 1 + sign).is_some_and(u8::is_ascii_digit) {
                i = digits(i + 1 + sign);
            }
        }
        let suffix = self.bytes[i..].iter().take_while(|b| is_word_byte(**b)).count();
        let letters = self.text[i..i + suffix].to_ascii_uppercase();
        if matches!(letters.as_str(), "L" | "S" | "Y" | "F" | "D" | "BD") {
            i += suffix;
        } else if suffix > 0 && self.text[start..i].bytes().all(|b| b.is_ascii_digit()) {
            // An identifier may start with digits: `1st`.
            let word = &self.text[start..i + suffix];
            self.push(start, i + suffix, Token::make_word(word, None));
            return;
        }
        let text = self.text[start..i].to_owned();
        self.push(start, i, Token::Number(text, false));
    }

    fn symbol(&mut self) -> Result<()> {
        if self.text[self.at..].starts_with(UNSIGNED_SHIFT) {
            self.push(self.at, self.at + UNSIGNED_SHIFT.len(), Token::CustomBinaryOperator(UNSIGNED_SHIFT.to_owned()));
            return Ok(());
        }
        const SYMBOLS: &[(&str, Token)] = &[
            ("<=>", Token::Spaceship),
            ("<<", Token::ShiftLeft),
            (">>", Token::ShiftRight),
            ("<=", Token::LtEq),
            (">=", Token::GtEq),
            ("<>", Token::Neq),
            ("!=", Token::Neq),
            ("==", Token::Eq),
            ("||", Token::StringConcat),
            ("|>", Token::VerticalBarRightAngleBracket),
            ("::", Token::DoubleColon),
            ("->", Token::Arrow),
            ("=>", Token::RArrow),
            ("=", Token::Eq),
            ("<", Token::Lt),
            (">", Token::Gt),
            ("!", Token::ExclamationMark),
            ("+", Token::Plus),
            ("-", Token::Minus),
            ("*", Token::Mul),
            ("/", Token::Div),
            ("%", Token::Mod),
            ("|", Token::Pipe),
            ("&", Token::Ampersand),
            ("^", Token::Caret),
            ("~", Token::Tilde),
            ("(", Token::LParen),
            (")", Token::RParen),
            ("[", Token::LBracket),
            ("]", Token::RBracket),
            ("{", Token::LBrace),
            ("}", Token::RBrace),
            (",", Token::Comma),
            (".", Token::Period),
            (";", Token::SemiColon),
        ];
        let start = self.at;
        let rest = &self.text[start..];
        if rest.starts_with('?') {
            self.push(start, start + 1, Token::Placeholder(format!("?{}", self.placeholders)));
            self.placeholders += 1;
            return Ok(());
        }
        if let Some(name) = rest.strip_prefix(':')
            && let length = name.bytes().take_while(|b| is_word_byte(*b)).count()
            && length > 0
        {
            self.push(start, start + 1 + length, Token::Placeholder(rest[..=length].to_owned()));
            return Ok(());
        }
        match SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            Some((symbol, token)) => {
                self.push(start, start + symbol.len(), token.clone());
                Ok(())
            }
            None => {
                let c = rest.chars().next().unwrap_or_default();
                let span = Span::new(start, start + c.len_utf8());
                Err(Error::syntax(format!("Syntax error at or near '{c}'.")).at(span))
            }
        }
    }
}

fn unclosed(what: &str, start: usize, end: usize) -> Error {
    Error::syntax(format!("Syntax error: the {what} that starts here is not closed.")).at(Span::new(start, end))
}

/// The value of two octal digits that come next.
fn octal(chars: &std::iter::Peekable<std::str::Chars<'_>>) -> Option<u8> {
    let mut ahead = chars.clone();
    let high = ahead.next()?.to_digit(8)?;
    let low = ahead.next()?.to_digit(8)?;
    u8::try_from(high * 8 + low).ok()
}

/// The value of a string literal's body: backslash escapes and doubled quotes. `\%` and `\_` are kept,
/// since LIKE reads them.
fn unescape(body: &str, quote: char) -> String {
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c == quote && chars.peek() == Some(&quote) {
            chars.next();
            out.push(quote);
            continue;
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some(first @ '0'..='1') if octal(&chars).is_some() => {
                // Three octal digits are a character of Latin 1.
                let low = octal(&chars).unwrap_or_default();
                out.push(char::from((first as u8 - b'0') * 64 + low));
                chars.by_ref().take(2).for_each(drop);
            }
            Some('0') => out.push('\0'),
            Some('Z') => out.push('\u{1a}'),
            Some(c @ ('%' | '_')) => out.extend(['\\', c]),
            Some(kind @ ('u' | 'U')) => {
                let length = if kind == 'u' { 4 } else { 8 };
                let digits: String = chars.clone().take(length).collect();
                let value = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == length);
                match value.and_then(char::from_u32) {
                    Some(c) => {
                        out.push(c);
                        chars.by_ref().take(length).for_each(drop);
                    }
                    None => out.push(kind),
                }
            }
            Some(c) => out.push(c),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        tokenize(text).unwrap().into_iter().map(|t| t.token.to_string()).collect()
    }

    #[test]
    fn literals_that_sqlparser_misreads() {
        assert_eq!(kinds("1S 1.5BD 1.0F 1e3 .5 2L"), ["1S", "1.5BD", "1.0F", "1e3", ".5", "2L"]);
        assert_eq!(kinds(r"'a\'b' r'raw\n'"), [r"'a'braw\n'"]);
        assert_eq!(kinds(r#""dq" x'0F'"#), ["'dq'", "X'0F'"]);
        assert_eq!(kinds("a.b t.1 1<<2"), ["a", ".", "b", "t", ".", "1", "1", "<<", "2"]);
    }

    #[test]
    fn spans_are_byte_offsets() {
        let tokens = tokenize("é + 'x'").unwrap();
        let spans: Vec<_> = tokens.iter().map(|t| span_of(t.span)).map(|s| (s.start, s.end)).collect();
        assert_eq!(spans, [(0, 2), (3, 4), (5, 8)]);
    }
}
