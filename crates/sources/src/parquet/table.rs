//! A table of Parquet files: schema, statistics and sampling.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use firesteel_catalog::{
    ColumnStatistics, Field, ScanContext, ScanRequest, Split, TableProvider, TableScan, TableStatistics,
};
use firesteel_common::{ColumnId, Error, Result, Scalar, SqlType};
use firesteel_expr::{ColumnRef, Expr};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::bounds::Bounds;
use super::distinct;
use super::file::ParquetFile;
use super::morsel::{MorselReader, bytes_needed, fetch};
use super::pages::LiveRows;
use super::scan::{ParquetScan, ScanPlan};
use crate::partition;
use crate::storage::SourceFile;

/// Requests for remote files that are under way at the same time.
pub(crate) const REQUESTS: usize = 16;

/// Where a column of the table is in a file.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the Parquet data: index in the columns of the footer.
    Stored(usize),
    /// The same for all rows: a partition value, or NULL for a column that the file lacks.
    Constant(Scalar),
}

/// A file with the places of the table's columns.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: ParquetFile,
    pub(crate) places: Vec<Place>,
}

/// The files of a table, shared by its scans.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) fields: Vec<Field>,
    pub(crate) parts: Vec<Part>,
}

impl Parts {
    /// Bounds of a column in a row group.
    pub(crate) fn group_bounds(&self, part: usize, group: usize, column: usize) -> Bounds {
        let part = &self.parts[part];
        let rows = part.file.group_rows(group);
        match &part.places[column] {
            Place::Constant(value) => Bounds::constant(value, rows),
            Place::Stored(index) => {
                let stored = &part.file.footer.columns[*index];
                let chunk = part.file.metadata().row_group(group).column(stored.leaf);
                if stored.field.ty == self.fields[column].ty {
                    Bounds::of_chunk(chunk, &stored.field.ty, rows)
                } else {
                    Bounds { rows, ..Bounds::default() }
                }
            }
        }
    }
}

/// A table over Parquet files of one schema; columns that a file lacks are NULL there.
#[derive(Debug)]
pub struct ParquetTable {
    inner: Arc<Parts>,
    location: String,
    statistics: OnceLock<Arc<TableStatistics>>,
    samples: Mutex<HashMap<Vec<Expr>, f64>>,
}

impl ParquetTable {
    /// Opens `files`, whose columns are those of the first file (or `schema`), then the partition
    /// columns. `location` is for messages.
    ///
    /// Errors: `CANNOT_READ_FILE_FOOTER`; `UNSUPPORTED_FEATURE` if no column can be read.
    pub async fn open(files: Vec<SourceFile>, schema: Option<Vec<Field>>, location: String) -> Result<Self> {
        let (partition_fields, partition_values) = partition::infer(&files)?;
        // Footers of remote files are fetched some at a time.
        let opened = stream::iter(files).map(ParquetFile::open).buffered(REQUESTS);
        let opened: Vec<ParquetFile> = opened.try_collect().await?;
        let Some(first) = opened.first() else {
            return Err(Error::internal("a Parquet table needs a file"));
        };
        let skipped = &first.footer.skipped;
        let stored = first.footer.columns.iter().map(|c| c.field.clone());
        let mut fields = schema.unwrap_or_else(|| stored.collect());
        if fields.is_empty() && !skipped.is_empty() {
            return Err(Error::unsupported(format!("Nested columns are not supported: {}.", skipped.join(", "))));
        }
        let is_partition = |f: &Field| partition_fields.iter().position(|p| p.name.eq_ignore_ascii_case(&f.name));
        fields.retain(|f| is_partition(f).is_none());
        let stored_fields = fields.len();
        fields.extend(partition_fields.iter().cloned());
        let mut parts = Vec::with_capacity(opened.len());
        for (file, values) in opened.into_iter().zip(partition_values) {
            let mut places = Vec::with_capacity(fields.len());
            for field in &mut fields[..stored_fields] {
                let found = file
                    .footer
                    .columns
                    .iter()
                    .position(|c| file.column(&field.name).is_some_and(|wanted| wanted.leaf == c.leaf));
                match found {
                    Some(index) => {
                        field.nullable |= file.footer.columns[index].field.nullable;
                        places.push(Place::Stored(index));
                    }
                    None => {
                        field.nullable = true;
                        places.push(Place::Constant(Scalar::Null(field.ty.clone())));
                    }
                }
            }
            places.extend(values.into_iter().map(Place::Constant));
            parts.push(Part { file, places });
        }
        Ok(Self {
            inner: Arc::new(Parts { fields, parts }),
            location,
            statistics: OnceLock::new(),
            samples: Mutex::default(),
        })
    }

    /// Columns of the first file that cannot be read, with their types.
    pub fn skipped_columns(&self) -> &[String] {
        self.inner.parts.first().map_or(&[], |part| &part.file.footer.skipped)
    }

    fn merge_statistics(&self) -> TableStatistics {
        let parts = &self.inner;
        let rows: u64 = parts.parts.iter().map(|p| p.file.metadata().file_metadata().num_rows().max(0) as u64).sum();
        let columns: Vec<ColumnStatistics> =
            (0..parts.fields.len()).map(|column| column_statistics(parts, column, rows)).collect();
        let widths = columns.iter().zip(&parts.fields).map(|(c, f)| c.width.unwrap_or(f.ty.default_width() as f64));
        let bytes = (widths.sum::<f64>() * rows as f64) as u64;
        TableStatistics { rows: Some(rows), exact: true, bytes: Some(bytes), columns }
    }

    /// Fraction of rows that pass in up to three places of the table, from whole pages where it can be.
    async fn take_sample(&self, request: &ScanRequest, cx: &ScanContext) -> Result<Option<f64>> {
        /// Rows decoded in each place.
        const ROWS: u64 = 6_144;
        let groups: Vec<(usize, usize)> = (0..self.inner.parts.len())
            .flat_map(|p| (0..self.inner.parts[p].file.metadata().num_row_groups()).map(move |g| (p, g)))
            .collect();
        let total: u64 = groups.iter().map(|(p, g)| self.inner.parts[*p].file.group_rows(*g)).sum();
        if total == 0 {
            return Ok(None);
        }
        let request = ScanRequest { columns: Vec::new(), runtime_filters: Vec::new(), limit: None, ..request.clone() };
        let plan = Arc::new(ScanPlan::new(self.inner.clone(), request));
        // Samples do not count as rows read by the query.
        let cx = ScanContext { metrics: Arc::default(), ..cx.clone() };
        let places = if total <= 3 * ROWS { 1 } else { 3 };
        let mut samples = Vec::new();
        for place in 0..places {
            let mut row = if places == 1 { 0 } else { total * (2 * place + 1) / (2 * places) };
            let Some((part, group)) = groups.iter().copied().find(|(p, g)| {
                let rows = self.inner.parts[*p].file.group_rows(*g);
                let here = row < rows;
                row -= if here { 0 } else { rows };
                here
            }) else {
                break;
            };
            let rows = self.inner.parts[part].file.group_rows(group);
            let start = plan.page_start_before(part, group, row);
            let end = rows.min(start + if places == 1 { total } else { ROWS });
            let split = Split { part: part as u32, group: group as u32, start, end, rows: end - start, bytes: 0 };
            samples.push(sample_split(plan.clone(), split, cx.clone()));
        }
        let mut counts = (0, 0);
        // Places of remote files are fetched at the same time.
        for (seen, passed) in futures::future::try_join_all(samples).await?.into_iter().flatten() {
            counts = (counts.0 + seen, counts.1 + passed);
        }
        let (seen, passed) = counts;
        Ok((seen > 0).then(|| (passed as f64).max(0.5) / seen as f64))
    }
}

/// Most bytes that are fetched for one place of a sample: a file without an offset index has whole
/// column chunks for pages.
const MAX_SAMPLE_BYTES: u64 = 4 << 20;

/// How many rows of a split were seen and passed; `None` if that costs too much to know.
async fn sample_split(plan: Arc<ScanPlan>, split: Split, cx: ScanContext) -> Result<Option<(u64, u64)>> {
    let live: LiveRows = std::iter::once(split.start..split.end).collect();
    let source = match plan.parts.parts[split.part as usize].file.source.is_local() {
        true => None,
        false if bytes_needed(&plan, &split, &live) > MAX_SAMPLE_BYTES => return Ok(None),
        false => fetch(&plan, &split, &live, &cx).await?,
    };
    let seen = split.end - split.start;
    let mut passed = 0;
    for batch in MorselReader::new(plan, split, live, cx, source)? {
        passed += batch?.rows() as u64;
    }
    Ok(Some((seen, passed)))
}

fn column_statistics(parts: &Parts, column: usize, rows: u64) -> ColumnStatistics {
    let mut merged: Option<Bounds> = None;
    let mut bytes = 0;
    for (p, part) in parts.parts.iter().enumerate() {
        for group in 0..part.file.metadata().num_row_groups() {
            if let Place::Stored(index) = &part.places[column] {
                let leaf = part.file.footer.columns[*index].leaf;
                bytes += part.file.metadata().row_group(group).column(leaf).uncompressed_size().max(0);
            }
            let bounds = parts.group_bounds(p, group, column);
            merged = Some(match merged.take() {
                Some(before) => before.union(bounds),
                None => bounds,
            });
        }
    }
    let merged = merged.unwrap_or_default();
    let ty = &parts.fields[column].ty;
    let range = merged.integers().map(|(min, max)| rows.min(max.abs_diff(min).saturating_add(1)));
    let listed = parts.parts.first().and_then(|part| match &part.places[column] {
        Place::Stored(index) => distinct::estimate(&part.file, part.file.footer.columns[*index].leaf, rows),
        Place::Constant(_) => None,
    });
    let distinct = match (range, listed) {
        // Values that grow with the rows, such as keys in order, are others in every row group.
        (Some(a), Some(b)) => Some(a.min((b as f64 * widening(parts, column, &merged)) as u64)),
        (a, b) => a.or(b),
    };
    let width = match ty {
        // Dictionaries make it less than what is decoded; a view takes 16 bytes at least.
        SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Binary if rows > 0 => {
            16.0_f64.max(bytes as f64 / rows as f64)
        }
        ty => ty.default_width() as f64,
    };
    let is_partition = is_partition(parts, column);
    ColumnStatistics {
        min: merged.min,
        max: merged.max,
        nulls: merged.nulls,
        distinct,
        width: Some(width),
        is_partition,
    }
}

/// How many times as wide the range of a column of integers is as that of its first row group.
fn widening(parts: &Parts, column: usize, all: &Bounds) -> f64 {
    let width = |bounds: &Bounds| bounds.integers().map(|(min, max)| max.abs_diff(min) as f64 + 1.0);
    let first = width(&parts.group_bounds(0, 0, column));
    width(all).zip(first).map_or(1.0, |(all, first)| (all / first).max(1.0))
}

/// Whether the values of a column stand in the names of folders.
fn is_partition(parts: &Parts, column: usize) -> bool {
    !parts.parts.is_empty() && parts.parts.iter().all(|part| matches!(part.places[column], Place::Constant(_)))
}

impl TableProvider for ParquetTable {
    fn schema(&self) -> &[Field] {
        &self.inner.fields
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        self.statistics.get_or_init(|| Arc::new(self.merge_statistics())).clone()
    }

    fn identity(&self) -> Option<u64> {
        SourceFile::identity(self.inner.parts.iter().map(|part| &part.file.source))
    }

    fn sample<'a>(&'a self, request: &'a ScanRequest, cx: &'a ScanContext) -> BoxFuture<'a, Result<Option<f64>>> {
        Box::pin(async move {
            if request.filters.is_empty() {
                return Ok(None);
            }
            // Column ids differ from query to query; positions do not.
            let by_position = |column: ColumnRef| {
                let found = request.filter_columns.iter().find(|(c, _)| *c == column);
                ColumnRef { id: ColumnId(found.map_or(u32::MAX, |(_, at)| *at as u32)), ..column }
            };
            let key: Vec<Expr> = request
                .filters
                .iter()
                .map(|filter| {
                    filter.clone().transform(&mut |e| match e {
                        Expr::Column(column) => Expr::Column(by_position(column)),
                        other => other,
                    })
                })
                .collect();
            if let Some(known) = self.samples.lock().get(&key) {
                return Ok(Some(*known));
            }
            let fraction = self.take_sample(request, cx).await?;
            if let Some(fraction) = fraction {
                self.samples.lock().insert(key, fraction);
            }
            Ok(fraction)
        })
    }

    fn scan(&self, request: ScanRequest) -> Result<Arc<dyn TableScan>> {
        let known = |column: &ColumnRef| request.filter_columns.iter().any(|(c, _)| c == column);
        if !request.filters.iter().flat_map(Expr::columns).all(|column| known(&column)) {
            return Err(Error::internal("a filter of a scan reads a column that is not among its filter columns"));
        }
        Ok(Arc::new(ParquetScan::new(self.inner.clone(), request)))
    }

    fn description(&self) -> String {
        let skipped = self.skipped_columns();
        let note = if skipped.is_empty() { String::new() } else { format!(" (not read: {})", skipped.join(", ")) };
        format!("parquet {}{note}", self.location)
    }
}
