//! Unpacking of bit-packed values, and the check that codes are in their dictionary.
//!
//! Values of `W` bits lie end to end, lowest bits first, so that eight of them take `W` bytes and each group of
//! eight looks the same. With AVX2 a group is unpacked at once: the bytes of each value are brought to its lane,
//! shifted by what the value's place in them is, and masked. That is for up to 25 bits, which lie in four bytes wherever
//! they begin. [`unpack_window`] is the same for any processor and any width, and what the tests compare with.

/// Whether all values are below `length`.
#[allow(unsafe_code, reason = "a function for processors with AVX2")]
pub(crate) fn all_below(values: &[u32], length: usize) -> bool {
    let Some(last) = length.checked_sub(1) else { return values.is_empty() };
    let last = last.min(i32::MAX as usize) as u32;
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::none_above(values, last) };
    }
    none_above(values, last)
}

#[inline(always)]
fn none_above(values: &[u32], last: u32) -> bool {
    // The sign bit stays clear exactly if all are in range: no comparison that baseline SIMD lacks.
    let mut signs = 0;
    for value in values {
        signs |= last.wrapping_sub(*value) | *value;
    }
    signs >> 31 == 0
}

/// Unpacks values of `width` bits, from the `first` on. The data hold them.
pub(super) fn unpack(data: &[u8], width: usize, first: usize, out: &mut [u32]) {
    // Singly up to a value at a byte boundary, then eight by eight.
    let single = out.len().min((8 - first % 8) % 8);
    let (head, out) = out.split_at_mut(single);
    unpack_singly(data, width, first, head);
    let first = first + single;
    let whole = out.len() / 8 * 8;
    let (groups, tail) = out.split_at_mut(whole);
    let data_of_groups = data.get(first / 8 * width..).unwrap_or_default();
    macro_rules! dispatch {
        ($($w:literal)*) => {
            match width {
                $($w => unpack_groups::<$w>(data_of_groups, groups),)*
                _ => groups.fill(0),
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    unpack_singly(data, width, first + whole, tail);
}

/// Bytes that the reads of a group of eight values of 32 bits may touch.
const WINDOW: usize = 40;

#[allow(unsafe_code, reason = "a function for processors with AVX2")]
fn unpack_groups<const W: usize>(data: &[u8], out: &mut [u32]) {
    let (groups, _) = out.as_chunks_mut::<8>();
    #[cfg(target_arch = "x86_64")]
    if W <= avx2::MAX_WIDTH && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        let done = unsafe { avx2::unpack_groups::<W>(data, groups) };
        return unpack_each::<W>(data.get(done * W..).unwrap_or_default(), &mut groups[done..]);
    }
    unpack_each::<W>(data, groups);
}

fn unpack_each<const W: usize>(mut data: &[u8], groups: &mut [[u32; 8]]) {
    for target in groups {
        if let Some(window) = data.first_chunk::<WINDOW>() {
            unpack_window::<W>(window, target);
        } else {
            let mut window = [0; WINDOW];
            let length = data.len().min(W);
            window[..length].copy_from_slice(&data[..length]);
            unpack_window::<W>(&window, target);
        }
        data = data.get(W..).unwrap_or_default();
    }
}

#[inline(always)]
fn unpack_window<const W: usize>(window: &[u8; WINDOW], target: &mut [u32; 8]) {
    let mask = ((1u64 << W) - 1) as u32;
    if W <= 8 {
        // All eight are in one word.
        let word = word(window, 0);
        for (i, code) in target.iter_mut().enumerate() {
            *code = (word >> (i * W)) as u32 & mask;
        }
    } else {
        for (i, code) in target.iter_mut().enumerate() {
            *code = (word(window, i * W / 8) >> (i * W % 8)) as u32 & mask;
        }
    }
}

#[inline(always)]
fn word(window: &[u8; WINDOW], at: usize) -> u64 {
    window[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn unpack_singly(data: &[u8], width: usize, first: usize, out: &mut [u32]) {
    for (i, slot) in out.iter_mut().enumerate() {
        let bit = (first + i) * width;
        let mut word = [0; 8];
        let bytes = data.get(bit / 8..).unwrap_or_default();
        let length = bytes.len().min(8);
        word[..length].copy_from_slice(&bytes[..length]);
        *slot = (u64::from_le_bytes(word) >> (bit % 8) & ((1 << width) - 1)) as u32;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::WINDOW;

    /// Widest values that are in four bytes wherever they begin.
    pub(super) const MAX_WIDTH: usize = 25;

    /// Where the values of a group are. The lower half has its bytes from the first on, the upper half from byte
    /// `W / 2` on, in which value 4 begins.
    struct Places<const W: usize>;

    impl<const W: usize> Places<W> {
        /// For each byte of the lanes the byte of its half.
        const BYTES: [u8; 32] = {
            let mut bytes = [0; 32];
            let mut at = 0;
            while at < 32 {
                bytes[at] = (Self::bit(at / 4) / 8 + at % 4) as u8;
                at += 1;
            }
            bytes
        };
        /// For each lane the bit of its bytes at which the value begins.
        const SHIFTS: [u32; 8] = {
            let mut shifts = [0; 8];
            let mut lane = 0;
            while lane < 8 {
                shifts[lane] = (Self::bit(lane) % 8) as u32;
                lane += 1;
            }
            shifts
        };

        /// The first bit of a value, counted from that of its half.
        const fn bit(lane: usize) -> usize {
            if lane < 4 { lane * W } else { lane * W - W / 2 * 8 }
        }
    }

    /// Unpacks groups as long as the data have a whole window; returns how many.
    #[target_feature(enable = "avx2")]
    #[allow(unsafe_code, reason = "vectors are loaded from and stored to arrays of their size")]
    pub(super) fn unpack_groups<const W: usize>(mut data: &[u8], groups: &mut [[u32; 8]]) -> usize {
        // SAFETY: both arrays have 32 bytes.
        let (bytes, shifts) = unsafe {
            (
                _mm256_loadu_si256(Places::<W>::BYTES.as_ptr().cast()),
                _mm256_loadu_si256(Places::<W>::SHIFTS.as_ptr().cast()),
            )
        };
        let mask = _mm256_set1_epi32(((1u64 << W) - 1) as i32);
        let mut done = 0;
        for target in groups {
            let Some(window) = data.first_chunk::<WINDOW>() else { break };
            // SAFETY: `W / 2 + 16` is at most 28, less than a window; a group has 32 bytes.
            unsafe {
                let low = _mm_loadu_si128(window.as_ptr().cast());
                let high = _mm_loadu_si128(window.as_ptr().add(W / 2).cast());
                let lanes = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), bytes);
                let values = _mm256_and_si256(_mm256_srlv_epi32(lanes, shifts), mask);
                _mm256_storeu_si256(target.as_mut_ptr().cast(), values);
            }
            data = &data[W..];
            done += 1;
        }
        done
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn none_above(values: &[u32], last: u32) -> bool {
        super::none_above(values, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_from_every_place_as_singly() {
        // Bytes that end anywhere within the last window.
        let data: Vec<u8> = (0..400u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
        for width in 0..=32usize {
            for first in 0..9 {
                for values in [0, 1, 7, 8, 9, 40, 41, 79] {
                    let data = &data[..((first + values) * width).div_ceil(8)];
                    let (mut found, mut expected, mut windows) = (vec![7; values], vec![7; values], vec![7; values]);
                    unpack(data, width, first, &mut found);
                    unpack_singly(data, width, first, &mut expected);
                    assert_eq!(found, expected, "{values} values of {width} bits from {first} on");
                    if width == 13 && first == 0 {
                        unpack_each::<13>(data, windows.as_chunks_mut::<8>().0);
                        let whole = values / 8 * 8;
                        assert_eq!(windows[..whole], expected[..whole]);
                    }
                }
            }
        }
    }

    #[test]
    fn values_below() {
        assert!(all_below(&[0, 1, 2], 3) && all_below(&[], 0));
        assert!(!all_below(&[0, 3, 2], 3) && !all_below(&[u32::MAX], 3) && !all_below(&[1 << 31], 3));
        assert!(!all_below(&[0], 0));
        for (count, at, value) in [(100, 99, 5), (100, 64, 5), (1000, 3, u32::MAX), (31, 30, 1 << 31)] {
            let mut values: Vec<u32> = (0..count).map(|i| i % 5).collect();
            assert!(all_below(&values, 5) && none_above(&values, 4));
            values[at] = value;
            assert!(!all_below(&values, 5) && !none_above(&values, 4), "{value} at {at} of {count}");
        }
    }
}
