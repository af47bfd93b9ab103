//! The hybrid of run lengths and bit packing that Parquet uses for dictionary codes and levels.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use bytes::Bytes;

use super::unpack::unpack;

/// Values of up to 32 bits, read forward.
#[derive(Debug)]
pub(crate) struct RleDecoder {
    data: Bytes,
    at: usize,
    width: usize,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Repeat {
        value: u32,
        left: usize,
    },
    /// The run begins at byte `start`; `next` of its values were read.
    Packed {
        start: usize,
        next: usize,
        left: usize,
    },
}

/// The data end before the values do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truncated;

impl RleDecoder {
    /// A decoder of values of `width` bits, at most 32.
    pub(crate) fn new(data: Bytes, width: usize) -> Self {
        Self { data, at: 0, width: width.min(32), run: Run::Repeat { value: 0, left: 0 } }
    }

    /// Reads the header of the next run.
    fn advance(&mut self) -> Result<(), Truncated> {
        let mut header = 0u64;
        let mut shift = 0;
        loop {
            let byte = *self.data.get(self.at).ok_or(Truncated)?;
            self.at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 35 {
                return Err(Truncated);
            }
        }
        let count = (header >> 1) as usize;
        self.run = if header & 1 == 1 {
            let start = self.at;
            // The last run of a page may be cut short; what is missing is never asked for.
            self.at = self.data.len().min(start + count * self.width);
            Run::Packed { start, next: 0, left: (self.at - start).saturating_mul(8) / self.width.max(1) }
        } else {
            let bytes = self.width.div_ceil(8);
            let stored = self.data.get(self.at..self.at + bytes).ok_or(Truncated)?;
            self.at += bytes;
            let value = stored.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            Run::Repeat { value, left: count }
        };
        if self.width == 0 {
            self.run = Run::Repeat { value: 0, left: count.max(1) * 8 };
        }
        Ok(())
    }

    #[inline]
    fn left(&self) -> usize {
        match self.run {
            Run::Repeat { left, .. } | Run::Packed { left, .. } => left,
        }
    }

    /// Takes up to `wanted` values of the current run, after starting the next one if it is used up.
    #[inline]
    fn take(&mut self, wanted: usize) -> Result<(Run, usize), Truncated> {
        while self.left() == 0 {
            self.advance()?;
        }
        let before = self.run;
        let n = wanted.min(self.left());
        match &mut self.run {
            Run::Repeat { left, .. } => *left -= n,
            Run::Packed { next, left, .. } => {
                *left -= n;
                *next += n;
            }
        }
        Ok((before, n))
    }

    /// Fills `out` with the next values.
    pub(crate) fn read(&mut self, mut out: &mut [u32]) -> Result<(), Truncated> {
        while !out.is_empty() {
            let (run, n) = self.take(out.len())?;
            let (now, rest) = out.split_at_mut(n);
            match run {
                Run::Repeat { value, .. } => now.fill(value),
                Run::Packed { start, next, .. } => unpack(&self.data[start..], self.width, next, now),
            }
            out = rest;
        }
        Ok(())
    }

    /// Leaves out `count` values.
    pub(crate) fn skip(&mut self, mut count: usize) -> Result<(), Truncated> {
        while count > 0 {
            count -= self.take(count)?.1;
        }
        Ok(())
    }

    /// The next `count` values as validity, of a decoder of one bit; `None` if all are 1.
    pub(crate) fn read_validity(&mut self, mut count: usize) -> Result<Option<NullBuffer>, Truncated> {
        let (run, n) = self.take(count)?;
        if n == count && matches!(run, Run::Repeat { value: 1, .. }) {
            return Ok(None);
        }
        let mut bits = BooleanBufferBuilder::new(count);
        let mut taken = (run, n);
        loop {
            let (run, n) = taken;
            match run {
                Run::Repeat { value, .. } => bits.append_n(n, value != 0),
                Run::Packed { start, next, .. } => bits.append_packed_range(next..next + n, &self.data[start..]),
            }
            count -= n;
            if count == 0 {
                break;
            }
            taken = self.take(count)?;
        }
        let bits: BooleanBuffer = bits.finish();
        Ok(Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs values as the format does: lowest bits first.
    fn packed(values: &[u32], width: usize) -> Vec<u8> {
        let mut bytes = vec![((values.len() / 8) << 1 | 1) as u8];
        let mut bits = vec![0u8; values.len() * width / 8];
        for (i, value) in values.iter().enumerate() {
            for b in (0..width).filter(|b| value >> b & 1 == 1) {
                bits[(i * width + b) / 8] |= 1 << ((i * width + b) % 8);
            }
        }
        bytes.extend(bits);
        bytes
    }

    #[test]
    fn all_widths_in_odd_pieces() {
        for width in 1..=32usize {
            let mask = ((1u64 << width) - 1) as u32;
            let values: Vec<u32> = (0..64u32).map(|i| i.wrapping_mul(0x9E37_79B9) & mask).collect();
            let mut decoder = RleDecoder::new(packed(&values, width).into(), width);
            let mut out = vec![0; 62];
            decoder.read(&mut out[..3]).unwrap();
            decoder.skip(2).unwrap();
            decoder.read(&mut out[3..33]).unwrap();
            decoder.read(&mut out[33..]).unwrap();
            let expected: Vec<u32> = values[..3].iter().chain(&values[5..]).copied().collect();
            assert_eq!(out, expected, "width {width}");
            assert!(decoder.read(&mut [0]).is_err());
        }
    }

    #[test]
    fn runs_and_validity() {
        // 5 times 1, then packed 0b00000101.
        let data = vec![5 << 1, 1, 3, 0b0000_0101];
        let mut decoder = RleDecoder::new(data.clone().into(), 1);
        assert!(decoder.read_validity(5).unwrap().is_none());
        let nulls = decoder.read_validity(3).unwrap().unwrap();
        assert_eq!(nulls.iter().collect::<Vec<_>>(), [true, false, true]);
        let nulls = RleDecoder::new(data.into(), 1).read_validity(8).unwrap().unwrap();
        assert_eq!(nulls.null_count(), 1);
    }
}
