//! Alignment groups: inputs of a stage that must be cut at the same places.
//!
//! Rows with equal keys must meet under a join or an aggregate, so the exchanges below one are cut alike. The inputs
//! of a union need not be: nothing above it knows keys. Each is a group with tasks of its own, in which the others
//! return nothing (Spark: the groups of `CoalesceShufflePartitions`, beyond it also those of the other rules). An input that is not
//! partitioned has no tasks of its own: those of the others take its rows, and those that have nothing else to do. Workers
//! and bounds for the number of tasks are shared out by bytes.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{Error, ExchangeId, PartitionSpec, Result};
use firesteel_plan::{PhysicalOp, PhysicalPlan, ReadMode, TaskInput};

use super::{StageInputs, partitioned_reads};

/// A part of the plan and what it reads by partition.
struct Branch<'a> {
    plan: &'a PhysicalPlan,
    reads: BTreeSet<ExchangeId>,
}

/// The groups of a stage, each as if it were the whole stage.
///
/// Errors: inputs of a group with different numbers of partitions.
pub(super) fn alignment_groups<'a>(stage: &StageInputs<'a>) -> Result<Vec<StageInputs<'a>>> {
    let mut branches = Vec::new();
    let may_cut = collect(stage.plan, true, &mut branches);
    let mut groups: Vec<Branch<'a>> = Vec::new();
    for branch in branches.into_iter().filter(|branch| !branch.reads.is_empty()) {
        // An exchange that several inputs read is cut for all of them.
        let (mut joined, mut rest) = (branch, Vec::new());
        for group in groups {
            if group.reads.is_disjoint(&joined.reads) {
                rest.push(group);
            } else {
                joined = Branch { plan: stage.plan, reads: joined.reads.union(&group.reads).copied().collect() };
            }
        }
        rest.push(joined);
        groups = rest;
    }
    let known: BTreeSet<ExchangeId> = groups.iter().flat_map(|group| group.reads.iter().copied()).collect();
    if groups.is_empty() || !has_union(stage.plan) || !stage.inputs.keys().all(|id| known.contains(id)) {
        return Ok(vec![with_inputs(stage, stage.plan, stage.inputs.clone(), 1.0, true)?]);
    }
    let total = bytes(&stage.inputs);
    let group = |group: Branch<'a>| {
        let inputs = stage.inputs.iter().filter(|(id, _)| group.reads.contains(id));
        let inputs: BTreeMap<_, _> = inputs.map(|(id, input)| (*id, input.clone())).collect();
        let share = if total > 0 { bytes(&inputs) as f64 / total as f64 } else { 1.0 };
        // Where the slices of a partition would meet is known of the whole stage only.
        let may_cut = may_cut && group.plan.gatherer().is_none();
        with_inputs(stage, group.plan, inputs, share, may_cut)
    };
    groups.into_iter().map(group).collect()
}

/// Adds the parts under a union, or the plan itself; whether slices of a partition may reach the end of the stage from
/// there.
fn collect<'a>(plan: &'a PhysicalPlan, tolerates: bool, out: &mut Vec<Branch<'a>>) -> bool {
    if !has_union(plan) {
        out.push(Branch { plan, reads: partitioned_reads(plan) });
        return tolerates;
    }
    if let PhysicalOp::Union = plan.op {
        return plan.inputs.iter().fold(tolerates, |all, input| collect(input, tolerates, out) && all);
    }
    match plan.op.spine_input().and_then(|i| Some((i, plan.inputs.get(i)?))) {
        Some((i, input)) => collect(input, tolerates && plan.tolerates_slices(i), out),
        None => false,
    }
}

/// Whether tasks of the plan take rows of a scan, or of an exchange, as they become free.
pub(crate) fn takes_any_rows(plan: &PhysicalPlan) -> bool {
    match plan.op {
        PhysicalOp::Scan { .. } | PhysicalOp::ExchangeRead { read: ReadMode::Elastic, .. } => true,
        PhysicalOp::Union => plan.inputs.iter().any(takes_any_rows),
        _ => plan.spine_input().is_some_and(takes_any_rows),
    }
}

fn has_union(plan: &PhysicalPlan) -> bool {
    matches!(plan.op, PhysicalOp::Union) || plan.spine_input().is_some_and(has_union)
}

fn with_inputs<'a>(
    stage: &StageInputs<'a>,
    plan: &'a PhysicalPlan,
    inputs: BTreeMap<ExchangeId, super::Input<'a>>,
    share: f64,
    may_cut: bool,
) -> Result<StageInputs<'a>> {
    let count = |input: &super::Input<'_>| input.exchange.distribution.partitions();
    let partitions = inputs.values().map(count).max().unwrap_or(1);
    if !inputs.values().all(|input| count(input) == partitions) {
        return Err(Error::internal("a stage reads exchanges with different numbers of partitions"));
    }
    let part = |number: usize| scaled(number as u64, share) as usize;
    let (workers, cores) = (part(stage.workers), part(stage.cores));
    Ok(StageInputs { plan, inputs, partitions, share, may_cut, workers, cores, ..*stage })
}

/// A share of a number, at least one.
pub(super) fn scaled(number: u64, share: f64) -> u64 {
    ((number as f64 * share).round() as u64).max(1)
}

fn bytes(inputs: &BTreeMap<ExchangeId, super::Input<'_>>) -> u64 {
    inputs.values().filter_map(|input| input.stats).map(firesteel_common::ExchangeStats::total_bytes).sum()
}

/// `tasks` of one group, which read nothing of the inputs of others.
pub(super) fn apart(tasks: Vec<TaskInput>, stage: &StageInputs<'_>) -> impl Iterator<Item = TaskInput> {
    let all: Vec<ExchangeId> = stage.inputs.keys().copied().collect();
    tasks.into_iter().map(move |mut task| {
        all.iter().for_each(|id| {
            task.specs.entry(*id).or_insert(PartitionSpec::Whole(0..0));
        });
        task
    })
}
