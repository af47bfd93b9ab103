//! Splits partitions that would keep one worker busy while others have nothing to do (Spark: `OptimizeSkewedJoin`).
//!
//! A partition is skewed if, in one of the exchanges, it is larger than `max(threshold, median × factor)`; it is cut
//! into slices of about `max(advisory, average of the others)`. Beyond Spark, a partition is also cut if it is
//! clearly more than a worker's share of the whole stage, whatever the threshold: then into slices of such a share.
//! That also serves where there are fewer partitions than workers. What it is to read and what joins are expected to make of
//! hot keys count together (see [`super::made`]).
//!
//! What is cut are the rows of the probe side, by number and not by block, so that one key, or one huge block, can
//! be shared out. Each slice meets all of the partition of the other inputs; slices make their hash tables and
//! note which build rows have matched together. So joins of any kind, and several of them, may stand between the
//! read and the end of the stage. At a node that must see all rows of a key, a window or the end of an aggregate,
//! what the slices have made of their rows meets: sorted rows are merged by one task, and so are groups, where one
//! of them has most of the rows of the partition (else there would be as much to merge as to group). A partition of many
//! groups by more keys than those of the exchange is shared out by the hash of all of them: every task reads
//! all of the partition and groups its share, so that nothing has to be merged.

use firesteel_common::hash::partition_of;
use firesteel_common::{ExchangeId, ExchangeStats, PartitionSpec, show};
use firesteel_plan::{BuildMode, Distribution, PhysicalOp, PhysicalPlan, ReadMode, TaskInput};

use super::made::{self, Made};
use super::{Layout, PerPartition, StageInputs};

const RULE: &str = "OptimizeSkewedJoin";
const SHARE_RULE: &str = "AddPartitions";
/// A partition is cut if it has so many times a worker's share of the stage.
const SHARES: f64 = 1.25;
/// So many times a share is worth that one task puts slices together.
const GATHER_SHARES: f64 = 2.0;
/// So many times a share is worth another exchange: cutting saves a third of the time of the join.
const OVERLOAD: f64 = 1.5;

/// Replaces skewed partitions by their slices.
pub(super) fn split(stage: &StageInputs<'_>, made: &Made, partitions: &mut PerPartition, layout: &mut Layout) {
    let Some(probe) = sliceable(stage.plan) else { return };
    // A side that reads the same exchange would be sliced with it.
    if stage.plan.reads().iter().filter(|(id, _)| *id == probe).count() > 1 {
        return;
    }
    let Some(stats) = stage.inputs.get(&probe).and_then(|input| input.stats) else { return };
    let config = stage.config;
    let gathers = stage.plan.gatherer().is_some();
    let skew = config.skew_join && !config.is_excluded_adaptively(RULE) && (!gathers || config.force_adaptive);
    let skews: Vec<Skew<'_>> =
        stage.inputs.values().filter_map(|input| input.stats).map(|stats| Skew::of(stats, stage)).collect();
    let most = stage.most_slices();
    for (i, rows) in stats.rows.iter().copied().enumerate() {
        let (Some(tasks), Some(cut)) = (partitions.get_mut(i), how(stage, probe, i)) else { continue };
        let by_size = if skew { skews.iter().filter_map(|skew| skew.split(i)).max_by_key(|(n, _)| *n) } else { None };
        let by_share = by_share(stage, made, i as u32, cut.least_shares(gathers))
            .filter(|(n, _)| by_size.as_ref().is_none_or(|(m, _)| n > m));
        let by_share = by_share.map(|(n, because)| (SHARE_RULE, n, because));
        let split = by_share.or(by_size.map(|(n, because)| (RULE, n, because)));
        let Some((rule, count, because)) = split else { continue };
        let count = count.min(rows).min(if cut == Cut::Keys { stage.workers as u64 } else { most });
        if count > 1 {
            let (cut_up, in_parts) = match cut {
                Cut::Rows => (slices(&tasks[0], probe, i as u32, rows, count), format!("read in {count} slices")),
                Cut::Keys => {
                    (shares(&tasks[0], probe, i as u32, count), format!("its groups are made in {count} shares"))
                }
            };
            *tasks = cut_up;
            layout.skewed = true;
            layout.decisions.push((rule, format!("partition {i} {because}: {in_parts}")));
        }
    }
}

/// Whether one partition would take several times as long as a fair share of the stage, if it must not be cut.
pub(super) fn overloads(stage: &StageInputs<'_>) -> bool {
    let excluded = [RULE, SHARE_RULE].iter().any(|rule| stage.config.is_excluded_adaptively(rule));
    if excluded || stage.plan.gatherer().is_some() || sliceable(stage.plan).is_none() {
        return false;
    }
    let made = made::of_hot_keys(stage);
    let sizes = (0..stage.partitions).map(|i| stage.bytes(i) + made.bytes(i));
    let share = sizes.clone().sum::<u64>() / stage.cores.max(1) as u64;
    sizes.max().is_some_and(|most| most as f64 >= share.max(least_share(stage)) as f64 * OVERLOAD)
}

/// Bytes below which a partition is not worth being cut.
fn least_share(stage: &StageInputs<'_>) -> u64 {
    stage.config.min_partition_bytes.unwrap_or(1 << 20)
}

/// The sizes of one exchange, as Spark looks at them.
struct Skew<'a> {
    stats: &'a ExchangeStats,
    median: u64,
    threshold: u64,
    /// Bytes of a slice.
    target: u64,
}

impl<'a> Skew<'a> {
    fn of(stats: &'a ExchangeStats, stage: &StageInputs<'_>) -> Self {
        let config = stage.config;
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
        let advisory = if config.force_adaptive { 1 } else { config.advisory_bytes() };
        Self { stats, median, threshold, target: advisory.max(average).max(1) }
    }

    /// Number of slices of a skewed partition, and the evidence.
    fn split(&self, partition: usize) -> Option<(u64, String)> {
        let bytes = *self.stats.bytes.get(partition)?;
        let count = bytes.div_ceil(self.target);
        if bytes <= self.threshold || count < 2 {
            return None;
        }
        let rows = self.stats.rows.get(partition).copied().unwrap_or(0);
        let median = show::bytes(self.median);
        let hot = hot_key(self.stats, partition);
        Some((count, format!("has {} rows ({}), the median is {median}{hot}", show::count(rows), show::bytes(bytes))))
    }
}

/// Number of slices of a partition that is more than so many shares of a worker of all inputs and of what joins make of
/// hot keys, and the evidence.
fn by_share(stage: &StageInputs<'_>, made: &Made, partition: u32, shares: f64) -> Option<(u64, String)> {
    let config = stage.config;
    if config.is_excluded_adaptively(SHARE_RULE) || stage.cores < 2 {
        return None;
    }
    let size = |i| stage.bytes(i) + made.bytes(i);
    let bytes = size(partition);
    let total: u64 = (0..stage.partitions).map(size).sum();
    let share = total.div_ceil(stage.cores as u64).max(least_share(stage));
    if (bytes as f64) <= share as f64 * shares {
        return None;
    }
    let hot = stage.inputs.values().filter_map(|input| input.stats).map(|stats| hot_key(stats, partition as usize));
    let hot = hot.max_by_key(String::len).unwrap_or_default();
    let text = format!(
        "has {}{} of {}, more than the share of one of {} workers{hot}",
        show::bytes(bytes),
        made.text(partition),
        show::bytes(total),
        stage.cores
    );
    Some((bytes.div_ceil(share), text))
}

/// What the writers have noted of the most frequent key of a partition.
fn hot_key(stats: &ExchangeStats, partition: usize) -> String {
    let partitions = stats.bytes.len() as u32;
    let hot = stats.hot_keys.iter().find(|(hash, _)| partition_of(*hash, partitions) as usize == partition);
    hot.map(|(_, rows)| format!(", one key has about {} rows", show::count(*rows))).unwrap_or_default()
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

/// The task that reads all of a partition of `probe`, once for each share of the groups.
fn shares(task: &TaskInput, probe: ExchangeId, partition: u32, count: u64) -> Vec<TaskInput> {
    let share = |index| {
        let mut task = task.clone();
        task.specs.insert(probe, PartitionSpec::Share { partition, index, of: count as u32 });
        task
    };
    (0..count as u32).map(share).collect()
}

/// The exchange at the end of the spine, if its partitions may be sliced: slices meet at a node that gathers them, or
/// the plan has a partitioned join and no node minds.
fn sliceable(plan: &PhysicalPlan) -> Option<ExchangeId> {
    let mut node = plan.gatherer().map_or(Some(plan), PhysicalPlan::spine_input)?;
    let mut useful = plan.gatherer().is_some();
    loop {
        if let PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } = node.op {
            return useful.then_some(exchange);
        }
        useful |= matches!(&node.op, PhysicalOp::HashJoin(join) if join.mode == BuildMode::Partitioned);
        let input = node.op.spine_input()?;
        if !node.tolerates_slices(input) {
            return None;
        }
        node = node.inputs.get(input)?;
    }
}

/// What the tasks that share a partition have of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Its rows, by number.
    Rows,
    /// All rows, of which each task groups a share of the keys.
    Keys,
}

impl Cut {
    /// Shares of a worker from which on it is done: what has to be put together by one task must save waiting, and
    /// what is read by several too.
    fn least_shares(self, gathers: bool) -> f64 {
        match self {
            Cut::Keys => OVERLOAD,
            Cut::Rows if gathers => GATHER_SHARES,
            Cut::Rows => SHARES,
        }
    }
}

/// How a partition is cut, if that leaves much less to the task that puts the parts together. Slices of sorted rows do. Slices of
/// groups do if one group has most of the rows; else groups may be made in shares.
fn how(stage: &StageInputs<'_>, probe: ExchangeId, partition: usize) -> Option<Cut> {
    let lowest = stage.plan.gatherer();
    let Some(PhysicalOp::HashAggregate(aggregate)) = lowest.map(|node| &node.op) else { return Some(Cut::Rows) };
    let input = stage.inputs.get(&probe)?;
    let Distribution::Hash { keys, partitions } = &input.exchange.distribution else { return None };
    let stats = input.stats?;
    let rows = stats.rows.get(partition).copied().unwrap_or(0);
    let hot = stats.hot_keys.iter().filter(|(hash, _)| partition_of(*hash, *partitions) as usize == partition);
    let is_hot = 2 * hot.map(|(_, rows)| rows).sum::<u64>() > rows;
    if aggregate.keys.len() == keys.len() {
        return is_hot.then_some(Cut::Rows);
    }
    (aggregate.keys.len() > keys.len() && shares_may_meet(stage.plan, keys.len(), is_hot)).then_some(Cut::Keys)
}

/// Whether tasks may each make a share of the groups of the lowest aggregate: they do little before, and what they make
/// may go on in several tasks, up to where few groups or sorted rows meet.
fn shares_may_meet(plan: &PhysicalPlan, keys: usize, is_hot: bool) -> bool {
    let Some(lowest) = plan.gatherer() else { return false };
    let cheap = |node: &PhysicalPlan| {
        matches!(node.op, PhysicalOp::Filter { .. } | PhysicalOp::Project { .. } | PhysicalOp::ExchangeRead { .. })
    };
    let second = plan.second_gatherer();
    let meets = match second.map(|node| &node.op) {
        Some(PhysicalOp::HashAggregate(aggregate)) => aggregate.keys.len() == keys && is_hot,
        _ => true,
    };
    let from = second.map_or(Some(plan), PhysicalPlan::spine_input);
    let mut above = from.into_iter().flat_map(PhysicalPlan::spine).take_while(|node| node.id != lowest.id);
    let passes = above.all(|node| node.op.spine_input().is_some_and(|input| node.tolerates_slices(input)));
    meets && passes && lowest.spine().skip(1).all(cheap)
}
