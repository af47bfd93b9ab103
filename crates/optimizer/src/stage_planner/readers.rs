//! Which columns of tables several scans read, so that the pages that one of them decompresses serve the others.

use std::collections::BTreeSet;

use firesteel_catalog::ColumnReaders;
use firesteel_common::ExchangeId;
use firesteel_plan::{PhysicalOp, PhysicalPlan};

use super::{StagePlanner, Step};
use crate::lower::LoweredPlan;

impl StagePlanner {
    /// How many scans read each column: of `plan`, of which `step` starts a part, and of stages that run already.
    pub(super) fn readers(&self, plan: &LoweredPlan, step: &Step) -> ColumnReaders {
        let mut readers = ColumnReaders::new();
        // Of equal exchanges one is run.
        let skipped: BTreeSet<ExchangeId> = plan.twins.iter().flat_map(|twins| twins.iter().skip(1)).copied().collect();
        count(&plan.root, &skipped, &mut readers);
        for stage in &self.stages {
            let id = stage.output.id;
            let over = self.ended.contains(&id) || self.dropped.contains(&id);
            if !over && !step.start.iter().any(|fresh| fresh.id == stage.id) {
                count(&stage.plan, &skipped, &mut readers);
            }
        }
        readers
    }
}

fn count(plan: &PhysicalPlan, skipped: &BTreeSet<ExchangeId>, readers: &mut ColumnReaders) {
    match &plan.op {
        PhysicalOp::Exchange(exchange) if skipped.contains(&exchange.id) => return,
        PhysicalOp::Scan { table, request } => {
            let read: BTreeSet<usize> =
                request.columns.iter().chain(&request.filter_columns).map(|(_, column)| *column).collect();
            let columns = readers.entry(table.id).or_default();
            read.into_iter().for_each(|column| *columns.entry(column).or_default() += 1);
        }
        _ => {}
    }
    plan.inputs.iter().for_each(|input| count(input, skipped, readers));
}
