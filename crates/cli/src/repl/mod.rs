//! The REPL: lines are edited until they end a statement, run, and the session goes on whatever happens.

mod complete;
mod continuation;
mod highlight;
mod history;
mod keywords;
mod lexer;

use std::io::{self, Write};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    ColorMode, CompletionType, Config, Context, Editor, EventHandler, Helper, KeyCode, KeyEvent, Modifiers,
};

use crate::failure::Failure;
use crate::run::{Runner, Stop};
use crate::script::{Script, is_complete};
use crate::shell::Shell;
use complete::SqlCompleter;
use continuation::{Backspace, Enter, joined};
use highlight::SqlHighlighter;
use history::History;

const PROMPT: &str = "firesteel> ";

/// Words that end the session, as in other shells.
const GOODBYES: [&str; 2] = ["quit", "exit"];

/// What the line editor asks for.
struct Assistant {
    completer: SqlCompleter,
    highlighter: SqlHighlighter,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.completer.complete(line, pos))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> std::borrow::Cow<'l, str> {
        self.highlighter.highlight(line)
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let complete = is_complete(context.input()) || is_goodbye(context.input());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for Assistant {}

/// Reads and runs statements until the user ends it.
///
/// Errors: if the terminal cannot be used.
pub(crate) fn run(runner: &mut Runner, keep_history: bool, samples: bool) -> Result<(), Failure> {
    let color = runner.shell().view.color;
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        // Also without colours: the prompts of further lines are drawn by the highlighter.
        .color_mode(ColorMode::Forced)
        .bracketed_paste(true)
        .tab_stop(4)
        .max_history_size(history::ENTRIES)
        .map_err(terminal)?
        .build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(terminal)?;
    let session = runner.shell().session.clone();
    editor.set_helper(Some(Assistant {
        completer: SqlCompleter::new(session.clone(), runner.shell().samples),
        highlighter: SqlHighlighter::new(color, session.function_names()),
    }));
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::NONE), EventHandler::Conditional(Box::new(Enter)));
    editor.bind_sequence(KeyEvent(KeyCode::Backspace, Modifiers::NONE), EventHandler::Conditional(Box::new(Backspace)));
    let history = History::open(&mut editor, keep_history);
    banner(runner.shell(), samples);
    let prompt = (PROMPT, if color { format!("\x1b[1;33m{PROMPT}\x1b[0m") } else { PROMPT.to_owned() });
    loop {
        match editor.readline(&prompt) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) if is_goodbye(&text) => return Ok(()),
            Ok(text) => {
                history.add(&mut editor, &text);
                let text = joined(&text);
                if matches!(runner.pieces(Script::new(&text).take(true)), Err(Stop::Quit)) {
                    return Ok(());
                }
                // The statement may have changed tables.
                if let Some(assistant) = editor.helper() {
                    assistant.completer.forget();
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal(error)),
        }
    }
}

fn is_goodbye(text: &str) -> bool {
    let word = text.trim().trim_end_matches(';').trim_end();
    GOODBYES.iter().any(|goodbye| word.eq_ignore_ascii_case(goodbye))
}

fn terminal(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::Io(error),
        other => Failure::Command(format!("the terminal cannot be used: {other}")),
    }
}

fn banner(shell: &Shell, samples: bool) {
    let config = shell.session.config();
    let mut text = format!(
        "Firesteel {}: Spark SQL on {} thread{} with {} of memory.\n",
        env!("CARGO_PKG_VERSION"),
        config.threads,
        if config.threads == 1 { "" } else { "s" },
        firesteel::show::bytes(config.memory_limit),
    );
    if samples {
        text.push_str("The TPC-H sample tables are here: try SELECT * FROM nation;\n");
    } else {
        text.push_str(&format!("Tables: {}\n", shell.session.table_names().join(", ")));
    }
    text.push_str("Statements end with a semicolon. .help lists commands, .quit ends.\n");
    // That standard error is gone can be said nowhere.
    let _ = io::stderr().write_all(text.as_bytes());
}
