//! Files for blocks that the memory has no room for.
//!
//! One file for each exchange, written at its end and read at any place. It is made when the first block is written,
//! and its name is removed at once where the system lets an open file go on without one (else when it is closed): so
//! nothing is left behind, however a query or the process ends. Each block is checked by its hash when it is read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use firesteel_common::hash::hash_bytes;
use firesteel_common::{Error, ErrorKind, Result};
use parking_lot::Mutex;

/// Makes names unique within the process.
static FILES: AtomicU64 = AtomicU64::new(0);

/// The file of an exchange.
#[derive(Debug)]
pub(crate) struct SpillFile {
    folder: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    end: u64,
    /// The name, if it could not be removed at once.
    path: Option<PathBuf>,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: u64,
    length: usize,
    hash: u64,
}

impl SpillFile {
    /// A file in `folder`; nothing is made yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: Mutex::new(None) }
    }

    /// Appends `data`.
    ///
    /// Errors: `SPILL_OUT_OF_MEMORY` if the disk does not take it.
    pub(crate) fn write(&self, data: &[u8]) -> Result<Place> {
        self.try_write(data).map_err(|error| {
            let folder = self.folder.display();
            let message = format!("Error while calling spill() on exchange : writing to {folder} failed: {error}");
            Error::new(ErrorKind::OutOfMemory, "SPILL_OUT_OF_MEMORY", "82003", message).with_hint(
                "make room there, name another folder by `SET firesteel.temp.dir`, or raise the limit by `--memory`",
            )
        })
    }

    fn try_write(&self, data: &[u8]) -> std::io::Result<Place> {
        let mut open = self.open.lock();
        let open = match &mut *open {
            Some(open) => open,
            none => none.insert(create(&self.folder)?),
        };
        open.file.seek(SeekFrom::Start(open.end))?;
        if let Err(error) = open.file.write_all(data) {
            // What was written of it is of no use; if it stays, the next block is written over it.
            let _ = open.file.set_len(open.end);
            return Err(error);
        }
        let place = Place { start: open.end, length: data.len(), hash: hash_bytes(data) };
        open.end += data.len() as u64;
        Ok(place)
    }

    /// What was written at `place`.
    pub(crate) fn read(&self, place: Place) -> Result<Vec<u8>> {
        let failed = |what: String| Error::io(format!("A spilled block in {}: {what}", self.folder.display()));
        let mut data = vec![0; place.length];
        let mut open = self.open.lock();
        let file = &mut open.as_mut().ok_or_else(|| Error::internal("a spilled block has no file"))?.file;
        let read = file.seek(SeekFrom::Start(place.start)).and_then(|_| file.read_exact(&mut data));
        read.map_err(|error| failed(error.to_string()))?;
        drop(open);
        if hash_bytes(&data) == place.hash { Ok(data) } else { Err(failed("it is not what was written".to_owned())) }
    }
}

fn create(folder: &Path) -> std::io::Result<Open> {
    std::fs::create_dir_all(folder)?;
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("firesteel-spill-{}-{number}", std::process::id()));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    let kept = if cfg!(unix) && std::fs::remove_file(&path).is_ok() { None } else { Some(path) };
    Ok(Open { file, end: 0, path: kept })
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // There is nobody to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_a_changed_one_is_noticed() {
        let folder = std::env::temp_dir().join(format!("firesteel-spill-test-{}", std::process::id()));
        let file = SpillFile::new(&folder);
        assert!(!folder.exists(), "made when it is needed");
        let places: Vec<Place> = [&b"first"[..], b"", b"the third"].map(|data| file.write(data).unwrap()).to_vec();
        assert_eq!(file.read(places[2]).unwrap(), b"the third");
        assert_eq!(file.read(places[0]).unwrap(), b"first");
        assert!(file.read(places[1]).unwrap().is_empty());
        let torn = Place { length: 4, ..places[0] };
        assert_eq!(file.read(torn).unwrap_err().kind(), ErrorKind::Io);
        drop(file);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let path = std::env::temp_dir().join(format!("firesteel-spill-file-{}", std::process::id()));
        std::fs::write(&path, "not a folder").unwrap();
        let error = SpillFile::new(&path).write(b"x").unwrap_err();
        assert_eq!((error.condition(), error.sqlstate()), ("SPILL_OUT_OF_MEMORY", "82003"));
        assert!(error.render().contains(&path.display().to_string()) && error.render().contains("firesteel.temp.dir"));
        std::fs::remove_file(&path).unwrap();
    }
}
