//! Subqueries in expressions. Each becomes a dependent join below the node that uses it, and the
//! expression reads the column that the join adds: the value, or the mark.

use firesteel_common::{Error, Result, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use sqlparser::ast::{self, BinaryOperator, Query};

use crate::binder::expr::{Bound, ExprCx, PendingSubquery};
use crate::binder::{Binder, Relation};

impl<'a> Binder<'a> {
    /// Binds an expression that contains a query.
    pub(crate) fn subquery(&self, ast: &'a ast::Expr, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        use ast::Expr as E;
        match ast {
            E::Subquery(query) => self.scalar_subquery(query, cx),
            E::Exists { subquery, negated } => {
                let span = Self::query_span(subquery);
                let relation = self.inner_query(subquery, cx)?;
                let mark = self.mark("exists", false);
                let expr = self.push_mark(mark, None, relation.plan, span, cx);
                Ok(Bound::new(if *negated { Expr::negate(expr) } else { expr }, span))
            }
            E::InSubquery { expr, subquery, negated } => {
                let bound = self.quantified(expr, op::EQ, subquery, cx)?;
                Ok(Bound::new(if *negated { Expr::negate(bound.expr) } else { bound.expr }, bound.span))
            }
            E::AnyOp { left, compare_op, right, .. } => {
                let query = self.quantified_query(right)?;
                self.quantified(left, comparison(compare_op)?, query, cx)
            }
            E::AllOp { left, compare_op, right } => {
                // `x < ALL q` is `NOT (x >= ANY q)`.
                let query = self.quantified_query(right)?;
                let bound = self.quantified(left, opposite(comparison(compare_op)?), query, cx)?;
                Ok(Bound::new(Expr::negate(bound.expr), bound.span))
            }
            other => Err(Error::unsupported(format!("The expression {other} is not supported."))),
        }
    }

    fn inner_query(&self, query: &'a Query, cx: &ExprCx<'_, 'a>) -> Result<Relation> {
        self.query(query, cx.env.ctes.clone(), Some(cx.env))
    }

    fn quantified_query(&self, right: &'a ast::Expr) -> Result<&'a Query> {
        match right {
            ast::Expr::Subquery(query) => Ok(query),
            ast::Expr::Nested(inner) => self.quantified_query(inner),
            _ => Err(Error::unsupported("ANY, SOME and ALL of anything but a query are not supported.")),
        }
    }

    fn mark(&self, name: &str, nullable: bool) -> ColumnRef {
        self.column(name, SqlType::Boolean, nullable)
    }

    fn push_mark(
        &self,
        mark: ColumnRef,
        condition: Option<Expr>,
        plan: LogicalPlan,
        span: Span,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Expr {
        cx.subqueries.push(PendingSubquery { kind: JoinKind::Mark(mark.clone()), condition, plan, span });
        Expr::Column(mark)
    }

    fn scalar_subquery(&self, query: &'a Query, cx: &mut ExprCx<'_, 'a>) -> Result<Bound> {
        let span = self.spans.nested(Self::query_span(query));
        let relation = self.inner_query(query, cx)?;
        let [(_, column)] = relation.columns.as_slice() else {
            let message = format!("Scalar subquery must return only one column, but got {}.", relation.columns.len());
            return Err(Error::bind(
                "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
                "42823",
                message,
            )
            .at(span));
        };
        let plan = self.only(relation.plan, std::slice::from_ref(column));
        let value = ColumnRef { nullable: true, ..column.clone() };
        cx.subqueries.push(PendingSubquery { kind: JoinKind::LeftSingle(span), condition: None, plan, span });
        Ok(Bound::new(Expr::Column(value), span))
    }

    /// The plan with just these columns.
    pub(crate) fn only(&self, plan: LogicalPlan, columns: &[ColumnRef]) -> LogicalPlan {
        if plan.columns() == columns {
            return plan;
        }
        let exprs = columns.iter().map(|c| (c.clone(), Expr::Column(c.clone()))).collect();
        self.unary(LogicalOp::Project { exprs }, plan)
    }

    /// `left op ANY (query)`: IN is `= ANY`. The left side may be a row.
    fn quantified(
        &self,
        left: &'a ast::Expr,
        operator: &str,
        query: &'a Query,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<Bound> {
        let parts: Vec<&'a ast::Expr> = match left {
            ast::Expr::Tuple(items) => items.iter().collect(),
            one => vec![one],
        };
        let mut values = Vec::with_capacity(parts.len());
        let mut span = Span::NONE;
        for part in parts {
            let bound = self.bind(part, cx)?;
            span = span.union(bound.span);
            values.push(bound.expr);
        }
        span = span.union(Self::query_span(query));
        let relation = self.inner_query(query, cx)?;
        if relation.columns.len() != values.len() {
            let message = format!(
                "The number of columns in the left hand side of an IN subquery does not match the number of columns in the \
                 output of subquery. Left hand side columns(length: {}), right hand side columns(length: {}).",
                values.len(),
                relation.columns.len()
            );
            return Err(Error::bind("DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH", "42K09", message).at(span));
        }
        let tests = values
            .into_iter()
            .zip(&relation.columns)
            .map(|(value, (_, column))| self.call(operator, vec![value, Expr::Column(column.clone())], span))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| {
                let condition = "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH";
                Error::bind(condition, "42K09", error.message().to_owned()).at(span)
            })?;
        let condition = Expr::and(tests);
        let mark = self.mark("in", condition.nullable());
        let columns: Vec<ColumnRef> = relation.columns.into_iter().map(|(_, column)| column).collect();
        let plan = self.only(relation.plan, &columns);
        Ok(Bound::new(self.push_mark(mark, Some(condition), plan, span, cx), span))
    }

    /// Puts the dependent joins of an expression's subqueries above `plan`.
    pub(crate) fn attach(&self, plan: LogicalPlan, subqueries: Vec<PendingSubquery>) -> LogicalPlan {
        subqueries.into_iter().fold(plan, |plan, subquery| {
            let PendingSubquery { kind, condition, plan: right, .. } = subquery;
            LogicalPlan::binary(self.cx.ids.node(), LogicalOp::DependentJoin { kind, condition }, plan, right)
        })
    }
}

fn comparison(operator: &BinaryOperator) -> Result<&'static str> {
    Ok(match operator {
        BinaryOperator::Eq => op::EQ,
        BinaryOperator::NotEq => op::NOT_EQ,
        BinaryOperator::Lt => op::LT,
        BinaryOperator::LtEq => op::LT_EQ,
        BinaryOperator::Gt => op::GT,
        BinaryOperator::GtEq => op::GT_EQ,
        other => return Err(Error::unsupported(format!("The operator {other} ANY or ALL is not supported."))),
    })
}

fn opposite(operator: &'static str) -> &'static str {
    match operator {
        op::EQ => op::NOT_EQ,
        op::NOT_EQ => op::EQ,
        op::LT => op::GT_EQ,
        op::LT_EQ => op::GT,
        op::GT => op::LT_EQ,
        _ => op::LT,
    }
}
