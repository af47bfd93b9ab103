//! Splits partitions that are much larger than the others (Spark: `OptimizeSkewedJoin`).
//!
//! A partition is skewed if it is larger than `max(threshold, median × factor)`. Its probe rows are cut
//! into slices of about `max(advisory, average of the others)`; each slice meets the whole partition of
//! the other inputs. That is allowed where every node between the read and the end of the stage
//! treats probe rows one by one.

use firesteel_common::{ExchangeId, PartitionSpec, show};
use firesteel_plan::{PhysicalOp, PhysicalPlan, ReadMode, TaskInput};

use super::{Layout, PerPartition, StageInputs};
use crate::lower::spine_input;

const RULE: &str = "OptimizeSkewedJoin";
/// Bound of the slices of one partition.
const SLICES_PER_WORKER: u64 = 16;

/// Replaces skewed partitions by their slices.
pub(super) fn split(stage: &StageInputs<'_>, partitions: &mut PerPartition, layout: &mut Layout) {
    let config = stage.config;
    if !config.skew_join || config.is_excluded_adaptively(RULE) {
        return;
    }
    let Some(probe) = sliceable(stage.plan, false) else { return };
    // A side that reads the same exchange would be sliced with it.
    if stage.plan.reads().iter().filter(|(id, _)| *id == probe).count() > 1 {
        return;
    }
    let Some(stats) = stage.inputs.get(&probe).and_then(|input| input.stats) else { return };
    let mut sorted = stats.bytes.clone();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0).max(1);
    let threshold = if config.force_adaptive {
        median
    } else {
        config.skew_threshold_bytes.max((median as f64 * config.skew_factor) as u64)
    };
    let others: Vec<u64> = stats.bytes.iter().copied().filter(|bytes| *bytes <= threshold).collect();
    let average = others.iter().sum::<u64>().checked_div(others.len() as u64).unwrap_or(0);
    let advisory = if config.force_adaptive { 1 } else { config.advisory_partition_bytes };
    let target = advisory.max(average).max(1);

    // More slices than workers can share out only cost.
    let most = SLICES_PER_WORKER * stage.workers.max(1) as u64;
    for (i, (bytes, rows)) in stats.bytes.iter().copied().zip(stats.rows.iter().copied()).enumerate() {
        let count = bytes.div_ceil(target).min(rows).min(most);
        let Some(tasks) = partitions.get_mut(i).filter(|_| bytes > threshold && count > 1) else { continue };
        *tasks = slices(&tasks[0], probe, i as u32, rows, count);
        layout.skewed = true;
        let text = format!(
            "partition {i} has {rows} rows ({}), the median is {}: read in {count} slices",
            show::bytes(bytes),
            show::bytes(median)
        );
        layout.decisions.push((RULE, text));
    }
}

/// The task with its rows of `probe` dealt to `count` tasks.
fn slices(task: &TaskInput, probe: ExchangeId, partition: u32, rows: u64, count: u64) -> Vec<TaskInput> {
    let bound = |k: u64| (u128::from(rows) * u128::from(k) / u128::from(count)) as u64;
    let slice = |k| {
        let mut task = task.clone();
        task.specs.insert(probe, PartitionSpec::Slice { partition, rows: bound(k)..bound(k + 1) });
        task
    };
    (0..count).map(slice).collect()
}

/// The exchange at the end of the spine, if it may be sliced and is the probe side of a partitioned join.
fn sliceable(plan: &PhysicalPlan, below_join: bool) -> Option<ExchangeId> {
    if let PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } = plan.op {
        return below_join.then_some(exchange);
    }
    let input = spine_input(&plan.op)?;
    if !plan.tolerates_slices(input) {
        return None;
    }
    let is_join = matches!(&plan.op, PhysicalOp::HashJoin(join) if join.mode == firesteel_plan::BuildMode::Partitioned);
    sliceable(plan.inputs.get(input)?, below_join || is_join)
}
