//! Checks of a rule's work, made in debug builds: a broken plan is found at the rule that broke it.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Error, IdGenerator, Result};
use firesteel_expr::ColumnRef;
use firesteel_plan::{LogicalOp, LogicalPlan};

use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::same_shape;

/// Checks that `after` has the columns `before`, that every column which is read is made below, and
/// that the rule would change nothing if it ran again.
pub(crate) fn check(
    rule: &dyn OptimizerRule,
    before: &[ColumnRef],
    after: &LogicalPlan,
    cx: &OptimizerContext<'_>,
) -> Result<()> {
    let fail = |what: String| Err(Error::internal(format!("rule {}: {what}", rule.name())));
    let columns = after.columns();
    if before != columns.as_slice() || before.iter().zip(&columns).any(|(a, b)| a.ty != b.ty) {
        let show = |c: &[ColumnRef]| c.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return fail(format!("output changed from [{}] to [{}]", show(before), show(&columns)));
    }
    if let Err(what) = resolved(after, &BTreeSet::new()) {
        return fail(what);
    }
    // Ids that a second run makes would differ; they must not be taken from the query.
    let ids = IdGenerator::new();
    let again = OptimizerContext { ids: &ids, ..*cx };
    let second = rule.rewrite(after.clone(), &again)?;
    if !same_shape(&second, after) {
        return fail(format!("a second run changes the plan from {after:#?} to {second:#?}"));
    }
    Ok(())
}

/// Whether every expression reads only columns of its inputs, or of `outer` below a dependent join.
fn resolved(plan: &LogicalPlan, outer: &BTreeSet<ColumnId>) -> Result<(), String> {
    let mut known = outer.clone();
    for input in &plan.inputs {
        known.extend(input.column_ids());
    }
    if let LogicalOp::Scan(scan) = &plan.op {
        known.extend(scan.source.iter().map(|c| c.id));
    }
    for expr in plan.expressions() {
        if let Some(column) = expr.columns().into_iter().find(|c| !known.contains(&c.id)) {
            return Err(format!("{column} is read by {expr} and not made below"));
        }
    }
    for (i, input) in plan.inputs.iter().enumerate() {
        if i == 1 && matches!(plan.op, LogicalOp::DependentJoin { .. }) {
            let mut visible = outer.clone();
            visible.extend(plan.inputs[0].column_ids());
            resolved(input, &visible)?;
        } else {
            resolved(input, outer)?;
        }
    }
    Ok(())
}
