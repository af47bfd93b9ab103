//! From a key to the build rows that have it.
//!
//! An index leads from a key to the *first* row with it; `next` leads from there to the other rows with the same
//! key, so that a fan-out compares no keys. Two ways to the first row, chosen when all keys are known:
//!
//! - *dense*: integers of a narrow span have a slot each;
//! - *hash*: slots by the low bits of the hash, each with a chain of distinct keys. A slot also has 32 bits, of which
//!   each key in its chain sets one by its hash: most misses end there without touching a key.
//!
//! Any number of threads insert at once, without locks: slots, chains and lists are atomic words that change by
//! compare-and-swap while the index is built, and are read as plain words afterwards.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arrow::buffer::NullBuffer;
use firesteel_common::{Error, Result};

use super::keys::{BuildKeys, KeyBatch, KeySlice, Keys};

/// No row.
pub(in crate::operators) const NONE: u32 = u32::MAX;

/// Slots that a dense index may always have: 1 MiB.
const SMALL_SPAN: u128 = 1 << 18;

#[derive(Debug)]
enum Slots {
    Dense { min: i64, first: Vec<AtomicU32> },
    Hash { slots: Vec<AtomicU64>, chain: Vec<AtomicU32> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct KeyIndex {
    keys: BuildKeys,
    comparable: Option<NullBuffer>,
    slots: Slots,
    /// Empty if only the existence of a key matters.
    next: Vec<AtomicU32>,
    duplicates: AtomicBool,
}

/// What an index is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexPlan {
    rows: usize,
    /// Least value and number of values, if dense.
    dense: Option<(i64, usize)>,
    keep_duplicates: bool,
}

impl IndexPlan {
    /// `range` is that of integer keys.
    pub(super) fn new(rows: usize, range: Option<(i64, i64)>, keep_duplicates: bool) -> Result<Self> {
        if rows >= NONE as usize {
            return Err(Error::unsupported("The build side of a join has more than 4 billion rows in one task."));
        }
        let dense = range.and_then(|(min, max)| {
            let span = u128::from(max.abs_diff(min)) + 1;
            (span <= SMALL_SPAN.max(8 * rows as u128)).then_some((min, span as usize))
        });
        Ok(Self { rows, dense, keep_duplicates })
    }

    /// The plan without the dense index, if it was one.
    pub(super) fn hashed(self) -> Self {
        Self { dense: None, ..self }
    }

    pub(super) fn is_dense(&self) -> bool {
        self.dense.is_some()
    }

    /// Bytes of the index, without the keys.
    pub(super) fn bytes(&self) -> usize {
        let next = if self.keep_duplicates { self.rows * 4 } else { 0 };
        next + match self.dense {
            Some((_, span)) => span * 4,
            None => self.rows.next_power_of_two() * 8 + self.rows * 4,
        }
    }
}

fn words(count: usize) -> Vec<AtomicU32> {
    std::iter::repeat_with(|| AtomicU32::new(NONE)).take(count).collect()
}

/// The bit of a hash in its slot. Neither the bits that choose the slot nor those that chose the partition.
#[inline]
fn tag(hash: u64) -> u64 {
    1 << (32 + (hash >> 40 & 31))
}

impl KeyIndex {
    /// An index without rows; [`KeyIndex::insert`] adds them.
    pub(super) fn new(plan: IndexPlan, keys: BuildKeys, comparable: Option<NullBuffer>) -> Self {
        let slots = match plan.dense {
            Some((min, span)) => Slots::Dense { min, first: words(span) },
            None => {
                let empty = || AtomicU64::new(u64::from(NONE));
                let slots = std::iter::repeat_with(empty).take(plan.rows.next_power_of_two()).collect();
                Slots::Hash { slots, chain: words(plan.rows) }
            }
        };
        let next = if plan.keep_duplicates { words(plan.rows) } else { Vec::new() };
        Self { keys, comparable, slots, next, duplicates: AtomicBool::new(false) }
    }

    /// The keys of all build rows.
    pub(super) fn keys(&self) -> &BuildKeys {
        &self.keys
    }

    /// Which build rows can match at all.
    pub(super) fn comparable(&self) -> Option<&NullBuffer> {
        self.comparable.as_ref()
    }

    /// Whether no two rows have the same key.
    pub(super) fn is_unique(&self) -> bool {
        !self.duplicates.load(Ordering::Relaxed)
    }

    /// The row after `row` with the same key, or [`NONE`].
    #[inline]
    pub(super) fn next(&self, row: u32) -> u32 {
        self.next.get(row as usize).map_or(NONE, |next| next.load(Ordering::Relaxed))
    }

    /// Adds the rows of a range; `alone` if no other thread inserts now or later.
    pub(super) fn insert(&self, rows: std::ops::Range<usize>, alone: bool) {
        match (&self.slots, &self.keys) {
            (Slots::Dense { min, first }, BuildKeys::Word(keys)) => self.insert_dense(rows, *min, first, keys, alone),
            (Slots::Hash { slots, chain }, BuildKeys::Word(keys)) => {
                self.insert_hashed(rows, slots, chain, keys, alone);
            }
            (Slots::Hash { slots, chain }, BuildKeys::Wide(keys)) => {
                self.insert_hashed(rows, slots, chain, keys, alone);
            }
            (Slots::Hash { slots, chain }, BuildKeys::Bytes(keys)) => {
                self.insert_hashed(rows, slots, chain, keys, alone);
            }
            (Slots::Dense { .. }, _) => {}
        }
    }

    fn is_comparable(&self, row: usize) -> bool {
        self.comparable.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    fn insert_dense(&self, rows: std::ops::Range<usize>, min: i64, first: &[AtomicU32], keys: &[u64], alone: bool) {
        for row in rows.filter(|row| self.is_comparable(*row)) {
            let slot = &first[keys[row].wrapping_sub(min as u64) as usize];
            let held = if alone {
                let held = slot.load(Ordering::Relaxed);
                if held == NONE {
                    slot.store(row as u32, Ordering::Relaxed);
                }
                held
            } else {
                let change = slot.compare_exchange(NONE, row as u32, Ordering::Relaxed, Ordering::Relaxed);
                change.err().unwrap_or(NONE)
            };
            if held != NONE {
                self.add_duplicate(held, row as u32);
            }
        }
    }

    fn add_duplicate(&self, first: u32, row: u32) {
        if !self.duplicates.load(Ordering::Relaxed) {
            self.duplicates.store(true, Ordering::Relaxed);
        }
        if let Some(next) = self.next.get(first as usize) {
            let rest = next.swap(row, Ordering::Relaxed);
            self.next[row as usize].store(rest, Ordering::Relaxed);
        }
    }

    fn insert_hashed<K: KeySlice>(
        &self,
        rows: std::ops::Range<usize>,
        slots: &[AtomicU64],
        chain: &[AtomicU32],
        keys: &K,
        alone: bool,
    ) {
        let mask = slots.len() - 1;
        for row in rows.filter(|row| self.is_comparable(*row)) {
            let key = keys.at(row);
            let hash = K::hash(key);
            let (slot, tag) = (&slots[hash as usize & mask], tag(hash));
            // Acquire: the chain behind a row that another thread has put here must be seen.
            let mut held = slot.load(Ordering::Acquire);
            loop {
                if held & tag != 0 {
                    let first = find(held as u32, chain, keys, key);
                    if first != NONE {
                        self.add_duplicate(first, row as u32);
                        break;
                    }
                }
                chain[row].store(held as u32, Ordering::Relaxed);
                let changed = held & !u64::from(NONE) | tag | row as u64;
                if alone {
                    // A locked instruction would wait for all loads before it.
                    slot.store(changed, Ordering::Relaxed);
                    break;
                }
                match slot.compare_exchange_weak(held, changed, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(now) => held = now,
                }
            }
        }
    }

    /// The first build row of each probe row, or [`NONE`].
    pub(super) fn lookup(&self, probe: &KeyBatch, out: &mut Vec<u32>) -> Result<()> {
        match (&self.slots, &self.keys, &probe.keys) {
            (Slots::Dense { min, first }, _, Keys::Word(keys)) => {
                out.clear();
                out.extend(keys.iter().map(|key| {
                    let slot = key.wrapping_sub(*min as u64) as usize;
                    first.get(slot).map_or(NONE, |first| first.load(Ordering::Relaxed))
                }));
                clear_incomparable(probe.comparable.as_ref(), out);
            }
            (Slots::Hash { slots, chain }, BuildKeys::Word(build), Keys::Word(keys)) => {
                lookup_hashed(slots, chain, build, keys, probe.comparable.as_ref(), out);
            }
            (Slots::Hash { slots, chain }, BuildKeys::Wide(build), Keys::Wide(keys)) => {
                lookup_hashed(slots, chain, build, keys, probe.comparable.as_ref(), out);
            }
            (Slots::Hash { slots, chain }, BuildKeys::Bytes(build), Keys::Bytes(keys)) => {
                lookup_hashed(slots, chain, build, keys, probe.comparable.as_ref(), out);
            }
            _ => return Err(Error::internal("the two sides of a join have different keys")),
        }
        Ok(())
    }
}

/// Walks a chain of distinct keys.
#[inline]
fn find<B: KeySlice>(mut row: u32, chain: &[AtomicU32], keys: &B, key: &B::Key) -> u32 {
    while row != NONE && keys.at(row as usize) != key {
        row = chain[row as usize].load(Ordering::Relaxed);
    }
    row
}

/// In passes over all rows, without branches on what memory holds: first the slots are loaded, then the keys that
/// they lead to, then, for rows whose key is another one, the next link of the chain, and so on. The
/// loads of a pass do not depend on each other, so the processor has many of them under way.
fn lookup_hashed<B, P>(
    slots: &[AtomicU64],
    chain: &[AtomicU32],
    build: &B,
    probe: &P,
    comparable: Option<&NullBuffer>,
    out: &mut Vec<u32>,
) where
    B: KeySlice,
    P: KeySlice<Key = B::Key>,
{
    let mask = slots.len() - 1;
    out.clear();
    out.extend((0..probe.len()).map(|row| {
        let hash = P::hash(probe.at(row));
        let held = slots[hash as usize & mask].load(Ordering::Relaxed);
        if held & tag(hash) != 0 { held as u32 } else { NONE }
    }));
    clear_incomparable(comparable, out);
    let out = out.as_mut_slice();
    let mut open: Vec<u32> = (0..out.len() as u32).collect();
    retain(&mut open, |row| out[row] != NONE);
    while !open.is_empty() {
        retain(&mut open, |row| build.at(out[row] as usize) != probe.at(row));
        open.iter().for_each(|row| {
            let link = &mut out[*row as usize];
            *link = chain[*link as usize].load(Ordering::Relaxed);
        });
        retain(&mut open, |row| out[row] != NONE);
    }
}

/// Keeps the rows that `keep` is true for, without branching on it.
#[inline]
fn retain(rows: &mut Vec<u32>, keep: impl Fn(usize) -> bool) {
    let slots = rows.as_mut_slice();
    let mut count = 0;
    for i in 0..slots.len() {
        let row = slots[i];
        slots[count] = row;
        count += usize::from(keep(row as usize));
    }
    rows.truncate(count);
}

fn clear_incomparable(comparable: Option<&NullBuffer>, out: &mut [u32]) {
    let Some(nulls) = comparable else { return };
    let words = nulls.inner().bit_chunks().iter_padded();
    for (rows, valid) in out.chunks_mut(64).zip(words) {
        // All bits of NONE are set: no branch on what nothing predicts.
        rows.iter_mut().enumerate().for_each(|(i, first)| *first |= ((valid >> i & 1) as u32).wrapping_sub(1));
    }
}
