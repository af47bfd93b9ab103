//! Where the bytes of a file are, and reading ranges of them.
//!
//! Local files and memory are read synchronously, by position and without a shared cursor, on the
//! thread that decodes: that thread would wait for the bytes anyway, and the page cache usually has
//! them. Remote objects are fetched in advance, as ranges, and then decoded from memory. Decoders see
//! one [`ByteSource`] for all three.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use firesteel_catalog::ScanMetrics;
use firesteel_common::{Error, Result, hash};
use object_store::ObjectStoreExt;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::buffers::PageBuffer;
use crate::stores::RemoteStore;

/// What holds the bytes of a file.
#[derive(Clone, Debug)]
pub enum Storage {
    /// A file of this machine.
    Local(PathBuf),
    /// Bytes in memory.
    Memory(Bytes),
    /// An object of a store.
    Remote(Arc<RemoteStore>, object_store::path::Path),
}

/// A file of a table.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path or URL, for messages and as identity.
    pub location: Arc<str>,
    /// Its bytes.
    pub storage: Storage,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change in nanoseconds, or 0 if unknown.
    pub modified: i128,
    /// Names and values of `k=v` directories above it, outermost first; NULL is `None`.
    pub partitions: Vec<(String, Option<String>)>,
}

impl SourceFile {
    /// A file whose bytes are in memory, such as sample data that are part of the program.
    pub fn memory(name: &str, bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        let storage = Storage::Memory(bytes);
        Self { location: Arc::from(name), storage, size, modified: 0, partitions: Vec::new() }
    }

    /// Several files as a number that changes with their names, sizes and times, whatever their order. `None` if a time is
    /// not known.
    pub(crate) fn identity<'a>(files: impl Iterator<Item = &'a Self>) -> Option<u64> {
        files
            .map(|file| {
                let times = [file.size, file.modified as u64, (file.modified >> 64) as u64];
                let hash = times.into_iter().fold(hash::hash_bytes(file.location.as_bytes()), hash::combine);
                (file.modified != 0).then(|| hash::hash_u64(hash))
            })
            .try_fold(1u64, |all, file| Some(all.wrapping_add(file?)))
    }

    /// Whether reading it needs no waiting for a network.
    pub fn is_local(&self) -> bool {
        !matches!(self.storage, Storage::Remote(..))
    }

    /// The bytes, for a file that [`SourceFile::is_local`].
    pub(crate) fn open(&self, metrics: Option<Arc<ScanMetrics>>) -> Result<ByteSource> {
        let bytes = match &self.storage {
            Storage::Local(path) => Held::File(Arc::new(File::open(path).map_err(|e| self.unreadable(&e))?)),
            Storage::Memory(bytes) => Held::Memory(bytes.clone()),
            Storage::Remote(..) => return Err(Error::internal("a remote file is fetched before it is opened")),
        };
        Ok(ByteSource { held: bytes, size: self.size, metrics })
    }

    /// `ranges` of a remote file, as a source that has nothing else. Near ranges are one request.
    pub(crate) async fn fetch(
        &self,
        ranges: Vec<std::ops::Range<u64>>,
        metrics: Option<Arc<ScanMetrics>>,
    ) -> Result<ByteSource> {
        let Storage::Remote(store, path) = &self.storage else { return self.open(metrics) };
        let starts: Vec<u64> = ranges.iter().map(|r| r.start).collect();
        let (inner, path) = (store.store(), path.clone());
        let parts = store.run(&self.location, async move { inner.get_ranges(&path, &ranges).await }).await?;
        let parts = starts.into_iter().zip(parts).collect();
        Ok(ByteSource { held: Held::Ranges(Arc::new(parts)), size: self.size, metrics })
    }

    /// All bytes.
    pub(crate) async fn read_all(&self) -> Result<Bytes> {
        match &self.storage {
            Storage::Local(path) => Ok(Bytes::from(std::fs::read(path).map_err(|e| self.unreadable(&e))?)),
            Storage::Memory(bytes) => Ok(bytes.clone()),
            Storage::Remote(store, path) => {
                let (inner, path) = (store.store(), path.clone());
                store.run(&self.location, async move { inner.get(&path).await?.bytes().await }).await
            }
        }
    }

    /// `FAILED_READ_FILE.NO_HINT`: the file could not be read; another attempt may succeed.
    pub(crate) fn unreadable(&self, why: &dyn std::fmt::Display) -> Error {
        let message = format!("Encountered error while reading file {}. {why}", self.location);
        Error::new(firesteel_common::ErrorKind::Io, "FAILED_READ_FILE.NO_HINT", "KD001", message)
    }

    /// `FAILED_READ_FILE.NO_HINT`: what the file holds is wrong.
    pub(crate) fn damaged(&self, why: &dyn std::fmt::Display) -> Error {
        let message = format!("Encountered error while reading file {}. {why}", self.location);
        Error::new(firesteel_common::ErrorKind::Data, "FAILED_READ_FILE.NO_HINT", "KD001", message)
    }
}

/// Bytes of a file that can be had at once.
#[derive(Clone, Debug)]
pub(crate) struct ByteSource {
    held: Held,
    size: u64,
    metrics: Option<Arc<ScanMetrics>>,
}

#[derive(Clone, Debug)]
enum Held {
    File(Arc<File>),
    Memory(Bytes),
    /// Parts with their offsets.
    Ranges(Arc<Vec<(u64, Bytes)>>),
}

impl Length for ByteSource {
    fn len(&self) -> u64 {
        self.size
    }
}

/// Reads on from a position; used for page headers of files without an offset index.
#[derive(Debug)]
pub(crate) struct Cursor {
    source: ByteSource,
    offset: u64,
    buffer: Bytes,
}

/// Enough for a page header.
const HEADER_BYTES: u64 = 512;

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.buffer.is_empty() {
            let length = HEADER_BYTES.min(self.source.size.saturating_sub(self.offset));
            if length == 0 {
                return Ok(0);
            }
            self.buffer = self.source.available(self.offset, length as usize).map_err(std::io::Error::other)?;
            self.offset += self.buffer.len() as u64;
        }
        let n = out.len().min(self.buffer.len());
        out[..n].copy_from_slice(&self.buffer[..n]);
        self.buffer.advance(n);
        Ok(n)
    }
}

impl ByteSource {
    /// Up to `length` bytes from `start` on, at least one.
    fn available(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let Held::Ranges(parts) = &self.held else { return self.get_bytes(start, length) };
        let part = parts.iter().find(|(at, bytes)| *at <= start && start < at + bytes.len() as u64);
        let (at, bytes) = part.ok_or_else(|| eof(start, length))?;
        let from = (start - at) as usize;
        Ok(bytes.slice(from..bytes.len().min(from + length)))
    }
}

fn eof(start: u64, length: usize) -> ParquetError {
    ParquetError::EOF(format!("{length} bytes at offset {start} are not in the file"))
}

impl ChunkReader for ByteSource {
    type T = Cursor;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Cursor> {
        Ok(Cursor { source: self.clone(), offset: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(eof(start, length));
        }
        if let Some(metrics) = &self.metrics {
            ScanMetrics::add(&metrics.bytes, length as u64);
        }
        match &self.held {
            Held::File(file) => {
                let mut buffer = PageBuffer::take(length);
                file.read_exact_at(buffer.filled(), start)?;
                Ok(buffer.into_bytes())
            }
            Held::Memory(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Held::Ranges(parts) => {
                let found = parts.iter().find_map(|(at, bytes)| {
                    let from = start.checked_sub(*at)? as usize;
                    (from + length <= bytes.len()).then(|| bytes.slice(from..from + length))
                });
                found.ok_or_else(|| eof(start, length))
            }
        }
    }
}
