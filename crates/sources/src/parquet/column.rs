//! Decoding one column of a morsel, forward and with gaps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use firesteel_catalog::SharedChunk;
use firesteel_common::{Result, Scalar, Selection, SqlType, encoding};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy, RowSelector,
};

use super::dictionary::Dictionaries;
use super::file::{FileColumn, ParquetFile};
use super::native::{self, NativeCursor};
use super::pages::LiveRows;
use crate::storage::ByteSource;

/// What a cursor reads.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRef {
    pub(crate) source: ByteSource,
    pub(crate) group: usize,
    /// Rows that may be asked for; others may not be in the source.
    pub(crate) live: LiveRows,
    /// Rows that are asked for at a time.
    pub(crate) chunk_rows: usize,
}

/// Rows of a column, read forward.
pub(crate) enum ColumnCursor {
    /// One value for all rows.
    Constant(Scalar),
    /// Plain values and dictionary codes.
    Native(Box<NativeCursor>),
    /// Any encoding, through the Parquet crate's Arrow reader.
    Generic(Box<GenericCursor>),
}

impl ColumnCursor {
    /// A cursor on a stored column of part `part`, whose values are to be of type `ty`.
    pub(crate) fn stored(
        file: &ParquetFile,
        column: &FileColumn,
        chunk: &ChunkRef,
        part: usize,
        ty: &SqlType,
        dictionaries: &Arc<Dictionaries>,
        shared: Option<SharedChunk>,
    ) -> Result<Self> {
        if native::supports(file, column, chunk.group, ty) {
            let cursor = NativeCursor::new(file, column, chunk, part, ty.clone(), dictionaries.clone(), shared)?;
            return Ok(Self::Native(Box::new(cursor)));
        }
        Ok(Self::Generic(Box::new(GenericCursor {
            chunk: chunk.clone(),
            leaf: column.leaf,
            ty: ty.clone(),
            reader: None,
            rest: None,
            next: 0,
            arrow: file.footer.arrow.clone(),
        })))
    }

    /// Rows `start .. start + rows` of the row group. `start` is not before the end of the last call's rows.
    pub(crate) fn read(&mut self, file: &ParquetFile, start: u64, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Constant(value) => Ok(value.to_array(rows)),
            Self::Native(cursor) => cursor.read(file, start, rows),
            Self::Generic(cursor) => cursor.read(file, start, rows),
        }
    }

    /// Of rows `start .. start + rows` those of `selection`.
    pub(crate) fn read_selected(
        &mut self,
        file: &ParquetFile,
        start: u64,
        rows: usize,
        selection: &Selection,
    ) -> Result<ArrayRef> {
        match self {
            Self::Constant(value) => Ok(value.to_array(selection.len())),
            Self::Native(cursor) if !cursor.nullable() => cursor.read_selected(file, start, rows, selection),
            other => Ok(arrow::compute::take(&other.read(file, start, rows)?, selection.array(), None)?),
        }
    }
}

/// Reads through `ParquetRecordBatchReader`. That cannot skip rows when it has started, so after a
/// long gap a new one is made. It knows of the live rows only, and positions here count these.
pub(crate) struct GenericCursor {
    chunk: ChunkRef,
    leaf: usize,
    ty: SqlType,
    arrow: parquet::arrow::arrow_reader::ArrowReaderMetadata,
    reader: Option<ParquetRecordBatchReader>,
    /// What is left of the last batch.
    rest: Option<ArrayRef>,
    next: u64,
}

impl GenericCursor {
    fn read(&mut self, file: &ParquetFile, start: u64, rows: usize) -> Result<ArrayRef> {
        let damaged = |e: &dyn std::fmt::Display| file.source.damaged(e);
        let start = self.chunk.live.iter().map(|r| r.end.min(start).saturating_sub(r.start)).sum::<u64>();
        let long_gap = 4 * self.chunk.chunk_rows as u64;
        if self.reader.is_none() || start - self.next > long_gap {
            self.reader = Some(self.reader_at(start).map_err(|e| damaged(&e))?);
            self.rest = None;
            self.next = start;
        }
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut found = 0;
        while found < rows {
            let array = match self.rest.take() {
                Some(rest) => rest,
                None => {
                    let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else { break };
                    let batch = batch.map_err(|e| damaged(&e))?;
                    batch.columns().first().cloned().ok_or_else(|| damaged(&"a column is missing"))?
                }
            };
            let before = start.saturating_sub(self.next).min(array.len() as u64) as usize;
            let taken = (array.len() - before).min(rows - found);
            let after = before + taken;
            self.next += after as u64;
            found += taken;
            if taken > 0 {
                parts.push(array.slice(before, taken));
            }
            self.rest = (after < array.len()).then(|| array.slice(after, array.len() - after));
        }
        if found != rows {
            return Err(damaged(&"a column chunk has fewer rows than its row group"));
        }
        let array = match parts.as_slice() {
            [one] => one.clone(),
            parts => arrow::compute::concat(&parts.iter().map(|a| a.as_ref()).collect::<Vec<&dyn Array>>())?,
        };
        encoding::canonical(&array, &self.ty).map_err(|e| damaged(&e.message()))
    }

    /// A reader of the live rows after the first `skipped`.
    fn reader_at(&self, mut skipped: u64) -> parquet::errors::Result<ParquetRecordBatchReader> {
        let mut wanted = Vec::new();
        let mut at = 0;
        for range in &*self.chunk.live {
            let left_out = skipped.min(range.end - range.start);
            skipped -= left_out;
            let start = range.start + left_out;
            if start < range.end {
                wanted.extend([
                    RowSelector::skip((start - at) as usize),
                    RowSelector::select((range.end - start) as usize),
                ]);
                at = range.end;
            }
        }
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunk.source.clone(), self.arrow.clone())
            .with_row_groups(vec![self.chunk.group])
            .with_projection(ProjectionMask::leaves(self.arrow.parquet_schema(), [self.leaf]))
            .with_batch_size(self.chunk.chunk_rows)
            // The other way would read pages of which no row is wanted.
            .with_row_selection_policy(RowSelectionPolicy::Selectors)
            .with_row_selection(RowSelection::from(wanted))
            .build()
    }
}

impl std::fmt::Debug for ColumnCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ColumnCursor")
    }
}
