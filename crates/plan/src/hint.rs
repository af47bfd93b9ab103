//! What users ask of joins with hints.
//!
//! A hint is written on a relation. The binder puts [`crate::LogicalOp::Hint`] above it; the optimizer's
//! first rule moves it to the join that the relation is an input of, as a [`JoinHint`].

use crate::logical::JoinKind;
use crate::physical::Side;

/// How to join, as hints name it; earlier ones win over later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinStrategy {
    /// All tasks see the relation.
    Broadcast,
    /// Both inputs are partitioned by the keys (in Spark: and sorted).
    ShuffleMerge,
    /// Both inputs are partitioned by the keys, and the relation is kept.
    ShuffleHash,
    /// All pairs are tried.
    ShuffleReplicateNl,
}

impl JoinStrategy {
    /// The strategy that a hint of this name, in upper case, asks for.
    pub fn of_hint(name: &str) -> Option<Self> {
        match name {
            "BROADCAST" | "BROADCASTJOIN" | "MAPJOIN" => Some(JoinStrategy::Broadcast),
            "SHUFFLE_MERGE" | "MERGE" | "MERGEJOIN" => Some(JoinStrategy::ShuffleMerge),
            "SHUFFLE_HASH" => Some(JoinStrategy::ShuffleHash),
            "SHUFFLE_REPLICATE_NL" => Some(JoinStrategy::ShuffleReplicateNl),
            _ => None,
        }
    }

    /// The name that Spark's plans have.
    pub fn name(self) -> &'static str {
        match self {
            JoinStrategy::Broadcast => "broadcast",
            JoinStrategy::ShuffleMerge => "merge",
            JoinStrategy::ShuffleHash => "shuffle_hash",
            JoinStrategy::ShuffleReplicateNl => "shuffle_replicate_nl",
        }
    }

    /// Whether the strategy may keep this side of a join of this kind, as Spark has it: a broadcast
    /// relation returns no unmatched rows, and the left side of an existence join is never kept.
    pub fn may_build(self, kind: &JoinKind, side: Side) -> bool {
        match (side, kind) {
            (_, JoinKind::Inner) => true,
            (Side::Left, JoinKind::Right) | (Side::Right, JoinKind::Left) => true,
            (_, JoinKind::Left | JoinKind::Right | JoinKind::Full) => self != JoinStrategy::Broadcast,
            (side, _) => side == Side::Right,
        }
    }
}

/// What is asked for a join, by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct JoinHint {
    /// For the first input.
    pub left: Option<JoinStrategy>,
    /// For the second input.
    pub right: Option<JoinStrategy>,
}

impl JoinHint {
    /// Nothing is asked for.
    pub const NONE: JoinHint = JoinHint { left: None, right: None };

    /// What is asked for a side.
    pub fn of(self, side: Side) -> Option<JoinStrategy> {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    /// Whether either side asks for the strategy.
    pub fn asks(self, strategy: JoinStrategy) -> bool {
        self.left == Some(strategy) || self.right == Some(strategy)
    }
}
