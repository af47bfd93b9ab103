//! A flat program: steps in the order of their dependencies, one register per step.

use firesteel_common::{Batch, Result, ResultExt, Scalar, Span, SqlType};

use super::Layout;
use super::compile::Compiler;
use super::lazy::{self, Operand};
use crate::cast;
use crate::expr::Expr;
use crate::function::{Datum, EvalContext, ScalarKernel};

/// A register: the index of the step that fills it.
pub(super) type Register = usize;

/// What fills one register.
pub(super) enum Step {
    /// A column of the input.
    Column(usize),
    /// A value.
    Constant(Scalar),
    /// A function of registers.
    Call { kernel: Box<dyn ScalarKernel>, args: Vec<Register>, span: Span },
    /// A conversion of a register.
    Cast { input: Register, from: SqlType, to: SqlType, safe: bool, span: Span },
    /// AND (`conjunction`) or OR.
    Connective { conjunction: bool, operands: Vec<Operand> },
    /// CASE.
    Case { branches: Vec<(Operand, Operand)>, otherwise: Operand, ty: SqlType },
}

/// Compiled expressions and their registers.
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<Register>,
    pub(super) cx: EvalContext,
    registers: Vec<Datum>,
}

impl Program {
    pub(super) fn compile<'a>(
        exprs: impl Iterator<Item = &'a Expr>,
        layout: &Layout,
        cx: &EvalContext,
    ) -> Result<Self> {
        let mut compiler = Compiler::new(layout, cx);
        let outputs = exprs.map(|expr| compiler.add(expr)).collect::<Result<_>>()?;
        Ok(Self { steps: compiler.steps, outputs, cx: cx.clone(), registers: Vec::new() })
    }

    /// The outputs over the live rows of a batch, of which there is at least one.
    pub(super) fn run(&mut self, batch: &Batch) -> Result<Vec<Datum>> {
        let result = self.fill(batch);
        let outputs = result.map(|()| self.outputs.iter().map(|r| self.registers[*r].clone()).collect());
        self.registers.clear();
        outputs
    }

    fn fill(&mut self, batch: &Batch) -> Result<()> {
        let rows = batch.rows();
        let registers = &mut self.registers;
        for step in &mut self.steps {
            let value = match step {
                Step::Column(index) => Datum::Array(batch.column(*index)?),
                Step::Constant(value) => Datum::Scalar(value.clone()),
                Step::Call { kernel, args, span } => {
                    let args: Vec<Datum> = args.iter().map(|r| registers[*r].clone()).collect();
                    kernel.eval(&args, rows).at(*span)?
                }
                Step::Cast { input, from, to, safe, span } => {
                    cast::cast(&registers[*input], from, to, *safe, &self.cx).at(*span)?
                }
                Step::Connective { conjunction, operands } => {
                    lazy::connective(*conjunction, operands, registers, batch)?
                }
                Step::Case { branches, otherwise, ty } => lazy::case(branches, otherwise, ty, registers, batch)?,
            };
            registers.push(value);
        }
        Ok(())
    }
}
