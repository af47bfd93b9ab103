//! What CSV and JSON lines have in common: files of text records, cut into byte ranges at line ends,
//! parsed to strings and then converted to the types of the columns.
//!
//! A value that does not convert, or a record of the wrong shape, is malformed: by the option `mode`
//! it becomes NULL (PERMISSIVE), its row is left out (DROPMALFORMED), or it is an error (FAILFAST).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewBuilder, new_null_array};
use bytes::Bytes;
use firesteel_catalog::{
    Field, ScanContext, ScanMetrics, ScanRequest, Split, TableProvider, TableScan, TableStatistics,
};
use firesteel_common::{Batch, Error, ErrorKind, Result, Scalar, Selection, SqlType};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use parquet::file::reader::ChunkReader;

use crate::convert::TextConverter;
use crate::memory::filtered;
use crate::storage::SourceFile;

/// Most bytes of a split of a local file: its text is kept while it is read.
const MOST_SPLIT: u64 = 8 << 20;
/// Fewest bytes of a split, which take some milliseconds to parse: less is not worth being shared out.
const LEAST_SPLIT: u64 = 256 << 10;
/// Splits for each worker, if they are not too small: so workers end at about the same time, whatever else they have
/// done before, and whichever of them took the shorter rest of a file.
const SPLITS_PER_WORKER: u64 = 8;
/// How much more is read at a time to find the end of a split's last line.
const STEP: u64 = 64 << 10;

/// What to do with malformed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Permissive,
    DropMalformed,
    FailFast,
}

/// Options of a text source, their names in any case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(BTreeMap<String, String>);

impl Options {
    pub(crate) fn new(options: &BTreeMap<String, String>) -> Self {
        Self(options.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    /// A truth value, false if it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name).map(str::to_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::config(format!("{name} flag can be true or false"))),
        }
    }

    /// One character, or `None` if the option is empty.
    pub(crate) fn character(&self, names: &[&str], default: char) -> Result<Option<char>> {
        let Some(text) = names.iter().find_map(|name| self.get(name)) else { return Ok(Some(default)) };
        let text = match text {
            "\\t" => "\t",
            "\\\\" => "\\",
            other => other,
        };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (c, None) => Ok(c),
            _ => Err(Error::unsupported(format!("The option `{}` takes a single character.", names[0]))),
        }
    }

    pub(crate) fn mode(&self) -> Result<Mode> {
        Ok(match self.get("mode").map(str::to_uppercase).as_deref() {
            None | Some("PERMISSIVE") => Mode::Permissive,
            Some("DROPMALFORMED") => Mode::DropMalformed,
            Some("FAILFAST") => Mode::FailFast,
            Some(other) => return Err(Error::config(format!("The read mode `{other}` is not known."))),
        })
    }
}

/// A parsed record: a text per column, reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Values; `None` is NULL.
    pub(crate) values: Vec<Option<String>>,
    /// The record does not have the shape of the table.
    pub(crate) malformed: bool,
    /// There is no record: an empty line.
    pub(crate) empty: bool,
}

/// Parses records of a format.
pub(crate) trait RecordParser: Send + Sync + fmt::Debug {
    /// Parses the record at the start of `text` and returns its length, with the line end.
    fn parse(&self, text: &str, record: &mut Record) -> usize;

    /// Whether a record may contain line ends, so that files cannot be cut.
    fn spans_lines(&self) -> bool;

    /// Whether the first record of a file names the columns.
    fn has_header(&self) -> bool;
}

/// A table over files of text records.
#[derive(Debug)]
pub struct TextTable {
    inner: Arc<Inner>,
    format: &'static str,
    location: String,
}

#[derive(Debug)]
struct Inner {
    /// Columns of the records, then partition columns.
    fields: Vec<Field>,
    stored: usize,
    files: Vec<(SourceFile, Vec<Scalar>)>,
    parser: Box<dyn RecordParser>,
    mode: Mode,
}

impl TextTable {
    pub(crate) fn new(
        format: &'static str,
        mut fields: Vec<Field>,
        files: Vec<SourceFile>,
        parser: Box<dyn RecordParser>,
        mode: Mode,
        location: String,
    ) -> Result<Self> {
        let (partitions, values) = crate::partition::infer(&files)?;
        let stored = fields.len();
        fields.extend(partitions);
        let files = files.into_iter().zip(values).collect();
        Ok(Self { inner: Arc::new(Inner { fields, stored, files, parser, mode }), format, location })
    }
}

impl TableProvider for TextTable {
    fn schema(&self) -> &[Field] {
        &self.inner.fields
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        let bytes = self.inner.files.iter().map(|(file, _)| file.size).sum();
        Arc::new(TableStatistics { rows: None, exact: false, bytes: Some(bytes), columns: Vec::new() })
    }

    fn identity(&self) -> Option<u64> {
        SourceFile::identity(self.inner.files.iter().map(|(file, _)| file))
    }

    fn scan(&self, request: ScanRequest) -> Result<Arc<dyn TableScan>> {
        Ok(Arc::new(TextScan { table: self.inner.clone(), request: Arc::new(request) }))
    }

    fn description(&self) -> String {
        format!("{} {}", self.format, self.location)
    }
}

#[derive(Debug)]
struct TextScan {
    table: Arc<Inner>,
    request: Arc<ScanRequest>,
}

impl TableScan for TextScan {
    fn splits<'a>(&'a self, cx: &'a ScanContext) -> BoxFuture<'a, Result<Vec<Split>>> {
        let step_bytes = split_bytes(self.table.files.iter().map(|(file, _)| file.size).sum(), cx.workers);
        let mut splits = Vec::new();
        for (part, (file, _)) in self.table.files.iter().enumerate() {
            let whole = self.table.parser.spans_lines() || !file.is_local();
            let step = if whole { file.size.max(1) } else { step_bytes };
            for start in (0..file.size).step_by(step as usize) {
                let end = file.size.min(start + step);
                let (rows, bytes) = ((end - start) / 64, end - start);
                splits.push(Split { part: part as u32, group: 0, start, end, rows, bytes });
            }
        }
        Box::pin(async move { Ok(splits) })
    }

    fn open(&self, split: &Split, cx: &ScanContext) -> BoxStream<'static, Result<Batch>> {
        let (table, request, split) = (self.table.clone(), self.request.clone(), split.clone());
        let (reader_cx, reader_request) = (cx.clone(), self.request.clone());
        let opened = async move {
            let text = read_lines(&table, &split, &reader_cx).await?;
            TextReader::new(table, &reader_request, split, text, reader_cx)
        };
        let batches = stream::once(opened).map(|opened| match opened {
            Ok(reader) => stream::iter(reader).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        filtered(batches.flatten().boxed(), request, cx.clone())
    }
}

/// Bytes of a split, of so many in all.
fn split_bytes(all: u64, workers: usize) -> u64 {
    all.div_ceil(SPLITS_PER_WORKER * workers.max(1) as u64).clamp(LEAST_SPLIT, MOST_SPLIT)
}

/// The lines that begin in a split: its bytes from the first line start to the end of the last line.
async fn read_lines(table: &Inner, split: &Split, cx: &ScanContext) -> Result<Bytes> {
    let (file, _) = &table.files[split.part as usize];
    if split.start == 0 && split.end == file.size {
        ScanMetrics::add(&cx.metrics.bytes, file.size);
        return file.read_all().await;
    }
    let source = file.open(Some(cx.metrics.clone()))?;
    // The byte before tells whether the first line begins here or belongs to the split before.
    let from = split.start.saturating_sub(1);
    let mut bytes: Vec<u8> = Vec::new();
    let mut at = from;
    loop {
        let to = if at == from { split.end } else { file.size.min(at + STEP) };
        let more = source.get_bytes(at, (to - at) as usize).map_err(|e| file.unreadable(&e))?;
        bytes.extend_from_slice(&more);
        at = to;
        if at == file.size || bytes[(split.end - 1 - from) as usize..].contains(&b'\n') {
            break;
        }
    }
    let start =
        if split.start == 0 { 0 } else { bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| i + 1) };
    let last = (split.end - 1 - from) as usize;
    let end = bytes[last..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| last + i + 1);
    Ok(Bytes::from(bytes).slice(start.min(end)..end))
}

/// The batches of a split.
struct TextReader {
    table: Arc<Inner>,
    split: Split,
    text: String,
    at: usize,
    /// Columns that are wanted, by position.
    wanted: Vec<bool>,
    converters: Vec<Option<TextConverter>>,
    cx: ScanContext,
    record: Record,
}

impl TextReader {
    fn new(table: Arc<Inner>, request: &ScanRequest, split: Split, text: Bytes, cx: ScanContext) -> Result<Self> {
        let text = match String::from_utf8(text.into()) {
            Ok(text) => text,
            Err(invalid) => String::from_utf8_lossy(invalid.as_bytes()).into_owned(),
        };
        let mut wanted = vec![false; table.fields.len()];
        for (_, at) in request.columns.iter().chain(&request.filter_columns) {
            wanted[*at] = true;
        }
        let converters = (0..table.stored)
            .map(|i| match &table.fields[i].ty {
                SqlType::String => Ok(None),
                ty if wanted[i] => TextConverter::new(ty, &cx.eval).map(Some),
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        let mut reader = Self { table, split, text, at: 0, wanted, converters, cx, record: Record::default() };
        if reader.split.start == 0 {
            reader.at = if reader.text.starts_with('\u{feff}') { 3 } else { 0 };
            if reader.table.parser.has_header() {
                let mut header = Record::default();
                reader.at += reader.table.parser.parse(&reader.text[reader.at..], &mut header);
            }
        }
        Ok(reader)
    }

    fn malformed(&self, at: usize, why: &str) -> Error {
        let (file, _) = &self.table.files[self.split.part as usize];
        let line = self.text[..at].matches('\n').count() + 1;
        let place = if self.split.start == 0 {
            format!("line {line}")
        } else {
            format!("line {line} after byte {}", self.split.start)
        };
        let record: String = self.text[at..].lines().next().unwrap_or_default().chars().take(200).collect();
        let message = format!(
            "Malformed records are detected in record parsing: {record} ({why}, {}, {place}). Parse Mode: FAILFAST. \
             To process malformed records as null result, try setting the option 'mode' as 'PERMISSIVE'.",
            file.location
        );
        Error::new(ErrorKind::Data, "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "22023", message)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let stored = self.table.stored;
        let limit = self.cx.batch_rows.max(1);
        let mut builders: Vec<StringViewBuilder> = (0..stored).map(|_| StringViewBuilder::new()).collect();
        let mut offsets = Vec::new();
        while offsets.len() < limit && self.at < self.text.len() {
            let start = self.at;
            self.record.malformed = false;
            self.record.empty = false;
            self.at += self.table.parser.parse(&self.text[start..], &mut self.record).max(1);
            if self.record.empty {
                continue;
            }
            if self.record.malformed {
                match self.table.mode {
                    Mode::Permissive => {}
                    Mode::DropMalformed => continue,
                    Mode::FailFast => return Err(self.malformed(start, "wrong shape")),
                }
            }
            offsets.push(start);
            for (i, builder) in builders.iter_mut().enumerate() {
                let value = self.record.values.get(i).and_then(|v| v.as_deref());
                if self.wanted[i] { builder.append_option(value) } else { builder.append_null() }
            }
        }
        if offsets.is_empty() {
            return Ok(None);
        }
        self.convert(builders, &offsets).map(Some)
    }

    fn convert(&mut self, builders: Vec<StringViewBuilder>, offsets: &[usize]) -> Result<Batch> {
        let rows = offsets.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.table.fields.len());
        let mut bad = vec![false; rows];
        for (i, mut builder) in builders.into_iter().enumerate() {
            let ty = &self.table.fields[i].ty;
            let text: ArrayRef = Arc::new(builder.finish());
            if !self.wanted[i] {
                columns.push(new_null_array(&ty.arrow(), rows));
                continue;
            }
            let Some(converter) = &mut self.converters[i] else {
                columns.push(text);
                continue;
            };
            let values = converter.convert(&text)?;
            if values.null_count() > text.null_count() {
                (0..rows).filter(|row| values.is_null(*row) && text.is_valid(*row)).for_each(|row| bad[row] = true);
            }
            columns.push(values);
        }
        let (_, constants) = &self.table.files[self.split.part as usize];
        columns.extend(constants.iter().map(|value| value.to_array(rows)));
        let batch = Batch::new(columns, rows);
        let Some(first) = bad.iter().position(|b| *b) else { return Ok(batch) };
        match self.table.mode {
            Mode::Permissive => Ok(batch),
            Mode::FailFast => Err(self.malformed(offsets[first], "a value does not have the type of its column")),
            Mode::DropMalformed => {
                let good = (0..rows as u32).filter(|row| !bad[*row as usize]).collect();
                Ok(batch.with_selection(Some(Selection::new(good))))
            }
        }
    }
}

impl Iterator for TextReader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.next_batch();
        if result.is_err() {
            self.at = self.text.len();
        }
        result.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_several_splits_that_are_neither_small_nor_large() {
        assert_eq!(split_bytes(100_000, 8), LEAST_SPLIT);
        assert_eq!(split_bytes(16 << 20, 2), 1 << 20);
        assert_eq!(split_bytes(16 << 20, 4), 512 << 10);
        assert_eq!(split_bytes(1 << 40, 4), MOST_SPLIT);
        assert_eq!(split_bytes(0, 0), LEAST_SPLIT);
    }
}
