//! The REPL: lines are edited until they end a statement, run, and the session goes on whatever happens.

mod complete;
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
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use crate::failure::Failure;
use crate::progress::format_bytes;
use crate::run::{Runner, Stop};
use crate::script::{Script, is_complete};
use crate::shell::Shell;
use complete::SqlCompleter;
use highlight::SqlHighlighter;
use history::History;

const PROMPT: &str = "firesteel> ";

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
        let complete = is_complete(context.input());
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
        .color_mode(if color { ColorMode::Enabled } else { ColorMode::Disabled })
        .bracketed_paste(true)
        .tab_stop(4)
        .max_history_size(history::ENTRIES)
        .map_err(terminal)?
        .build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(terminal)?;
    let session = runner.shell().session.clone();
    editor.set_helper(Some(Assistant {
        completer: SqlCompleter::new(session.clone(), runner.shell().samples.clone()),
        highlighter: SqlHighlighter::new(color, session.function_names()),
    }));
    let history = History::open(&mut editor, keep_history);
    banner(runner.shell(), samples);
    let prompt = (PROMPT, if color { format!("\x1b[1;33m{PROMPT}\x1b[0m") } else { PROMPT.to_owned() });
    loop {
        match editor.readline(&prompt) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                history.add(&mut editor, &text);
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

fn terminal(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::Io(error),
        other => Failure::Command(format!("the terminal cannot be used: {other}")),
    }
}

fn banner(shell: &Shell, samples: bool) {
    let config = shell.session.config();
    let mut text = format!(
        "Firesteel {}, SQL in Spark's dialect: {} threads, {} of memory.\n",
        env!("CARGO_PKG_VERSION"),
        config.threads,
        format_bytes(config.memory_limit),
    );
    if samples {
        text.push_str("The TPC-H sample tables are here: try SELECT * FROM nation;\n");
    } else {
        text.push_str(&format!("Tables: {}\n", shell.session.table_names().join(", ")));
    }
    text.push_str("Statements end with a semicolon. .tables lists tables, .help the commands, .quit ends.\n");
    // That standard error is gone can be said nowhere.
    let _ = io::stderr().write_all(text.as_bytes());
}
