//! Counters of operators, per task, merged per stage.

use std::collections::BTreeMap;
use std::time::Duration;

use firesteel_common::NodeId;

/// What an operator did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorMetrics {
    /// Live rows returned.
    pub rows: u64,
    /// Batches returned.
    pub batches: u64,
    /// Time in the operator, without those before and after it; summed over tasks.
    pub time: Duration,
    /// Most bytes reserved at a time, by all tasks together.
    pub memory: u64,
}

impl OperatorMetrics {
    /// Adds what another task did; memory is not a sum and is set by the stage.
    pub fn merge(&mut self, other: &OperatorMetrics) {
        self.rows += other.rows;
        self.batches += other.batches;
        self.time += other.time;
        self.memory = self.memory.max(other.memory);
    }
}

/// Metrics by physical node.
pub type MetricsMap = BTreeMap<NodeId, OperatorMetrics>;
