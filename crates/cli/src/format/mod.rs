//! How results are written. Formats write into a buffer that the shell passes on after each batch, so that a result
//! of any size needs little memory, except for the table, whose widths depend on all rows.

pub(crate) mod cell;
mod delimited;
mod json;
mod markdown;
mod plain;
mod table;
mod vertical;

use clap::ValueEnum;
use firesteel::Result;
use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::Schema;

pub(crate) use table::Layout;

/// The formats by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A drawn table
    Table,
    /// Comma-separated values with a header; NULL is an empty field, the empty string is `""`
    Csv,
    /// Tab-separated values with a header; NULL is `\N`
    Tsv,
    /// An array of objects
    Json,
    /// One object on each line
    #[value(alias = "jsonl", alias = "jsonlines")]
    Ndjson,
    /// A table of Markdown
    #[value(alias = "md")]
    Markdown,
    /// One line for each value
    Vertical,
}

/// What is known at the end of a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// How long it took, in words, if that is to be shown.
    pub(crate) time: Option<String>,
}

/// Writes one result.
pub(crate) trait Writer {
    /// The start, once it is known that there is a result.
    fn start(&mut self, schema: &Schema, out: &mut Vec<u8>);

    /// Rows. Timestamps are shown in `zone`.
    fn rows(&mut self, batch: &RecordBatch, zone: &str, out: &mut Vec<u8>) -> Result<()>;

    /// The end.
    fn finish(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()>;
}

/// The writer of a format.
pub(crate) fn writer(format: Format, layout: &Layout) -> Box<dyn Writer> {
    match format {
        Format::Table => Box::new(table::Table::new(layout.clone())),
        Format::Csv => Box::new(delimited::Csv),
        Format::Tsv => Box::new(delimited::Tsv),
        Format::Json => Box::new(json::Json::new(false)),
        Format::Ndjson => Box::new(json::Json::new(true)),
        Format::Markdown => Box::new(markdown::Markdown),
        Format::Vertical => Box::new(vertical::Vertical::new(layout.footer)),
    }
}

/// The writer of texts of many lines, such as plans: the first column as it is.
pub(crate) fn plain_writer() -> Box<dyn Writer> {
    Box::new(plain::Plain)
}
