//! Cardinality estimation: how many rows a plan returns, and what its columns look like.
//!
//! Estimates start from the facts of tables (rows, bounds, distinct values), from samples where there
//! are any, and from exact counts of what has already run. Between them the classic assumptions are
//! used: values are spread evenly, columns are independent, and the smaller set of join keys is
//! contained in the larger one. A column keeps the number of values that it had before filters on other
//! columns: what two sides have left of their keys are independent parts of that. Two corrections keep the known failures of these in bounds: the keys
//! of a join on several columns have no more combinations than their table has rows, and a filter
//! never lets fewer than one row through.

mod join;
mod selectivity;

use std::collections::BTreeMap;

use firesteel_common::{ColumnId, SqlType};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{ColumnEstimate, JoinKind, LogicalOp, LogicalPlan, Scan, Statistics};

use crate::remembered::recalled_rows;
use crate::rule::OptimizerContext;

pub use join::{join_rows, join_statistics};
pub use selectivity::selectivity;

/// Rows that a table is believed to have when nothing is known of it.
const UNKNOWN_ROWS: f64 = 100_000.0;

/// What is believed of the rows that `plan` returns, or what an earlier query has counted.
pub fn estimate(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Statistics {
    let stats = believed(plan, cx);
    match recalled_rows(plan, cx) {
        Some(rows) => with_rows(stats, rows, false),
        None => stats,
    }
}

/// What is believed of the rows that `plan` returns, from what is known of its inputs.
pub(crate) fn believed(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> Statistics {
    let input = |i: usize| plan.inputs.get(i).map(|p| estimate(p, cx)).unwrap_or_default();
    match &plan.op {
        LogicalOp::Pinned(pinned) => pinned.stats.clone(),
        LogicalOp::Scan(scan) => estimate_scan(plan, scan, cx),
        LogicalOp::Values { columns, rows } => estimate_values(columns, rows),
        LogicalOp::Filter { predicate } => filtered(input(0), predicate),
        LogicalOp::Project { exprs } => estimate_project(&input(0), exprs.iter().map(|(c, e)| (c, e))),
        LogicalOp::Aggregate { keys, aggregates } => {
            let input = input(0);
            let mut stats = estimate_project(&input, keys.iter().map(|(c, e)| (c, e)));
            for aggregate in aggregates {
                stats.columns.insert(aggregate.column.id, default_column(&aggregate.column.ty));
            }
            let key_columns: Vec<&ColumnEstimate> = keys.iter().filter_map(|(c, _)| stats.columns.get(&c.id)).collect();
            let rows = if keys.is_empty() { 1.0 } else { distinct_rows(&key_columns, input.rows) };
            let exact = keys.is_empty() || (input.exact && input.rows == 0.0);
            with_rows(stats, rows, exact)
        }
        LogicalOp::Expand { columns, projections } => {
            let input = input(0);
            let first = projections.first().map(Vec::as_slice).unwrap_or_default();
            let mut stats = estimate_project(&input, columns.iter().zip(first));
            let copies = projections.len() as f64;
            stats
                .columns
                .values_mut()
                .for_each(|c| c.null_fraction = c.null_fraction.max(0.5 * (copies - 1.0) / copies.max(1.0)));
            stats.rows = input.rows * copies;
            stats.exact = input.exact;
            stats
        }
        LogicalOp::Join { kind, on, residual, .. } => {
            join_statistics(kind, on, residual.as_ref(), &input(0), &input(1))
        }
        LogicalOp::DependentJoin { kind, condition } => {
            join_statistics(kind, &[], condition.as_ref(), &input(0), &input(1))
        }
        LogicalOp::Window { calls, .. } => {
            let mut stats = input(0);
            for call in calls {
                stats.columns.insert(call.column.id, default_column(&call.column.ty));
            }
            stats
        }
        LogicalOp::Sort { fetch, .. } => limited(input(0), 0, *fetch),
        LogicalOp::Limit { skip, fetch } => limited(input(0), *skip, *fetch),
        LogicalOp::Union { columns } => estimate_union(plan, columns, cx),
        LogicalOp::SetOp { columns, .. } => {
            let (left, right) = (input(0), input(1));
            let mut stats = positional(&left, plan.inputs.first(), columns);
            stats.rows = left.rows.min(left.rows.max(right.rows) * 0.5).max(1.0);
            stats.exact = false;
            stats
        }
        LogicalOp::Repartition { .. } | LogicalOp::Hint { .. } => input(0),
    }
}

/// Bytes of a row with these columns, as it is held in memory.
pub fn row_width(columns: &[ColumnRef], stats: &Statistics) -> f64 {
    let width = |c: &ColumnRef| match stats.columns.get(&c.id) {
        Some(column) if column.width > 0.0 => column.width,
        _ => c.ty.default_width() as f64,
    };
    columns.iter().map(width).sum::<f64>().max(1.0)
}

/// An estimate for a column of which only the type is known.
pub(crate) fn default_column(ty: &SqlType) -> ColumnEstimate {
    let distinct = match ty {
        SqlType::Boolean => Some(2.0),
        SqlType::TinyInt => Some(256.0),
        _ => None,
    };
    ColumnEstimate { distinct, width: ty.default_width() as f64, ..ColumnEstimate::default() }
}

/// Number of different combinations of columns in `rows` rows: independent columns, but no more combinations of those
/// that come from one input of a join than it had rows, and never more than there are rows.
fn distinct_rows(columns: &[&ColumnEstimate], rows: f64) -> f64 {
    let distinct = |column: &ColumnEstimate| {
        let values = column.distinct.unwrap_or_else(|| (rows * 0.1).max(1.0));
        (values + if column.null_fraction > 0.0 { 1.0 } else { 0.0 }).max(1.0)
    };
    let mut inputs: BTreeMap<ColumnId, (f64, f64)> = BTreeMap::new();
    let mut combined = 1.0;
    for column in columns {
        match column.input {
            Some((id, rows)) => inputs.entry(id).or_insert((1.0, rows)).0 *= distinct(column),
            None => combined *= distinct(column),
        }
    }
    combined *= inputs.values().map(|(combinations, rows)| combinations.min(rows.max(1.0))).product::<f64>();
    combined.min(rows)
}

/// `stats` with another number of rows; no column keeps more distinct values than that.
pub(crate) fn with_rows(mut stats: Statistics, rows: f64, exact: bool) -> Statistics {
    stats.rows = rows;
    stats.exact = exact;
    for column in stats.columns.values_mut() {
        column.distinct = column.distinct.map(|d| d.min(rows.max(1.0)));
    }
    stats
}

/// Distinct values that are left when `fraction` of the rows is drawn at random from `rows` rows.
pub(crate) fn surviving_distinct(distinct: f64, rows: f64, fraction: f64) -> f64 {
    if distinct <= 0.0 || rows <= 0.0 || fraction >= 1.0 {
        return distinct;
    }
    let per_value = (rows / distinct).max(1.0);
    (distinct * (1.0 - (1.0 - fraction).powf(per_value))).max(1.0)
}

/// `stats` after `predicate`.
pub fn filtered(stats: Statistics, predicate: &Expr) -> Statistics {
    let fraction = selectivity(predicate, &stats);
    let narrowed = narrowed(stats, std::slice::from_ref(predicate), None);
    scaled(narrowed, fraction)
}

/// `stats` with what `predicates` tell of the columns. What a predicate on a single column takes away of its values
/// is no partner for anything else either, so that the column's domain gets smaller; `sampled` is known of all together.
fn narrowed(mut stats: Statistics, predicates: &[Expr], sampled: Option<f64>) -> Statistics {
    let parts: Vec<Expr> = predicates.iter().cloned().flat_map(Expr::conjuncts).collect();
    let columns: Vec<Vec<ColumnRef>> = parts.iter().map(Expr::columns).collect();
    let mut single: BTreeMap<ColumnId, f64> = BTreeMap::new();
    for (part, columns) in parts.iter().zip(&columns) {
        // A domain does not count NULL.
        if let ([column], None) = (columns.as_slice(), part.as_call(op::IS_NOT_NULL)) {
            *single.entry(column.id).or_insert(1.0) *= selectivity(part, &stats);
        }
    }
    if let (Some(fraction), [(_, of_all)]) = (sampled, single.iter_mut().collect::<Vec<_>>().as_mut_slice())
        && columns.iter().all(|columns| columns.len() == 1)
    {
        **of_all = fraction;
    }
    for (id, fraction) in single {
        if let Some(column) = stats.columns.get_mut(&id) {
            column.domain = column.domain.or(column.distinct).map(|values| (values * fraction).max(1.0));
        }
    }
    predicates.iter().fold(stats, selectivity::narrow)
}

/// `stats` when only `fraction` of the rows is left.
pub(crate) fn scaled(mut stats: Statistics, fraction: f64) -> Statistics {
    if stats.rows <= 0.0 || fraction >= 1.0 {
        return stats;
    }
    let rows = (stats.rows * fraction).max(1.0f64.min(stats.rows));
    for column in stats.columns.values_mut() {
        column.distinct =
            column.distinct.map(|d| surviving_distinct(d, stats.rows, rows / stats.rows).min(rows.max(1.0)));
    }
    stats.rows = rows;
    stats.exact = false;
    stats
}

fn limited(stats: Statistics, skip: u64, fetch: Option<u64>) -> Statistics {
    let rows = (stats.rows - skip as f64).max(0.0);
    let rows = fetch.map_or(rows, |n| rows.min(n as f64));
    let exact = stats.exact || fetch == Some(0);
    with_rows(stats, rows, exact)
}

fn estimate_scan(plan: &LogicalPlan, scan: &Scan, cx: &OptimizerContext<'_>) -> Statistics {
    let table = cx.tables.statistics(&scan.table);
    let rows = table.as_ref().and_then(|t| t.rows).map_or(UNKNOWN_ROWS, |r| r as f64);
    let exact = table.as_ref().is_some_and(|t| t.exact && t.rows.is_some());
    let mut stats = Statistics { rows, exact, ..Statistics::default() };
    for (i, column) in scan.source.iter().enumerate() {
        let mut estimate = default_column(&column.ty);
        if let Some(known) = table.as_ref().and_then(|t| t.columns.get(i)) {
            estimate.min = known.min.clone();
            estimate.max = known.max.clone();
            estimate.distinct = known.distinct.map(|d| d as f64).or(estimate.distinct);
            estimate.width = known.width.unwrap_or(estimate.width);
            estimate.null_fraction = known.nulls.map_or(0.0, |n| n as f64 / rows.max(1.0));
        }
        if estimate.distinct.is_none() {
            estimate.distinct = selectivity::distinct_of_range(&estimate, &column.ty);
        }
        estimate.distinct = estimate.distinct.map(|d| d.min(rows.max(1.0)));
        estimate.domain = estimate.distinct;
        estimate.sparse = estimate
            .distinct
            .zip(selectivity::distinct_of_range(&estimate, &column.ty))
            .is_some_and(|(distinct, range)| distinct >= range.min(rows.max(1.0)));
        stats.columns.insert(column.id, estimate);
    }
    let stats = match cx.facts.selectivity.get(&plan.id) {
        Some(fraction) if !scan.filters.is_empty() => {
            scaled(narrowed(stats, &scan.filters, Some(*fraction)), *fraction)
        }
        _ if scan.filters.is_empty() => stats,
        _ => filtered(stats, &Expr::and(scan.filters.iter().cloned())),
    };
    limited(stats, 0, scan.limit)
}

fn estimate_values(columns: &[ColumnRef], rows: &[Vec<Expr>]) -> Statistics {
    let mut stats = Statistics { rows: rows.len() as f64, exact: true, ..Statistics::default() };
    for (i, column) in columns.iter().enumerate() {
        let mut values: Vec<&Expr> = rows.iter().filter_map(|row| row.get(i)).take(1000).collect();
        let sampled = values.len();
        values.dedup();
        let mut estimate = default_column(&column.ty);
        estimate.distinct = Some((values.len() as f64 * rows.len() as f64 / sampled.max(1) as f64).max(1.0));
        stats.columns.insert(column.id, estimate);
    }
    stats
}

fn estimate_project<'e>(input: &Statistics, exprs: impl Iterator<Item = (&'e ColumnRef, &'e Expr)>) -> Statistics {
    let mut stats = Statistics { rows: input.rows, exact: input.exact, ..Statistics::default() };
    for (column, expr) in exprs {
        stats.columns.insert(column.id, expression_estimate(expr, input));
    }
    stats
}

/// What is believed of the values of an expression.
pub(crate) fn expression_estimate(expr: &Expr, input: &Statistics) -> ColumnEstimate {
    match expr {
        Expr::Column(column) => input.columns.get(&column.id).cloned().unwrap_or_else(|| default_column(&column.ty)),
        Expr::Literal(value) => ColumnEstimate {
            input: None,
            distinct: Some(1.0),
            domain: None,
            sparse: false,
            matched: Vec::new(),
            min: (!value.is_null()).then(|| value.clone()),
            max: (!value.is_null()).then(|| value.clone()),
            null_fraction: if value.is_null() { 1.0 } else { 0.0 },
            width: value.ty().default_width() as f64,
        },
        // A conversion between numbers keeps their number; the bounds change type and are given up.
        Expr::Cast { input: inner, to, .. } => {
            let mut estimate = expression_estimate(inner, input);
            estimate.min = None;
            estimate.max = None;
            estimate.width = to.default_width() as f64;
            estimate
        }
        other => {
            let mut estimate = default_column(&other.ty());
            let distinct = other
                .columns()
                .iter()
                .map(|c| input.columns.get(&c.id).and_then(|c| c.distinct))
                .try_fold(1.0f64, |all, d| d.map(|d| all * d.max(1.0)));
            estimate.distinct = match other {
                // Parts of dates are few.
                Expr::Call(call) if &*call.function == "year" => Some(distinct.unwrap_or(50.0).min(50.0)),
                Expr::Call(call) if matches!(&*call.function, "month" | "day" | "hour" | "quarter") => Some(31.0),
                Expr::Call(call) if matches!(&*call.function, op::MODULO | "pmod") => {
                    call.args.get(1).and_then(Expr::as_literal).and_then(firesteel_common::Scalar::as_f64).or(distinct)
                }
                _ => estimate.distinct.or(distinct).map(|d| d.min(input.rows.max(1.0))),
            };
            estimate
        }
    }
}

/// The statistics of `input`'s columns, under the ids of `columns`.
fn positional(stats: &Statistics, input: Option<&LogicalPlan>, columns: &[ColumnRef]) -> Statistics {
    let mut out = Statistics { rows: stats.rows, exact: stats.exact, ..Statistics::default() };
    let below = input.map(LogicalPlan::columns).unwrap_or_default();
    for (column, source) in columns.iter().zip(below) {
        let estimate = stats.columns.get(&source.id).cloned().unwrap_or_else(|| default_column(&column.ty));
        out.columns.insert(column.id, estimate);
    }
    out
}

fn estimate_union(plan: &LogicalPlan, columns: &[ColumnRef], cx: &OptimizerContext<'_>) -> Statistics {
    let parts: Vec<Statistics> =
        plan.inputs.iter().map(|input| positional(&estimate(input, cx), Some(input), columns)).collect();
    let mut out = Statistics { exact: parts.iter().all(|p| p.exact), ..Statistics::default() };
    out.rows = parts.iter().map(|p| p.rows).sum();
    for column in columns {
        let estimates: Vec<&ColumnEstimate> = parts.iter().filter_map(|p| p.columns.get(&column.id)).collect();
        let mut estimate = default_column(&column.ty);
        estimate.distinct = estimates.iter().map(|e| e.distinct).try_fold(0.0f64, |all, d| d.map(|d| all.max(d)));
        estimate.width = estimates.iter().map(|e| e.width).fold(0.0, f64::max);
        out.columns.insert(column.id, estimate);
    }
    out
}

/// Whether a join of this kind returns every left row once.
pub(crate) fn keeps_left_rows(kind: &JoinKind) -> bool {
    matches!(kind, JoinKind::LeftSingle(_) | JoinKind::Mark(_))
}
