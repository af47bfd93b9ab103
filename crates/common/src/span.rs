//! A place in the SQL text.

use std::hash::{Hash, Hasher};

/// Byte range of a piece of SQL text. All spans are equal and hash alike, so that two
/// expressions which differ only in where they were written are the same expression.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte; equal to `start` where the place is not known.
    pub end: u32,
}

impl Span {
    /// No place: made by a rewrite, or by the `DataFrame` API.
    pub const NONE: Span = Span { start: 0, end: 0 };

    /// The bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Whether the span names a place.
    pub fn is_known(self) -> bool {
        self.end > self.start
    }

    /// The smallest span that covers both; an unknown one does not count.
    pub fn union(self, other: Span) -> Span {
        match (self.is_known(), other.is_known()) {
            (true, true) => Span { start: self.start.min(other.start), end: self.end.max(other.end) },
            (true, false) => self,
            _ => other,
        }
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

impl Hash for Span {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
