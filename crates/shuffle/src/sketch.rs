//! Small summaries of the keys that pass an exchange writer.

/// Estimate of distinct hashes: HyperLogLog (Flajolet et al. 2007) with 2^11 registers, error about 2.3 %.
#[derive(Clone, Debug)]
pub struct Distinct {
    registers: Vec<u8>,
}

const BITS: u32 = 11;

impl Default for Distinct {
    fn default() -> Self {
        Self { registers: vec![0; 1 << BITS] }
    }
}

impl Distinct {
    /// Takes in hashes.
    pub fn add(&mut self, hashes: &[u64]) {
        for hash in hashes {
            // The top bits choose partitions: take the register from the low ones, which every
            // partition has in full.
            let register = (hash & ((1 << BITS) - 1)) as usize;
            let rank = (hash >> BITS | 1 << (64 - BITS)).trailing_zeros() as u8 + 1;
            self.registers[register] = self.registers[register].max(rank);
        }
    }

    /// Adds what another one has seen.
    pub fn merge(&mut self, other: &Distinct) {
        self.registers.iter_mut().zip(&other.registers).for_each(|(a, b)| *a = (*a).max(*b));
    }

    /// The estimate.
    pub fn estimate(&self) -> u64 {
        let m = self.registers.len() as f64;
        let sum: f64 = self.registers.iter().map(|r| 0.5f64.powi(i32::from(*r))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let zeros = self.registers.iter().filter(|r| **r == 0).count();
        if raw <= 2.5 * m && zeros > 0 { (m * (m / zeros as f64).ln()).round() as u64 } else { raw.round() as u64 }
    }
}

/// Hashes that take a large share of the rows: Space-Saving (Metwally et al. 2005) over a sample of rows.
#[derive(Clone, Debug, Default)]
pub struct HotKeys {
    counters: Vec<(u64, u64)>,
    phase: usize,
}

/// One row in so many is counted.
const SAMPLE: usize = 16;
const COUNTERS: usize = 32;

impl HotKeys {
    /// Takes in the hashes of consecutive rows.
    pub fn add(&mut self, hashes: &[u64]) {
        let mut at = self.phase;
        while at < hashes.len() {
            self.count(hashes[at], 1);
            at += SAMPLE;
        }
        self.phase = at - hashes.len();
    }

    fn count(&mut self, hash: u64, by: u64) {
        if let Some(counter) = self.counters.iter_mut().find(|(h, _)| *h == hash) {
            counter.1 += by;
        } else if self.counters.len() < COUNTERS {
            self.counters.push((hash, by));
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|(_, n)| *n) {
            *least = (hash, least.1 + by);
        }
    }

    /// Adds what another one has seen.
    pub fn merge(&mut self, other: &HotKeys) {
        other.counters.iter().for_each(|(hash, n)| self.count(*hash, *n));
    }

    /// Hashes that have more than `share` of `rows` rows, with their estimated rows, most frequent first.
    pub fn above(&self, share: f64, rows: u64) -> Vec<(u64, u64)> {
        let estimate = |n: u64| n * SAMPLE as u64;
        let mut hot: Vec<(u64, u64)> = self
            .counters
            .iter()
            .map(|(h, n)| (*h, estimate(*n)))
            .filter(|(_, n)| *n as f64 > share * rows as f64)
            .collect();
        hot.sort_by_key(|(hash, n)| (std::cmp::Reverse(*n), *hash));
        hot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_common::hash::hash_u64;

    #[test]
    fn distinct_is_close() {
        for n in [10u64, 1_000, 100_000] {
            let mut sketch = Distinct::default();
            let hashes: Vec<u64> = (0..n).flat_map(|v| [hash_u64(v); 2]).collect();
            sketch.add(&hashes);
            let error = sketch.estimate() as f64 / n as f64;
            assert!((0.92..1.08).contains(&error), "{n}: {error}");
        }
    }

    #[test]
    fn one_hot_key_is_found() {
        let hashes: Vec<u64> = (0..100_000u64).map(|v| hash_u64(if v % 5 < 2 { 7 } else { v })).collect();
        let mut sketch = HotKeys::default();
        sketch.add(&hashes);
        let hot = sketch.above(0.2, 100_000);
        assert_eq!(hot.len(), 1);
        assert_eq!(hot[0].0, hash_u64(7));
    }
}
