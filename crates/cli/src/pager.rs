//! Showing text in a pager.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use clap::ValueEnum;

/// When a pager is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Paging {
    /// For tables that are longer than the screen
    Auto,
    /// For all tables, which are then not cut
    On,
    /// Never
    Off,
}

/// What is run when `PAGER` is not set: colours, no wrapping, no screen of its own, ends at once if all fits.
const DEFAULT: &str = "less -SRFX";

/// Shows `text` with `$PAGER` and waits until it is closed.
///
/// Errors: if the pager could not be run, so that nothing was shown.
pub(crate) fn show(text: &[u8]) -> io::Result<()> {
    let command = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let command = command.as_deref().unwrap_or(DEFAULT);
    let mut child = Command::new("sh").arg("-c").arg(command).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(text)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    // The shell says with 126 and 127 that it could not run the command.
    match child.wait()?.code() {
        Some(126 | 127) => Err(io::Error::new(io::ErrorKind::NotFound, format!("cannot run the pager `{command}`"))),
        _ => Ok(()),
    }
}
