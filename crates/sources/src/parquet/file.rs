//! One Parquet file as the scan sees it: footer, offset index, and how each column is decoded.
//!
//! Footers are parsed once per process and file version (path, size, time of change); opening a table
//! again, as each query of a REPL does, costs a `stat` per file.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, TimeUnit};
use firesteel_catalog::{Field, ScanContext};
use firesteel_common::sql_type::MAX_PRECISION_64;
use firesteel_common::{Error, ErrorKind, Result, SqlType};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::index_reader::decode_column_index;
use parquet::file::reader::ChunkReader;

use crate::storage::{SourceFile, Storage};

/// A column of a file that the engine can read.
#[derive(Clone, Debug)]
pub(crate) struct FileColumn {
    /// Name, type and nullability.
    pub(crate) field: Field,
    /// Index among the leaves of the Parquet schema.
    pub(crate) leaf: usize,
}

/// A file with its footer.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    pub(crate) source: SourceFile,
    pub(crate) footer: Arc<Footer>,
}

/// What is kept of a footer.
#[derive(Debug)]
pub(crate) struct Footer {
    /// For readers: the metadata with the Arrow types to decode to.
    pub(crate) arrow: ArrowReaderMetadata,
    /// Columns that can be read, in the order of the file.
    pub(crate) columns: Vec<FileColumn>,
    /// Names and types of columns that cannot: nested ones.
    pub(crate) skipped: Vec<String>,
    /// Lengths of the dictionaries of the first row group by leaf, as far as they were asked for.
    pub(crate) dictionary_lengths: Mutex<HashMap<usize, Option<u64>>>,
    /// Column indexes by row group and leaf, as far as they were asked for.
    column_indexes: Mutex<ColumnIndexes>,
}

type ColumnIndexes = HashMap<(usize, usize), Option<Arc<ColumnIndexMetaData>>>;

type FooterKey = (Arc<str>, u64, i128);
static FOOTERS: LazyLock<Mutex<HashMap<FooterKey, Arc<Footer>>>> = LazyLock::new(Mutex::default);
/// Footers kept; beyond it the cache starts anew, which is simple and rare.
const MAX_FOOTERS: usize = 20_000;
/// First guess of footer and page index, for remote files.
const TAIL_BYTES: u64 = 256 << 10;

impl ParquetFile {
    /// Reads the footer, or takes it from the cache.
    ///
    /// Errors: `CANNOT_READ_FILE_FOOTER`.
    pub(crate) async fn open(source: SourceFile) -> Result<Self> {
        let key = (source.location.clone(), source.size, source.modified);
        let cacheable = !matches!(source.storage, Storage::Memory(_));
        if cacheable && let Some(footer) = FOOTERS.lock().get(&key).cloned() {
            return Ok(Self { source, footer });
        }
        let metadata = read_metadata(&source).await?;
        let footer = Footer::new(metadata).map_err(|e| cannot_read_footer(&source, &e))?;
        let footer = Arc::new(footer);
        if cacheable {
            let mut footers = FOOTERS.lock();
            if footers.len() >= MAX_FOOTERS {
                footers.clear();
            }
            footers.insert(key, footer.clone());
        }
        Ok(Self { source, footer })
    }

    /// The Parquet metadata.
    pub(crate) fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.footer.arrow.metadata()
    }

    /// Rows of a row group.
    pub(crate) fn group_rows(&self, group: usize) -> u64 {
        self.metadata().row_group(group).num_rows().max(0) as u64
    }

    /// The column of a name: exactly so spelt, or else in another case.
    pub(crate) fn column(&self, name: &str) -> Option<&FileColumn> {
        let columns = &self.footer.columns;
        columns
            .iter()
            .find(|c| &*c.field.name == name)
            .or_else(|| columns.iter().find(|c| c.field.name.eq_ignore_ascii_case(name)))
    }

    /// First rows of the pages of a column chunk, if the file has an offset index.
    pub(crate) fn page_starts(&self, group: usize, leaf: usize) -> Option<Vec<u64>> {
        let locations = self.metadata().page_index()?.page_locations(group, leaf)?;
        Some(locations.iter().map(|l| l.first_row_index.max(0) as u64).collect())
    }

    /// Bounds of the pages of a column chunk, if the file has them; of a remote file only once they were
    /// fetched. An index that cannot be read is as good as none.
    pub(crate) fn column_index(&self, group: usize, leaf: usize, cx: &ScanContext) -> Option<Arc<ColumnIndexMetaData>> {
        if let Some(known) = self.footer.column_indexes.lock().get(&(group, leaf)) {
            return known.clone();
        }
        if !self.source.is_local() {
            return None;
        }
        let range = self.metadata().row_group(group).column(leaf).column_index_range();
        let bytes = range.and_then(|range| {
            let source = self.source.open(Some(cx.metrics.clone())).ok()?;
            source.get_bytes(range.start, (range.end - range.start) as usize).ok()
        });
        self.keep_column_index(group, leaf, bytes.as_deref())
    }

    fn keep_column_index(&self, group: usize, leaf: usize, bytes: Option<&[u8]>) -> Option<Arc<ColumnIndexMetaData>> {
        let ty = self.metadata().row_group(group).column(leaf).column_type();
        let index = bytes.and_then(|bytes| decode_column_index(bytes, ty).ok()).map(Arc::new);
        self.footer.column_indexes.lock().insert((group, leaf), index.clone());
        index
    }

    /// Fetches column indexes of a remote file, unless they are known.
    pub(crate) async fn fetch_column_indexes(
        &self,
        groups: &[usize],
        leaves: &[usize],
        cx: &ScanContext,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        {
            let known = self.footer.column_indexes.lock();
            for (group, leaf) in groups.iter().flat_map(|group| leaves.iter().map(move |leaf| (*group, *leaf))) {
                let range = self.metadata().row_group(group).column(leaf).column_index_range();
                wanted.extend(range.filter(|_| !known.contains_key(&(group, leaf))).map(|range| (group, leaf, range)));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let ranges = wanted.iter().map(|(_, _, range)| range.clone()).collect();
        let source = self.source.fetch(ranges, Some(cx.metrics.clone())).await?;
        for (group, leaf, range) in wanted {
            let bytes = source.get_bytes(range.start, (range.end - range.start) as usize);
            self.keep_column_index(group, leaf, bytes.ok().as_deref());
        }
        Ok(())
    }
}

fn cannot_read_footer(source: &SourceFile, why: &dyn std::fmt::Display) -> Error {
    let message = format!(
        "Could not read footer for file: {}. Please ensure that the file is in either ORC or Parquet format. {why}",
        source.location
    );
    Error::new(ErrorKind::Data, "CANNOT_READ_FILE_FOOTER", "KD001", message)
}

async fn read_metadata(source: &SourceFile) -> Result<ParquetMetaData> {
    let reader = || {
        ParquetMetaDataReader::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip)
    };
    if source.is_local() {
        let bytes = source.open(None)?;
        return reader().parse_and_finish(&bytes).map_err(|e| cannot_read_footer(source, &e));
    }
    let mut wanted = TAIL_BYTES.min(source.size);
    loop {
        let last = source.size - wanted..source.size;
        let tail = source.fetch(Vec::from([last]), None).await?;
        let tail = tail.get_bytes(source.size - wanted, wanted as usize).map_err(|e| source.damaged(&e))?;
        let mut reader = reader();
        match reader.try_parse_sized(&tail, source.size) {
            Ok(()) => return reader.finish().map_err(|e| cannot_read_footer(source, &e)),
            Err(ParquetError::NeedMoreData(needed)) if needed as u64 > wanted => wanted = needed as u64,
            Err(error) => return Err(cannot_read_footer(source, &error)),
        }
    }
}

impl Footer {
    fn new(metadata: ParquetMetaData) -> Result<Self, ParquetError> {
        let metadata = Arc::new(metadata);
        let natural = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
        let root = metadata.file_metadata().schema_descr().root_schema();
        let mut leaf = 0;
        let mut hints = Vec::new();
        let (mut columns, mut skipped) = (Vec::new(), Vec::new());
        for (field, parquet) in natural.schema().fields().iter().zip(root.get_fields()) {
            let leaves = count_leaves(parquet);
            let int96 = parquet.is_primitive() && parquet.get_physical_type() == PhysicalType::INT96;
            let hint = if parquet.is_primitive() { wanted_type(field.data_type(), int96) } else { None };
            let ty = SqlType::from_arrow(hint.as_ref().unwrap_or(field.data_type()));
            match ty {
                Ok(ty) if parquet.is_primitive() => {
                    let nullable = field.is_nullable();
                    let field = Field { name: Arc::from(field.name().as_str()), ty, nullable };
                    columns.push(FileColumn { field, leaf });
                }
                _ => skipped.push(format!("{} {}", field.name(), field.data_type())),
            }
            let hinted = hint.unwrap_or_else(|| field.data_type().clone());
            hints.push(Arc::new(ArrowField::clone(field).with_data_type(hinted)));
            leaf += leaves;
        }
        let schema = Arc::new(Schema::new_with_metadata(hints, natural.schema().metadata().clone()));
        let arrow = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(schema))
            // Some writer's types do not take the hint; then values are converted after decoding.
            .unwrap_or(natural);
        Ok(Self { arrow, columns, skipped, dictionary_lengths: Mutex::default(), column_indexes: Mutex::default() })
    }
}

fn count_leaves(ty: &parquet::schema::types::Type) -> usize {
    if ty.is_primitive() { 1 } else { ty.get_fields().iter().map(|f| count_leaves(f)).sum() }
}

/// The Arrow type to decode to, where it is not what the reader would choose.
fn wanted_type(natural: &DataType, int96: bool) -> Option<DataType> {
    Some(match natural {
        DataType::Timestamp(..) if int96 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
            if *p <= MAX_PRECISION_64 =>
        {
            DataType::Decimal64(*p, *s)
        }
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => return wanted_type(values, int96).or_else(|| Some((**values).clone())),
        _ => return None,
    })
}
