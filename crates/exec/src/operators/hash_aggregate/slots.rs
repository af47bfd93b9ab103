//! The hash table proper: from hash to group number, by open addressing.
//!
//! A slot holds the low 32 bits of the hash and the group number plus one; zero is an empty slot. The
//! place of an entry follows from those bits alone, so that growing reads no key, and a probe looks at a
//! key only if 32 bits agree. Half of the slots stay empty, which keeps linear probing short.

use std::ops::RangeInclusive;

/// Group numbers by hash. The keys are kept by the caller.
#[derive(Debug)]
pub(super) struct Slots {
    entries: Vec<u64>,
    used: usize,
}

const SMALLEST: usize = 64;
/// Tables of so many slots grow to four times as many at once: who has that many groups will have more, and each group is
/// moved a third as often. Larger ones double, since memory matters more then.
const EAGER: RangeInclusive<usize> = 1 << 12..=1 << 16;

impl Slots {
    pub(super) fn new() -> Self {
        Self { entries: vec![0; SMALLEST], used: 0 }
    }

    /// The group for which `is_equal` holds, or `next`, which is inserted.
    #[inline]
    pub(super) fn find_or_insert(&mut self, hash: u64, next: u32, mut is_equal: impl FnMut(u32) -> bool) -> u32 {
        let tag = hash as u32;
        let mask = self.entries.len() - 1;
        let mut place = tag as usize & mask;
        loop {
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            let group = entry as u32 - 1;
            if (entry >> 32) as u32 == tag && is_equal(group) {
                return group;
            }
            place = (place + 1) & mask;
        }
        self.entries[place] = u64::from(tag) << 32 | u64::from(next + 1);
        self.used += 1;
        if self.used * 2 > self.entries.len() {
            self.grow();
        }
        next
    }

    /// The group in the slot where the search for `hash` begins, if 32 bits of the hash agree.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<u32> {
        let tag = hash as u32;
        let entry = self.entries[tag as usize & (self.entries.len() - 1)];
        (entry != 0 && (entry >> 32) as u32 == tag).then(|| entry as u32 - 1)
    }

    /// Whether so many groups fit without growing.
    pub(super) fn has_room(&self, groups: usize) -> bool {
        groups * 2 <= self.entries.len()
    }

    /// Makes room for so many groups.
    pub(super) fn make_room(&mut self, groups: usize) {
        if !self.has_room(groups) {
            self.resize(Self::length(groups));
        }
    }

    /// Bytes of a table with room for so many groups.
    pub(super) fn memory_of(groups: usize) -> usize {
        Self::length(groups) * size_of::<u64>()
    }

    fn length(groups: usize) -> usize {
        (groups * 2).next_power_of_two().max(SMALLEST)
    }

    #[cold]
    fn grow(&mut self) {
        let length = self.entries.len();
        self.resize(length * if EAGER.contains(&length) { 4 } else { 2 });
    }

    fn resize(&mut self, length: usize) {
        let mut larger = vec![0; length];
        let mask = larger.len() - 1;
        for entry in self.entries.iter().filter(|e| **e != 0) {
            let mut place = (entry >> 32) as usize & mask;
            while larger[place] != 0 {
                place = (place + 1) & mask;
            }
            larger[place] = *entry;
        }
        self.entries = larger;
    }

    /// Forgets all groups; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.entries.fill(0);
        self.used = 0;
    }

    pub(super) fn memory(&self) -> usize {
        self.entries.len() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_their_numbers_when_room_is_made() {
        let mut slots = Slots::new();
        let hash = |i: u32| u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
        for i in 0..1_000 {
            assert_eq!(slots.find_or_insert(hash(i), i, |group| group == i), i);
        }
        slots.make_room(50_000);
        assert!(slots.has_room(50_000) && slots.memory() == Slots::memory_of(50_000));
        slots.make_room(10);
        for i in 0..50_000 {
            assert_eq!(slots.find_or_insert(hash(i), i, |group| group == i), i);
        }
        assert_eq!(slots.memory(), Slots::memory_of(50_000), "it has not grown again");
        assert_eq!(slots.find_or_insert(hash(7), 50_000, |group| group == 7), 7);
    }
}
