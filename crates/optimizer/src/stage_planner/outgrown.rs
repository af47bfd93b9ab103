//! Kept sides that grow too large to be shared while they are written.
//!
//! The join is settled then, whatever is still to come: it will be by partition, or keep its other side. So the rest is
//! planned again with what has been written so far as a lower bound, and the probe side, which waits for nothing
//! any more, is started beside the stage that still runs.
//!
//! Invariant: what has been counted so far is never taken for exact; at the end of the stage the counted size takes its
//! place.

use firesteel_common::{Config, ExchangeId};
use firesteel_plan::{Distribution, Estimate, PhysicalPlan};

use super::notes::JOIN_SELECTION;
use super::{Facts, StagePlanner};
use crate::lower::may_be_shared;
use crate::rule::OptimizerContext;

/// Whether a kept side with so many rows and bytes, and perhaps more to come, is too large to be shared by all workers:
/// the planner should be asked again at once. Never with adaptive execution off, nor where sides are not shared for
/// their size.
pub fn outgrows(rows: u64, bytes: u64, config: &Config) -> bool {
    let shared = |rows: u64, bytes: u64| {
        may_be_shared(&Estimate { rows: rows as f64, bytes: bytes as f64, exact: true }, config)
    };
    let decides = config.adaptive && !config.is_excluded_adaptively(JOIN_SELECTION);
    decides && shared(0, 0) && !shared(rows, bytes)
}

impl StagePlanner {
    /// Notes which exchanges that run have become too large to be shared since the last step.
    pub(super) fn take_outgrown(&mut self, facts: &dyn Facts, cx: &OptimizerContext<'_>) -> Vec<ExchangeId> {
        let mut outgrown = Vec::new();
        for (id, started) in &mut self.started {
            if started.stats.is_none()
                && started.outgrown.is_none()
                && started.exchange.distribution == Distribution::Broadcast
                && !self.dropped.contains(id)
                && let Some(stats) = facts.exchange(*id)
                && outgrows(stats.total_rows(), stats.total_bytes(), cx.config)
            {
                let (rows, bytes) = (stats.total_rows() as f64, stats.total_bytes() as f64);
                started.outgrown = Some(Estimate { rows, bytes, exact: false });
                outgrown.push(*id);
            }
        }
        outgrown
    }

    /// What has been written so far of an exchange that runs and is too large to be shared.
    pub(super) fn outgrown(&self, exchange: ExchangeId) -> Option<Estimate> {
        self.started.get(&exchange).filter(|started| started.grows())?.outgrown
    }

    /// Whether a kept side reads such an exchange.
    pub(super) fn has_outgrown(&self, build: &PhysicalPlan) -> bool {
        build.reads().iter().any(|(id, _)| self.outgrown(*id).is_some())
    }
}
