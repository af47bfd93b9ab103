//! The two runtimes of a process and the scopes that tasks run in.
//!
//! CPU work runs on a tokio runtime without I/O; requests to object stores run on another one. A task
//! belongs to a [`TaskScope`] and ends with it; the exception is [`spawn_orderly`].

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use firesteel_common::{Error, ErrorKind, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

/// Thread stacks: deep plans recurse, and must not overflow.
const STACK: usize = 16 << 20;

/// The runtimes of a process. Threads start with the first task.
#[derive(Debug)]
pub struct Threads {
    cpu: Mutex<Option<Runtime>>,
    io: Mutex<Option<Runtime>>,
    workers: usize,
}

/// Cores that the process may use, as the system said when it was first asked, which reads files; no limit if it did not
/// say.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(usize::MAX, usize::from))
}

impl Threads {
    /// Runtimes with `workers` CPU threads; none is started yet.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { cpu: Mutex::new(None), io: Mutex::new(None), workers: workers.max(1) })
    }

    /// Number of CPU threads.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The runtime of CPU work.
    ///
    /// Errors: `Io` if threads cannot be started.
    pub fn cpu(&self) -> Result<Handle> {
        start(&self.cpu, || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(self.workers).thread_name("firesteel-cpu").enable_time();
            builder
        })
    }

    /// The runtime of requests to object stores.
    ///
    /// Errors: `Io` if threads cannot be started.
    pub fn io(&self) -> Result<Handle> {
        start(&self.io, || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2).thread_name("firesteel-io").enable_all();
            builder
        })
    }
}

fn start(slot: &Mutex<Option<Runtime>>, builder: impl FnOnce() -> Builder) -> Result<Handle> {
    let mut slot = slot.lock();
    if let Some(runtime) = slot.as_ref() {
        return Ok(runtime.handle().clone());
    }
    let runtime = builder().thread_stack_size(STACK).build()?;
    let handle = runtime.handle().clone();
    *slot = Some(runtime);
    Ok(handle)
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime may not be dropped inside another one: let its threads end by themselves.
        for runtime in [self.cpu.get_mut().take(), self.io.get_mut().take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Tasks that end with their owner: dropping the scope aborts what still runs.
#[derive(Debug)]
pub struct TaskScope<T> {
    set: JoinSet<Result<T>>,
    handle: Handle,
}

impl<T: Send + 'static> TaskScope<T> {
    /// A scope whose tasks run on `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { set: JoinSet::new(), handle }
    }

    /// Starts a task. A panic in it becomes an error of kind `Panic`.
    pub fn spawn(&mut self, task: impl Future<Output = Result<T>> + Send + 'static) {
        let caught = AssertUnwindSafe(task).catch_unwind().map(|result| result.unwrap_or_else(|p| Err(panicked(&*p))));
        self.set.spawn_on(caught, &self.handle);
    }

    /// The result of the next task that ends; `None` when there is none left.
    pub async fn next(&mut self) -> Option<Result<T>> {
        self.set.join_next().await.map(|joined| {
            joined.unwrap_or_else(|e| {
                Err(if e.is_cancelled() {
                    Error::cancelled("Operation has been canceled.")
                } else {
                    Error::internal(e.to_string())
                })
            })
        })
    }

    /// Number of tasks that have not been taken by [`TaskScope::next`].
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// Starts a task that is not aborted when its owner goes away, because it has to undo what it began elsewhere. It must
/// notice by itself that nobody waits for it, and end.
pub fn spawn_orderly<T: Send + 'static>(
    handle: &Handle,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> BoxFuture<'static, Result<T>> {
    let caught = AssertUnwindSafe(task).catch_unwind().map(|result| result.unwrap_or_else(|p| Err(panicked(&*p))));
    let joined = handle.spawn(caught);
    Box::pin(joined.map(|joined| joined.unwrap_or_else(|e| Err(Error::internal(e.to_string())))))
}

/// The error of a caught panic.
pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".to_owned());
    Error::new(ErrorKind::Panic, "INTERNAL_ERROR", "XX000", format!("A task panicked: {text}"))
        .with_hint("this is a bug in Firesteel; please report it with the query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_scope_goes_on() {
        let threads = Threads::new(2);
        let cpu = threads.cpu().unwrap();
        let mut scope = TaskScope::new(cpu.clone());
        scope.spawn(async { panic!("boom") });
        scope.spawn(async { Ok(7) });
        let results: Vec<Result<i32>> = cpu.block_on(async {
            let mut all = Vec::new();
            while let Some(r) = scope.next().await {
                all.push(r);
            }
            all
        });
        assert!(results.iter().any(|r| r.as_ref().is_ok_and(|v| *v == 7)));
        assert!(results.iter().any(|r| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::Panic)));
    }
}
