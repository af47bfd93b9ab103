//! What the joins of a stage are expected to make of keys that have many rows on both sides.
//!
//! Such a key has few rows to read, and as many to make as the product of its rows on all sides: its partition may be
//! small in bytes and yet be most of the work of the stage. The key is one of the hot keys that a writer has noted. On the other sides
//! it need not be hot: 25 rows where other keys have one are little of what is read, and 25 times the work. So there its
//! rows come from [`KeyCounts`], if they stand out from the noise. Keys that nothing is
//! known of are not counted: they are many, and hashes deal them out evenly.
//!
//! [`KeyCounts`]: firesteel_common::KeyCounts

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::hash::{null_hash, partition_of};
use firesteel_common::{ExchangeId, ExchangeStats, PartitionSpec, show};
use firesteel_plan::{BuildMode, Distribution, JoinKind, PhysicalOp, PhysicalPlan, ReadMode, TaskInput};

use super::StageInputs;

/// A number of rows counts from so many times its usual error.
const CERTAIN: f64 = 2.0;

/// Rows and bytes that joins make of hot keys, by partition.
#[derive(Debug, Default)]
pub(super) struct Made {
    partitions: BTreeMap<u32, (u64, u64)>,
    probe: Option<ExchangeId>,
}

impl Made {
    /// Bytes made in a partition.
    pub(super) fn bytes(&self, partition: u32) -> u64 {
        self.partitions.get(&partition).map_or(0, |(_, bytes)| *bytes)
    }

    /// For evidence, after a number of bytes.
    pub(super) fn text(&self, partition: u32) -> String {
        let made = self.partitions.get(&partition);
        made.map(|(rows, _)| format!(" (with about {} rows that it makes of hot keys)", show::count(*rows)))
            .unwrap_or_default()
    }

    /// Bytes made by a task.
    pub(super) fn of_task(&self, stage: &StageInputs<'_>, task: &TaskInput) -> u64 {
        let spec = self.probe.and_then(|probe| Some((stage.inputs.get(&probe)?.stats?, task.specs.get(&probe)?)));
        match spec {
            Some((_, PartitionSpec::All)) => self.partitions.values().map(|(_, bytes)| bytes).sum(),
            Some((_, PartitionSpec::Whole(range))) => range.clone().map(|i| self.bytes(i)).sum(),
            Some((stats, PartitionSpec::Slice { partition, rows })) => {
                let all = stats.rows.get(*partition as usize).copied().unwrap_or(0);
                let part = u128::from(self.bytes(*partition)) * u128::from(rows.end - rows.start);
                part.checked_div(u128::from(all)).unwrap_or(0) as u64
            }
            Some((_, PartitionSpec::Share { partition, of, .. })) => self.bytes(*partition) / u64::from((*of).max(1)),
            None => 0,
        }
    }
}

/// What the partitioned joins of the stage make of hot keys. Conditions besides the keys are not looked at: pairs have
/// to be made for them.
pub(super) fn of_hot_keys(stage: &StageInputs<'_>) -> Made {
    let joined = joined(stage);
    let [(probe, _), _, ..] = joined.as_slice() else { return Made::default() };
    let mut made = Made { probe: Some(*probe), ..Made::default() };
    let sides: Vec<Side<'_>> = joined.iter().map(|(_, stats)| Side::of(stats)).collect();
    let width: u64 = sides.iter().map(|side| side.width).sum();
    let hot: BTreeSet<u64> = sides.iter().flat_map(|side| side.stats.hot_keys.iter().map(|(hash, _)| *hash)).collect();
    for hash in hot {
        let known: Vec<u64> = sides.iter().filter_map(|side| side.rows(hash)).collect();
        // NULL is equal to nothing. (Of several columns, only rows without any value are known by their hash.)
        if known.len() < 2 || (1..=MOST_KEYS).any(|columns| hash == null_hash(columns)) {
            continue;
        }
        let rows = known.into_iter().fold(1u64, u64::saturating_mul);
        let (all, bytes) = made.partitions.entry(partition_of(hash, stage.partitions)).or_default();
        *all = all.saturating_add(rows);
        // Room is left for sums over partitions.
        *bytes = bytes.saturating_add(rows.saturating_mul(width)).min(u64::MAX >> 16);
    }
    made
}

/// NULL keys of so many columns are recognised.
const MOST_KEYS: usize = 8;

/// A side of a join.
struct Side<'a> {
    stats: &'a ExchangeStats,
    /// From so many rows on, a number is not just noise.
    certain: f64,
    /// Bytes of a row.
    width: u64,
}

impl<'a> Side<'a> {
    fn of(stats: &'a ExchangeStats) -> Self {
        let noise = stats.key_counts.as_ref().map_or(0.0, |counts| counts.noise());
        let width = stats.total_bytes().checked_div(stats.total_rows()).unwrap_or(0).max(1);
        Self { stats, certain: 1.0 + CERTAIN * noise, width }
    }

    /// Rows of a key, if it is known to have several.
    fn rows(&self, hash: u64) -> Option<u64> {
        if let Some((_, rows)) = self.stats.hot_keys.iter().find(|(hot, _)| *hot == hash) {
            return Some(*rows);
        }
        let rows = self.stats.key_counts.as_ref()?.rows(hash);
        (rows as f64 > self.certain).then_some(rows)
    }
}

/// What the joins read that multiply rows of one partition: the exchange of the probe side, then those of the build
/// sides. All are distributed by the keys of the joins.
fn joined<'a>(stage: &StageInputs<'a>) -> Vec<(ExchangeId, &'a ExchangeStats)> {
    let mut builds = Vec::new();
    let mut node = stage.plan.gatherer().map_or(Some(stage.plan), PhysicalPlan::spine_input);
    let mut keys = None;
    while let Some(plan) = node {
        if let PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } = plan.op {
            let probe = keys.and_then(|keys| by_keys(stage, exchange, keys));
            return probe.into_iter().chain(builds).collect();
        }
        if let PhysicalOp::HashJoin(join) = &plan.op
            && join.mode == BuildMode::Partitioned
            && matches!(join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full)
        {
            let build = plan.inputs.get(join.build.index()).and_then(read_by_row);
            builds.extend(build.and_then(|build| by_keys(stage, build, join.on.len())));
            keys = Some(join.on.len());
        }
        node = plan.spine_input();
    }
    Vec::new()
}

/// An exchange that is distributed by so many keys.
fn by_keys<'a>(stage: &StageInputs<'a>, id: ExchangeId, count: usize) -> Option<(ExchangeId, &'a ExchangeStats)> {
    let input = stage.inputs.get(&id)?;
    let Distribution::Hash { keys, .. } = &input.exchange.distribution else { return None };
    Some((id, input.stats.filter(|_| keys.len() == count)?))
}

/// The exchange whose rows arrive one by one.
fn read_by_row(plan: &PhysicalPlan) -> Option<ExchangeId> {
    match &plan.op {
        PhysicalOp::ExchangeRead { exchange, read: ReadMode::Partitioned } => Some(*exchange),
        PhysicalOp::Filter { .. } | PhysicalOp::Project { .. } => read_by_row(plan.spine_input()?),
        _ => None,
    }
}
