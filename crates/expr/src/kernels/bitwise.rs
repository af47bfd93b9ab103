//! Operators on the bits of integers: `&`, `|`, `^`, `~`, `<<`, `>>`, `>>>`.

use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type};
use firesteel_common::{Error, Result, Scalar, SqlType};

use super::arithmetic::Number;
use super::operand::{array_of, boxed, null_propagating, primitive, union_nulls, zip};
use super::{Operator, differing_types, expect_args, infallible, wrong_type};
use crate::coercion::common_type;
use crate::function::{Datum, EvalContext, FunctionDoc, ScalarKernel, Signature};

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    let doc = |name, aliases, syntax, description, examples| FunctionDoc {
        name,
        aliases,
        category: "bitwise",
        syntax,
        description,
        examples,
    };
    let operator = |doc, bind| Operator { doc, bind, kernel, handles_null: false, may_fail: infallible };
    vec![
        operator(doc("&", &[], "a & b", "Bits set in both.", &[("3 & 5", "1")]), bind_binary),
        operator(doc("|", &[], "a | b", "Bits set in either.", &[("3 | 5", "7")]), bind_binary),
        operator(doc("^", &[], "a ^ b", "Bits set in one of the two.", &[("3 ^ 5", "6")]), bind_binary),
        operator(doc("~", &[], "~ a", "All bits inverted.", &[("~ 0", "-1")]), bind_not),
        operator(doc("<<", &["shiftleft"], "a << n", "Bits moved to the left.", &[("2 << 1", "4")]), bind_shift),
        operator(
            doc(">>", &["shiftright"], "a >> n", "Bits moved to the right, the sign kept.", &[("4 >> 1", "2")]),
            bind_shift,
        ),
        operator(
            doc(
                ">>>",
                &["shiftrightunsigned"],
                "a >>> n",
                "Bits moved to the right, zeros moved in.",
                &[("4 >>> 1", "2")],
            ),
            bind_shift,
        ),
    ]
}

fn integer(name: &str, ty: &SqlType) -> Result<SqlType> {
    match ty {
        ty if ty.is_integer() => Ok(ty.clone()),
        SqlType::Void => Ok(SqlType::Int),
        ty if ty.is_string() => Ok(SqlType::BigInt),
        ty => Err(wrong_type(name, "\"INTEGRAL\"", ty)),
    }
}

fn bind_binary(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 2..=2)?;
    let (a, b) = (integer(name, &args[0])?, integer(name, &args[1])?);
    let ty = common_type(&a, &b).ok_or_else(|| differing_types(name, args))?;
    Ok(Signature { args: vec![ty.clone(), ty.clone()], ty, may_be_null: false })
}

fn bind_not(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 1..=1)?;
    let ty = integer(name, &args[0])?;
    Ok(Signature { args: vec![ty.clone()], ty, may_be_null: false })
}

fn bind_shift(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 2..=2)?;
    let wide = integer(name, &args[0])? == SqlType::BigInt;
    integer(name, &args[1])?;
    let ty = if wide { SqlType::BigInt } else { SqlType::Int };
    Ok(Signature { args: vec![ty.clone(), SqlType::Int], ty, may_be_null: false })
}

fn kernel(
    name: &str,
    _: &[SqlType],
    ty: &SqlType,
    _: &[Option<Scalar>],
    _: &EvalContext,
) -> Result<Box<dyn ScalarKernel>> {
    macro_rules! shift {
        ($arrow:ty, $native:ty, $unsigned:ty) => {
            match name {
                "<<" => boxed(|args, rows| shift::<$arrow>(args, rows, |a: $native, n| a.wrapping_shl(n as u32))),
                ">>" => boxed(|args, rows| shift::<$arrow>(args, rows, |a: $native, n| a.wrapping_shr(n as u32))),
                _ => boxed(|args, rows| {
                    shift::<$arrow>(args, rows, |a: $native, n| (a as $unsigned).wrapping_shr(n as u32) as $native)
                }),
            }
        };
    }
    macro_rules! bits {
        ($arrow:ty) => {
            match name {
                "&" => boxed(|args, rows| bits::<$arrow>(args, rows, |a, b| a & b)),
                "|" => boxed(|args, rows| bits::<$arrow>(args, rows, |a, b| a | b)),
                "^" => boxed(|args, rows| bits::<$arrow>(args, rows, |a, b| a ^ b)),
                _ => boxed(|args, rows| bits::<$arrow>(args, rows, |a, _| !a)),
            }
        };
    }
    let shifts = matches!(name, "<<" | ">>" | ">>>");
    Ok(match ty {
        SqlType::Int if shifts => shift!(Int32Type, i32, u32),
        SqlType::BigInt if shifts => shift!(Int64Type, i64, u64),
        SqlType::TinyInt => bits!(Int8Type),
        SqlType::SmallInt => bits!(Int16Type),
        SqlType::Int => bits!(Int32Type),
        SqlType::BigInt => bits!(Int64Type),
        other => return Err(Error::internal(format!("no kernel for `{name}` on {other}"))),
    })
}

fn bits<T: Number>(args: &[Datum], rows: usize, f: impl Fn(T::Native, T::Native) -> T::Native) -> Result<Datum> {
    null_propagating(args, rows, &T::SQL, |rows| {
        let a = primitive::<T>(&args[0], T::of)?;
        let b = primitive::<T>(args.last().unwrap_or(&args[0]), T::of)?;
        Ok(array_of::<T>(zip(a, b, rows, f), union_nulls(args), T::DATA_TYPE))
    })
}

fn shift<T: Number>(args: &[Datum], rows: usize, f: impl Fn(T::Native, i32) -> T::Native) -> Result<Datum> {
    null_propagating(args, rows, &T::SQL, |rows| {
        let a = primitive::<T>(&args[0], T::of)?;
        let n = primitive::<Int32Type>(&args[1], Int32Type::of)?;
        Ok(array_of::<T>(zip(a, n, rows, f), union_nulls(args), T::DATA_TYPE))
    })
}
