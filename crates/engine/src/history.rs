//! The file of `firesteel.adaptive.history.path`: rows that queries have counted, for later ones.
//!
//! A line is the name of a plan, the identity of its files and the rows; the newest are last. A file is replaced as a whole, by
//! renaming, so readers never see a part of one. Processes that write at the same time may lose facts of each other, which
//! the next run counts again. A file that cannot be understood is ignored with a warning.

use std::io::ErrorKind;
use std::path::Path;

use firesteel_common::replace::replace_file;
use firesteel_optimizer::remembered::{Counted, Remembered};

/// The first line; another number is another format.
const HEADER: &str = "firesteel history 1";
/// Facts that are kept.
const MOST: usize = 4096;

/// What is in the file; nothing if it is not there or not understood.
pub(crate) fn load(path: &str) -> Remembered {
    lines(Path::new(path)).into_iter().collect()
}

/// Adds what was counted; the oldest facts go if there are too many.
pub(crate) fn store(path: &str, counted: &Remembered) {
    if counted.is_empty() {
        return;
    }
    let path = Path::new(path);
    let mut all = lines(path);
    all.retain(|(name, _)| !counted.contains_key(name));
    all.extend(counted.iter().map(|(name, counted)| (*name, *counted)));
    let from = all.len().saturating_sub(MOST);
    if let Err(error) = write(path, &all[from..]) {
        tracing::warn!(path = %path.display(), %error, "the history of queries cannot be written");
    }
}

fn lines(path: &Path) -> Vec<(u64, Counted)> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the history of queries cannot be read");
            return Vec::new();
        }
    };
    let mut lines = text.lines();
    let parsed = if lines.next() == Some(HEADER) { lines.map(parse).collect() } else { None };
    parsed.unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "the history of queries is not understood, and ignored");
        Vec::new()
    })
}

fn parse(line: &str) -> Option<(u64, Counted)> {
    let mut parts = line.split(' ');
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let (name, files) = (number()?, number()?);
    let rows: f64 = parts.next()?.parse().ok().filter(|rows: &f64| rows.is_finite() && *rows >= 0.0)?;
    parts.next().is_none().then_some((name, Counted { files, rows }))
}

fn write(path: &Path, facts: &[(u64, Counted)]) -> std::io::Result<()> {
    let mut text = String::from(HEADER);
    for (name, Counted { files, rows }) in facts {
        text.push_str(&format!("\n{name:016x} {files:016x} {rows}"));
    }
    text.push('\n');
    replace_file(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(names: std::ops::Range<u64>, rows: f64) -> Remembered {
        names.map(|name| (name, Counted { files: 7, rows })).collect()
    }

    #[test]
    fn facts_are_kept_until_there_are_too_many() {
        let file = std::env::temp_dir().join(format!("firesteel-history-{}", std::process::id()));
        let path = file.to_str().unwrap();
        assert!(load(path).is_empty());
        store(path, &facts(0..10, 1.5));
        store(path, &facts(5..12, 3.0));
        let all = load(path);
        assert_eq!((all.len(), all[&4].rows, all[&5].rows, all[&11].files), (12, 1.5, 3.0, 7));
        store(path, &facts(1000..1000 + MOST as u64 - 2, 9.0));
        let all = load(path);
        assert_eq!((all.len(), all.contains_key(&4), all.contains_key(&11)), (MOST, false, true));

        for broken in [
            "",
            "something else",
            "firesteel history 2\n",
            "firesteel history 1\n0 1",
            "firesteel history 1\n0 1 NaN\n",
        ] {
            std::fs::write(&file, broken).unwrap();
            assert!(load(path).is_empty(), "{broken}");
        }
        store(path, &facts(0..1, 2.0));
        assert_eq!(load(path).len(), 1);
        std::fs::remove_file(file).unwrap();
        assert!(!std::path::Path::new("/no/such/folder").exists());
        store("/no/such/folder/history", &facts(0..1, 2.0));
    }
}
