//! Tasks that share one partition: each reads a slice of its probe rows and all of its build rows.
//!
//! Slices of one partition make the hash tables of its joins once, together, and share the marks of build
//! rows that have matched, so that a partition can be sliced under joins of any kind. At the first node that must see
//! all rows of a key ([`PhysicalPlan::gathers`]) what each slice has made of its rows meets, and one task goes on.
//!
//! A partition may also be shared out by the keys of the lowest aggregate: each task reads all of it and keeps the rows of
//! its share of the groups, which are then complete. Such shares meet at the next node that gathers, if there is one.
//! All that is shared is given back when the last slice has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use firesteel_common::{ExchangeId, NodeId, PartitionSpec};
use firesteel_plan::{PhysicalPlan, TaskInput, TaskLayout};

use crate::gather::{Gather, GatherPoint};
use crate::once::Once;
use crate::operators::hash_aggregate::SliceGroups;
use crate::operators::hash_join::JoinBuild;
use crate::operators::sort::gather::SortedSlice;

/// A partition of the exchange that is cut: inputs of a union have partitions of their own.
type Sliced = (ExchangeId, u32);

/// One slice among those of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) of: Sliced,
    /// Its number, from 0, and how many there are.
    pub(crate) index: u32,
    pub(crate) count: u32,
    /// Whether it is a share of the groups, not of the rows.
    pub(crate) by_keys: bool,
}

/// The sliced partitions of a stage.
#[derive(Default)]
pub(crate) struct Slices {
    by_task: BTreeMap<u32, Slice>,
    /// By partition, the slices that have not ended.
    left: BTreeMap<Sliced, AtomicUsize>,
    builds: BTreeMap<(NodeId, Sliced), Once<JoinBuild>>,
    /// The node at which the slices of a partition meet, that at which shares of its groups meet, and by partition, where.
    gatherer: Option<NodeId>,
    second: Option<NodeId>,
    groups: BTreeMap<Sliced, Arc<Gather<SliceGroups>>>,
    rows: BTreeMap<Sliced, Arc<Gather<SortedSlice>>>,
}

impl Slices {
    /// What `layout` says of the tasks of `plan`.
    pub(crate) fn of(layout: &TaskLayout, plan: &PhysicalPlan) -> Self {
        let TaskLayout::PerInput(inputs) = layout else { return Self::default() };
        let mut tasks: BTreeMap<Sliced, Vec<(u32, bool)>> = BTreeMap::new();
        for (task, input) in inputs.iter().enumerate() {
            if let Some((partition, by_keys)) = sliced(input) {
                tasks.entry(partition).or_default().push((task as u32, by_keys));
            }
        }
        let left = tasks.iter().map(|(partition, tasks)| (*partition, AtomicUsize::new(tasks.len()))).collect();
        let counts = || tasks.iter().map(|(partition, tasks)| (*partition, tasks.len() as u32));
        let groups = counts().map(|(partition, count)| (partition, Arc::new(Gather::new(count)))).collect();
        let rows = counts().map(|(partition, count)| (partition, Arc::new(Gather::new(count)))).collect();
        let slices = tasks.into_iter().flat_map(|(partition, tasks)| {
            let count = tasks.len() as u32;
            let slice = move |index, by_keys| Slice { of: partition, index, count, by_keys };
            (0..count).zip(tasks).map(move |(index, (task, by_keys))| (task, slice(index, by_keys)))
        });
        let id = |node: Option<&PhysicalPlan>| node.map(|node| node.id);
        let (gatherer, second) = (id(plan.gatherer()), id(plan.second_gatherer()));
        Self { by_task: slices.collect(), left, builds: BTreeMap::new(), gatherer, second, groups, rows }
    }

    /// Makes room for the tables of the partitioned join `node`.
    pub(crate) fn add_join(&mut self, node: NodeId) {
        self.builds.extend(self.left.keys().map(|partition| ((node, *partition), Once::default())));
    }

    /// The slice that a task reads, if it does not read whole partitions.
    pub(crate) fn of_task(&self, task: u32) -> Option<Slice> {
        self.by_task.get(&task).copied()
    }

    /// The table of `node` for the tasks of a slice.
    pub(crate) fn build(&self, node: NodeId, slice: Slice) -> Option<&Once<JoinBuild>> {
        self.builds.get(&(node, slice.of))
    }

    /// Where `node` is to leave the groups of a task's slice, if it is to.
    pub(crate) fn groups(&self, node: NodeId, task: u32) -> Option<GatherPoint<SliceGroups>> {
        self.point(&self.groups, node, task)
    }

    /// Where `node` is to leave the rows of a task's slice, if it is to.
    pub(crate) fn rows(&self, node: NodeId, task: u32) -> Option<GatherPoint<SortedSlice>> {
        self.point(&self.rows, node, task)
    }

    /// The slice of which the aggregate `node` is to make the groups that fall to it, if it is to.
    pub(crate) fn share(&self, node: NodeId, task: u32) -> Option<Slice> {
        self.of_task(task).filter(|slice| slice.by_keys && self.gatherer == Some(node))
    }

    fn point<T>(&self, all: &BTreeMap<Sliced, Arc<Gather<T>>>, node: NodeId, task: u32) -> Option<GatherPoint<T>> {
        let meets = |slice: &Slice| if slice.by_keys { self.second } else { self.gatherer };
        let slice = self.of_task(task).filter(|slice| meets(slice) == Some(node))?;
        Some(GatherPoint { gather: all.get(&slice.of)?.clone(), index: slice.index })
    }

    /// Notes that a task has ended well.
    pub(crate) fn end(&self, task: u32) {
        let Some(slice) = self.of_task(task) else { return };
        let before = self.left.get(&slice.of).map(|left| left.fetch_sub(1, Ordering::AcqRel));
        if before == Some(1) {
            let own = self.builds.iter().filter(|((_, partition), _)| *partition == slice.of);
            own.for_each(|(_, build)| build.forget());
            self.groups.get(&slice.of).into_iter().for_each(|groups| groups.forget());
            self.rows.get(&slice.of).into_iter().for_each(|rows| rows.forget());
        }
    }
}

/// The partition of which a task reads a slice, or groups a share.
fn sliced(input: &TaskInput) -> Option<(Sliced, bool)> {
    input.specs.iter().find_map(|(exchange, spec)| match spec {
        PartitionSpec::Slice { partition, .. } => Some(((*exchange, *partition), false)),
        PartitionSpec::Share { partition, .. } => Some(((*exchange, *partition), true)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_plan::{Estimate, PhysicalOp};

    #[test]
    fn slices_are_counted_by_partition() {
        let input = |spec| TaskInput { specs: BTreeMap::from([(ExchangeId(0), spec)]) };
        let slice = |partition, rows| input(PartitionSpec::Slice { partition, rows });
        let layout = TaskLayout::PerInput(vec![
            slice(2, 0..5),
            input(PartitionSpec::Whole(0..2)),
            slice(3, 0..1),
            slice(2, 5..9),
        ]);
        let plan = PhysicalPlan {
            id: NodeId(0),
            origin: NodeId(0),
            op: PhysicalOp::Union,
            inputs: Vec::new(),
            output: Vec::new(),
            estimate: Estimate::default(),
        };
        let mut slices = Slices::of(&layout, &plan);
        slices.add_join(NodeId(7));
        assert_eq!(slices.of_task(0), Some(Slice { of: (ExchangeId(0), 2), index: 0, count: 2, by_keys: false }));
        assert_eq!(slices.of_task(1), None);
        assert_eq!(slices.of_task(3), Some(Slice { of: (ExchangeId(0), 2), index: 1, count: 2, by_keys: false }));
        let slice = slices.of_task(2).unwrap();
        assert_eq!(slice, Slice { of: (ExchangeId(0), 3), index: 0, count: 1, by_keys: false });
        assert!(slices.build(NodeId(7), slice).is_some());
        assert!(slices.build(NodeId(8), slice).is_none());
    }
}
