//! Prefix scans over states of an aggregate.
//!
//! Each segment is cut into chunks. Within the chunks the scan goes step by step, all chunks at a time, so that
//! each merge is over whole columns; then the totals of the chunks are scanned in the same way, and each
//! chunk gets what is before it. Per row that is about four merges, whatever the length of the segments.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::concat;
use firesteel_common::Result;
use firesteel_expr::GroupAccumulator;

use super::aggregates::take_all;

/// Longest chunk.
const CHUNK: u32 = 32;

type Make<'a> = dyn Fn(usize) -> Result<Box<dyn GroupAccumulator>> + 'a;

/// For each row the merge, in order, of `states` from the first row of its segment up to it. Rows with equal
/// `segments` are together. `make` makes an accumulator for so many groups.
pub(super) fn scan(states: Vec<ArrayRef>, segments: &[u32], make: &Make<'_>) -> Result<Vec<ArrayRef>> {
    let chunks = Chunks::new(segments);
    let prefixes = chunks.scan_within(&states, make)?;
    drop(states);
    if chunks.segments.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(prefixes);
    }
    let ends = UInt32Array::from_iter_values(chunks.starts.iter().zip(&chunks.lengths).map(|(s, l)| s + l - 1));
    let totals = scan(take_all(&prefixes, &ends)?, &chunks.segments, make)?;
    // What is before a chunk comes first, since the order of rows may matter.
    let (mut rows, mut before) = (Vec::new(), Vec::new());
    for chunk in 1..chunks.starts.len() {
        if chunks.segments[chunk] == chunks.segments[chunk - 1] {
            let first = chunks.starts[chunk];
            rows.extend(first..first + chunks.lengths[chunk]);
            before.extend(std::iter::repeat_n(chunk as u32 - 1, chunks.lengths[chunk] as usize));
        }
    }
    let mut merged = make(segments.len())?;
    merged.merge(&rows, &take_all(&totals, &UInt32Array::from(before))?)?;
    merged.merge(&(0..segments.len() as u32).collect::<Vec<_>>(), &prefixes)?;
    merged.states(0, segments.len())
}

/// Runs of rows within segments, by chunk.
struct Chunks {
    starts: Vec<u32>,
    lengths: Vec<u32>,
    segments: Vec<u32>,
}

impl Chunks {
    fn new(segments: &[u32]) -> Self {
        let mut chunks = Chunks { starts: Vec::new(), lengths: Vec::new(), segments: Vec::new() };
        for (row, segment) in segments.iter().enumerate() {
            match chunks.lengths.last_mut() {
                Some(length) if chunks.segments.last() == Some(segment) && *length < CHUNK => *length += 1,
                _ => {
                    chunks.starts.push(row as u32);
                    chunks.lengths.push(1);
                    chunks.segments.push(*segment);
                }
            }
        }
        chunks
    }

    /// The merge of the states from the first row of its chunk up to each row.
    fn scan_within(&self, states: &[ArrayRef], make: &Make<'_>) -> Result<Vec<ArrayRef>> {
        let rows = self.lengths.iter().sum::<u32>() as usize;
        // The chunks that have a row for the current step, and the results of the step before.
        let mut active: Vec<u32> = (0..self.starts.len() as u32).collect();
        let mut last = take_all(states, &UInt32Array::from(self.starts.clone()))?;
        let mut parts = vec![last.clone()];
        // Where the result of each row is among those of all steps.
        let mut places = vec![0; rows];
        self.starts.iter().zip(0..).for_each(|(start, place)| places[*start as usize] = place);
        let mut done = self.starts.len() as u32;
        for step in 1..CHUNK {
            let (kept, chunks): (Vec<u32>, Vec<u32>) =
                (0u32..).zip(&active).filter(|(_, c)| self.lengths[**c as usize] > step).map(|(i, c)| (i, *c)).unzip();
            if chunks.is_empty() {
                break;
            }
            let numbers: Vec<u32> = (0..chunks.len() as u32).collect();
            let at: Vec<u32> = chunks.iter().map(|c| self.starts[*c as usize] + step).collect();
            at.iter().zip(done..).for_each(|(row, place)| places[*row as usize] = place);
            let mut merged = make(chunks.len())?;
            merged.merge(&numbers, &take_all(&last, &UInt32Array::from(kept))?)?;
            merged.merge(&numbers, &take_all(states, &UInt32Array::from(at))?)?;
            last = merged.states(0, chunks.len())?;
            parts.push(last.clone());
            done += chunks.len() as u32;
            active = chunks;
        }
        let together = (0..states.len())
            .map(|column| {
                let parts: Vec<&dyn Array> = parts.iter().map(|p| p[column].as_ref()).collect();
                Ok(concat(&parts)?)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        take_all(&together, &UInt32Array::from(places))
    }
}
