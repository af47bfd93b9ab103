//! The command line.

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};
use clap_complete::Shell as CompletionShell;

use crate::format::Format;

/// A SQL query engine with Spark's dialect. Without statements it is a REPL, or runs what comes on standard input.
#[derive(Debug, Parser)]
#[command(name = "firesteel", version, max_term_width = 100, after_help = AFTER)]
pub(crate) struct Args {
    /// Parquet, CSV or JSON files, or folders, to register as tables named like them; there are no sample tables then
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,

    /// Run these statements and end (repeatable)
    #[arg(short = 'c', long = "command", visible_short_alias = 'e', value_name = "SQL", action = ArgAction::Append)]
    command: Vec<String>,

    /// Run the statements of a file and end; `-` is standard input (repeatable)
    #[arg(short = 'f', long = "file", value_name = "FILE", action = ArgAction::Append)]
    file: Vec<String>,

    /// How results are written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Write results to a file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<String>,

    /// Go on after an error; the exit code is still 1
    #[arg(long)]
    pub(crate) continue_on_error: bool,

    /// Number of tasks that run at the same time [default: number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<String>,

    /// Memory that queries may hold together, such as 512m or 4g [default: 70 % of the machine or container]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,

    /// A setting (repeatable), as SET takes it
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, action = ArgAction::Append)]
    conf: Vec<(String, String)>,

    /// Colours: `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    pub(crate) color: When,

    /// Neither read nor write the history of the REPL
    #[arg(long)]
    pub(crate) no_history: bool,

    /// Print the completion script of a shell and end
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(crate) completions: Option<CompletionShell>,

    /// `-c` and `-f` in the order in which they were given.
    #[arg(skip)]
    pub(crate) work: Vec<Work>,
}

const AFTER: &str = "Results go to standard output, everything else to standard error.\n\
    Exit codes: 0 all went well, 1 a statement failed, 2 wrong usage, 130 interrupted.";

/// Something to run.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// SQL text.
    Text(String),
    /// A file of SQL text.
    File(String),
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// When it makes sense.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl Args {
    /// The arguments of the process; wrong ones end it with code 2.
    pub(crate) fn parse_process() -> Self {
        let matches = Self::command().get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let indices = |name: &str| matches.indices_of(name).into_iter().flatten().collect::<Vec<_>>();
        let texts = indices("command").into_iter().zip(args.command.drain(..).map(Work::Text));
        let files = indices("file").into_iter().zip(args.file.drain(..).map(Work::File));
        let mut work: Vec<(usize, Work)> = texts.chain(files).collect();
        work.sort_by_key(|(index, _)| *index);
        args.work = work.into_iter().map(|(_, work)| work).collect();
        args
    }

    /// The settings that the arguments ask for.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let threads = self.threads.iter().map(|value| ("firesteel.threads".to_owned(), value.clone()));
        let memory = self.memory.iter().map(|value| ("firesteel.memory.limit".to_owned(), value.clone()));
        self.conf.iter().cloned().chain(threads).chain(memory).collect()
    }

    /// Writes the completion script of `shell`.
    pub(crate) fn write_completions(shell: CompletionShell, out: &mut dyn std::io::Write) {
        clap_complete::generate(shell, &mut Self::command(), "firesteel", out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
