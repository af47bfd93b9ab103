//! Exchanges that would write the same rows (Spark: `ReuseExchange`).
//!
//! Two exchanges are the same if their plans are equal once nodes, columns, filters and exchanges to
//! come are numbered in the order in which they appear. Parts that have started are reads of the same
//! exchange then, so whole subtrees stay equal while they run from the leaves up.
//!
//! Invariant: what is not deterministic, or what this module does not know how to number, has no twin.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, ExchangeId, FilterId, NodeId};
use firesteel_expr::{AggregateCall, ColumnRef, Expr, SortKey};
use firesteel_plan::{Distribution, Estimate, JoinKind, PhysicalOp, PhysicalPlan};

use crate::rule::OptimizerContext;
use crate::util::is_deterministic;

/// Name for `spark.sql.adaptive.optimizer.excludedRules`.
pub(crate) const RULE: &str = "ReuseExchange";

/// Exchanges of `root` that are to be written once, each group in plan order.
pub(super) fn twins(root: &PhysicalPlan, cx: &OptimizerContext<'_>) -> Vec<Vec<ExchangeId>> {
    if cx.config.is_excluded_adaptively(RULE) {
        return Vec::new();
    }
    let mut by_shape: BTreeMap<Vec<u64>, Vec<(ExchangeId, &PhysicalPlan)>> = BTreeMap::new();
    root.visit(&mut |node| {
        if let PhysicalOp::Exchange(exchange) = &node.op
            && exchange.distribution != Distribution::Any
        {
            by_shape.entry(shape(node)).or_default().push((exchange.id, node));
        }
    });
    let mut groups = Vec::new();
    for alike in by_shape.into_values().filter(|alike| alike.len() > 1) {
        let mut found: Vec<(PhysicalPlan, Vec<ExchangeId>)> = Vec::new();
        for (id, node) in alike {
            let Some(plan) = Canonical::new(cx).plan(node.clone()) else { continue };
            match found.iter_mut().find(|(other, _)| *other == plan) {
                Some((_, ids)) => ids.push(id),
                None => found.push((plan, vec![id])),
            }
        }
        groups.extend(found.into_iter().map(|(_, ids)| ids).filter(|ids| ids.len() > 1));
    }
    groups
}

/// Equal for equal plans, and cheap: leaves and numbers of columns.
fn shape(plan: &PhysicalPlan) -> Vec<u64> {
    let mut shape = Vec::new();
    plan.visit(&mut |node| {
        let leaf = match &node.op {
            PhysicalOp::Scan { table, .. } => table.id.0 + 1,
            PhysicalOp::ExchangeRead { exchange, .. } => u64::from(exchange.0) + 1,
            _ => 0,
        };
        shape.extend([leaf, node.output.len() as u64]);
    });
    shape
}

/// Numbers what is numbered in one plan.
struct Canonical<'a> {
    cx: &'a OptimizerContext<'a>,
    columns: BTreeMap<ColumnId, ColumnId>,
    filters: BTreeMap<FilterId, FilterId>,
}

impl<'a> Canonical<'a> {
    fn new(cx: &'a OptimizerContext<'a>) -> Self {
        Self { cx, columns: BTreeMap::new(), filters: BTreeMap::new() }
    }

    /// The plan with canonical numbers, inputs first.
    fn plan(&mut self, mut plan: PhysicalPlan) -> Option<PhysicalPlan> {
        plan.inputs = plan.inputs.into_iter().map(|input| self.plan(input)).collect::<Option<_>>()?;
        self.op(&mut plan.op)?;
        plan.output.iter_mut().for_each(|column| self.column(column));
        (plan.id, plan.origin, plan.estimate) = (NodeId(0), NodeId(0), Estimate::default());
        Some(plan)
    }

    fn op(&mut self, op: &mut PhysicalOp) -> Option<()> {
        match op {
            PhysicalOp::Scan { request, .. } => {
                let columns = request.columns.iter_mut().chain(&mut request.filter_columns);
                columns.for_each(|(column, _)| self.column(column));
                request.runtime_filters.iter_mut().for_each(|(id, _)| self.filter(id));
                self.exprs(&mut request.filters)
            }
            PhysicalOp::Filter { predicate } => self.expr(predicate),
            PhysicalOp::Project { exprs } => self.exprs(exprs),
            PhysicalOp::Expand { projections } => projections.iter_mut().try_for_each(|exprs| self.exprs(exprs)),
            PhysicalOp::HashAggregate(aggregate) => {
                self.exprs(&mut aggregate.keys)?;
                aggregate.aggregates.iter_mut().try_for_each(|call| self.call(call))
            }
            PhysicalOp::HashJoin(join) => {
                if matches!(join.kind, JoinKind::Mark(_)) {
                    return None;
                }
                for key in &mut join.on {
                    self.expr(&mut key.left)?;
                    self.expr(&mut key.right)?;
                }
                join.filters.iter_mut().for_each(|(id, _)| self.filter(id));
                join.residual.as_mut().map_or(Some(()), |residual| self.expr(residual))
            }
            PhysicalOp::Sort { keys } | PhysicalOp::TopK { keys, .. } => self.sort_keys(keys),
            PhysicalOp::Limit { .. }
            | PhysicalOp::Coalesce { .. }
            | PhysicalOp::Union
            | PhysicalOp::ExchangeRead { .. } => Some(()),
            PhysicalOp::Exchange(exchange) => {
                exchange.id = ExchangeId(0);
                match &mut exchange.distribution {
                    Distribution::Hash { keys, .. } => self.exprs(keys),
                    Distribution::Range { keys, .. } => self.sort_keys(keys),
                    _ => Some(()),
                }
            }
            PhysicalOp::Values { .. } | PhysicalOp::NestedLoopJoin { .. } | PhysicalOp::Window { .. } => None,
        }
    }

    fn call(&mut self, call: &mut AggregateCall) -> Option<()> {
        self.exprs(&mut call.args)?;
        call.filter.as_mut().map_or(Some(()), |filter| self.expr(filter))
    }

    fn sort_keys(&mut self, keys: &mut [SortKey]) -> Option<()> {
        keys.iter_mut().try_for_each(|key| self.expr(&mut key.expr))
    }

    fn exprs(&mut self, exprs: &mut [Expr]) -> Option<()> {
        exprs.iter_mut().try_for_each(|expr| self.expr(expr))
    }

    fn expr(&mut self, expr: &mut Expr) -> Option<()> {
        if !is_deterministic(expr, self.cx) {
            return None;
        }
        *expr = expr.clone().transform(&mut |mut e| {
            if let Expr::Column(column) = &mut e {
                self.column(column);
            }
            e
        });
        Some(())
    }

    fn column(&mut self, column: &mut ColumnRef) {
        let next = ColumnId(self.columns.len() as u32);
        column.id = *self.columns.entry(column.id).or_insert(next);
    }

    fn filter(&mut self, id: &mut FilterId) {
        let next = FilterId(self.filters.len() as u32);
        *id = *self.filters.entry(*id).or_insert(next);
    }
}
