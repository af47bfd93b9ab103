//! Arithmetic: `+`, `-`, `*`, `/`, `div`, `%` and the unary minus, over numbers, dates and intervals.
//!
//! This file settles types and computes integers and floats. Decimals are in [`super::decimal`],
//! dates and intervals in [`super::datetime`].

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use firesteel_common::{Error, ErrorKind, Result, Scalar, SqlType};
use num_traits::{Bounded, CheckedAdd, CheckedMul, CheckedSub, PrimInt, Zero};

use super::operand::{array_of, boxed, null_propagating, primitive, union_nulls, zip, zip_exact, zip_flagged};
use super::{Operator, datetime, decimal, differing_types, expect_args, wrong_type};
use crate::coercion::{common_type, decimal_add, decimal_divide, decimal_modulo, decimal_multiply, literal_decimal};
use crate::expr::op;
use crate::function::{Datum, EvalContext, FunctionDoc, ScalarKernel, Signature};

/// Which operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    IntDivide,
    Modulo,
}

impl Operation {
    fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            op::ADD => Self::Add,
            op::SUBTRACT => Self::Subtract,
            op::MULTIPLY => Self::Multiply,
            op::DIVIDE => Self::Divide,
            op::INT_DIVIDE => Self::IntDivide,
            op::MODULO => Self::Modulo,
            _ => return Err(Error::internal(format!("`{name}` is no arithmetic"))),
        })
    }

    /// Whether the second operand must not be zero.
    pub(crate) fn divides(self) -> bool {
        matches!(self, Self::Divide | Self::IntDivide | Self::Modulo)
    }

    /// The error of a zero divisor.
    pub(crate) fn by_zero(self) -> Error {
        if self != Self::Modulo {
            return Error::divide_by_zero();
        }
        Error::compute(
            "REMAINDER_BY_ZERO",
            "22012",
            "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead. \
             If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
        )
    }

    /// The error of a result that its integer type does not hold.
    pub(crate) fn overflow(self) -> Error {
        let (what, hint) = match self {
            Self::Add => ("overflow.", "try_add"),
            Self::Subtract => ("overflow.", "try_subtract"),
            Self::Multiply => ("overflow.", "try_multiply"),
            _ => ("Overflow in integral divide.", "try_divide"),
        };
        Error::overflow(format!(
            "{what} Use '{hint}' to tolerate overflow and return NULL instead. If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."
        ))
    }
}

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    let doc = |name, aliases, syntax, description, examples| FunctionDoc {
        name,
        aliases,
        category: "math",
        syntax,
        description,
        examples,
    };
    let binary = |doc| Operator { doc, bind, kernel, handles_null: false, may_fail };
    vec![
        binary(doc(op::ADD, &[], "a + b", "Sum; also of a date or time and an interval.", &[("1 + 2", "3")])),
        binary(doc(op::SUBTRACT, &[], "a - b", "Difference; also of dates and times.", &[("2 - 1", "1")])),
        binary(doc(op::MULTIPLY, &[], "a * b", "Product.", &[("2 * 3", "6")])),
        binary(doc(op::DIVIDE, &[], "a / b", "Quotient; of integers a DOUBLE.", &[("3 / 2", "1.5")])),
        binary(doc(op::INT_DIVIDE, &[], "a div b", "Quotient without its fraction, a BIGINT.", &[("3 div 2", "1")])),
        binary(doc(op::MODULO, &["mod"], "a % b", "Remainder, with the sign of the dividend.", &[("-5 % 3", "-2")])),
        Operator {
            doc: doc(op::NEGATE, &[], "- a", "The value with the opposite sign.", &[("-(1)", "-1")]),
            bind: bind_negate,
            kernel: |_, args, ty, _, cx| negate_kernel(&args[0], ty, cx),
            handles_null: false,
            may_fail: |_, _, ty| !ty.is_float() && !matches!(ty, SqlType::Decimal(..)),
        },
    ]
}

fn may_fail(name: &str, args: &[SqlType], ty: &SqlType) -> bool {
    let divides = matches!(name, op::DIVIDE | op::INT_DIVIDE | op::MODULO);
    match (args, ty) {
        _ if divides => true,
        (_, SqlType::Float | SqlType::Double) => false,
        ([SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)], _) => {
            decimal::full_precision(name == op::MULTIPLY, (*p1, *s1), (*p2, *s2)) > 38
        }
        _ => true,
    }
}

fn bind(name: &str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 2..=2)?;
    let operation = Operation::from_name(name)?;
    if args.iter().any(|ty| ty.is_datetime() || ty.is_interval()) {
        return datetime::bind(operation, name, args, literals);
    }
    let (a, b) = match (&args[0], &args[1]) {
        (SqlType::Void, SqlType::Void) => (SqlType::Double, SqlType::Double),
        (SqlType::Void, ty) | (ty, SqlType::Void) => (ty.clone(), ty.clone()),
        (a, b) => (a.clone(), b.clone()),
    };
    let (a, b) = match (a.is_string(), b.is_string()) {
        (true, true) => return Err(wrong_type(name, "(\"NUMERIC\" or \"INTERVAL\")", &a)),
        (true, false) | (false, true) => {
            let ty = common_type(&a, &b).ok_or_else(|| differing_types(name, args))?;
            (ty.clone(), ty)
        }
        (false, false) => (a, b),
    };
    if !a.is_numeric() || !b.is_numeric() {
        return Err(differing_types(name, args));
    }
    let same = |ty: SqlType, result: SqlType| Signature {
        args: vec![ty.clone(), ty],
        ty: result,
        may_be_null: operation.divides(),
    };
    if a.is_float() || b.is_float() {
        if operation == Operation::IntDivide {
            return Err(differing_types(name, args));
        }
        let float = a == b && a == SqlType::Float && operation != Operation::Divide;
        let ty = if float { SqlType::Float } else { SqlType::Double };
        return Ok(same(ty.clone(), ty));
    }
    if a.is_integer() && b.is_integer() {
        return Ok(match operation {
            Operation::Divide => same(SqlType::Double, SqlType::Double),
            Operation::IntDivide => same(SqlType::BigInt, SqlType::BigInt),
            _ => {
                let ty = common_type(&a, &b).ok_or_else(|| differing_types(name, args))?;
                same(ty.clone(), ty)
            }
        });
    }
    let literal = |i: usize| literals.get(i).and_then(Option::as_ref);
    let (Some((p1, s1)), Some((p2, s2))) = (literal_decimal(&a, literal(0)), literal_decimal(&b, literal(1))) else {
        return Err(differing_types(name, args));
    };
    let ty = match operation {
        Operation::Add | Operation::Subtract => decimal_add(p1, s1, p2, s2),
        Operation::Multiply => decimal_multiply(p1, s1, p2, s2),
        Operation::Divide => decimal_divide(p1, s1, p2, s2),
        Operation::Modulo => decimal_modulo(p1, s1, p2, s2),
        Operation::IntDivide => SqlType::BigInt,
    };
    let args = vec![SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)];
    Ok(Signature { args, ty, may_be_null: true })
}

fn kernel(
    name: &str,
    args: &[SqlType],
    ty: &SqlType,
    _: &[Option<Scalar>],
    cx: &EvalContext,
) -> Result<Box<dyn ScalarKernel>> {
    let operation = Operation::from_name(name)?;
    if args.iter().any(|ty| ty.is_datetime() || ty.is_interval()) {
        return datetime::kernel(operation, args, ty, cx);
    }
    let ansi = cx.ansi;
    Ok(match (&args[0], &args[1]) {
        (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) => {
            return decimal::kernel(operation, (*p1, *s1), (*p2, *s2), ty, ansi);
        }
        (SqlType::TinyInt, _) => boxed(move |args, rows| integers::<Int8Type>(operation, args, rows, ansi)),
        (SqlType::SmallInt, _) => boxed(move |args, rows| integers::<Int16Type>(operation, args, rows, ansi)),
        (SqlType::Int, _) => boxed(move |args, rows| integers::<Int32Type>(operation, args, rows, ansi)),
        (SqlType::BigInt, _) => boxed(move |args, rows| integers::<Int64Type>(operation, args, rows, ansi)),
        (SqlType::Float, _) => boxed(move |args, rows| floats::<Float32Type>(operation, args, rows, ansi)),
        (SqlType::Double, _) => boxed(move |args, rows| floats::<Float64Type>(operation, args, rows, ansi)),
        (a, b) => return Err(Error::internal(format!("no kernel for {a} {name} {b}"))),
    })
}

/// Number types whose scalars can be read back.
pub(crate) trait Number: ArrowPrimitiveType {
    /// The value of a scalar of this type.
    fn of(scalar: &Scalar) -> Option<Self::Native>;
    /// The SQL type.
    const SQL: SqlType;
}

macro_rules! number {
    ($($arrow:ty, $variant:ident;)*) => {
        $(impl Number for $arrow {
            const SQL: SqlType = SqlType::$variant;
            fn of(scalar: &Scalar) -> Option<Self::Native> {
                match scalar {
                    Scalar::$variant(value) => Some(*value),
                    _ => None,
                }
            }
        })*
    };
}

number! {
    Int8Type, TinyInt;
    Int16Type, SmallInt;
    Int32Type, Int;
    Int64Type, BigInt;
    Float32Type, Float;
    Float64Type, Double;
}

/// An integer whose arithmetic reports overflow without branching.
pub(crate) trait Overflowing: PrimInt + Default {
    fn add_flagged(self, other: Self) -> (Self, bool);
    fn sub_flagged(self, other: Self) -> (Self, bool);
    fn mul_flagged(self, other: Self) -> (Self, bool);
}

macro_rules! overflowing {
    ($($ty:ty),*) => {
        $(impl Overflowing for $ty {
            fn add_flagged(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            fn sub_flagged(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
            fn mul_flagged(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }
        })*
    };
}

overflowing!(i8, i16, i32, i64);

fn integers<T: Number>(operation: Operation, args: &[Datum], rows: usize, ansi: bool) -> Result<Datum>
where
    T::Native: Overflowing,
{
    null_propagating(args, rows, &T::SQL, |rows| {
        let (a, b) = (primitive::<T>(&args[0], T::of)?, primitive::<T>(&args[1], T::of)?);
        let nulls = union_nulls(args);
        if operation.divides() {
            let one = <T::Native as num_traits::One>::one();
            let minus_one = T::Native::zero() - one;
            let f = |a: T::Native, b: T::Native| match operation {
                _ if b.is_zero() => None,
                Operation::Modulo if b == minus_one => Some(T::Native::zero()),
                Operation::Modulo => Some(a % b),
                // The one quotient that does not fit wraps around where errors are off.
                _ if b == minus_one && a == T::Native::min_value() => (!ansi).then_some(a),
                _ => Some(a / b),
            };
            let failed = |row: usize| match (ansi, b.get(row).is_zero()) {
                (false, _) => Ok(()),
                (true, true) => Err(operation.by_zero()),
                (true, false) => Err(operation.overflow()),
            };
            let (values, nulls) = zip_exact(a, b, rows, nulls.as_ref(), f, &failed)?;
            return Ok(array_of::<T>(values, nulls, T::DATA_TYPE));
        }
        let (values, overflowed) = match operation {
            Operation::Add => zip_flagged(a, b, rows, |a, b| a.add_flagged(b)),
            Operation::Subtract => zip_flagged(a, b, rows, |a, b| a.sub_flagged(b)),
            _ => zip_flagged(a, b, rows, |a, b| a.mul_flagged(b)),
        };
        if overflowed && ansi {
            // The flag may come from a value under a NULL; find out.
            let exact = |a: T::Native, b: T::Native| match operation {
                Operation::Add => a.checked_add(&b),
                Operation::Subtract => a.checked_sub(&b),
                _ => a.checked_mul(&b),
            };
            zip_exact(a, b, rows, nulls.as_ref(), exact, &|_| Err(operation.overflow()))?;
        }
        Ok(array_of::<T>(values, nulls, T::DATA_TYPE))
    })
}

fn floats<T: Number>(operation: Operation, args: &[Datum], rows: usize, ansi: bool) -> Result<Datum>
where
    T::Native: num_traits::Float + Default,
{
    null_propagating(args, rows, &T::SQL, |rows| {
        let (a, b) = (primitive::<T>(&args[0], T::of)?, primitive::<T>(&args[1], T::of)?);
        let nulls = union_nulls(args);
        let apply = |a: T::Native, b: T::Native| if operation == Operation::Modulo { a % b } else { a / b };
        let (values, nulls) = match operation {
            Operation::Add => (zip(a, b, rows, |a, b| a + b), nulls),
            Operation::Subtract => (zip(a, b, rows, |a, b| a - b), nulls),
            Operation::Multiply => (zip(a, b, rows, |a, b| a * b), nulls),
            _ => {
                let (values, by_zero) = zip_flagged(a, b, rows, |a, b| (apply(a, b), b.is_zero()));
                if by_zero {
                    let f = |a: T::Native, b: T::Native| (!b.is_zero()).then(|| apply(a, b));
                    let failed = |_| if ansi { Err(operation.by_zero()) } else { Ok(()) };
                    zip_exact(a, b, rows, nulls.as_ref(), f, &failed)?
                } else {
                    (values, nulls)
                }
            }
        };
        Ok(array_of::<T>(values, nulls, T::DATA_TYPE))
    })
}

fn bind_negate(name: &str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 1..=1)?;
    let ty = match &args[0] {
        SqlType::Void => SqlType::Double,
        ty if ty.is_string() => SqlType::Double,
        ty if ty.is_numeric() || ty.is_interval() => ty.clone(),
        ty => {
            return Err(Error::new(
                ErrorKind::Type,
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                "42K09",
                format!("The unary minus requires a number or an interval, not \"{ty}\"."),
            ));
        }
    };
    Ok(Signature { args: vec![ty.clone()], ty, may_be_null: false })
}

fn negate_kernel(input: &SqlType, ty: &SqlType, cx: &EvalContext) -> Result<Box<dyn ScalarKernel>> {
    let ansi = cx.ansi;
    Ok(match input {
        SqlType::TinyInt => boxed(move |args, rows| negate_integers::<Int8Type>(args, rows, ansi)),
        SqlType::SmallInt => boxed(move |args, rows| negate_integers::<Int16Type>(args, rows, ansi)),
        SqlType::Int => boxed(move |args, rows| negate_integers::<Int32Type>(args, rows, ansi)),
        SqlType::BigInt => boxed(move |args, rows| negate_integers::<Int64Type>(args, rows, ansi)),
        SqlType::Float => boxed(negate_floats::<Float32Type>),
        SqlType::Double => boxed(negate_floats::<Float64Type>),
        SqlType::Decimal(..) => decimal::negate_kernel(ty),
        SqlType::IntervalYearMonth | SqlType::IntervalDayTime => datetime::negate_kernel(ty),
        other => return Err(Error::internal(format!("no kernel for -{other}"))),
    })
}

fn negate_integers<T: Number>(args: &[Datum], rows: usize, ansi: bool) -> Result<Datum>
where
    T::Native: Overflowing,
{
    null_propagating(args, rows, &T::SQL, |rows| {
        use super::operand::Values;
        let zero = T::Native::zero();
        let (a, nulls) = (primitive::<T>(&args[0], T::of)?, union_nulls(args));
        let (values, overflowed) = zip_flagged(Values::One(zero), a, rows, |zero, a| zero.sub_flagged(a));
        if overflowed && ansi {
            let failed = |_| {
                Err(Error::overflow(
                    "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
                ))
            };
            let exact = |zero: T::Native, a: T::Native| zero.checked_sub(&a);
            zip_exact(Values::One(zero), a, rows, nulls.as_ref(), exact, &failed)?;
        }
        Ok(array_of::<T>(values, nulls, T::DATA_TYPE))
    })
}

fn negate_floats<T: Number>(args: &[Datum], rows: usize) -> Result<Datum>
where
    T::Native: num_traits::Float,
{
    null_propagating(args, rows, &T::SQL, |rows| {
        let a = primitive::<T>(&args[0], T::of)?;
        let values = zip(a, a, rows, |a, _| -a);
        Ok(array_of::<T>(values, union_nulls(args), T::DATA_TYPE))
    })
}
