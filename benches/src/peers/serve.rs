//! `serve`: Firesteel's side of the protocol, in a process like those of the peers.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::protocol::{Open, Opened, Reply, Request};
use crate::data::Table;
use crate::engine::{Engine, milliseconds, row_count, rows_of};
use crate::environment;
use crate::failure::Failure;

/// The process that asks ends this one when a query takes too long.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

/// Answers queries until its input ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut lines = std::io::stdin().lock().lines();
    let first = lines.next().ok_or_else(|| Failure::usage("`serve` is for `peers`: it reads what to open"))??;
    let open: Open = serde_json::from_str(&first)?;
    let start = Instant::now();
    let engine = match open_engine(open) {
        Ok(engine) => engine,
        Err(failure) => return send(&Opened { error: Some(failure.to_string()), ..Opened::default() }),
    };
    let version = Some(env!("CARGO_PKG_VERSION").to_owned());
    send(&Opened { version, ms: milliseconds(start.elapsed()), ..Opened::default() })?;
    for line in lines {
        let request: Request = serde_json::from_str(&line?)?;
        send(&answer(&engine, &request))?;
    }
    Ok(())
}

fn open_engine(open: Open) -> Result<Engine, Failure> {
    let mut settings = vec![("firesteel.threads".to_owned(), open.threads.to_string())];
    settings.extend(open.memory.map(|bytes| ("firesteel.memory.limit".to_owned(), bytes.to_string())));
    settings.extend(open.conf);
    let table = |t: super::protocol::TablePath| Table { name: t.name, path: t.path, files: 0, rows: 0, bytes: 0 };
    let tables: Vec<Table> = open.tables.into_iter().map(table).collect();
    Engine::open(&tables, &settings)
}

fn answer(engine: &Engine, request: &Request) -> Reply {
    environment::reset_peak_memory();
    let execution = match engine.run(&request.sql, NO_LIMIT) {
        Ok(execution) => execution,
        Err(unfinished) => return Reply { error: Some(unfinished.error), ..Reply::default() },
    };
    let mut reply = Reply {
        ms: execution.times.wall_ms,
        cpu_ms: execution.times.cpu_ms,
        rows: row_count(&execution.batches),
        rss: environment::peak_memory(),
        ..Reply::default()
    };
    if request.cells {
        match rows_of(&execution.batches) {
            Ok(rows) => reply.cells = Some(rows),
            Err(error) => reply.error = Some(error.to_string()),
        }
    }
    reply
}

fn send(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
