//! Runs statements and writes their results.

use std::io::Write;
use std::time::{Duration, Instant};

use firesteel::arrow::array::{AsArray, RecordBatch};
use firesteel::{DataFrame, QueryStream, Session};
use futures::StreamExt;
use futures::executor::block_on;

use crate::failure::Failure;
use crate::format::{self, Format, Layout, Summary};
use crate::interrupt::Running;
use crate::sample::Samples;
use crate::sink::Sink;

/// A session and what the shell knows around it.
pub(crate) struct Shell {
    pub(crate) session: Session,
    pub(crate) samples: Samples,
    pub(crate) sink: Sink,
    pub(crate) view: View,
}

/// How results are shown.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) format: Format,
    /// Rows of a table on a terminal.
    pub(crate) max_rows: usize,
    pub(crate) color: bool,
}

impl Shell {
    /// Runs one statement and writes its result, all of it when this returns.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), Failure> {
        block_on(async {
            let running = Running::start();
            let started = Instant::now();
            let frame = running.until(self.open(sql), 0).await.ok_or(Failure::Interrupted)??;
            if frame.is_command() && frame.schema().fields().is_empty() {
                return Ok(());
            }
            self.show(&frame, &running, started).await
        })
    }

    /// Binds a query, or runs a command; sample tables that it needs are registered on the way.
    async fn open(&mut self, sql: &str) -> Result<DataFrame, Failure> {
        if first_word(sql).eq_ignore_ascii_case("show") {
            self.samples.provide_all(&self.session).await?;
        }
        loop {
            match self.session.sql(sql).await {
                Ok(frame) => return Ok(frame),
                Err(error) if self.samples.provide(&self.session, &error).await? => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn show(&mut self, frame: &DataFrame, running: &Running, started: Instant) -> Result<(), Failure> {
        let mut rows = Rows { stream: frame.stream()?, running };
        let schema = rows.stream.schema();
        let zone = self.session.config().time_zone;
        let plan = self.view.format == Format::Table && is_plan(frame);
        let mut writer = format::writer(self.view.format, &self.layout());
        let mut out = Vec::new();
        let mut begun = false;
        while let Some(batch) = rows.next().await? {
            if plan {
                write_plan(&batch, &mut out);
                begun = true;
            }
            if !plan && !std::mem::replace(&mut begun, true) {
                writer.start(&schema, &mut out);
            }
            if !plan {
                writer.rows(&batch, &zone, &mut out)?;
            }
            self.sink.write_all(&out)?;
            out.clear();
        }
        if !plan {
            // Only now: what fails before its first row has no result.
            if !begun {
                writer.start(&schema, &mut out);
            }
            let time = Some(format_duration(started.elapsed()));
            writer.finish(&Summary { time }, &mut out)?;
        }
        self.sink.write_all(&out)?;
        self.sink.flush()?;
        Ok(())
    }

    fn layout(&self) -> Layout {
        if !self.sink.is_terminal() {
            return Layout { color: self.view.color, ..Layout::default() };
        }
        let size = terminal_size::terminal_size();
        let width = size.map_or(80, |(width, _)| usize::from(width.0));
        Layout { width: Some(width), rows: Some(self.view.max_rows), color: self.view.color, footer: true }
    }
}

/// The rows of a query that Ctrl-C ends.
struct Rows<'a> {
    stream: QueryStream,
    running: &'a Running,
}

impl Rows<'_> {
    /// The next rows. The first press of Ctrl-C cancels the query and waits for it to stop; the second does not wait.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        if let Some(batch) = self.running.until(self.stream.next(), 0).await {
            return Ok(batch.transpose()?);
        }
        self.stream.handle().cancel();
        while let Some(Some(Ok(_))) = self.running.until(self.stream.next(), 1).await {}
        Err(Failure::Interrupted)
    }
}

/// Whether it is the result of EXPLAIN, which is text of many lines.
fn is_plan(frame: &DataFrame) -> bool {
    frame.is_command() && frame.schema().fields().len() == 1 && frame.schema().field(0).name() == "plan"
}

fn write_plan(batch: &RecordBatch, out: &mut Vec<u8>) {
    if let Some(lines) = batch.column(0).as_string_view_opt() {
        for line in lines.iter().flatten() {
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
        }
    }
}

fn first_word(sql: &str) -> &str {
    let rest = &sql[crate::script::blank_end(sql)..];
    rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
}

/// A time in words: `3.1 ms`, `1.24 s`, `2 min 5 s`.
pub(crate) fn format_duration(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}
