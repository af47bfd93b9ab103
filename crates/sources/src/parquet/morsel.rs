//! Reading a morsel, late: columns are decoded in the order filter columns, runtime filter keys, the
//! rest, a chunk at a time, and a column only for chunks in which rows are left. Conditions on columns
//! that are dictionary codes come first. If many rows pass, they are a selection over the decoded chunk
//! and nothing is copied; of the remaining columns only the rows of a small rest are decoded.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::take;
use firesteel_catalog::{ScanContext, ScanMetrics, Split};
use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::{ColumnRef, Expr, Layout, Predicate};

use super::codes::{CodedFilter, Decoded};
use super::column::{ChunkRef, ColumnCursor};
use super::file::ParquetFile;
use super::pages::{self, LiveRows};
use super::scan::ScanPlan;
use super::table::Place;
use crate::filter::RowFilter;
use crate::storage::ByteSource;

/// Most rows decoded at a time: what fits the cache with some columns of 8 bytes.
const MAX_CHUNK: usize = 16_384;

/// If fewer than one of so many rows are left, only these are decoded.
const SPARSE: usize = 4;

/// The batches of a morsel. All reading and decoding happens in `next`.
pub(crate) struct MorselReader {
    plan: Arc<ScanPlan>,
    cx: ScanContext,
    part: usize,
    group: usize,
    /// Rows that are still to be read: runs of pages that filters left.
    rows: VecDeque<Range<u64>>,
    chunk_rows: usize,
    /// Conditions on codes.
    coded: Vec<CodedFilter>,
    /// The other conditions, and the slots that they read.
    filter: Option<(RowFilter, Vec<usize>)>,
    cursors: Vec<ColumnCursor>,
    /// Columns of the current chunk, by slot, as far as they are decoded.
    decoded: Vec<Decoded>,
}

impl MorselReader {
    /// A reader of the rows `live` of `split`. `source` has the bytes of a remote file.
    pub(crate) fn new(
        plan: Arc<ScanPlan>,
        split: Split,
        live: LiveRows,
        cx: ScanContext,
        source: Option<ByteSource>,
    ) -> Result<Self> {
        let (part, group) = (split.part as usize, split.group as usize);
        let chunk_rows = cx.batch_rows.clamp(1, MAX_CHUNK);
        let mut rows: VecDeque<Range<u64>> = live.iter().cloned().collect();
        let mut cursors = Vec::new();
        let (mut coded, mut filter) = (Vec::new(), None);
        if !plan.group_may_join(part, group, &cx) {
            ScanMetrics::add(&cx.metrics.rows_pruned, pages::count(&live));
            rows.clear();
        } else if !plan.slots.is_empty() && !rows.is_empty() {
            let file = &plan.parts.parts[part].file;
            let source = match source {
                Some(source) => source,
                None => file.source.open(Some(cx.metrics.clone()))?,
            };
            let chunk = ChunkRef { source, group, live, chunk_rows };
            cursors =
                plan.slots.iter().map(|column| cursor(&plan, part, *column, &chunk, &cx)).collect::<Result<_>>()?;
            (coded, filter) = split_filters(&plan, &cursors, &cx)?;
        }
        let decoded = cursors.iter().map(|_| Decoded::Nothing).collect();
        Ok(Self { plan, cx, part, group, rows, chunk_rows, coded, filter, cursors, decoded })
    }

    /// The column of a slot in rows `start .. start + rows`.
    fn decode(&mut self, slot: usize, start: u64, rows: usize) -> Result<ArrayRef> {
        let file: &ParquetFile = &self.plan.parts.parts[self.part].file;
        self.decoded[slot].all(&mut self.cursors[slot], file, start, rows)
    }

    /// The rows of the chunk that pass the conditions on codes; `None` if all do.
    fn filter_codes(&mut self, start: u64, rows: usize) -> Result<Option<Selection>> {
        let mut selection: Option<Selection> = None;
        let file: &ParquetFile = &self.plan.parts.parts[self.part].file;
        for filter in &mut self.coded {
            if selection.as_ref().is_some_and(Selection::is_empty) {
                break;
            }
            let ColumnCursor::Native(cursor) = &mut self.cursors[filter.slot] else { continue };
            let codes = cursor.read_codes(file, start, rows)?;
            selection = filter.select(file, cursor, &codes, selection)?;
            self.decoded[filter.slot] = Decoded::Codes(codes);
        }
        Ok(selection.filter(|s| s.len() < rows))
    }

    /// The rows of the chunk that pass all filters; `None` if all do.
    fn filter(&mut self, start: u64, rows: usize) -> Result<Option<Selection>> {
        let mut selection = self.filter_codes(start, rows)?;
        if let Some((mut filter, slots)) = self.filter.take() {
            if selection.as_ref().is_none_or(|s| !s.is_empty()) {
                let columns = slots.iter().map(|slot| self.decode(*slot, start, rows)).collect::<Result<_>>()?;
                let inner = filter.select(&Batch::new(columns, rows).with_selection(selection.clone()))?;
                selection = Some(selection.map_or(inner.clone(), |outer| outer.then(&inner)));
            }
            self.filter = Some((filter, slots));
        }
        let plan = self.plan.clone();
        for ((id, _), (slot, effect)) in plan.request.runtime_filters.iter().zip(&plan.keys) {
            if selection.as_ref().is_some_and(Selection::is_empty) {
                break;
            }
            if effect.is_dropped() {
                continue;
            }
            let Some(filter) = self.cx.runtime_filters.get(*id) else { continue };
            let keys = self.decode(*slot, start, rows)?;
            let live = selection.as_ref().map_or(rows, Selection::len);
            let passed = match &selection {
                Some(outer) if outer.len() < rows => outer.then(&filter.select(&take(&keys, outer.array(), None)?)?),
                _ => filter.select(&keys)?,
            };
            if effect.note(live, passed.len()) {
                ScanMetrics::add(&self.cx.metrics.filters_dropped, 1);
            }
            selection = Some(passed);
        }
        Ok(selection.filter(|s| s.len() < rows))
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        while let Some(run) = self.rows.front_mut() {
            let start = run.start;
            let rows = (run.end - start).min(self.chunk_rows as u64) as usize;
            run.start += rows as u64;
            if run.start == run.end {
                self.rows.pop_front();
            }
            ScanMetrics::add(&self.cx.metrics.rows, rows as u64);
            self.decoded.fill_with(Decoded::default);
            let selection = self.filter(start, rows)?;
            if let Some(selection) = &selection {
                ScanMetrics::add(&self.cx.metrics.rows_pruned, (rows - selection.len()) as u64);
                if selection.is_empty() {
                    continue;
                }
            }
            let plan = self.plan.clone();
            if let Some(selection) = selection.as_ref().filter(|s| s.len() * SPARSE < rows) {
                let file: &ParquetFile = &plan.parts.parts[self.part].file;
                let left =
                    |slot: &usize| self.decoded[*slot].left(&mut self.cursors[*slot], file, start, rows, selection);
                let columns = plan.outputs.iter().map(left).collect::<Result<_>>()?;
                return Ok(Some(Batch::new(columns, selection.len())));
            }
            let columns = plan.outputs.iter().map(|slot| self.decode(*slot, start, rows)).collect::<Result<_>>()?;
            return Ok(Some(Batch::new(columns, rows).with_selection(selection)));
        }
        Ok(None)
    }
}

impl Iterator for MorselReader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.next_batch();
        if result.is_err() {
            self.rows.clear();
        }
        let file = &self.plan.parts.parts[self.part].file;
        let context = |e: firesteel_common::Error| {
            e.with_context(format!("reading row group {} of {}", self.group, file.source.location))
        };
        result.map_err(context).transpose()
    }
}

/// The static filters: those on one column of codes, and the rest with the slots that it reads.
#[allow(clippy::type_complexity, reason = "the two fields of the reader")]
fn split_filters(
    plan: &ScanPlan,
    cursors: &[ColumnCursor],
    cx: &ScanContext,
) -> Result<(Vec<CodedFilter>, Option<(RowFilter, Vec<usize>)>)> {
    let mut by_slot: Vec<Vec<Expr>> = vec![Vec::new(); plan.static_columns.len()];
    let mut rest = Vec::new();
    for conjunct in Expr::and(plan.request.filters.iter().cloned()).conjuncts() {
        let mut same = true;
        conjunct.visit(&mut |e| {
            if let Expr::Call(call) = e {
                same &= cx.eval.registry.scalar(&call.function).is_some_and(|f| f.is_deterministic());
            }
        });
        let columns = conjunct.columns();
        let slot = match columns.as_slice() {
            [column] if same => plan.static_columns.iter().position(|c| c == column),
            _ => None,
        };
        let is_coded = |slot: &usize| matches!(&cursors[*slot], ColumnCursor::Native(c) if c.only_codes());
        match slot.filter(is_coded) {
            Some(slot) => by_slot[slot].push(conjunct),
            None => rest.push(conjunct),
        }
    }
    let mut coded = Vec::new();
    for (slot, conjuncts) in by_slot.into_iter().enumerate().filter(|(_, conjuncts)| !conjuncts.is_empty()) {
        let layout = Layout::new(&plan.static_columns[slot..=slot]);
        coded.push(CodedFilter::new(slot, Predicate::compile(&Expr::and(conjuncts), &layout, &cx.eval)?));
    }
    let used = |slot: &usize| rest.iter().any(|e| e.columns().contains(&plan.static_columns[*slot]));
    let slots: Vec<usize> = (0..plan.static_columns.len()).filter(used).collect();
    let columns: Vec<ColumnRef> = slots.iter().map(|slot| plan.static_columns[*slot].clone()).collect();
    let filter = RowFilter::compile(&rest, &columns, &cx.eval)?;
    Ok((coded, filter.map(|filter| (filter, slots))))
}

fn cursor(plan: &ScanPlan, index: usize, column: usize, chunk: &ChunkRef, cx: &ScanContext) -> Result<ColumnCursor> {
    let part = &plan.parts.parts[index];
    match &part.places[column] {
        Place::Constant(value) => Ok(ColumnCursor::Constant(value.clone())),
        Place::Stored(stored) => {
            let stored = &part.file.footer.columns[*stored];
            let ty = &plan.parts.fields[column].ty;
            let shared = cx.shared.as_ref().and_then(|shared| shared.chunk(column, index, chunk.group, &cx.metrics));
            ColumnCursor::stored(&part.file, stored, chunk, index, ty, plan.dictionaries(cx), shared)
        }
    }
}

/// Fetches the bytes that the rows `live` of a morsel of a remote file need; nothing, if filters leave
/// none of them.
pub(crate) async fn fetch(
    plan: &ScanPlan,
    split: &Split,
    live: &LiveRows,
    cx: &ScanContext,
) -> Result<Option<ByteSource>> {
    let part = &plan.parts.parts[split.part as usize];
    let unread = live.is_empty() || plan.slots.is_empty();
    if unread || !plan.group_may_join(split.part as usize, split.group as usize, cx) {
        return Ok(None);
    }
    Ok(Some(part.file.source.fetch(ranges(plan, split, live), Some(cx.metrics.clone())).await?))
}

/// Number of bytes that [`fetch`] fetches.
pub(crate) fn bytes_needed(plan: &ScanPlan, split: &Split, live: &LiveRows) -> u64 {
    pages::count(&ranges(plan, split, live))
}

/// Where the bytes of the rows `live` are: of each column the dictionary page and the pages with such
/// rows, or the whole chunk if the file has no offset index.
fn ranges(plan: &ScanPlan, split: &Split, live: &LiveRows) -> Vec<Range<u64>> {
    let part = &plan.parts.parts[split.part as usize];
    let group = split.group as usize;
    let metadata = part.file.metadata();
    let mut ranges = Vec::new();
    for column in &plan.slots {
        let Place::Stored(index) = part.places[*column] else { continue };
        let leaf = part.file.footer.columns[index].leaf;
        let (chunk_start, length) = metadata.row_group(group).column(leaf).byte_range();
        let locations = metadata.page_index().and_then(|index| index.page_locations(group, leaf));
        let Some((locations, first)) = locations.and_then(|l| Some((l, l.first()?))) else {
            ranges.push(chunk_start..chunk_start + length);
            continue;
        };
        if first.offset as u64 > chunk_start {
            ranges.push(chunk_start..first.offset as u64);
        }
        for (i, page) in locations.iter().enumerate() {
            let end = locations.get(i + 1).map_or(u64::MAX, |next| next.first_row_index as u64);
            if pages::overlaps(live, &(page.first_row_index as u64..end)) {
                let start = page.offset as u64;
                ranges.push(start..start + page.compressed_page_size.max(0) as u64);
            }
        }
    }
    join_adjacent(&mut ranges);
    ranges
}

/// Makes ranges that follow each other one: a reader may want bytes of both at once.
fn join_adjacent(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let joined = next.start <= last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
}
