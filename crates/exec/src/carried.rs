//! Which columns a stage carries from a join to where they are kept, without looking into them.
//!
//! Of a value that comes from the build side of a join, the row of that side says all. As long as nobody reads it, a
//! join returns the row, as the code of a dictionary whose values are the column of the build side, so that all columns of
//! that side share the codes. A grouping by them looks a row of the build side up once. Of texts, joins above
//! copy four bytes instead of sixteen, and rows that they drop never had one.
//!
//! Invariant: above the join, a carried column is only passed on, grouped by as it is, or written by the sink, which
//! wants texts only. So no kernel meets a dictionary that is larger than its batch, or one of numbers.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ColumnId, NodeId, SqlType};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{HashAggregate, HashJoin, PhysicalOp, PhysicalPlan};

/// By hash join of the spine, the columns that are carried from it on.
pub(crate) type Carried = BTreeMap<NodeId, BTreeSet<ColumnId>>;

/// What the joins of a stage may return as rows of their build sides.
pub(crate) fn carried(root: &PhysicalPlan) -> Carried {
    let mut joins = Carried::new();
    visit(root, texts(&root.output), &mut joins);
    joins
}

fn texts<'a>(columns: impl IntoIterator<Item = &'a ColumnRef>) -> BTreeSet<ColumnId> {
    let is_text = |ty: &SqlType| ty.is_string() || *ty == SqlType::Binary;
    columns.into_iter().filter(|column| is_text(&column.ty)).map(|column| column.id).collect()
}

/// `carried` are columns of `node` that nobody above looks into.
fn visit(node: &PhysicalPlan, mut carried: BTreeSet<ColumnId>, joins: &mut Carried) {
    match &node.op {
        PhysicalOp::Limit { .. } | PhysicalOp::Coalesce { .. } => {}
        PhysicalOp::Filter { predicate } => forget(&mut carried, [predicate]),
        PhysicalOp::Project { exprs } => {
            let output = exprs.iter().zip(&node.output);
            let (passed, computed): (Vec<_>, Vec<_>) = output.partition(|(expr, _)| expr.as_column().is_some());
            let passed = passed.into_iter().filter(|(_, column)| carried.contains(&column.id));
            carried = passed.filter_map(|(expr, _)| expr.as_column()).map(|column| column.id).collect();
            forget(&mut carried, computed.into_iter().map(|(expr, _)| expr));
        }
        PhysicalOp::HashAggregate(aggregate) => carried = grouped(aggregate),
        PhysicalOp::HashJoin(join) => {
            joins.insert(node.id, carried.clone());
            let probe = &node.inputs[join.build.other().index()];
            forget(&mut carried, read_by(join));
            visit(probe, carried, joins);
            return;
        }
        _ => carried.clear(),
    }
    if let [input] = node.inputs.as_slice() {
        visit(input, carried, joins);
    }
}

fn forget<'a>(carried: &mut BTreeSet<ColumnId>, exprs: impl IntoIterator<Item = &'a Expr>) {
    exprs.into_iter().flat_map(Expr::columns).for_each(|column| {
        carried.remove(&column.id);
    });
}

/// What a join computes with, of both sides.
fn read_by(join: &HashJoin) -> impl Iterator<Item = &Expr> {
    join.on.iter().flat_map(|key| [&key.left, &key.right]).chain(&join.residual)
}

/// What is grouped by as it is, and not read otherwise.
fn grouped(aggregate: &HashAggregate) -> BTreeSet<ColumnId> {
    let (plain, computed): (Vec<&Expr>, Vec<&Expr>) = aggregate.keys.iter().partition(|key| key.as_column().is_some());
    let mut carried = plain.into_iter().filter_map(Expr::as_column).map(|column| column.id).collect();
    forget(&mut carried, computed);
    forget(&mut carried, aggregate.aggregates.iter().flat_map(|call| call.args.iter().chain(&call.filter)));
    carried
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_common::{ExchangeId, Span};
    use firesteel_expr::AggregateCall;
    use firesteel_plan::{AggregateMode, BuildMode, Estimate, JoinKey, JoinKind, ReadMode, Side};
    use std::sync::Arc;

    /// Columns 1, 11, 21 … are texts, all others are numbers.
    fn column(id: u32) -> ColumnRef {
        let ty = if id % 10 == 1 { SqlType::String } else { SqlType::Int };
        ColumnRef { id: ColumnId(id), name: Arc::from("c"), ty, nullable: true }
    }

    fn expr(id: u32) -> Expr {
        Expr::Column(column(id))
    }

    fn node(id: u32, op: PhysicalOp, inputs: Vec<PhysicalPlan>, output: &[u32]) -> PhysicalPlan {
        let output = output.iter().map(|id| column(*id)).collect();
        PhysicalPlan { id: NodeId(id), origin: NodeId(0), op, inputs, output, estimate: Estimate::default() }
    }

    fn read(output: &[u32]) -> PhysicalPlan {
        node(0, PhysicalOp::ExchangeRead { exchange: ExchangeId(0), read: ReadMode::Shared }, Vec::new(), output)
    }

    /// Join `id` of `left` and, as the build side, columns `right`, on the first columns of both.
    fn join(id: u32, left: PhysicalPlan, right: &[u32]) -> PhysicalPlan {
        let on = JoinKey { left: Expr::Column(left.output[0].clone()), right: expr(right[0]), null_safe: false };
        let output: Vec<u32> = left.output.iter().map(|c| c.id.0).chain(right.iter().copied()).collect();
        let op = PhysicalOp::HashJoin(HashJoin {
            kind: JoinKind::Inner,
            on: vec![on],
            residual: None,
            null_aware: false,
            build: Side::Right,
            mode: BuildMode::Shared,
            hint: None,
            filters: Vec::new(),
        });
        node(id, op, vec![left, read(right)], &output)
    }

    fn group(keys: &[u32], arg: u32, input: PhysicalPlan) -> PhysicalPlan {
        let call = AggregateCall {
            function: Arc::from("max"),
            args: vec![expr(arg)],
            distinct: false,
            filter: None,
            ty: SqlType::Int,
            nullable: true,
            span: Span::NONE,
        };
        let keys = keys.iter().map(|id| expr(*id)).collect();
        let aggregate = HashAggregate { mode: AggregateMode::Partial, keys, aggregates: vec![call] };
        node(9, PhysicalOp::HashAggregate(aggregate), vec![input], &[90])
    }

    fn of(plan: &PhysicalPlan, join: u32) -> Vec<u32> {
        carried(plan)[&NodeId(join)].iter().map(|id| id.0).collect()
    }

    #[test]
    fn what_is_grouped_by_is_carried_unless_it_is_read() {
        let joined = || join(1, join(2, read(&[0, 1]), &[10, 11, 12]), &[20, 21, 22]);
        assert_eq!(of(&group(&[11, 12, 22], 2, joined()), 1), [11, 12, 22]);
        assert_eq!(of(&group(&[11, 12, 22], 2, joined()), 2), [11, 12, 22]);
        assert_eq!(of(&group(&[11, 12, 22], 12, joined()), 2), [11, 22], "12 is an argument");
        let filter = PhysicalOp::Filter { predicate: Expr::Or(vec![expr(11), expr(22)]) };
        let filtered = node(3, filter, vec![joined()], &[0, 1, 10, 11, 12, 20, 21, 22]);
        assert_eq!(of(&group(&[11, 12, 22], 2, filtered), 1), [12], "the others are filtered by");
    }

    #[test]
    fn texts_are_carried_to_the_sink_past_joins_that_do_not_read_them() {
        let plan = join(1, join(2, read(&[0, 1]), &[10, 11, 12]), &[20, 21, 22]);
        assert_eq!(of(&plan, 1), [1, 11, 21]);
        // The upper join is by the text that the lower one returns first.
        let plan = join(1, join(2, read(&[11, 10]), &[31, 32]), &[21, 22]);
        assert_eq!((of(&plan, 1), of(&plan, 2)), (vec![11, 21, 31], vec![31]));
        let sorted = node(3, PhysicalOp::Sort { keys: Vec::new() }, vec![plan], &[11]);
        assert!(of(&sorted, 1).is_empty(), "a sort keeps rows");
    }

    #[test]
    fn projections_pass_columns_on_and_read_expressions() {
        let exprs = vec![expr(11), Expr::Or(vec![expr(21)]), expr(31)];
        let below = join(1, read(&[0]), &[11, 21, 31]);
        let plan = node(3, PhysicalOp::Project { exprs }, vec![below], &[41, 51, 31]);
        assert_eq!(of(&plan, 1), [11, 31], "under another name, too");
    }
}
