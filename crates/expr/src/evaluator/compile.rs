//! From expressions to steps.

use std::collections::HashMap;

use firesteel_common::{Error, Result, Scalar, SqlType};

use super::Layout;
use super::lazy::Operand;
use super::program::{Program, Register, Step};
use crate::cast;
use crate::expr::{Call, Expr, op};
use crate::function::{Datum, EvalContext};

/// Cost, in comparisons of a column with a literal, up to which an operand that cannot fail is
/// computed for all rows rather than for those that need it.
const CHEAP: usize = 12;
/// Cost of a function that nothing is known about.
const UNKNOWN_COST: usize = 20;

/// Collects the steps of one program.
pub(super) struct Compiler<'a> {
    pub(super) steps: Vec<Step>,
    layout: &'a Layout,
    cx: &'a EvalContext,
    known: HashMap<Expr, Register>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(layout: &'a Layout, cx: &'a EvalContext) -> Self {
        Self { steps: Vec::new(), layout, cx, known: HashMap::new() }
    }

    /// The register of an expression; the one it has, if it was met before.
    pub(super) fn add(&mut self, expr: &Expr) -> Result<Register> {
        if let Some(register) = self.known.get(expr) {
            return Ok(*register);
        }
        let step = match expr {
            Expr::Column(column) => Step::Column(self.layout.expect(column)?),
            Expr::Literal(value) => Step::Constant(value.clone()),
            Expr::Call(call) => self.call(call)?,
            Expr::Cast { input, to, safe, span } => {
                let (from, register) = (input.ty(), self.add(input)?);
                let step = Step::Cast { input: register, from, to: to.clone(), safe: *safe, span: *span };
                self.fold_cast(step)
            }
            Expr::And(parts) => self.connective(true, parts)?,
            Expr::Or(parts) => self.connective(false, parts)?,
            Expr::Case { branches, otherwise } => {
                let mut steps = Vec::with_capacity(branches.len());
                for (i, (condition, result)) in branches.iter().enumerate() {
                    // The first condition is needed for every row, whatever it is.
                    let condition =
                        if i == 0 { Operand::Dense(self.add(condition)?) } else { self.operand(condition)? };
                    steps.push((condition, self.operand(result)?));
                }
                Step::Case { branches: steps, otherwise: self.operand(otherwise)?, ty: expr.ty() }
            }
        };
        self.steps.push(step);
        let register = self.steps.len() - 1;
        if is_deterministic(expr, self.cx) {
            self.known.insert(expr.clone(), register);
        }
        Ok(register)
    }

    fn constant(&self, register: Register) -> Option<&Scalar> {
        match &self.steps[register] {
            Step::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn call(&mut self, call: &Call) -> Result<Step> {
        let function = self.cx.registry.expect_scalar(&call.function)?.clone();
        let args = call.args.iter().map(|arg| self.add(arg)).collect::<Result<Vec<_>>>()?;
        let literals: Vec<Option<Scalar>> = args.iter().map(|r| self.constant(*r).cloned()).collect();
        let types: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
        let kernel = function.kernel(&types, &call.ty, &literals, self.cx).map_err(|e| e.at(call.span))?;
        if function.is_deterministic() && literals.iter().all(Option::is_some) {
            let values: Vec<Datum> = literals.into_iter().flatten().map(Datum::Scalar).collect();
            // A call that fails is kept: it must not fail before a row reaches it.
            if let Ok(value) = kernel.eval(&values, 1).and_then(|value| to_scalar(value, &call.ty)) {
                return Ok(Step::Constant(value));
            }
        }
        Ok(Step::Call { kernel, args, span: call.span })
    }

    fn fold_cast(&self, step: Step) -> Step {
        if let Step::Cast { input, from, to, safe, .. } = &step
            && let Some(value) = self.constant(*input)
            && let Ok(value) = cast::cast(&Datum::Scalar(value.clone()), from, to, *safe, self.cx)
            && let Ok(value) = to_scalar(value, to)
        {
            return Step::Constant(value);
        }
        step
    }

    fn connective(&mut self, conjunction: bool, parts: &[Expr]) -> Result<Step> {
        let [first, rest @ ..] = parts else { return Err(Error::internal("a connective without operands")) };
        let mut operands = vec![Operand::Dense(self.add(first)?)];
        for part in rest {
            operands.push(self.operand(part)?);
        }
        Ok(Step::Connective { conjunction, operands })
    }

    /// An operand that not every row needs.
    fn operand(&mut self, expr: &Expr) -> Result<Operand> {
        if self.known.contains_key(expr) || is_dense(expr, self.cx) {
            return self.add(expr).map(Operand::Dense);
        }
        let program = Program::compile(std::iter::once(expr), self.layout, self.cx)?;
        Ok(Operand::Lazy(Box::new(program)))
    }
}

fn to_scalar(value: Datum, ty: &SqlType) -> Result<Scalar> {
    match value {
        Datum::Scalar(value) => Ok(value),
        Datum::Array(array) => Scalar::from_array(&array, 0, ty),
    }
}

/// Whether an expression is computed for all rows although not all may need it: it cannot fail,
/// gives the same for the same row, and costs little.
pub(super) fn is_dense(expr: &Expr, cx: &EvalContext) -> bool {
    cost(expr, cx).is_some_and(|cost| cost <= CHEAP)
}

/// Whether an expression gives the same for the same row and cannot fail on any, so that it may be computed for rows that
/// nobody asked for.
pub fn cannot_fail(expr: &Expr, cx: &EvalContext) -> bool {
    cost(expr, cx).is_some()
}

/// The cost of an expression that cannot fail; nothing for one that can.
fn cost(expr: &Expr, cx: &EvalContext) -> Option<usize> {
    let own = match expr {
        Expr::Column(_) | Expr::Literal(_) => 0,
        Expr::And(_) | Expr::Or(_) => 1,
        Expr::Case { .. } => 4,
        Expr::Cast { input, to, safe, .. } => {
            let from = input.ty();
            if !*safe && cast::may_fail(&from, to) {
                return None;
            }
            if from.is_string() || to.is_string() { UNKNOWN_COST } else { 1 }
        }
        Expr::Call(call) => {
            let function = cx.registry.scalar(&call.function)?;
            let types: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
            if !function.is_deterministic() || function.may_fail(&types, &call.ty) {
                return None;
            }
            match &*call.function {
                op::EQ | op::NOT_EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ | op::NULL_SAFE_EQ => 1,
                op::ADD | op::SUBTRACT | op::MULTIPLY | op::NEGATE => 1,
                op::NOT | op::IS_NULL | op::IS_NOT_NULL => 1,
                op::IN => call.args.len().min(6),
                _ => UNKNOWN_COST,
            }
        }
    };
    expr.children().into_iter().try_fold(own, |total, child| Some(total + cost(child, cx)?))
}

/// Whether two evaluations on one row give the same.
fn is_deterministic(expr: &Expr, cx: &EvalContext) -> bool {
    let mut all = true;
    expr.visit(&mut |e| {
        if let Expr::Call(call) = e {
            all &= cx.registry.scalar(&call.function).is_some_and(|f| f.is_deterministic());
        }
    });
    all
}
