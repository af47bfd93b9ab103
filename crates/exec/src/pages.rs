//! Pages that the scans of one query share.
//!
//! The planner counts how many scans are still to read each column ([`ColumnReaders`]). What a scan decompresses of a
//! column that another one will read is kept as long as that is so, in memory that nobody else asks for: it comes out of
//! a quarter of the limit at most, no one has to give anything back for it, and it is given back first, since reading a
//! page again costs less than writing rows to disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use firesteel_catalog::{ColumnReaders, PageKey, PageStore, SharedColumns, SharedPage};
use firesteel_common::{Result, TableId};
use firesteel_runtime::{MemoryPool, Reclaim, Reservation};
use parking_lot::Mutex;

/// Holds the pages of a query.
#[derive(Debug)]
pub struct SharedPages {
    kept: Mutex<Kept>,
    /// Most bytes to keep.
    most: usize,
    own: Weak<Self>,
}

struct Kept {
    readers: ColumnReaders,
    pages: HashMap<PageKey, (SharedPage, usize)>,
    memory: Reservation,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("readers", &self.readers).field("pages", &self.pages.len()).finish_non_exhaustive()
    }
}

impl SharedPages {
    /// An empty store, whose bytes are part of `memory`.
    pub fn new(memory: &Arc<MemoryPool>) -> Arc<Self> {
        let kept = Kept {
            readers: ColumnReaders::new(),
            pages: HashMap::new(),
            memory: memory.reserve("pages that scans share"),
        };
        let most = memory.limit().map_or(usize::MAX, |limit| limit / 4);
        let this = Arc::new_cyclic(|own| Self { kept: Mutex::new(kept), most, own: own.clone() });
        let reclaim: Arc<dyn Reclaim> = this.clone();
        memory.register(&reclaim);
        this
    }

    /// Takes in how many scans run or are still to run, and lets go of what none of them reads.
    pub fn share(&self, readers: ColumnReaders) {
        let mut kept = self.kept.lock();
        let is_read = |key: &PageKey| readers.get(&key.table).is_some_and(|columns| columns.contains_key(&key.column));
        kept.drop_pages(|key, _| !is_read(key));
        kept.readers = readers;
    }

    /// What a scan of `table` that is started now shares; `None` if that is nothing.
    pub fn columns(&self, table: TableId) -> Option<SharedColumns> {
        let kept = self.kept.lock();
        let with_pages: BTreeSet<usize> =
            kept.pages.keys().filter(|key| key.table == table).map(|key| key.column).collect();
        let columns: BTreeMap<usize, bool> = kept
            .readers
            .get(&table)?
            .iter()
            .filter(|(column, scans)| **scans > 1 || with_pages.contains(column))
            .map(|(column, scans)| (*column, *scans > 1))
            .collect();
        let store = self.own.upgrade()?;
        (!columns.is_empty()).then(|| SharedColumns { store, table, columns: Arc::new(columns) })
    }
}

impl Kept {
    fn drop_pages(&mut self, mut unwanted: impl FnMut(&PageKey, usize) -> bool) {
        let mut freed = 0;
        self.pages.retain(|key, (_, bytes)| {
            let goes = unwanted(key, *bytes);
            freed += if goes { *bytes } else { 0 };
            !goes
        });
        self.memory.shrink(freed);
    }
}

impl PageStore for SharedPages {
    fn get(&self, key: &PageKey) -> Option<SharedPage> {
        self.kept.lock().pages.get(key).map(|(page, _)| page.clone())
    }

    fn keep(&self, key: PageKey, page: SharedPage, bytes: usize) {
        let mut kept = self.kept.lock();
        // Two tasks may have read the same page.
        if kept.pages.contains_key(&key) || kept.memory.size() + bytes > self.most {
            return;
        }
        if kept.memory.grow_if_room(bytes) {
            kept.pages.insert(key, (page, bytes));
        }
    }
}

impl Reclaim for SharedPages {
    fn reclaim(&self, bytes: usize) -> Result<usize> {
        let mut kept = self.kept.lock();
        let before = kept.memory.size();
        let mut left = bytes;
        kept.drop_pages(|_, size| {
            let goes = left > 0;
            left = left.saturating_sub(size);
            goes
        });
        Ok(before - kept.memory.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(7);

    fn readers(counts: &[(usize, usize)]) -> ColumnReaders {
        ColumnReaders::from([(TABLE, counts.iter().copied().collect())])
    }

    fn key(column: usize, row: u64) -> PageKey {
        PageKey { table: TABLE, column, part: 0, group: 0, row: Some(row) }
    }

    #[test]
    fn pages_live_as_long_as_a_scan_may_read_them() {
        let memory = MemoryPool::root(64 << 20);
        let store = SharedPages::new(&memory);
        assert!(store.columns(TABLE).is_none());
        store.share(readers(&[(0, 1), (1, 2), (2, 2)]));
        let first = store.columns(TABLE).unwrap();
        assert_eq!(*first.columns, BTreeMap::from([(1, true), (2, true)]));
        let chunk = first.chunk(1, 0, 0, &Arc::default()).unwrap();
        chunk.keep(Some(5), Arc::new("page"), 100);
        chunk.keep(Some(5), Arc::new("again"), 100);
        first.chunk(2, 0, 0, &Arc::default()).unwrap().keep(None, Arc::new(3u64), 50);
        assert_eq!(memory.used(), 150);

        // The first scan has ended: the second one takes what is there, and keeps nothing.
        store.share(readers(&[(0, 1), (1, 1)]));
        assert_eq!(memory.used(), 100);
        let second = store.columns(TABLE).unwrap();
        assert_eq!(*second.columns, BTreeMap::from([(1, false)]));
        let metrics = Arc::default();
        let chunk = second.chunk(1, 0, 0, &metrics).unwrap();
        assert_eq!(chunk.get::<&str>(Some(5)).as_deref(), Some(&"page"));
        assert!(chunk.get::<u64>(Some(5)).is_none() && chunk.get::<&str>(None).is_none());
        assert_eq!(metrics.pages_shared.load(std::sync::atomic::Ordering::Relaxed), 1);
        chunk.keep(Some(6), Arc::new("page"), 100);
        store.share(ColumnReaders::new());
        assert!(store.columns(TABLE).is_none());
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn pages_take_what_is_left_and_are_given_back() {
        let memory = MemoryPool::root(8 << 20);
        let store = SharedPages::new(&memory);
        for row in 0..10 {
            store.keep(key(0, row), Arc::new(row), 600 << 10);
        }
        let kept = |rows: std::ops::Range<u64>| rows.filter(|row| store.get(&key(0, *row)).is_some()).count();
        assert_eq!(kept(0..10), 3, "a quarter of the limit");
        let mut sort = memory.reserve("Sort");
        sort.try_grow(7 << 20).unwrap();
        assert!(kept(0..10) < 3);
        sort.try_grow(1 << 20).unwrap();
        assert_eq!((kept(0..10), memory.used()), (0, 8 << 20));
        store.keep(key(0, 20), Arc::new(20), 10);
        assert_eq!(kept(20..21), 0, "there is no room");
    }
}
