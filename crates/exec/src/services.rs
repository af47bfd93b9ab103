//! What the tasks of one query share in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use firesteel_catalog::{RuntimeFilter, RuntimeFilters, TableResolver};
use firesteel_common::{Batch, FilterId};
use firesteel_expr::EvalContext;
use firesteel_runtime::{CancelToken, MemoryPool};
use firesteel_shuffle::ShuffleStore;
use futures::channel::mpsc;
use parking_lot::RwLock;

use crate::pages::SharedPages;

/// Everything that tasks use besides their plan.
#[derive(Debug)]
pub struct QueryServices {
    /// For expressions.
    pub eval: EvalContext,
    /// Rows of the batches that operators make.
    pub batch_rows: usize,
    /// Number of tasks that run at the same time.
    pub workers: usize,
    /// The pool of the query.
    pub memory: Arc<MemoryPool>,
    /// The exchanges of the query.
    pub shuffle: Arc<ShuffleStore>,
    /// Pages that several scans of the query read.
    pub pages: Arc<SharedPages>,
    /// Finds tables.
    pub tables: Arc<dyn TableResolver>,
    /// Filters that build sides have made.
    pub filters: Arc<FilterRegistry>,
    /// Set when the query is no longer wanted.
    pub cancel: CancelToken,
    /// Where the rows of the result go.
    pub result: mpsc::Sender<Batch>,
    /// Whether rows of the result were handed out, after which its tasks cannot be run again.
    pub result_started: AtomicBool,
}

/// The runtime filters of a query.
#[derive(Debug, Default)]
pub struct FilterRegistry(RwLock<BTreeMap<FilterId, Arc<RuntimeFilter>>>);

impl FilterRegistry {
    /// Makes a filter known to all scans.
    pub fn publish(&self, id: FilterId, filter: RuntimeFilter) {
        self.0.write().insert(id, Arc::new(filter));
    }
}

impl RuntimeFilters for FilterRegistry {
    fn get(&self, id: FilterId) -> Option<Arc<RuntimeFilter>> {
        self.0.read().get(&id).cloned()
    }
}
