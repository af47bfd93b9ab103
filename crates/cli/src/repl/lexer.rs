//! Tokens of SQL as colours and completion need them: a text that is being typed has open ends, which are no errors.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Blank,
    Comment,
    /// A literal; whether its end is there.
    String(bool),
    /// A name between backquotes; whether its end is there.
    Quoted(bool),
    Number,
    Word,
    Other,
}

/// The tokens of `text`, which cover it without gaps.
pub(super) fn tokens(text: &str) -> Vec<(Token, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (token, end) = next(text, at);
        tokens.push((token, at..end));
        at = end;
    }
    tokens
}

fn next(text: &str, at: usize) -> (Token, usize) {
    let rest = &text[at..];
    let run = |keep: fn(char) -> bool| at + rest.find(|c| !keep(c)).unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        c if c.is_whitespace() => (Token::Blank, run(char::is_whitespace)),
        '-' if rest.starts_with("--") => (Token::Comment, at + rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => {
            (Token::Comment, at + rest[2..].find("*/").map_or(rest.len(), |length| length + 4))
        }
        '\'' | '"' => {
            let (closed, length) = quoted(rest, first, true);
            (Token::String(closed), at + length)
        }
        '`' => {
            let (closed, length) = quoted(rest, first, false);
            (Token::Quoted(closed), at + length)
        }
        c if c.is_ascii_digit() => (Token::Number, run(|c| c.is_ascii_alphanumeric() || c == '.')),
        c if c.is_alphabetic() || c == '_' => (Token::Word, run(|c| c.is_alphanumeric() || c == '_')),
        c => (Token::Other, at + c.len_utf8()),
    }
}

/// Whether the quoted text at the start is closed, and its length.
fn quoted(text: &str, quote: char, escapes: bool) -> (bool, usize) {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return (true, at + 1);
        }
    }
    (false, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cover_the_text() {
        let text = "SELECT 'it\\'s', `a b`, 1.5e3 -- x\n/* é */ FROM t_1 WHERE \"open";
        let all = tokens(text);
        assert_eq!(all.iter().map(|(_, range)| &text[range.clone()]).collect::<String>(), text);
        let kinds: Vec<Token> = all.iter().map(|(token, _)| *token).filter(|t| *t != Token::Blank).collect();
        use Token as T;
        let expected = [
            T::Word,
            T::String(true),
            T::Other,
            T::Quoted(true),
            T::Other,
            T::Number,
            T::Comment,
            T::Comment,
            T::Word,
            T::Word,
            T::Word,
            T::String(false),
        ];
        assert_eq!(kinds, expected);
    }
}
