//! NOT, IS [NOT] NULL and `isnan`.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float32Type, Float64Type};
use firesteel_common::{Result, Scalar, SqlType};

use super::operand::{boxed, null_propagating};
use super::{Operator, expect_args, infallible, wrong_type};
use crate::expr::op;
use crate::function::{Datum, FunctionDoc, ScalarKernel, Signature};

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    let doc = |name, aliases, syntax, description, examples| FunctionDoc {
        name,
        aliases,
        category: "predicate",
        syntax,
        description,
        examples,
    };
    vec![
        Operator {
            doc: doc(op::NOT, &["!"], "NOT a", "The opposite of a condition; NULL for NULL.", &[("NOT true", "false")]),
            bind: |name, args, _| {
                expect_args(name, args, 1..=1)?;
                match &args[0] {
                    SqlType::Boolean | SqlType::Void => {}
                    ty if ty.is_string() => {}
                    ty => return Err(wrong_type(name, "\"BOOLEAN\"", ty)),
                }
                Ok(Signature { args: vec![SqlType::Boolean], ty: SqlType::Boolean, may_be_null: false })
            },
            kernel: |_, _, _, _, _| Ok(boxed(not)),
            handles_null: false,
            may_fail: infallible,
        },
        Operator {
            doc: doc(op::IS_NULL, &[], "isnull(a)", "Whether the value is NULL.", &[("isnull(1)", "false")]),
            bind: bind_any,
            kernel: |_, _, _, _, _| Ok(null_test(true)),
            handles_null: true,
            may_fail: infallible,
        },
        Operator {
            doc: doc(
                op::IS_NOT_NULL,
                &[],
                "isnotnull(a)",
                "Whether the value is not NULL.",
                &[("isnotnull(1)", "true")],
            ),
            bind: bind_any,
            kernel: |_, _, _, _, _| Ok(null_test(false)),
            handles_null: true,
            may_fail: infallible,
        },
        Operator {
            doc: doc(
                "isnan",
                &[],
                "isnan(a)",
                "Whether the value is not a number; false for NULL.",
                &[("isnan(double('NaN'))", "true"), ("isnan(1)", "false")],
            ),
            bind: |name, args, _| {
                expect_args(name, args, 1..=1)?;
                let ty = if args[0] == SqlType::Float { SqlType::Float } else { SqlType::Double };
                if !args[0].is_numeric() && !args[0].is_string() && args[0] != SqlType::Void {
                    return Err(wrong_type(name, "\"DOUBLE\" or \"FLOAT\"", &args[0]));
                }
                Ok(Signature { args: vec![ty], ty: SqlType::Boolean, may_be_null: false })
            },
            kernel: |_, _, _, _, _| Ok(boxed(is_nan)),
            handles_null: true,
            may_fail: infallible,
        },
    ]
}

fn bind_any(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 1..=1)?;
    Ok(Signature { args: args.to_vec(), ty: SqlType::Boolean, may_be_null: false })
}

fn not(args: &[Datum], rows: usize) -> Result<Datum> {
    null_propagating(args, rows, &SqlType::Boolean, |rows| {
        let input = args[0].clone().into_array(rows);
        Ok(Arc::new(arrow::compute::not(input.as_boolean())?))
    })
}

fn null_test(wanted: bool) -> Box<dyn ScalarKernel> {
    boxed(move |args, _| {
        Ok(match &args[0] {
            Datum::Scalar(value) => Datum::Scalar(Scalar::Boolean(value.is_null() == wanted)),
            Datum::Array(array) if wanted => Datum::Array(Arc::new(arrow::compute::is_null(array)?)),
            Datum::Array(array) => Datum::Array(Arc::new(arrow::compute::is_not_null(array)?)),
        })
    })
}

fn is_nan(args: &[Datum], rows: usize) -> Result<Datum> {
    let input = match &args[0] {
        Datum::Scalar(Scalar::Double(v)) => return Ok(Datum::Scalar(Scalar::Boolean(v.is_nan()))),
        Datum::Scalar(Scalar::Float(v)) => return Ok(Datum::Scalar(Scalar::Boolean(v.is_nan()))),
        Datum::Scalar(_) => return Ok(Datum::Scalar(Scalar::Boolean(false))),
        Datum::Array(array) => array,
    };
    let bits = if let Some(array) = input.as_primitive_opt::<Float32Type>() {
        BooleanBuffer::collect_bool(rows, |i| array.values()[i].is_nan())
    } else {
        let array = input.as_primitive::<Float64Type>();
        BooleanBuffer::collect_bool(rows, |i| array.values()[i].is_nan())
    };
    let bits = input.nulls().map_or(bits.clone(), |nulls| &bits & nulls.inner());
    Ok(Datum::Array(Arc::new(BooleanArray::new(bits, None))))
}
