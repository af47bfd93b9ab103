//! Decoding of Parquet, by encoding and compression, through queries over one file in the page cache. Bytes per second are those
//! of the decoded columns.
//!
//! `cargo bench -p firesteel-bench --bench scan [FILTER]`

#[path = "tables.rs"]
mod tables;

use std::path::Path;

use divan::Bencher;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use tables::{batches, fail, measure, session};

fn main() {
    firesteel_allocator::configure();
    divan::main();
}

/// How the file is written: encoding, compression.
const FILES: [&str; 6] = ["plain", "plain snappy", "plain zstd", "dictionary", "dictionary snappy", "dictionary zstd"];

/// Writes the table `t` to `path`.
fn write(path: &Path, file: &str) -> Result<()> {
    let compression = match file.split(' ').nth(1) {
        Some("snappy") => Compression::SNAPPY,
        Some("zstd") => Compression::ZSTD(ZstdLevel::try_new(1)?),
        _ => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(file.starts_with("dictionary"))
        .build();
    let batches = batches();
    let Some(first) = batches.first() else { return Ok(()) };
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path)?, first.schema(), Some(properties))?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.close().map(|_| ())
}

/// Runs `sql`, which reads `columns` of the table FILE, with one thread.
fn bench(bencher: Bencher<'_, '_>, file: &str, columns: &[&str], sql: &str) {
    let folder = tempfile::tempdir().unwrap_or_else(|error| fail(&error));
    let path = folder.path().join("t.parquet");
    write(&path, file).unwrap_or_else(|error| fail(&error));
    let sql = sql.replace("FILE", &format!("parquet.`{}`", path.display()));
    measure(bencher, &session(&[("firesteel.threads", "1")]), columns, &sql);
}

#[divan::bench(args = FILES)]
fn integers(bencher: Bencher<'_, '_>, file: &str) {
    bench(bencher, file, &["k"], "SELECT sum(k) FROM FILE");
}

#[divan::bench(args = FILES)]
fn decimals(bencher: Bencher<'_, '_>, file: &str) {
    bench(bencher, file, &["price"], "SELECT sum(price) FROM FILE");
}

#[divan::bench(args = FILES)]
fn strings(bencher: Bencher<'_, '_>, file: &str) {
    bench(bencher, file, &["name"], "SELECT max(name) FROM FILE");
}

#[divan::bench(args = FILES)]
fn condition(bencher: Bencher<'_, '_>, file: &str) {
    bench(bencher, file, &["discount", "price"], "SELECT sum(price) FROM FILE WHERE discount = 0.03");
}
