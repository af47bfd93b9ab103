//! Runs statements and writes their results.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use firesteel::arrow::array::RecordBatch;
use firesteel::arrow::datatypes::SchemaRef;
use firesteel::{DataFrame, QueryStream, Session};
use futures::StreamExt;
use futures::executor::block_on;

use crate::failure::Failure;
use crate::format::{self, Format, Layout, Summary};
use crate::interrupt::Running;
use crate::pager::{self, Paging};
use crate::progress::ProgressLine;
use crate::run::complain;
use crate::sample::Samples;
use crate::sink::Sink;

/// A session and what the shell knows around it.
pub(crate) struct Shell {
    pub(crate) session: Session,
    pub(crate) samples: Samples,
    pub(crate) sink: Sink,
    pub(crate) view: View,
    /// Whether a person types the statements.
    pub(crate) interactive: bool,
    pub(crate) last: Last,
}

/// The last statement and, for a person, its result.
#[derive(Default)]
pub(crate) struct Last {
    sql: String,
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Whether there were more rows than are kept.
    cut: bool,
}

impl Last {
    fn keep(&mut self, batch: &RecordBatch) {
        self.bytes += batch.get_array_memory_size();
        self.cut |= self.bytes > LAST_BYTES;
        if !self.cut {
            self.batches.push(batch.clone());
        }
    }
}

/// Bytes of the last result that are kept for `.last`.
const LAST_BYTES: usize = 64 << 20;

/// How results are shown.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) format: Format,
    /// Rows of a table on a terminal.
    pub(crate) max_rows: usize,
    pub(crate) color: bool,
    /// Whether times are shown, to a person.
    pub(crate) timing: bool,
    pub(crate) paging: Paging,
}

impl Shell {
    /// Runs one statement and writes its result, all of it when this returns.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), Failure> {
        block_on(async {
            let running = Running::start();
            let started = Instant::now();
            self.last = Last { sql: sql.to_owned(), ..Last::default() };
            // Commands such as CREATE TABLE AS run their query here.
            let session = self.session.clone();
            let progress = ProgressLine::start(move || session.running_queries().pop());
            let frame = running.until(self.open(sql), 0).await;
            drop(progress);
            let frame = frame.ok_or(Failure::Interrupted)??;
            if frame.is_command() && frame.schema().fields().is_empty() {
                self.note_end(started);
                return Ok(());
            }
            self.show(&frame, &running, started).await
        })
    }

    /// Tells a person that a statement without a result has ended.
    fn note_end(&self, started: Instant) {
        if self.interactive {
            let time = self.time(started).map(|time| format!(", {time}")).unwrap_or_default();
            // That standard error is gone can be said nowhere.
            let _ = writeln!(io::stderr(), "OK{time}");
        }
    }

    /// Tells a person what a command of the shell has done.
    pub(crate) fn tell(&self, text: &str) {
        if self.interactive {
            // As above.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn time(&self, started: Instant) -> Option<String> {
        self.view.timing.then(|| format_duration(started.elapsed()))
    }

    /// The last statement.
    pub(crate) fn last_sql(&self) -> &str {
        &self.last.sql
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
        let query = rows.stream.handle().clone();
        let mut progress = Some(ProgressLine::start(move || Some(query.clone())));
        let schema = rows.stream.schema();
        let zone = self.session.config().time_zone;
        let plan = self.view.format == Format::Table && is_plan(frame);
        let mut writer = if plan { format::plain_writer() } else { format::writer(self.view.format, &self.layout()) };
        let mut out = Vec::new();
        let mut begun = false;
        self.last.schema = Some(schema.clone());
        while let Some(batch) = rows.next().await? {
            if !std::mem::replace(&mut begun, true) {
                writer.start(&schema, &mut out);
            }
            writer.rows(&batch, &zone, &mut out)?;
            if self.interactive {
                self.last.keep(&batch);
            }
            if !self.is_paged() && !out.is_empty() {
                progress = None;
                self.sink.write_all(&out)?;
                out.clear();
            }
        }
        drop(progress);
        // Not before: what fails ahead of its first row has no result.
        if !begun {
            writer.start(&schema, &mut out);
        }
        writer.finish(&Summary { time: self.time(started) }, &mut out)?;
        self.write_result(&out)?;
        if self.interactive && !matches!(self.view.format, Format::Table | Format::Vertical) {
            self.note_end(started);
        }
        Ok(())
    }

    /// Writes a result, or its end, through the pager if that is wanted.
    fn write_result(&mut self, text: &[u8]) -> Result<(), Failure> {
        if self.is_paged() {
            let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            if self.view.paging == Paging::On || lines >= height {
                match pager::show(text) {
                    Ok(()) => return Ok(()),
                    Err(error) => complain(&Failure::Command(error.to_string())),
                }
            }
        }
        self.sink.write_all(text)?;
        self.sink.flush()?;
        Ok(())
    }

    /// Whether results may go through the pager.
    fn is_paged(&self) -> bool {
        self.interactive
            && self.view.format == Format::Table
            && self.view.paging != Paging::Off
            && self.sink.is_terminal()
    }

    /// Writes the last result again, with all rows and columns.
    pub(crate) fn show_last(&mut self) -> Result<(), Failure> {
        let Some(schema) = self.last.schema.clone() else {
            return Err(Failure::Command("there is no last result".to_owned()));
        };
        if self.last.cut {
            let message = "the last result was too large to keep; run it again with .output FILE or .maxrows N";
            return Err(Failure::Command(message.to_owned()));
        }
        let footer = self.sink.is_terminal();
        let layout = Layout { color: self.view.color, footer, ..Layout::default() };
        let zone = self.session.config().time_zone;
        let mut writer = format::writer(self.view.format, &layout);
        let mut out = Vec::new();
        writer.start(&schema, &mut out);
        for batch in &self.last.batches {
            writer.rows(batch, &zone, &mut out)?;
        }
        writer.finish(&Summary::default(), &mut out)?;
        if self.is_paged() {
            return Ok(pager::show(&out)?);
        }
        self.write_result(&out)
    }

    fn layout(&self) -> Layout {
        let layout = Layout { color: self.view.color, footer: self.sink.is_terminal(), ..Layout::default() };
        if !self.sink.is_terminal() || self.is_paged() && self.view.paging == Paging::On {
            return layout;
        }
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Layout { width: Some(width), rows: Some(self.view.max_rows), ..layout }
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
