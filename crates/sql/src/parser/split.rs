//! Splits a text into statements without parsing them, for the REPL and for scripts.

use crate::parser::lexer::{comment_end, is_raw_string, quoted_end};

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementText {
    /// The statement without its `;`, trimmed.
    pub text: String,
    /// Byte offset of the statement in the text that was split.
    pub offset: usize,
    /// Whether a `;` ended it. The last piece is not complete if it has none, or if it ends inside a
    /// string, a quoted name or a comment.
    pub complete: bool,
}

/// The statements of a text: separated by `;` outside strings, quoted names and comments. Pieces that
/// hold nothing but blanks and comments are left out (an unclosed comment is kept, incomplete).
pub fn split_statements(text: &str) -> Vec<StatementText> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let (mut start, mut i, mut blank) = (0, 0, true);
    while i < bytes.len() {
        if let Some(end) = comment_end(bytes, i) {
            i = match end {
                Ok(end) => end,
                Err(_) => {
                    blank = false;
                    bytes.len()
                }
            };
        } else if matches!(bytes[i], b'\'' | b'"' | b'`') || is_raw_string(bytes, i) {
            let raw = !matches!(bytes[i], b'\'' | b'"' | b'`');
            blank = false;
            i = quoted_end(bytes, i + usize::from(raw), raw).unwrap_or(bytes.len());
        } else if bytes[i] == b';' {
            if !blank {
                pieces.push(piece(text, start, i, true));
            }
            i += 1;
            (start, blank) = (i, true);
        } else {
            blank &= bytes[i].is_ascii_whitespace();
            i += 1;
        }
    }
    if !blank {
        pieces.push(piece(text, start, bytes.len(), false));
    }
    pieces
}

fn piece(text: &str, start: usize, end: usize, complete: bool) -> StatementText {
    let part = &text[start..end];
    let trimmed = part.trim_start();
    let offset = start + part.len() - trimmed.len();
    StatementText { text: trimmed.trim_end().to_owned(), offset, complete }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(String, bool)> {
        split_statements(text).into_iter().map(|s| (s.text, s.complete)).collect()
    }

    #[test]
    fn separators_inside_quotes_and_comments_do_not_count() {
        let parts = split("SELECT ';', `a;b`, \"c;\"; -- no; \n /* ; /* ; */ ; */ SELECT 2;\n");
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], ("SELECT ';', `a;b`, \"c;\"".to_owned(), true));
        assert!(parts[1].0.ends_with("SELECT 2") && parts[1].1);
    }

    #[test]
    fn the_rest_is_incomplete() {
        assert_eq!(split("SELECT 1"), [("SELECT 1".to_owned(), false)]);
        assert_eq!(split("SELECT 'a; b"), [("SELECT 'a; b".to_owned(), false)]);
        assert_eq!(split("SELECT 1; /* open ;"), [("SELECT 1".to_owned(), true), ("/* open ;".to_owned(), false)]);
        assert_eq!(
            split(r"SELECT 'it\'s; x'; SELECT r'\'; "),
            [(r"SELECT 'it\'s; x'".to_owned(), true), (r"SELECT r'\'".to_owned(), true)]
        );
        assert_eq!(split(" ; ;-- only comments\n"), []);
    }
}
