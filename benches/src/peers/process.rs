//! An engine in a process of its own, spoken to over pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::{Open, Opened, Reply, Request};
use crate::failure::Failure;
use crate::report::Status;

/// How long an engine may take to open the tables.
const OPENING: Duration = Duration::from_secs(120);
/// Firesteel's name among the engines.
pub(crate) const OURS: &str = "firesteel";
/// Peers: the names of engines, and the packages they come in.
pub(crate) const PEERS: [(&str, &str); 2] = [("duckdb", "duckdb pyarrow"), ("datafusion", "datafusion pyarrow")];
/// The other side of the protocol, in Python.
const DRIVER: &str = include_str!("driver.py");

/// A running engine. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
    pub(crate) version: String,
    /// Time to open the tables, without that to start the process.
    pub(crate) open_ms: f64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct NoReply {
    pub(crate) status: Status,
    pub(crate) error: String,
    /// Whether the process is gone.
    pub(crate) ended: bool,
}

impl Process {
    /// Starts an engine and opens the tables in it.
    pub(crate) fn start(open: &Open, python: &str) -> Result<Self, Failure> {
        let mut command = command(open, python)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| {
            let what = command.get_program().to_string_lossy().into_owned();
            Failure::usage(format!("cannot start {what} for {}: {error}", open.engine))
        })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::other("a process has no pipes"));
        };
        let (sender, lines) = channel();
        // Ends with the process: then its output does.
        std::thread::Builder::new().name(open.engine.clone()).spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
        let mut process = Self { child, input, output: lines, version: String::new(), open_ms: 0.0 };
        let opened: Opened =
            process.ask(open, OPENING).map_err(|no| Failure::other(format!("{}: {}", open.engine, no.error)))?;
        if let Some(missing) = opened.missing {
            let packages = PEERS.iter().find(|(name, _)| *name == open.engine).map_or(missing.as_str(), |(_, p)| p);
            return Err(Failure::usage(format!(
                "{python} has no package {missing}, which {} needs: run `{python} -m pip install {packages}`, name \
                 another Python by --python, or leave it out by --engines",
                open.engine
            )));
        }
        if let Some(error) = opened.error {
            return Err(Failure::other(format!("{} cannot open the tables: {error}", open.engine)));
        }
        process.version = opened.version.unwrap_or_default();
        process.open_ms = opened.ms;
        Ok(process)
    }

    /// Runs a query. After a timeout the process is ended.
    pub(crate) fn run(&mut self, request: &Request, limit: Duration) -> Result<Reply, NoReply> {
        let reply: Reply = self.ask(request, limit)?;
        match reply.error {
            Some(error) => Err(NoReply { status: Status::Error, error, ended: false }),
            None => Ok(reply),
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, value: &impl Serialize, limit: Duration) -> Result<T, NoReply> {
        let lost = |error: String| NoReply { status: Status::Error, error, ended: true };
        let mut line = serde_json::to_vec(value).map_err(|error| lost(error.to_string()))?;
        line.push(b'\n');
        let written = self.input.write_all(&line).and_then(|()| self.input.flush());
        let answer = match written {
            Ok(()) => self.output.recv_timeout(limit),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        match answer {
            Ok(answer) => serde_json::from_str(&answer).map_err(|error| lost(format!("it answered nonsense: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                let error = format!("not finished after {} s", limit.as_secs_f64());
                Err(NoReply { status: Status::Timeout, error, ended: true })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(lost(format!("its process ended: {status}")))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way nothing of it is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(open: &Open, python: &str) -> Result<Command, Failure> {
    if open.engine == OURS {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve");
        return Ok(command);
    }
    let mut command = Command::new(python);
    command.arg("-c").arg(DRIVER);
    // DataFusion takes the number of its threads from here, Arrow that of its own.
    let threads = open.threads.to_string();
    command.env("TOKIO_WORKER_THREADS", &threads).env("OMP_NUM_THREADS", &threads);
    Ok(command)
}
