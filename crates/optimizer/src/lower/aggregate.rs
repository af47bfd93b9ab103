//! Aggregates: in one step where all rows of a group are in one task already, else in two halves with
//! an exchange between.

use std::sync::Arc;

use firesteel_common::{Error, Result};
use firesteel_expr::{AggregateCall, ColumnRef, Expr, NamedAggregate};
use firesteel_plan::{AggregateMode, Distribution, ExchangeOrigin, HashAggregate, PhysicalOp, PhysicalPlan};

use super::partitioning::{HashPart, Lowered, Part, read_partitioned};
use super::wanted::spreads_evenly;
use super::{Described, Lowering};

impl Lowering<'_> {
    pub(super) fn aggregate(
        &mut self,
        plan: &Described<'_>,
        keys: &[(ColumnRef, Expr)],
        aggregates: &[NamedAggregate],
        input: Lowered,
    ) -> Result<Lowered> {
        let calls: Vec<AggregateCall> = aggregates.iter().map(|a| a.call.clone()).collect();
        if let Some(call) = calls.iter().find(|call| call.distinct) {
            return Err(Error::unsupported(format!("`{call}` together with these grouping sets")).at(call.span));
        }
        let exprs: Vec<Expr> = keys.iter().map(|(_, expr)| expr.clone()).collect();
        let op = |mode, keys| PhysicalOp::HashAggregate(HashAggregate { mode, keys, aggregates: calls.clone() });

        let input = self.single_if_small(input);
        if input.part == Part::One {
            let complete = self.node(plan, op(AggregateMode::Complete, exprs), vec![input.plan]);
            return Ok(Lowered { plan: complete, part: Part::One });
        }
        if let Some(mut hash) = input.part.hash().filter(|hash| hash.gathers(&exprs)).cloned() {
            keys.iter().for_each(|(column, expr)| hash.alias(expr, column));
            hash.restrict(&plan.columns);
            let below = read_partitioned(input.plan);
            let complete = self.node(plan, op(AggregateMode::Complete, exprs), vec![below]);
            return Ok(Lowered { plan: complete, part: Part::Partitioned(hash) });
        }

        let partial = self.node(plan, op(AggregateMode::Partial, exprs), vec![input.plan]);
        let states = self.state_columns(&calls)?;
        let output = keys.iter().map(|(column, _)| column.clone()).chain(states).collect();
        let partial = PhysicalPlan { output, ..partial };
        let key_columns: Vec<Expr> = keys.iter().map(|(column, _)| Expr::Column(column.clone())).collect();
        let distribution = if key_columns.is_empty() {
            Distribution::Single
        } else {
            let groups = self.estimate(plan);
            let partitions = self.partitions_for(partial.estimate.bytes).max(self.partitions_for_tables(&groups));
            Distribution::Hash { keys: self.exchange_keys(plan, &key_columns, partitions), partitions }
        };
        let part = HashPart::of(&distribution).map_or(Part::One, Part::Partitioned);
        let halves = Lowered { plan: partial, part: input.part };
        let exchange = self.exchange(halves, distribution, ExchangeOrigin::Planner);
        let last = self.node(plan, op(AggregateMode::Final, key_columns), vec![exchange]);
        Ok(Lowered { plan: last, part })
    }

    /// The keys to hash by: what a consumer above wants, if that spreads the groups.
    fn exchange_keys(&self, plan: &Described<'_>, keys: &[Expr], partitions: u32) -> Vec<Expr> {
        let Some(wanted) = self.wanted.get(&plan.plan.id) else { return keys.to_vec() };
        if !spreads_evenly(wanted, &plan.stats, partitions) {
            return keys.to_vec();
        }
        let is_wanted = |key: &&Expr| key.as_column().is_some_and(|column| wanted.contains(&column.id));
        keys.iter().filter(is_wanted).cloned().collect()
    }

    /// The columns that partial results consist of.
    fn state_columns(&self, calls: &[AggregateCall]) -> Result<Vec<ColumnRef>> {
        let mut columns = Vec::new();
        for call in calls {
            let function = self.cx.eval.registry.expect_aggregate(&call.function)?;
            let types: Vec<_> = call.args.iter().map(Expr::ty).collect();
            let state = function.bind(&types)?.state;
            let several = state.len() > 1;
            columns.extend(state.into_iter().enumerate().map(|(i, ty)| {
                let name: Arc<str> =
                    if several { format!("{}_{i}", call.function).into() } else { call.function.clone() };
                ColumnRef { id: self.cx.ids.column(), name, ty, nullable: true }
            }));
        }
        Ok(columns)
    }
}
