//! Replacing a file as a whole.
//!
//! Invariant: a reader of the path sees the old text or the new one, never a part, and only files are replaced. A device or a
//! pipe (`/dev/null`, `/dev/stdout`) is written to: renaming a file over it would take it from every other program.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives the file at `path` these contents, by way of a temporary file beside it.
///
/// Fails with the errors of the file system; the file is then as it was.
pub fn replace_file(path: &Path, contents: &[u8]) -> Result<()> {
    if is_special(path) {
        return File::options().write(true).open(path)?.write_all(contents);
    }
    let temporary = beside(path);
    fs::write(&temporary, contents).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // Nothing else can be done about it.
        let _ = fs::remove_file(&temporary);
    })
}

/// Whether there is something at `path` that is neither a file nor a folder.
pub fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// A name that no other writer of `path` has, in this process or another.
fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let not_a_file = folder.path().join("folder");
        fs::create_dir(&not_a_file).unwrap();
        assert!(replace_file(&not_a_file, b"three").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_stay_what_they_are() {
        use std::os::unix::fs::FileTypeExt;
        use std::process::{Command, Stdio};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let reader = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        replace_file(&path, b"text").unwrap();
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"text");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
