//! Expressions.

use std::collections::BTreeSet;
use std::sync::Arc;

use firesteel_common::{ColumnId, Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{JoinKind, LogicalPlan};
use sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, Ident, Query, Spanned, TrimWhereField, UnaryOperator, Value,
};

use crate::binder::aggregate::Grouping;
use crate::binder::window::PendingWindow;
use crate::binder::{Binder, Env, ident_span, idents_span, names};
use crate::call::{bind_call, bind_case, bind_cast, condition, wrong_num_args};
use crate::literal;
use crate::parser::lexer::span_of;

/// When names of the select list are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliasRule {
    /// Not at all.
    Never,
    /// Where the FROM clause has no such column: lateral aliases, GROUP BY.
    After,
    /// Before the FROM clause: HAVING, ORDER BY.
    Before,
}

/// A subquery that an expression uses: a dependent join to put below the node of the expression.
pub(crate) struct PendingSubquery {
    pub(crate) kind: JoinKind,
    pub(crate) condition: Option<Expr>,
    pub(crate) plan: LogicalPlan,
    /// Where it is written.
    pub(crate) span: Span,
}

/// Where an expression stands, and what is collected from it.
pub(crate) struct ExprCx<'e, 'a> {
    pub(crate) env: &'e Env<'e, 'a>,
    pub(crate) aliases: Vec<(Arc<str>, Expr)>,
    pub(crate) alias_rule: AliasRule,
    /// Named windows of the query.
    pub(crate) windows_by_name: &'a [ast::NamedWindowDefinition],
    /// The clause, if aggregates are not allowed in it.
    pub(crate) no_aggregates: Option<&'static str>,
    /// The clause, if window functions are not allowed in it.
    pub(crate) no_windows: Option<&'static str>,
    /// Inside the arguments of an aggregate.
    pub(crate) in_aggregate: bool,
    /// Calls of aggregates, each once.
    pub(crate) aggregates: Vec<firesteel_expr::NamedAggregate>,
    /// Calls of `grouping` and `grouping_id`.
    pub(crate) groupings: Vec<Grouping>,
    /// Calls of window functions.
    pub(crate) windows: Vec<PendingWindow>,
    /// Subqueries for the node of the expression.
    pub(crate) subqueries: Vec<PendingSubquery>,
    /// Subqueries in arguments of aggregates.
    pub(crate) below: Vec<PendingSubquery>,
}

impl PendingSubquery {
    /// Whether it reads columns that `plan` returns.
    pub(crate) fn reads(&self, plan: &LogicalPlan) -> bool {
        let columns: BTreeSet<ColumnId> = plan.column_ids().into_iter().collect();
        let mut found = self.condition.as_ref().is_some_and(|e| !e.reads_only(|id| !columns.contains(&id)));
        self.plan.visit(&mut |node| {
            found |= node.expressions().iter().any(|e| !e.reads_only(|id| !columns.contains(&id)));
        });
        found
    }
}

impl<'e, 'a> ExprCx<'e, 'a> {
    /// A context of a clause that allows neither aggregates nor window functions.
    pub(crate) fn plain(env: &'e Env<'e, 'a>, clause: &'static str) -> Self {
        Self {
            env,
            aliases: Vec::new(),
            alias_rule: AliasRule::Never,
            windows_by_name: &[],
            no_aggregates: Some(clause),
            no_windows: Some(clause),
            in_aggregate: false,
            aggregates: Vec::new(),
            groupings: Vec::new(),
            windows: Vec::new(),
            subqueries: Vec::new(),
            below: Vec::new(),
        }
    }
}

/// An expression and its place.
pub(crate) struct Bound {
    pub(crate) expr: Expr,
    pub(crate) span: Span,
}

impl Bound {
    pub(crate) fn new(expr: Expr, span: Span) -> Self {
        Self { expr, span }
    }
}

impl<'a> Binder<'a> {
    /// A call of a registered function or operator.
    pub(crate) fn call(&self, name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
        bind_call(name, args, span, self.cx.registry)
    }

    /// Binds an expression.
    pub(crate) fn expr(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Expr> {
        Ok(self.bind(ast, cx)?.expr)
    }

    /// Binds several.
    pub(crate) fn exprs(&self, list: &'a [ast::Expr], cx: &mut ExprCx<'_, 'a>) -> Result<Vec<Expr>> {
        list.iter().map(|ast| self.expr(ast, cx)).collect()
    }

    /// Binds a predicate.
    pub(crate) fn predicate(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Expr> {
        let bound = self.bind(ast, cx)?;
        condition(bound.expr, bound.span)
    }

    /// Binds a predicate of a clause that has a condition of its own, with its SQLSTATE, for what is no BOOLEAN.
    pub(crate) fn predicate_or(
        &self,
        ast: &'a ast::Expr,
        cx: &mut ExprCx<'_, 'a>,
        (name, state): (&'static str, &'static str),
    ) -> Result<Expr> {
        let bound = self.bind(ast, cx)?;
        condition(bound.expr, bound.span)
            .map_err(|error| Error::bind(name, state, error.message().to_owned()).at(bound.span))
    }

    /// Binds an expression and says where it is. Kept small: it is what recursion goes through.
    pub(crate) fn bind(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        use ast::Expr as E;
        match ast {
            E::Identifier(ident) => self.name(std::slice::from_ref(ident), cx),
            E::CompoundIdentifier(parts) => self.name(parts, cx),
            E::Value(value) => {
                let span = span_of(value.span);
                Ok(Bound::new(self.value(&value.value, span)?, span))
            }
            E::Nested(inner) => {
                let bound = self.bind(inner, cx)?;
                Ok(Bound::new(bound.expr, self.spans.nested(bound.span)))
            }
            E::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => self.connective(ast, cx),
            E::BinaryOp { .. } => self.binary_chain(ast, cx),
            E::UnaryOp { op, expr } => self.unary_op(*op, expr, cx),
            E::Cast { .. } | E::TypedString(_) | E::Interval(_) => self.conversion(ast, cx),
            E::Function(function) => self.function(function, cx),
            E::Case { .. } => self.case(ast, cx),
            E::Subquery(_) | E::Exists { .. } | E::InSubquery { .. } | E::AnyOp { .. } | E::AllOp { .. } => {
                self.subquery(ast, cx)
            }
            E::IsNull(_)
            | E::IsNotNull(_)
            | E::IsTrue(_)
            | E::IsNotTrue(_)
            | E::IsFalse(_)
            | E::IsNotFalse(_)
            | E::IsUnknown(_)
            | E::IsNotUnknown(_)
            | E::IsDistinctFrom(..)
            | E::IsNotDistinctFrom(..)
            | E::InList { .. }
            | E::Between { .. } => self.test(ast, cx),
            E::Like { .. } | E::ILike { .. } | E::RLike { .. } => self.like(ast, cx),
            _ => self.special_call(ast, cx),
        }
    }

    fn name(&self, parts: &'a [Ident], cx: &ExprCx<'_, 'a>) -> Result<Bound> {
        let span = idents_span(parts);
        let alias = || match (parts, cx.in_aggregate && cx.alias_rule == AliasRule::Before) {
            ([one], false) => {
                let mut found = cx.aliases.iter().filter(|(name, _)| self.same_name(name, &one.value));
                // The last of several lateral aliases of one name wins nothing: the first is taken.
                found.next().map(|(_, expr)| expr.clone())
            }
            _ => None,
        };
        if cx.alias_rule == AliasRule::Before
            && let Some(expr) = alias()
        {
            return Ok(Bound::new(expr, span));
        }
        if let Some(expr) = self.lookup(parts, cx.env.scope)? {
            return Ok(Bound::new(expr, span));
        }
        if cx.alias_rule == AliasRule::After
            && let Some(expr) = alias()
        {
            return Ok(Bound::new(expr, span));
        }
        let mut outer = cx.env.outer;
        while let Some(env) = outer {
            if let Some(expr) = self.lookup(parts, env.scope)? {
                return Ok(Bound::new(expr, span));
            }
            outer = env.outer;
        }
        if let [one] = parts
            && matches!(
                one.value.to_lowercase().as_str(),
                "current_date" | "current_timestamp" | "current_user" | "user" | "current_timezone" | "localtimestamp"
            )
            && one.quote_style.is_none()
        {
            return Ok(Bound::new(self.call(&one.value, Vec::new(), span)?, span));
        }
        Err(self.unresolved(parts, cx.env.scope))
    }

    fn value(&self, value: &Value, span: Span) -> Result<Expr> {
        let scalar = match value {
            Value::Null => Scalar::Null(SqlType::Void),
            Value::Boolean(value) => Scalar::Boolean(*value),
            Value::SingleQuotedString(text) => Scalar::string(text),
            Value::Number(text, _) => literal::number(text).map_err(|error| error.at(span))?,
            Value::HexStringLiteral(digits) => literal::hex(digits).ok_or_else(|| {
                Error::bind(
                    "INVALID_TYPED_LITERAL",
                    "42604",
                    format!("The value of the typed literal \"X\" is invalid: '{digits}'."),
                )
                .at(span)
            })?,
            Value::Placeholder(name) => self.parameter(name, span)?,
            other => return Err(Error::unsupported(format!("The literal {other} is not supported.")).at(span)),
        };
        Ok(Expr::Literal(scalar))
    }

    fn parameter(&self, name: &str, span: Span) -> Result<Scalar> {
        let value = match name.strip_prefix('?') {
            Some(position) => {
                position.parse::<usize>().ok().and_then(|i| self.cx.parameters.positional.get(i)).cloned()
            }
            None => self.cx.parameters.named.get(name.trim_start_matches(':')).cloned(),
        };
        value.ok_or_else(|| {
            let name = if name.starts_with('?') { format!("_{}", span.start) } else { name.replace(':', "") };
            Error::bind(
                "UNBOUND_SQL_PARAMETER",
                "42P02",
                format!("Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the parameter to a SQL literal."),
            )
            .at(span)
        })
    }

    /// AND and OR. The tree is balanced by the parser; the result is flat.
    fn connective(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let ast::Expr::BinaryOp { op: kind @ (BinaryOperator::And | BinaryOperator::Or), .. } = ast else {
            return Err(Error::internal("not a connective"));
        };
        let (mut stack, mut parts, mut span) = (vec![ast], Vec::new(), Span::NONE);
        while let Some(next) = stack.pop() {
            match next {
                ast::Expr::BinaryOp { left, op, right } if op == kind => {
                    stack.push(right);
                    stack.push(left);
                }
                leaf => {
                    let bound = self.bind(leaf, cx)?;
                    span = span.union(bound.span);
                    parts.push(condition(bound.expr, bound.span)?);
                }
            }
        }
        let expr = if *kind == BinaryOperator::And { Expr::and(parts) } else { Expr::or(parts) };
        Ok(Bound::new(expr, span))
    }

    /// Binary operators. The left side of a chain is followed in a loop, not by recursion.
    fn binary_chain(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let (mut spine, mut at) = (Vec::new(), ast);
        while let ast::Expr::BinaryOp { left, op, right } = at {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                break;
            }
            spine.push((op, right.as_ref()));
            at = left;
        }
        let mut left = self.bind(at, cx)?;
        while let Some((op, right)) = spine.pop() {
            let right = self.bind(right, cx)?;
            let span = left.span.union(right.span);
            left = Bound::new(self.binary(op, left.expr, right.expr, span)?, span);
        }
        Ok(left)
    }

    fn binary(&self, operator: &BinaryOperator, left: Expr, right: Expr, span: Span) -> Result<Expr> {
        let name = match operator {
            BinaryOperator::Plus => op::ADD,
            BinaryOperator::Minus => op::SUBTRACT,
            BinaryOperator::Multiply => op::MULTIPLY,
            BinaryOperator::Divide => op::DIVIDE,
            BinaryOperator::MyIntegerDivide => op::INT_DIVIDE,
            BinaryOperator::Modulo => op::MODULO,
            BinaryOperator::Eq => op::EQ,
            BinaryOperator::NotEq => op::NOT_EQ,
            BinaryOperator::Lt => op::LT,
            BinaryOperator::LtEq => op::LT_EQ,
            BinaryOperator::Gt => op::GT,
            BinaryOperator::GtEq => op::GT_EQ,
            BinaryOperator::Spaceship => op::NULL_SAFE_EQ,
            BinaryOperator::StringConcat => op::CONCAT,
            BinaryOperator::BitwiseAnd => "&",
            BinaryOperator::BitwiseOr => "|",
            BinaryOperator::BitwiseXor => "^",
            BinaryOperator::PGBitwiseShiftLeft => "shiftleft",
            BinaryOperator::PGBitwiseShiftRight => "shiftright",
            BinaryOperator::Custom(op) if op == crate::parser::lexer::UNSIGNED_SHIFT => "shiftrightunsigned",
            other => return Err(Error::unsupported(format!("The operator {other} is not supported.")).at(span)),
        };
        // A text is moved by days and seconds as the time that it is.
        if matches!(operator, BinaryOperator::Plus | BinaryOperator::Minus)
            && left.ty().is_string()
            && right.ty() == SqlType::IntervalDayTime
        {
            let left = bind_cast(left, &SqlType::Timestamp, false, span, self.cx.config.ansi)?;
            return self.call(name, vec![left, right], span);
        }
        self.call(name, vec![left, right], span)
    }

    fn unary_op(&self, operator: UnaryOperator, operand: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        if operator == UnaryOperator::Minus
            && let ast::Expr::Value(value) = operand
            && let Value::Number(text, _) = &value.value
        {
            let span = self.spans.with_previous(span_of(value.span));
            let scalar = literal::negative_number(text).map_err(|error| error.at(span))?;
            return Ok(Bound::new(Expr::Literal(scalar), span));
        }
        let bound = self.bind(operand, cx)?;
        let span = self.spans.with_previous(bound.span);
        let expr = match operator {
            UnaryOperator::Minus => self.call(op::NEGATE, vec![bound.expr], span)?,
            UnaryOperator::Plus => bound.expr,
            UnaryOperator::Not | UnaryOperator::BangNot => Expr::negate(condition(bound.expr, span)?),
            UnaryOperator::BitwiseNot => self.call("~", vec![bound.expr], span)?,
            other => return Err(Error::unsupported(format!("The operator {other} is not supported.")).at(span)),
        };
        Ok(Bound::new(expr, span))
    }

    fn conversion(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let ansi = self.cx.config.ansi;
        match ast {
            ast::Expr::Cast { kind, expr, data_type, format: None } => {
                let input = self.bind(expr, cx)?;
                let span = match kind {
                    CastKind::DoubleColon => input.span,
                    _ => self.spans.keyword_call(input.span, &["CAST", "TRY_CAST"]),
                };
                let to = crate::types::sql_type(data_type).map_err(|error| error.at(span))?;
                let safe = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                Ok(Bound::new(bind_cast(input.expr, &to, safe, span, ansi)?, span))
            }
            ast::Expr::TypedString(typed) => {
                let span = self.spans.with_previous(span_of(typed.value.span));
                let Value::SingleQuotedString(text) = &typed.value.value else {
                    return Err(Error::internal("a typed literal without text"));
                };
                let to = crate::types::sql_type(&typed.data_type).map_err(|error| error.at(span))?;
                let invalid = || {
                    let message = format!("The value of the typed literal \"{to}\" is invalid: '{text}'.");
                    Error::bind("INVALID_TYPED_LITERAL", "42604", message).at(span)
                };
                let expr = match to {
                    SqlType::Date => Expr::Literal(Scalar::Date(literal::date(text).ok_or_else(invalid)?)),
                    // A timestamp depends on the session's zone, which the evaluator knows.
                    SqlType::Timestamp | SqlType::TimestampNtz => {
                        let value = bind_cast(Expr::Literal(Scalar::string(text)), &to, false, span, ansi)?;
                        let known = self.fold(&value).is_ok() || !ansi;
                        if known { value } else { return Err(invalid()) }
                    }
                    _ => return Err(Error::unsupported(format!("Literals of type {to} are not supported.")).at(span)),
                };
                Ok(Bound::new(expr, span))
            }
            ast::Expr::Interval(interval) => {
                let span = self.spans.with_previous(span_of(interval.value.span()));
                Ok(Bound::new(Expr::Literal(literal::interval(interval, span)?), span))
            }
            other => Err(Error::unsupported(format!("The expression {other} is not supported."))),
        }
    }

    fn case(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let ast::Expr::Case { case_token, end_token, operand, conditions, else_result } = ast else {
            return Err(Error::internal("not a CASE"));
        };
        let span = span_of(case_token.0.span).union(span_of(end_token.0.span));
        let operand = operand.as_ref().map(|operand| self.expr(operand, cx)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for when in conditions {
            let test = self.expr(&when.condition, cx)?;
            let test = match &operand {
                Some(operand) => self.call(op::EQ, vec![operand.clone(), test], span)?,
                None => test,
            };
            branches.push((test, self.expr(&when.result, cx)?));
        }
        let otherwise = else_result.as_ref().map(|otherwise| self.expr(otherwise, cx)).transpose()?;
        Ok(Bound::new(bind_case(branches, otherwise, span)?, span))
    }

    /// IS …, IN (…), BETWEEN.
    fn test(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        use ast::Expr as E;
        match ast {
            E::IsNull(e) | E::IsUnknown(e) => self.unary_call(op::IS_NULL, e, cx),
            E::IsNotNull(e) | E::IsNotUnknown(e) => self.unary_call(op::IS_NOT_NULL, e, cx),
            E::IsTrue(e) | E::IsFalse(e) | E::IsNotTrue(e) | E::IsNotFalse(e) => {
                let bound = self.bind(e, cx)?;
                let wanted = matches!(ast, E::IsTrue(_) | E::IsNotTrue(_));
                let value = Expr::Literal(Scalar::Boolean(wanted));
                let test = self.call(op::NULL_SAFE_EQ, vec![condition(bound.expr, bound.span)?, value], bound.span)?;
                let negated = matches!(ast, E::IsNotTrue(_) | E::IsNotFalse(_));
                Ok(Bound::new(if negated { Expr::negate(test) } else { test }, bound.span))
            }
            E::IsDistinctFrom(left, right) | E::IsNotDistinctFrom(left, right) => {
                let (left, right) = (self.bind(left, cx)?, self.bind(right, cx)?);
                let span = left.span.union(right.span);
                let test = self.call(op::NULL_SAFE_EQ, vec![left.expr, right.expr], span)?;
                let expr = if matches!(ast, E::IsDistinctFrom(..)) { Expr::negate(test) } else { test };
                Ok(Bound::new(expr, span))
            }
            E::InList { expr, list, negated } => {
                let value = self.bind(expr, cx)?;
                let mut span = value.span;
                let mut args = vec![value.expr];
                for item in list {
                    let item = self.bind(item, cx)?;
                    span = span.union(item.span);
                    args.push(item.expr);
                }
                let expr = self.call(op::IN, args, span)?;
                Ok(Bound::new(if *negated { Expr::negate(expr) } else { expr }, span))
            }
            E::Between { expr, negated, low, high } => {
                let (value, low, high) = (self.bind(expr, cx)?, self.bind(low, cx)?, self.bind(high, cx)?);
                let span = value.span.union(high.span);
                let above = self.call(op::GT_EQ, vec![value.expr.clone(), low.expr], span)?;
                let below = self.call(op::LT_EQ, vec![value.expr, high.expr], span)?;
                let expr = if *negated {
                    Expr::or([Expr::negate(above), Expr::negate(below)])
                } else {
                    Expr::and([above, below])
                };
                Ok(Bound::new(expr, span))
            }
            other => Err(Error::unsupported(format!("The expression {other} is not supported."))),
        }
    }

    fn unary_call(&self, name: &str, operand: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let bound = self.bind(operand, cx)?;
        Ok(Bound::new(self.call(name, vec![bound.expr], bound.span)?, bound.span))
    }

    fn like(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        use ast::Expr as E;
        let (name, negated, value, pattern, escape) = match ast {
            E::Like { negated, any: false, expr, pattern, escape_char } => {
                (op::LIKE, *negated, expr, pattern, escape_char)
            }
            E::ILike { negated, any: false, expr, pattern, escape_char } => {
                (op::ILIKE, *negated, expr, pattern, escape_char)
            }
            E::RLike { negated, expr, pattern, .. } => (op::RLIKE, *negated, expr, pattern, &None),
            _ => return Err(Error::unsupported("LIKE ANY, SOME and ALL are not supported.")),
        };
        let (value, pattern) = (self.bind(value, cx)?, self.bind(pattern, cx)?);
        let span = value.span.union(pattern.span);
        let mut args = vec![value.expr, pattern.expr];
        if let Some(escape) = escape {
            args.push(self.expr(escape, cx)?);
        }
        let expr = self.call(name, args, span)?;
        Ok(Bound::new(if negated { Expr::negate(expr) } else { expr }, span))
    }

    /// Calls with a syntax of their own: EXTRACT, SUBSTRING, TRIM, POSITION, …
    fn special_call(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        use ast::Expr as E;
        match ast {
            E::Extract { field, expr, .. } => {
                let input = self.bind(expr, cx)?;
                let span = self.spans.keyword_call(input.span, &["EXTRACT"]);
                let field = names::field_name(field).trim_matches('\'').to_lowercase();
                Ok(Bound::new(self.date_part(&field, input.expr, span)?, span))
            }
            E::Substring { expr, substring_from, substring_for, .. } => {
                let input = self.bind(expr, cx)?;
                let span = self.spans.keyword_call(input.span, &["SUBSTRING", "SUBSTR"]);
                let mut args = vec![input.expr];
                match substring_from {
                    Some(from) => args.push(self.expr(from, cx)?),
                    None if substring_for.is_none() => return Err(wrong_num_args("substring", "[2, 3]", 1).at(span)),
                    None => args.push(Expr::Literal(Scalar::Int(1))),
                }
                if let Some(length) = substring_for {
                    args.push(self.expr(length, cx)?);
                }
                Ok(Bound::new(self.call("substring", args, span)?, span))
            }
            E::Trim { trim_where, trim_what, expr, trim_characters } => {
                let input = self.bind(expr, cx)?;
                let span = self.spans.keyword_call(input.span, &["TRIM"]);
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let mut args = vec![input.expr];
                if let Some(what) = trim_what {
                    args.push(self.expr(what, cx)?);
                } else if let Some(first) = trim_characters.iter().flatten().next() {
                    args.push(self.expr(first, cx)?);
                }
                Ok(Bound::new(self.call(name, args, span)?, span))
            }
            E::Position { expr, r#in } => {
                let (what, within) = (self.bind(expr, cx)?, self.bind(r#in, cx)?);
                let span = self.spans.keyword_call(what.span, &["POSITION"]);
                Ok(Bound::new(self.call("locate", vec![what.expr, within.expr], span)?, span))
            }
            E::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let input = self.bind(expr, cx)?;
                let span = self.spans.keyword_call(input.span, &["OVERLAY"]);
                let mut args = vec![input.expr, self.expr(overlay_what, cx)?, self.expr(overlay_from, cx)?];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length, cx)?);
                }
                Ok(Bound::new(self.call("overlay", args, span)?, span))
            }
            E::Ceil { expr, field } | E::Floor { expr, field } => {
                let name = if matches!(ast, E::Ceil { .. }) { "ceil" } else { "floor" };
                let input = self.bind(expr, cx)?;
                let span = self.spans.keyword_call(input.span, &["CEIL", "CEILING", "FLOOR"]);
                let mut args = vec![input.expr];
                match field {
                    CeilFloorKind::Scale(scale) => args.push(self.value(&scale.value, span)?),
                    CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {}
                    CeilFloorKind::DateTimeField(_) => {
                        return Err(Error::unsupported(format!("{name} to a date field is not supported.")).at(span));
                    }
                }
                Ok(Bound::new(self.call(name, args, span)?, span))
            }
            E::Tuple(_) => Err(Error::unsupported("Rows (STRUCT values) are supported in IN (subquery) only.")),
            E::Named { name, .. } => Err(Error::unsupported("Named values are not supported.").at(ident_span(name))),
            other => Err(Error::unsupported(format!("The expression {other} is not supported."))),
        }
    }

    /// EXTRACT and `date_part`.
    pub(crate) fn date_part(&self, field: &str, input: Expr, span: Span) -> Result<Expr> {
        self.call("date_part", vec![Expr::Literal(Scalar::string(field)), input], span)
    }

    /// The query's columns as expressions.
    pub(crate) fn column_exprs(columns: &[ColumnRef]) -> Vec<Expr> {
        columns.iter().cloned().map(Expr::Column).collect()
    }

    /// The place of a query, as well as it is known.
    pub(crate) fn query_span(query: &Query) -> Span {
        span_of(query.span())
    }
}
