//! GROUP BY, grouping sets, and what remains readable above an aggregation.
//!
//! The select list is bound against the FROM clause, aggregates becoming columns. Then every
//! occurrence of a grouping expression is replaced by the column of the group, and whatever column of
//! the input is left was not grouped: an error.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ColumnId, Error, Result, ResultExt, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use sqlparser::ast::{self, GroupByExpr, GroupByWithModifier, Select, Value};

use crate::binder::expr::{AliasRule, ExprCx, PendingSubquery};
use crate::binder::select::Item;
use crate::binder::window::PendingWindow;
use crate::binder::{Binder, Env};

/// A call of `grouping` or `grouping_id`, known by a column that the aggregation replaces.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub(crate) column: ColumnRef,
    pub(crate) args: Vec<Expr>,
    /// `grouping`, and not `grouping_id`.
    pub(crate) single: bool,
    pub(crate) span: Span,
}

/// A GROUP BY clause.
#[derive(Default)]
pub(crate) struct GroupBy {
    /// Whether there is one.
    pub(crate) present: bool,
    /// Grouping expressions, each once.
    pub(crate) keys: Vec<Expr>,
    /// Positions of the keys of each grouping set; `None` if all keys are grouped by.
    pub(crate) sets: Option<Vec<Vec<usize>>>,
}

/// Most grouping sets of one query.
const MAX_SETS: usize = 4096;

impl<'a> Binder<'a> {
    /// Binds GROUP BY. `items` are the select list, for ordinals, aliases and ALL; `special` are the
    /// columns that are aggregates or window functions.
    pub(crate) fn group_by(
        &self,
        select: &'a Select,
        items: &[Item],
        special: &BTreeSet<ColumnId>,
        env: &Env<'_, 'a>,
        below: &mut Vec<PendingSubquery>,
    ) -> Result<GroupBy> {
        let mut group = GroupBy::default();
        let mut cx = ExprCx::plain(env, "GROUP BY");
        cx.alias_rule = AliasRule::After;
        cx.aliases = items.iter().map(|item| (item.name.clone(), item.expr.clone())).collect();
        let mut elements: Vec<Vec<Vec<usize>>> = Vec::new();
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) => {
                group.present = true;
                for item in items.iter().filter(|item| !reads(&item.expr, special)) {
                    // A constant needs no group.
                    if !item.expr.columns().is_empty() {
                        let key = group.key(item.expr.clone());
                        elements.push(vec![vec![key]]);
                    }
                }
                modifiers
            }
            GroupByExpr::Expressions(exprs, modifiers) => {
                group.present = !exprs.is_empty() || !modifiers.is_empty();
                for expr in exprs {
                    let element = self.group_element(expr, items, special, &mut cx, &mut group)?;
                    elements.push(element);
                }
                modifiers
            }
        };
        below.append(&mut cx.subqueries);
        let mut grouped = elements.iter().any(|element| element.len() != 1);
        for modifier in modifiers {
            grouped = true;
            match modifier {
                GroupByWithModifier::Rollup => elements = vec![rollup(&flatten(&elements))],
                GroupByWithModifier::Cube => elements = vec![cube(&flatten(&elements))?],
                GroupByWithModifier::GroupingSets(sets) => {
                    elements = vec![self.group_element(sets, items, special, &mut cx, &mut group)?];
                }
                GroupByWithModifier::Totals => return Err(Error::unsupported("WITH TOTALS is not supported.")),
            }
        }
        if grouped {
            group.sets = Some(product(&elements)?);
        }
        Ok(group)
    }

    /// The grouping sets of one element of the clause; a plain expression is one set of one key.
    fn group_element(
        &self,
        expr: &'a ast::Expr,
        items: &[Item],
        special: &BTreeSet<ColumnId>,
        cx: &mut ExprCx<'_, 'a>,
        group: &mut GroupBy,
    ) -> Result<Vec<Vec<usize>>> {
        let mut keys = |list: &'a [Vec<ast::Expr>]| {
            list.iter()
                .map(|set| {
                    set.iter().map(|e| self.group_key(e, items, special, cx, group)).collect::<Result<Vec<usize>>>()
                })
                .collect::<Result<Vec<Vec<usize>>>>()
        };
        match expr {
            ast::Expr::Rollup(list) => Ok(rollup(&keys(list)?)),
            ast::Expr::Cube(list) => cube(&keys(list)?),
            ast::Expr::GroupingSets(list) => keys(list),
            ast::Expr::Tuple(list) if list.is_empty() => Ok(vec![Vec::new()]),
            ast::Expr::Tuple(list) => Ok(vec![
                list.iter().map(|e| self.group_key(e, items, special, cx, group)).collect::<Result<Vec<usize>>>()?,
            ]),
            one => Ok(vec![vec![self.group_key(one, items, special, cx, group)?]]),
        }
    }

    fn group_key(
        &self,
        expr: &'a ast::Expr,
        items: &[Item],
        special: &BTreeSet<ColumnId>,
        cx: &mut ExprCx<'_, 'a>,
        group: &mut GroupBy,
    ) -> Result<usize> {
        let span = crate::parser::lexer::span_of(ast::Spanned::span(expr));
        let bound = match ordinal(expr) {
            Some(position) => {
                let item = usize::try_from(position).ok().and_then(|p| items.get(p.checked_sub(1)?));
                let Some(item) = item else {
                    let message = format!(
                        "GROUP BY position {position} is not in select list (valid range is [1, {}]).",
                        items.len()
                    );
                    return Err(Error::bind("GROUP_BY_POS_OUT_OF_RANGE", "42805", message).at(span));
                };
                if reads(&item.expr, special) {
                    let message = format!(
                        "GROUP BY {position} refers to an expression {} that contains an aggregate function. Aggregate \
                         functions are not allowed in GROUP BY.",
                        item.name
                    );
                    return Err(Error::bind("GROUP_BY_POS_AGGREGATE", "42903", message).at(span));
                }
                item.expr.clone()
            }
            None => self.expr(expr, cx)?,
        };
        if reads(&bound, special) {
            let message = format!("Aggregate functions are not allowed in GROUP BY, but found {bound}.");
            return Err(Error::bind("GROUP_BY_AGGREGATE", "42903", message).at(span));
        }
        Ok(group.key(bound))
    }

    /// Puts the aggregation above `plan`.
    pub(crate) fn apply_aggregate(
        &self,
        plan: LogicalPlan,
        group: GroupBy,
        aggregates: Vec<NamedAggregate>,
        groupings: Vec<Grouping>,
    ) -> Result<(LogicalPlan, Rewriter)> {
        let input: BTreeSet<ColumnId> = plan.column_ids().into_iter().collect();
        let mut rewriter = Rewriter { input, keys: Vec::new(), grouped: group.present, kept: BTreeSet::new() };
        let GroupBy { keys, sets, .. } = group;
        let Some(sets) = sets else {
            if let Some(grouping) = groupings.first() {
                let message = "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.";
                return Err(Error::bind("UNSUPPORTED_GROUPING_EXPRESSION", "42K0E", message).at(grouping.span));
            }
            let mut out = Vec::with_capacity(keys.len());
            for key in keys {
                let column = match key.as_column() {
                    Some(column) => column.clone(),
                    None => self.column_for(key.to_string(), &key),
                };
                rewriter.add(key.clone(), column.clone());
                out.push((column, key));
            }
            let plan = self.unary(LogicalOp::Aggregate { keys: out, aggregates }, plan);
            return Ok((plan, rewriter));
        };
        self.expand_sets(plan, keys, sets, aggregates, groupings, rewriter)
    }

    /// Grouping sets: one copy of each row per set, with NULL for keys that are not in it.
    fn expand_sets(
        &self,
        plan: LogicalPlan,
        keys: Vec<Expr>,
        sets: Vec<Vec<usize>>,
        aggregates: Vec<NamedAggregate>,
        groupings: Vec<Grouping>,
        mut rewriter: Rewriter,
    ) -> Result<(LogicalPlan, Rewriter)> {
        let id_of = |set: &[usize]| (0..keys.len()).fold(0i64, |id, key| id << 1 | i64::from(!set.contains(&key)));
        if keys.len() > 63 {
            return Err(Error::bind(
                "GROUPING_SIZE_LIMIT_EXCEEDED",
                "54000",
                "Grouping sets size cannot be greater than 64.",
            ));
        }
        let ids: Vec<i64> = sets.iter().map(|set| id_of(set)).collect();
        let distinct: BTreeSet<i64> = ids.iter().copied().collect();
        let input = plan.columns();
        let key_columns: Vec<ColumnRef> = keys.iter().map(|key| self.column(key.to_string(), key.ty(), true)).collect();
        let id_column = self.column("spark_grouping_id", SqlType::BigInt, false);
        // Equal sets are told apart by a position, since each returns its own groups.
        let position = (distinct.len() < ids.len()).then(|| self.column("_gen_grouping_pos", SqlType::BigInt, false));
        let projections = sets
            .iter()
            .enumerate()
            .map(|(at, set)| {
                let mut row = Self::column_exprs(&input);
                row.extend(
                    keys.iter().enumerate().map(
                        |(i, key)| {
                            if set.contains(&i) { key.clone() } else { Expr::null(key.ty()) }
                        },
                    ),
                );
                row.push(Expr::Literal(Scalar::BigInt(ids[at])));
                row.extend(position.iter().map(|_| Expr::Literal(Scalar::BigInt(at as i64))));
                row
            })
            .collect();
        let added: Vec<ColumnRef> = key_columns.iter().cloned().chain([id_column.clone()]).chain(position).collect();
        let columns = input.iter().chain(&added).cloned().collect();
        let plan = self.unary(LogicalOp::Expand { columns, projections }, plan);
        let group_keys = added.iter().map(|c| (c.clone(), Expr::Column(c.clone()))).collect();
        let plan = self.unary(LogicalOp::Aggregate { keys: group_keys, aggregates }, plan);
        for grouping in groupings {
            let value = grouping_value(&grouping, &keys, &distinct, &id_column)?;
            rewriter.keys.push((Expr::Column(grouping.column), value));
        }
        for (key, column) in keys.into_iter().zip(key_columns) {
            rewriter.add(key, column);
        }
        Ok((plan, rewriter))
    }
}

/// The value of `grouping(x)` or `grouping_id(…)`, by the grouping id.
fn grouping_value(grouping: &Grouping, keys: &[Expr], ids: &BTreeSet<i64>, id: &ColumnRef) -> Result<Expr> {
    let bit_of = |arg: &Expr| {
        keys.iter().position(|key| key == arg).map(|at| keys.len() - 1 - at).ok_or_else(|| {
            let message = format!("Column of grouping ({arg}) can't be found in grouping columns.");
            Error::bind("GROUPING_COLUMN_MISMATCH", "42803", message).at(grouping.span)
        })
    };
    let bits: Vec<usize> = grouping.args.iter().map(bit_of).collect::<Result<_>>()?;
    let id = Expr::Column(id.clone());
    let whole: Vec<usize> = (0..keys.len()).rev().collect();
    if !grouping.single && (bits.is_empty() || bits == whole) {
        return Ok(id);
    }
    let literal = |value: i64| match grouping.single {
        true => Expr::Literal(Scalar::TinyInt(value as i8)),
        false => Expr::Literal(Scalar::BigInt(value)),
    };
    let mut by_value: BTreeMap<i64, Vec<Expr>> = BTreeMap::new();
    for known in ids {
        let value = bits.iter().fold(0, |value, bit| value << 1 | (known >> bit & 1));
        by_value.entry(value).or_default().push(Expr::eq(id.clone(), Expr::Literal(Scalar::BigInt(*known))));
    }
    let branches: Vec<(Expr, Expr)> = by_value
        .into_iter()
        .filter(|(value, _)| *value != 0)
        .map(|(value, any)| (Expr::or(any), literal(value)))
        .collect();
    if branches.is_empty() {
        return Ok(literal(0));
    }
    Ok(Expr::Case { branches, otherwise: Box::new(literal(0)) })
}

/// Replaces grouping expressions by the columns of the groups.
pub(crate) struct Rewriter {
    /// Columns of the input of the aggregation.
    input: BTreeSet<ColumnId>,
    /// Expressions and what they become.
    keys: Vec<(Expr, Expr)>,
    /// Whether there is a GROUP BY.
    grouped: bool,
    /// Columns of the input that are readable above: keys that are plain columns.
    kept: BTreeSet<ColumnId>,
}

impl Rewriter {
    fn add(&mut self, key: Expr, column: ColumnRef) {
        if self.input.contains(&column.id) {
            self.kept.insert(column.id);
        }
        self.keys.push((key, Expr::Column(column)));
    }

    fn replace(&self, expr: Expr, top: bool) -> Expr {
        let matches = |from: &Expr| (top || !matches!(from, Expr::Literal(_))) && *from == expr;
        if let Some((_, to)) = self.keys.iter().find(|(from, _)| matches(from)) {
            return to.clone();
        }
        expr.map_children(&mut |child| self.replace(child, false))
    }

    /// The expression above the aggregation.
    ///
    /// Errors: `MISSING_AGGREGATION`, `MISSING_GROUP_BY`.
    pub(crate) fn rewrite(&self, expr: Expr, shown: &str) -> Result<Expr> {
        let expr = self.replace(expr, true);
        let mut wrong = None;
        expr.visit(&mut |e| {
            if let Expr::Column(column) = e
                && self.input.contains(&column.id)
                && !self.kept.contains(&column.id)
            {
                wrong.get_or_insert_with(|| column.name.clone());
            }
        });
        let Some(column) = wrong else { return Ok(expr) };
        if !self.grouped {
            return Err(Error::bind(
                "MISSING_GROUP_BY",
                "42803",
                "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER clauses.",
            ));
        }
        let shown = if shown.is_empty() { &*column } else { shown };
        Err(Error::bind(
            "MISSING_AGGREGATION",
            "42803",
            format!(
                "The non-aggregating expression \"{shown}\" is based on columns which are not participating in the GROUP BY \
                 clause. Add the columns or the expression to the GROUP BY, aggregate the expression, or use \
                 \"any_value({shown})\" if you do not care which of the values within a group is returned."
            ),
        ))
    }

    pub(crate) fn windows(&self, windows: Vec<PendingWindow>) -> Result<Vec<PendingWindow>> {
        windows
            .into_iter()
            .map(|window| {
                let span = window.call.span;
                let mut failed = None;
                let mut rewrite = |expr: Expr| match self.rewrite(expr.clone(), "") {
                    Ok(expr) => expr,
                    Err(error) => {
                        failed.get_or_insert(error);
                        expr
                    }
                };
                let call = window.call.map_exprs(&mut rewrite);
                let partition_by = window.partition_by.into_iter().map(&mut rewrite).collect();
                let order_by = window
                    .order_by
                    .into_iter()
                    .map(|key| firesteel_expr::SortKey { expr: rewrite(key.expr), ..key })
                    .collect();
                match failed {
                    Some(error) => Err(error.at(span)),
                    None => Ok(PendingWindow { call, partition_by, order_by }),
                }
            })
            .collect()
    }

    /// Subqueries that stand above the aggregation: they see groups, not rows.
    pub(crate) fn subqueries(&self, subqueries: Vec<PendingSubquery>) -> Result<Vec<PendingSubquery>> {
        subqueries
            .into_iter()
            .map(|subquery| {
                let condition = subquery.condition.map(|c| self.rewrite(c, "")).transpose().at(subquery.span)?;
                let plan = self.rewrite_plan(subquery.plan).at(subquery.span)?;
                Ok(PendingSubquery { condition, plan, ..subquery })
            })
            .collect()
    }

    fn rewrite_plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut outer = false;
        plan.visit(&mut |node| {
            for expr in node.expressions() {
                outer |= !expr.reads_only(|id| !self.input.contains(&id));
            }
        });
        if !outer {
            return Ok(plan);
        }
        plan.transform_up(&mut |node| {
            let mut failed = None;
            let node = node.map_expressions(&mut |expr| match self.rewrite(expr.clone(), "") {
                Ok(expr) => expr,
                Err(error) => {
                    failed.get_or_insert(error);
                    expr
                }
            });
            failed.map_or(Ok(node), Err)
        })
    }
}

impl GroupBy {
    /// Whether a subquery of the select list is grouped by: its rows are needed before there are groups.
    pub(crate) fn reads(&self, subquery: &PendingSubquery) -> bool {
        let mut columns: BTreeSet<ColumnId> = subquery.plan.column_ids().into_iter().collect();
        if let JoinKind::Mark(mark) = &subquery.kind {
            columns.insert(mark.id);
        }
        self.keys.iter().any(|key| reads(key, &columns))
    }

    /// The position of a key, which is added if it is new.
    pub(crate) fn key(&mut self, expr: Expr) -> usize {
        match self.keys.iter().position(|key| *key == expr) {
            Some(at) => at,
            None => {
                self.keys.push(expr);
                self.keys.len() - 1
            }
        }
    }
}

/// Whether an expression reads one of the columns.
pub(crate) fn reads(expr: &Expr, columns: &BTreeSet<ColumnId>) -> bool {
    !columns.is_empty() && !expr.reads_only(|id| !columns.contains(&id))
}

/// The position that an integer literal names in GROUP BY and ORDER BY.
pub(crate) fn ordinal(expr: &ast::Expr) -> Option<i64> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => ordinal(expr).map(|position| -position),
        _ => None,
    }
}

fn flatten(elements: &[Vec<Vec<usize>>]) -> Vec<Vec<usize>> {
    elements.iter().flatten().cloned().collect()
}

fn concat<'s>(parts: impl IntoIterator<Item = &'s Vec<usize>>) -> Vec<usize> {
    let mut set: Vec<usize> = Vec::new();
    for key in parts.into_iter().flatten() {
        if !set.contains(key) {
            set.push(*key);
        }
    }
    set
}

/// The sets of ROLLUP: all prefixes.
pub(crate) fn rollup(parts: &[Vec<usize>]) -> Vec<Vec<usize>> {
    (0..=parts.len()).rev().map(|n| concat(&parts[..n])).collect()
}

/// The sets of CUBE: all subsets.
pub(crate) fn cube(parts: &[Vec<usize>]) -> Result<Vec<Vec<usize>>> {
    if parts.len() > 12 {
        return Err(Error::unsupported("CUBE of more than 12 expressions is not supported."));
    }
    let chosen = |mask: usize| {
        let parts = parts.iter().enumerate().filter(move |(i, _)| mask >> (parts.len() - 1 - i) & 1 == 1);
        concat(parts.map(|(_, part)| part))
    };
    Ok((0..1usize << parts.len()).rev().map(chosen).collect())
}

/// `GROUP BY a, ROLLUP(b, c)`: every combination of one set of each element.
fn product(elements: &[Vec<Vec<usize>>]) -> Result<Vec<Vec<usize>>> {
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    for element in elements {
        if sets.len() * element.len() > MAX_SETS {
            return Err(Error::unsupported(format!("More than {MAX_SETS} grouping sets are not supported.")));
        }
        sets = sets.iter().flat_map(|set| element.iter().map(move |part| concat([set, part]))).collect();
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_rollup_and_cube() {
        let parts = [vec![0], vec![1]];
        assert_eq!(rollup(&parts), [vec![0, 1], vec![0], vec![]]);
        assert_eq!(cube(&parts).unwrap(), [vec![0, 1], vec![0], vec![1], vec![]]);
        let both = product(&[vec![vec![2]], rollup(&parts)]).unwrap();
        assert_eq!(both, [vec![2, 0, 1], vec![2, 0], vec![2]]);
    }
}
