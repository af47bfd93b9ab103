//! What a run leaves for later ones: rows that were counted, by the name of what they are rows of; and the notes on what
//! it took from earlier ones.

use std::collections::BTreeSet;

use firesteel_common::{ExchangeId, NodeId, Result, show};
use firesteel_plan::{Effect, Estimate, LogicalOp, LogicalPlan, Note};

use super::{StagePlanner, Step};
use crate::fingerprint::fingerprint;
use crate::optimizer::Optimizer;
use crate::remembered::{Counted, Recall, Remembered, recall};
use crate::rule::OptimizerContext;
use crate::statistics::believed;

/// Name in notes.
const RULE: &str = "RememberCardinality";

impl StagePlanner {
    /// What was counted, for later runs. Empty unless the settings name a file for it.
    pub fn counted_rows(&self) -> &Remembered {
        &self.learned
    }

    /// Names what is about to be pinned at `id`.
    pub(super) fn name_pin(&mut self, id: NodeId, cx: &OptimizerContext<'_>) {
        if cx.config.history_path.is_empty() || !cx.config.adaptive {
            return;
        }
        let mut found = None;
        self.logical.visit(&mut |node| {
            if node.id == id {
                found = fingerprint(node, &self.names, cx);
            }
        });
        self.names.extend(found.map(|name| (id, name)));
    }

    /// Takes in what the finished pins have counted. What a filter of another stage has made smaller says
    /// nothing of the plan by itself.
    pub(super) fn learn(&mut self) {
        if self.names.is_empty() {
            return;
        }
        let mut learned = Vec::new();
        self.logical.visit(&mut |node| {
            if let (LogicalOp::Pinned(pinned), Some(name)) = (&node.op, self.names.get(&node.id))
                && pinned.finished
                && pinned.physical.reads().iter().all(|(id, _)| !self.is_filtered(*id))
            {
                learned.push((name.id(), Counted { files: name.files, rows: pinned.stats.rows }));
            }
        });
        self.learned.extend(learned);
    }

    /// Whether filters of other stages kept rows from an exchange, or from what it was made of.
    fn is_filtered(&self, exchange: ExchangeId) -> bool {
        self.stages.get(exchange.0 as usize).is_some_and(|stage| {
            !stage.filters.is_empty() || stage.plan.reads().iter().any(|(id, _)| self.is_filtered(*id))
        })
    }

    /// Plans with what earlier runs have counted, which was not known when joins were ordered, and notes what it was.
    pub(super) fn recall(&mut self, cx: &OptimizerContext<'_>, step: &mut Step) -> Result<()> {
        if cx.facts.remembered.is_empty() || !cx.config.adaptive {
            return Ok(());
        }
        recollect(&self.logical, cx, &mut BTreeSet::new(), &mut step.notes);
        if step.notes.iter().any(|note| note.effect == Effect::Remembered) {
            self.logical = Optimizer::every_step(self.logical.clone(), cx)?;
        }
        Ok(())
    }
}

fn recollect(plan: &LogicalPlan, cx: &OptimizerContext<'_>, seen: &mut BTreeSet<u64>, notes: &mut Vec<Note>) {
    if let Some((name, recall, tables)) = recall(plan, cx)
        && seen.insert(name)
    {
        let subject = tables.join(", ");
        let estimated = believed(plan, cx).rows;
        let [counted, without] = match recall {
            Recall::Rows(rows) => [rows, estimated].map(|rows| show::count(rows.round() as u64)),
            Recall::Stale => Default::default(),
        };
        match recall {
            Recall::Rows(_) if counted == without => {}
            Recall::Rows(rows) => {
                let because =
                    format!("an earlier run has counted {counted} rows; without that, {without} are estimated");
                let size = |rows| Some(Estimate { rows, ..Estimate::default() });
                let note = Note::new(0, RULE, subject.clone(), because).effect(Effect::Remembered);
                notes.push(note.evidence(subject, size(estimated), size(rows)));
            }
            Recall::Stale => {
                let because = "what an earlier run has counted is not used: files have changed since";
                notes.push(Note::new(0, RULE, subject, because));
            }
        }
    }
    plan.inputs.iter().for_each(|input| recollect(input, cx, seen, notes));
}
