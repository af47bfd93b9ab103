//! The history of the REPL, in the state directory of the user.

use std::path::PathBuf;

use rustyline::history::FileHistory;
use rustyline::{Editor, Helper};

/// Entries that are kept.
pub(super) const ENTRIES: usize = 10_000;

/// Where the history is kept, if anywhere.
pub(super) struct History(Option<PathBuf>);

impl History {
    /// Loads the history; without a place for it there is one for this run only.
    pub(super) fn open<H: Helper>(editor: &mut Editor<H, FileHistory>, keep: bool) -> Self {
        let path = if keep { path() } else { None };
        if let Some(path) = &path {
            // There is none at the first start; a damaged one is no reason not to start.
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = editor.load_history(path);
        }
        Self(path)
    }

    /// Adds an entry, which may have several lines, and saves it at once, so that nothing is lost with the process.
    pub(super) fn add<H: Helper>(&self, editor: &mut Editor<H, FileHistory>, text: &str) {
        let added = editor.add_history_entry(text.trim_end()).unwrap_or(false);
        if let Some(path) = self.0.as_ref().filter(|_| added) {
            // A full disk must not disturb the session.
            let _ = editor.append_history(path);
        }
    }
}

/// `$XDG_STATE_HOME/firesteel/history`, by default below `~/.local/state`.
fn path() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("firesteel/history"))
}
