//! Runtime filters: a finished build side tells the scans of the probe side which keys can match.
//!
//! The table is built in the prologue of the stage that probes it, so a filter reaches the scans of
//! that stage. It goes down through nodes that pass the key on unchanged and where rows that are
//! missing below are only missing above.

use firesteel_catalog::{ScanRequest, TableRef};
use firesteel_common::FilterId;
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{AggregateMode, HashJoin, JoinKind, PhysicalOp, PhysicalPlan, Side, Statistics};

use super::{Described, Lowering};
use crate::rule::OptimizerContext;
use crate::util::value_column;

/// A filter that is expected to let a greater part of the rows pass is not worth its cost.
pub(super) const WORTHWHILE: f64 = 0.7;

/// Name of the rule for filters on partition columns, which leave out whole files.
pub(crate) const DYNAMIC_PRUNING: &str = "PlanDynamicPruningFilters";

/// The positions among the filter columns of a scan that are partition columns.
fn partition_columns(table: &TableRef, request: &ScanRequest, cx: &OptimizerContext<'_>) -> Vec<usize> {
    let Some(stats) = cx.tables.statistics(table) else { return Vec::new() };
    let is_partition = |position: &usize| {
        let column = request.filter_columns.get(*position).and_then(|(_, source)| stats.columns.get(*source));
        column.is_some_and(|column| column.is_partition)
    };
    (0..request.filter_columns.len()).filter(is_partition).collect()
}

/// The partition columns that a scan is filtered by while it runs.
pub(crate) fn filters_partitions(table: &TableRef, request: &ScanRequest, cx: &OptimizerContext<'_>) -> Vec<ColumnRef> {
    let columns = partition_columns(table, request, cx);
    let filtered = request.runtime_filters.iter().filter(|(_, position)| columns.contains(position));
    filtered.filter_map(|(_, position)| Some(request.filter_columns.get(*position)?.0.clone())).collect()
}

/// The plan without filters on partition columns.
pub(super) fn keep_partitions(plan: PhysicalPlan, cx: &OptimizerContext<'_>) -> PhysicalPlan {
    plan.transform_up(&mut |mut node| {
        if let PhysicalOp::Scan { table, request } = &mut node.op {
            let columns = partition_columns(table, request, cx);
            request.runtime_filters.retain(|(_, position)| !columns.contains(position));
        }
        node
    })
}

/// What a filter is expected to do.
#[derive(Clone, Copy)]
struct Expected {
    /// Keys of the build side.
    build: f64,
    /// Distinct keys of the probe side, if known; else the rows of the scan are compared.
    probe: Option<f64>,
}

impl Lowering<'_> {
    /// The join with the filters that it publishes, and the scans below with those that they take.
    pub(super) fn with_filters(&mut self, logical: &Described<'_>, mut plan: PhysicalPlan) -> PhysicalPlan {
        let PhysicalOp::HashJoin(join) = &mut plan.op else { return plan };
        if !drops_unmatched_probe(join) {
            return plan;
        }
        let probe = join.build.other();
        let (Some(build_logical), Some(probe_logical)) =
            (logical.inputs.get(join.build.index()), logical.inputs.get(probe.index()))
        else {
            return plan;
        };
        let build_rows = plan.inputs.get(join.build.index()).map_or(0.0, |build| build.estimate.rows);
        let (build_stats, probe_stats) = (&build_logical.stats, &probe_logical.stats);
        let distinct = |stats: &Statistics, expr: &Expr| stats.columns.get(&value_column(expr)?.id)?.distinct;
        for (i, key) in join.on.iter().enumerate() {
            let (build_key, probe_key) = match probe {
                Side::Left => (&key.right, &key.left),
                Side::Right => (&key.left, &key.right),
            };
            let (Some(column), false) = (value_column(probe_key), key.null_safe) else { continue };
            let Some(input) = plan.inputs.get_mut(probe.index()) else { continue };
            let build = distinct(build_stats, build_key).map_or(build_rows, |d| d.min(build_rows));
            let expected = Expected { build, probe: distinct(probe_stats, probe_key) };
            let id = FilterId(self.next_filter);
            if attach(input, column, id, expected) {
                self.next_filter += 1;
                join.filters.push((id, i));
            }
        }
        plan
    }
}

/// Whether a probe row without a partner leaves no trace in the output.
pub(super) fn drops_unmatched_probe(join: &HashJoin) -> bool {
    if join.null_aware {
        return false;
    }
    match join.kind {
        JoinKind::Inner => true,
        JoinKind::Full | JoinKind::Mark(_) => false,
        JoinKind::Right => join.build == Side::Right,
        JoinKind::LeftSemi => true,
        JoinKind::Left | JoinKind::LeftAnti | JoinKind::LeftSingle(_) => join.build == Side::Left,
    }
}

/// Hands the filter to the scans that `column` comes from; returns whether there is one.
fn attach(plan: &mut PhysicalPlan, column: &ColumnRef, id: FilterId, expected: Expected) -> bool {
    let same = |c: &ColumnRef| c.id == column.id;
    match &mut plan.op {
        PhysicalOp::Scan { request, .. } => {
            // Rows that a limit counts must not go missing.
            let all = expected.probe.unwrap_or(plan.estimate.rows);
            if request.limit.is_some() || expected.build > WORTHWHILE * all {
                return false;
            }
            take(request, column, id)
        }
        PhysicalOp::Filter { .. } => below(plan, 0, column, id, expected),
        PhysicalOp::Project { exprs } => {
            let Some(position) = plan.output.iter().position(same) else { return false };
            match exprs.get(position).and_then(Expr::as_column).cloned() {
                Some(source) => below(plan, 0, &source, id, expected),
                None => false,
            }
        }
        PhysicalOp::HashAggregate(aggregate) if aggregate.mode != AggregateMode::Final => {
            let Some(position) = plan.output.iter().position(same) else { return false };
            match aggregate.keys.get(position).and_then(Expr::as_column).cloned() {
                Some(source) => below(plan, 0, &source, id, expected),
                None => false,
            }
        }
        PhysicalOp::HashJoin(HashJoin { kind, build, .. }) | PhysicalOp::NestedLoopJoin { kind, build, .. } => {
            let probe = build.other();
            let passes = match kind {
                JoinKind::Inner => true,
                JoinKind::Full => false,
                JoinKind::Right => probe == Side::Right,
                _ => probe == Side::Left,
            };
            passes && below(plan, probe.index(), column, id, expected)
        }
        PhysicalOp::Union => {
            let Some(position) = plan.output.iter().position(same) else { return false };
            let mut any = false;
            for input in &mut plan.inputs {
                if let Some(source) = input.output.get(position).cloned() {
                    any |= attach(input, &source, id, expected);
                }
            }
            any
        }
        _ => false,
    }
}

/// Makes the scan apply the filter to `column`; returns whether it has that column.
pub(super) fn take(request: &mut ScanRequest, column: &ColumnRef, id: FilterId) -> bool {
    let same = |c: &ColumnRef| c.id == column.id;
    let Some((_, source)) = request.columns.iter().find(|(c, _)| same(c)).cloned() else { return false };
    let known = request.filter_columns.iter().position(|(c, _)| same(c));
    let position = known.unwrap_or_else(|| {
        request.filter_columns.push((column.clone(), source));
        request.filter_columns.len() - 1
    });
    if !request.runtime_filters.contains(&(id, position)) {
        request.runtime_filters.push((id, position));
    }
    true
}

fn below(plan: &mut PhysicalPlan, input: usize, column: &ColumnRef, id: FilterId, expected: Expected) -> bool {
    plan.inputs.get_mut(input).is_some_and(|input| attach(input, column, id, expected))
}
