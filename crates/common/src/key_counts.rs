//! About how many rows a key has, for any key, without a list of keys: a count sketch (Charikar et al. 2002) of one row.
//!
//! A hash chooses a sum and a sign; each row adds its sign to its sum. Other keys of the same sum cancel out on
//! average, so the sum times the sign is the key's rows, give or take [`KeyCounts::noise`]. That finds a key that has
//! few rows of all, but many more than others have: too few for a list of frequent keys, and yet a join of it with a frequent
//! key of the other side makes most rows.

/// Number of sums: they and the rest of what a writer counts in stay in the first level cache.
const SUMS: usize = 4096;

/// The sketch of the keys that were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCounts {
    sums: Vec<i32>,
}

impl Default for KeyCounts {
    fn default() -> Self {
        Self { sums: vec![0; SUMS] }
    }
}

impl KeyCounts {
    /// Adds a row for each hash.
    pub fn add(&mut self, hashes: &[u64]) {
        for hash in hashes {
            let (sum, sign) = place(*hash);
            self.sums[sum] = self.sums[sum].saturating_add(sign);
        }
    }

    /// Adds so many rows of one key.
    pub fn add_rows(&mut self, hash: u64, rows: i32) {
        let (sum, sign) = place(hash);
        self.sums[sum] = self.sums[sum].saturating_add(sign.saturating_mul(rows));
    }

    /// Adds what another one has seen.
    pub fn merge(&mut self, other: &KeyCounts) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a = a.saturating_add(*b));
    }

    /// The rows of a key, about.
    pub fn rows(&self, hash: u64) -> u64 {
        let (sum, sign) = place(hash);
        (i64::from(self.sums[sum]) * i64::from(sign)).max(0) as u64
    }

    /// By how much a number of rows is usually wrong: the standard deviation of the sums. It is taken from their
    /// median, on which few frequent keys have no influence.
    pub fn noise(&self) -> f64 {
        let mut sizes: Vec<u32> = self.sums.iter().map(|sum| sum.unsigned_abs()).collect();
        let (_, median, _) = sizes.select_nth_unstable(SUMS / 2);
        f64::from(*median) / 0.6745
    }
}

/// The sum that a hash belongs to, and its sign, from bits that neither partitions nor the count of distinct keys use.
#[inline]
fn place(hash: u64) -> (usize, i32) {
    ((hash >> 16) as usize % SUMS, 1 - 2 * ((hash >> 30) & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_u64;

    #[test]
    fn a_key_of_few_rows_stands_out_from_many_keys_of_one() {
        let mut halves = [KeyCounts::default(), KeyCounts::default()];
        for (i, half) in halves.iter_mut().enumerate() {
            let keys: Vec<u64> = (0..20_000).map(|k| hash_u64(k * 2 + i as u64)).collect();
            half.add(&keys);
            half.add_rows(hash_u64(7_000_000), 20);
        }
        let [mut all, other] = halves;
        all.merge(&other);
        let noise = all.noise();
        // The sums have about ten keys each.
        assert!((2.0..5.0).contains(&noise), "{noise}");
        assert!((all.rows(hash_u64(7_000_000)) as f64 - 40.0).abs() < 4.0 * noise);
        let over = (0..1000).filter(|k| all.rows(hash_u64(*k)) as f64 > 1.0 + 3.0 * noise).count();
        assert!(over < 20, "{over}");
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut counts = KeyCounts::default();
        counts.add(&[hash_u64(1), hash_u64(2), hash_u64(1)]);
        assert_eq!([1, 2, 3].map(|k| counts.rows(hash_u64(k))), [2, 1, 0]);
        assert_eq!(counts.noise(), 0.0);
    }
}
