//! What the user asks of the places of rows: REPARTITION, REBALANCE, COALESCE and the like, and orders.
//!
//! A range exchange takes its bounds from a sample of what its input holds, so the input is an exchange
//! that has been written before: rows are moved twice, but nothing is computed twice.
//!
//! A full sort is done by one task: several that sort ranges of rows that are in memory already, read in order
//! by another, took 1.7 times its processor time, since all that is sorted must be held.

use firesteel_expr::SortKey;
use firesteel_plan::{Distribution, ExchangeOrigin, PhysicalOp, RepartitionKind};

use super::partitioning::{HashPart, Lowered, Part};
use super::{Described, Lowering};

/// As many first rows, if they are the larger part of all ([`LARGE_PART`]), are taken from a full sort. Those of each task
/// would be chosen again and again by comparing bytes, to leave few out.
const MANY_ROWS: u64 = 1 << 16;
/// The rows of the input for each wanted one, up to which a full sort is cheaper. Rows must be counted: a sort has to hold
/// all of them.
const LARGE_PART: f64 = 4.0;

impl Lowering<'_> {
    /// A full sort needs all rows in one task; the first rows, if they are few, are chosen by each task before.
    pub(super) fn sort(
        &mut self,
        plan: &Described<'_>,
        keys: &[SortKey],
        fetch: Option<u64>,
        input: Lowered,
    ) -> Lowered {
        let estimate = &input.plan.estimate;
        let most = |limit: u64| limit >= MANY_ROWS && estimate.exact && estimate.rows <= LARGE_PART * limit as f64;
        let Some(limit) = fetch.filter(|limit| !most(*limit)) else {
            let input = self.single(input);
            let op = PhysicalOp::Sort { keys: keys.to_vec() };
            let sorted = Lowered { plan: self.node(plan, op, vec![input.plan]), part: Part::One };
            return match fetch {
                Some(_) => {
                    Lowered { plan: self.node(plan, PhysicalOp::Limit { skip: 0, fetch }, vec![sorted.plan]), ..sorted }
                }
                None => sorted,
            };
        };
        let top = || PhysicalOp::TopK { keys: keys.to_vec(), limit };
        let mut input = self.single_if_small(input);
        if input.part != Part::One {
            let first = Lowered { plan: self.node(plan, top(), vec![input.plan]), part: input.part };
            input = self.single(first);
        }
        Lowered { plan: self.node(plan, top(), vec![input.plan]), part: Part::One }
    }

    /// An exchange by ranges. Its input must be there to be sampled.
    fn ranges(&mut self, input: Lowered, keys: &[SortKey], partitions: u32, origin: ExchangeOrigin) -> Lowered {
        let written = matches!(input.plan.op, PhysicalOp::ExchangeRead { .. } | PhysicalOp::Exchange(_));
        let input = if written {
            input
        } else {
            let plan = self.exchange(input, Distribution::Single, ExchangeOrigin::Planner);
            Lowered { plan, part: Part::elastic() }
        };
        let distribution = Distribution::Range { keys: keys.to_vec(), partitions };
        let plan = self.exchange(Lowered { part: Part::elastic(), ..input }, distribution, origin);
        Lowered { plan, part: Part::Partitioned(HashPart::unknown(partitions)) }
    }

    /// SORT BY: each task orders the rows that it has.
    pub(super) fn sort_within(&mut self, plan: &Described<'_>, keys: &[SortKey], input: Lowered) -> Lowered {
        let op = PhysicalOp::Sort { keys: keys.to_vec() };
        Lowered { plan: self.node(plan, op, vec![input.plan]), part: input.part }
    }

    /// What the user asked for. Only a number that was given must be kept.
    pub(super) fn repartition(
        &mut self,
        plan: &Described<'_>,
        kind: &RepartitionKind,
        given: Option<u32>,
        input: Lowered,
    ) -> Lowered {
        let partitions = given.unwrap_or_else(|| self.partitions_for(input.plan.estimate.bytes)).max(1);
        let origin = match kind {
            RepartitionKind::Rebalance(_) => ExchangeOrigin::Rebalance,
            _ if given.is_some() => ExchangeOrigin::User,
            _ => ExchangeOrigin::UserColumns,
        };
        let mut moved = match kind {
            RepartitionKind::Coalesce => {
                if input.part == Part::One {
                    return input;
                }
                let op = PhysicalOp::Coalesce { tasks: partitions };
                return Lowered { plan: self.node(plan, op, vec![input.plan]), part: input.part };
            }
            RepartitionKind::Range(keys) => self.ranges(input, keys, partitions, origin),
            RepartitionKind::Hash(keys) | RepartitionKind::Rebalance(keys) if !keys.is_empty() => {
                let distribution = Distribution::Hash { keys: keys.clone(), partitions };
                let part = HashPart::of(&distribution).map_or(Part::One, Part::Partitioned);
                Lowered { plan: self.exchange(input, distribution, origin), part }
            }
            _ => {
                let plan = self.exchange(input, Distribution::RoundRobin { partitions }, origin);
                Lowered { plan, part: Part::Partitioned(HashPart::unknown(partitions)) }
            }
        };
        moved.plan.origin = plan.plan.id;
        moved
    }
}
