//! Windows and sorts return only the columns that are read above them in their stage.
//!
//! Both keep their input and gather it anew, so a column that only they read need not be gathered. Algorithm: one
//! walk from the root down, with the columns that are wanted, as long as that is known; what passes rows
//! unchanged passes on what it gets. An exchange writes all columns of its input: what other stages read
//! does not depend on this.

use std::collections::BTreeSet;

use firesteel_common::ColumnId;
use firesteel_expr::{AggregateCall, Expr, SortKey};
use firesteel_plan::{AggregateMode, PhysicalOp, PhysicalPlan};

type Columns = BTreeSet<ColumnId>;

/// Narrows what is below `plan`, of which only `wanted` are read; `None` if that may be all.
pub(super) fn narrow(plan: &mut PhysicalPlan, wanted: Option<&Columns>) {
    let inherited = wanted.cloned();
    let below = match &plan.op {
        PhysicalOp::Project { exprs } => Some(columns(exprs)),
        PhysicalOp::HashAggregate(aggregate) if aggregate.mode != AggregateMode::Final => {
            let mut wanted = columns(&aggregate.keys);
            wanted.extend(aggregate.aggregates.iter().flat_map(read_by));
            Some(wanted)
        }
        PhysicalOp::Filter { predicate } => with(inherited, columns([predicate])),
        PhysicalOp::TopK { keys, .. } => with(inherited, of_keys(keys)),
        PhysicalOp::Limit { .. } | PhysicalOp::Coalesce { .. } => inherited,
        PhysicalOp::Sort { keys } => {
            let keys = of_keys(keys);
            keep(plan, wanted, &Columns::new());
            Some(of_output(plan).union(&keys).copied().collect())
        }
        PhysicalOp::Window { partition_by, order_by, calls } => {
            let results = calls.iter().map(|call| call.column.id).collect();
            let mut read = columns(partition_by);
            read.extend(of_keys(order_by));
            read.extend(columns(calls.iter().flat_map(|call| call.args())));
            keep(plan, wanted, &results);
            Some(of_output(plan).union(&read).copied().collect())
        }
        _ => None,
    };
    plan.inputs.iter_mut().for_each(|input| narrow(input, below.as_ref()));
    let passes = matches!(
        plan.op,
        PhysicalOp::Filter { .. } | PhysicalOp::TopK { .. } | PhysicalOp::Limit { .. } | PhysicalOp::Coalesce { .. }
    );
    if let (true, [input]) = (passes, plan.inputs.as_slice()) {
        plan.output = input.output.clone();
    }
}

/// Restricts the output of `plan` to `wanted` and `always`.
fn keep(plan: &mut PhysicalPlan, wanted: Option<&Columns>, always: &Columns) {
    if let Some(wanted) = wanted {
        plan.output.retain(|column| wanted.contains(&column.id) || always.contains(&column.id));
    }
}

fn with(wanted: Option<Columns>, more: Columns) -> Option<Columns> {
    wanted.map(|wanted| wanted.union(&more).copied().collect())
}

fn columns<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Columns {
    exprs.into_iter().flat_map(Expr::columns).map(|column| column.id).collect()
}

fn of_keys(keys: &[SortKey]) -> Columns {
    columns(keys.iter().map(|key| &key.expr))
}

fn of_output(plan: &PhysicalPlan) -> Columns {
    plan.output.iter().map(|column| column.id).collect()
}

fn read_by(call: &AggregateCall) -> Columns {
    columns(call.args.iter().chain(&call.filter))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firesteel_common::{NodeId, Span, SqlType};
    use firesteel_expr::{ColumnRef, Frame, WindowCall, WindowFunction, op};
    use firesteel_plan::Estimate;

    use super::*;

    fn column(id: u32) -> ColumnRef {
        ColumnRef { id: ColumnId(id), name: Arc::from("c"), ty: SqlType::BigInt, nullable: true }
    }

    fn expr(id: u32) -> Expr {
        Expr::Column(column(id))
    }

    fn key(id: u32) -> SortKey {
        SortKey { expr: expr(id), ascending: true, nulls_first: true }
    }

    fn plan(op: PhysicalOp, output: &[u32], inputs: Vec<PhysicalPlan>) -> PhysicalPlan {
        let output = output.iter().map(|id| column(*id)).collect();
        PhysicalPlan { id: NodeId(0), origin: NodeId(0), op, inputs, output, estimate: Estimate::default() }
    }

    /// Columns 0 to 4 in order of column 3.
    fn sort() -> PhysicalPlan {
        let leaf = plan(PhysicalOp::Values { rows: Vec::new() }, &[0, 1, 2, 3, 4], Vec::new());
        plan(PhysicalOp::Sort { keys: vec![key(3)] }, &[0, 1, 2, 3, 4], vec![leaf])
    }

    /// Column 9 is the row number by column 1 in the order of column 2.
    fn window(input: PhysicalPlan) -> PhysicalPlan {
        let function = WindowFunction::RowNumber;
        let call = WindowCall { column: column(9), function, frame: Frame::whole(), span: Span::NONE };
        let op = PhysicalOp::Window { partition_by: vec![expr(1)], order_by: vec![key(2)], calls: vec![call] };
        plan(op, &[0, 1, 2, 3, 4, 9], vec![input])
    }

    /// The columns that each node on the spine returns, from the root down.
    fn outputs(mut root: PhysicalPlan) -> Vec<Vec<u32>> {
        narrow(&mut root, None);
        root.spine().map(|node| node.output.iter().map(|column| column.id.0).collect()).collect()
    }

    #[test]
    fn what_is_only_read_by_the_window_is_not_returned() {
        let all = vec![0, 1, 2, 3, 4];
        let narrowed = || vec![vec![0, 9], vec![0, 1, 2], all.clone()];
        let project = plan(PhysicalOp::Project { exprs: vec![expr(9), expr(0)] }, &[10, 11], vec![window(sort())]);
        assert_eq!(outputs(project)[1..], narrowed());
        // What passes rows reads more, and passes that on, too.
        let predicate = Expr::predicate(op::LT, vec![expr(9), expr(2)]);
        let filter = plan(PhysicalOp::Filter { predicate }, &[0, 1, 2, 3, 4, 9], vec![window(sort())]);
        let project = plan(PhysicalOp::Project { exprs: vec![expr(0)] }, &[10], vec![filter]);
        assert_eq!(outputs(project)[1..], [vec![0, 2, 9], vec![0, 2, 9], vec![0, 1, 2], all]);
    }

    #[test]
    fn where_it_is_not_known_who_reads_all_is_returned() {
        assert_eq!(outputs(window(sort()))[0], [0, 1, 2, 3, 4, 9]);
        let union = plan(PhysicalOp::Union, &[0, 1, 2, 3, 4, 9], vec![window(sort())]);
        let mut project = plan(PhysicalOp::Project { exprs: vec![expr(0)] }, &[10], vec![union]);
        narrow(&mut project, None);
        assert_eq!(project.inputs[0].inputs[0].output.len(), 6);
    }
}
