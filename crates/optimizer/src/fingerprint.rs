//! Names of logical plans that are the same in every query that has them, for what is remembered of earlier runs.
//!
//! A name does not depend on ids, on the order of inner joins, or on what is computed of the rows without changing their
//! number. It depends on tables, literals, predicates and keys. Columns are named by what makes them: a column of a scan by its
//! table and position. The files that are read have a hash of their own, so that facts of older files can be told from none.
//!
//! Algorithm: a plan is leaves that are joined, equalities between columns, and other conditions; filters and inner joins
//! add to these, existence joins are conditions. Everything else becomes a leaf named after its input. Equalities are named by
//! their classes, since the optimizer derives some from others.

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, NodeId, hash};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{JoinKey, JoinKind, LogicalOp, LogicalPlan, Scan};

use crate::rule::OptimizerContext;

/// The parts of a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fingerprint {
    leaves: Vec<u64>,
    equal: Vec<(u64, u64)>,
    conditions: Vec<u64>,
    columns: BTreeMap<ColumnId, u64>,
    /// The files that are read, with sizes and times.
    pub(crate) files: u64,
    /// The tables that are read, for messages.
    pub(crate) tables: Vec<String>,
}

/// Names of what has started, by the id of the pinned node.
pub(crate) type Pins = BTreeMap<NodeId, Fingerprint>;

/// The name of what `plan` returns. `None` if it reads something whose identity is not known.
pub(crate) fn fingerprint(plan: &LogicalPlan, pins: &Pins, cx: &OptimizerContext<'_>) -> Option<Fingerprint> {
    let input = |i: usize| fingerprint(plan.inputs.get(i)?, pins, cx);
    match &plan.op {
        LogicalOp::Pinned(_) => pins.get(&plan.id).cloned(),
        LogicalOp::Scan(scan) => of_scan(scan, cx),
        LogicalOp::Values { columns, rows } => {
            let text: Vec<String> = rows.iter().flatten().map(ToString::to_string).collect();
            Some(Fingerprint::default().leaf("values", &[text.join(",")], columns))
        }
        LogicalOp::Filter { predicate } => Some(input(0)?.filtered(predicate)),
        LogicalOp::Project { exprs } => {
            let mut input = input(0)?;
            input.columns = exprs.iter().map(|(column, expr)| (column.id, input.expr(expr))).collect();
            Some(input)
        }
        LogicalOp::Window { calls, .. } => {
            let mut input = input(0)?;
            let id = input.id();
            input.columns.extend((1..).zip(calls).map(|(i, call)| (call.column.id, hash::combine(id, i))));
            Some(input)
        }
        LogicalOp::Sort { fetch: None, .. } | LogicalOp::Repartition { .. } => input(0),
        LogicalOp::Sort { fetch: Some(fetch), .. } => Some(input(0)?.limited(0, Some(*fetch))),
        LogicalOp::Limit { skip, fetch } => Some(input(0)?.limited(*skip, *fetch)),
        LogicalOp::Aggregate { keys, aggregates } => {
            let input = input(0)?;
            let mut texts: Vec<String> = keys.iter().map(|(_, key)| format!("{:x}", input.expr(key))).collect();
            texts.sort_unstable();
            let mut grouped = input.clone().leaf("aggregate", &texts, &[]);
            let id = grouped.id();
            let keys = keys.iter().map(|(column, key)| (column.id, hash::combine(id, input.expr(key))));
            grouped.columns = keys.collect();
            for aggregate in aggregates {
                let args: Vec<String> =
                    aggregate.call.args.iter().map(|arg| format!("{:x}", input.expr(arg))).collect();
                let text = format!("{}({}) {}", aggregate.call.function, args.join(","), aggregate.call.distinct);
                grouped.columns.insert(aggregate.column.id, hash::combine(id, hash::hash_bytes(text.as_bytes())));
            }
            Some(grouped)
        }
        LogicalOp::Expand { columns, projections } => {
            Some(input(0)?.leaf("expand", &[projections.len().to_string()], columns))
        }
        LogicalOp::Union { columns } => {
            let inputs: Option<Vec<Fingerprint>> = (0..plan.inputs.len()).map(input).collect();
            let inputs = inputs?;
            let names: Vec<String> = inputs.iter().map(|input| format!("{:x}", input.id())).collect();
            let all = inputs.into_iter().fold(Fingerprint::default(), Fingerprint::and);
            Some(all.leaf("union", &names, columns))
        }
        LogicalOp::Join { kind, on, residual, .. } => Some(joined(kind, on, residual.as_ref(), input(0)?, input(1)?)),
        _ => None,
    }
}

fn of_scan(scan: &Scan, cx: &OptimizerContext<'_>) -> Option<Fingerprint> {
    let files = hash::hash_u64(cx.tables.identity(&scan.table)?);
    let mut name = Fingerprint { files, tables: vec![scan.table.name.to_string()], ..Fingerprint::default() };
    let table = hash::hash_bytes(scan.table.name.as_bytes());
    name.leaves.push(table);
    name.columns = (0..).zip(&scan.source).map(|(i, column)| (column.id, hash::combine(table, i))).collect();
    for filter in &scan.filters {
        name = name.filtered(filter);
    }
    Some(if scan.limit.is_some() { name.limited(0, scan.limit) } else { name })
}

fn joined(
    kind: &JoinKind,
    on: &[JoinKey],
    residual: Option<&Expr>,
    left: Fingerprint,
    right: Fingerprint,
) -> Fingerprint {
    let (left_id, right_id) = (left.id(), right.id());
    let keys: Vec<(u64, u64, bool)> =
        on.iter().map(|key| (left.expr(&key.left), right.expr(&key.right), key.null_safe)).collect();
    let mut both = left.clone().and(right);
    let rest = residual.map_or(0, |residual| both.expr(residual));
    if *kind == JoinKind::Inner {
        for (left, right, null_safe) in keys {
            if null_safe { both.conditions.push(left ^ right) } else { both.equal.push((left, right)) }
        }
        return residual.into_iter().fold(both, Fingerprint::filtered);
    }
    let text = match kind {
        // Where it was written is no part of it.
        JoinKind::LeftSingle(_) => "single".to_owned(),
        JoinKind::Mark(_) => "mark".to_owned(),
        kind => format!("{kind:?}"),
    };
    let condition = format!("{text} {right_id:x} {keys:x?} {rest:x}");
    if matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
        // Where among inner joins it is done makes no difference.
        let mut name = Fingerprint { files: both.files, tables: both.tables, ..left };
        name.conditions.push(hash::hash_bytes(condition.as_bytes()));
        return name;
    }
    let mut name = both.leaf("join", &[format!("{left_id:x} {condition}")], &[]);
    if let JoinKind::Mark(mark) = kind {
        name.columns.insert(mark.id, hash::combine(name.id(), 1));
    }
    name
}

impl Fingerprint {
    /// The name as a number.
    pub(crate) fn id(&self) -> u64 {
        let mut leaves = self.leaves.clone();
        leaves.sort_unstable();
        let mut conditions = self.conditions.clone();
        conditions.sort_unstable();
        conditions.dedup();
        let classes = self.classes();
        let parts = [leaves, vec![u64::MAX], classes, vec![u64::MAX], conditions].concat();
        parts.into_iter().fold(1, hash::combine)
    }

    /// The classes of what is equal, each as its members in order after a mark.
    fn classes(&self) -> Vec<u64> {
        let mut class: BTreeMap<u64, u64> = BTreeMap::new();
        for (a, b) in &self.equal {
            let (a, b) = (*class.entry(*a).or_insert(*a), *class.entry(*b).or_insert(*b));
            let (keep, drop) = (a.min(b), a.max(b));
            class.values_mut().filter(|c| **c == drop).for_each(|c| *c = keep);
        }
        let mut members: Vec<(u64, u64)> = class.into_iter().map(|(member, class)| (class, member)).collect();
        members.sort_unstable();
        members.into_iter().flat_map(|(class, member)| [class, member]).collect()
    }

    /// The name of an expression over the columns.
    fn expr(&self, expr: &Expr) -> u64 {
        let name = |id: ColumnId| self.columns.get(&id).copied().unwrap_or_default();
        if let Expr::Column(column) = expr {
            return name(column.id);
        }
        let named = expr.clone().transform(&mut |e| match e {
            Expr::Column(column) => {
                let text = format!("{:x}", name(column.id));
                Expr::Column(ColumnRef { id: ColumnId(0), name: text.into(), ..column })
            }
            e => e,
        });
        hash::hash_bytes(named.to_string().as_bytes())
    }

    fn filtered(mut self, predicate: &Expr) -> Self {
        for conjunct in predicate.clone().conjuncts() {
            match &conjunct {
                Expr::Call(call) if &*call.function == op::EQ && call.args.iter().all(|a| a.as_literal().is_none()) => {
                    let sides: Vec<u64> = call.args.iter().map(|arg| self.expr(arg)).collect();
                    self.equal.extend(sides.first().copied().zip(sides.get(1).copied()));
                }
                _ => self.conditions.push(self.expr(&conjunct)),
            }
        }
        self
    }

    fn limited(self, skip: u64, fetch: Option<u64>) -> Self {
        let columns = self.columns.clone();
        Self { columns, ..self.leaf("limit", &[format!("{skip} {fetch:?}")], &[]) }
    }

    /// One leaf, with a name that depends on all there was.
    fn leaf(self, what: &str, details: &[String], columns: &[ColumnRef]) -> Self {
        let id = hash::combine(self.id(), hash::hash_bytes(format!("{what} {}", details.join("; ")).as_bytes()));
        let own = (0..).zip(columns).map(|(i, column)| (column.id, hash::combine(id, i)));
        let columns = if columns.is_empty() { self.columns } else { own.collect() };
        Self { leaves: vec![id], columns, files: self.files, tables: self.tables, ..Self::default() }
    }

    /// What two plans have together.
    fn and(mut self, other: Self) -> Self {
        self.leaves.extend(other.leaves);
        self.equal.extend(other.equal);
        self.conditions.extend(other.conditions);
        self.columns.extend(other.columns);
        self.files = self.files.wrapping_add(other.files);
        self.tables.extend(other.tables);
        self
    }
}
