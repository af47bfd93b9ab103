//! The life of a plan: lower, cut what is ready into stages, pin what has started, and plan the rest
//! again when a stage has ended.
//!
//! Invariants: a pure function of the facts (no clock, no I/O), so a recorded run can be planned
//! again. What has started never changes: it is a pinned leaf of the logical plan, and a stage is
//! frozen when it is returned. An exchange and the stage that writes it have the same number.
//!
//! With adaptive execution off the same steps run; the sizes that were counted are not looked at.

mod cut;
mod memory;
mod notes;
mod outgrown;
mod pins;
mod readers;
mod urgency;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use firesteel_catalog::ColumnReaders;
use firesteel_common::{Error, ExchangeId, ExchangeStats, NodeId, Result, StageId};
use firesteel_expr::ColumnRef;
use firesteel_plan::{Effect, LogicalPlan, Note, PhysicalOp, PhysicalPlan, Stage};

use crate::adversary::Adversary;
use crate::fingerprint::Pins;
use crate::lower::{LoweredPlan, StartedExchange, lower};
use crate::optimizer::Optimizer;
use crate::remembered::Remembered;
use crate::rule::{OptimizerContext, PlanFacts};
use notes::JoinView;
pub use outgrown::outgrows;

/// What the stages have left so far.
pub trait Facts {
    /// Statistics of an exchange whose stage has started; complete if `finished`.
    fn exchange(&self, id: ExchangeId) -> Option<&ExchangeStats>;
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Stages to start, the most urgent first.
    pub start: Vec<Stage>,
    /// Running stages whose rows nobody needs any more.
    pub cancel: Vec<StageId>,
    /// Exchanges that nobody reads any more.
    pub release: Vec<ExchangeId>,
    /// How many scans that run or are still to run read each column, unless it is as it was.
    pub readers: Option<ColumnReaders>,
    /// What was decided, and why.
    pub notes: Vec<Note>,
    /// Whether the stage that writes the result has been started: there will be no further steps.
    pub done: bool,
}

/// Plans one query, step by step.
pub struct StagePlanner {
    /// What is left to do, with what has started as pinned leaves.
    logical: LogicalPlan,
    result: Vec<ColumnRef>,
    started: BTreeMap<ExchangeId, StartedExchange>,
    ended: BTreeSet<ExchangeId>,
    /// Cancelled stages and released exchanges.
    dropped: BTreeSet<ExchangeId>,
    stages: Vec<Stage>,
    done: bool,
    version: u32,
    next_filter: u32,
    initial: Option<PhysicalPlan>,
    latest: Option<PhysicalPlan>,
    /// Joins of the latest plan that have not started.
    joins: Vec<JoinView>,
    /// Exchanges for which a note says that they wait.
    held: BTreeSet<NodeId>,
    /// Names of what was pinned, by the id of the pinned node; only if rows are remembered.
    names: Pins,
    learned: Remembered,
    /// By read: how the rules changed it, for display.
    reads: BTreeMap<NodeId, &'static str>,
}

impl fmt::Debug for StagePlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagePlanner")
            .field("version", &self.version)
            .field("stages", &self.stages.len())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl StagePlanner {
    /// For a plan that [`Optimizer::once`] has been applied to, and the columns of the result in order.
    pub fn new(plan: LogicalPlan, result: Vec<ColumnRef>) -> Self {
        Self {
            logical: plan,
            result,
            started: BTreeMap::new(),
            ended: BTreeSet::new(),
            dropped: BTreeSet::new(),
            stages: Vec::new(),
            done: false,
            version: 0,
            next_filter: 0,
            initial: None,
            latest: None,
            joins: Vec::new(),
            held: BTreeSet::new(),
            names: Pins::new(),
            learned: Remembered::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Takes in what has ended and says what to start. To be called once at the beginning and whenever
    /// an exchange has finished, or has been found to be too large to be shared ([`outgrows`]).
    pub fn step(&mut self, facts: &dyn Facts, cx: &OptimizerContext<'_>) -> Result<Step> {
        if cx.facts.remembered.is_empty() {
            return self.tempted(facts, cx);
        }
        let known = PlanFacts { names: self.names.clone(), ..cx.facts.clone() };
        self.tempted(facts, &OptimizerContext { facts: &known, ..*cx })
    }

    /// A step with the settings of the adversary, if there is one.
    fn tempted(&mut self, facts: &dyn Facts, cx: &OptimizerContext<'_>) -> Result<Step> {
        match Adversary::of(cx.config) {
            None => self.planned(facts, cx),
            Some(adversary) => {
                let config = adversary.settings(self.stages.len() as u32, cx.config);
                self.planned(facts, &OptimizerContext { config: &config, ..*cx })
            }
        }
    }

    fn planned(&mut self, facts: &dyn Facts, cx: &OptimizerContext<'_>) -> Result<Step> {
        let mut step = Step { done: self.done, ..Step::default() };
        let ended = self.take_facts(facts);
        let outgrown = self.take_outgrown(facts, cx);
        let news = [ended, outgrown].concat();
        let first = self.initial.is_none();
        if self.done || !first && news.is_empty() {
            return Ok(step);
        }
        if !first {
            self.version += 1;
            self.update_pins(cx);
            self.learn();
            if cx.config.adaptive {
                self.logical = Optimizer::every_step(self.logical.clone(), cx)?;
            }
        }
        if first {
            self.recall(cx, &mut step)?;
        }
        self.number_copies(cx);
        let next = self.stages.len() as u32;
        let plan =
            lower(&self.logical, &self.result, &self.started, &self.settled_joins(cx), next, self.next_filter, cx)?;
        self.next_filter = plan.next_filter;
        let joins = notes::joins(&plan.root);
        if first {
            self.initial = Some(plan.root.clone());
        } else if cx.config.adaptive {
            step.notes = self.compare(&joins, &news, cx);
        }
        self.joins = joins;
        self.start_ready(&plan, cx, &mut step)?;
        self.drop_unread(&plan, &mut step);
        step.readers = Some(self.readers(&plan, &step));
        if step.start.is_empty() && !self.is_running() {
            return Err(Error::internal("nothing runs and no stage can be started"));
        }
        self.latest = Some(plan.root);
        step.done = self.done;
        Ok(step)
    }

    /// The complete plan as it was before anything ran. `None` before the first step.
    pub fn initial_plan(&self) -> Option<&PhysicalPlan> {
        self.initial.as_ref()
    }

    /// The complete plan as it is now: stages as they were started, beneath the reads of their exchanges
    /// (only here, reads have an input), and the latest plan for the rest. `None` before the first step.
    pub fn final_plan(&self) -> Option<PhysicalPlan> {
        if self.done
            && let Some(stage) = self.stages.last()
        {
            return Some(self.stage_plan(stage));
        }
        self.latest.clone().map(|plan| self.stitch(plan))
    }

    /// Whether the result has been started, so that the final plan is final.
    pub fn is_final(&self) -> bool {
        self.done
    }

    /// All stages that were started, by id.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How the adaptive rules changed a read of the final plan: `coalesced`, `skewed`, `local`.
    pub fn read_label(&self, node: NodeId) -> Option<&'static str> {
        self.reads.get(&node).copied()
    }

    /// The version of the plan, counted from 0.
    pub fn version(&self) -> u32 {
        self.version
    }

    fn is_running(&self) -> bool {
        self.started.keys().any(|id| !self.ended.contains(id) && !self.dropped.contains(id))
    }

    fn stage_plan(&self, stage: &Stage) -> PhysicalPlan {
        let plan = self.stitch(stage.plan.clone());
        PhysicalPlan {
            // The exchange has no counters of its own; the stage's root has them.
            id: NodeId(u32::MAX - stage.id.0),
            origin: plan.origin,
            output: plan.output.clone(),
            estimate: plan.estimate,
            op: PhysicalOp::Exchange(stage.output.clone()),
            inputs: vec![plan],
        }
    }

    fn stitch(&self, plan: PhysicalPlan) -> PhysicalPlan {
        plan.transform_up(&mut |mut node| {
            if let PhysicalOp::ExchangeRead { exchange, .. } = node.op
                && let Some(stage) = self.stages.get(exchange.0 as usize)
            {
                node.inputs = vec![self.stage_plan(stage)];
            }
            node
        })
    }

    /// Notes which exchanges have finished since the last step.
    fn take_facts(&mut self, facts: &dyn Facts) -> Vec<ExchangeId> {
        let mut ended = Vec::new();
        for (id, started) in &mut self.started {
            if started.stats.is_none()
                && !self.dropped.contains(id)
                && let Some(stats) = facts.exchange(*id).filter(|stats| stats.finished)
            {
                started.stats = Some(stats.clone());
                self.ended.insert(*id);
                ended.push(*id);
            }
        }
        ended
    }

    /// Cancels what runs and releases what is there, if neither the rest of the plan nor a running stage
    /// reads it.
    fn drop_unread(&mut self, plan: &LoweredPlan, step: &mut Step) {
        loop {
            let mut needed: BTreeSet<ExchangeId> = plan.root.reads().into_iter().map(|(id, _)| id).collect();
            for stage in &self.stages {
                let id = stage.output.id;
                let running = !self.ended.contains(&id) && !self.dropped.contains(&id);
                if running {
                    needed.extend(stage.plan.reads().into_iter().map(|(id, _)| id));
                    needed.extend(stage.filters.iter().map(|filter| filter.exchange));
                }
            }
            let fresh: BTreeSet<ExchangeId> = step.start.iter().map(|stage| stage.output.id).collect();
            let unread =
                |id: &&ExchangeId| !needed.contains(*id) && !fresh.contains(*id) && !self.dropped.contains(*id);
            let Some(id) = self.started.keys().find(unread).copied() else { return };
            self.dropped.insert(id);
            if self.ended.contains(&id) {
                step.release.push(id);
            } else {
                step.cancel.push(StageId(id.0));
                let because = "its rows are no longer needed by the plan";
                let note = Note::new(self.version, "CancelStage", format!("stage {id}"), because);
                step.notes.push(note.effect(Effect::StageCancelled(StageId(id.0))));
            }
        }
    }
}

#[cfg(test)]
mod exclusion_tests;
#[cfg(test)]
mod filter_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod hint_tests;
#[cfg(test)]
mod outgrown_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod redistribute_tests;
#[cfg(test)]
mod reuse_tests;
#[cfg(test)]
mod skew_tests;
#[cfg(test)]
mod spark_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod urgency_tests;
#[cfg(test)]
mod window_tests;
