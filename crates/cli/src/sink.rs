//! Where results go: standard output or a file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

/// The destination of results.
pub(crate) enum Sink {
    /// Standard output.
    Stdout,
    /// A file that was named by `--output` or `\o`.
    File(File),
}

impl Sink {
    /// A file that is made new.
    pub(crate) fn file(path: &str) -> io::Result<Self> {
        Ok(Sink::File(File::create(path)?))
    }

    /// Whether a person reads it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Sink::Stdout) && io::stdout().is_terminal()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout => io::stdout().write(bytes),
            Sink::File(file) => file.write(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().write_all(bytes),
            Sink::File(file) => file.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().flush(),
            Sink::File(file) => file.flush(),
        }
    }
}
