//! Buffers for bytes of files, used again.
//!
//! A scan needs a buffer for each page it reads and one for each page it decompresses. A fresh one of a
//! hundred kilobytes costs more than the copy into it: the allocator has to clear it, and the kernel to
//! find its pages. So each thread keeps a few that were given back. Invariant: a kept buffer is
//! initialised throughout, which is why none is ever cleared again; what a user of it sees of the last
//! one is overwritten before it is shown.

use std::cell::RefCell;

use bytes::Bytes;

/// Larger buffers are not kept: a whole column chunk read at once is not what comes again.
const LARGEST: usize = 4 << 20;
/// Bytes that a thread keeps.
const KEPT: usize = 8 << 20;
/// Lengths are multiples of this, so that pages of nearly the same length share buffers.
const STEP: usize = 16 << 10;

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new(Free { buffers: Vec::new(), bytes: 0 }) };
}

struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer that goes back to a thread's store when it is dropped.
#[derive(Debug)]
pub(crate) struct PageBuffer {
    bytes: Vec<u8>,
    length: usize,
}

impl PageBuffer {
    /// A buffer of `length` bytes, of which nothing is known.
    pub(crate) fn take(length: usize) -> Self {
        let wanted = length.next_multiple_of(STEP);
        let found = FREE.try_with(|free| free.borrow_mut().take(wanted)).ok().flatten();
        Self { bytes: found.unwrap_or_else(|| vec![0; wanted]), length }
    }

    /// A buffer of its own of `length` bytes, for what is kept.
    pub(crate) fn own(length: usize) -> Self {
        Self { bytes: vec![0; length], length }
    }

    /// Its bytes, to be written.
    pub(crate) fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// Leaves out the last `bytes` bytes, which remain initialised.
    pub(crate) fn shorten(&mut self, bytes: usize) {
        self.length = self.length.saturating_sub(bytes);
    }

    /// Its bytes, shared.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A thread that ends has no store any more: the buffer is freed.
        let _ = FREE.try_with(|free| free.borrow_mut().give(bytes));
    }
}

impl Free {
    /// A kept buffer of `wanted` bytes that is not much larger.
    fn take(&mut self, wanted: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (wanted..=2 * wanted).contains(&buffer.len());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.swap_remove(at);
        self.bytes -= buffer.len();
        Some(buffer)
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if buffer.len() > LARGEST {
            return;
        }
        self.bytes += buffer.len();
        self.buffers.push(buffer);
        while self.bytes > KEPT {
            let oldest = self.buffers.remove(0);
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let mut first = PageBuffer::take(100_000);
        first.filled().fill(7);
        let bytes = first.into_bytes();
        let (all, part) = (bytes.clone(), bytes.slice(10..20));
        let place = bytes.as_ptr();
        drop((bytes, all));
        assert_eq!(&part[..], [7; 10], "a part keeps the buffer");
        assert_ne!(PageBuffer::take(100_000).bytes.as_ptr(), place);
        drop(part);
        let again = PageBuffer::take(90_000);
        assert_eq!((again.bytes.as_ptr(), again.as_ref().len()), (place, 90_000));
    }

    #[test]
    fn a_thread_keeps_little() {
        let many: Vec<PageBuffer> = (0..40).map(|_| PageBuffer::take(1 << 20)).collect();
        drop(many);
        drop(PageBuffer::take(LARGEST + 1));
        FREE.with(|free| {
            let free = free.borrow();
            assert_eq!(free.bytes, free.buffers.iter().map(Vec::len).sum::<usize>());
            assert!((KEPT - LARGEST..=KEPT).contains(&free.bytes));
        });
    }
}
