//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Benchmarks of Firesteel: TPC-H data, runs with verified answers, comparisons.
///
/// Queries and data are derived from TPC-H; results are not official TPC results.
#[derive(Debug, Parser)]
#[command(name = "firesteel-bench", version)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes data as Parquet files: that of TPC-H, or skewed tables with uniform twins.
    Gen(GenArgs),
    /// Runs the queries, verifies their answers, and saves times and measures as JSON.
    Run(RunArgs),
    /// What skew costs: the same queries on skewed and uniform data, in turns.
    Skew(SkewArgs),
    /// What wrong estimates cost: queries with adaptive execution on and off, in turns.
    Estimates(EstimatesArgs),
    /// Holds two saved results against each other.
    Compare(CompareArgs),
    /// Runs the same queries on the same files in DuckDB and DataFusion, in turns with Firesteel.
    Peers(PeersArgs),
    /// Answers queries over standard input and output, for `peers`.
    #[command(hide = true)]
    Serve,
}

/// Data that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    Tpch,
    Skew,
}

#[derive(Debug, Args)]
pub(crate) struct GenArgs {
    /// What to make.
    #[arg(value_enum, default_value_t = Data::Tpch)]
    pub(crate) what: Data,
    /// Scale factor of TPC-H: 1 is about 1 GB of text.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// Rows of the large tables of `skew`.
    #[arg(long, value_name = "N", default_value_t = 3_000_000)]
    pub(crate) rows: u64,
    /// Folder to write to; each table becomes a folder in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Files per table of TPC-H; by default one per 2 of the scale, at least 1. Nation and region always have one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) files: Option<u16>,
    /// Rows of a row group.
    #[arg(long, value_name = "N", default_value_t = 1 << 20)]
    pub(crate) row_group_rows: usize,
    /// Tables of TPC-H to make, by default all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) tables: Vec<String>,
    /// Files written at the same time; by default the number of cores.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

/// Which engine to measure, and how often.
#[derive(Clone, Debug, Args)]
pub(crate) struct MeasureArgs {
    /// Folder with the tables: one sub-folder or Parquet file per table.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Queries to run, such as 1,3-5,q18; by default all.
    #[arg(long, value_name = "LIST")]
    pub(crate) queries: Vec<String>,
    /// Timed runs of each query.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) iterations: u32,
    /// Runs before the timed ones.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) warmup: u32,
    /// Worker threads; by default the number of cores.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Memory limit, such as 4g.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// A setting of the session; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) conf: Vec<(String, String)>,
    /// Seconds after which a run is cancelled.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = seconds)]
    pub(crate) timeout: f64,
    /// Do not verify the rows.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Folder with q1.csv to q22.csv to verify against; by default the known answers at scale 0.01, 1 and 10.
    #[arg(long, value_name = "DIR")]
    pub(crate) answers: Option<PathBuf>,
    /// Run each query in a process of its own, so that its peak memory is its own.
    #[arg(long)]
    pub(crate) isolate: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
    /// Where to save the result, after every query; `-` is standard output, and the table goes to standard error.
    #[arg(long, value_name = "FILE", default_value = "firesteel-bench.json")]
    pub(crate) json: String,
}

/// How queries are measured in turns.
#[derive(Debug, Args)]
pub(crate) struct TurnsArgs {
    /// Timed runs of each query, on each side.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) iterations: u32,
    /// A setting of the sessions; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) conf: Vec<(String, String)>,
    /// Seconds after which a run is cancelled.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = seconds)]
    pub(crate) timeout: f64,
    /// Where to save the result, after every query.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SkewArgs {
    /// Folder that `gen skew` has written.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Numbers of workers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "2,4,8")]
    pub(crate) threads: Vec<usize>,
    /// Settings to measure: default, partitioned; by default both.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ["default", "partitioned"])]
    pub(crate) modes: Vec<String>,
    /// Names of queries, or parts of them; by default all.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) queries: Vec<String>,
    #[command(flatten)]
    pub(crate) turns: TurnsArgs,
}

/// Queries that `estimates` can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EstimatesSuite {
    Estimates,
    Tpch,
}

#[derive(Debug, Args)]
pub(crate) struct EstimatesArgs {
    /// Which queries.
    #[arg(long, value_enum, default_value_t = EstimatesSuite::Estimates)]
    pub(crate) suite: EstimatesSuite,
    /// Folder of the tables; those of `estimates` are made if they are not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Rows of the largest table, if the tables are made.
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub(crate) rows: u64,
    /// Worker threads; by default the number of cores.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Names of queries, or parts of them (of TPC-H, numbers such as 1,3-5); by default all.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) queries: Vec<String>,
    #[command(flatten)]
    pub(crate) turns: TurnsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The result to compare with.
    pub(crate) base: PathBuf,
    /// The result to compare.
    pub(crate) other: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    pub(crate) measure: MeasureArgs,
    /// Engines to run.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "firesteel,duckdb,datafusion")]
    pub(crate) engines: Vec<String>,
    /// Python that has the wheels of the peers.
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub(crate) python: String,
    /// Where to save the result, after every query.
    #[arg(long, value_name = "FILE", default_value = "firesteel-peers.json")]
    pub(crate) json: PathBuf,
    /// Where to write the report.
    #[arg(long, value_name = "FILE", default_value = "firesteel-peers.html")]
    pub(crate) html: PathBuf,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s: &f64| *s > 0.0 && s.is_finite()).ok_or_else(|| "must be a positive number".to_owned())
}
