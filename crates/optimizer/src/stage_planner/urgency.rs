//! Which of the stages that are ready runs first, when there are fewer workers than tasks.
//!
//! The one whose answer may change most: `uncertainty × rows`, where the rows are those that are expected in the part of
//! the plan that waits for it (results above it, and the other sides of joins), and the uncertainty is the number of
//! guesses below it. What was counted, or needs no guess, has none; a filter of which a sample was taken has
//! little. With adaptive execution off nothing is learnt from a stage, and all are equal.

use firesteel_plan::{AggregateMode, Note, PhysicalOp, PhysicalPlan};

use super::{StagePlanner, Step};
use crate::rule::OptimizerContext;

/// Name in notes.
const RULE: &str = "RunMostUncertainFirst";
/// What a sampled filter is, next to a guess.
const SAMPLED: f64 = 0.1;

/// How much hangs on what `plan` returns; `waiting` are the rows of the plan that waits for it.
pub(super) fn urgency(plan: &PhysicalPlan, waiting: f64, cx: &OptimizerContext<'_>) -> u64 {
    if !cx.config.adaptive || cx.config.is_excluded_adaptively(RULE) {
        return 0;
    }
    (uncertainty(plan, cx) * waiting).min(u64::MAX as f64) as u64
}

/// Guesses in the estimate of `plan`.
fn uncertainty(plan: &PhysicalPlan, cx: &OptimizerContext<'_>) -> f64 {
    if plan.estimate.exact {
        return 0.0;
    }
    let below: f64 = plan.inputs.iter().map(|input| uncertainty(input, cx)).sum();
    let own = match &plan.op {
        PhysicalOp::Scan { request, .. } => match request.filters.is_empty() {
            false if cx.facts.selectivity.contains_key(&plan.origin) => SAMPLED,
            _ => 1.0,
        },
        PhysicalOp::Filter { .. } | PhysicalOp::HashJoin(_) | PhysicalOp::NestedLoopJoin { .. } => 1.0,
        PhysicalOp::HashAggregate(aggregate) if aggregate.mode != AggregateMode::Final => 1.0,
        _ => 0.0,
    };
    below + own
}

impl StagePlanner {
    /// Says why stages start in another order than that of the plan, whose first one has the urgency `planned_first`.
    pub(super) fn note_order(&self, planned_first: Option<u64>, step: &mut Step) {
        let ([first, _, ..], Some(planned)) = (step.start.as_slice(), planned_first) else { return };
        if planned >= first.urgency {
            return;
        }
        let text = firesteel_common::show::count(first.urgency);
        let because =
            format!("it is run first: most hangs on its size, guesses times rows that wait for it are {text}");
        step.notes.push(Note::new(self.version, RULE, format!("stage {}", first.id), because));
    }
}
