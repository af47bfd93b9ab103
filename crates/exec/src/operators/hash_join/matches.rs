//! What is known of build rows while tasks probe: which have matched, and which tasks have ended.
//!
//! The bits are shared by all tasks of a stage and only ever set, so that an attempt that is tried again does no
//! harm. Tasks report the end of their input under a lock, which also makes their bits visible to
//! the last one: it returns the build rows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// A set of build rows that grows from many threads.
#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(rows: usize) -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(rows.div_ceil(64)).collect())
    }

    #[inline]
    fn get(&self, row: u32) -> bool {
        self.0[row as usize / 64].load(Ordering::Relaxed) >> (row % 64) & 1 == 1
    }

    #[inline]
    fn set(&self, row: u32) {
        let (word, bit) = (&self.0[row as usize / 64], 1 << (row % 64));
        // Most rows that match do so more than once: a load is cheaper than a locked instruction.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// What a join must remember of each build row.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::operators) struct Remember {
    /// Whether it has matched.
    pub(in crate::operators) matched: bool,
    /// Who matched it, so that a second match is found out.
    pub(in crate::operators) owner: bool,
}

/// See the module.
#[derive(Debug)]
pub(in crate::operators) struct Matches {
    matched: Option<Bits>,
    owners: Option<Vec<AtomicU64>>,
    end: Mutex<End>,
    /// Some probe row was seen; kept for null-aware joins only.
    probe_seen: AtomicBool,
    /// A probe row with a NULL key was seen.
    probe_null: AtomicBool,
}

#[derive(Debug)]
struct End {
    reported: Vec<bool>,
    missing: usize,
    last: Option<u32>,
}

impl Matches {
    pub(in crate::operators) fn new(rows: usize, tasks: usize, remember: Remember) -> Self {
        let owners = || std::iter::repeat_with(AtomicU64::default).take(rows).collect();
        Self {
            matched: remember.matched.then(|| Bits::new(rows)),
            owners: remember.owner.then(owners),
            end: Mutex::new(End { reported: vec![false; tasks], missing: tasks, last: None }),
            probe_seen: AtomicBool::new(false),
            probe_null: AtomicBool::new(false),
        }
    }

    /// Bytes held.
    pub(in crate::operators) fn bytes(rows: usize, remember: Remember) -> usize {
        let bits = if remember.matched { rows.div_ceil(64) * 8 } else { 0 };
        bits + if remember.owner { rows * 8 } else { 0 }
    }

    #[inline]
    pub(in crate::operators) fn is_matched(&self, row: u32) -> bool {
        self.matched.as_ref().is_some_and(|bits| bits.get(row))
    }

    #[inline]
    pub(in crate::operators) fn set_matched(&self, row: u32) {
        if let Some(bits) = &self.matched {
            bits.set(row);
        }
    }

    /// Records that `row` has its one match from an attempt of a task. False if it had one already; what an
    /// earlier attempt of the same task found does not count.
    pub(in crate::operators) fn claim(&self, row: u32, task: u32, attempt: u32) -> bool {
        let Some(owners) = &self.owners else { return true };
        let mine = (u64::from(task) + 1) << 32 | u64::from(attempt);
        let owner = &owners[row as usize];
        let update = |held: u64| (held == 0 || (held >> 32 == mine >> 32 && held < mine)).then_some(mine);
        owner.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).is_ok()
    }

    pub(in crate::operators) fn note_probe(&self, any: bool, null: bool) {
        if any {
            self.probe_seen.store(true, Ordering::Relaxed);
        }
        if null {
            self.probe_null.store(true, Ordering::Relaxed);
        }
    }

    pub(in crate::operators) fn probe_seen(&self) -> bool {
        self.probe_seen.load(Ordering::Relaxed)
    }

    pub(in crate::operators) fn probe_null(&self) -> bool {
        self.probe_null.load(Ordering::Relaxed)
    }

    /// Task `task` has seen all its input. Whether it is the one that returns the build rows: the
    /// last to report, also when it is tried again.
    pub(in crate::operators) fn report_end(&self, task: u32) -> bool {
        let mut end = self.end.lock();
        if let Some(reported) = end.reported.get_mut(task as usize)
            && !std::mem::replace(reported, true)
        {
            end.missing -= 1;
            if end.missing == 0 {
                end.last = Some(task);
            }
        }
        end.last == Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_task_returns_the_rows_also_when_tried_again() {
        let matches = Matches::new(3, 2, Remember::default());
        assert!(!matches.report_end(1));
        assert!(!matches.report_end(1), "a second attempt of one task does not count twice");
        assert!(matches.report_end(0));
        assert!(matches.report_end(0));
        assert!(!matches.report_end(1));
    }

    #[test]
    fn a_claim_of_an_earlier_attempt_is_void() {
        let matches = Matches::new(3, 2, Remember { owner: true, ..Remember::default() });
        assert!(matches.claim(2, 0, 0));
        assert!(matches.claim(2, 0, 1));
        assert!(!matches.claim(2, 0, 1));
        assert!(!matches.claim(2, 1, 0));
        assert!(matches.claim(1, 1, 0));
    }
}
