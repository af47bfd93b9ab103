//! Ctrl-C: the first cancels the statement that runs, the second gives up waiting for it to stop.
//!
//! The handler runs on a thread of its own and only counts and wakes; what a press means is decided where the
//! statement is awaited. Without a statement that runs, a press ends a script and does nothing to a REPL.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use futures::future::{Either, poll_fn, select};
use futures::task::AtomicWaker;

/// Exit code of a process that was interrupted.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Presses after which a script ends at once, whatever its statement does.
const IMPATIENT: u32 = 3;

static PRESSES: AtomicU32 = AtomicU32::new(0);
static WAKER: AtomicWaker = AtomicWaker::new();
static RUNNING: AtomicBool = AtomicBool::new(false);
static INTERACTIVE: AtomicBool = AtomicBool::new(false);

/// Installs the handler.
pub(crate) fn install() {
    // Without a handler Ctrl-C ends the process, which is no reason not to start.
    let _ = ctrlc::set_handler(|| {
        let presses = PRESSES.fetch_add(1, Ordering::SeqCst) + 1;
        let running = RUNNING.load(Ordering::SeqCst);
        if !INTERACTIVE.load(Ordering::SeqCst) && (!running || presses >= IMPATIENT) {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        WAKER.wake();
    });
}

/// Says that there is a REPL, which a press must not end.
pub(crate) fn set_interactive() {
    INTERACTIVE.store(true, Ordering::SeqCst);
}

/// While it lives, presses go to the statement that runs.
pub(crate) struct Running(());

impl Running {
    /// Forgets earlier presses.
    pub(crate) fn start() -> Self {
        PRESSES.store(0, Ordering::SeqCst);
        RUNNING.store(true, Ordering::SeqCst);
        Self(())
    }

    /// Awaits `future` until there were more than `patience` presses; `None` if there were.
    pub(crate) async fn until<F: Future>(&self, future: F, patience: u32) -> Option<F::Output> {
        let pressed = poll_fn(|cx| {
            WAKER.register(cx.waker());
            if PRESSES.load(Ordering::SeqCst) > patience { Poll::Ready(()) } else { Poll::Pending }
        });
        match select(pressed, pin!(future)).await {
            Either::Left(((), _)) => None,
            Either::Right((output, _)) => Some(output),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}
