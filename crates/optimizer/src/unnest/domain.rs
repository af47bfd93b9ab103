//! The general algorithm: evaluates a subquery for each element of the domain, the set of different
//! combinations of outer columns that it reads.
//!
//! `push` turns a plan with outer references into one without them whose rows carry, in further
//! columns, the domain element that they belong to. Where a subtree reads nothing of the outer row, it
//! is crossed with the domain; an operator above that looks at several rows looks at those of one
//! element at a time.

use std::collections::BTreeSet;

use firesteel_common::{ColumnId, Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, Frame, NamedAggregate, SortKey, WindowCall, WindowFunction, op};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan, SetOperation};

use super::copy::fresh_copy;
use super::shapes::value_or_empty;
use super::{split_null_aware, two};
use crate::rule::OptimizerContext;
use crate::util::{
    ColumnMap, column_set, filter, free_columns, is_constant, key_predicate, not_false, pass, substitute, touches,
    with_columns, within,
};

/// `right` without references to `outer`, columns of `left`; and the columns in which its rows carry
/// the values of `outer` that they belong to.
pub(crate) fn evaluate_per_domain(
    right: LogicalPlan,
    left: &LogicalPlan,
    outer: &[ColumnRef],
    cx: &OptimizerContext<'_>,
) -> Result<(LogicalPlan, Vec<ColumnRef>)> {
    let domain = Domain { left, outer, ids: outer.iter().map(|c| c.id).collect(), cx };
    let pushed = domain.push(right)?;
    Ok((pushed.plan, pushed.keys))
}

struct Domain<'a, 'b> {
    left: &'a LogicalPlan,
    outer: &'a [ColumnRef],
    ids: BTreeSet<ColumnId>,
    cx: &'a OptimizerContext<'b>,
}

/// A plan and the columns that hold the domain element of each row, in the order of the outer columns.
struct Pushed {
    plan: LogicalPlan,
    keys: Vec<ColumnRef>,
}

impl Domain<'_, '_> {
    fn node(&self, op: LogicalOp, input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::unary(self.cx.ids.node(), op, input)
    }

    fn reads_outer(&self, plan: &LogicalPlan) -> bool {
        free_columns(plan).keys().any(|id| self.ids.contains(id))
    }

    /// A new instance of the domain.
    fn instance(&self) -> Result<Pushed> {
        let (copy, renamed) = fresh_copy(self.left, self.cx.ids)?;
        let mut keys = Vec::with_capacity(self.outer.len());
        for column in self.outer {
            let source = renamed.get(&column.id).ok_or_else(|| Error::internal("the domain lacks an outer column"))?;
            let source = ColumnRef { nullable: column.nullable, ..source.clone() };
            keys.push((ColumnRef { id: self.cx.ids.column(), ..source.clone() }, Expr::Column(source)));
        }
        let columns = keys.iter().map(|(c, _)| c.clone()).collect();
        let plan = self.node(LogicalOp::Aggregate { keys, aggregates: Vec::new() }, copy);
        Ok(Pushed { plan, keys: columns })
    }

    fn renaming(&self, keys: &[ColumnRef]) -> ColumnMap {
        self.outer.iter().zip(keys).map(|(o, k)| (o.id, Expr::Column(k.clone()))).collect()
    }

    fn push(&self, plan: LogicalPlan) -> Result<Pushed> {
        if !self.reads_outer(&plan) {
            let Pushed { plan: domain, keys } = self.instance()?;
            let op = LogicalOp::Join {
                kind: JoinKind::Inner,
                on: Vec::new(),
                residual: None,
                null_aware: false,
                hint: JoinHint::NONE,
            };
            return Ok(Pushed { plan: LogicalPlan::binary(self.cx.ids.node(), op, domain, plan), keys });
        }
        let LogicalPlan { id, op, mut inputs } = plan;
        match op {
            LogicalOp::Join { kind, on, residual, null_aware, hint } => {
                self.push_join(kind, on, residual, null_aware, hint, two(inputs)?)
            }
            LogicalOp::Union { columns } => self.push_union(columns, inputs),
            LogicalOp::SetOp { operation, all, columns } => self.push_set_operation(operation, all, columns, inputs),
            LogicalOp::Values { columns, rows } => self.push_values(columns, rows),
            LogicalOp::Scan(_) | LogicalOp::Pinned(_) | LogicalOp::DependentJoin { .. } => {
                Err(Error::internal(format!("node {id} cannot have outer references here")))
            }
            op => {
                let input = inputs.pop().ok_or_else(|| Error::internal("a node lacks its input"))?;
                self.push_unary(op, input)
            }
        }
    }

    fn push_unary(&self, op: LogicalOp, input: LogicalPlan) -> Result<Pushed> {
        if let LogicalOp::Filter { predicate } = op {
            return self.push_filter(predicate, input);
        }
        // LIMIT over ORDER BY is one operation: the first rows of each element.
        if let LogicalOp::Limit { skip, fetch } = op {
            return match input {
                LogicalPlan { op: LogicalOp::Sort { keys, fetch: None, .. }, mut inputs, .. } => {
                    let input = inputs.pop().ok_or_else(|| Error::internal("a sort lacks its input"))?;
                    self.push_limit(keys, skip, fetch, input)
                }
                // The first rows of a projection are the projection of the first rows; the order may be below it.
                LogicalPlan { op: project @ LogicalOp::Project { .. }, mut inputs, .. } => {
                    let below = inputs.pop().ok_or_else(|| Error::internal("a projection lacks its input"))?;
                    self.push_unary(project, self.node(LogicalOp::Limit { skip, fetch }, below))
                }
                input => self.push_limit(Vec::new(), skip, fetch, input),
            };
        }
        if let LogicalOp::Sort { keys, fetch, .. } = op {
            return match fetch {
                Some(_) => self.push_limit(keys, 0, fetch, input),
                // The order of a subquery's rows means nothing.
                None => self.push(input),
            };
        }
        let Pushed { plan: input, keys } = self.push(input)?;
        let map = self.renaming(&keys);
        let key_exprs = || keys.iter().cloned().map(Expr::Column);
        let op = match op {
            LogicalOp::Project { mut exprs } => {
                exprs.iter_mut().for_each(|(_, e)| *e = substitute(e.clone(), &map));
                exprs.extend(pass(keys.iter().cloned()));
                LogicalOp::Project { exprs }
            }
            LogicalOp::Aggregate { keys: groups, aggregates } => {
                let node = self.node(LogicalOp::Aggregate { keys: groups, aggregates }, input);
                let node = node.map_expressions(&mut |e| substitute(e, &map));
                return self.grouped(node, keys);
            }
            LogicalOp::Expand { mut columns, mut projections } => {
                projections.iter_mut().for_each(|p| {
                    p.iter_mut().for_each(|e| *e = substitute(e.clone(), &map));
                    p.extend(key_exprs());
                });
                let renewed: Vec<ColumnRef> =
                    keys.iter().map(|k| ColumnRef { id: self.cx.ids.column(), ..k.clone() }).collect();
                columns.extend(renewed.iter().cloned());
                let plan = self.node(LogicalOp::Expand { columns, projections }, input);
                return Ok(Pushed { plan, keys: renewed });
            }
            LogicalOp::Window { mut partition_by, order_by, calls } => {
                partition_by.extend(key_exprs());
                let op = LogicalOp::Window { partition_by, order_by, calls };
                let plan = self.node(op, input).map_expressions(&mut |e| substitute(e, &map));
                return Ok(Pushed { plan, keys });
            }
            other @ LogicalOp::Repartition { .. } => {
                let plan = self.node(other, input).map_expressions(&mut |e| substitute(e, &map));
                return Ok(Pushed { plan, keys });
            }
            other => return Err(Error::internal(format!("no unnesting of {other:?}"))),
        };
        Ok(Pushed { plan: self.node(op, input), keys })
    }

    /// Where every outer column is compared for equality with something of the input, the domain is not
    /// needed: the input has the values. (Those of other outer rows are there too; the join drops them.)
    fn push_filter(&self, predicate: Expr, input: LogicalPlan) -> Result<Pushed> {
        let conjuncts = predicate.conjuncts();
        if !self.reads_outer(&input) {
            let below = column_set(&input);
            let sources: Option<Vec<Expr>> =
                self.outer.iter().map(|o| conjuncts.iter().find_map(|c| equal_to(c, o, &below))).collect();
            if let Some(sources) = sources {
                let mut exprs = pass(input.columns());
                let keys: Vec<ColumnRef> =
                    self.outer.iter().map(|o| ColumnRef { id: self.cx.ids.column(), ..o.clone() }).collect();
                let map = self.renaming(&keys);
                let mut kept: Vec<Expr> = conjuncts.into_iter().map(|c| substitute(c, &map)).collect();
                // A conjunct `x = x` that is left over here still drops NULL.
                kept.dedup();
                exprs.extend(keys.iter().cloned().zip(sources));
                let project = self.node(LogicalOp::Project { exprs }, input);
                return Ok(Pushed { plan: filter(self.cx.ids, kept, project), keys });
            }
        }
        let Pushed { plan, keys } = self.push(input)?;
        let map = self.renaming(&keys);
        let conjuncts = conjuncts.into_iter().map(|c| substitute(c, &map)).collect();
        Ok(Pushed { plan: filter(self.cx.ids, conjuncts, plan), keys })
    }

    /// Groups by the domain too. An aggregate without keys has a row for elements without rows as well.
    fn grouped(&self, plan: LogicalPlan, keys: Vec<ColumnRef>) -> Result<Pushed> {
        let LogicalPlan { id, op: LogicalOp::Aggregate { keys: mut groups, aggregates }, inputs } = plan else {
            return Err(Error::internal("an aggregate was expected"));
        };
        let had_keys = !groups.is_empty();
        groups.extend(pass(keys.iter().cloned()));
        if had_keys {
            let op = LogicalOp::Aggregate { keys: groups, aggregates };
            return Ok(Pushed { plan: LogicalPlan { id, op, inputs }, keys });
        }
        let mut exprs = Vec::with_capacity(aggregates.len());
        let mut renamed = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let column = ColumnRef { id: self.cx.ids.column(), ..aggregate.column.clone() };
            let value = Expr::Column(ColumnRef { nullable: true, ..column.clone() });
            let value = value_or_empty(value, &aggregate).ok_or_else(|| {
                Error::unsupported(format!("{} in this correlated subquery is not supported.", aggregate.call.function))
            })?;
            exprs.push((aggregate.column.clone(), value));
            renamed.push(NamedAggregate { column, call: aggregate.call });
        }
        let grouped = LogicalPlan { id, op: LogicalOp::Aggregate { keys: groups, aggregates: renamed }, inputs };
        let domain = self.instance()?;
        let on = null_safe_keys(&domain.keys, &keys);
        let op = LogicalOp::Join { kind: JoinKind::Left, on, residual: None, null_aware: false, hint: JoinHint::NONE };
        let join = LogicalPlan::binary(self.cx.ids.node(), op, domain.plan, grouped);
        exprs.extend(pass(domain.keys.iter().cloned()));
        Ok(Pushed { plan: self.node(LogicalOp::Project { exprs }, join), keys: domain.keys })
    }

    /// The rows `skip..skip + fetch` of each element.
    fn push_limit(&self, sort: Vec<SortKey>, skip: u64, fetch: Option<u64>, input: LogicalPlan) -> Result<Pushed> {
        let columns = input.columns();
        let Pushed { plan, keys } = self.push(input)?;
        let map = self.renaming(&keys);
        let order_by = sort.into_iter().map(|k| SortKey { expr: substitute(k.expr, &map), ..k }).collect();
        let number =
            ColumnRef { id: self.cx.ids.column(), name: "row_number".into(), ty: SqlType::Int, nullable: false };
        let call = WindowCall {
            column: number.clone(),
            function: WindowFunction::RowNumber,
            frame: Frame::running(),
            span: Span::NONE,
        };
        let partition_by = keys.iter().cloned().map(Expr::Column).collect();
        let window = self.node(LogicalOp::Window { partition_by, order_by, calls: vec![call] }, plan);
        let bound = |n: u64| Expr::Literal(Scalar::Int(i32::try_from(n).unwrap_or(i32::MAX)));
        let mut predicates = Vec::new();
        if skip > 0 {
            predicates.push(Expr::predicate(op::GT, vec![Expr::Column(number.clone()), bound(skip)]));
        }
        if let Some(fetch) = fetch {
            let last = bound(skip.saturating_add(fetch));
            predicates.push(Expr::predicate(op::LT_EQ, vec![Expr::Column(number), last]));
        }
        let filtered = filter(self.cx.ids, predicates, window);
        let columns = columns.into_iter().chain(keys.iter().cloned()).collect();
        Ok(Pushed { plan: with_columns(self.cx.ids, filtered, columns), keys })
    }

    fn push_join(
        &self,
        kind: JoinKind,
        on: Vec<JoinKey>,
        residual: Option<Expr>,
        null_aware: bool,
        hint: JoinHint,
        [left, right]: [LogicalPlan; 2],
    ) -> Result<Pushed> {
        // Keys that read the outer row are conditions like others once the domain is there.
        let reads = |key: &JoinKey| touches(&key.left, &self.ids) || touches(&key.right, &self.ids);
        let (outer_keys, mut on): (Vec<_>, Vec<_>) = on.into_iter().partition(reads);
        let mut rest: Vec<Expr> = residual.map(Expr::conjuncts).unwrap_or_default();
        rest.extend(outer_keys.into_iter().map(key_predicate));
        let condition_reads = rest.iter().any(|c| touches(c, &self.ids));
        let (left_reads, right_reads) = (self.reads_outer(&left), self.reads_outer(&right));
        let mut null_aware = null_aware;
        if null_aware && (right_reads || condition_reads) {
            if let JoinKind::Mark(mark) = kind {
                let conjuncts = rest.into_iter().chain(on.into_iter().map(key_predicate)).collect();
                return self.push(split_null_aware(mark, conjuncts, left, right, self.cx)?);
            }
            null_aware = false;
            rest = rest.into_iter().chain(on.drain(..).map(key_predicate)).map(not_false).collect();
        }
        let push_left = match kind {
            JoinKind::Inner => left_reads || (condition_reads && !right_reads),
            JoinKind::Right => left_reads,
            _ => true,
        };
        let push_right = right_reads || matches!(kind, JoinKind::Right | JoinKind::Full);
        let whole = |plan| Pushed { plan, keys: Vec::new() };
        let left = if push_left { self.push(left)? } else { whole(left) };
        let right = if push_right { self.push(right)? } else { whole(right) };
        if push_left && push_right {
            on.extend(null_safe_keys(&left.keys, &right.keys));
        }
        let keys = match kind {
            JoinKind::Right => right.keys.clone(),
            _ if push_left => left.keys.clone(),
            _ => right.keys.clone(),
        };
        let map = self.renaming(&keys);
        let rest: Vec<Expr> = rest.into_iter().map(|c| substitute(c, &map)).collect();
        let residual = (!rest.is_empty()).then(|| Expr::and(rest));
        let full = matches!(kind, JoinKind::Full);
        let op = LogicalOp::Join { kind, on, residual, null_aware, hint };
        let plan = LogicalPlan::binary(self.cx.ids.node(), op, left.plan, right.plan);
        if !full {
            return Ok(Pushed { plan, keys });
        }
        // A row has the element on the side that is there.
        let columns = plan.columns();
        let mut exprs = pass(columns);
        let mut merged = Vec::with_capacity(keys.len());
        for (l, r) in left.keys.iter().zip(&right.keys) {
            let nullable = |c: &ColumnRef| Expr::Column(ColumnRef { nullable: true, ..c.clone() });
            let missing = Expr::predicate(op::IS_NULL, vec![nullable(l)]);
            let value = Expr::Case { branches: vec![(missing, nullable(r))], otherwise: Box::new(nullable(l)) };
            let column = ColumnRef { id: self.cx.ids.column(), nullable: true, ..l.clone() };
            merged.push(column.clone());
            exprs.push((column, value));
        }
        Ok(Pushed { plan: self.node(LogicalOp::Project { exprs }, plan), keys: merged })
    }

    /// Inputs with the domain columns after their own, by position.
    fn push_all(&self, inputs: Vec<LogicalPlan>) -> Result<Vec<LogicalPlan>> {
        let mut pushed = Vec::with_capacity(inputs.len());
        for input in inputs {
            let columns = input.columns();
            let Pushed { plan, keys } = self.push(input)?;
            pushed.push(with_columns(self.cx.ids, plan, columns.into_iter().chain(keys).collect()));
        }
        Ok(pushed)
    }

    fn output_keys(&self) -> Vec<ColumnRef> {
        self.outer.iter().map(|o| ColumnRef { id: self.cx.ids.column(), ..o.clone() }).collect()
    }

    fn push_union(&self, mut columns: Vec<ColumnRef>, inputs: Vec<LogicalPlan>) -> Result<Pushed> {
        let inputs = self.push_all(inputs)?;
        let keys = self.output_keys();
        columns.extend(keys.iter().cloned());
        Ok(Pushed { plan: LogicalPlan { id: self.cx.ids.node(), op: LogicalOp::Union { columns }, inputs }, keys })
    }

    fn push_set_operation(
        &self,
        operation: SetOperation,
        all: bool,
        mut columns: Vec<ColumnRef>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Pushed> {
        let inputs = self.push_all(inputs)?;
        let keys = self.output_keys();
        columns.extend(keys.iter().cloned());
        let op = LogicalOp::SetOp { operation, all, columns };
        Ok(Pushed { plan: LogicalPlan { id: self.cx.ids.node(), op, inputs }, keys })
    }

    /// Rows of expressions over the outer row: each element has all of them.
    fn push_values(&self, mut columns: Vec<ColumnRef>, rows: Vec<Vec<Expr>>) -> Result<Pushed> {
        let Pushed { plan, keys } = self.instance()?;
        let map = self.renaming(&keys);
        let projections = rows
            .into_iter()
            .map(|row| {
                row.into_iter().map(|e| substitute(e, &map)).chain(keys.iter().cloned().map(Expr::Column)).collect()
            })
            .collect();
        let renewed = self.output_keys();
        columns.extend(renewed.iter().cloned());
        Ok(Pushed { plan: self.node(LogicalOp::Expand { columns, projections }, plan), keys: renewed })
    }
}

fn null_safe_keys(left: &[ColumnRef], right: &[ColumnRef]) -> Vec<JoinKey> {
    let pair = |(l, r): (&ColumnRef, &ColumnRef)| JoinKey {
        left: Expr::Column(l.clone()),
        right: Expr::Column(r.clone()),
        null_safe: true,
    };
    left.iter().zip(right).map(pair).collect()
}

/// If a conjunct says that `outer` equals something of the input, that.
fn equal_to(conjunct: &Expr, outer: &ColumnRef, below: &BTreeSet<ColumnId>) -> Option<Expr> {
    let [a, b] = conjunct.as_call(op::EQ)? else { return None };
    let is_outer = |e: &Expr| e.as_column().is_some_and(|c| c.id == outer.id);
    let is_inner = |e: &Expr| !is_constant(e) && within(e, below);
    if is_outer(a) && is_inner(b) {
        Some(b.clone())
    } else if is_outer(b) && is_inner(a) {
        Some(a.clone())
    } else {
        None
    }
}
