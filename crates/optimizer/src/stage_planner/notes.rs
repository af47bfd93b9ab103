//! What changed between two plans, with the evidence.

use std::collections::BTreeMap;

use firesteel_common::{ExchangeId, NodeId, show};
use firesteel_plan::{BuildMode, Effect, Estimate, HashJoin, Note, PhysicalOp, PhysicalPlan};

use super::StagePlanner;
use crate::lower::SettledJoins;
use crate::rule::OptimizerContext;

/// Name of the choice of strategy and build side, for `spark.sql.adaptive.optimizer.excludedRules`.
pub(super) const JOIN_SELECTION: &str = "DynamicJoinSelection";

/// A join of a plan, comparable with the same join of another one.
#[derive(Clone, Debug)]
pub(super) struct JoinView {
    node: NodeId,
    /// What is compared, in an order that does not depend on which side is left.
    keys: String,
    /// The join above, by its keys.
    parent: Option<String>,
    mode: BuildMode,
    /// Which of `sides` is kept.
    build: usize,
    sides: [JoinSide; 2],
}

/// An input of a join.
#[derive(Clone, Debug)]
struct JoinSide {
    /// Its keys, which identify it when sides are swapped.
    keys: String,
    estimate: Estimate,
    reads: Vec<ExchangeId>,
}

/// The hash joins of a plan, parents first.
pub(super) fn joins(plan: &PhysicalPlan) -> Vec<JoinView> {
    let mut out = Vec::new();
    collect(plan, None, &mut out);
    out
}

fn collect(plan: &PhysicalPlan, parent: Option<&str>, out: &mut Vec<JoinView>) {
    let mut own = None;
    if let (PhysicalOp::HashJoin(join), [left, right]) = (&plan.op, plan.inputs.as_slice()) {
        let side = |plan: &PhysicalPlan, keys| JoinSide {
            keys,
            estimate: plan.estimate,
            reads: plan.reads().into_iter().map(|(id, _)| id).collect(),
        };
        let ([left_keys, right_keys], keys) = HashJoin::key_texts(&join.on);
        let (left, right) = (side(left, left_keys), side(right, right_keys));
        own = Some(keys.clone());
        out.push(JoinView {
            node: plan.id,
            keys,
            parent: parent.map(str::to_owned),
            mode: join.mode,
            build: join.build.index(),
            sides: [left, right],
        });
    }
    let parent = own.as_deref().or(parent);
    plan.inputs.iter().for_each(|input| collect(input, parent, out));
}

impl JoinView {
    fn build_side(&self) -> &JoinSide {
        &self.sides[self.build]
    }

    fn side(&self, keys: &str) -> Option<&JoinSide> {
        self.sides.iter().find(|side| side.keys == keys)
    }
}

impl StagePlanner {
    /// The joins that may not be changed, if none may.
    pub(super) fn settled_joins(&self, cx: &OptimizerContext<'_>) -> SettledJoins {
        if !cx.config.is_excluded_adaptively(JOIN_SELECTION) {
            return SettledJoins::new();
        }
        self.joins.iter().map(|join| (join.keys.clone(), (join.mode, join.build_side().keys.clone()))).collect()
    }

    /// Joins of a started stage are settled.
    pub(super) fn forget_joins(&mut self, stage: &PhysicalPlan) {
        let mut started = Vec::new();
        stage.visit(&mut |node| started.push(node.id));
        self.joins.retain(|join| !started.contains(&join.node));
    }

    /// Compares the joins of the new plan with those of the one before.
    pub(super) fn compare(&self, new: &[JoinView], ended: &[ExchangeId], cx: &OptimizerContext<'_>) -> Vec<Note> {
        let mut notes = Vec::new();
        let subject = stages_text(ended);
        let note = |rule, subject: &str, because: String| Note::new(self.version, rule, subject, because);
        let by_keys: BTreeMap<&str, &JoinView> = new.iter().map(|join| (join.keys.as_str(), join)).collect();
        for old in &self.joins {
            let Some(join) = by_keys.get(old.keys.as_str()) else { continue };
            let evidence: Vec<ExchangeId> =
                ended.iter().copied().filter(|id| join.sides.iter().any(|side| side.reads.contains(id))).collect();
            let subject = if evidence.is_empty() { subject.clone() } else { stages_text(&evidence) };
            let grows = |side: &JoinSide| side.reads.iter().any(|id| self.outgrown(*id).is_some());
            for (because, effect) in changes(old, join, &grows, cx) {
                let note = note(JOIN_SELECTION, &subject, because).effect(effect).nodes([join.node]);
                notes.push(join.sides.iter().fold(note, |note, side| {
                    let before = old.side(&side.keys).map(|side| side.estimate);
                    note.evidence(side.keys.clone(), before, Some(side.estimate))
                }));
            }
        }
        let gone: Vec<&JoinView> = self.joins.iter().filter(|j| !by_keys.contains_key(j.keys.as_str())).collect();
        let moved = self.joins.iter().any(|old| by_keys.get(old.keys.as_str()).is_some_and(|j| j.parent != old.parent));
        if new.len() < self.joins.len() {
            let empty: Vec<ExchangeId> = ended.iter().copied().filter(|id| self.is_empty(*id)).collect();
            for join in &gone {
                let (subject, why) = if empty.is_empty() {
                    (subject.clone(), "the rest of the plan does not need it")
                } else {
                    (stages_text(&empty), "a side returned no rows")
                };
                let because = format!("the join on {} was removed: {why}{}", join.keys, self.surprise(join));
                let effect = Effect::JoinRemoved { join: join.keys.clone() };
                let note = note("AQEPropagateEmptyRelation", &subject, because).effect(effect);
                notes.push(join.sides.iter().fold(note, |note, side| {
                    note.evidence(side.keys.clone(), Some(side.estimate), self.counted(&side.reads))
                }));
            }
        } else if !gone.is_empty() || moved {
            let order = |joins: &[JoinView]| joins.iter().rev().map(|j| j.keys.clone()).collect::<Vec<_>>();
            let (from, to) = (order(&self.joins), order(new));
            let because = format!("joins are now done in the order [{}], before [{}]", to.join("; "), from.join("; "));
            let note = note("CostBasedJoinReorder", &subject, because).nodes(new.iter().map(|join| join.node));
            let note = note.effect(Effect::JoinOrder { from, to });
            notes.push(
                ended.iter().fold(note, |note, id| note.evidence(format!("stage {id}"), None, self.counted(&[*id]))),
            );
        }
        notes
    }

    fn is_empty(&self, exchange: ExchangeId) -> bool {
        self.started.get(&exchange).and_then(|s| s.stats.as_ref()).is_some_and(|stats| stats.total_rows() == 0)
    }

    /// What was counted of the only exchange among `reads`.
    pub(super) fn counted(&self, reads: &[ExchangeId]) -> Option<Estimate> {
        let [id] = reads else { return None };
        let stats = self.started.get(id)?.stats.as_ref()?;
        Some(Estimate { rows: stats.total_rows() as f64, bytes: stats.total_bytes() as f64, exact: true })
    }

    /// What was expected of the sides of a join that is gone.
    fn surprise(&self, join: &JoinView) -> String {
        let sides: Vec<String> = join
            .sides
            .iter()
            .map(|side| format!("{} was estimated at {}", side.keys, size_text(&side.estimate)))
            .collect();
        format!(" ({})", sides.join(", "))
    }
}

/// What is different in `new`, in sentences and as data.
fn changes(
    old: &JoinView,
    new: &JoinView,
    grows: &dyn Fn(&JoinSide) -> bool,
    cx: &OptimizerContext<'_>,
) -> Vec<(String, Effect)> {
    let mut out = Vec::new();
    let evidence = |side: &JoinSide| {
        let before = old.side(&side.keys).map(|side| size_text(&side.estimate)).unwrap_or_default();
        let now = size_text(&side.estimate);
        match (before == now, side.estimate.exact) {
            _ if grows(side) => format!("{} was estimated at {before}, it has {now} so far", side.keys),
            (true, _) => format!("{} has about {now}", side.keys),
            (false, true) => format!("{} was estimated at {before}, it has {now}", side.keys),
            (false, false) => format!("{} was estimated at {before}, now at {now}", side.keys),
        }
    };
    let build = new.build_side();
    if old.mode != new.mode {
        let limit = show::bytes(cx.config.broadcast_limit(build.estimate.exact || grows(build)));
        let text = match new.mode {
            BuildMode::Shared => "BroadcastHashJoin instead of ShuffledHashJoin",
            BuildMode::Partitioned => "ShuffledHashJoin instead of BroadcastHashJoin",
        };
        let because = format!("{text} on {}: {} (limit {limit})", new.keys, evidence(build));
        out.push((because, Effect::JoinStrategy { join: new.keys.clone(), from: old.mode, to: new.mode }));
    }
    if old.build_side().keys != build.keys {
        let other = &new.sides[1 - new.build];
        let because = format!(
            "build side of the join on {} is now {}: {}; {}",
            new.keys,
            build.keys,
            evidence(build),
            evidence(other)
        );
        let (from, to) = (old.build_side().keys.clone(), build.keys.clone());
        out.push((because, Effect::BuildSide { join: new.keys.clone(), from, to }));
    }
    out
}

fn stages_text(exchanges: &[ExchangeId]) -> String {
    let names: Vec<String> = exchanges.iter().map(|id| format!("stage {id}")).collect();
    names.join(", ")
}

fn size_text(estimate: &Estimate) -> String {
    format!("{} rows ({})", show::count(estimate.rows.round() as u64), show::bytes(estimate.bytes as u64))
}
