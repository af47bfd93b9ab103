//! `try_add` and the like: an operator whose failures are NULL.
//!
//! A batch is computed at once; only if that fails are its rows computed one by one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use firesteel_common::{Error, ErrorKind, Result, Scalar, SqlType, encoding};
use firesteel_expr::{Datum, EvalContext, FunctionDoc, FunctionRegistry, ScalarFunction, ScalarKernel, Signature, op};

struct Attempt {
    doc: FunctionDoc,
    operator: Arc<dyn ScalarFunction>,
}

const fn doc(
    name: &'static str,
    syntax: &'static str,
    description: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> FunctionDoc {
    FunctionDoc { name, aliases: &[], category: "math", syntax, description, examples }
}

const DOCS: [(&str, FunctionDoc); 5] = [
    (
        op::ADD,
        doc(
            "try_add",
            "try_add(expr1, expr2)",
            "Returns the sum, or NULL on overflow.",
            &[("SELECT try_add(1, 2)", "3"), ("SELECT try_add(2147483647, 1)", "NULL")],
        ),
    ),
    (
        op::SUBTRACT,
        doc(
            "try_subtract",
            "try_subtract(expr1, expr2)",
            "Returns the difference, or NULL on overflow.",
            &[("SELECT try_subtract(2, 1)", "1")],
        ),
    ),
    (
        op::MULTIPLY,
        doc(
            "try_multiply",
            "try_multiply(expr1, expr2)",
            "Returns the product, or NULL on overflow.",
            &[("SELECT try_multiply(2, 3)", "6")],
        ),
    ),
    (
        op::DIVIDE,
        doc(
            "try_divide",
            "try_divide(dividend, divisor)",
            "Returns the quotient, or NULL if the divisor is 0.",
            &[("SELECT try_divide(3, 2)", "1.5"), ("SELECT try_divide(1, 0)", "NULL")],
        ),
    ),
    (
        op::MODULO,
        doc(
            "try_mod",
            "try_mod(dividend, divisor)",
            "Returns the remainder, or NULL if the divisor is 0.",
            &[("SELECT try_mod(3, 2)", "1"), ("SELECT try_mod(1, 0)", "NULL")],
        ),
    ),
];

/// Registers the forms of the operators that `registry` has.
pub(super) fn register(registry: &mut FunctionRegistry) {
    for (name, doc) in DOCS {
        if let Some(operator) = registry.scalar(name).cloned() {
            registry.register_scalar(Arc::new(Attempt { doc, operator }));
        }
    }
}

impl ScalarFunction for Attempt {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
        Ok(Signature { may_be_null: true, ..self.operator.bind(args, literals)? })
    }

    /// The operator runs in ANSI mode, so that it reports what would otherwise wrap around.
    fn kernel(
        &self,
        args: &[SqlType],
        ty: &SqlType,
        literals: &[Option<Scalar>],
        cx: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>> {
        let cx = EvalContext { ansi: true, ..cx.clone() };
        Ok(Box::new(Kernel { inner: self.operator.kernel(args, ty, literals, &cx)?, ty: ty.clone() }))
    }

    fn is_fallible(&self) -> bool {
        false
    }
}

struct Kernel {
    inner: Box<dyn ScalarKernel>,
    ty: SqlType,
}

fn tolerable(error: &Error) -> bool {
    error.kind() == ErrorKind::Compute
}

impl ScalarKernel for Kernel {
    fn eval(&self, args: &[Datum], rows: usize) -> Result<Datum> {
        match self.inner.eval(args, rows) {
            Err(error) if tolerable(&error) => {}
            done => return done,
        }
        let mut results: Vec<ArrayRef> = Vec::with_capacity(rows);
        for row in 0..rows {
            let one: Vec<Datum> = args
                .iter()
                .map(|arg| match arg {
                    Datum::Array(array) => Datum::Array(array.slice(row, 1)),
                    scalar @ Datum::Scalar(_) => scalar.clone(),
                })
                .collect();
            results.push(match self.inner.eval(&one, 1) {
                Ok(value) => encoding::canonical(&value.into_array(1), &self.ty)?,
                Err(error) if tolerable(&error) => Scalar::Null(self.ty.clone()).to_array(1),
                Err(error) => return Err(error),
            });
        }
        if results.is_empty() {
            return Ok(Datum::Scalar(Scalar::Null(self.ty.clone())));
        }
        let arrays: Vec<&dyn Array> = results.iter().map(|a| a.as_ref()).collect();
        Ok(Datum::Array(concat(&arrays)?))
    }
}
