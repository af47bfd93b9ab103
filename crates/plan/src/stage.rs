//! Stages: parts of a physical plan that run without an exchange inside.

use std::collections::BTreeMap;

use firesteel_common::{ExchangeId, FilterId, PartitionSpec, StageId};

use crate::physical::{Exchange, PhysicalPlan};

/// A stage: frozen at its first launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Identity.
    pub id: StageId,
    /// What its tasks run; leaves are scans, literals and reads of finished exchanges.
    pub plan: PhysicalPlan,
    /// Where the rows go. [`crate::Distribution::Any`] is the result of the query.
    pub output: Exchange,
    /// How many tasks there are and what each reads.
    pub tasks: TaskLayout,
    /// Runtime filters that are made before the scans of the stage are opened.
    pub filters: Vec<FilterSource>,
    /// How much of the plan hangs on what it returns: of stages that are ready, the one with more runs first.
    pub urgency: u64,
}

/// A runtime filter of the keys that a finished exchange holds, for scans of a later stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSource {
    /// By what the scans ask for it.
    pub id: FilterId,
    /// Where the keys are.
    pub exchange: ExchangeId,
    /// Which of the columns that were written holds them.
    pub column: usize,
}

/// How the work of a stage is divided.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskLayout {
    /// Tasks lease splits of scans and blocks of elastic reads from common queues.
    Elastic {
        /// Tasks to start.
        tasks: u32,
    },
    /// One task per entry.
    PerInput(Vec<TaskInput>),
}

/// What one task reads of each partitioned input.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskInput {
    /// By exchange.
    pub specs: BTreeMap<ExchangeId, PartitionSpec>,
}

impl TaskLayout {
    /// Number of tasks.
    pub fn tasks(&self) -> u32 {
        match self {
            TaskLayout::Elastic { tasks } => *tasks,
            TaskLayout::PerInput(inputs) => inputs.len() as u32,
        }
    }
}
