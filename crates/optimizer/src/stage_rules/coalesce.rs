//! Merges neighbouring small partitions (Spark: `CoalesceShufflePartitions`).
//!
//! Target: `max(min(ceil(total / least), advisory, memory), smallest)`, where `memory` is what each worker can hold and `least`
//! is the number of workers if parallelism comes first, else 1. Unless the user gave an advisory size, a task whose rows end in
//! a table (of groups, or of the build side of a join) reads no more than makes a table of [`APART`] bytes: one task
//! instead of several saves a quarter of a millisecond for each, and loses more in a table that is far from the core.
//! Partitions are taken in order; a task is closed when the next partition would exceed the target. A task below the
//! smallest size joins its lesser neighbour.
//! Partitions that were split stay as they are.

use firesteel_common::show;
use firesteel_plan::{ExchangeOrigin, TaskInput};

use super::groups::scaled;
use super::{APART, Layout, PerPartition, StageInputs};

const RULE: &str = "CoalesceShufflePartitions";
/// Bytes that are worth a task, which costs about a quarter of a millisecond: grouping so many takes a whole one. (Spark has
/// 1 MiB, with tasks that cost a hundred times as much.)
const SMALLEST: u64 = 256 << 10;

/// The merged tasks; `None` if there would not be fewer.
pub(super) fn merge(stage: &StageInputs<'_>, partitions: &PerPartition, layout: &mut Layout) -> Option<Vec<TaskInput>> {
    let config = stage.config;
    let given = stage.inputs.values().any(|input| input.exchange.origin == ExchangeOrigin::User);
    if !config.coalesce_partitions || config.is_excluded_adaptively(RULE) || given {
        return None;
    }
    let sizes: Vec<u64> = (0..stage.partitions).map(|i| stage.bytes(i)).collect();
    let total: u64 = sizes.iter().sum();
    let own = if config.parallelism_first { stage.workers.max(1) as u64 } else { 1 };
    let least = config.coalesce_min_partitions.map_or(own, |least| scaled(least.into(), stage.share));
    let smallest = config.min_partition_bytes.unwrap_or(SMALLEST);
    let advisory = if stage.explodes() { smallest } else { advisory(stage, total) };
    // Not more than the memory has room for, if each worker holds a task's bytes and what it makes of them.
    const COPIES: u64 = 4;
    let target = total.div_ceil(least).min(advisory).min(config.held_bytes() / COPIES).max(smallest);

    let mut tasks: Vec<TaskInput> = Vec::new();
    let mut start = 0;
    while start < partitions.len() {
        if partitions[start].len() > 1 {
            tasks.extend(partitions[start].iter().cloned());
            start += 1;
            continue;
        }
        let end = partitions[start..].iter().position(|p| p.len() > 1).map_or(partitions.len(), |n| start + n);
        let ranges = ranges(&sizes[start..end], target, smallest, config.coalesce_max_per_task as usize);
        tasks.extend(ranges.into_iter().map(|(from, to)| stage.whole((start + from) as u32..(start + to) as u32)));
        start = end;
    }
    if tasks.is_empty() {
        tasks.push(stage.whole(0..stage.partitions));
    }
    let before: usize = partitions.iter().map(Vec::len).sum();
    if tasks.len() >= before {
        return None;
    }
    layout.coalesced = true;
    let text = format!(
        "{before} partitions with {} in all are read by {} task{} (target {})",
        show::bytes(total),
        tasks.len(),
        if tasks.len() == 1 { "" } else { "s" },
        show::bytes(target)
    );
    layout.decisions.push((RULE, text));
    Some(tasks)
}

/// Bytes that a task should read.
fn advisory(stage: &StageInputs<'_>, total: u64) -> u64 {
    let advisory = stage.config.advisory_bytes();
    let tables = stage.table_bytes();
    if stage.config.advisory_partition_bytes.is_some() || tables <= 0.0 {
        return advisory;
    }
    advisory.min((total as f64 * APART / tables) as u64)
}

/// Ranges of neighbours; ranges without any bytes are left out.
fn ranges(sizes: &[u64], target: u64, smallest: u64, most: usize) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    let (mut split, mut last, mut current) = (0, 0u64, 0u64);
    for (i, size) in sizes.iter().copied().enumerate() {
        if i > split && i - split >= most {
            emit(&mut out, split, i, current);
            (split, last, current) = (i, current, size);
        } else if i == split || current + size <= target {
            current += size;
        } else if current >= smallest || current == 0 {
            emit(&mut out, split, i, current);
            (split, last, current) = (i, current, size);
        } else if last > 0 && last < size && fits(&out, i, most) {
            extend(&mut out, i);
            last += current;
            (split, current) = (i, size);
        } else {
            current += size;
        }
    }
    if current < smallest && last > 0 && current > 0 && fits(&out, sizes.len(), most) {
        extend(&mut out, sizes.len());
    } else {
        emit(&mut out, split, sizes.len(), current);
    }
    out
}

/// Whether the last range may grow up to `to`.
fn fits(out: &[(usize, usize)], to: usize, most: usize) -> bool {
    out.last().is_some_and(|(from, _)| to - from <= most)
}

fn emit(out: &mut Vec<(usize, usize)>, from: usize, to: usize, bytes: u64) {
    if bytes > 0 {
        out.push((from, to));
    }
}

fn extend(out: &mut [(usize, usize)], to: usize) {
    if let Some(range) = out.last_mut() {
        range.1 = to;
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    const ALL: usize = usize::MAX;

    #[test]
    fn small_neighbours_are_merged_up_to_the_target() {
        assert_eq!(ranges(&[10, 10, 10, 10], 20, 1, ALL), [(0, 2), (2, 4)]);
        assert_eq!(ranges(&[100, 10, 10, 100], 100, 1, ALL), [(0, 1), (1, 3), (3, 4)]);
        assert_eq!(ranges(&[10, 10], 1000, 100, ALL), [(0, 2)]);
    }

    #[test]
    fn what_is_too_small_joins_the_lesser_neighbour() {
        // 5 is below the smallest size: it goes to the range before, which is less than what follows.
        assert_eq!(ranges(&[60, 5, 100], 62, 10, ALL), [(0, 2), (2, 3)]);
        assert_eq!(ranges(&[100, 5], 100, 10, ALL), [(0, 2)]);
    }

    #[test]
    fn empty_partitions_vanish() {
        assert_eq!(ranges(&[0, 0, 0], 10, 1, ALL), []);
        assert_eq!(ranges(&[0, 20, 0, 20], 20, 1, ALL), [(0, 3), (3, 4)]);
    }

    #[test]
    fn a_task_reads_no_more_than_the_most_partitions() {
        assert_eq!(ranges(&[1; 5], 100, 1, 2), [(0, 2), (2, 4), (4, 5)]);
        // The last one is too small, but the range before has no room.
        assert_eq!(ranges(&[60, 60, 5], 130, 10, 2), [(0, 2), (2, 3)]);
    }
}
