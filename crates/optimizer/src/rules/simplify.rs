//! Simplification of expressions: constants are computed, logic is reduced.
//!
//! A computation that fails is left as it is: whether it ever runs is decided at run time.

use firesteel_common::{Result, Scalar, SqlType};
use firesteel_expr::{Call, Expr, op};
use firesteel_plan::{LogicalOp, LogicalPlan};

use super::casts::unwrap_cast;
use crate::rule::{OptimizerContext, OptimizerRule};
use crate::util::is_deterministic;

/// Folds constants and simplifies logic in all expressions.
pub(crate) struct Simplify;

impl OptimizerRule for Simplify {
    fn name(&self) -> &'static str {
        "SimplifyExpressions"
    }

    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan> {
        plan.transform_up(&mut |node| Ok(simplify_node(node, cx)))
    }
}

fn simplify_node(node: LogicalPlan, cx: &OptimizerContext<'_>) -> LogicalPlan {
    let mut node = node.map_expressions(&mut |e| simplify(e, cx));
    match node.op {
        LogicalOp::Filter { predicate } => {
            let predicate = as_condition(predicate);
            if predicate == Expr::true_()
                && let Some(input) = node.inputs.pop()
            {
                return input;
            }
            node.op = LogicalOp::Filter { predicate };
        }
        LogicalOp::Join { kind, on, residual, null_aware, hint } => {
            let residual = residual.map(as_condition).filter(|r| *r != Expr::true_());
            node.op = LogicalOp::Join { kind, on, residual, null_aware, hint };
        }
        LogicalOp::DependentJoin { kind, condition } => {
            let condition = condition.filter(|c| *c != Expr::true_());
            node.op = LogicalOp::DependentJoin { kind, condition };
        }
        LogicalOp::Scan(mut scan) => {
            let predicate = as_condition(Expr::and(std::mem::take(&mut scan.filters)));
            scan.filters = factor(predicate).conjuncts();
            node.op = LogicalOp::Scan(scan);
        }
        op => node.op = op,
    }
    node
}

/// A predicate of which only the rows where it is true matter: unknown is false.
fn as_condition(predicate: Expr) -> Expr {
    match predicate {
        Expr::Literal(Scalar::Null(_)) => Expr::false_(),
        Expr::And(parts) => {
            let parts: Vec<Expr> = parts.into_iter().map(as_condition).collect();
            if parts.contains(&Expr::false_()) { Expr::false_() } else { Expr::and(parts) }
        }
        Expr::Or(parts) => Expr::or(parts.into_iter().map(as_condition)),
        other => other,
    }
}

/// The simplified expression.
pub(crate) fn simplify(expr: Expr, cx: &OptimizerContext<'_>) -> Expr {
    let mut current = expr;
    // Each pass may make work for the next; a few settle all that people write.
    for _ in 0..8 {
        let next = current.clone().transform(&mut |e| step(e, cx));
        if next == current {
            break;
        }
        current = next;
    }
    current
}

fn step(expr: Expr, cx: &OptimizerContext<'_>) -> Expr {
    match expr {
        Expr::And(parts) => logic(parts, true),
        Expr::Or(parts) => factor(logic(parts, false)),
        Expr::Case { branches, otherwise } => case(branches, *otherwise),
        Expr::Cast { input, to, .. } if input.ty() == to => *input,
        Expr::Cast { ref input, .. } if input.as_literal().is_some() => fold(expr, cx),
        Expr::Call(call) => simplify_call(call, cx),
        other => other,
    }
}

/// AND (or OR) without neutral operands and duplicates; settled by one that settles it.
fn logic(parts: Vec<Expr>, conjunction: bool) -> Expr {
    let all = if conjunction { Expr::and(parts) } else { Expr::or(parts) };
    let parts = match all {
        Expr::And(parts) if conjunction => parts,
        Expr::Or(parts) if !conjunction => parts,
        other => return other,
    };
    if parts.contains(&Expr::Literal(Scalar::Boolean(!conjunction))) {
        return Expr::Literal(Scalar::Boolean(!conjunction));
    }
    let mut kept: Vec<Expr> = Vec::with_capacity(parts.len());
    for part in parts {
        if !kept.contains(&part) {
            kept.push(part);
        }
    }
    if conjunction { Expr::and(kept) } else { Expr::or(kept) }
}

/// `(a AND b) OR (a AND c)` is `a AND (b OR c)`.
fn factor(expr: Expr) -> Expr {
    let Expr::Or(parts) = expr else { return expr };
    let mut disjuncts: Vec<Vec<Expr>> = parts.iter().cloned().map(Expr::conjuncts).collect();
    let Some((first, others)) = disjuncts.split_first() else { return Expr::Or(parts) };
    let mut common: Vec<Expr> = Vec::new();
    for conjunct in first {
        if !common.contains(conjunct) && others.iter().all(|d| d.contains(conjunct)) {
            common.push(conjunct.clone());
        }
    }
    if common.is_empty() {
        return Expr::Or(parts);
    }
    disjuncts.iter_mut().for_each(|d| d.retain(|c| !common.contains(c)));
    // A disjunct with nothing else makes the rest redundant: `a OR (a AND b)` is `a`.
    if !disjuncts.iter().any(Vec::is_empty) {
        common.push(Expr::or(disjuncts.into_iter().map(Expr::and)));
    }
    Expr::and(common)
}

fn case(branches: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let mut kept: Vec<(Expr, Expr)> = Vec::with_capacity(branches.len());
    let mut otherwise = otherwise;
    for (condition, result) in branches {
        match condition {
            Expr::Literal(Scalar::Boolean(true)) => {
                otherwise = result;
                break;
            }
            Expr::Literal(_) => {}
            condition => kept.push((condition, result)),
        }
    }
    if kept.is_empty() {
        return otherwise;
    }
    Expr::Case { branches: kept, otherwise: Box::new(otherwise) }
}

fn simplify_call(call: Call, cx: &OptimizerContext<'_>) -> Expr {
    match (&*call.function, call.args.as_slice()) {
        (op::NOT, [inner]) => match inner {
            Expr::And(parts) => return Expr::or(parts.iter().cloned().map(negate)),
            Expr::Or(parts) => return Expr::and(parts.iter().cloned().map(negate)),
            Expr::Call(_) | Expr::Literal(Scalar::Boolean(_)) => {
                let negated = negate(inner.clone());
                if negated.as_call(op::NOT).is_none() {
                    return negated;
                }
            }
            _ => {}
        },
        (op::IS_NULL, [value]) if !value.nullable() && is_deterministic(value, cx) => return Expr::false_(),
        (op::IS_NOT_NULL, [value]) if !value.nullable() && is_deterministic(value, cx) => return Expr::true_(),
        (op::EQ | op::NOT_EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ, [left, right]) => {
            let null = |e: &Expr| e.as_literal().is_some_and(Scalar::is_null);
            if null(left) || null(right) {
                return Expr::null(SqlType::Boolean);
            }
            // The literal goes to the right, so that others need to look at one form only.
            if left.as_literal().is_some() && right.as_literal().is_none() {
                let turned = turn(&call.function);
                let args = vec![right.clone(), left.clone()];
                return Expr::Call(Call { function: turned.into(), args, ..call });
            }
        }
        (op::IN, [value, single]) if !value.ty().is_float() => {
            return Expr::eq(value.clone(), single.clone());
        }
        _ => {}
    }
    let expr = unwrap_cast(Expr::Call(call));
    if is_literal_call(&expr) && is_deterministic(&expr, cx) { fold(expr, cx) } else { expr }
}

fn negate(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(Scalar::Boolean(value)) => Expr::Literal(Scalar::Boolean(!value)),
        other => Expr::negate(other),
    }
}

fn turn(comparison: &str) -> &str {
    match comparison {
        op::LT => op::GT,
        op::LT_EQ => op::GT_EQ,
        op::GT => op::LT,
        op::GT_EQ => op::LT_EQ,
        other => other,
    }
}

/// A call whose arguments, at least one, are all literals. Calls without arguments are left alone:
/// some of them stand for something of the task that runs them.
fn is_literal_call(expr: &Expr) -> bool {
    let Expr::Call(call) = expr else { return false };
    !call.args.is_empty() && call.args.iter().all(|arg| arg.as_literal().is_some())
}

/// The value of an expression over literals, if it has one of its own type.
fn fold(expr: Expr, cx: &OptimizerContext<'_>) -> Expr {
    match firesteel_expr::evaluate_constant(&expr, cx.eval) {
        Ok(value) if value.ty() == expr.ty() || (value.ty().is_string() && expr.ty().is_string()) => {
            Expr::Literal(value)
        }
        _ => expr,
    }
}
