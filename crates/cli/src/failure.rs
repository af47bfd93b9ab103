//! Why a statement or a command of the shell did not succeed.

use std::io;

/// What went wrong, as far as the shell has to tell cases apart.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine's error.
    Sql(firesteel::Error),
    /// Results could not be written, or input could not be read.
    Io(io::Error),
    /// Ctrl-C.
    Interrupted,
    /// A command of the shell was used wrongly, or failed.
    Command(String),
}

impl Failure {
    /// The text for standard error.
    pub(crate) fn render(&self) -> String {
        match self {
            Failure::Sql(error) => error.render(),
            Failure::Io(error) => format!("error: {error}"),
            Failure::Interrupted => "interrupted".to_owned(),
            Failure::Command(message) => format!("error: {message}"),
        }
    }

    /// Whether the reader of the results is gone, such as `head` that has seen enough.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<firesteel::Error> for Failure {
    fn from(error: firesteel::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}
