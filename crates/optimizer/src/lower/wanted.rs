//! Fewer hash keys than an aggregate asks for, where a consumer further up asks for no more.
//!
//! `count(DISTINCT b) … GROUP BY a` groups by `a, b` first, then by `a`. An exchange by `a` alone serves
//! both, if `a` has so many values that its partitions are even; an exchange by `a, b` serves the first
//! and needs another for the second. The same holds for a window over groups.

use firesteel_common::{ColumnId, NodeId};
use firesteel_expr::Expr;
use firesteel_plan::{LogicalOp, LogicalPlan, Statistics};

use crate::util::{ColumnMap, substitute};

/// Values per partition from which on partitions are expected to be even.
const VALUES_PER_PARTITION: f64 = 64.0;
/// So many partitions may come together in one.
const PARTITIONS_OF_NULLS: f64 = 4.0;

/// An aggregate below `plan` and those of its keys that are enough for `plan`, if some are not needed.
pub(super) fn wanted_by(plan: &LogicalPlan) -> Option<(NodeId, Vec<ColumnId>)> {
    let mut keys: Vec<Expr> = match &plan.op {
        LogicalOp::Aggregate { keys, .. } => keys.iter().map(|(_, key)| key.clone()).collect(),
        LogicalOp::Window { partition_by, .. } => partition_by.clone(),
        _ => return None,
    };
    let mut below = plan.inputs.first()?;
    loop {
        match &below.op {
            LogicalOp::Filter { .. } => {}
            LogicalOp::Project { exprs } => {
                let map: ColumnMap = exprs.iter().map(|(column, expr)| (column.id, expr.clone())).collect();
                keys = keys.into_iter().map(|key| substitute(key, &map)).collect();
            }
            LogicalOp::Aggregate { keys: inner, .. } => {
                let of_inner = |key: &Expr| {
                    let id = key.as_column()?.id;
                    inner.iter().any(|(column, _)| column.id == id).then_some(id)
                };
                let ids = keys.iter().map(of_inner).collect::<Option<Vec<_>>>()?;
                return (!ids.is_empty() && ids.len() < inner.len()).then_some((below.id, ids));
            }
            _ => return None,
        }
        below = below.inputs.first()?;
    }
}

/// Whether so many combinations of values of `columns` are expected that a hash of them spreads rows
/// evenly, and not too many rows without any value, which all have one hash.
pub(super) fn spreads_evenly(columns: &[ColumnId], stats: &Statistics, partitions: u32) -> bool {
    let Some(each) = columns.iter().map(|id| stats.columns.get(id)).collect::<Option<Vec<_>>>() else { return false };
    let nulls: f64 = each.iter().map(|column| column.null_fraction).product();
    let Some(distinct) = each.iter().map(|column| column.distinct).product::<Option<f64>>() else { return false };
    let partitions = f64::from(partitions);
    distinct.min(stats.rows) >= VALUES_PER_PARTITION * partitions && nulls <= PARTITIONS_OF_NULLS / partitions
}
