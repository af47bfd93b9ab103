//! Writing batches to files.
//!
//! A file is written under a name that readers skip and gets its own name when it is complete, so that
//! nobody ever sees half a file; one that is dropped unfinished is removed. Objects of stores appear
//! when they are complete, which comes to the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use firesteel_catalog::Field;
use firesteel_common::replace::is_special;
use firesteel_common::{Batch, Error, ErrorKind, Result, SqlType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::target::{Target, Upload, UploadBuffer};
use crate::text::Options;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// The file, as path or URL.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// A file being written.
pub struct FileSink {
    encoder: Option<Encoder>,
    types: Vec<SqlType>,
    place: Place,
    target: Target,
    rows: u64,
}

/// Where the bytes are until the file is complete.
enum Place {
    /// A file under another name, and the name that it will have.
    Temporary(PathBuf, PathBuf),
    Upload(Option<Upload>),
}

/// What encoders write to.
enum Output {
    File(File),
    Upload(UploadBuffer),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Upload(buffer) => buffer.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Upload(buffer) => buffer.flush(),
        }
    }
}

enum Encoder {
    Parquet(Box<ArrowWriter<Output>>, SchemaRef),
    Csv(BufWriter<Output>, CsvStyle),
    Json(BufWriter<Output>, Vec<String>),
}

struct CsvStyle {
    separator: char,
    quote: char,
    escape: char,
    null: String,
}

impl FileSink {
    /// Starts a file of `format` (`parquet`, `csv`, `json`) with columns `fields`. If `target` has the
    /// extension of the format and is no directory it is the file, else the directory (made if need be)
    /// in which the file `part-…` number `part` is made.
    ///
    /// Options: `compression` (Parquet: snappy, the default, zstd, lz4, gzip, brotli, none); CSV:
    /// `header`, `sep`, `quote`, `escape`, `nullValue`.
    pub fn create(
        format: &str,
        target: &Target,
        fields: &[Field],
        options: &BTreeMap<String, String>,
        part: u32,
    ) -> Result<Self> {
        let options = Options::new(options);
        let format = format.to_lowercase();
        let extension = match format.as_str() {
            "parquet" => compression(&options)?.1,
            "csv" | "json" => plain_only(&format, &options)?,
            other => return Err(Error::unsupported(format!("Writing files of the format `{other}`."))),
        };
        let unique = unique();
        let target = if target.is_file(&format) {
            target.clone()
        } else {
            target.child(&format!("part-{part:05}-{unique}{extension}.{format}"))
        };
        let (place, output) = match &target {
            Target::Local(path) if is_special(path) => {
                return Err(cannot_write(&target, &"It is neither a file nor a folder."));
            }
            Target::Local(path) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                std::fs::create_dir_all(directory).map_err(|e| cannot_write(&directory.display(), &e))?;
                let temporary = directory.join(format!("._part-{part:05}-{unique}.tmp"));
                let file = File::create(&temporary).map_err(|e| cannot_write(&temporary.display(), &e))?;
                (Place::Temporary(temporary, path.clone()), Output::File(file))
            }
            Target::Remote(store, path) => {
                let upload = Upload::start(store, path.clone())?;
                let buffer = upload.buffer();
                (Place::Upload(Some(upload)), Output::Upload(buffer))
            }
        };
        let types = fields.iter().map(|f| f.ty.clone()).collect();
        let mut sink = Self { encoder: None, types, place, target, rows: 0 };
        sink.encoder = Some(Encoder::new(&format, output, fields, &options).map_err(|e| sink.failed(&e))?);
        Ok(sink)
    }

    /// Appends the live rows of a batch.
    pub async fn write(&mut self, batch: &Batch) -> Result<()> {
        let batch = batch.clone().canonical(&self.types)?;
        self.rows += batch.rows() as u64;
        let Some(encoder) = &mut self.encoder else { return Err(Error::internal("the file is finished")) };
        let result = encoder.write(&batch, &self.types);
        result.map_err(|e| self.failed(&e))?;
        self.send().await
    }

    /// Passes on what has been encoded, where it is not a file that takes it.
    async fn send(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Upload(Some(upload)) => upload.send().await.map_err(|e| cannot_upload(&self.target, e)),
            _ => Ok(()),
        }
    }

    /// Bytes that wait to be written.
    pub fn memory(&self) -> usize {
        match &self.encoder {
            Some(Encoder::Parquet(writer, _)) => writer.memory_size(),
            _ => 0,
        }
    }

    /// Writes out what waits, as far as the format can: Parquet ends its row group.
    pub async fn flush(&mut self) -> Result<()> {
        let Some(Encoder::Parquet(writer, _)) = &mut self.encoder else { return Ok(()) };
        let result = writer.flush();
        result.map_err(|e| self.failed(&e))?;
        self.send().await
    }

    /// Completes the file and gives it its name.
    pub async fn finish(mut self) -> Result<FileSummary> {
        if let Some(encoder) = self.encoder.take() {
            encoder.close().map_err(|e| self.failed(&e))?;
        }
        let bytes = match &mut self.place {
            Place::Temporary(temporary, path) => {
                let renamed = std::fs::rename(temporary, &*path).and_then(|()| std::fs::metadata(path));
                renamed.map_err(|e| cannot_write(&self.target, &e))?.len()
            }
            Place::Upload(upload) => match upload.take() {
                Some(upload) => upload.commit().await.map_err(|e| cannot_upload(&self.target, e))?,
                None => return Err(Error::internal("the upload is finished")),
            },
        };
        Ok(FileSummary { path: self.target.to_string(), rows: self.rows, bytes })
    }

    /// Gives up: nothing remains of the file.
    pub fn abort(self) {}

    fn failed(&self, why: &dyn std::fmt::Display) -> Error {
        cannot_write(&self.target, why)
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.encoder = None;
        if let Place::Temporary(temporary, _) = &self.place {
            // After `finish` it has another name; if removing fails, readers skip the name anyway.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

fn cannot_write(place: &dyn std::fmt::Display, why: &dyn std::fmt::Display) -> Error {
    let message = format!("Task failed while writing rows to {place}. {why}");
    Error::new(ErrorKind::Io, "TASK_WRITE_FAILED", "58030", message)
}

fn cannot_upload(place: &Target, why: Error) -> Error {
    let error = cannot_write(place, &why.message());
    match why.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A text that no other file of this or another process has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}-{:08x}-{next:04x}", now as u64, std::process::id())
}

fn plain_only(format: &str, options: &Options) -> Result<&'static str> {
    match options.get("compression").map(str::to_lowercase).as_deref() {
        None | Some("none" | "uncompressed") => Ok(""),
        Some(other) => Err(Error::unsupported(format!("The compression `{other}` of {format} files."))),
    }
}

fn compression(options: &Options) -> Result<(Compression, &'static str)> {
    Ok(match options.get("compression").map(str::to_lowercase).as_deref() {
        None | Some("snappy") => (Compression::SNAPPY, ".snappy"),
        Some("none" | "uncompressed") => (Compression::UNCOMPRESSED, ""),
        Some("gzip") => (Compression::GZIP(GzipLevel::default()), ".gz"),
        Some("zstd") => (Compression::ZSTD(ZstdLevel::default()), ".zstd"),
        Some("brotli") => (Compression::BROTLI(BrotliLevel::default()), ".br"),
        Some("lz4" | "lz4_raw") => (Compression::LZ4_RAW, ".lz4"),
        Some(other) => return Err(Error::config(format!("Codec [{other}] is not available."))),
    })
}

impl Encoder {
    fn new(format: &str, file: Output, fields: &[Field], options: &Options) -> Result<Self> {
        let names = || fields.iter().map(|f| f.name.to_string());
        Ok(match format {
            "parquet" => {
                let columns = fields.iter().map(|f| ArrowField::new(&*f.name, f.ty.arrow(), f.nullable));
                let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
                let properties = WriterProperties::builder().set_compression(compression(options)?.0).build();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties));
                let writer =
                    writer.map_err(|e| Error::unsupported(format!("Writing these columns to Parquet: {e}")))?;
                Encoder::Parquet(Box::new(writer), schema)
            }
            "csv" => {
                let style = CsvStyle {
                    separator: options.character(&["sep", "delimiter"], ',')?.unwrap_or(','),
                    quote: options.character(&["quote"], '"')?.unwrap_or('"'),
                    escape: options.character(&["escape"], '\\')?.unwrap_or('\\'),
                    null: options.get("nullValue").unwrap_or_default().to_string(),
                };
                let mut out = BufWriter::new(file);
                if options.flag("header")? {
                    let mut line = String::new();
                    names().enumerate().for_each(|(i, name)| style.push(&mut line, i, Some(&name)));
                    writeln!(out, "{line}")?;
                }
                Encoder::Csv(out, style)
            }
            _ => Encoder::Json(BufWriter::new(file), names().map(|n| quoted(&n)).collect()),
        })
    }

    fn write(&mut self, batch: &Batch, types: &[SqlType]) -> Result<()> {
        let (out, style, names) = match self {
            Encoder::Parquet(writer, schema) => {
                let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.rows()));
                let columns = batch.columns().to_vec();
                let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
                return writer.write(&batch).map_err(|e| Error::io(e.to_string()));
            }
            Encoder::Csv(out, style) => (out, Some(style), Vec::new()),
            Encoder::Json(out, names) => (out, None, names.clone()),
        };
        let format = FormatOptions::new();
        let columns = batch.columns().iter().zip(types);
        let columns: Vec<TextColumn<'_>> =
            columns.map(|(c, ty)| TextColumn::new(c, ty, &format)).collect::<Result<_>>()?;
        let mut line = String::new();
        for row in 0..batch.rows() {
            line.clear();
            match &style {
                Some(style) => {
                    for (i, column) in columns.iter().enumerate() {
                        style.push(&mut line, i, column.text(row)?.as_deref());
                    }
                }
                None => json_object(&mut line, &names, &columns, row)?,
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        match self {
            Encoder::Parquet(writer, _) => writer.close().map(|_| ()).map_err(|e| Error::io(e.to_string())),
            Encoder::Csv(mut out, _) | Encoder::Json(mut out, _) => Ok(out.flush()?),
        }
    }
}

fn json_object(line: &mut String, names: &[String], columns: &[TextColumn<'_>], row: usize) -> Result<()> {
    line.push('{');
    for (name, column) in names.iter().zip(columns) {
        // Fields that are NULL are left out, as Spark does.
        let Some(text) = column.text(row)? else { continue };
        if line.len() > 1 {
            line.push(',');
        }
        line.push_str(name);
        line.push(':');
        let bare = column.ty.is_numeric() && !text.contains(['N', 'I', 'i']) || *column.ty == SqlType::Boolean;
        line.push_str(&if bare { text } else { quoted(&text) });
    }
    line.push('}');
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl CsvStyle {
    fn push(&self, line: &mut String, index: usize, value: Option<&str>) {
        if index > 0 {
            line.push(self.separator);
        }
        let Some(value) = value else {
            line.push_str(&self.null);
            return;
        };
        let special = |c| c == self.separator || c == self.quote || c == '\n' || c == '\r';
        if !value.is_empty() && !value.contains(special) && value != self.null {
            line.push_str(value);
            return;
        }
        line.push(self.quote);
        for c in value.chars() {
            if c == self.quote || c == self.escape {
                line.push(self.escape);
            }
            line.push(c);
        }
        line.push(self.quote);
    }
}

/// A column as texts.
struct TextColumn<'a> {
    array: &'a ArrayRef,
    ty: &'a SqlType,
    /// For the types that Arrow writes as Spark does.
    formatter: Option<ArrayFormatter<'a>>,
}

impl<'a> TextColumn<'a> {
    fn new(array: &'a ArrayRef, ty: &'a SqlType, options: &'a FormatOptions<'a>) -> Result<Self> {
        if *ty == SqlType::Binary || ty.is_interval() {
            return Err(Error::unsupported(format!("Writing columns of type {ty} to text files.")));
        }
        let own = ty.is_string() || matches!(ty, SqlType::Timestamp | SqlType::TimestampNtz);
        let formatter = if own { None } else { Some(ArrayFormatter::try_new(array, options)?) };
        Ok(Self { array, ty, formatter })
    }

    fn text(&self, row: usize) -> Result<Option<String>> {
        if self.array.is_null(row) || *self.ty == SqlType::Void {
            return Ok(None);
        }
        let micros = || self.array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row);
        Ok(Some(match self.ty {
            SqlType::Timestamp => format!("{}Z", timestamp(micros())?),
            SqlType::TimestampNtz => timestamp(micros())?,
            SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) => {
                self.array.as_string_view().value(row).to_string()
            }
            _ => match &self.formatter {
                Some(formatter) => formatter.value(row).try_to_string()?,
                None => return Err(Error::internal("a column of a text file has no formatter")),
            },
        }))
    }
}

/// Spark's `yyyy-MM-dd'T'HH:mm:ss.SSS`, with microseconds if there are any.
fn timestamp(micros: i64) -> Result<String> {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    let time = time.ok_or_else(|| Error::overflow(format!("The timestamp {micros} is out of range.")))?;
    let format = if micros % 1_000 == 0 { "%Y-%m-%dT%H:%M:%S%.3f" } else { "%Y-%m-%dT%H:%M:%S%.6f" };
    Ok(time.format(format).to_string())
}
