//! What is told of a query while it runs and when it has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use firesteel_common::NodeId;
use firesteel_exec::{MetricsMap, OperatorMetrics};
use firesteel_optimizer::remembered::Remembered;
use firesteel_plan::{Note, PhysicalPlan, Stage};

/// How far a query is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Stages that have been started.
    pub stages_started: u32,
    /// Stages that have ended.
    pub stages_finished: u32,
    /// Tasks of the started stages.
    pub tasks: u32,
    /// Tasks that have ended.
    pub tasks_finished: u32,
    /// Bytes that the query holds.
    pub memory: u64,
    /// Decisions made since the first plan.
    pub decisions: u32,
}

/// What became of a stage.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// The stage as it ran.
    pub stage: Arc<Stage>,
    /// Attempts that were started.
    pub attempts: u32,
    /// From the start of the query to that of the stage.
    pub started: Duration,
    /// From the start of the stage to its end.
    pub duration: Duration,
    /// Rows written to the exchange, by partition; empty for the result.
    pub rows: Vec<u64>,
    /// Bytes written to the exchange, by partition; empty for the result.
    pub bytes: Vec<u64>,
    /// What its operators did.
    pub metrics: MetricsMap,
    /// Most bytes that its tasks and its output held at a time.
    pub peak_memory: u64,
    /// Bytes of its output that were moved to disk, also later, since there was no memory for them.
    pub spilled: u64,
    /// What it wrote, and the most bytes that the output held.
    pub output: OperatorMetrics,
    /// Counters of its scans in words, by node.
    pub scans: Vec<(NodeId, String)>,
    /// Whether it was cancelled because the plan no longer needed it.
    pub cancelled: bool,
}

/// What became of a query.
#[derive(Clone, Debug, Default)]
pub struct QueryReport {
    /// Stages in the order of their start.
    pub stages: Vec<StageReport>,
    /// Versions of the plan: the initial one, and one for each time that facts led to planning again.
    pub versions: u32,
    /// Decisions, in order.
    pub notes: Vec<Note>,
    /// What was counted, for later queries; empty unless the settings name a file for it.
    pub counted: Remembered,
    /// The first physical plan.
    pub initial_plan: Option<PhysicalPlan>,
    /// The plan that ran.
    pub final_plan: Option<PhysicalPlan>,
    /// How adaptive rules changed reads of exchanges in the final plan: `coalesced`, `skewed`.
    pub reads: BTreeMap<NodeId, &'static str>,
    /// Time from the optimised plan to the first stages.
    pub first_step: Duration,
    /// Time of all planning steps.
    pub planning: Duration,
    /// From the first step to the end.
    pub total: Duration,
    /// Most bytes held at a time.
    pub peak_memory: u64,
}

impl QueryReport {
    /// Tasks of all stages.
    pub fn tasks(&self) -> u32 {
        self.stages.iter().map(|s| s.stage.tasks.tasks()).sum()
    }

    /// Bytes that were moved to disk.
    pub fn spilled_bytes(&self) -> u64 {
        self.stages.iter().map(|s| s.spilled).sum()
    }

    /// Bytes written to exchanges.
    pub fn shuffle_bytes(&self) -> u64 {
        self.stages.iter().flat_map(|s| &s.bytes).sum()
    }
}
