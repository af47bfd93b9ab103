//! The operators of SQL as functions: arithmetic, comparisons, predicates, patterns, bits.
//!
//! Each operator is an entry of a table: its documentation, how its types are settled, and how its
//! kernel is made. Kernels choose the types of their loops when they are made or once per batch,
//! never per row.

mod arithmetic;
mod bitwise;
mod comparison;
mod datetime;
pub(crate) mod decimal;
pub mod java_regex;
mod logical;
mod membership;
pub(crate) mod operand;
mod pattern;

use std::sync::Arc;

use firesteel_common::{Error, ErrorKind, Result, Scalar, SqlType};

use crate::function::{EvalContext, FunctionDoc, FunctionRegistry, ScalarFunction, ScalarKernel, Signature};

/// Settles the types of a call of the operator of a name.
type Bind = fn(&str, &[SqlType], &[Option<Scalar>]) -> Result<Signature>;

/// Makes the kernel of the operator of a name.
type MakeKernel = fn(&str, &[SqlType], &SqlType, &[Option<Scalar>], &EvalContext) -> Result<Box<dyn ScalarKernel>>;

/// An operator.
pub(crate) struct Operator {
    doc: FunctionDoc,
    bind: Bind,
    kernel: MakeKernel,
    handles_null: bool,
    /// Whether it may fail for these argument types and this result.
    may_fail: fn(&str, &[SqlType], &SqlType) -> bool,
}

impl ScalarFunction for Operator {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
        (self.bind)(self.doc.name, args, literals)
    }

    fn kernel(
        &self,
        args: &[SqlType],
        ty: &SqlType,
        literals: &[Option<Scalar>],
        cx: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>> {
        (self.kernel)(self.doc.name, args, ty, literals, cx)
    }

    fn handles_null(&self) -> bool {
        self.handles_null
    }

    fn is_fallible(&self) -> bool {
        (self.may_fail)(self.doc.name, &[], &SqlType::Void)
    }

    fn may_fail(&self, args: &[SqlType], ty: &SqlType) -> bool {
        (self.may_fail)(self.doc.name, args, ty)
    }
}

/// Registers every operator of [`crate::op`] and the bit operators.
pub fn register_operators(registry: &mut FunctionRegistry) {
    let tables = [
        arithmetic::operators(),
        comparison::operators(),
        logical::operators(),
        membership::operators(),
        pattern::operators(),
        bitwise::operators(),
    ];
    for operator in tables.into_iter().flatten() {
        registry.register_scalar(Arc::new(operator));
    }
}

/// `WRONG_NUM_ARGS` unless there are as many arguments as stated.
pub(crate) fn expect_args(name: &str, args: &[SqlType], expected: std::ops::RangeInclusive<usize>) -> Result<()> {
    if expected.contains(&args.len()) {
        return Ok(());
    }
    let wanted = if expected.start() == expected.end() {
        expected.start().to_string()
    } else {
        format!("{} to {}", expected.start(), expected.end())
    };
    Err(Error::bind(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        format!("The `{name}` requires {wanted} parameters but the actual number is {}.", args.len()),
    ))
}

/// The operands of a binary operator do not go together.
pub(crate) fn differing_types(name: &str, args: &[SqlType]) -> Error {
    let types: Vec<String> = args.iter().map(|ty| format!("\"{ty}\"")).collect();
    Error::new(
        ErrorKind::Type,
        "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
        "42K09",
        format!(
            "Cannot resolve `{name}` due to data type mismatch: the left and right operands of the binary operator \
             have incompatible types ({}).",
            types.join(" and ")
        ),
    )
}

/// An operand has a type that the operator does not take.
pub(crate) fn wrong_type(name: &str, wanted: &str, ty: &SqlType) -> Error {
    Error::new(
        ErrorKind::Type,
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        format!("Cannot resolve `{name}` due to data type mismatch: it requires the type {wanted}, not \"{ty}\"."),
    )
}

/// Never.
pub(crate) fn infallible(_: &str, _: &[SqlType], _: &SqlType) -> bool {
    false
}
