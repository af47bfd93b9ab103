//! Splits large partitions of what the user wants rebalanced (Spark: `OptimizeSkewInRebalancePartitions`).
//!
//! A partition above the advisory size is read in slices of that size, whatever the size of the others. A
//! rest below `rebalancePartitionsSmallPartitionFactor` of it belongs to the slice before. Nodes between
//! the read and the end of the stage must treat rows one by one.

use firesteel_common::{ExchangeId, PartitionSpec, show};
use firesteel_plan::{ExchangeOrigin, PhysicalOp, PhysicalPlan, ReadMode};

use super::{Layout, PerPartition, StageInputs};

const RULE: &str = "OptimizeSkewInRebalancePartitions";

/// Replaces large partitions by their slices.
pub(super) fn split(stage: &StageInputs<'_>, partitions: &mut PerPartition, layout: &mut Layout) {
    let config = stage.config;
    if !config.rebalance_skew || config.is_excluded_adaptively(RULE) || stage.inputs.len() != 1 {
        return;
    }
    let Some((exchange, input)) = stage.inputs.first_key_value() else { return };
    let Some(stats) = input.stats.filter(|_| input.exchange.origin == ExchangeOrigin::Rebalance) else { return };
    if read_row_by_row(stage.plan) != Some(*exchange) {
        return;
    }
    let (target, most) = match config.force_adaptive {
        true => (1, stage.most_slices()),
        false => (config.advisory_bytes().max(1), u64::MAX),
    };
    for (i, (bytes, rows)) in stats.bytes.iter().copied().zip(stats.rows.iter().copied()).enumerate() {
        let rest = (bytes % target) as f64 >= target as f64 * config.rebalance_small_factor;
        let count = (bytes / target + u64::from(rest)).min(rows).min(most);
        let Some(tasks) = partitions.get_mut(i).filter(|_| bytes > target && count > 1) else { continue };
        let bound = |k: u64| (u128::from(rows) * u128::from(k) / u128::from(count)) as u64;
        let whole = tasks[0].clone();
        let slice = |k| {
            let mut task = whole.clone();
            task.specs.insert(*exchange, PartitionSpec::Slice { partition: i as u32, rows: bound(k)..bound(k + 1) });
            task
        };
        *tasks = (0..count).map(slice).collect();
        layout.skewed = true;
        let text = format!(
            "partition {i} has {} (target {}): read in {count} slices",
            show::bytes(bytes),
            show::bytes(target)
        );
        layout.decisions.push((RULE, text));
    }
}

/// The exchange that the plan reads, if it treats its rows one by one.
fn read_row_by_row(plan: &PhysicalPlan) -> Option<ExchangeId> {
    if let PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } = plan.op {
        return Some(exchange);
    }
    let input = plan.op.spine_input().filter(|input| plan.tolerates_slices(*input))?;
    read_row_by_row(plan.inputs.get(input)?)
}
