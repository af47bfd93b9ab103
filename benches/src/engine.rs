//! Running one query, timed, with a limit of time; whatever happens to it is returned.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use firesteel::arrow::array::RecordBatch;
use firesteel::{QueryHandle, Session, display};
use futures::FutureExt;

use crate::data::Table;
use crate::environment;
use crate::failure::Failure;
use crate::report::{Decision, Iteration, Status, rounded};
use crate::verify::Rows;

/// How long a cancelled query may take to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A session with the tables of a folder.
pub(crate) struct Engine {
    session: Session,
    runtime: tokio::runtime::Runtime,
}

/// What a query that ended well did.
pub(crate) struct Execution {
    pub(crate) times: Iteration,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) counters: Counters,
}

/// What the report of a query says.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) peak_memory: u64,
    pub(crate) stages: usize,
    pub(crate) tasks: u32,
    pub(crate) shuffle_bytes: u64,
    pub(crate) decisions: Vec<Decision>,
}

/// Why there are no rows.
pub(crate) struct Unfinished {
    pub(crate) status: Status,
    pub(crate) error: String,
}

impl Unfinished {
    fn error(text: impl ToString) -> Self {
        Self { status: Status::Error, error: text.to_string() }
    }
}

impl Engine {
    /// A session with `settings` and all of `tables`.
    pub(crate) fn open(tables: &[Table], settings: &[(String, String)]) -> Result<Self, Failure> {
        // Only waits: the work is done by the threads of the session.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let builder = settings.iter().fold(Session::builder(), |builder, (key, value)| builder.config(key, value));
        let session = builder.build().map_err(|error| Failure::usage(error.to_string()))?;
        for table in tables {
            runtime.block_on(session.register_parquet(&table.name, &table.path.to_string_lossy()))?;
        }
        Ok(Self { session, runtime })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Runs a statement for what it does.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), Failure> {
        let work = async { self.session.sql(sql).await?.collect().await };
        self.runtime.block_on(work).map(drop).map_err(|error| Failure::other(format!("{error}\n{sql}")))
    }

    /// Runs `sql` and fetches all its rows.
    pub(crate) fn run(&self, sql: &str, limit: Duration) -> Result<Execution, Unfinished> {
        let attempt = AssertUnwindSafe(self.attempt(sql, limit)).catch_unwind();
        self.runtime.block_on(attempt).unwrap_or_else(|_| Err(Unfinished::error("it panicked; see the standard error")))
    }

    async fn attempt(&self, sql: &str, limit: Duration) -> Result<Execution, Unfinished> {
        let cpu = environment::cpu_seconds();
        let start = Instant::now();
        let frame = self.session.sql(sql).await.map_err(Unfinished::error)?;
        let bind = start.elapsed();
        let stream = frame.stream().map_err(Unfinished::error)?;
        let handle = stream.handle().clone();
        let mut rows = Box::pin(stream.collect());
        let batches = match tokio::time::timeout(limit.saturating_sub(bind), &mut rows).await {
            Ok(batches) => batches.map_err(Unfinished::error)?,
            Err(_) => {
                handle.cancel();
                let stopped = tokio::time::timeout(GRACE, rows).await.is_ok();
                let rest = if stopped { "" } else { ", and it did not stop when it was cancelled" };
                let error = format!("not finished after {} s{rest}", limit.as_secs_f64());
                return Err(Unfinished { status: Status::Timeout, error });
            }
        };
        let wall = start.elapsed();
        let cpu = cpu.zip(environment::cpu_seconds()).map(|(before, after)| rounded((after - before) * 1e3));
        let times = Iteration {
            wall_ms: milliseconds(wall),
            bind_ms: milliseconds(bind),
            planning_ms: milliseconds(handle.planning_time()),
            cpu_ms: cpu,
        };
        Ok(Execution { times, batches, counters: counters(&handle) })
    }
}

fn counters(handle: &QueryHandle) -> Counters {
    let Some(report) = handle.report() else { return Counters::default() };
    Counters {
        peak_memory: report.peak_memory,
        stages: report.stages.len(),
        tasks: report.tasks(),
        shuffle_bytes: report.shuffle_bytes(),
        decisions: report.notes.iter().map(Decision::of).collect(),
    }
}

/// Rows as text, with NULL as `NULL`.
pub(crate) fn rows_of(batches: &[RecordBatch]) -> Result<Rows, firesteel::Error> {
    let mut rows = Vec::new();
    for batch in batches {
        let null = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
        rows.extend(display::cells(batch, "UTC")?.into_iter().map(|row| row.into_iter().map(null).collect()));
    }
    Ok(rows)
}

/// Rows of a result.
pub(crate) fn row_count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|b| b.num_rows() as u64).sum()
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}
