//! Colours of statements while they are typed.

use std::borrow::Cow;
use std::collections::HashSet;

use super::continuation::with_prompts;
use super::keywords::is_keyword;
use super::lexer::{Token, tokens};

const KEYWORD: &str = "\x1b[1;34m";
const FUNCTION: &str = "\x1b[36m";
const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[35m";
const COMMENT: &str = "\x1b[2m";
const COMMAND: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// Colours tokens by what they are.
pub(super) struct SqlHighlighter {
    color: bool,
    functions: HashSet<String>,
}

impl SqlHighlighter {
    pub(super) fn new(color: bool, functions: Vec<String>) -> Self {
        Self { color, functions: functions.into_iter().collect() }
    }

    /// `line` with colours; its width stays the same.
    pub(super) fn highlight<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if !self.color {
            return Cow::Owned(with_prompts(line));
        }
        if line.trim_start().starts_with(['\\', '.']) {
            let end = line.trim_end().find(char::is_whitespace).unwrap_or(line.len());
            return Cow::Owned(format!("{COMMAND}{}{RESET}{}", &line[..end], &line[end..]));
        }
        let mut text = String::with_capacity(line.len() * 2);
        for (token, range) in tokens(line) {
            let part = &line[range.clone()];
            match self.style(token, part, &line[range.end..]) {
                Some(style) => text.extend([style, part, RESET]),
                None => text.push_str(part),
            }
        }
        Cow::Owned(with_prompts(&text))
    }

    fn style(&self, token: Token, part: &str, after: &str) -> Option<&'static str> {
        match token {
            Token::Comment => Some(COMMENT),
            Token::String(_) => Some(STRING),
            Token::Number => Some(NUMBER),
            Token::Word if is_keyword(part) => Some(KEYWORD),
            Token::Word if after.starts_with('(') && self.functions.contains(&part.to_lowercase()) => Some(FUNCTION),
            Token::Word | Token::Quoted(_) | Token::Blank | Token::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_keep_the_text() {
        let highlighter = SqlHighlighter::new(true, vec!["upper".to_owned()]);
        let line = "SELECT upper('a'), 1 FROM t -- x";
        let colored = highlighter.highlight(line);
        assert!(colored.contains("\x1b[1;34mSELECT\x1b[0m \x1b[36mupper\x1b[0m("), "{colored:?}");
        let mut plain = String::new();
        for (i, part) in colored.split('\x1b').enumerate() {
            plain.push_str(if i == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
        }
        assert_eq!(plain, line);
        assert_eq!(SqlHighlighter::new(false, Vec::new()).highlight(line), line);
    }
}
