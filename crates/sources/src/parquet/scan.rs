//! A scan of Parquet files: pruning, splits and opening them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use firesteel_catalog::{RuntimeFilter, ScanContext, ScanMetrics, ScanRequest, Split, TableScan};
use firesteel_common::{Batch, Result};
use firesteel_expr::ColumnRef;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::bounds::{Bounds, may_match};
use super::dictionary::Dictionaries;
use super::morsel::MorselReader;
use super::pages::{self, LiveRows};
use super::table::{Parts, Place, REQUESTS};

/// Most rows of a morsel; it may be up to half as long again, rather than leave a short rest.
const MAX_MORSEL: u64 = 131_072;
/// Fewest rows of a morsel, where a row group is cut.
const MIN_MORSEL: u64 = 16_384;
/// Rows after which the effect of a runtime filter is judged.
const JUDGED_AFTER: u64 = 65_536;

/// What the tasks of a scan share.
#[derive(Debug)]
pub(crate) struct ScanPlan {
    pub(crate) parts: Arc<Parts>,
    pub(crate) request: ScanRequest,
    /// Columns of the table that are read, each once: those of static filters first.
    pub(crate) slots: Vec<usize>,
    /// Columns that static filters read; their values are in the slots of the same index.
    pub(crate) static_columns: Vec<ColumnRef>,
    /// Slots of the keys of the runtime filters, and how well each filter does.
    pub(crate) keys: Vec<(usize, Effect)>,
    /// Slots of the columns to return.
    pub(crate) outputs: Vec<usize>,
    /// Dictionaries that morsels have decoded.
    dictionaries: OnceLock<Arc<Dictionaries>>,
    /// By part and row group, the rows that were left when the splits were made; others have all.
    live: Mutex<HashMap<(usize, usize), LiveRows>>,
}

/// How many rows a runtime filter saw and let pass.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    seen: AtomicU64,
    passed: AtomicU64,
    dropped: AtomicBool,
}

impl Effect {
    /// Notes the result of one application; returns whether it has just turned out that the filter lets so many rows
    /// pass that it costs more than it saves.
    pub(crate) fn note(&self, seen: usize, passed: usize) -> bool {
        let before = self.seen.fetch_add(seen as u64, Ordering::Relaxed);
        let all_passed = self.passed.fetch_add(passed as u64, Ordering::Relaxed) + passed as u64;
        let all_seen = before + seen as u64;
        let useless = all_seen > JUDGED_AFTER && all_passed * 10 > all_seen * 9;
        useless && !self.dropped.swap(true, Ordering::Relaxed)
    }

    /// Whether it is not to be applied any more.
    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl ScanPlan {
    pub(crate) fn new(parts: Arc<Parts>, request: ScanRequest) -> Self {
        let mut static_columns: Vec<ColumnRef> = Vec::new();
        for column in request.filters.iter().flat_map(|f| f.columns()) {
            if !static_columns.contains(&column) {
                static_columns.push(column);
            }
        }
        // Two query columns may be the same column of the table; a slot is a column of the table, so
        // a filter column that repeats one gets a slot of its own to keep the indices equal.
        let position = |column: &ColumnRef| request.filter_columns.iter().find(|(c, _)| c == column).map(|(_, at)| *at);
        let mut slots: Vec<usize> = static_columns.iter().filter_map(position).collect();
        let mut slot_of = |column: usize| {
            slots.iter().position(|s| *s == column).unwrap_or_else(|| {
                slots.push(column);
                slots.len() - 1
            })
        };
        let keys = request
            .runtime_filters
            .iter()
            .filter_map(|(_, at)| request.filter_columns.get(*at))
            .map(|(_, column)| (slot_of(*column), Effect::default()))
            .collect();
        let outputs = request.columns.iter().map(|(_, column)| slot_of(*column)).collect();
        Self {
            parts,
            request,
            slots,
            static_columns,
            keys,
            outputs,
            dictionaries: OnceLock::new(),
            live: Mutex::default(),
        }
    }

    /// Dictionaries that morsels have decoded, and share.
    pub(crate) fn dictionaries(&self, cx: &ScanContext) -> &Arc<Dictionaries> {
        self.dictionaries.get_or_init(|| Arc::new(Dictionaries::new(cx.workers)))
    }

    /// The last row, not after `row`, where pages of the first column to read begin.
    pub(crate) fn page_start_before(&self, part: usize, group: usize, row: u64) -> u64 {
        let starts = self.page_starts(part, group);
        starts.and_then(|starts| starts.into_iter().rev().find(|s| *s <= row)).unwrap_or(row)
    }

    fn page_starts(&self, part: usize, group: usize) -> Option<Vec<u64>> {
        let part = &self.parts.parts[part];
        let stored = self.slots.iter().find_map(|column| match part.places[*column] {
            Place::Stored(index) => Some(part.file.footer.columns[index].leaf),
            Place::Constant(_) => None,
        })?;
        part.file.page_starts(group, stored)
    }

    /// Whether a row of the row group may pass the static filters.
    fn group_may_match(&self, part: usize, group: usize) -> bool {
        let bounds = |column: &ColumnRef| -> Option<Bounds> {
            let at = self.request.filter_columns.iter().find(|(c, _)| c == column)?.1;
            Some(self.parts.group_bounds(part, group, at))
        };
        self.request.filters.iter().all(|filter| may_match(filter, &bounds))
    }

    /// Whether a row of the row group may pass those runtime filters that are published.
    pub(crate) fn group_may_join(&self, part: usize, group: usize, cx: &ScanContext) -> bool {
        self.request.runtime_filters.iter().zip(&self.keys).all(|((id, _), (slot, _))| {
            let Some(filter) = cx.runtime_filters.get(*id) else { return true };
            let column = self.slots[*slot];
            match &self.parts.parts[part].places[column] {
                // All rows of the file have the value. What the filter cannot judge passes.
                Place::Constant(value) => filter.select(&value.to_array(1)).is_ok_and(|passed| !passed.is_empty()),
                Place::Stored(_) => may_join(&filter, &self.parts.group_bounds(part, group, column)),
            }
        })
    }

    /// The rows of a split that may pass, by the filters that are published now.
    pub(crate) fn live_rows(&self, split: &Split, cx: &ScanContext) -> Vec<Range<u64>> {
        let (part, group, rows) = (split.part as usize, split.group as usize, split.start..split.end);
        let known = self.live.lock().get(&(part, group)).cloned();
        let before = known.map_or_else(|| vec![rows.clone()], |known| pages::intersect(&known, &rows));
        if self.request.runtime_filters.is_empty() {
            return before;
        }
        let after = pages::live_rows(self, part, group, &before, cx);
        self.note_pruned(part, group, &before, &after, cx);
        after
    }

    fn note_pruned(&self, part: usize, group: usize, before: &[Range<u64>], after: &[Range<u64>], cx: &ScanContext) {
        let rows = pages::count(before) - pages::count(after);
        if rows > 0 {
            ScanMetrics::add(&cx.metrics.rows_pruned, rows);
            ScanMetrics::add(&cx.metrics.pages_pruned, pages::pages_lost(self, part, group, before, after));
        }
    }
}

/// Whether a key within the bounds may pass the filter, which lets no NULL pass.
pub(crate) fn may_join(filter: &RuntimeFilter, bounds: &Bounds) -> bool {
    !bounds.all_null() && bounds.integers().is_none_or(|(low, high)| any_within(filter, low, high))
}

/// Whether the filter may hold a value of `low..=high`.
fn any_within(filter: &RuntimeFilter, low: i64, high: i64) -> bool {
    let Some((min, max)) = filter.bounds() else { return true };
    let (low, high) = (low.max(min), high.min(max));
    if low > high {
        return false;
    }
    let RuntimeFilter::Bitmap { bits, .. } = filter else { return true };
    let (from, to) = (low.wrapping_sub(min) as u64, high.wrapping_sub(min) as u64);
    let (first, last) = ((from / 64) as usize, (to / 64) as usize);
    (first..=last).any(|word| {
        let mut bits = bits.get(word).copied().unwrap_or(u64::MAX);
        if word == first {
            bits &= u64::MAX << (from % 64);
        }
        if word == last {
            bits &= u64::MAX >> (63 - to % 64);
        }
        bits != 0
    })
}

/// A prepared scan.
#[derive(Debug)]
pub(crate) struct ParquetScan {
    plan: Arc<ScanPlan>,
}

impl ParquetScan {
    pub(crate) fn new(parts: Arc<Parts>, request: ScanRequest) -> Self {
        Self { plan: Arc::new(ScanPlan::new(parts, request)) }
    }

    async fn plan_splits(&self, cx: &ScanContext) -> Result<Vec<Split>> {
        let plan = &self.plan;
        let request = &plan.request;
        let unfiltered = request.filters.is_empty() && request.runtime_filters.is_empty();
        let mut groups = Vec::new();
        let left: Vec<Vec<usize>> = (0..plan.parts.parts.len()).map(|part| self.groups_left(part, cx)).collect();
        if !unfiltered {
            let mut fetched: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
            for (part, groups) in left.iter().enumerate() {
                fetched.push(Box::pin(pages::prefetch(plan, part, groups, cx)));
            }
            stream::iter(fetched).buffered(REQUESTS).try_collect::<()>().await?;
        }
        for (part, left) in left.into_iter().enumerate() {
            for group in left {
                let all = 0..plan.parts.parts[part].file.group_rows(group);
                let live = if unfiltered { vec![all] } else { self.live_pages(part, group, all, cx) };
                groups.push((part, group, live));
            }
        }
        let total: u64 = groups.iter().map(|(_, _, live)| pages::count(live)).sum();
        // Enough morsels that workers end at about the same time.
        let target = (total / (4 * cx.workers.max(1) as u64)).clamp(MIN_MORSEL, MAX_MORSEL);
        let mut splits = Vec::new();
        let mut sure = 0;
        for (part, group, live) in groups {
            let group_rows = plan.parts.parts[part].file.group_rows(group).max(1);
            for (rows, count) in cut_all(&live, target, plan.page_starts(part, group)) {
                if unfiltered && request.limit.is_some_and(|limit| sure >= limit) {
                    return Ok(splits);
                }
                sure += count;
                let bytes = self.bytes(part, group) * count / group_rows;
                let (part, group) = (part as u32, group as u32);
                splits.push(Split { part, group, start: rows.start, end: rows.end, rows: count, bytes });
            }
        }
        Ok(splits)
    }

    /// The row groups of a file that have rows, by their bounds.
    fn groups_left(&self, part: usize, cx: &ScanContext) -> Vec<usize> {
        let plan = &self.plan;
        let file = &plan.parts.parts[part].file;
        let mut left = Vec::new();
        for group in (0..file.metadata().num_row_groups()).filter(|group| file.group_rows(*group) > 0) {
            if plan.group_may_match(part, group) && plan.group_may_join(part, group, cx) {
                left.push(group);
            } else {
                ScanMetrics::add(&cx.metrics.groups_pruned, 1);
                ScanMetrics::add(&cx.metrics.rows_pruned, file.group_rows(group));
            }
        }
        left
    }

    /// The rows of a row group that may pass by the page index, kept for the readers.
    fn live_pages(&self, part: usize, group: usize, all: Range<u64>, cx: &ScanContext) -> Vec<Range<u64>> {
        let all = [all];
        let live = pages::live_rows(&self.plan, part, group, &all, cx);
        self.plan.note_pruned(part, group, &all, &live, cx);
        let mut kept = self.plan.live.lock();
        if live == all {
            kept.remove(&(part, group))
        } else {
            kept.insert((part, group), live.as_slice().into())
        };
        live
    }

    /// Compressed bytes of the columns to read in a row group.
    fn bytes(&self, part: usize, group: usize) -> u64 {
        let part = &self.plan.parts.parts[part];
        let group = part.file.metadata().row_group(group);
        let stored = self.plan.slots.iter().filter_map(|column| match part.places[*column] {
            Place::Stored(index) => Some(part.file.footer.columns[index].leaf),
            Place::Constant(_) => None,
        });
        stored.map(|leaf| group.column(leaf).compressed_size().max(0) as u64).sum()
    }
}

/// Cuts rows into runs of about `target`, at page boundaries where they are known, each with the number
/// of its rows that are in `live`. Small neighbours share a run, with the gap between them.
fn cut_all(live: &[Range<u64>], target: u64, page_starts: Option<Vec<u64>>) -> Vec<(Range<u64>, u64)> {
    let pages = page_starts.unwrap_or_default();
    let mut runs: Vec<(Range<u64>, u64)> = Vec::new();
    for range in live {
        for piece in cut(range, target, &pages) {
            let count = piece.end - piece.start;
            match runs.last_mut() {
                Some((rows, held)) if piece.start == range.start && *held + count <= target => {
                    rows.end = piece.end;
                    *held += count;
                }
                _ => runs.push((piece, count)),
            }
        }
    }
    runs
}

fn cut(rows: &Range<u64>, target: u64, pages: &[u64]) -> Vec<Range<u64>> {
    let mut cuts = Vec::new();
    let mut start = rows.start;
    while rows.end - start > target + target / 2 {
        let wanted = start + target;
        let after = pages.partition_point(|p| *p <= wanted);
        let boundary = after.checked_sub(1).map(|i| pages[i]).filter(|p| *p >= start + target / 2);
        let end = boundary.unwrap_or(wanted);
        cuts.push(start..end);
        start = end;
    }
    cuts.push(start..rows.end);
    cuts
}

impl TableScan for ParquetScan {
    fn splits<'a>(&'a self, cx: &'a ScanContext) -> BoxFuture<'a, Result<Vec<Split>>> {
        Box::pin(self.plan_splits(cx))
    }

    fn open(&self, split: &Split, cx: &ScanContext) -> BoxStream<'static, Result<Batch>> {
        let (plan, split, cx) = (self.plan.clone(), split.clone(), cx.clone());
        let Some(part) = plan.parts.parts.get(split.part as usize) else {
            let error = firesteel_common::Error::internal("a split names a file that the table does not have");
            return stream::iter([Err(error)]).boxed();
        };
        let live = plan.live_rows(&split, &cx);
        if part.file.source.is_local() {
            return match MorselReader::new(plan, split, live.into(), cx, None) {
                Ok(reader) => stream::iter(reader).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            };
        }
        let opened = async move {
            let live: LiveRows = live.into();
            let source = super::morsel::fetch(&plan, &split, &live, &cx).await?;
            Ok(stream::iter(MorselReader::new(plan, split, live, cx, source)?))
        };
        stream::once(opened)
            .map(|opened| match opened {
                Ok(batches) => batches.boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .flatten()
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_on_pages() {
        assert_eq!(cut(&(0..100), 40, &[0, 30, 60, 90]), [0..30, 30..60, 60..100]);
        assert_eq!(cut(&(0..100), 40, &[]), [0..40, 40..100]);
        assert_eq!(cut(&(20..70), 40, &[]), vec![20..70]);
    }

    #[test]
    fn a_filter_that_lets_nearly_all_rows_pass_is_dropped_once() {
        let useful = Effect::default();
        assert!((0..100).all(|_| !useful.note(8192, 7000)) && !useful.is_dropped());
        let useless = Effect::default();
        let dropped = (0..100).filter(|_| useless.note(8192, 8000)).count();
        assert!(dropped == 1 && useless.is_dropped());
        let few = Effect::default();
        assert!(!few.note(8192, 8192) && !few.is_dropped());
    }

    #[test]
    fn small_runs_are_one_morsel() {
        let live = [0..10, 30..40, 60..160];
        assert_eq!(cut_all(&live, 40, None), [(0..40, 20), (60..100, 40), (100..160, 60)]);
    }

    #[test]
    fn bits_within_a_range() {
        let mut bits = vec![0u64; 4];
        bits[1] = 1 << 6; // value 10 + 70
        let filter = RuntimeFilter::Bitmap { min: 10, max: 265, bits: bits.into() };
        assert!(any_within(&filter, 80, 80));
        assert!(any_within(&filter, 0, 1000));
        assert!(!any_within(&filter, 81, 1000));
        assert!(!any_within(&filter, 0, 79));
        assert!(!any_within(&filter, 300, 400));
    }
}
