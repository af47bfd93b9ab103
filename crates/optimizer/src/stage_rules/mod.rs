//! How the tasks of a stage read its inputs, decided from exact sizes when the stage is cut.
//!
//! Invariant: these rules change which task reads which rows, never what is computed. All exchanges
//! of an alignment group are cut at the same places, since rows with equal keys must meet.

mod coalesce;
mod groups;
mod made;
mod rebalance;
mod skew;

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{Config, ExchangeId, ExchangeStats, PartitionSpec, Result};
use firesteel_plan::{AggregateMode, BuildMode, Exchange, PhysicalOp, PhysicalPlan, ReadMode, TaskInput};

use crate::lower::StartedExchange;
use crate::rule::OptimizerContext;
pub(crate) use groups::takes_any_rows;

/// Bytes of a table that one task makes for itself, if the number of tasks is free. Grouping 15 million keys of TPC-H
/// takes 1.36 s of all cores with tables of 100 MiB, 1.1 with 25, and 0.96 with 12 and less.
pub(crate) const NEAR_TABLE: f64 = (16 << 20) as f64;
/// The same where partitions are there already, and only have to stay apart: TPC-H's Q13 of SF 10 takes 3 % less processor
/// time with 16 tables of 5 MiB than with 6 of 13.
const APART: f64 = (6 << 20) as f64;

/// An exchange that a stage reads by partition.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    pub exchange: &'a Exchange,
    /// What was written; `None` if sizes are not to be used.
    pub stats: Option<&'a ExchangeStats>,
}

/// What the rules look at.
pub(crate) struct StageInputs<'a> {
    pub plan: &'a PhysicalPlan,
    /// By exchange; within an alignment group all have the same number of partitions.
    pub inputs: BTreeMap<ExchangeId, Input<'a>>,
    /// Of each input of a group.
    pub partitions: u32,
    /// The part of the bytes of its stage that a group reads.
    pub share: f64,
    /// Whether a partition may be read by several tasks, as far as the plan around the group is concerned.
    pub may_cut: bool,
    pub config: &'a Config,
    pub workers: usize,
    /// Workers that can run at the same time.
    pub cores: usize,
}

/// The fewest tasks that a COALESCE in the plan asks for.
pub(crate) fn most_tasks(plan: &PhysicalPlan) -> Option<u32> {
    let mut most = None;
    plan.visit(&mut |node| {
        if let PhysicalOp::Coalesce { tasks } = node.op {
            most = Some(most.map_or(tasks, |most: u32| most.min(tasks)).max(1));
        }
    });
    most
}

/// What is read by whom, and what the rules did.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub tasks: Vec<TaskInput>,
    /// Rule and what it did, for notes.
    pub decisions: Vec<(&'static str, String)>,
    /// Whether partitions were merged.
    pub coalesced: bool,
    /// Whether partitions were split.
    pub skewed: bool,
}

/// The tasks that read one partition: several if it was split.
pub(crate) type PerPartition = Vec<Vec<TaskInput>>;

/// Exchanges that the plan reads by partition.
pub(crate) fn partitioned_reads(plan: &PhysicalPlan) -> BTreeSet<ExchangeId> {
    plan.reads().into_iter().filter(|(_, read)| *read == ReadMode::Partitioned).map(|(id, _)| id).collect()
}

/// Whether the tasks of a stage with this join would better be cut, so that nothing above it may rely on partitions.
pub(crate) fn is_overloaded(
    plan: &PhysicalPlan,
    started: &BTreeMap<ExchangeId, StartedExchange>,
    cx: &OptimizerContext<'_>,
) -> bool {
    let input = |id| {
        let started = started.get(&id)?;
        Some((id, Input { exchange: &started.exchange, stats: Some(started.stats.as_ref()?) }))
    };
    let reads = partitioned_reads(plan);
    let inputs: BTreeMap<_, _> = reads.iter().filter_map(|id| input(*id)).collect();
    let partitions = inputs.values().map(|i| i.exchange.distribution.partitions()).max().unwrap_or(1);
    cx.config.adaptive
        && inputs.len() == reads.len()
        && skew::overloads(&StageInputs {
            plan,
            inputs,
            partitions,
            share: 1.0,
            may_cut: true,
            config: cx.config,
            workers: cx.workers.tasks,
            cores: cx.workers.cores,
        })
}

/// One task that reads all of each input.
pub(crate) fn one_task(inputs: &BTreeSet<ExchangeId>) -> TaskInput {
    TaskInput { specs: inputs.iter().map(|id| (*id, PartitionSpec::All)).collect() }
}

/// One task per partition of each alignment group, merged and split where that pays.
///
/// Errors: inputs of a group with different numbers of partitions.
pub(crate) fn tasks_by_partition(stage: &StageInputs<'_>) -> Result<Layout> {
    let groups = groups::alignment_groups(stage)?;
    let all: u32 = groups.iter().map(|group| group.partitions).sum();
    let mut layout = Layout::default();
    if let Some(most) = most_tasks(stage.plan).filter(|most| *most < all) {
        layout.tasks = (0..most)
            .map(|k| groups.iter().flat_map(|group| group.part(k, most).specs).collect())
            .map(|specs| TaskInput { specs })
            .collect();
        return Ok(layout);
    }
    let mades: Vec<_> = groups.iter().map(made::of_hot_keys).collect();
    for (group, made) in groups.iter().zip(&mades) {
        let tasks = tasks_of_group(group, made, &mut layout);
        layout.tasks.extend(groups::apart(tasks, stage));
    }
    if stage.inputs.values().all(|input| input.stats.is_some()) {
        // The most work first: what is started last should not be what everybody waits for.
        let work =
            |task: &TaskInput| stage.task_bytes(task) + mades.iter().map(|made| made.of_task(stage, task)).sum::<u64>();
        layout.tasks.sort_by_cached_key(|task| std::cmp::Reverse(work(task)));
    }
    Ok(layout)
}

/// The tasks of inputs that are cut at the same places.
fn tasks_of_group(group: &StageInputs<'_>, made: &made::Made, layout: &mut Layout) -> Vec<TaskInput> {
    let mut partitions: PerPartition = (0..group.partitions).map(|i| vec![group.whole(i..i + 1)]).collect();
    if group.inputs.values().all(|input| input.stats.is_some()) {
        if group.may_cut {
            skew::split(group, made, &mut partitions, layout);
            rebalance::split(group, &mut partitions, layout);
        }
        if let Some(merged) = coalesce::merge(group, &partitions, layout) {
            return merged;
        }
    }
    partitions.into_iter().flatten().collect()
}

impl Layout {
    /// Adds tasks that read nothing of `reads`, until there are so many.
    pub(crate) fn fill(&mut self, reads: &BTreeSet<ExchangeId>, tasks: u32) {
        let idle = TaskInput { specs: reads.iter().map(|id| (*id, PartitionSpec::Whole(0..0))).collect() };
        self.tasks.resize(self.tasks.len().max(tasks as usize), idle);
    }
}

impl StageInputs<'_> {
    /// A task that reads a range of partitions of every input.
    fn whole(&self, range: std::ops::Range<u32>) -> TaskInput {
        TaskInput { specs: self.inputs.keys().map(|id| (*id, PartitionSpec::Whole(range.clone()))).collect() }
    }

    /// Part `k` of so many of all partitions.
    fn part(&self, k: u32, parts: u32) -> TaskInput {
        let bound = |k: u32| (u64::from(self.partitions) * u64::from(k) / u64::from(parts)) as u32;
        self.whole(bound(k)..bound(k + 1))
    }

    /// Bytes of a partition over all inputs.
    fn bytes(&self, partition: u32) -> u64 {
        let of = |input: &Input<'_>| {
            // Rows without columns have no bytes, and are read nevertheless.
            let at = |sizes: &[u64]| sizes.get(partition as usize).copied().unwrap_or(0);
            input.stats.map_or(0, |stats| at(&stats.bytes).max(at(&stats.rows)))
        };
        self.inputs.values().map(of).sum()
    }

    /// Bound of the slices of one partition: more than workers can share out only cost.
    fn most_slices(&self) -> u64 {
        const PER_WORKER: u64 = 16;
        PER_WORKER * self.workers.max(1) as u64
    }

    /// Bytes that a task reads.
    fn task_bytes(&self, task: &TaskInput) -> u64 {
        let of = |(id, spec): (&ExchangeId, &PartitionSpec)| {
            let stats = self.inputs.get(id).and_then(|input| input.stats)?;
            Some(match spec {
                PartitionSpec::All => stats.total_bytes(),
                PartitionSpec::Whole(range) => range.clone().filter_map(|i| stats.bytes.get(i as usize)).sum(),
                PartitionSpec::Slice { partition, rows } => {
                    let at = |sizes: &[u64]| u128::from(sizes.get(*partition as usize).copied().unwrap_or(0));
                    let part = at(&stats.bytes) * u128::from(rows.end - rows.start);
                    part.checked_div(at(&stats.rows)).unwrap_or(0) as u64
                }
                PartitionSpec::Share { partition, of, .. } => {
                    stats.bytes.get(*partition as usize).copied().unwrap_or(0) / u64::from((*of).max(1))
                }
            })
        };
        task.specs.iter().filter_map(of).sum()
    }

    /// Expected size of the tables that the tasks make of what they read by partition, in all.
    fn table_bytes(&self) -> f64 {
        let mut bytes = 0.0;
        self.plan.visit(&mut |node| {
            bytes += match &node.op {
                PhysicalOp::HashAggregate(aggregate) if aggregate.mode != AggregateMode::Partial => {
                    node.estimate.table_bytes()
                }
                PhysicalOp::HashJoin(join) if join.mode == BuildMode::Partitioned => {
                    node.inputs.get(join.build.index()).map_or(0.0, |build| build.estimate.table_bytes())
                }
                _ => 0.0,
            };
        });
        bytes
    }

    /// Whether the plan multiplies rows, so that small inputs are much work.
    fn explodes(&self) -> bool {
        let mut found = false;
        self.plan.visit(&mut |node| found |= matches!(node.op, PhysicalOp::NestedLoopJoin { .. }));
        found
    }
}

#[cfg(test)]
mod tests;
