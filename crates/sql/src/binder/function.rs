//! Calls with the usual syntax: scalar functions, aggregates, and what is neither.

use std::collections::BTreeSet;

use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{Expr, NamedAggregate, op};
use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NullTreatment, ObjectNamePart,
};

use crate::binder::aggregate::Grouping;
use crate::binder::expr::{Bound, ExprCx};
use crate::binder::window::sort_key_of;
use crate::binder::{Binder, Env, ident_span, names};
use crate::call::{bind_aggregate, bind_cast, condition, unresolved_routine, wrong_num_args};

/// Functions that exist with OVER only.
pub(crate) const WINDOW_ONLY: &[&str] =
    &["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "nth_value"];

/// Functions that are a cast, by the type's name.
const CAST_FUNCTIONS: &[(&str, SqlType)] = &[
    ("boolean", SqlType::Boolean),
    ("tinyint", SqlType::TinyInt),
    ("smallint", SqlType::SmallInt),
    ("int", SqlType::Int),
    ("bigint", SqlType::BigInt),
    ("float", SqlType::Float),
    ("double", SqlType::Double),
    ("decimal", SqlType::Decimal(10, 0)),
    ("string", SqlType::String),
    ("binary", SqlType::Binary),
    ("date", SqlType::Date),
    ("timestamp", SqlType::Timestamp),
];

/// Names of the functions that the binder knows without the registry: window functions, casts, and what belongs to
/// GROUP BY.
pub fn names_without_registry() -> impl Iterator<Item = &'static str> {
    let casts = CAST_FUNCTIONS.iter().map(|(name, _)| *name);
    WINDOW_ONLY.iter().copied().chain(casts).chain(["grouping", "grouping_id"])
}

/// A call taken apart.
pub(crate) struct CallParts<'a> {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) args: Vec<&'a ast::Expr>,
    /// The argument was `*`.
    pub(crate) star: bool,
    pub(crate) distinct: bool,
    pub(crate) ignore_nulls: bool,
}

impl<'a> Binder<'a> {
    /// Binds a call.
    pub(crate) fn function(&self, function: &'a Function, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let parts = self.call_parts(function)?;
        let span = parts.span;
        let expr = if let Some(over) = &function.over {
            self.window_call(function, &parts, over, cx)?
        } else if self.cx.registry.aggregate(&parts.name).is_some() {
            self.aggregate_call(function, &parts, cx)?
        } else {
            if parts.distinct || function.filter.is_some() {
                let message = format!("DISTINCT and FILTER are for aggregates; `{}` is none.", parts.name);
                return Err(
                    Error::bind("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX", "42000", message).at(span)
                );
            }
            self.scalar_call(&parts, cx)?
        };
        Ok(Bound::new(expr, span))
    }

    fn call_parts(&self, function: &'a Function) -> Result<CallParts<'a>> {
        let idents: Vec<&ast::Ident> = function
            .name
            .0
            .iter()
            .filter_map(|part| match part {
                ObjectNamePart::Identifier(ident) => Some(ident),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        let Some(last) = idents.last() else { return Err(Error::unsupported("This kind of call is not supported.")) };
        let name_span = idents.iter().map(|ident| ident_span(ident)).fold(Span::NONE, Span::union);
        let mut parts = CallParts {
            name: last.value.to_lowercase(),
            span: self.spans.call(name_span),
            args: Vec::new(),
            star: false,
            distinct: false,
            ignore_nulls: function.null_treatment == Some(NullTreatment::IgnoreNulls),
        };
        check_within_group(&parts.name, function, parts.span)?;
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                return Err(Error::unsupported("A query as an argument is not supported.").at(parts.span));
            }
            FunctionArguments::List(list) => {
                parts.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                            parts.ignore_nulls = *treatment == NullTreatment::IgnoreNulls;
                        }
                        other => {
                            let message = format!("`{other}` in a call is not supported.");
                            return Err(Error::unsupported(message).at(parts.span));
                        }
                    }
                }
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => parts.args.push(expr),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => parts.star = true,
                        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                            let message = format!("Named parameters are not supported for function `{}`.", parts.name);
                            let error = Error::bind("NAMED_PARAMETERS_NOT_SUPPORTED", "4274K", message);
                            return Err(error.with_hint("give the arguments by position").at(parts.span));
                        }
                        other => {
                            return Err(
                                Error::unsupported(format!("The argument `{other}` is not supported.")).at(parts.span)
                            );
                        }
                    }
                }
            }
        }
        if parts.name == "count" && parts.args.is_empty() && !parts.star {
            return Err(wrong_num_args("count", "> 0", 0).at(parts.span));
        }
        if parts.star && (parts.name != "count" || !parts.args.is_empty()) {
            let message = format!("Invalid usage of '*' in expression `{}`.", parts.name);
            return Err(Error::bind("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", message).at(parts.span));
        }
        Ok(parts)
    }

    fn scalar_call(&self, parts: &CallParts<'a>, cx: &mut ExprCx<'_, 'a>) -> Result<Expr> {
        let span = parts.span;
        match parts.name.as_str() {
            "grouping" | "grouping_id" => return self.grouping_call(parts, cx),
            "date_part" | "datepart" => {
                let [field, source] = parts.args.as_slice() else {
                    return Err(wrong_num_args(&parts.name, "2", parts.args.len()).at(span));
                };
                let field = self.expr(field, cx)?;
                let Some(field) = field.as_literal().and_then(Scalar::as_str).map(str::to_lowercase) else {
                    return Err(Error::unsupported("The field of date_part must be a literal.").at(span));
                };
                let source = self.expr(source, cx)?;
                return self.date_part(&field, source, span);
            }
            name if WINDOW_ONLY.contains(&name) => {
                let message = format!("Window function {name}() requires an OVER clause.");
                return Err(Error::bind("WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", "42601", message).at(span));
            }
            _ => {}
        }
        if let Some((name, unit)) = unit_call(parts)? {
            let mut args = vec![Expr::Literal(Scalar::string(&unit))];
            for arg in &parts.args[1..] {
                args.push(self.expr(arg, cx)?);
            }
            return self.call(name, args, span);
        }
        let mut args = Vec::with_capacity(parts.args.len());
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
        }
        if let ([_], "try_to_timestamp" | "try_to_date") = (args.as_slice(), parts.name.as_str()) {
            let ty = if parts.name == "try_to_date" { SqlType::Date } else { SqlType::Timestamp };
            return bind_cast(args.swap_remove(0), &ty, true, span, self.cx.config.ansi);
        }
        let lazy = crate::call::LAZY_FUNCTIONS.contains(&parts.name.as_str());
        if !lazy
            && self.cx.registry.scalar(&parts.name).is_none()
            && let Some((_, ty)) = CAST_FUNCTIONS.iter().find(|(name, _)| *name == parts.name)
        {
            let count = args.len();
            return match args.pop() {
                Some(input) if count == 1 => bind_cast(input, ty, false, span, self.cx.config.ansi),
                _ => Err(wrong_num_args(&parts.name, "1", count).at(span)),
            };
        }
        self.call(&parts.name, args, span)
    }

    /// A call of an aggregate: it becomes a column of the aggregation.
    fn aggregate_call(&self, function: &'a Function, parts: &CallParts<'a>, cx: &mut ExprCx<'_, 'a>) -> Result<Expr> {
        let span = parts.span;
        if cx.in_aggregate {
            let message = "It is not allowed to use an aggregate function in the argument of another aggregate function. \
                           Please use the inner aggregate function in a sub-query.";
            return Err(Error::bind("NESTED_AGGREGATE_FUNCTION", "42607", message).at(span));
        }
        if let Some(clause) = cx.no_aggregates {
            let invalid = || invalid_place("aggregate functions", clause, &parts.name, span);
            return self.outer_aggregate(function, parts, cx)?.ok_or_else(invalid);
        }
        let call = self.aggregate_parts(function, parts, cx)?;
        let value = if let Some(known) = cx.aggregates.iter().find(|known| known.call == call) {
            Expr::Column(known.column.clone())
        } else {
            let name = names::pretty_call(function);
            let named = NamedAggregate::new(self.cx.ids.column(), name, call);
            let column = named.column.clone();
            cx.aggregates.push(named);
            Expr::Column(column)
        };
        if is_reversed(&parts.name, function) { self.call(op::NEGATE, vec![value], span) } else { Ok(value) }
    }

    /// An aggregate in a clause that may have none, if all of its columns are those of one query further out, which
    /// may: it is an aggregate of that query.
    fn outer_aggregate(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<Option<Expr>> {
        let call = self.aggregate_parts(function, parts, cx)?;
        let mut read = BTreeSet::new();
        call.args.iter().chain(&call.filter).for_each(|e| read.extend(e.columns().into_iter().map(|c| c.id)));
        let owns = |env: &Env<'_, 'a>| read.iter().all(|id| env.scope.columns.iter().any(|c| c.column.id == *id));
        let mut outer = cx.env.outer;
        while let Some(env) = outer.filter(|_| !read.is_empty()) {
            if let Some(collected) = env.aggregates.filter(|_| owns(env)) {
                let mut collected = collected.borrow_mut();
                if let Some(known) = collected.iter().find(|known| known.call == call) {
                    return Ok(Some(Expr::Column(known.column.clone())));
                }
                let named = NamedAggregate::new(self.cx.ids.column(), names::pretty_call(function), call);
                let column = named.column.clone();
                collected.push(named);
                return Ok(Some(Expr::Column(column)));
            }
            outer = env.outer;
        }
        Ok(None)
    }

    /// The arguments and the filter of an aggregate, bound below the aggregation.
    pub(crate) fn aggregate_parts(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<firesteel_expr::AggregateCall> {
        let before = std::mem::replace(&mut cx.in_aggregate, true);
        let outside = std::mem::take(&mut cx.subqueries);
        let bound = self.aggregate_args(function, parts, cx);
        cx.in_aggregate = before;
        let inside = std::mem::replace(&mut cx.subqueries, outside);
        cx.below.extend(inside);
        let (args, filter) = bound?;
        bind_aggregate(&parts.name, args, parts.distinct, filter, parts.span, self.cx.registry)
    }

    fn aggregate_args(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<(Vec<Expr>, Option<Expr>)> {
        let mut args = Vec::with_capacity(parts.args.len() + 1);
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
        }
        if parts.ignore_nulls {
            args.push(Expr::true_());
        }
        self.within_group(function, parts, &mut args, cx)?;
        let filter = function.filter.as_ref().map(|filter| self.bind(filter, cx)).transpose()?;
        let filter = filter.map(|bound| condition(bound.expr, bound.span)).transpose().map_err(|error| {
            let condition = "INVALID_AGGREGATE_FILTER.NOT_BOOLEAN";
            Error::bind(condition, "42903", error.message().to_owned()).at(parts.span)
        })?;
        Ok((args, filter))
    }

    /// Turns the keys of WITHIN GROUP into arguments, as the functions expect them.
    fn within_group(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        args: &mut Vec<Expr>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<()> {
        if LISTS.contains(&parts.name.as_str()) {
            if args.get(1).is_some_and(|delimiter| !delimiter.columns().is_empty()) {
                let message = "The delimiter of listagg must be a constant.";
                return Err(Error::bind("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "42K09", message).at(parts.span));
            }
            if function.within_group.is_empty() {
                return Ok(());
            }
            if args.len() == 1 {
                args.push(Expr::Literal(Scalar::string("")));
            }
            let mut directions = String::new();
            let mut keys = Vec::with_capacity(function.within_group.len());
            for key in &function.within_group {
                let key = self.sort_key(key, cx)?;
                directions.push(if key.ascending { 'a' } else { 'd' });
                directions.push(if key.nulls_first { 'f' } else { 'l' });
                keys.push(key.expr);
            }
            if parts.distinct && keys.as_slice() != &args[..1] {
                let message = "With DISTINCT, WITHIN GROUP must order by the argument of the function.";
                let condition = "INVALID_WITHIN_GROUP_EXPRESSION.MISMATCH_WITH_DISTINCT_INPUT";
                return Err(Error::bind(condition, "42K0K", message).at(parts.span));
            }
            args.push(Expr::Literal(Scalar::string(&directions)));
            args.extend(keys);
            return Ok(());
        }
        let [key] = function.within_group.as_slice() else { return Ok(()) };
        let key = self.sort_key(key, cx)?;
        if parts.name == "mode" {
            args.push(key.expr);
            if !key.ascending {
                args.extend([Expr::true_(), Expr::true_()]);
            }
            return Ok(());
        }
        if args.iter().any(|share| !share.columns().is_empty()) {
            let message = "The percentage must be a constant.";
            return Err(Error::bind("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "42K09", message).at(parts.span));
        }
        // From the greatest down is from the least up among the negations.
        let value = if key.ascending {
            key.expr
        } else {
            let wide = bind_cast(key.expr, &SqlType::Double, false, parts.span, self.cx.config.ansi)?;
            self.call(op::NEGATE, vec![wide], parts.span)?
        };
        args.insert(0, value);
        Ok(())
    }

    /// `grouping(x)` and `grouping_id(…)`: a column that the aggregation replaces.
    fn grouping_call(&self, parts: &CallParts<'a>, cx: &mut ExprCx<'_, 'a>) -> Result<Expr> {
        if let Some(clause) = cx.no_aggregates {
            return Err(invalid_place("grouping functions", clause, &parts.name, parts.span));
        }
        let mut args = Vec::new();
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
        }
        let single = parts.name == "grouping";
        if single && args.len() != 1 {
            return Err(wrong_num_args(&parts.name, "1", args.len()).at(parts.span));
        }
        let ty = if single { SqlType::TinyInt } else { SqlType::BigInt };
        let column = self.column(parts.name.as_str(), ty, false);
        cx.groupings.push(Grouping { column: column.clone(), args, single, span: parts.span });
        Ok(Expr::Column(column))
    }

    /// The error for a name that is no function of any kind.
    pub(crate) fn no_such_function(&self, name: &str, span: Span) -> Error {
        unresolved_routine(name, span, self.cx.registry)
    }
}

/// Aggregates that make a text of many.
const LISTS: [&str; 2] = ["listagg", "string_agg"];
/// Aggregates over the keys of WITHIN GROUP.
const ORDERED: [&str; 2] = ["percentile_cont", "percentile_disc"];

/// Refuses WITHIN GROUP where it cannot stand, and calls that need it.
fn check_within_group(name: &str, function: &Function, span: Span) -> Result<()> {
    let keys = function.within_group.len();
    let arguments = match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    };
    let (condition, state, why) = match name {
        name if LISTS.contains(&name) => return Ok(()),
        name if ORDERED.contains(&name) && keys == 0 => {
            ("INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_MISSING", "42K0K", "needs WITHIN GROUP (ORDER BY …)")
        }
        name if (ORDERED.contains(&name) && keys > 1) || (name == "mode" && keys > 0 && keys + arguments > 1) => {
            ("INVALID_WITHIN_GROUP_EXPRESSION.WRONG_NUM_ORDERINGS", "42K0K", "takes one ORDER BY key in WITHIN GROUP")
        }
        name if keys > 0 && name != "mode" && !ORDERED.contains(&name) => {
            ("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX", "42000", "does not support WITHIN GROUP")
        }
        _ if keys > 0 && function.over.is_some() => {
            return Err(Error::unsupported("WITHIN GROUP together with OVER is not supported.").at(span));
        }
        _ => return Ok(()),
    };
    Err(Error::bind(condition, state, format!("The function `{name}` {why}.")).at(span))
}

/// Whether the result of the aggregate is that of the negated values: percentiles from the greatest down.
fn is_reversed(name: &str, function: &Function) -> bool {
    ORDERED.contains(&name)
        && function.within_group.iter().any(|key| !sort_key_of(Expr::true_(), &key.options).ascending)
}

/// `dateadd(DAY, n, time)` and `datediff(DAY, start, end)`, whose first argument is a unit and no column: the
/// function that does it, and the unit.
fn unit_call(parts: &CallParts<'_>) -> Result<Option<(&'static str, String)>> {
    const UNITS: [&str; 11] = [
        "YEAR",
        "QUARTER",
        "MONTH",
        "WEEK",
        "DAY",
        "DAYOFYEAR",
        "HOUR",
        "MINUTE",
        "SECOND",
        "MILLISECOND",
        "MICROSECOND",
    ];
    let function = match parts.name.as_str() {
        "dateadd" | "date_add" | "timestampadd" => "timestampadd",
        "datediff" | "date_diff" | "timestampdiff" => "timestampdiff",
        _ => return Ok(None),
    };
    let [unit, _, _] = parts.args.as_slice() else { return Ok(None) };
    match unit {
        ast::Expr::Identifier(name) if name.quote_style.is_none() => {
            let upper = name.value.to_uppercase();
            Ok(UNITS.contains(&upper.as_str()).then_some((function, upper)))
        }
        ast::Expr::Value(value) if matches!(value.value, ast::Value::SingleQuotedString(_)) => {
            let message = format!(
                "The value of parameter(s) `unit` in `{}` is invalid: expects one of the units without quotes {}, but got \
                 the string literal {}.",
                parts.name,
                UNITS.join(", "),
                value.value
            );
            Err(Error::bind("INVALID_PARAMETER_VALUE.DATETIME_UNIT", "22023", message).at(parts.span))
        }
        _ => Ok(None),
    }
}

/// The error for an aggregate or a window function where none may be.
pub(crate) fn invalid_place(what: &str, clause: &str, name: &str, span: Span) -> Error {
    let (condition, state) = match clause {
        "WHERE" | "GROUP BY" | "HAVING" if what == "window functions" => {
            ("WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE", "42601")
        }
        "WHERE" => ("INVALID_WHERE_CONDITION", "42903"),
        "GROUP BY" => ("GROUP_BY_AGGREGATE", "42903"),
        _ => ("UNSUPPORTED_EXPR_FOR_OPERATOR", "42K0E"),
    };
    Error::bind(condition, state, format!("{clause} cannot contain {what}: `{name}`.")).at(span)
}
