//! The prompt of the further lines of a statement.
//!
//! The line editor edits all lines of a statement at once and has a prompt for the first only. So Enter in an open
//! statement adds [`INDENT`] to the new line, the highlighter draws the prompt over it, Backspace takes it away at once,
//! and [`joined`] removes it before the statement runs. Lines that were pasted have none, and stay as they are.

use rustyline::{Cmd, ConditionalEventHandler, Event, EventContext, Movement, RepeatCount};

use super::is_goodbye;
use crate::script::is_complete;

/// A new line with room for the prompt.
const INDENT: &str = "\n           ";
/// What is drawn in that room: as wide as the first prompt.
const PROMPT: &str = "\n        -> ";

/// Enter: a new line while the statement is open.
pub(super) struct Enter;

impl ConditionalEventHandler for Enter {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let open = !is_complete(context.line()) && !is_goodbye(context.line());
        open.then(|| Cmd::Insert(1, INDENT.to_owned()))
    }
}

/// Backspace at the start of a line joins it with the one before.
pub(super) struct Backspace;

impl ConditionalEventHandler for Backspace {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        let at_start = context.line()[..context.pos()].ends_with(INDENT);
        at_start.then(|| Cmd::Kill(Movement::BackwardChar(INDENT.len() as RepeatCount)))
    }
}

/// The statement without the room for prompts.
pub(super) fn joined(text: &str) -> String {
    text.replace(INDENT, "\n")
}

/// A part of the line with prompts drawn in their room.
pub(super) fn with_prompts(part: &str) -> String {
    part.replace(INDENT, PROMPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_take_the_room_that_is_removed() {
        assert_eq!(INDENT.len(), PROMPT.len());
        assert_eq!(INDENT.len(), 1 + super::super::PROMPT.len());
        assert_eq!(joined(&format!("SELECT{INDENT}  1{INDENT};")), "SELECT\n  1\n;");
    }
}
