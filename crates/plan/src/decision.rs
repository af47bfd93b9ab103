//! What the planner decided while a query ran: for people, and as fields for programs.

use firesteel_common::{NodeId, StageId};

use crate::physical::BuildMode;
use crate::statistics::Estimate;

/// One decision and the evidence for it, for `EXPLAIN ANALYZE` and the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Plan version, from 0 (the initial plan).
    pub version: u32,
    /// The rule that decided.
    pub rule: &'static str,
    /// The stage or exchange that gave the evidence, in words: `stage 1`.
    pub subject: String,
    /// What was decided and why, with estimated and actual figures.
    pub because: String,
    /// What is different in the plan.
    pub effect: Effect,
    /// What was expected, and what is known now.
    pub evidence: Vec<Evidence>,
    /// Nodes that are different, where they are known; others are found by the effect.
    pub nodes: Vec<NodeId>,
}

/// The sizes that a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Of what: the keys of a side of a join, or `stage 3`.
    pub of: String,
    /// What the plan before believed. None if it did not ask.
    pub estimated: Option<Estimate>,
    /// What is known now; counted if it is exact.
    pub actual: Option<Estimate>,
}

/// What a decision changed in the plan. A join is named by its keys, as [`crate::HashJoin::key_text`] writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Effect {
    /// A join keeps its build side in another way.
    JoinStrategy {
        /// The keys of the join.
        join: String,
        /// Before.
        from: BuildMode,
        /// Now.
        to: BuildMode,
    },
    /// A join builds its other side.
    BuildSide {
        /// The keys of the join.
        join: String,
        /// The keys of the side that was built.
        from: String,
        /// The keys of the side that is built now.
        to: String,
    },
    /// Joins are done in another order.
    JoinOrder {
        /// Their keys, the first join first.
        from: Vec<String>,
        /// The same now.
        to: Vec<String>,
    },
    /// A join is gone.
    JoinRemoved {
        /// Its keys.
        join: String,
    },
    /// A stage was cancelled.
    StageCancelled(StageId),
    /// An exchange waits for what may change it.
    Held,
    /// The rows of a stage are read instead of those of another one, which is not run.
    Reused(StageId),
    /// A stage reads fewer rows of a table.
    Filtered {
        /// The stage that reads.
        stage: StageId,
        /// The table.
        table: String,
        /// The column that is compared.
        column: String,
        /// How many keys pass.
        keys: u64,
    },
    /// The partitions that a stage reads are divided otherwise.
    Divided {
        /// The stage that reads.
        stage: StageId,
        /// Its tasks.
        tasks: u32,
    },
    /// The plan starts with sizes that an earlier run has counted.
    Remembered,
    /// What `because` says.
    #[default]
    Other,
}

impl Effect {
    /// A name that does not change between versions.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::JoinStrategy { .. } => "join_strategy",
            Effect::BuildSide { .. } => "build_side",
            Effect::JoinOrder { .. } => "join_order",
            Effect::JoinRemoved { .. } => "join_removed",
            Effect::StageCancelled(_) => "stage_cancelled",
            Effect::Held => "held",
            Effect::Reused(_) => "reused",
            Effect::Filtered { .. } => "filtered",
            Effect::Divided { .. } => "divided",
            Effect::Remembered => "remembered",
            Effect::Other => "other",
        }
    }

    /// The keys of the joins of the plan that are different.
    pub fn joins(&self) -> Vec<&str> {
        match self {
            Effect::JoinStrategy { join, .. } | Effect::BuildSide { join, .. } => vec![join],
            Effect::JoinOrder { to, .. } => to.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl Note {
    /// A decision of `rule` with nothing but words; [`Note::effect`] and the others say the rest.
    pub fn new(version: u32, rule: &'static str, subject: impl Into<String>, because: impl Into<String>) -> Self {
        Self {
            version,
            rule,
            subject: subject.into(),
            because: because.into(),
            effect: Effect::Other,
            evidence: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// With what it changed.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// With a size that it rests on.
    #[must_use]
    pub fn evidence(mut self, of: impl Into<String>, estimated: Option<Estimate>, actual: Option<Estimate>) -> Self {
        self.evidence.push(Evidence { of: of.into(), estimated, actual });
        self
    }

    /// With nodes that are different.
    #[must_use]
    pub fn nodes(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.nodes.extend(nodes);
        self
    }
}

/// As one line of a log.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "plan {}: {} ({}): {}", self.version, self.rule, self.subject, self.because)
    }
}
