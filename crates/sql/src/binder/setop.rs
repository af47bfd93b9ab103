//! UNION, INTERSECT and EXCEPT.

use firesteel_common::{Error, Result, ResultExt, SqlType};
use firesteel_expr::coercion::common_type;
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{LogicalOp, LogicalPlan, SetOperation};
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, Spanned};

use crate::binder::{Binder, Ctes, Env, Relation};
use crate::parser::lexer::span_of;

impl<'a> Binder<'a> {
    /// Binds a set operation. A chain of them is followed in a loop, since it nests on the left.
    pub(crate) fn set_operation(
        &self,
        body: &'a SetExpr,
        ctes: Ctes<'a>,
        outer: Option<&Env<'_, 'a>>,
    ) -> Result<Relation> {
        let span = span_of(body.span());
        let (mut spine, mut at) = (Vec::new(), body);
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = at {
            spine.push((*op, *set_quantifier, right.as_ref()));
            at = left;
        }
        let mut left = self.body(at, ctes.clone(), outer)?;
        while let Some((op, quantifier, right)) = spine.pop() {
            let all = match quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(Error::unsupported("Set operations BY NAME are not supported.")),
            };
            let mut operands = vec![left, self.body(right, ctes.clone(), outer)?];
            if op == SetOperator::Union {
                // `a UNION ALL b UNION ALL c` is one union of three.
                while all && let Some((SetOperator::Union, SetQuantifier::All, next)) = spine.last() {
                    operands.push(self.body(next, ctes.clone(), outer)?);
                    spine.pop();
                }
                left = self.union(operands, all).at(span)?;
            } else {
                left = self.intersect_or_except(operands, op, all).at(span)?;
            }
        }
        Ok(left)
    }

    /// UNION of any number of operands.
    pub(crate) fn union(&self, operands: Vec<Relation>, all: bool) -> Result<Relation> {
        let (plans, columns) = self.align(operands, "UNION")?;
        let op = LogicalOp::Union { columns: columns.iter().map(|(_, c)| c.clone()).collect() };
        let plan = LogicalPlan { id: self.cx.ids.node(), op, inputs: plans };
        let plan = if all { plan } else { self.distinct(plan) };
        Ok(Relation { plan, columns })
    }

    pub(crate) fn intersect_or_except(&self, operands: Vec<Relation>, op: SetOperator, all: bool) -> Result<Relation> {
        let (name, operation) = match op {
            SetOperator::Intersect => ("INTERSECT", SetOperation::Intersect),
            _ => ("EXCEPT", SetOperation::Except),
        };
        let (plans, columns) = self.align(operands, name)?;
        let output = columns.iter().map(|(_, c)| c.clone()).collect();
        let op = LogicalOp::SetOp { operation, all, columns: output };
        Ok(Relation { plan: LogicalPlan { id: self.cx.ids.node(), op, inputs: plans }, columns })
    }

    /// Brings the columns of operands to common types; the result has fresh columns with the names of
    /// the first operand.
    #[allow(clippy::type_complexity, reason = "plans and columns of a relation, apart")]
    fn align(
        &self,
        operands: Vec<Relation>,
        name: &str,
    ) -> Result<(Vec<LogicalPlan>, Vec<(std::sync::Arc<str>, ColumnRef)>)> {
        let width = operands.first().map_or(0, |first| first.columns.len());
        for (at, operand) in operands.iter().enumerate().skip(1) {
            if operand.columns.len() != width {
                let message = format!(
                    "{name} can only be performed on inputs with the same number of columns, but the first input has {width} \
                     columns and the {} input has {} columns.",
                    ordinal_word(at + 1),
                    operand.columns.len()
                );
                return Err(Error::bind("NUM_COLUMNS_MISMATCH", "42826", message));
            }
        }
        let mut types: Vec<SqlType> = Vec::with_capacity(width);
        for column in 0..width {
            let mut ty = operands[0].columns[column].1.ty.clone();
            for (at, operand) in operands.iter().enumerate().skip(1) {
                let other = &operand.columns[column].1.ty;
                ty = common_type(&ty, other).ok_or_else(|| {
                    let message = format!(
                        "{name} can only be performed on tables with compatible column types. The {} column of the {} table \
                         is \"{other}\" type which is not compatible with \"{ty}\" at the same column of the first table.",
                        ordinal_word(column + 1),
                        ordinal_word(at + 1)
                    );
                    Error::bind("INCOMPATIBLE_COLUMN_TYPE", "42825", message)
                })?;
            }
            types.push(ty);
        }
        let columns = (0..width)
            .map(|at| {
                let nullable = operands.iter().any(|operand| operand.columns[at].1.nullable);
                let name = operands[0].columns[at].0.clone();
                (name.clone(), self.column(name, types[at].clone(), nullable))
            })
            .collect();
        let plans = operands.into_iter().map(|operand| self.cast_columns(operand, &types)).collect();
        Ok((plans, columns))
    }

    /// The relation with exactly its columns, cast to `types`.
    pub(crate) fn cast_columns(&self, relation: Relation, types: &[SqlType]) -> LogicalPlan {
        let exact = relation.columns.iter().zip(types).all(|((_, column), ty)| column.ty == *ty);
        let output: Vec<ColumnRef> = relation.columns.iter().map(|(_, column)| column.clone()).collect();
        if exact && relation.plan.columns() == output {
            return relation.plan;
        }
        let exprs = output
            .into_iter()
            .zip(types)
            .map(|(column, ty)| {
                let expr = Expr::Column(column.clone()).cast_to(ty);
                match expr.as_column() {
                    Some(_) => (column, expr),
                    None => (self.column_for(column.name, &expr), expr),
                }
            })
            .collect();
        self.unary(LogicalOp::Project { exprs }, relation.plan)
    }
}

fn ordinal_word(n: usize) -> String {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    WORDS.get(n.wrapping_sub(1)).map_or_else(|| format!("{n}th"), |word| (*word).to_owned())
}
