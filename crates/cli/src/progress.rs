//! The line on standard error that says how far a long query is.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use firesteel::QueryHandle;
use firesteel::show::bytes as show_bytes;

/// Queries that take less have no line.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two looks at the query.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows the line while it lives; dropping it removes the line before it returns.
pub(crate) struct ProgressLine {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressLine {
    /// Starts to look at the query that `find` finds, if standard error is a terminal.
    pub(crate) fn start(find: impl Fn() -> Option<QueryHandle> + Send + 'static) -> Self {
        if !io::stderr().is_terminal() {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            let mut shown = false;
            let mut wait = PATIENCE;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = INTERVAL;
                if let Some(query) = find() {
                    shown = true;
                    show(&line(&query));
                }
            }
            if shown {
                show("");
            }
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(watch).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The line is an ornament: that its thread has failed is no reason for an error.
            let _ = thread.join();
        }
    }
}

/// Replaces the line.
fn show(text: &str) {
    let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
    let text: String = text.chars().take(width.saturating_sub(1)).collect();
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
}

fn line(query: &QueryHandle) -> String {
    let progress = query.progress();
    let mut text = format!(
        "{:.1} s: stages {}/{}, tasks {}/{}, {}",
        query.elapsed().as_secs_f64(),
        progress.stages_finished,
        progress.stages_started,
        progress.tasks_finished,
        progress.tasks,
        show_bytes(progress.memory),
    );
    if progress.decisions > 0 {
        text.push_str(&format!(", {} plan decisions", progress.decisions));
    }
    text.push_str(if query.is_cancelled() { " (stopping)" } else { " (Ctrl-C cancels)" });
    text
}
