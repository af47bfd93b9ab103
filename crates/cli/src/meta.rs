//! Commands of the shell, under the spellings of psql (`\d`) and of SQLite and DuckDB (`.tables`).
//!
//! [`COMMANDS`] is the only list: dispatch, help and completion come from it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command as Process;

use clap::ValueEnum;

use crate::failure::Failure;
use crate::format::Format;
use crate::pager::Paging;
use crate::shell::Shell;
use crate::sink::Sink;

/// What happens after a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next piece.
    Continue,
    /// The end.
    Quit,
    /// This text first.
    Run(String),
}

/// A command of the shell.
pub(crate) struct Command {
    /// All spellings; help shows them in this order.
    pub(crate) names: &'static [&'static str],
    /// Its arguments, for help.
    args: &'static str,
    help: &'static str,
    /// What its argument is, for completion.
    pub(crate) argument: Argument,
    run: fn(&mut Shell, &str) -> Result<Flow, Failure>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// Nothing that can be completed.
    Any,
    Table,
    Function,
    File,
    Words(&'static [&'static str]),
}

const ON_OFF: Argument = Argument::Words(&["on", "off"]);

macro_rules! commands {
    ($([$($name:literal)*] $args:literal $argument:expr, $run:expr, $help:literal;)*) => {
        /// The commands, in the order of the help.
        pub(crate) static COMMANDS: &[Command] = &[$(Command {
            names: &[$($name),*], args: $args, help: $help, argument: $argument, run: $run,
        }),*];
    };
}

commands! {
    ["\\d" ".schema"] "[TABLE]" Argument::Table, describe, "columns of a table; without a name, the tables";
    ["\\dt" ".tables"] "[PATTERN]" Argument::Any, |shell, arg| list(shell, "TABLES", arg), "tables and views; * is any text";
    ["\\dv" ".views"] "[PATTERN]" Argument::Any, |shell, arg| list(shell, "VIEWS", arg), "views";
    ["\\df" ".functions"] "[PATTERN]" Argument::Any, |shell, arg| list(shell, "FUNCTIONS", arg), "functions";
    ["\\h" ".doc"] "FUNCTION" Argument::Function, document, "what a function does";
    ["\\set" ".settings"] "" Argument::Any, |shell, _| shell.run("SET -v").map(|()| Flow::Continue), "settings, their values and meaning";
    ["\\f" ".mode"] "FORMAT" Argument::Words(&["table", "csv", "tsv", "json", "ndjson", "markdown", "vertical"]), mode, "how results are written";
    ["\\x" ".expanded"] "[on|off]" ON_OFF, expanded, "one line for each value, or a table again";
    ["\\timing" ".timer"] "[on|off]" ON_OFF, timing, "whether times are shown";
    ["\\maxrows" ".maxrows"] "N" Argument::Any, max_rows, "rows of a table on a terminal";
    ["\\pager" ".pager"] "[auto|on|off]" Argument::Words(&["auto", "on", "off"]), pager, "when tables go through $PAGER";
    ["\\last" ".last"] "" Argument::Any, |shell, _| shell.show_last().map(|()| Flow::Continue), "the last result again, in full";
    ["\\o" ".output"] "[FILE]" Argument::File, output, "results to a file; without a name, to the screen";
    ["\\i" ".read"] "FILE" Argument::File, read, "run the statements of a file";
    ["\\e" ".edit"] "" Argument::Any, edit, "edit the last statement with $EDITOR and run it";
    ["\\!" ".shell"] "COMMAND" Argument::Any, system, "run a command of the system";
    ["\\?" ".help"] "" Argument::Any, help, "this help";
    ["\\q" ".quit" ".exit"] "" Argument::Any, |_, _| Ok(Flow::Quit), "end";
}

/// Runs a line such as `.mode csv`.
pub(crate) fn run(shell: &mut Shell, line: &str) -> Result<Flow, Failure> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, arg) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match COMMANDS.iter().find(|command| command.names.contains(&name)) {
        Some(command) => (command.run)(shell, arg.trim()),
        None => Err(Failure::Command(format!("there is no command `{name}`; .help lists them"))),
    }
}

fn describe(shell: &mut Shell, table: &str) -> Result<Flow, Failure> {
    if table.is_empty() {
        return list(shell, "TABLES", "");
    }
    shell.run(&format!("DESCRIBE {table}")).map(|()| Flow::Continue)
}

fn list(shell: &mut Shell, what: &str, pattern: &str) -> Result<Flow, Failure> {
    let pattern = pattern.trim_matches('\'');
    let like = if pattern.is_empty() { String::new() } else { format!(" LIKE '{}'", pattern.replace('\'', "\\'")) };
    shell.run(&format!("SHOW {what}{like}")).map(|()| Flow::Continue)
}

fn document(shell: &mut Shell, function: &str) -> Result<Flow, Failure> {
    if function.is_empty() {
        return list(shell, "FUNCTIONS", "");
    }
    shell.run(&format!("DESCRIBE FUNCTION EXTENDED {function}")).map(|()| Flow::Continue)
}

fn mode(shell: &mut Shell, format: &str) -> Result<Flow, Failure> {
    shell.view.format = Format::from_str(format, true).map_err(|_| {
        let known: Vec<String> = Format::value_variants()
            .iter()
            .filter_map(|f| Some(f.to_possible_value()?.get_name().to_owned()))
            .collect();
        Failure::Command(format!("there is no format `{format}`; the formats are {}", known.join(", ")))
    })?;
    shell.tell(&format!("results are written as {}", format.to_ascii_lowercase()));
    Ok(Flow::Continue)
}

/// The new state of something that is on or off; without an argument it is changed.
fn toggled(now: bool, arg: &str) -> Result<bool, Failure> {
    match arg.to_ascii_lowercase().as_str() {
        "" => Ok(!now),
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(Failure::Command(format!("expected `on` or `off`, not `{arg}`"))),
    }
}

fn expanded(shell: &mut Shell, arg: &str) -> Result<Flow, Failure> {
    let on = toggled(shell.view.format == Format::Vertical, arg)?;
    shell.view.format = if on { Format::Vertical } else { Format::Table };
    shell.tell(if on { "one line for each value" } else { "results are written as table" });
    Ok(Flow::Continue)
}

fn timing(shell: &mut Shell, arg: &str) -> Result<Flow, Failure> {
    shell.view.timing = toggled(shell.view.timing, arg)?;
    shell.tell(if shell.view.timing { "times are shown" } else { "times are not shown" });
    Ok(Flow::Continue)
}

fn max_rows(shell: &mut Shell, arg: &str) -> Result<Flow, Failure> {
    match arg.parse() {
        Ok(rows) if rows > 0 => shell.view.max_rows = rows,
        _ => return Err(Failure::Command(format!("expected a number of rows, not `{arg}`"))),
    }
    Ok(Flow::Continue)
}

fn pager(shell: &mut Shell, arg: &str) -> Result<Flow, Failure> {
    shell.view.paging = match arg {
        "" if shell.view.paging == Paging::Off => Paging::Auto,
        "" => Paging::Off,
        other => Paging::from_str(other, true)
            .map_err(|_| Failure::Command(format!("expected `auto`, `on` or `off`, not `{other}`")))?,
    };
    shell.tell(match shell.view.paging {
        Paging::Auto => "tables that are longer than the screen go through the pager",
        Paging::On => "all tables go through the pager, and are not cut",
        Paging::Off => "no pager",
    });
    Ok(Flow::Continue)
}

fn output(shell: &mut Shell, path: &str) -> Result<Flow, Failure> {
    shell.sink = match unquoted(path) {
        "" => Sink::Stdout,
        path => Sink::file(path).map_err(|error| Failure::Command(format!("{path}: {error}")))?,
    };
    Ok(Flow::Continue)
}

fn read(_: &mut Shell, path: &str) -> Result<Flow, Failure> {
    let path = unquoted(path);
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Flow::Run(text)),
        Err(error) => Err(Failure::Command(format!("{path}: {error}"))),
    }
}

/// Lets the user edit the last statement; the text is run when the editor ends well.
fn edit(shell: &mut Shell, _: &str) -> Result<Flow, Failure> {
    let editor = std::env::var("EDITOR").ok().filter(|e| !e.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    let path = std::env::temp_dir().join(format!("firesteel-edit-{}.sql", std::process::id()));
    std::fs::write(&path, format!("{};\n", shell.last_sql()))?;
    let status = Process::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&path).status();
    let text = std::fs::read_to_string(&path);
    // The text has been read; a file that stays in the temporary folder does no harm.
    let _ = std::fs::remove_file(&path);
    if !status?.success() {
        return Err(Failure::Command(format!("`{editor}` failed; nothing was run")));
    }
    Ok(Flow::Run(text?))
}

fn system(_: &mut Shell, command: &str) -> Result<Flow, Failure> {
    let status = Process::new("sh").arg("-c").arg(command).status()?;
    if status.success() {
        Ok(Flow::Continue)
    } else {
        Err(Failure::Command(format!("the command ended with {status}")))
    }
}

fn help(shell: &mut Shell, _: &str) -> Result<Flow, Failure> {
    shell.sink.write_all(help_text().as_bytes())?;
    shell.sink.flush()?;
    Ok(Flow::Continue)
}

/// The list of commands.
fn help_text() -> String {
    let usage = |command: &Command| format!("{} {}", command.names.join(", "), command.args).trim_end().to_owned();
    let width = COMMANDS.iter().map(|command| usage(command).len()).max().unwrap_or(0);
    let mut text = String::from("Statements of SQL end with a semicolon. Commands end with their line:\n");
    for command in COMMANDS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {:width$}  {}", usage(command), command.help);
    }
    text.push_str("Tab completes, Ctrl-R searches the history, Ctrl-C cancels a query, Ctrl-D ends.\n");
    text
}

/// A path without the quotes that may be around it.
fn unquoted(path: &str) -> &str {
    let inner = |quote: char| path.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_narrow_terminal() {
        let too_long: Vec<String> = help_text().lines().filter(|l| l.len() > 80).map(str::to_owned).collect();
        assert!(too_long.is_empty(), "{too_long:?}");
    }

    #[test]
    fn every_command_has_both_spellings_and_no_spelling_is_used_twice() {
        let mut names: Vec<&str> = COMMANDS.iter().flat_map(|command| command.names).copied().collect();
        for command in COMMANDS {
            assert!(command.names.iter().any(|name| name.starts_with('\\')), "{:?}", command.names);
            assert!(command.names.iter().any(|name| name.starts_with('.')), "{:?}", command.names);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
