//! What earlier runs have counted, and what this one adds.

use std::collections::BTreeMap;

use firesteel_plan::LogicalPlan;

use crate::fingerprint::fingerprint;
use crate::rule::OptimizerContext;

/// A counted number of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The files that were read, with sizes and times, as a number.
    pub files: u64,
    /// Rows.
    pub rows: f64,
}

/// By the name of what was counted.
pub type Remembered = BTreeMap<u64, Counted>;

/// What is remembered of a plan.
pub(crate) enum Recall {
    /// Its rows.
    Rows(f64),
    /// Its rows, but other files were read then.
    Stale,
}

/// What is remembered of the rows of `plan`, and its tables.
pub(crate) fn recall(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Option<(u64, Recall, Vec<String>)> {
    if cx.facts.remembered.is_empty() || !cx.config.adaptive {
        return None;
    }
    let name = fingerprint(plan, &cx.facts.names, cx)?;
    let counted = cx.facts.remembered.get(&name.id())?;
    let recall = if counted.files == name.files { Recall::Rows(counted.rows) } else { Recall::Stale };
    Some((name.id(), recall, name.tables))
}

/// The rows of `plan` that an earlier run over the same files has counted.
pub(crate) fn recalled_rows(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Option<f64> {
    match recall(plan, cx)? {
        (_, Recall::Rows(rows), _) => Some(rows),
        _ => None,
    }
}
