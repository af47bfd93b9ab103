//! Page pruning: the rows of a row group that may pass the filters, by the page index.
//!
//! The offset index has the rows of each page, the column index their bounds. Pages of different columns
//! begin at different rows. So the rows are cut at the page starts of all columns that a filter can be
//! judged by: in each of the pieces every such column has one page, and with it bounds, and the filter
//! is judged as for row groups. Pages without a row that is left are neither read nor decompressed.
//!
//! The column index is read only for columns that a filter can be judged by, when the first scan asks.

use std::ops::Range;
use std::sync::Arc;

use firesteel_catalog::{RuntimeFilter, ScanContext};
use firesteel_common::{Result, SqlType};
use firesteel_expr::ColumnRef;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::bounds::{Bounds, bounded_columns, may_match};
use super::scan::{ScanPlan, may_join};
use super::table::Place;

/// Ranges of rows, ascending and apart.
pub(crate) type LiveRows = Arc<[Range<u64>]>;

/// The pages of a column chunk with their bounds.
struct PagedColumn<'a> {
    /// Column of the table.
    column: usize,
    index: Arc<ColumnIndexMetaData>,
    /// First rows of the pages.
    starts: Vec<u64>,
    rows: u64,
    chunk: &'a ColumnChunkMetaData,
    ty: &'a SqlType,
}

impl PagedColumn<'_> {
    /// Bounds of the page that has `row`.
    fn bounds(&self, row: u64) -> Bounds {
        let page = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let end = self.starts.get(page + 1).copied().unwrap_or(self.rows);
        Bounds::of_page(&self.index, page, self.chunk, self.ty, end - self.starts[page])
    }
}

/// The filters that can be judged by bounds.
struct Judges {
    /// Columns of the table that they read.
    columns: Vec<usize>,
    /// Published runtime filters with their key columns.
    joins: Vec<(usize, Arc<RuntimeFilter>)>,
}

impl Judges {
    fn new(plan: &ScanPlan, cx: &ScanContext) -> Self {
        let mut columns: Vec<usize> = Vec::new();
        for column in plan.request.filters.iter().flat_map(bounded_columns) {
            let at = plan.request.filter_columns.iter().find(|(c, _)| *c == column).map(|(_, at)| *at);
            columns.extend(at.filter(|at| !columns.contains(at)));
        }
        let mut joins = Vec::new();
        for ((id, _), (slot, _)) in plan.request.runtime_filters.iter().zip(&plan.keys) {
            let Some(filter) = cx.runtime_filters.get(*id).filter(|f| f.bounds().is_some()) else { continue };
            let column = plan.slots[*slot];
            if !columns.contains(&column) {
                columns.push(column);
            }
            joins.push((column, filter));
        }
        Self { columns, joins }
    }
}

/// The leaf of a column of the table in a file, if it is stored there with the table's type.
fn leaf_of(plan: &ScanPlan, part: usize, column: usize) -> Option<(usize, &SqlType)> {
    let part = &plan.parts.parts[part];
    let Place::Stored(index) = part.places[column] else { return None };
    let stored = &part.file.footer.columns[index];
    (stored.field.ty == plan.parts.fields[column].ty).then_some((stored.leaf, &stored.field.ty))
}

/// Reads what [`live_rows`] needs of a remote file: the column indexes of `groups`.
pub(crate) async fn prefetch(plan: &ScanPlan, part: usize, groups: &[usize], cx: &ScanContext) -> Result<()> {
    let file = &plan.parts.parts[part].file;
    if file.source.is_local() {
        return Ok(());
    }
    let leaves: Vec<usize> = Judges::new(plan, cx)
        .columns
        .iter()
        .filter_map(|column| leaf_of(plan, part, *column))
        .map(|(l, _)| l)
        .collect();
    file.fetch_column_indexes(groups, &leaves, cx).await
}

/// Of the rows `within`, those that may pass the static filters and the published runtime filters.
pub(crate) fn live_rows(
    plan: &ScanPlan,
    part: usize,
    group: usize,
    within: &[Range<u64>],
    cx: &ScanContext,
) -> Vec<Range<u64>> {
    let judges = Judges::new(plan, cx);
    let file = &plan.parts.parts[part].file;
    let paged = |column: &usize| {
        let (leaf, ty) = leaf_of(plan, part, *column)?;
        let starts = file.page_starts(group, leaf)?;
        let index = file.column_index(group, leaf, cx)?;
        let chunk = file.metadata().row_group(group).column(leaf);
        let rows = file.group_rows(group);
        let sound = starts.first() == Some(&0) && starts.is_sorted() && index.num_pages() == starts.len() as u64;
        sound.then_some(PagedColumn { column: *column, index, starts, rows, chunk, ty })
    };
    let paged: Vec<PagedColumn<'_>> = judges.columns.iter().filter_map(paged).collect();
    if paged.is_empty() {
        return within.to_vec();
    }
    let mut cuts: Vec<u64> = paged.iter().flat_map(|p| p.starts.iter().copied()).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let bounds_at = |column: usize, row: u64| match paged.iter().find(|p| p.column == column) {
        Some(paged) => paged.bounds(row),
        None => plan.parts.group_bounds(part, group, column),
    };
    let may_pass = |row: u64| {
        let bounds = |column: &ColumnRef| {
            let at = plan.request.filter_columns.iter().find(|(c, _)| c == column)?.1;
            Some(bounds_at(at, row))
        };
        plan.request.filters.iter().all(|filter| may_match(filter, &bounds))
            && judges.joins.iter().all(|(column, filter)| may_join(filter, &bounds_at(*column, row)))
    };
    let mut live: Vec<Range<u64>> = Vec::new();
    for range in within {
        let mut start = range.start;
        while start < range.end {
            let next = cuts.partition_point(|cut| *cut <= start);
            let end = cuts.get(next).copied().unwrap_or(range.end).min(range.end);
            if may_pass(start) {
                match live.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => live.push(start..end),
                }
            }
            start = end;
        }
    }
    live
}

/// Number of pages, of the columns to read, that have rows of `before` and none of `after`.
pub(crate) fn pages_lost(
    plan: &ScanPlan,
    part: usize,
    group: usize,
    before: &[Range<u64>],
    after: &[Range<u64>],
) -> u64 {
    let file = &plan.parts.parts[part].file;
    let rows = file.group_rows(group);
    let mut lost = 0;
    for column in &plan.slots {
        let Place::Stored(index) = plan.parts.parts[part].places[*column] else { continue };
        let Some(starts) = file.page_starts(group, file.footer.columns[index].leaf) else { continue };
        for (page, start) in starts.iter().enumerate() {
            let page = *start..starts.get(page + 1).copied().unwrap_or(rows);
            lost += u64::from(overlaps(before, &page) && !overlaps(after, &page));
        }
    }
    lost
}

/// Whether a row of `range` is among `rows`.
pub(crate) fn overlaps(rows: &[Range<u64>], range: &Range<u64>) -> bool {
    let first = rows.partition_point(|r| r.end <= range.start);
    rows.get(first).is_some_and(|r| r.start < range.end)
}

/// Those of `rows` that are in `range`.
pub(crate) fn intersect(rows: &[Range<u64>], range: &Range<u64>) -> Vec<Range<u64>> {
    let first = rows.partition_point(|r| r.end <= range.start);
    let within = rows[first..].iter().take_while(|r| r.start < range.end);
    within.map(|r| r.start.max(range.start)..r.end.min(range.end)).collect()
}

/// Number of rows.
pub(crate) fn count(rows: &[Range<u64>]) -> u64 {
    rows.iter().map(|r| r.end - r.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "lists of ranges, not of numbers")]
    fn ranges() {
        let rows = [0..10, 20..30, 40..50];
        assert_eq!(intersect(&rows, &(5..45)), [5..10, 20..30, 40..45]);
        assert_eq!(intersect(&rows, &(10..20)), []);
        assert!(overlaps(&rows, &(29..40)));
        assert!(!overlaps(&rows, &(10..20)));
        assert!(!overlaps(&rows, &(50..60)));
        assert_eq!(count(&rows), 30);
    }
}
