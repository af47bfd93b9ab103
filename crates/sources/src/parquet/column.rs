//! Decoding one column of a morsel, forward and with gaps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use firesteel_common::{Result, Scalar, Selection, SqlType, encoding};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};

use super::file::{FileColumn, ParquetFile};
use super::native::{self, Dictionaries, NativeCursor};
use crate::storage::ByteSource;

/// What a cursor reads.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRef {
    pub(crate) source: ByteSource,
    pub(crate) group: usize,
    /// One past the last row that will be asked for.
    pub(crate) end: u64,
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
    Generic(GenericCursor),
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
    ) -> Result<Self> {
        if native::supports(file, column, chunk.group, ty) {
            let cursor = NativeCursor::new(file, column, chunk, part, ty.clone(), dictionaries.clone())?;
            return Ok(Self::Native(Box::new(cursor)));
        }
        Ok(Self::Generic(GenericCursor {
            chunk: chunk.clone(),
            leaf: column.leaf,
            ty: ty.clone(),
            reader: None,
            next: 0,
            arrow: file.footer.arrow.clone(),
        }))
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
/// long gap a new one is made.
pub(crate) struct GenericCursor {
    chunk: ChunkRef,
    leaf: usize,
    ty: SqlType,
    arrow: parquet::arrow::arrow_reader::ArrowReaderMetadata,
    reader: Option<ParquetRecordBatchReader>,
    next: u64,
}

impl GenericCursor {
    fn read(&mut self, file: &ParquetFile, start: u64, rows: usize) -> Result<ArrayRef> {
        let damaged = |e: &dyn std::fmt::Display| file.source.damaged(e);
        let long_gap = 4 * self.chunk.chunk_rows as u64;
        if self.reader.is_none() || start - self.next > long_gap {
            self.reader = Some(self.reader_at(start).map_err(|e| damaged(&e))?);
            self.next = start;
        }
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut found = 0;
        while found < rows {
            let Some(reader) = self.reader.as_mut() else { break };
            let Some(batch) = reader.next() else { break };
            let batch = batch.map_err(|e| damaged(&e))?;
            let array = batch.columns().first().cloned().ok_or_else(|| damaged(&"a column is missing"))?;
            let before = start.saturating_sub(self.next).min(array.len() as u64) as usize;
            self.next += array.len() as u64;
            found += array.len() - before;
            if before < array.len() {
                parts.push(array.slice(before, array.len() - before));
            }
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

    fn reader_at(&self, start: u64) -> parquet::errors::Result<ParquetRecordBatchReader> {
        let wanted = [RowSelector::skip(start as usize), RowSelector::select((self.chunk.end - start) as usize)];
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunk.source.clone(), self.arrow.clone())
            .with_row_groups(vec![self.chunk.group])
            .with_projection(ProjectionMask::leaves(self.arrow.parquet_schema(), [self.leaf]))
            .with_batch_size(self.chunk.chunk_rows)
            .with_row_selection(RowSelection::from(wanted.to_vec()))
            .build()
    }
}

impl std::fmt::Debug for ColumnCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ColumnCursor")
    }
}
