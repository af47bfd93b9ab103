//! Calls with the usual syntax: scalar functions, aggregates, and what is neither.

use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{Expr, NamedAggregate};
use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    NullTreatment, ObjectNamePart,
};

use crate::binder::aggregate::Grouping;
use crate::binder::expr::{Bound, ExprCx};
use crate::binder::{Binder, ident_span, names};
use crate::call::{bind_aggregate, bind_cast, unresolved_routine, wrong_num_args};

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
        if !function.within_group.is_empty() {
            return Err(Error::unsupported("WITHIN GROUP is not supported.").at(parts.span));
        }
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
        let mut args = Vec::with_capacity(parts.args.len());
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
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
            return Err(invalid_place("aggregate functions", clause, &parts.name, span));
        }
        let call = self.aggregate_parts(function, parts, cx)?;
        if let Some(known) = cx.aggregates.iter().find(|known| known.call == call) {
            return Ok(Expr::Column(known.column.clone()));
        }
        let name = names::pretty_call(function);
        let named = NamedAggregate::new(self.cx.ids.column(), name, call);
        let column = named.column.clone();
        cx.aggregates.push(named);
        Ok(Expr::Column(column))
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
        let filter = function.filter.as_ref().map(|filter| self.predicate(filter, cx)).transpose()?;
        Ok((args, filter))
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
