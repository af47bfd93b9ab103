//! Watches what is written to an exchange while it is written, and tells when that is too much: once, and again only
//! after it was less in between, since an attempt has failed.
//!
//! Invariant: what an attempt has written counts until it is dropped without having committed first, so the numbers
//! are a lower bound of what the exchange will have (but for an attempt that fails later).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rows and bytes written so far, and who wants to know if they are too many.
pub struct Watch {
    rows: AtomicU64,
    bytes: AtomicU64,
    told: AtomicBool,
    is_too_much: Box<dyn Fn(u64, u64) -> bool + Send + Sync>,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, bytes) = self.written();
        f.debug_struct("Watch").field("rows", &rows).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl Watch {
    /// Calls `tell` when `is_too_much` becomes true of the rows and bytes. Both are called by the
    /// threads that write: they must be quick.
    pub fn new(
        is_too_much: impl Fn(u64, u64) -> bool + Send + Sync + 'static,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (rows, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let (is_too_much, tell) = (Box::new(is_too_much), Box::new(tell));
        Arc::new(Self { rows, bytes, told: AtomicBool::new(false), is_too_much, tell })
    }

    /// Rows and bytes so far.
    pub(crate) fn written(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// What one attempt has written to a watched exchange; taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    watch: Option<Arc<Watch>>,
    rows: u64,
    bytes: u64,
}

impl Watched {
    pub(crate) fn new(watch: Option<Arc<Watch>>) -> Self {
        Self { watch, rows: 0, bytes: 0 }
    }

    pub(crate) fn add(&mut self, rows: u64, bytes: u64) {
        let Some(watch) = &self.watch else { return };
        self.rows += rows;
        self.bytes += bytes;
        let rows = watch.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = watch.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if (watch.is_too_much)(rows, bytes) && !watch.told.swap(true, Ordering::Relaxed) {
            (watch.tell)();
        }
    }

    /// It has been committed: it counts for good.
    pub(crate) fn commit(mut self) {
        self.watch = None;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            let rows = watch.rows.fetch_sub(self.rows, Ordering::Relaxed) - self.rows;
            let bytes = watch.bytes.fetch_sub(self.bytes, Ordering::Relaxed) - self.bytes;
            if !(watch.is_too_much)(rows, bytes) {
                watch.told.store(false, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_and_forgets_what_was_not_committed_and_tells_again() {
        let told = Arc::new(AtomicU64::new(0));
        let tell = told.clone();
        let watch = Watch::new(
            |rows, bytes| rows > 10 || bytes > 100,
            move || {
                tell.fetch_add(1, Ordering::Relaxed);
            },
        );
        let told = || told.load(Ordering::Relaxed);
        let writer = || Watched::new(Some(watch.clone()));
        let (mut kept, mut lost) = (writer(), writer());
        kept.add(4, 40);
        lost.add(6, 60);
        assert_eq!((watch.written(), told()), ((10, 100), 0));
        lost.add(0, 1);
        lost.add(5, 5);
        assert_eq!((watch.written(), told()), ((15, 106), 1));
        drop(lost);
        kept.commit();
        assert_eq!((watch.written(), told()), ((4, 40), 1));
        let mut again = writer();
        again.add(7, 70);
        again.add(1, 10);
        assert_eq!((watch.written(), told()), ((12, 120), 2));
        Watched::new(None).add(1, 1);
    }
}
