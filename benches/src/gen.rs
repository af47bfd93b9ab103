//! `gen`: TPC-H tables as Parquet files, and how files of any rows are written.
//!
//! A table of several files is made part by part: parts are independent, so files are written by several threads,
//! and each streams its rows, so that any scale needs little memory. Files hold what a Parquet file tells by itself
//! (no Arrow schema beside it): snappy, a page index, decimals as 64-bit integers, sorted as TPC-H makes them.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use firesteel::arrow::record_batch::RecordBatchReader;
use firesteel::show;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use crate::args::{Data, GenArgs};
use crate::failure::Failure;
use crate::{environment, skewed};

/// The largest scale of the specification.
const MOST: f64 = 100_000.0;
/// Scale that one file holds, where their number is not given.
const SCALE_PER_FILE: f64 = 2.0;

/// The rows of a file.
pub(crate) type Rows = Box<dyn RecordBatchReader>;

/// Makes part `part` of `parts` of a table.
type Maker = fn(scale: f64, part: i32, parts: i32) -> Rows;

struct Table {
    name: &'static str,
    maker: Maker,
    /// Whether it grows with the scale.
    grows: bool,
}

macro_rules! table {
    ($name:literal, $generator:ident, $arrow:ident, $grows:literal) => {
        Table {
            name: $name,
            maker: |scale, part, parts| Box::new($arrow::new($generator::new(scale, part, parts))),
            grows: $grows,
        }
    };
}

/// The largest first, so that threads end together.
static TABLES: &[Table] = &[
    table!("lineitem", LineItemGenerator, LineItemArrow, true),
    table!("orders", OrderGenerator, OrderArrow, true),
    table!("partsupp", PartSuppGenerator, PartSuppArrow, true),
    table!("part", PartGenerator, PartArrow, true),
    table!("customer", CustomerGenerator, CustomerArrow, true),
    table!("supplier", SupplierGenerator, SupplierArrow, true),
    table!("nation", NationGenerator, NationArrow, false),
    table!("region", RegionGenerator, RegionArrow, false),
];

/// A file to write.
struct Job {
    maker: Maker,
    part: i32,
    parts: i32,
    path: PathBuf,
}

/// Writes the tables of the suite that `args` names.
pub(crate) fn generate(args: &GenArgs) -> Result<(), Failure> {
    if args.row_group_rows == 0 || args.threads == Some(0) {
        return Err(Failure::usage("row groups and threads must be at least 1"));
    }
    match args.what {
        Data::Tpch => tpch(args),
        Data::Skew => skewed::generate(args),
    }
}

fn tpch(args: &GenArgs) -> Result<(), Failure> {
    if !(args.scale > 0.0 && args.scale <= MOST) {
        return Err(Failure::usage(format!("the scale must be above 0 and at most {MOST}")));
    }
    let files = args.files.map_or_else(|| (args.scale / SCALE_PER_FILE).ceil() as i32, i32::from).max(1);
    let jobs = jobs(args, files)?;
    let rows = |job: &Job| (job.maker)(args.scale, job.part, job.parts);
    write_all(&jobs, args.threads, |job| (job.path.as_path(), rows(job), args.row_group_rows))
}

/// Writes a file for each of `jobs`: `rows` says where, which rows, and how many of them a row group has.
pub(crate) fn write_all<'a, J: Sync>(
    jobs: &'a [J],
    threads: Option<usize>,
    rows: impl Fn(&'a J) -> (&'a Path, Rows, usize) + Sync,
) -> Result<(), Failure> {
    let threads = threads.unwrap_or_else(environment::cores).min(jobs.len());
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let total = Mutex::new((0u64, 0u64));
    std::thread::scope(|scope| {
        let work = || -> Result<(), Failure> {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (path, rows, group) = rows(job);
                let (rows, bytes) = match write(path, rows, group) {
                    Ok(written) => written,
                    Err(error) => {
                        // The other threads find no more work.
                        next.store(jobs.len(), Ordering::Relaxed);
                        return Err(Failure::other(format!("cannot write {}: {error}", path.display())));
                    }
                };
                eprintln!("{}: {rows} rows, {}", path.display(), show::bytes(bytes));
                if let Ok(mut total) = total.lock() {
                    *total = (total.0 + rows, total.1 + bytes);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::other("a thread that wrote a file panicked")))
        })
    })?;
    let (rows, bytes) = total.into_inner().unwrap_or_default();
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{rows} rows, {} in {} files, {seconds:.1} s", show::bytes(bytes), jobs.len());
    Ok(())
}

/// Makes a folder that has no files yet: those of other data would become part of the table.
pub(crate) fn empty_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() && fs::read_dir(folder)?.next().is_some() {
        return Err(Failure::usage(format!("the folder {} is not empty", folder.display())));
    }
    fs::create_dir_all(folder)
        .map_err(|error| Failure::other(format!("cannot make the folder {}: {error}", folder.display())))
}

fn jobs(args: &GenArgs, files: i32) -> Result<Vec<Job>, Failure> {
    if let Some(unknown) = args.tables.iter().find(|name| TABLES.iter().all(|t| t.name != name.as_str())) {
        return Err(Failure::usage(format!("TPC-H has no table {unknown}")));
    }
    let mut jobs = Vec::new();
    for table in TABLES.iter().filter(|t| args.tables.is_empty() || args.tables.iter().any(|name| name == t.name)) {
        let folder = args.out.join(table.name);
        empty_folder(&folder)?;
        let parts = if table.grows { files } else { 1 };
        jobs.extend((1..=parts).map(|part| {
            let path = folder.join(format!("{}.{part}.parquet", table.name));
            Job { maker: table.maker, part, parts, path }
        }));
    }
    Ok(jobs)
}

/// Writes a file; its rows and bytes.
fn write(path: &Path, rows: Rows, group: usize) -> Result<(u64, u64), Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // Statistics of pages are what the column index is made of.
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(group))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut writer = ArrowWriter::try_new_with_options(file, rows.schema(), options)?;
    for batch in rows {
        writer.write(&batch?)?;
    }
    let metadata = writer.close()?;
    Ok((metadata.file_metadata().num_rows().max(0) as u64, fs::metadata(path)?.len()))
}

#[cfg(test)]
mod tests {
    use parquet::basic::Type;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn parts_make_the_table() {
        let folder = std::env::temp_dir().join(format!("firesteel-bench-gen-{}", std::process::id()));
        let args = GenArgs {
            what: Data::Tpch,
            scale: 0.01,
            rows: 0,
            out: folder.clone(),
            files: Some(3),
            row_group_rows: 2000,
            tables: vec!["customer".to_owned(), "region".to_owned()],
            threads: Some(2),
        };
        generate(&args).unwrap();
        let tables = crate::data::tables(&folder).unwrap();
        let shape: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.files, t.rows)).collect();
        assert_eq!(shape, [("customer", 3, 1500), ("region", 1, 5)]);
        let file = SerializedFileReader::new(File::open(folder.join("customer/customer.2.parquet")).unwrap()).unwrap();
        let group = file.metadata().row_group(0);
        let balance = group.columns().iter().find(|c| c.column_path().string() == "c_acctbal").unwrap();
        assert_eq!(balance.column_type(), Type::INT64);
        assert!(balance.column_index_offset().is_some());
        assert!(generate(&args).is_err(), "the folder has files");
        fs::remove_dir_all(&folder).unwrap();
    }
}
