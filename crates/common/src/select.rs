//! The rows that pass a condition which is a lookup: of a dictionary code in a table of verdicts, of an integer in a
//! bitmap.
//!
//! Without branches on the outcome: each row is written, and stays if it passes. With AVX-512 the lookups of eight or
//! sixteen rows are gathered together and the rows that pass are moved next to each other by one instruction. The scalar functions are the reference that the tests compare with.

/// Writes that may go past the last row that passes.
#[cfg(target_arch = "x86_64")]
const SLACK: usize = 16;

/// The rows of `codes` whose verdict is true, ascending; of those in `among`, if it is given. A code without a verdict
/// has the last one.
///
/// Rows of `among` are positions in `codes`.
#[allow(unsafe_code, reason = "a function for processors with AVX-512")]
pub fn rows_by_verdict(codes: &[u32], verdicts: &Verdicts, among: Option<&[u32]>) -> Vec<u32> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has both.
        return unsafe { avx512::rows_by_verdict(codes, verdicts, among) };
    }
    by_verdict(codes, verdicts, among)
}

/// What is decided for each dictionary code.
#[derive(Clone, Debug)]
pub struct Verdicts {
    /// Three bytes more than codes, since four are read at a time.
    bytes: Vec<u8>,
}

impl Verdicts {
    /// All false, for codes below `length`, at least one.
    pub fn new(length: usize) -> Self {
        Self { bytes: vec![0; length.max(1) + 3] }
    }

    /// The last code.
    fn last(&self) -> usize {
        self.bytes.len() - 4
    }

    /// Lets a code pass.
    pub fn allow(&mut self, code: usize) {
        let last = self.last();
        self.bytes[..=last][code] = 1;
    }

    /// Whether all codes pass.
    pub fn all(&self) -> bool {
        self.bytes[..=self.last()].iter().all(|verdict| *verdict == 1)
    }

    /// The verdict of a code, of the last one if it is none.
    #[inline]
    pub fn of(&self, code: u32) -> bool {
        self.bytes[(code as usize).min(self.last())] == 1
    }
}

fn by_verdict(codes: &[u32], verdicts: &Verdicts, among: Option<&[u32]>) -> Vec<u32> {
    match among {
        None => passing(codes.len(), |row| (row as u32, verdicts.of(codes[row]))),
        Some(rows) => passing(rows.len(), |at| (rows[at], verdicts.of(codes[rows[at] as usize]))),
    }
}

/// An integer that a bitmap can be asked for.
pub trait BitmapKey: Copy {
    /// Its value.
    fn key(self) -> i64;
    /// The values as 64-bit integers, if they are.
    fn wide(_values: &[Self]) -> Option<&[i64]> {
        None
    }
}

impl BitmapKey for i8 {
    fn key(self) -> i64 {
        self.into()
    }
}

impl BitmapKey for i16 {
    fn key(self) -> i64 {
        self.into()
    }
}

impl BitmapKey for i32 {
    fn key(self) -> i64 {
        self.into()
    }
}

impl BitmapKey for i64 {
    fn key(self) -> i64 {
        self
    }

    fn wide(values: &[Self]) -> Option<&[i64]> {
        Some(values)
    }
}

/// The bit of `value`, where that of `min` is the first; none is set for values beyond the last.
#[inline]
pub fn bit(bits: &[u64], min: i64, value: i64) -> bool {
    // What is below the least value wraps to far beyond the last bit.
    let offset = value.wrapping_sub(min) as u64;
    bits.get((offset >> 6) as usize).is_some_and(|word| word >> (offset & 63) & 1 == 1)
}

/// The rows whose value has its [`bit`], ascending.
#[allow(unsafe_code, reason = "a function for processors with AVX-512")]
pub fn rows_by_bit<T: BitmapKey>(values: &[T], min: i64, bits: &[u64]) -> Vec<u32> {
    #[cfg(target_arch = "x86_64")]
    if let Some(values) = T::wide(values)
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512vl")
    {
        // SAFETY: the processor has both.
        return unsafe { avx512::rows_by_bit(values, min, bits) };
    }
    by_bit(values, min, bits)
}

fn by_bit<T: BitmapKey>(values: &[T], min: i64, bits: &[u64]) -> Vec<u32> {
    passing(values.len(), |row| (row as u32, bit(bits, min, values[row].key())))
}

/// The rows that `offered` gives with `true`, for `0 .. count`.
#[inline]
pub fn passing(count: usize, offered: impl Fn(usize) -> (u32, bool)) -> Vec<u32> {
    let mut passed = vec![0; count];
    let mut kept = 0;
    for at in 0..count {
        let (row, passes) = offered(at);
        passed[kept] = row;
        kept += usize::from(passes);
    }
    passed.truncate(kept);
    passed
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{SLACK, Verdicts, bit};

    #[target_feature(enable = "avx512f,avx512vl")]
    #[allow(unsafe_code, reason = "gathers, whose positions are bounded here, and stores within the slack")]
    pub(super) fn rows_by_verdict(codes: &[u32], verdicts: &Verdicts, among: Option<&[u32]>) -> Vec<u32> {
        let count = among.map_or(codes.len(), <[u32]>::len);
        let mut passed: Vec<u32> = vec![0; count + SLACK];
        let mut kept = 0;
        let (lanes, one) =
            (_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(1));
        let last_verdict = _mm512_set1_epi32(verdicts.last().min(i32::MAX as usize) as i32);
        let last_row = _mm512_set1_epi32(codes.len().saturating_sub(1).min(i32::MAX as usize) as i32);
        let whole = if codes.is_empty() { 0 } else { count / 16 * 16 };
        for at in (0..whole).step_by(16) {
            // SAFETY: `at + 16 <= whole`, which is at most the length of what is loaded. What is gathered is at
            // positions that are not after the last: rows have four bytes, verdicts one and three after the last.
            let (rows, codes) = unsafe {
                match among {
                    None => {
                        let rows = _mm512_add_epi32(_mm512_set1_epi32(at as i32), lanes);
                        (rows, _mm512_loadu_si512(codes.as_ptr().add(at).cast()))
                    }
                    Some(among) => {
                        let rows = _mm512_loadu_si512(among.as_ptr().add(at).cast());
                        let places = _mm512_min_epu32(rows, last_row);
                        (rows, _mm512_i32gather_epi32::<4>(places, codes.as_ptr().cast()))
                    }
                }
            };
            let places = _mm512_min_epu32(codes, last_verdict);
            // SAFETY: see above.
            let found = unsafe { _mm512_i32gather_epi32::<1>(places, verdicts.bytes.as_ptr().cast()) };
            let passes = _mm512_test_epi32_mask(found, one);
            let together = _mm512_maskz_compress_epi32(passes, rows);
            // SAFETY: `kept <= at`, and there are `SLACK` = 16 more places than rows.
            unsafe { _mm512_storeu_si512(passed.as_mut_ptr().add(kept).cast(), together) };
            kept += passes.count_ones() as usize;
        }
        for at in whole..count {
            let row = among.map_or(at as u32, |rows| rows[at]);
            passed[kept] = row;
            kept += usize::from(verdicts.of(codes[row as usize]));
        }
        passed.truncate(kept);
        passed
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    #[allow(unsafe_code, reason = "gathers, whose positions are bounded here, and stores within the slack")]
    pub(super) fn rows_by_bit(values: &[i64], min: i64, bits: &[u64]) -> Vec<u32> {
        let mut passed: Vec<u32> = vec![0; values.len() + SLACK];
        let mut kept = 0;
        let (zero, one, low) = (_mm512_setzero_si512(), _mm512_set1_epi64(1), _mm512_set1_epi64(63));
        let (first, words) = (_mm512_set1_epi64(min), _mm512_set1_epi64(bits.len() as i64));
        let mut rows = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let (groups, rest) = values.as_chunks::<8>();
        for group in groups {
            // SAFETY: eight values have 64 bytes.
            let values = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
            let offsets = _mm512_sub_epi64(values, first);
            let places = _mm512_srli_epi64::<6>(offsets);
            let inside = _mm512_cmplt_epu64_mask(places, words);
            // SAFETY: only places below the number of words are read.
            let found = unsafe { _mm512_mask_i64gather_epi64::<8>(zero, inside, places, bits.as_ptr().cast()) };
            let wanted = _mm512_sllv_epi64(one, _mm512_and_si512(offsets, low));
            let passes = _mm512_test_epi64_mask(found, wanted);
            // SAFETY: `kept` is at most the number of rows before, and there are `SLACK` more places than rows.
            unsafe {
                let together = _mm256_maskz_compress_epi32(passes, rows);
                _mm256_storeu_si256(passed.as_mut_ptr().add(kept).cast(), together);
            }
            kept += passes.count_ones() as usize;
            rows = _mm256_add_epi32(rows, _mm256_set1_epi32(8));
        }
        for (at, value) in rest.iter().enumerate() {
            passed[kept] = (groups.len() * 8 + at) as u32;
            kept += usize::from(bit(bits, min, *value));
        }
        passed.truncate(kept);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> impl Iterator<Item = u64> + Clone {
        (1..=count as u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20)
    }

    #[test]
    fn verdicts_of_codes_with_and_without_a_selection() {
        for length in [1usize, 2, 5, 64, 1000] {
            for share in [1, 2, 7, 5000] {
                let mut verdicts = Verdicts::new(length);
                (0..length).filter(|code| code % share == 0).for_each(|code| verdicts.allow(code));
                for rows in [0usize, 1, 15, 16, 17, 1000] {
                    // Some codes have no verdict.
                    let codes: Vec<u32> = numbers(rows).map(|n| (n % (length as u64 + 2)) as u32).collect();
                    let expected: Vec<u32> = (0..rows as u32).filter(|row| verdicts.of(codes[*row as usize])).collect();
                    assert_eq!(rows_by_verdict(&codes, &verdicts, None), expected);
                    assert_eq!(by_verdict(&codes, &verdicts, None), expected);
                    let among: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 1).collect();
                    let expected: Vec<u32> = among.iter().copied().filter(|row| expected.contains(row)).collect();
                    assert_eq!(rows_by_verdict(&codes, &verdicts, Some(&among)), expected);
                    assert_eq!(by_verdict(&codes, &verdicts, Some(&among)), expected);
                }
                assert_eq!(verdicts.all(), share == 1 || length == 1);
            }
        }
        let mut verdicts = Verdicts::new(3);
        verdicts.allow(2);
        assert_eq!(rows_by_verdict(&[u32::MAX; 17], &verdicts, None).len(), 17, "that of the last");
        assert!(rows_by_verdict(&[], &verdicts, Some(&[])).is_empty());
    }

    #[test]
    fn bits_of_values_near_and_far() {
        for words in [0usize, 1, 3, 100] {
            let bits: Vec<u64> = numbers(words).map(|n| n.wrapping_mul(0x5851_F42D_4C95_7F2D)).collect();
            for min in [0, -70, 1 << 40, i64::MIN, i64::MAX - 64 * 100] {
                for rows in [0usize, 1, 7, 8, 9, 500] {
                    let near = numbers(rows).map(|n| min.wrapping_add((n % (words as u64 * 64 + 20)) as i64 - 10));
                    let mut values: Vec<i64> = near.collect();
                    for (value, far) in
                        values.iter_mut().step_by(5).zip([i64::MIN, -1, 0, i64::MAX, min].iter().cycle())
                    {
                        *value = *far;
                    }
                    let passes = |value: i64| {
                        let offset = i128::from(value) - i128::from(min);
                        (0..words as i128 * 64).contains(&offset)
                            && bits[offset as usize / 64] >> (offset % 64) & 1 == 1
                    };
                    let expected: Vec<u32> = (0..rows as u32).filter(|row| passes(values[*row as usize])).collect();
                    assert_eq!(rows_by_bit(&values, min, &bits), expected, "{words} words from {min} on");
                    assert_eq!(by_bit(&values, min, &bits), expected);
                }
            }
        }
        assert_eq!(rows_by_bit(&[3i32, 4, -1, 64], 3, &[0b11]), [0, 1]);
        assert_eq!(rows_by_bit(&[3i8, 4, -1, 64], -1, &[0b1]), [2]);
    }
}
