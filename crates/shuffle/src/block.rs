//! A piece of one partition, written by one task.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use firesteel_common::{Batch, Error, Result, SqlType};

/// Rows of a partition: a batch in memory, or an Arrow IPC stream as it would cross processes.
#[derive(Clone, Debug)]
pub enum Block {
    /// A compact batch in canonical encodings.
    Memory {
        /// The rows.
        batch: Batch,
        /// Bytes of its rows.
        bytes: u64,
    },
    /// An IPC stream of one record batch.
    Serialized {
        /// The stream.
        data: Bytes,
        /// Number of rows.
        rows: u64,
    },
}

impl Block {
    /// A block that stays in memory.
    pub fn memory(batch: Batch) -> Self {
        let bytes = batch.columns().iter().map(row_bytes).sum();
        Block::Memory { batch, bytes }
    }

    /// The IPC form of a compact batch in canonical encodings.
    pub fn serialized(batch: &Batch, types: &[SqlType]) -> Result<Self> {
        let schema = Arc::new(Schema::new(
            types.iter().enumerate().map(|(i, ty)| Field::new(i.to_string(), ty.arrow(), true)).collect::<Vec<_>>(),
        ));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let record = RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?;
        let mut data = Vec::new();
        let mut writer = StreamWriter::try_new(&mut data, &schema)?;
        writer.write(&record)?;
        writer.finish()?;
        drop(writer);
        Ok(Block::Serialized { data: Bytes::from(data), rows: batch.rows() as u64 })
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        match self {
            Block::Memory { batch, .. } => batch.rows() as u64,
            Block::Serialized { rows, .. } => *rows,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        match self {
            Block::Memory { bytes, .. } => *bytes,
            Block::Serialized { data, .. } => data.len() as u64,
        }
    }

    /// The rows.
    pub fn read(&self) -> Result<Batch> {
        match self {
            Block::Memory { batch, .. } => Ok(batch.clone()),
            Block::Serialized { data, .. } => {
                let mut reader = StreamReader::try_new(std::io::Cursor::new(data.as_ref()), None)?;
                let record = reader.next().ok_or_else(|| Error::internal("a shuffle block without a batch"))??;
                Ok(Batch::new(record.columns().to_vec(), record.num_rows()))
            }
        }
    }
}

/// Bytes of the rows of a column; buffers that it shares with others count by its own rows only.
pub fn row_bytes(column: &ArrayRef) -> u64 {
    let rows = column.len() as u64;
    let nulls = if column.null_count() > 0 { rows.div_ceil(8) } else { 0 };
    nulls
        + match column.data_type() {
            DataType::Null => 0,
            DataType::Boolean => rows.div_ceil(8),
            DataType::Utf8View => 16 * rows + long_bytes(column.as_string_view().views()),
            DataType::BinaryView => 16 * rows + long_bytes(column.as_binary_view().views()),
            other => other.primitive_width().map_or(column.get_buffer_memory_size() as u64, |w| w as u64 * rows),
        }
}

/// Bytes that a column keeps alive, with what its buffers have room for beyond its rows.
pub fn held_bytes(column: &ArrayRef) -> u64 {
    let text = |held: usize| (held + 16 * column.len()) as u64;
    match column.data_type() {
        DataType::Utf8View => text(column.as_string_view().data_buffers().iter().map(|b| b.capacity()).sum()),
        DataType::BinaryView => text(column.as_binary_view().data_buffers().iter().map(|b| b.capacity()).sum()),
        _ => column.get_buffer_memory_size() as u64,
    }
}

fn long_bytes(views: &[u128]) -> u64 {
    views.iter().map(|view| u64::from(*view as u32)).filter(|length| *length > 12).sum()
}

/// `column` without the parts of shared string buffers that its rows do not use, if that frees more than
/// half of them.
pub fn trim(column: ArrayRef) -> ArrayRef {
    const SMALL: usize = 64 << 10;
    match column.data_type() {
        DataType::Utf8View => {
            let view = column.as_string_view();
            let held: usize = view.data_buffers().iter().map(|b| b.len()).sum();
            if held > SMALL && held as u64 > 2 * long_bytes(view.views()) { Arc::new(view.gc()) } else { column }
        }
        DataType::BinaryView => {
            let view = column.as_binary_view();
            let held: usize = view.data_buffers().iter().map(|b| b.len()).sum();
            if held > SMALL && held as u64 > 2 * long_bytes(view.views()) { Arc::new(view.gc()) } else { column }
        }
        _ => column,
    }
}
