//! Texts of statements and commands, cut as they arrive.
//!
//! A statement is handed out as soon as its `;` is there, so that another program can drive the shell through pipes. A
//! line that starts with `\` or `.` where a statement would start is a command of the shell; no SQL starts so.

use firesteel::split_statements;

/// One thing to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A statement without its `;`.
    Statement(String),
    /// A line with a command of the shell.
    Command(String),
}

/// Text that has arrived and has not been run.
#[derive(Default)]
pub(crate) struct Script {
    pending: String,
}

impl Script {
    /// A complete text.
    pub(crate) fn new(text: &str) -> Self {
        Self { pending: text.to_owned() }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    /// Takes the complete pieces; with `end`, what is left is complete as well.
    pub(crate) fn take(&mut self, end: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < self.pending.len() {
            let taken = take_from(&self.pending[at..], end, &mut pieces);
            if taken == 0 {
                break;
            }
            at += taken;
        }
        self.pending.drain(..at);
        pieces
    }
}

/// Takes pieces up to the first command, or that command; returns the bytes that were used up.
fn take_from(text: &str, end: bool, pieces: &mut Vec<Piece>) -> usize {
    let start = blank_end(text);
    if text[start..].starts_with(['\\', '.']) {
        let Some(length) = text[start..].find('\n').or(end.then_some(text.len() - start)) else { return 0 };
        pieces.push(Piece::Command(text[start..start + length].trim().to_owned()));
        return (start + length + 1).min(text.len());
    }
    let mut used = 0;
    for piece in split_statements(text) {
        if used > 0 && piece.text[blank_end(&piece.text)..].starts_with(['\\', '.']) {
            return used;
        }
        if !piece.complete && !end {
            return used;
        }
        used = (piece.offset + piece.text.len()).min(text.len());
        // The `;` and blanks before it.
        used += text[used..].find(';').filter(|_| piece.complete).map_or(0, |semicolon| semicolon + 1);
        pieces.push(Piece::Statement(piece.text));
    }
    if end { text.len() } else { used }
}

/// Whether `text` is something to run: it ends with a complete statement, or is a command, or is blank.
pub(crate) fn is_complete(text: &str) -> bool {
    let rest = text[blank_end(text)..].trim_end();
    rest.is_empty() || rest.starts_with(['\\', '.']) || split_statements(text).last().is_none_or(|piece| piece.complete)
}

/// Where blanks and comments at the start end. An unclosed comment is not skipped.
pub(crate) fn blank_end(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let skipped = if trimmed.starts_with("--") {
            trimmed.find('\n').map(|end| end + 1)
        } else if trimmed.starts_with("/*") {
            trimmed.find("*/").map(|end| end + 2)
        } else {
            None
        };
        match skipped {
            Some(length) => at += length,
            None => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Piece {
        Piece::Statement(text.to_owned())
    }

    #[test]
    fn statements_come_when_their_end_is_there() {
        let mut script = Script::default();
        script.push("SELECT 1");
        assert_eq!(script.take(false), []);
        script.push(" ; SELECT ';'");
        assert_eq!(script.take(false), [statement("SELECT 1")]);
        script.push(";\n-- end\nSELECT 3");
        assert_eq!(script.take(false), [statement("SELECT ';'")]);
        assert_eq!(script.take(true), [statement("-- end\nSELECT 3")]);
        assert_eq!(script.take(true), []);
    }

    #[test]
    fn commands_are_lines() {
        let mut script = Script::new("-- first\n.mode json\nSELECT 1;\n\\d it's\nSELECT 2; .quit");
        let command = |text: &str| Piece::Command(text.to_owned());
        let expected = [
            command(".mode json"),
            statement("SELECT 1"),
            command("\\d it's"),
            statement("SELECT 2"),
            command(".quit"),
        ];
        assert_eq!(script.take(true), expected);
    }

    #[test]
    fn what_is_complete() {
        for text in ["", "  -- x\n", "SELECT 1;", ".help", " \\d"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["SELECT 1", "SELECT 1; SELECT ';", "/* ;"] {
            assert!(!is_complete(text), "{text}");
        }
    }
}
