//! Identities. Each is unique in its scope, cheap to copy, and means nothing else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A column of one query; unique in it, so that no rewrite ever renames anything.
    ColumnId,
    u32
);
id!(
    /// A logical plan node of one query. Pins and notes refer to it.
    NodeId,
    u32
);
id!(
    /// An exchange of one query.
    ExchangeId,
    u32
);
id!(
    /// A stage of one query, in the order in which stages were started.
    StageId,
    u32
);
id!(
    /// A runtime filter of one query: made by a finished build side, read by scans.
    FilterId,
    u32
);
id!(
    /// A table known to a session's resolver.
    TableId,
    u64
);
id!(
    /// A query of one session.
    QueryId,
    u64
);
id!(
    /// An executor of a cluster.
    ExecutorId,
    u32
);

/// One attempt of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Stage that the task belongs to.
    pub stage: StageId,
    /// Position of the task in its stage, from 0.
    pub task: u32,
    /// Attempt, from 0.
    pub attempt: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} (attempt {})", self.stage, self.task, self.attempt)
    }
}

/// Source of fresh column and node ids of one query; clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct IdGenerator(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    column: AtomicU32,
    node: AtomicU32,
}

impl IdGenerator {
    /// A generator that starts at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A column id that was not given out before.
    pub fn column(&self) -> ColumnId {
        ColumnId(self.0.column.fetch_add(1, Ordering::Relaxed))
    }

    /// A node id that was not given out before.
    pub fn node(&self) -> NodeId {
        NodeId(self.0.node.fetch_add(1, Ordering::Relaxed))
    }
}
