//! A piece of one partition, written by one task.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use firesteel_common::texts::{long_bytes, trim};
use firesteel_common::{Batch, Error, Result, SqlType};
use parking_lot::Mutex;

use crate::spill::{Place, SpillFile};

/// Bytes of buffers that blocks may share and not use.
pub(crate) const SMALL: usize = 64 << 10;

/// Rows of a partition: a batch in memory, or an Arrow IPC stream in memory (as it would cross processes) or on disk.
/// Copies are of the same block, wherever it is.
#[derive(Clone, Debug)]
pub struct Block {
    rows: u64,
    bytes: u64,
    /// Bytes reserved for it while it is in memory.
    charge: usize,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Debug)]
enum Stored {
    /// A compact batch in canonical encodings.
    Memory(Batch),
    /// An IPC stream of one record batch.
    Serialized(Bytes),
    /// The same in a file.
    Spilled(Arc<SpillFile>, Place),
}

impl Block {
    /// A block that stays in memory.
    pub fn memory(batch: Batch) -> Self {
        let bytes = batch.columns().iter().map(row_bytes).sum();
        Self::new(batch.rows() as u64, bytes, Stored::Memory(batch))
    }

    fn new(rows: u64, bytes: u64, stored: Stored) -> Self {
        Self { rows, bytes, charge: 0, stored: Arc::new(Mutex::new(stored)) }
    }

    /// The same block, for which `charge` bytes are reserved.
    #[must_use]
    pub(crate) fn charged(self, charge: usize) -> Self {
        Self { charge, ..self }
    }

    /// The IPC form of a compact batch in canonical encodings.
    pub fn serialized(batch: &Batch, types: &[SqlType]) -> Result<Self> {
        let data = encode(batch, types)?;
        Ok(Self::new(batch.rows() as u64, data.len() as u64, Stored::Serialized(Bytes::from(data))))
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of its rows, or of the stream.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is on disk.
    pub fn is_spilled(&self) -> bool {
        matches!(*self.stored.lock(), Stored::Spilled(..))
    }

    /// The rows.
    pub fn read(&self) -> Result<Batch> {
        let (file, place) = match &*self.stored.lock() {
            Stored::Memory(batch) => return Ok(batch.clone()),
            Stored::Serialized(data) => return decode(&data.clone()),
            Stored::Spilled(file, place) => (file.clone(), *place),
        };
        decode(&file.read(place)?)
    }

    /// Moves it to `file`, unless it is there or somebody has its rows; returns the bytes reserved that are free now.
    pub(crate) fn spill(&self, file: &Arc<SpillFile>, types: &[SqlType]) -> Result<usize> {
        let mut stored = self.stored.lock();
        let place = match &*stored {
            Stored::Memory(batch) if batch.columns().iter().any(|column| Arc::strong_count(column) > 1) => {
                return Ok(0);
            }
            Stored::Memory(batch) => file.write(&encode(batch, types)?)?,
            Stored::Serialized(data) => file.write(data)?,
            Stored::Spilled(..) => return Ok(0),
        };
        *stored = Stored::Spilled(file.clone(), place);
        Ok(self.charge)
    }
}

fn encode(batch: &Batch, types: &[SqlType]) -> Result<Vec<u8>> {
    let schema = Arc::new(Schema::new(
        types.iter().enumerate().map(|(i, ty)| Field::new(i.to_string(), ty.arrow(), true)).collect::<Vec<_>>(),
    ));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    // The stream has whole buffers, also those that a piece shares with many others.
    let columns = batch.columns().iter().map(|column| trim(column, 0)).collect();
    let record = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let mut data = Vec::new();
    let mut writer = StreamWriter::try_new(&mut data, &schema)?;
    writer.write(&record)?;
    writer.finish()?;
    drop(writer);
    Ok(data)
}

fn decode(data: &[u8]) -> Result<Batch> {
    let mut reader = StreamReader::try_new(std::io::Cursor::new(data), None)?;
    let record = reader.next().ok_or_else(|| Error::internal("a shuffle block without a batch"))??;
    Ok(Batch::new(record.columns().to_vec(), record.num_rows()))
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
