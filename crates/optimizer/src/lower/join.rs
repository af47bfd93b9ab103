//! Joins: which side is kept, who sees it, and where rows must move.
//!
//! A side that is kept is always read from an exchange, so it is a stage of its own and its size is
//! known before the other side is touched. A shared table costs no copy; it is chosen up to the
//! broadcast limit. Above it both sides are partitioned by the keys.

use std::collections::BTreeMap;

use firesteel_common::config::ExchangeMode;
use firesteel_common::{Config, Error, ExchangeStats, Result};
use firesteel_expr::Expr;
use firesteel_plan::{
    BuildMode, Distribution, Estimate, ExchangeOrigin, HashJoin, JoinKey, JoinKind, LogicalOp, PhysicalOp,
    PhysicalPlan, ReadMode, Side,
};

use super::hint::{self, Asked};
use super::partitioning::{HashPart, Lowered, Part, read_partitioned};
use super::{Described, Lowering, STILL_TO_COME};
use crate::adversary::Adversary;
use crate::stage_rules::is_overloaded;

/// Bytes that a side must be smaller by for each reason not to build it.
mod factor {
    /// Rows without a match must be found at the end.
    pub(super) const UNMATCHED: f64 = 1.5;
    /// The other side only decides; its rows need not be kept apart.
    pub(super) const EXISTENCE: f64 = 4.0;
    /// The other side has been written already, this one would be written first.
    pub(super) const NOT_WRITTEN: f64 = 2.0;
}

/// Name for `spark.sql.adaptive.optimizer.excludedRules`.
pub(crate) const DEMOTE: &str = "DemoteBroadcastHashJoin";

/// By the text of their keys: joins whose strategy is settled, with the keys of the side that is kept.
pub(crate) type SettledJoins = BTreeMap<String, (BuildMode, String)>;

/// The parts of [`LogicalOp::Join`].
pub(super) struct Parts<'a> {
    pub(super) kind: &'a JoinKind,
    pub(super) on: &'a [JoinKey],
    pub(super) residual: Option<&'a Expr>,
    pub(super) null_aware: bool,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, plan: &Described<'_>, mut inputs: Vec<Lowered>) -> Result<Lowered> {
        let LogicalOp::Join { kind, on, residual, null_aware, hint } = &plan.plan.op else {
            return Err(Error::internal("not a join"));
        };
        let parts = Parts { kind, on, residual: residual.as_ref(), null_aware: *null_aware };
        let (Some(right), Some(left), [left_plan, right_plan]) = (inputs.pop(), inputs.pop(), plan.inputs.as_slice())
        else {
            return Err(Error::internal("a join has the wrong number of inputs"));
        };
        let written = |side: &Described<'_>| self.pinned_stats(side.plan).is_some();
        let written = [written(left_plan), written(right_plan)];
        let outgrown = [left_plan, right_plan].map(|side| self.outgrown(side.plan).is_some());
        let sizes = [left.plan.estimate, right.plan.estimate];
        let (strategy, asked) = hint::asked(&parts, *hint, sizes).unzip();
        if on.is_empty() || asked == Some(Asked::Pairs) {
            return Ok(self.nested_loop_join(plan, &parts, asked, left, right));
        }
        let settled = if *null_aware { None } else { self.settled(on) };
        let build = match (asked, settled) {
            (Some(Asked::Shared(build) | Asked::Partitioned(Some(build))), _) | (_, Some((_, build))) => build,
            _ => self.build_side(&parts, sizes, written),
        };
        let mut demoted = None;
        let may_share = match (asked, settled) {
            (Some(asked), _) => matches!(asked, Asked::Shared(_)),
            (None, Some((mode, _))) => mode == BuildMode::Shared,
            (None, None) => {
                let may_share = !outgrown[build.index()] && may_be_shared(&sizes[build.index()], self.cx.config);
                demoted = self.demoted(&parts, build, [&left, &right]).filter(|_| may_share);
                may_share && demoted.is_none()
            }
        };
        let join = HashJoin { hint: strategy, ..hash_join(&parts, build) };
        if *null_aware || may_share {
            return Ok(self.shared_join(plan, &parts, join, left, right));
        }
        let joined = self.partitioned_join(plan, &parts, join, outgrown[build.index()], left, right)?;
        self.demoted.extend(demoted.map(|because| (joined.plan.id, because)));
        Ok(joined)
    }

    /// What was settled before of the join on these keys.
    fn settled(&self, on: &[JoinKey]) -> Option<(BuildMode, Side)> {
        if self.settled.is_empty() {
            return None;
        }
        let (sides, both) = HashJoin::key_texts(on);
        let (mode, build) = self.settled.get(&both)?;
        Some((*mode, if sides[0] == *build { Side::Left } else { Side::Right }))
    }

    /// The side with less to keep, with a bias against what makes a side dearer than its bytes.
    fn build_side(&self, join: &Parts<'_>, sizes: [Estimate; 2], written: [bool; 2]) -> Side {
        if join.null_aware {
            return Side::Right;
        }
        if let Some(adversary) = Adversary::of(self.cx.config) {
            return [Side::Left, Side::Right]
                [adversary.below(&format!("build {}", HashJoin::key_texts(join.on).1), 2) as usize];
        }
        let (mut left, mut right) = (sizes[0].bytes, sizes[1].bytes);
        match join.kind {
            JoinKind::Inner | JoinKind::Full => {}
            JoinKind::Left => left *= factor::UNMATCHED,
            JoinKind::Right => right *= factor::UNMATCHED,
            _ => left *= factor::EXISTENCE,
        }
        if !self.cx.config.force_adaptive {
            match written {
                [true, false] => right *= factor::NOT_WRITTEN,
                [false, true] => left *= factor::NOT_WRITTEN,
                _ => {}
            }
        }
        if left < right { Side::Left } else { Side::Right }
    }

    /// Why a join of sides that are partitioned already stays so: one of them has rows in few partitions, and of the
    /// others nothing needs to be read (Spark: `DemoteBroadcastHashJoin`).
    fn demoted(&self, join: &Parts<'_>, build: Side, sides: [&Lowered; 2]) -> Option<String> {
        let config = self.cx.config;
        if !config.adaptive || join.null_aware || config.is_excluded_adaptively(DEMOTE) {
            return None;
        }
        let exprs = |of: fn(&JoinKey) -> &Expr| join.on.iter().map(|key| of(key).clone()).collect::<Vec<_>>();
        let keys = [exprs(|key| &key.left), exprs(|key| &key.right)];
        let partitioned = |side: usize| {
            let PhysicalOp::ExchangeRead { exchange, .. } = sides[side].plan.op else { return None };
            let hash = sides[side].part.hash()?;
            let stats = self.started.get(&exchange)?.stats.as_ref()?;
            Some((hash.positions(&keys[side])?, hash.partitions, stats))
        };
        let (Some(left), Some(right)) = (partitioned(0), partitioned(1)) else { return None };
        if (&left.0, left.1) != (&right.0, right.1) {
            return None;
        }
        // Rows without a partner must be read from all partitions of the side that keeps them.
        let of_other = matches!(join.kind, JoinKind::Left | JoinKind::Right | JoinKind::LeftAnti);
        let side = if of_other { build.other() } else { build };
        let stats: &ExchangeStats = [left.2, right.2][side.index()];
        let (all, filled) = (stats.rows.len(), stats.rows.iter().filter(|rows| **rows > 0).count());
        let few = filled > 0 && (filled as f64) < config.broadcast_non_empty_ratio * all as f64;
        few.then(|| {
            let keys = HashJoin::key_texts(join.on).1;
            format!("the join on {keys} stays partitioned: {filled} of {all} partitions of a side have rows")
        })
    }

    fn shared_join(
        &mut self,
        plan: &Described<'_>,
        join: &Parts<'_>,
        hash_join: HashJoin,
        left: Lowered,
        right: Lowered,
    ) -> Lowered {
        let build = hash_join.build;
        let (build_plan, probe) = self.with_shared(build, left, right);
        let part = if returns_unmatched(join.kind, build) { probe.part.forget_keys() } else { probe.part };
        let part = part.map_keys(|hash| join_keys(hash, join, build.other()));
        let op = PhysicalOp::HashJoin(hash_join);
        let inputs = in_order(build, build_plan, probe.plan);
        Lowered { plan: self.with_filters(plan, self.node(plan, op, inputs)), part }
    }

    fn nested_loop_join(
        &mut self,
        plan: &Described<'_>,
        join: &Parts<'_>,
        asked: Option<Asked>,
        left: Lowered,
        right: Lowered,
    ) -> Lowered {
        let build = match join.kind {
            JoinKind::Inner if asked == Some(Asked::Shared(Side::Left)) => Side::Left,
            JoinKind::Inner if asked == Some(Asked::Shared(Side::Right)) => Side::Right,
            JoinKind::Inner if left.plan.estimate.bytes < right.plan.estimate.bytes => Side::Left,
            JoinKind::Right => Side::Left,
            _ => Side::Right,
        };
        let (build_plan, probe) = self.with_shared(build, left, right);
        let part = if returns_unmatched(join.kind, build) { probe.part.forget_keys() } else { probe.part };
        let op = PhysicalOp::NestedLoopJoin { kind: join.kind.clone(), condition: hint::condition(join), build };
        let inputs = in_order(build, build_plan, probe.plan);
        Lowered { plan: self.node(plan, op, inputs), part }
    }

    /// The build side as an exchange that all tasks see, and the other side as it is.
    fn with_shared(&mut self, build: Side, left: Lowered, right: Lowered) -> (PhysicalPlan, Lowered) {
        let (build, probe) = match build {
            Side::Left => (left, right),
            Side::Right => (right, left),
        };
        if let PhysicalOp::ExchangeRead { exchange, .. } = build.plan.op {
            let op = PhysicalOp::ExchangeRead { exchange, read: ReadMode::Shared };
            return (PhysicalPlan { op, ..build.plan }, probe);
        }
        (self.exchange(build, Distribution::Broadcast, ExchangeOrigin::Planner), probe)
    }

    fn partitioned_join(
        &mut self,
        plan: &Described<'_>,
        join: &Parts<'_>,
        hash_join: HashJoin,
        outgrown: bool,
        left: Lowered,
        right: Lowered,
    ) -> Result<Lowered> {
        let build = hash_join.build;
        let mut lefts: Vec<Expr> = join.on.iter().map(|key| key.left.clone()).collect();
        let mut rights: Vec<Expr> = join.on.iter().map(|key| key.right.clone()).collect();
        let bytes = left.plan.estimate.bytes.max(right.plan.estimate.bytes);
        let kept = [&left, &right][build.index()].plan.estimate;
        let expected = if outgrown { STILL_TO_COME } else { 1.0 };
        let kept = Estimate { rows: kept.rows * expected, bytes: kept.bytes * expected, ..kept };
        let mut partitions = self.partitions_for(bytes).max(self.partitions_to_hold(&kept));
        // A side that is partitioned already, by some of the keys, settles keys and number for both;
        // of two such sides, the larger one.
        let left_first = left.plan.estimate.bytes >= right.plan.estimate.bytes;
        let of = |side: &Lowered, exprs: &[Expr]| {
            let hash = side.part.hash()?;
            hash.positions(exprs).map(|positions| (positions, hash.partitions))
        };
        let (from_left, from_right) = (of(&left, &lefts), of(&right, &rights));
        let settled = if left_first { from_left.or(from_right) } else { from_right.or(from_left) };
        if let Some((positions, count)) = settled {
            partitions = count;
            lefts = positions.iter().map(|i| lefts[*i].clone()).collect();
            rights = positions.iter().map(|i| rights[*i].clone()).collect();
        }
        let left = self.partitioned(build == Side::Left, left, lefts, partitions);
        let right = self.partitioned(build == Side::Right, right, rights, partitions);

        let (Part::Partitioned(left_hash), Part::Partitioned(right_hash)) = (left.part, right.part) else {
            return Err(Error::internal("a side of a partitioned join has no partitions"));
        };
        let hash = match join.kind {
            JoinKind::Full => HashPart::unknown(partitions),
            JoinKind::Right => right_hash,
            JoinKind::Inner => {
                let mut hash = left_hash;
                join_keys(&mut hash, join, Side::Left);
                hash
            }
            _ => left_hash,
        };
        let op = PhysicalOp::HashJoin(HashJoin { mode: BuildMode::Partitioned, ..hash_join });
        let inputs = vec![left.plan, right.plan];
        let joined = self.with_filters(plan, self.node(plan, op, inputs));
        let hash = HashPart { overloaded: is_overloaded(&joined, self.started, self.cx), ..hash };
        Ok(Lowered { plan: joined, part: Part::Partitioned(hash) })
    }

    /// A side partitioned by exactly `keys`. A build side must be an exchange; the other one may be a
    /// plan over partitions.
    fn partitioned(&mut self, is_build: bool, input: Lowered, keys: Vec<Expr>, partitions: u32) -> Lowered {
        let is_exchange = matches!(input.plan.op, PhysicalOp::ExchangeRead { .. } | PhysicalOp::Exchange(_));
        let fits = |hash: &HashPart| {
            // Position by position: one expression may be a key twice.
            let same_keys = hash.keys.len() == keys.len() && hash.keys.iter().zip(&keys).all(|(h, k)| h.contains(k));
            hash.partitions == partitions && same_keys
        };
        match input.part.hash() {
            Some(hash) if fits(hash) && (is_exchange || !is_build) => {
                let part = Part::Partitioned(hash.clone());
                Lowered { plan: read_partitioned(input.plan), part }
            }
            _ => self.hash(input, keys, partitions),
        }
    }
}

/// Whether all workers may share a table of so many rows.
pub(crate) fn may_be_shared(build: &Estimate, config: &Config) -> bool {
    let limit = config.broadcast_limit(build.exact);
    // Small rows have large tables: a side within the limit may have one that the memory does not hold.
    let fits = build.table_bytes() <= config.memory_limit as f64 / 2.0;
    config.exchange_mode == ExchangeMode::Auto && limit > 0 && build.bytes <= limit as f64 && fits
}

/// The join of two inputs with a shared table of one of them.
fn hash_join(join: &Parts<'_>, build: Side) -> HashJoin {
    HashJoin {
        kind: join.kind.clone(),
        on: join.on.to_vec(),
        residual: join.residual.cloned(),
        null_aware: join.null_aware,
        build,
        mode: BuildMode::Shared,
        hint: None,
        filters: Vec::new(),
    }
}

/// Whether build rows without a match are returned, which the last task of the stage does.
pub(super) fn returns_unmatched(kind: &JoinKind, build: Side) -> bool {
    match kind {
        JoinKind::Inner => false,
        JoinKind::Full => true,
        JoinKind::Right => build == Side::Right,
        _ => build == Side::Left,
    }
}

/// After an inner join, a key of the probe side has the value of its partner too.
fn join_keys(hash: &mut HashPart, join: &Parts<'_>, probe: Side) {
    if *join.kind != JoinKind::Inner {
        return;
    }
    for key in join.on {
        let (own, other) = match probe {
            Side::Left => (&key.left, &key.right),
            Side::Right => (&key.right, &key.left),
        };
        if let Some(column) = other.as_column() {
            hash.alias(own, column);
        }
    }
}

fn in_order(build: Side, build_plan: PhysicalPlan, probe: PhysicalPlan) -> Vec<PhysicalPlan> {
    match build {
        Side::Left => vec![build_plan, probe],
        Side::Right => vec![probe, build_plan],
    }
}
