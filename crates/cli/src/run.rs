//! From arguments to an exit code.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use firesteel::Session;
use futures::executor::block_on;
use unicode_width::UnicodeWidthStr;

use crate::args::{Args, When, Work};
use crate::failure::Failure;
use crate::format::Format;
use crate::interrupt::{self, EXIT_INTERRUPTED};
use crate::meta::{self, Flow};
use crate::pager::Paging;
use crate::repl;
use crate::sample::Samples;
use crate::script::{Piece, Script};
use crate::shell::{Last, Shell, View};
use crate::sink::Sink;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Rows of a table on a terminal, unless `.maxrows` says otherwise.
const MAX_ROWS: usize = 40;

/// Files that `.read` may nest.
const MAX_DEPTH: usize = 16;

/// Bytes that are read from standard input at a time, at most.
const READ_SIZE: usize = 64 << 10;

/// The whole program.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse_process();
    if let Some(shell) = args.completions {
        let mut script = Vec::new();
        Args::write_completions(shell, &mut script);
        return match io::stdout().write_all(&script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(EXIT_FAILED),
        };
    }
    interrupt::install();
    let mut shell = match start(&args) {
        Ok(shell) => shell,
        Err((failure, code)) => {
            complain(&failure);
            return ExitCode::from(code);
        }
    };
    let mut runner = Runner { shell: &mut shell, continue_on_error: args.continue_on_error, failed: false, depth: 0 };
    match runner.run(&args) {
        Ok(()) if runner.failed => ExitCode::from(EXIT_FAILED),
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Quit) => ExitCode::from(if runner.failed { EXIT_FAILED } else { 0 }),
        Err(Stop::Failed) => ExitCode::from(EXIT_FAILED),
        Err(Stop::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
    }
}

/// The shell that the arguments ask for.
fn start(args: &Args) -> Result<Shell, (Failure, u8)> {
    let mut builder = Session::builder();
    if io::stdout().is_terminal()
        && args.output.is_none()
        && let Some((width, _)) = terminal_size::terminal_size()
    {
        builder = builder.config("firesteel.explain.width", width.0);
    }
    for (key, value) in args.settings() {
        builder = builder.config(key, value);
    }
    let session = builder.build().map_err(|error| (error.into(), EXIT_USAGE))?;
    crate::warnings::show();
    session.config().other.keys().for_each(|key| tracing::warn!("the setting {key} has no effect here"));
    for path in &args.paths {
        block_on(register(&session, path)).map_err(|failure| (failure, EXIT_FAILED))?;
    }
    let sink = match &args.output {
        Some(path) => Sink::file(path).map_err(|e| (Failure::Command(format!("{path}: {e}")), EXIT_FAILED))?,
        None => Sink::Stdout,
    };
    let interactive = args.work.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let color = match args.color {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            !set("NO_COLOR") && !dumb && sink.is_terminal()
        }
    };
    let view = View {
        format: args.format.unwrap_or(Format::Table),
        max_rows: MAX_ROWS,
        color,
        timing: true,
        paging: Paging::Auto,
    };
    let samples = Samples::new(args.paths.is_empty());
    Ok(Shell { session, samples, sink, view, interactive, last: Last::default() })
}

/// Registers a file or folder as a table with the name of the file.
async fn register(session: &Session, path: &str) -> Result<(), Failure> {
    let file = Path::new(path.trim_end_matches('/'));
    let extension = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let own = if file.is_dir() {
        let entries = std::fs::read_dir(file)?.flatten();
        let known = |e: &String| matches!(e.as_str(), "parquet" | "csv" | "tsv" | "json" | "ndjson" | "jsonl");
        entries.filter_map(|entry| extension(&entry.path())).find(known)
    } else {
        extension(file)
    };
    let (format, separator) = match own.as_deref() {
        Some("parquet") => ("parquet", None),
        Some("csv") => ("csv", Some(",")),
        Some("tsv") => ("csv", Some("\t")),
        Some("json" | "ndjson" | "jsonl") => ("json", None),
        _ => {
            let message = format!("{path}: the name does not tell a format (.parquet, .csv, .tsv, .json, .ndjson)");
            return Err(Failure::Command(message));
        }
    };
    let name = table_name(file);
    let options = separator.map(|separator| {
        [("header", "true"), ("inferSchema", "true"), ("sep", separator)].map(|(k, v)| (k.to_owned(), v.to_owned()))
    });
    let options = options.into_iter().flatten().collect();
    Ok(session.register_files(&name, format, &[path.to_owned()], &options).await?)
}

/// The name of the table of a file, folder or glob: that of the last part that is no pattern.
fn table_name(path: &Path) -> String {
    let is_pattern = |part: &str| part.contains(['*', '?', '[', '{']);
    let named = path.ancestors().find_map(|path| Some(path.file_stem()?.to_string_lossy()).filter(|p| !is_pattern(p)));
    named.unwrap_or_default().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// Writes a failure to standard error.
pub(crate) fn complain(failure: &Failure) {
    let text = failure.render();
    let width = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
    let text = match (failure, width) {
        // Over the `^C` that the terminal shows.
        (Failure::Interrupted, Some(_)) => format!("\r{text}"),
        (_, Some(width)) => wrapped(&text, width),
        (_, None) => text,
    };
    // There is no better place to say that standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The text with its first line, which is the message, broken between words.
fn wrapped(text: &str, width: usize) -> String {
    let (message, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in message.split(' ') {
        let length = word.width();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out + rest
}

/// Why work ends before its end.
pub(crate) enum Stop {
    /// It was asked to.
    Quit,
    /// A statement failed, which was said.
    Failed,
    /// Ctrl-C.
    Interrupted,
}

/// Runs texts and keeps to the rules about errors.
pub(crate) struct Runner<'a> {
    shell: &'a mut Shell,
    continue_on_error: bool,
    failed: bool,
    /// Files that are being read, one by order of another.
    depth: usize,
}

impl Runner<'_> {
    fn run(&mut self, args: &Args) -> Result<(), Stop> {
        for work in &args.work {
            match work {
                Work::Text(text) => self.text(text)?,
                Work::File(path) if path == "-" => self.stdin()?,
                Work::File(path) => match std::fs::read_to_string(path) {
                    Ok(text) => self.text(without_shebang(&text))?,
                    Err(error) => self.failure(&Failure::Command(format!("{path}: {error}")))?,
                },
            }
        }
        if !args.work.is_empty() {
            return Ok(());
        }
        if !self.shell.interactive {
            return self.stdin();
        }
        interrupt::set_interactive();
        match repl::run(self, !args.no_history, args.paths.is_empty()) {
            Ok(()) => {
                self.failed = false;
                Ok(())
            }
            Err(failure) => self.failure(&failure),
        }
    }

    /// The shell that it works with.
    pub(crate) fn shell(&self) -> &Shell {
        self.shell
    }

    fn text(&mut self, text: &str) -> Result<(), Stop> {
        self.pieces(Script::new(text).take(true))
    }

    /// Runs pieces in their order, up to the first that fails unless errors are to be passed over.
    pub(crate) fn pieces(&mut self, pieces: Vec<Piece>) -> Result<(), Stop> {
        for piece in pieces {
            let result = match piece {
                Piece::Statement(sql) => self.shell.run(&sql).map(|()| Flow::Continue),
                Piece::Command(line) => meta::run(self.shell, &line),
            };
            match result {
                Ok(Flow::Continue) => {}
                Ok(Flow::Quit) => return Err(Stop::Quit),
                Ok(Flow::Run(_)) if self.depth == MAX_DEPTH => {
                    let message = format!("more than {MAX_DEPTH} files read each other");
                    self.failure(&Failure::Command(message))?;
                }
                Ok(Flow::Run(text)) => {
                    self.depth += 1;
                    let result = self.text(without_shebang(&text));
                    self.depth -= 1;
                    result?;
                }
                Err(failure) => self.failure(&failure)?,
            }
        }
        Ok(())
    }

    /// Runs statements as they arrive, each before more is read than came with it.
    fn stdin(&mut self) -> Result<(), Stop> {
        let mut script = Script::default();
        let (mut chunk, mut bytes, mut first) = (vec![0; READ_SIZE], Vec::new(), true);
        loop {
            let count = match io::stdin().lock().read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.failure(&Failure::Io(error)),
            };
            let end = count == 0;
            bytes.extend_from_slice(&chunk[..count]);
            // A character may be cut by the end of a read.
            let valid = match std::str::from_utf8(&bytes) {
                Ok(_) => bytes.len(),
                Err(error) if error.error_len().is_none() && !end => error.valid_up_to(),
                Err(_) => {
                    let message = "standard input is not UTF-8".to_owned();
                    return self.failure(&Failure::Command(message));
                }
            };
            let rest = bytes.split_off(valid);
            let text = String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap_or_default();
            let text = if std::mem::take(&mut first) { without_shebang(&text) } else { &text };
            script.push(text);
            // Statements end with a semicolon, commands with their line: without either nothing has become complete.
            if end || text.contains([';', '\n']) {
                self.pieces(script.take(end))?;
            }
            if end {
                return Ok(());
            }
        }
    }

    fn failure(&mut self, failure: &Failure) -> Result<(), Stop> {
        if failure.is_broken_pipe() {
            return Err(Stop::Quit);
        }
        complain(failure);
        self.failed = true;
        match failure {
            Failure::Interrupted => Err(Stop::Interrupted),
            _ if self.continue_on_error => Ok(()),
            _ => Err(Stop::Failed),
        }
    }
}

fn without_shebang(text: &str) -> &str {
    if text.starts_with("#!") { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_broken_between_words() {
        assert_eq!(
            wrapped("[E] it is too wide\n1 | SELECT a b c d e f", 10),
            "[E] it is\ntoo wide\n1 | SELECT a b c d e f"
        );
        assert_eq!(wrapped("fits", 10), "fits");
        assert_eq!(wrapped("unbreakable word", 4), "unbreakable\nword");
    }

    #[test]
    fn tables_have_the_names_of_their_files() {
        for (path, name) in [
            ("data/my-people.csv", "my_people"),
            ("data/orders/", "orders"),
            ("data/orders/*.parquet", "orders"),
            ("data/year=20*/part-?.json", "data"),
            ("*.csv", ""),
        ] {
            assert_eq!(table_name(Path::new(path)), name, "{path}");
        }
    }
}
