//! PIVOT, UNPIVOT and TABLESAMPLE: relations made of another one.

use std::collections::BTreeSet;
use std::sync::Arc;

use firesteel_common::{ColumnId, Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate, op};
use firesteel_plan::{LogicalOp, LogicalPlan};
use sqlparser::ast::{
    self, ExprWithAlias, NullInclusion, PivotValueSource, Spanned, TableFactor, TableSampleKind, TableSampleUnit, Value,
};

use crate::binder::expr::ExprCx;
use crate::binder::{Binder, Ctes, Env, Scope, ScopeColumn, names};
use crate::call::{bind_aggregate, bind_case, to_common_type};
use crate::parser::lexer::span_of;

/// The parts of a tuple, or the expression itself.
fn parts(expr: &ast::Expr) -> Vec<&ast::Expr> {
    match expr {
        ast::Expr::Tuple(items) => items.iter().collect(),
        ast::Expr::Nested(inner) => parts(inner),
        one => vec![one],
    }
}

/// The name that a value of PIVOT gives to its columns.
fn value_name(value: &ExprWithAlias) -> String {
    let text = |expr: &ast::Expr| match expr {
        ast::Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Null => "null".to_owned(),
            _ => names::pretty(expr),
        },
        ast::Expr::TypedString(typed) => typed.value.value.clone().into_string().unwrap_or_default(),
        other => names::pretty(other),
    };
    match (&value.alias, &value.expr) {
        (Some(alias), _) => alias.value.clone(),
        (None, ast::Expr::Tuple(items)) => format!("{{{}}}", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        (None, expr) => text(expr),
    }
}

impl<'a> Binder<'a> {
    /// `PIVOT (aggregates FOR columns IN (values))`: groups by all columns that it does not mention, with the
    /// aggregates of the rows of each value side by side. A value without rows in a group has NULL, even for `count`.
    pub(super) fn pivot(
        &self,
        factor: &'a TableFactor,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let TableFactor::Pivot { table, aggregate_functions, value_column, value_source, alias, .. } = factor else {
            return Err(Error::internal("no PIVOT"));
        };
        let PivotValueSource::List(values) = value_source else {
            return Err(Error::unsupported("PIVOT without a list of values is not supported."));
        };
        let (plan, scope) = self.factor(table, ctes, outer)?;
        let env = Env::new(&scope, ctes.clone(), outer);
        let mut cx = ExprCx::plain(&env, "PIVOT");
        let wanted = value_column.iter().flat_map(parts).map(|e| self.expr(e, &mut cx)).collect::<Result<Vec<_>>>()?;
        cx.no_aggregates = None;
        let mut results = Vec::with_capacity(aggregate_functions.len());
        for function in aggregate_functions {
            let bound = self.bind(&function.expr, &mut cx)?;
            let name = function.alias.as_ref().map_or_else(|| names::pretty(&function.expr), |a| a.value.clone());
            let aggregates: BTreeSet<ColumnId> = cx.aggregates.iter().map(|a| a.column.id).collect();
            if !bound.expr.reads_only(|id| aggregates.contains(&id)) || bound.expr.columns().is_empty() {
                let message = format!(
                    "Aggregate expression required for pivot, but '{}' did not appear in any aggregate function.",
                    names::pretty(&function.expr)
                );
                return Err(Error::bind("PIVOT_AGGREGATE_REQUIRED", "42803", message).at(bound.span));
            }
            results.push((name, bound.expr));
        }
        let base = std::mem::take(&mut cx.aggregates);
        let mut used: BTreeSet<ColumnId> = wanted.iter().flat_map(Expr::columns).map(|c| c.id).collect();
        let arguments = base.iter().flat_map(|a| a.call.args.iter().chain(&a.call.filter));
        used.extend(arguments.flat_map(Expr::columns).map(|c| c.id));
        let kept: Vec<ScopeColumn> = scope.visible().filter(|c| !used.contains(&c.column.id)).cloned().collect();

        let mut aggregates = Vec::new();
        let mut computed = Vec::new();
        for value in values {
            let is_value = self.is_pivot_value(value, &wanted, &env)?;
            let present =
                bind_aggregate("count", Vec::new(), false, Some(is_value.clone()), Span::NONE, self.cx.registry)?;
            let present = NamedAggregate::new(self.cx.ids.column(), "present", present);
            let mut own = Vec::with_capacity(base.len());
            for aggregate in &base {
                let mut call = aggregate.call.clone();
                call.filter = Some(Expr::and(call.filter.take().into_iter().chain([is_value.clone()])));
                own.push(NamedAggregate::new(self.cx.ids.column(), aggregate.column.name.clone(), call));
            }
            let value_name = value_name(value);
            for (name, expr) in &results {
                let expr = expr.clone().transform(&mut |e| match &e {
                    Expr::Column(column) => match base.iter().position(|a| a.column.id == column.id) {
                        Some(at) => Expr::Column(own[at].column.clone()),
                        None => e,
                    },
                    _ => e,
                });
                let zero = Expr::Literal(Scalar::BigInt(0));
                let there = self.call(op::GT, vec![Expr::Column(present.column.clone()), zero], Span::NONE)?;
                let expr = bind_case(vec![(there, expr)], None, Span::NONE)?;
                let name = if results.len() == 1 { value_name.clone() } else { format!("{value_name}_{name}") };
                computed.push((self.column_for(name, &expr), expr));
            }
            aggregates.push(present);
            aggregates.extend(own);
        }
        let keys = kept.iter().map(|c| (c.column.clone(), Expr::Column(c.column.clone()))).collect();
        let plan = self.unary(LogicalOp::Aggregate { keys, aggregates }, plan);
        let mut exprs: Vec<(ColumnRef, Expr)> =
            kept.iter().map(|c| (c.column.clone(), Expr::Column(c.column.clone()))).collect();
        let mut columns: Vec<(Arc<str>, ColumnRef)> = kept.iter().map(|c| (c.name.clone(), c.column.clone())).collect();
        columns.extend(computed.iter().map(|(column, _)| (column.name.clone(), column.clone())));
        exprs.extend(computed);
        let plan = self.unary(LogicalOp::Project { exprs }, plan);
        self.aliased(plan, Scope::of(Vec::new(), columns), alias.as_ref())
    }

    /// The test whether a row has the values that PIVOT lists.
    fn is_pivot_value(&self, value: &'a ExprWithAlias, wanted: &[Expr], env: &Env<'_, 'a>) -> Result<Expr> {
        let values = parts(&value.expr);
        if values.len() != wanted.len() {
            let message = "A value of PIVOT has not as many parts as there are columns.";
            let error = Error::bind("PIVOT_VALUE_DATA_TYPE_MISMATCH", "42K09", message);
            return Err(error.at(span_of(value.expr.span())));
        }
        let tests = values.into_iter().zip(wanted).map(|(part, column)| {
            let span = span_of(part.span());
            let part = self.expr(part, &mut ExprCx::plain(env, "PIVOT"))?;
            self.call(op::NULL_SAFE_EQ, vec![column.clone(), part], span)
        });
        Ok(Expr::and(tests.collect::<Result<Vec<_>>>()?))
    }

    /// `UNPIVOT (value FOR name IN (columns))`: a row for each of the columns, with its name and its value.
    pub(super) fn unpivot(
        &self,
        factor: &'a TableFactor,
        ctes: &Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<(LogicalPlan, Scope)> {
        let TableFactor::Unpivot { table, value, null_inclusion, name, columns, alias } = factor else {
            return Err(Error::internal("no UNPIVOT"));
        };
        let (plan, scope) = self.factor(table, ctes, outer)?;
        let env = Env::new(&scope, ctes.clone(), outer);
        let mut cx = ExprCx::plain(&env, "UNPIVOT");
        let value_names: Vec<String> = parts(value).into_iter().map(names::column_name).collect();
        // The values of each row that comes of a row.
        let mut rows: Vec<Vec<Expr>> = Vec::with_capacity(columns.len());
        let mut labels = Vec::with_capacity(columns.len());
        for column in columns {
            let items = parts(&column.expr);
            let span = span_of(column.expr.span());
            if items.len() != value_names.len() {
                let message = format!(
                    "All unpivot value columns must have the same size as there are value column names ({}).",
                    value_names.join(", ")
                );
                return Err(Error::bind("UNPIVOT_VALUE_SIZE_MISMATCH", "428C4", message).at(span));
            }
            let own: Vec<String> = items.iter().map(|item| names::column_name(item)).collect();
            labels.push(column.alias.as_ref().map_or_else(|| own.join("_"), |alias| alias.value.clone()));
            rows.push(items.into_iter().map(|item| self.expr(item, &mut cx)).collect::<Result<_>>()?);
        }
        let used: BTreeSet<ColumnId> = rows.iter().flatten().flat_map(Expr::columns).map(|c| c.id).collect();
        for at in 0..value_names.len() {
            let list: Vec<Expr> = rows.iter().map(|row| row[at].clone()).collect();
            let texts = list.iter().filter(|e| e.ty().is_string()).count();
            let mixed = texts > 0 && list.iter().any(|e| !e.ty().is_string() && e.ty() != SqlType::Void);
            let list = if mixed {
                // No value is taken for a number, or made a text, without being asked.
                Err(Error::internal("Unpivot value columns must share a least common type."))
            } else {
                to_common_type("unpivot", list, Span::NONE)
            };
            let list = list.map_err(|error| {
                Error::bind("UNPIVOT_VALUE_DATA_TYPE_MISMATCH", "42K09", error.message().to_owned())
                    .at(span_of(value.span()))
            })?;
            rows.iter_mut().zip(list).for_each(|(row, value)| row[at] = value);
        }
        let kept: Vec<ScopeColumn> = scope.visible().filter(|c| !used.contains(&c.column.id)).cloned().collect();
        let label = self.column(name.value.as_str(), SqlType::String, false);
        let types = rows.first().map(|row| row.iter().map(Expr::ty).collect::<Vec<_>>()).unwrap_or_default();
        let made: Vec<ColumnRef> =
            value_names.iter().zip(types).map(|(name, ty)| self.column(name.as_str(), ty, true)).collect();
        let row = |(label, values): (String, Vec<Expr>)| {
            let own = kept.iter().map(|c| Expr::Column(c.column.clone()));
            own.chain([Expr::Literal(Scalar::string(&label))]).chain(values).collect()
        };
        let projections: Vec<Vec<Expr>> = labels.into_iter().zip(rows).map(row).collect();
        let all: Vec<ColumnRef> =
            kept.iter().map(|c| c.column.clone()).chain([label]).chain(made.iter().cloned()).collect();
        let mut plan = self.unary(LogicalOp::Expand { columns: all.clone(), projections }, plan);
        if !matches!(null_inclusion, Some(NullInclusion::IncludeNulls)) {
            let test = |column: &ColumnRef| self.call(op::IS_NOT_NULL, vec![Expr::Column(column.clone())], Span::NONE);
            let tests = made.iter().map(test).collect::<Result<Vec<_>>>()?;
            plan = self.filter(Expr::or(tests), plan);
        }
        let columns = all.into_iter().map(|column| (column.name.clone(), column));
        let names = kept.iter().map(|c| c.name.clone());
        let columns: Vec<(Arc<str>, ColumnRef)> = columns
            .zip(names.map(Some).chain(std::iter::repeat(None)))
            .map(|((own, column), name)| (name.unwrap_or(own), column))
            .collect();
        self.aliased(plan, Scope::of(Vec::new(), columns), alias.as_ref())
    }

    /// TABLESAMPLE: a share of the rows, each taken by chance, or the first few.
    pub(super) fn sample(&self, plan: LogicalPlan, sample: Option<&'a TableSampleKind>) -> Result<LogicalPlan> {
        let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample else {
            return Ok(plan);
        };
        let number = |value: &Value| match value {
            Value::Number(text, _) => text.parse::<f64>().ok(),
            _ => None,
        };
        let share = match (&sample.quantity, &sample.bucket) {
            (Some(quantity), _) if quantity.unit == Some(TableSampleUnit::Rows) => {
                let rows = self.constant(&quantity.value, "TABLESAMPLE")?.as_i64().and_then(|n| u64::try_from(n).ok());
                let rows =
                    rows.ok_or_else(|| Error::syntax("The number of rows of TABLESAMPLE must be an integer."))?;
                return Ok(self.unary(LogicalOp::Limit { skip: 0, fetch: Some(rows) }, plan));
            }
            (Some(quantity), _) if quantity.unit == Some(TableSampleUnit::Percent) => {
                let value = self.constant(&quantity.value, "TABLESAMPLE")?;
                value.as_f64().map(|percent| percent / 100.0)
            }
            (_, Some(bucket)) if bucket.on.is_none() => {
                match (number(&bucket.bucket.value), number(&bucket.total.value)) {
                    (Some(bucket), Some(total)) if total > 0.0 => Some(bucket / total),
                    _ => None,
                }
            }
            _ => return Err(Error::unsupported("TABLESAMPLE takes PERCENT, ROWS or BUCKET … OUT OF … here.")),
        };
        let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) else {
            let message = "Sampling fraction must be on interval [0, 1].";
            return Err(Error::bind("INVALID_TABLESAMPLE_FRACTION", "22023", message));
        };
        if share == 1.0 {
            return Ok(plan);
        }
        let seed = sample.seed.as_ref().and_then(|seed| number(&seed.value.value));
        let seed = seed.map(|seed| Expr::Literal(Scalar::BigInt(seed as i64)));
        let chance = self.call("rand", seed.into_iter().collect(), Span::NONE)?;
        let test = self.call(op::LT, vec![chance, Expr::Literal(Scalar::Double(share))], Span::NONE)?;
        Ok(self.filter(test, plan))
    }
}
