//! Memory accounting: process, query, reservation.
//!
//! Whoever holds bytes reserves them first. A reservation grows in one atomic step per pool on the way
//! up; if there is no room, those who hold what they can do without ([`Reclaim`]) are asked to give it back, in the own
//! pool first. A refusal says who asked, what is used and which setting decides. Reservations take their
//! bytes in chunks of 1 MiB from the pool, so that small steps cost no shared write.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use firesteel_common::{Error, ErrorKind, Result, show};
use parking_lot::Mutex;

const CHUNK: usize = 1 << 20;

/// Bytes that may be held together; pools form a tree.
#[derive(Debug)]
pub struct MemoryPool {
    name: String,
    limit: Option<usize>,
    used: AtomicUsize,
    peak: AtomicUsize,
    parent: Option<Arc<MemoryPool>>,
    /// Live reservations by operator, for the error text. Touched only when one starts, ends or grows a chunk.
    holders: Mutex<Vec<(String, Arc<AtomicUsize>)>>,
    /// Who may have something to give back, here and in the pools below.
    reclaimers: Mutex<Vec<Weak<dyn Reclaim>>>,
}

/// Who holds memory that it can do without, such as rows that nobody reads yet.
pub trait Reclaim: Send + Sync + std::fmt::Debug {
    /// Gives back at least `bytes`, if it has them; returns how many. It is called on a thread that waits for them and
    /// must not ask for memory itself.
    ///
    /// Errors: why they could not be put elsewhere; whoever asked fails with it.
    fn reclaim(&self, bytes: usize) -> Result<usize>;
}

impl MemoryPool {
    /// The pool of a process.
    pub fn root(limit: usize) -> Arc<Self> {
        Self::build("process".to_owned(), Some(limit), None)
    }

    /// A pool whose bytes also count in this one, such as that of a query.
    pub fn child(self: &Arc<Self>, name: impl Into<String>, limit: Option<usize>) -> Arc<Self> {
        Self::build(name.into(), limit, Some(self.clone()))
    }

    fn build(name: String, limit: Option<usize>, parent: Option<Arc<Self>>) -> Arc<Self> {
        let holders = Mutex::new(Vec::new());
        let reclaimers = Mutex::default();
        Arc::new(Self {
            name,
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            parent,
            holders,
            reclaimers,
        })
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Most bytes that were held at a time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit of this pool or of the nearest one above that has one.
    pub fn limit(&self) -> Option<usize> {
        self.limit.or_else(|| self.parent.as_ref().and_then(|p| p.limit()))
    }

    /// An empty reservation for `operator`, such as `HashJoin build (stage 2)`.
    pub fn reserve(self: &Arc<Self>, operator: impl Into<String>) -> Reservation {
        let held = Arc::new(AtomicUsize::new(0));
        self.holders.lock().push((operator.into(), held.clone()));
        Reservation { pool: self.clone(), held, usage: None, bytes: 0, granted: 0 }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if self.limit.is_some_and(|limit| before + bytes > limit) {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        if let Some(parent) = &self.parent
            && !parent.try_take(bytes)
        {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        true
    }

    /// Lets `reclaimer` be asked when there is no room, for as long as it lives.
    pub fn register(&self, reclaimer: &Arc<dyn Reclaim>) {
        let mut reclaimers = self.reclaimers.lock();
        reclaimers.retain(|known| known.strong_count() > 0);
        reclaimers.push(Arc::downgrade(reclaimer));
        drop(reclaimers);
        if let Some(parent) = &self.parent {
            parent.register(reclaimer);
        }
    }

    /// As [`Self::try_take`], after others have given back what is missing.
    fn take_reclaimed(&self, bytes: usize) -> Result<bool> {
        loop {
            let freed = self.reclaim(self.missing(bytes).max(1))?;
            // What came free may have gone to somebody else; and somebody else may have given back.
            if self.try_take(bytes) {
                return Ok(true);
            }
            if freed == 0 {
                return Ok(false);
            }
        }
    }

    /// By how much `bytes` more would exceed a limit.
    fn missing(&self, bytes: usize) -> usize {
        let own = self.limit.map_or(0, |limit| (self.used() + bytes).saturating_sub(limit));
        self.parent.as_ref().map_or(own, |parent| own.max(parent.missing(bytes)))
    }

    fn reclaim(&self, bytes: usize) -> Result<usize> {
        let reclaimers: Vec<_> = self.reclaimers.lock().iter().filter_map(Weak::upgrade).collect();
        let mut freed = 0;
        for reclaimer in reclaimers {
            freed += reclaimer.reclaim(bytes - freed)?;
            if freed >= bytes {
                return Ok(freed);
            }
        }
        match &self.parent {
            Some(parent) => Ok(freed + parent.reclaim(bytes - freed)?),
            None => Ok(freed),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.give_back(bytes);
        }
    }

    fn refusal(&self, operator: &str, asked: usize) -> Error {
        let used = self.used();
        let limit = self.limit().unwrap_or(0);
        let mut holders: Vec<(usize, String)> =
            self.holders.lock().iter().map(|(name, held)| (held.load(Ordering::Relaxed), name.clone())).collect();
        holders.sort_by(|a, b| b.cmp(a));
        holders.truncate(3);
        let top: Vec<String> = holders
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, name)| format!("{name} {}", show::bytes(*bytes as u64)))
            .collect();
        let message = format!(
            "Unable to acquire {} of memory for {operator}: process {}, {}: {} of {} in use. Largest holders: {}.",
            show::bytes(asked as u64),
            std::process::id(),
            self.name,
            show::bytes(used as u64),
            show::bytes(limit as u64),
            if top.is_empty() { "none".to_owned() } else { top.join(", ") }
        );
        Error::new(ErrorKind::OutOfMemory, "UNABLE_TO_ACQUIRE_MEMORY", "53200", message).with_hint(
            "raise the limit with `--memory` or `SET firesteel.memory.limit`, or use fewer `firesteel.threads`",
        )
    }
}

/// Bytes that a part of a query holds, such as an operator in all its tasks, and the most that it held at a time.
/// Parts form a tree; a whole counts what its parts hold. Nothing is limited here: that is the pool's part.
#[derive(Debug, Default)]
pub struct Usage {
    used: AtomicUsize,
    peak: AtomicUsize,
    spilled: AtomicU64,
    whole: Option<Arc<Usage>>,
}

impl Usage {
    /// A part of this one.
    pub fn part(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { whole: Some(self.clone()), ..Self::default() })
    }

    /// Most bytes that were held at a time.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    /// Bytes that were moved to disk.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Notes that `bytes` were moved to disk.
    pub fn add_spilled(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_spilled(bytes);
        }
    }

    fn change(&self, from: usize, to: usize) {
        if to > from {
            let used = self.used.fetch_add(to - from, Ordering::Relaxed) + (to - from);
            self.peak.fetch_max(used, Ordering::Relaxed);
        } else if to < from {
            self.used.fetch_sub(from - to, Ordering::Relaxed);
        }
        if let Some(whole) = &self.whole {
            whole.change(from, to);
        }
    }
}

/// Bytes held by one operator of one task. Given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<MemoryPool>,
    held: Arc<AtomicUsize>,
    /// Where else the bytes are counted.
    usage: Option<Arc<Usage>>,
    /// What the holder says it holds.
    bytes: usize,
    /// What was taken from the pool: `bytes` rounded up to chunks.
    granted: usize,
}

impl Reservation {
    /// Counts what is reserved from now on in `usage`, too.
    #[must_use]
    pub fn counted_in(mut self, usage: Arc<Usage>) -> Self {
        usage.change(0, self.bytes);
        self.usage = Some(usage);
        self
    }

    /// Bytes reserved.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Reserves `bytes` more.
    ///
    /// Errors: `UNABLE_TO_ACQUIRE_MEMORY`; the reservation stays as it was.
    pub fn try_grow(&mut self, bytes: usize) -> Result<()> {
        self.try_resize(self.bytes + bytes)
    }

    /// Reserves `bytes` more if nobody has to give anything back for it; returns whether it did.
    pub fn grow_if_room(&mut self, bytes: usize) -> bool {
        let wanted = self.bytes + bytes;
        if wanted > self.granted {
            let granted = wanted.next_multiple_of(CHUNK);
            if !self.pool.try_take(granted - self.granted) {
                return false;
            }
            self.granted = granted;
        }
        self.try_resize(wanted).is_ok()
    }

    /// Makes the reservation `bytes` large.
    ///
    /// Errors: as [`Reservation::try_grow`]. Shrinking never fails.
    pub fn try_resize(&mut self, bytes: usize) -> Result<()> {
        let needed = if bytes < CHUNK / 16 { bytes } else { bytes.next_multiple_of(CHUNK) };
        if needed > self.granted {
            let more = needed - self.granted;
            // A chunk that does not fit may still fit exactly.
            if self.pool.try_take(more) {
                self.granted = needed;
            } else if bytes > self.granted {
                let exact = bytes - self.granted;
                if !self.pool.try_take(exact) && !self.pool.take_reclaimed(exact)? {
                    return Err(self.pool.refusal(&self.operator(), exact));
                }
                self.granted = bytes;
            }
        } else if needed < self.granted {
            self.pool.give_back(self.granted - needed);
            self.granted = needed;
        }
        if let Some(usage) = &self.usage {
            usage.change(self.bytes, bytes);
        }
        self.bytes = bytes;
        self.held.store(self.granted, Ordering::Relaxed);
        Ok(())
    }

    /// Gives `bytes` back.
    pub fn shrink(&mut self, bytes: usize) {
        let smaller = self.bytes.saturating_sub(bytes);
        // Cannot fail: nothing is taken.
        let _ = self.try_resize(smaller);
    }

    /// Gives all back.
    pub fn free(&mut self) {
        self.shrink(self.bytes);
    }

    fn operator(&self) -> String {
        let holders = self.pool.holders.lock();
        let own = holders.iter().find(|(_, held)| Arc::ptr_eq(held, &self.held));
        own.map_or_else(String::new, |(name, _)| name.clone())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(usage) = &self.usage {
            usage.change(self.bytes, 0);
        }
        self.pool.give_back(self.granted);
        self.pool.holders.lock().retain(|(_, held)| !Arc::ptr_eq(held, &self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_all_that_matters_and_changes_nothing() {
        let process = MemoryPool::root(10 << 20);
        let query = process.child("query 7", None);
        let mut a = query.reserve("HashJoin build (stage 2)");
        a.try_grow(8 << 20).unwrap();
        let mut b = query.reserve("HashAggregate (stage 3)");
        let error = b.try_grow(5 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let text = error.render();
        for part in ["HashAggregate (stage 3)", "query 7", "5 MiB", "8 MiB of 10 MiB", "HashJoin build", "--memory"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(b.size(), 0);
        drop(a);
        b.try_grow(5 << 20).unwrap();
        drop(b);
        assert_eq!((process.used(), query.used()), (0, 0));
        assert_eq!(query.peak(), 8 << 20);
    }

    #[test]
    fn usage_is_that_of_all_tasks_together() {
        let pool = MemoryPool::root(10 << 20);
        let stage = Arc::new(Usage::default());
        let (sort, window) = (stage.part(), stage.part());
        let mut first = pool.reserve("Sort").counted_in(sort.clone());
        let mut second = pool.reserve("Sort").counted_in(sort.clone());
        first.try_grow(100).unwrap();
        second.try_grow(50).unwrap();
        first.free();
        let mut third = pool.reserve("Window").counted_in(window.clone());
        third.try_grow(70).unwrap();
        drop((first, second));
        third.try_grow(100).unwrap();
        assert_eq!((sort.peak(), window.peak(), stage.peak()), (150, 170, 170));
        drop(third);
        assert_eq!(stage.used.load(Ordering::Relaxed), 0);
    }

    #[derive(Debug)]
    struct Keeper(Mutex<Reservation>);

    impl Reclaim for Keeper {
        fn reclaim(&self, bytes: usize) -> Result<usize> {
            let mut held = self.0.lock();
            let freed = bytes.min(held.size());
            held.shrink(freed);
            Ok(freed)
        }
    }

    #[test]
    fn what_others_can_do_without_is_taken_from_the_own_query_first() {
        let process = MemoryPool::root(10 << 20);
        let keeper = |name: &str| {
            let pool = process.child(name, None);
            let mut held = pool.reserve("Exchange");
            held.try_grow(4 << 20).unwrap();
            let keeper = Arc::new(Keeper(Mutex::new(held)));
            let reclaim: Arc<dyn Reclaim> = keeper.clone();
            pool.register(&reclaim);
            (pool, keeper)
        };
        let ((other, theirs), (query, own)) = (keeper("query 1"), keeper("query 2"));
        let mut sort = query.reserve("Sort");
        sort.try_grow(5 << 20).unwrap();
        assert_eq!((theirs.0.lock().size(), own.0.lock().size()), (4 << 20, 1 << 20));
        sort.try_grow(4 << 20).unwrap();
        assert_eq!((other.used(), own.0.lock().size()), (1 << 20, 0));
        assert!(sort.try_grow(2 << 20).is_err());
        assert_eq!(process.used(), 9 << 20, "all was given back, to no avail");
    }

    #[test]
    fn what_grows_if_there_is_room_takes_nothing_from_others() {
        let process = MemoryPool::root(10 << 20);
        let query = process.child("query 1", None);
        let mut held = query.reserve("Exchange");
        held.try_grow(4 << 20).unwrap();
        let keeper = Arc::new(Keeper(Mutex::new(held)));
        let reclaim: Arc<dyn Reclaim> = keeper.clone();
        query.register(&reclaim);
        let mut pages = query.reserve("pages");
        assert!(pages.grow_if_room(100) && pages.grow_if_room(5 << 20));
        assert!(!pages.grow_if_room(1 << 20));
        assert_eq!((pages.size(), keeper.0.lock().size()), (100 + (5 << 20), 4 << 20));
        pages.free();
        assert_eq!(process.used(), 4 << 20);
    }

    #[test]
    fn growing_up_to_the_limit_is_exact() {
        let pool = MemoryPool::root(1_500_000);
        let mut r = pool.reserve("Sort");
        r.try_grow(1_400_000).unwrap();
        r.try_grow(100_000).unwrap();
        assert!(r.try_grow(1).is_err());
        r.shrink(1_500_000);
        assert_eq!(pool.used(), 0);
    }
}
