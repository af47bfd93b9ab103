//! Decompression of Snappy, the codec of most Parquet files and the largest cost of reading their plain pages.
//!
//! The format (google/snappy, format_description.txt): the length as a varint, then tags. A literal tag is
//! followed by its bytes; a copy tag repeats bytes of the output from `offset` bytes back.
//!
//! Tags of column data are short: two bytes of a number, then the six that it shares with another one. Where the
//! next tag is follows from this one, so that a decompressor does nothing but wait for one byte after the other: at
//! seven cycles a tag, whatever the processor could do besides. So two pages are decompressed in turns, tag by
//! tag, and each works while the other waits: 1.5 to 1.7 times the bytes per second of the `snap` crate on prices and
//! keys of TPC-H, where another thread does not fill the waits of the same core (then there is little gain).
//!
//! Short copies write a whole vector, past the end of what they copy, and the next tag writes over the rest. For
//! this the output has [`SLACK`] bytes more. Everything that is rare or wrong is left to [`one_tag`], which keeps to
//! its bounds by itself and is the reference that the tests hold the rest against.

use std::marker::PhantomData;

use bytes::Bytes;

use crate::buffers::PageBuffer;

/// Bytes after the output that may be written to.
const SLACK: usize = 32;
/// Bytes from a tag on that may be read: the tag and a short literal, or a copy tag with its offset.
const WINDOW: usize = 17;
/// No tag makes more bytes of one: a copy of 64 bytes has three.
const MAX_RATIO: usize = 22;

/// The data are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Decompresses one or two pages, into buffers that `buffer` makes.
pub(crate) fn decompress(
    first: &[u8],
    second: Option<&[u8]>,
    buffer: fn(usize) -> PageBuffer,
) -> Result<(Bytes, Option<Bytes>), Malformed> {
    let Some(second) = second else {
        let (tags, mut buffer) = prepare(first, buffer)?;
        Stream::new(tags, buffer.filled())?.run()?;
        return Ok((finished(buffer), None));
    };
    let ((first_tags, mut first), (second_tags, mut second)) = (prepare(first, buffer)?, prepare(second, buffer)?);
    let mut one = Stream::new(first_tags, first.filled())?;
    let mut other = Stream::new(second_tags, second.filled())?;
    while one.has_window() && other.has_window() {
        one.advance()?;
        other.advance()?;
    }
    one.run()?;
    other.run()?;
    Ok((finished(first), Some(finished(second))))
}

/// The tags of a page, and a buffer for what they make and [`SLACK`].
fn prepare(src: &[u8], buffer: fn(usize) -> PageBuffer) -> Result<(&[u8], PageBuffer), Malformed> {
    let (length, start) = header(src)?;
    Ok((&src[start..], buffer(length + SLACK)))
}

fn finished(mut buffer: PageBuffer) -> Bytes {
    buffer.shorten(SLACK);
    buffer.into_bytes()
}

/// The length of what `src` decompresses to, and where its tags begin.
fn header(src: &[u8]) -> Result<(usize, usize), Malformed> {
    let mut length = 0u64;
    for (at, byte) in src.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            // A length that the tags cannot reach is not worth an allocation.
            let possible = u32::try_from(length).is_ok() && length <= src.len() * MAX_RATIO;
            return if possible { Ok((length, at + 1)) } else { Err(Malformed) };
        }
    }
    Err(Malformed)
}

/// What a copy tag says: bits 0-6 the length, 8-10 the high bits of the offset, 11-13 the number of bytes
/// after the tag.
const TAGS: [u16; 256] = {
    let mut tags = [0; 256];
    let mut tag = 0;
    while tag < 256 {
        let high = tag as u16 >> 2;
        tags[tag] = match tag & 3 {
            1 => (4 + (high & 7)) | (high >> 3) << 8 | 1 << 11,
            2 => (1 + high) | 2 << 11,
            _ => (1 + high) | 4 << 11,
        };
        tag += 1;
    }
    tags
};

/// The bits of the word after a copy tag that are its offset, by the kind of the tag.
const MASKS: [u32; 3] = [0, 0xff, 0xffff];

/// A page on its way. Invariant: `s` is within the tags or at their end, and `start <= d <= end`; [`SLACK`] bytes
/// can be written from `end` on.
struct Stream<'a> {
    src: &'a [u8],
    s: usize,
    start: *mut u8,
    d: *mut u8,
    end: *mut u8,
    out: PhantomData<&'a mut [u8]>,
}

impl<'a> Stream<'a> {
    /// A stream of the tags `src` into `out`, of which the last [`SLACK`] bytes are not part of the page.
    fn new(src: &'a [u8], out: &'a mut [u8]) -> Result<Self, Malformed> {
        let length = out.len().checked_sub(SLACK).ok_or(Malformed)?;
        let start = out.as_mut_ptr();
        Ok(Self { src, s: 0, start, d: start, end: start.wrapping_add(length), out: PhantomData })
    }

    #[inline(always)]
    fn has_window(&self) -> bool {
        self.s + WINDOW <= self.src.len()
    }

    /// Takes the next tag, of which [`Stream::has_window`].
    #[inline(always)]
    fn advance(&mut self) -> Result<(), Malformed> {
        if self.step() { Ok(()) } else { self.careful() }
    }

    /// Takes all tags that are left.
    fn run(mut self) -> Result<(), Malformed> {
        while self.has_window() {
            self.advance()?;
        }
        while self.s < self.src.len() {
            self.careful()?;
        }
        if self.d == self.end { Ok(()) } else { Err(Malformed) }
    }

    /// Takes the next tag if it is a frequent one and there is nothing wrong with it; otherwise nothing changes.
    #[allow(unsafe_code, reason = "bounds are checked once per tag, not once per word; copies write past their end")]
    #[inline(always)]
    fn step(&mut self) -> bool {
        if !self.has_window() {
            return false;
        }
        let (room, done) = (self.end as usize - self.d as usize, self.d as usize - self.start as usize);
        // SAFETY: `WINDOW` bytes can be read from `s`.
        let at = unsafe { self.src.as_ptr().add(self.s) };
        // SAFETY: as above.
        let tag = unsafe { *at };
        let kind = usize::from(tag & 3);
        if kind == 0 {
            let n = usize::from(tag >> 2) + 1;
            if n > 16 {
                return false;
            }
            // SAFETY: `WINDOW` bytes can be read from `at`, and `SLACK` bytes can be written from `d <= end` on.
            unsafe { self.d.cast::<[u8; 16]>().write(at.add(1).cast::<[u8; 16]>().read()) };
            if n > room {
                return false;
            }
            self.s += 1 + n;
            self.d = self.d.wrapping_add(n);
            return true;
        }
        if kind == 3 {
            return false;
        }
        // SAFETY: `WINDOW` bytes can be read from `at`.
        let word = u32::from_le(unsafe { at.add(1).cast::<u32>().read_unaligned() });
        let entry = TAGS[usize::from(tag)];
        let offset = (word & MASKS[kind]) as usize + usize::from(entry & 0x700);
        let n = usize::from(entry & 0x7f);
        // An offset of 0 is caught here too: it wraps around.
        if offset.wrapping_sub(1) >= done || n > room {
            return false;
        }
        // The next tag waits for this sum alone: it does not go through the table.
        self.s += 1 + kind;
        // SAFETY: `1 <= offset <= done`, and `n + SLACK` bytes can be written from `d` on.
        unsafe { copy(self.d, offset, n) };
        self.d = self.d.wrapping_add(n);
        true
    }

    /// Takes the next tag within bounds.
    #[allow(unsafe_code, reason = "the output is a slice again, which the pointers came from")]
    #[cold]
    fn careful(&mut self) -> Result<(), Malformed> {
        let (length, done) = (self.end as usize - self.start as usize, self.d as usize - self.start as usize);
        // SAFETY: `start .. end` is what `new` borrowed for as long as `self` lives, and nothing else refers to it now.
        let out = unsafe { std::slice::from_raw_parts_mut(self.start, length) };
        let (s, d) = one_tag(self.src, self.s, out, done)?;
        self.s = s;
        self.d = self.start.wrapping_add(d);
        Ok(())
    }
}

/// Repeats the `n <= 64` bytes that begin `offset` before `to`.
///
/// # Safety
/// `offset > 0` bytes before `to` are initialised, and `n + SLACK` bytes from `to` on can be written and read.
#[allow(unsafe_code, reason = "see `Stream::step`")]
#[inline(always)]
unsafe fn copy(to: *mut u8, offset: usize, n: usize) {
    // SAFETY: every read begins at most `offset` before `to`, and every access ends at most 16 bytes after
    // `to + n`.
    unsafe {
        let from = to.sub(offset);
        if offset >= 16 {
            to.cast::<u128>().write_unaligned(from.cast::<u128>().read_unaligned());
            let mut at = 16;
            while at < n {
                to.add(at).cast::<u128>().write_unaligned(from.add(at).cast::<u128>().read_unaligned());
                at += 16;
            }
        } else if offset >= 8 {
            let mut at = 0;
            while at < n {
                to.add(at).cast::<u64>().write_unaligned(from.add(at).cast::<u64>().read_unaligned());
                at += 8;
            }
        } else {
            // The bytes repeat within a word: fill one, and write it at steps of a whole number of repetitions.
            let bits = 8 * offset;
            let mut word = u64::from_le(from.cast::<u64>().read_unaligned()) & ((1 << bits) - 1);
            let mut filled = bits;
            while filled < 64 {
                word |= word << filled;
                filled *= 2;
            }
            let step = 8 - 8 % offset;
            let mut at = 0;
            while at < n {
                to.add(at).cast::<u64>().write_unaligned(word.to_le());
                at += step;
            }
        }
    }
}

/// Takes the tag at `s` to `out[d..]`, byte by byte, and returns the positions after it.
fn one_tag(src: &[u8], s: usize, out: &mut [u8], d: usize) -> Result<(usize, usize), Malformed> {
    let little_endian = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | usize::from(*byte));
    let tag = *src.get(s).ok_or(Malformed)?;
    if tag & 3 == 0 {
        let short = usize::from(tag >> 2) + 1;
        let start = s + 1 + short.saturating_sub(60);
        let stored = src.get(s + 1..start).ok_or(Malformed)?;
        let n = if stored.is_empty() { short } else { 1 + little_endian(stored) };
        let bytes = src.get(start..start + n).ok_or(Malformed)?;
        out.get_mut(d..d + n).ok_or(Malformed)?.copy_from_slice(bytes);
        return Ok((start + n, d + n));
    }
    let entry = TAGS[usize::from(tag)];
    let start = s + 1 + usize::from(entry >> 11);
    let offset = little_endian(src.get(s + 1..start).ok_or(Malformed)?) + usize::from(entry & 0x700);
    let n = usize::from(entry & 0x7f);
    if offset == 0 || offset > d || d + n > out.len() {
        return Err(Malformed);
    }
    for at in d..d + n {
        out[at] = out[at - offset];
    }
    Ok((start, d + n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    /// Tag by tag within bounds.
    fn reference(src: &[u8]) -> Result<Vec<u8>, Malformed> {
        let (length, start) = header(src)?;
        let (src, mut out) = (&src[start..], vec![0; length]);
        let (mut s, mut d) = (0, 0);
        while s < src.len() {
            (s, d) = one_tag(src, s, &mut out, d)?;
        }
        if d == length { Ok(out) } else { Err(Malformed) }
    }

    /// The page alone and beside another one, which must agree with the reference on bytes and on what is
    /// malformed.
    fn check(src: &[u8], beside: &[u8]) -> Result<Vec<u8>, Malformed> {
        let expected = reference(src);
        assert_eq!(decompress(src, None, PageBuffer::take).map(|(one, _)| one.to_vec()), expected);
        let other = reference(beside).unwrap();
        for turned in [false, true] {
            let pair = if turned {
                decompress(beside, Some(src), PageBuffer::own)
            } else {
                decompress(src, Some(beside), PageBuffer::take)
            };
            let pair = pair.map(|(one, two)| if turned { (two.unwrap(), one) } else { (one, two.unwrap()) });
            assert_eq!(
                pair.map(|(one, two)| (one.to_vec(), two.to_vec())),
                expected.clone().map(|e| (e, other.clone()))
            );
        }
        expected
    }

    /// Numbers that differ and repeat.
    fn numbers(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    #[test]
    fn every_copy_of_every_offset() {
        let beside = compress(b"a page beside it");
        for offset in 1..=70usize {
            for n in 1..=64usize {
                let seed: Vec<u8> = (0..offset as u8).map(|b| b.wrapping_mul(37).wrapping_add(n as u8)).collect();
                let mut expected = seed.clone();
                (0..n).for_each(|_| expected.push(expected[expected.len() - offset]));
                expected.extend([9; 20]);
                // A literal, a copy of two bytes, and so much after it that it is not among the last tags.
                let mut src = vec![expected.len() as u8 & 0x7f | 0x80, (expected.len() >> 7) as u8];
                src.extend([60 << 2, offset as u8 - 1]);
                src.extend(&seed);
                src.extend([((n - 1) as u8) << 2 | 2, offset as u8, 0, 19 << 2]);
                src.extend([9; 20]);
                assert_eq!(check(&src, &beside).unwrap(), expected, "offset {offset}, length {n}");
            }
        }
    }

    #[test]
    fn what_the_crate_compresses() {
        let mut next = numbers(7);
        let columns: [Vec<u8>; 5] = [
            (0..20_000).flat_map(|_| ((next() % 10_000_000) as i64).to_le_bytes()).collect(),
            (0..20_000).flat_map(|i: i64| (i * 3).to_le_bytes()).collect(),
            vec![0; 100_000],
            (0..50_000).map(|_| b"abcdefgh "[next() as usize % 9]).collect(),
            (0..3_000).flat_map(|_| ["furiously ", "final ", "deposits ", "x"][next() as usize % 4].bytes()).collect(),
        ];
        let beside = compress(&columns[4]);
        for column in &columns {
            for length in [0, 1, 15, 16, 17, 63, 64, 65, 1_000, column.len()] {
                assert_eq!(check(&compress(&column[..length]), &beside).unwrap(), column[..length]);
            }
        }
    }

    #[test]
    fn damage_is_found() {
        let mut next = numbers(11);
        let text: Vec<u8> =
            (0..400).flat_map(|_| ["regular ", "ideas ", "sleep "][next() as usize % 3].bytes()).collect();
        let compressed = compress(&text);
        for _ in 0..5_000 {
            let mut damaged = compressed.clone();
            for _ in 0..=next() % 3 {
                let at = next() as usize % damaged.len();
                damaged[at] = next() as u8;
            }
            damaged.truncate(damaged.len() - next() as usize % 8);
            let _ = check(&damaged, &compressed);
        }
        assert_eq!(decompress(&[], None, PageBuffer::take), Err(Malformed));
        assert_eq!(decompress(&[0xff; 6], None, PageBuffer::take), Err(Malformed));
        assert_eq!(
            decompress(&[0xff, 0xff, 0xff, 0x7f, 0], None, PageBuffer::take),
            Err(Malformed),
            "a length that no tag reaches"
        );
    }
}
