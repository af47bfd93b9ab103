//! Pinned leaves: where they are put, and what is known of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firesteel_common::{ColumnId, Error, ExchangeId, NodeId, Result};
use firesteel_plan::{
    AggregateMode, ColumnEstimate, Distribution, LogicalOp, LogicalPlan, PhysicalOp, PhysicalPlan, Pinned, Statistics,
};

use super::StagePlanner;
use crate::rule::OptimizerContext;
use crate::statistics::estimate;

/// Rows that a pinned plan returns, and whether they are certain.
#[derive(Clone, Copy)]
struct Measured {
    rows: f64,
    exact: bool,
}

impl StagePlanner {
    /// Replaces the logical node `id` by what has been started of it.
    pub(super) fn pin(&mut self, id: NodeId, physical: PhysicalPlan, cx: &OptimizerContext<'_>) -> Result<()> {
        self.name_pin(id, cx);
        let mut physical = Some(physical);
        let plan = std::mem::replace(&mut self.logical, LogicalPlan::empty(id, Vec::new()));
        self.logical = replace(plan, id, &mut |node| {
            let physical = physical.take()?;
            let stats = estimate(node, cx);
            Some(Pinned { physical: Arc::new(physical), columns: node.columns(), stats, finished: false })
        });
        match physical {
            None => Ok(()),
            Some(_) => Err(Error::internal(format!("the started node {id} is not in the logical plan"))),
        }
    }

    /// Marks pins whose exchanges have finished, and gives them what was counted; others at least what was counted so
    /// far.
    pub(super) fn update_pins(&mut self, cx: &OptimizerContext<'_>) {
        let plan = std::mem::replace(&mut self.logical, LogicalPlan::empty(NodeId(0), Vec::new()));
        let values = distinct_values(&plan);
        self.logical = self.updated(plan, &values, cx);
    }

    /// Rows that a filter of another stage has taken away are not counted: the join that the filter is for will find a
    /// partner for every row that is left.
    fn set_matched(&self, pinned: &mut Pinned, values: &BTreeMap<ColumnId, f64>) {
        for stage in pinned.physical.reads().iter().filter_map(|(id, _)| self.stages.get(id.0 as usize)) {
            stage.plan.visit(&mut |node| {
                let PhysicalOp::Scan { request, .. } = &node.op else { return };
                for (filter, position) in &request.runtime_filters {
                    let column = request.filter_columns.get(*position).map(|(column, _)| column.id);
                    let source = stage.filters.iter().find(|source| source.id == *filter);
                    let key = source.and_then(|s| self.started.get(&s.exchange)?.columns.get(s.column));
                    if let (Some(column), Some(key)) = (column.and_then(|id| pinned.stats.columns.get_mut(&id)), key)
                        && let Some(count) = values.get(&key.id)
                    {
                        column.matched.push((key.id, *count));
                    }
                }
            });
        }
    }

    /// Gives nodes of subtrees that a rule has copied ids of their own: a pin is found by its id.
    pub(super) fn number_copies(&mut self, cx: &OptimizerContext<'_>) {
        let mut seen = BTreeSet::new();
        number_copies(&mut self.logical, &mut seen, cx);
    }

    fn updated(
        &self,
        mut plan: LogicalPlan,
        values: &BTreeMap<ColumnId, f64>,
        cx: &OptimizerContext<'_>,
    ) -> LogicalPlan {
        plan.inputs = plan.inputs.into_iter().map(|input| self.updated(input, values, cx)).collect();
        if let LogicalOp::Pinned(pinned) = &mut plan.op
            && !pinned.finished
            && pinned.physical.reads().iter().all(|(id, _)| self.ended.contains(id))
        {
            pinned.finished = true;
            if cx.config.adaptive
                && let Some(measured) = self.measure(&pinned.physical, pinned.stats.rows)
            {
                set_rows(&mut pinned.stats, measured);
                self.set_matched(pinned, values);
            }
        } else if let LogicalOp::Pinned(pinned) = &mut plan.op
            && let PhysicalOp::ExchangeRead { exchange, .. } = pinned.physical.op
            && let Some(so_far) = self.outgrown(exchange)
        {
            pinned.stats.rows = pinned.stats.rows.max(so_far.rows);
        }
        plan
    }

    /// What the counted rows of the exchange tell of the plan over it.
    fn measure(&self, plan: &PhysicalPlan, estimated: f64) -> Option<Measured> {
        let below = |i: usize| self.measure(plan.inputs.get(i)?, estimated);
        match &plan.op {
            PhysicalOp::ExchangeRead { exchange, .. } => {
                let stats = self.started.get(exchange)?.stats.as_ref()?;
                Some(Measured { rows: stats.total_rows() as f64, exact: true })
            }
            PhysicalOp::HashAggregate(aggregate) if aggregate.mode == AggregateMode::Final => {
                if aggregate.keys.is_empty() {
                    return Some(Measured { rows: 1.0, exact: true });
                }
                // Groups may be in several partial results: their number is a bound.
                let partial = below(0)?;
                let counted = plan.inputs.first().and_then(|read| self.distinct_keys(read, aggregate.keys.len()));
                let groups = counted.unwrap_or(estimated);
                let rows = groups.clamp(partial.rows.min(1.0), partial.rows);
                Some(Measured { rows, exact: partial.rows <= 1.0 })
            }
            PhysicalOp::TopK { limit, .. } => {
                let input = below(0)?;
                Some(Measured { rows: input.rows.min(*limit as f64), ..input })
            }
            PhysicalOp::Limit { skip, fetch } => {
                let input = below(0)?;
                let left = (input.rows - *skip as f64).max(0.0);
                Some(Measured { rows: fetch.map_or(left, |fetch| left.min(fetch as f64)), ..input })
            }
            _ => None,
        }
    }

    /// How many groups by so many keys are read, if the rows are partitioned by all of them: only then are groups counted.
    fn distinct_keys(&self, read: &PhysicalPlan, keys: usize) -> Option<f64> {
        let PhysicalOp::ExchangeRead { exchange, .. } = read.op else { return None };
        let started = self.started.get(&exchange)?;
        let Distribution::Hash { keys: by, .. } = &started.exchange.distribution else { return None };
        let counted = started.stats.as_ref()?.distinct_keys.filter(|_| by.len() == keys);
        counted.map(|keys| keys as f64)
    }

    /// Whether the exchange has finished.
    pub(super) fn is_finished(&self, exchange: ExchangeId) -> bool {
        self.ended.contains(&exchange)
    }
}

/// By column of what has started: how many values it has.
fn distinct_values(plan: &LogicalPlan) -> BTreeMap<ColumnId, f64> {
    let mut values = BTreeMap::new();
    plan.visit(&mut |node| {
        if let LogicalOp::Pinned(pinned) = &node.op {
            let count = |(id, c): (&ColumnId, &ColumnEstimate)| Some((*id, c.distinct?.min(pinned.stats.rows)));
            values.extend(pinned.stats.columns.iter().filter_map(count));
        }
    });
    values
}

fn number_copies(plan: &mut LogicalPlan, seen: &mut BTreeSet<NodeId>, cx: &OptimizerContext<'_>) {
    if !seen.insert(plan.id) {
        plan.id = cx.ids.node();
    }
    plan.inputs.iter_mut().for_each(|input| number_copies(input, seen, cx));
}

fn set_rows(stats: &mut Statistics, measured: Measured) {
    stats.rows = measured.rows;
    stats.exact = measured.exact;
    for column in stats.columns.values_mut() {
        column.distinct = column.distinct.map(|distinct| distinct.min(measured.rows));
    }
}

fn replace(mut plan: LogicalPlan, id: NodeId, pin: &mut dyn FnMut(&LogicalPlan) -> Option<Pinned>) -> LogicalPlan {
    if plan.id == id
        && let Some(pinned) = pin(&plan)
    {
        return LogicalPlan::leaf(id, LogicalOp::Pinned(pinned));
    }
    plan.inputs = plan.inputs.into_iter().map(|input| replace(input, id, pin)).collect();
    plan
}
