//! Cancellation: a flag that loops read and that waits can be woken by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use firesteel_common::{Error, Result};
use futures::future::{BoxFuture, Either, select};
use tokio::sync::Notify;

/// A flag shared by all that works for one query. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    notify: Notify,
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled with this one, or alone.
    pub fn child(&self) -> Self {
        Self(Arc::new(State { parent: Some(self.clone()), ..State::default() }))
    }

    /// Asks all work under the token to stop.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire) || self.0.parent.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// `OPERATION_CANCELED` once cancelled. Long loops call it every few milliseconds.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(canceled()) } else { Ok(()) }
    }

    /// The result of `work`, or `OPERATION_CANCELED` as soon as the token is cancelled while it waits.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        // Most work is ready, and then there is nothing to set up.
        if let Poll::Ready(result) = futures::poll!(work.as_mut()) {
            return result;
        }
        match select(work, self.cancelled()).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(canceled()),
        }
    }

    /// Waits until cancelled.
    pub fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Registered before the flag is read, so that a cancellation in between is not missed.
            let mut notified = std::pin::pin!(self.0.notify.notified());
            notified.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            match &self.0.parent {
                Some(parent) => drop(select(notified, parent.cancelled()).await),
                None => notified.await,
            }
        })
    }
}

fn canceled() -> Error {
    Error::cancelled("Operation has been canceled.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_woken_also_by_the_parent() {
        let parent = CancelToken::new();
        let child = parent.child();
        assert_eq!(futures::executor::block_on(child.guard(async { Ok(1) })).unwrap(), 1);
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| futures::executor::block_on(child.guard(std::future::pending::<Result<()>>())));
            std::thread::sleep(std::time::Duration::from_millis(20));
            parent.cancel();
            assert_eq!(waiting.join().unwrap().unwrap_err().condition(), "OPERATION_CANCELED");
        });
    }
}
