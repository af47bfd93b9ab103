//! Comparisons: `=`, `<>`, `<`, `<=`, `>`, `>=` and `<=>`.
//!
//! Both operands have one type when they arrive. Integers, dates, times and strings go through
//! Arrow's comparison loops; floats have their own, because SQL says that NaN is equal to itself and
//! greatest and that -0.0 equals 0.0. A dictionary compared with a literal is compared entry by
//! entry, and the answers are spread over the rows by code.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum as ArrowDatum, Scalar as ArrowScalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int64Type,
};
use firesteel_common::{Error, Result, Scalar, SqlType, encoding};

use super::operand::{Values, boxed, primitive, union_nulls};
use super::{Operator, differing_types, expect_args, infallible};
use crate::coercion::{common_type, literal_decimal, wider_decimal};
use crate::expr::op;
use crate::function::{Datum, FunctionDoc, Signature};

/// Which comparison it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    NullSafeEq,
}

impl Comparison {
    fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            op::EQ => Self::Eq,
            op::NOT_EQ => Self::NotEq,
            op::LT => Self::Lt,
            op::LT_EQ => Self::LtEq,
            op::GT => Self::Gt,
            op::GT_EQ => Self::GtEq,
            op::NULL_SAFE_EQ => Self::NullSafeEq,
            _ => return Err(Error::internal(format!("`{name}` is no comparison"))),
        })
    }

    /// The comparison with its operands exchanged.
    fn flipped(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
            same => same,
        }
    }
}

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    macro_rules! comparison {
        ($name:expr, $aliases:expr, $syntax:literal, $description:literal, $example:expr) => {
            Operator {
                doc: FunctionDoc {
                    name: $name,
                    aliases: $aliases,
                    category: "predicate",
                    syntax: $syntax,
                    description: $description,
                    examples: $example,
                },
                bind,
                kernel: |name, args, _, _, _| {
                    let (comparison, ty) = (Comparison::from_name(name)?, args[0].clone());
                    Ok(boxed(move |args, rows| evaluate(comparison, &ty, &args[0], &args[1], rows)))
                },
                handles_null: $name == op::NULL_SAFE_EQ,
                may_fail: infallible,
            }
        };
    }
    vec![
        comparison!(op::EQ, &["=="], "a = b", "Whether the operands are equal.", &[("2 = 2", "true")]),
        comparison!(op::NOT_EQ, &["!="], "a <> b", "Whether the operands differ.", &[("1 <> 2", "true")]),
        comparison!(op::LT, &[], "a < b", "Whether the first is less.", &[("1 < 2", "true")]),
        comparison!(op::LT_EQ, &[], "a <= b", "Whether the first is less or equal.", &[("2 <= 2", "true")]),
        comparison!(op::GT, &[], "a > b", "Whether the first is greater.", &[("2 > 1", "true")]),
        comparison!(op::GT_EQ, &[], "a >= b", "Whether the first is greater or equal.", &[("2 >= 1", "true")]),
        comparison!(
            op::NULL_SAFE_EQ,
            &["equal_null"],
            "a <=> b",
            "Whether the operands are equal, where NULL equals NULL.",
            &[("NULL <=> NULL", "true"), ("1 <=> NULL", "false")]
        ),
    ]
}

fn bind(name: &str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    expect_args(name, args, 2..=2)?;
    let ty = operand_type(args, literals).ok_or_else(|| differing_types(name, args))?;
    Ok(Signature { args: vec![ty.clone(), ty], ty: SqlType::Boolean, may_be_null: false })
}

/// The type that both operands of a comparison are brought to. A literal integer next to a decimal
/// column does not widen the column, which would cost a conversion per row.
pub(crate) fn operand_type(args: &[SqlType], literals: &[Option<Scalar>]) -> Option<SqlType> {
    let (a, b) = (&args[0], &args[1]);
    let decimal = |ty: &SqlType| matches!(ty, SqlType::Decimal(..));
    if decimal(a) != decimal(b) {
        let literal = |i: usize| literals.get(i).and_then(Option::as_ref);
        if let (Some((p1, s1)), Some((p2, s2))) = (literal_decimal(a, literal(0)), literal_decimal(b, literal(1))) {
            return Some(wider_decimal(p1, s1, p2, s2));
        }
    }
    common_type(a, b)
}

/// Compares two operands of type `ty`.
pub(crate) fn evaluate(comparison: Comparison, ty: &SqlType, a: &Datum, b: &Datum, rows: usize) -> Result<Datum> {
    let null = |d: &Datum| matches!(d, Datum::Scalar(s) if s.is_null());
    if comparison != Comparison::NullSafeEq && (null(a) || null(b)) {
        return Ok(Datum::Scalar(Scalar::Null(SqlType::Boolean)));
    }
    if *ty == SqlType::Void {
        return Ok(Datum::Scalar(match comparison {
            Comparison::NullSafeEq => Scalar::Boolean(true),
            _ => Scalar::Null(SqlType::Boolean),
        }));
    }
    match (a, b) {
        (Datum::Scalar(a), Datum::Scalar(b)) => {
            let (a, b) = (Datum::Array(a.to_array(1)), Datum::Array(b.to_array(1)));
            let result = evaluate(comparison, ty, &a, &b, 1)?;
            Ok(match result {
                Datum::Array(array) => Datum::Scalar(Scalar::from_array(&array, 0, &SqlType::Boolean)?),
                scalar => scalar,
            })
        }
        (Datum::Scalar(_), Datum::Array(_)) => evaluate(comparison.flipped(), ty, b, a, rows),
        (Datum::Array(_), Datum::Scalar(value)) if value.is_null() => {
            // Only `<=>` gets here.
            let Datum::Array(array) = a else { return Err(Error::internal("an array was expected")) };
            Ok(Datum::Array(Arc::new(arrow::compute::is_null(array)?)))
        }
        (Datum::Array(array), Datum::Scalar(value)) => {
            if let Some(dictionary) = array.as_any_dictionary_opt() {
                let entries = Datum::Array(dictionary.values().clone());
                let verdicts = evaluate(comparison, ty, &entries, b, dictionary.values().len())?;
                return spread(array, verdicts.into_array(dictionary.values().len()), comparison);
            }
            compare_arrays(comparison, ty, a, b, Some(value), rows).map(Datum::Array)
        }
        (Datum::Array(_), Datum::Array(_)) => compare_arrays(comparison, ty, a, b, None, rows).map(Datum::Array),
    }
}

/// Gives each row of a dictionary array the verdict on its entry.
fn spread(array: &ArrayRef, verdicts: ArrayRef, comparison: Comparison) -> Result<Datum> {
    let spread = super::pattern::spread(array, verdicts.as_boolean())?;
    if comparison == Comparison::NullSafeEq && spread.null_count() > 0 {
        return Ok(Datum::Array(Arc::new(arrow::compute::prep_null_mask_filter(&spread))));
    }
    Ok(Datum::Array(Arc::new(spread)))
}

fn compare_arrays(
    comparison: Comparison,
    ty: &SqlType,
    a: &Datum,
    b: &Datum,
    literal: Option<&Scalar>,
    rows: usize,
) -> Result<ArrayRef> {
    if let SqlType::Float | SqlType::Double = ty {
        let result = if *ty == SqlType::Float {
            compare_floats::<Float32Type>(comparison, a, b, rows, |s| match s {
                Scalar::Float(v) => Some(*v),
                _ => None,
            })?
        } else {
            compare_floats::<Float64Type>(comparison, a, b, rows, |s| match s {
                Scalar::Double(v) => Some(*v),
                _ => None,
            })?
        };
        return Ok(Arc::new(result));
    }
    let (Datum::Array(left), right) = (a, b) else { return Err(Error::internal("an array was expected")) };
    let right = match (right, literal) {
        (Datum::Array(array), _) => array.clone(),
        (_, Some(value)) => value.to_array(1),
        _ => return Err(Error::internal("a literal was expected")),
    };
    let (left, right) = same_encoding(left, &right, ty)?;
    let result = if literal.is_some() {
        compare_datums(comparison, &left, &ArrowScalar::new(right))?
    } else {
        compare_datums(comparison, &left, &right)?
    };
    Ok(Arc::new(result))
}

fn compare_datums(comparison: Comparison, a: &dyn ArrowDatum, b: &dyn ArrowDatum) -> Result<BooleanArray> {
    Ok(match comparison {
        Comparison::Eq => cmp::eq(a, b),
        Comparison::NotEq => cmp::neq(a, b),
        Comparison::Lt => cmp::lt(a, b),
        Comparison::LtEq => cmp::lt_eq(a, b),
        Comparison::Gt => cmp::gt(a, b),
        Comparison::GtEq => cmp::gt_eq(a, b),
        Comparison::NullSafeEq => cmp::not_distinct(a, b),
    }?)
}

/// Two arrays of type `ty` in an encoding that can be compared. Decimals become plain integers.
fn same_encoding(a: &ArrayRef, b: &ArrayRef, ty: &SqlType) -> Result<(ArrayRef, ArrayRef)> {
    if let SqlType::Decimal(..) = ty {
        let narrow = |array: &ArrayRef| -> Option<ArrayRef> {
            match array.data_type() {
                DataType::Decimal64(..) => {
                    Some(Arc::new(array.as_primitive::<Decimal64Type>().reinterpret_cast::<Int64Type>()))
                }
                // A literal of a wide type may still be a small number.
                DataType::Decimal128(..) if array.len() == 1 => {
                    let value = array.as_primitive::<Decimal128Type>().value(0);
                    let value = i64::try_from(value).ok()?;
                    array.is_valid(0).then(|| Arc::new(arrow::array::Int64Array::from(vec![value])) as ArrayRef)
                }
                _ => None,
            }
        };
        if let (Some(a), Some(b)) = (narrow(a), narrow(b)) {
            return Ok((a, b));
        }
        return Ok((encoding_wide(a, ty)?, encoding_wide(b, ty)?));
    }
    if a.data_type() == b.data_type() && !matches!(a.data_type(), DataType::Dictionary(..)) {
        return Ok((a.clone(), b.clone()));
    }
    Ok((encoding::canonical(a, ty)?, encoding::canonical(b, ty)?))
}

/// A decimal array as 128-bit integers with the label of `ty`.
fn encoding_wide(array: &ArrayRef, ty: &SqlType) -> Result<ArrayRef> {
    let SqlType::Decimal(_, scale) = ty else { return Err(Error::internal("a decimal was expected")) };
    let wide = encoding::canonical(array, &SqlType::Decimal(38, *scale))?;
    let label = DataType::Decimal128(38, *scale as i8);
    Ok(Arc::new(wide.as_primitive::<Decimal128Type>().clone().with_data_type(label)))
}

/// Floats whose order is SQL's: compared as `<` and `==` with NaN lifted above all.
fn compare_floats<T: ArrowPrimitiveType>(
    comparison: Comparison,
    a: &Datum,
    b: &Datum,
    rows: usize,
    scalar: impl Fn(&Scalar) -> Option<T::Native> + Copy,
) -> Result<BooleanArray>
where
    T::Native: num_traits::Float,
{
    use num_traits::Float;
    type Native<T> = <T as ArrowPrimitiveType>::Native;
    let (x, y) = (primitive::<T>(a, scalar)?, primitive::<T>(b, scalar)?);
    let equal = |a: Native<T>, b: Native<T>| a == b || (Float::is_nan(a) & Float::is_nan(b));
    let less = |a: Native<T>, b: Native<T>| a < b || (!Float::is_nan(a) & Float::is_nan(b));
    let bits = match comparison {
        Comparison::Eq | Comparison::NullSafeEq => collect(x, y, rows, equal),
        Comparison::NotEq => collect(x, y, rows, |a, b| !equal(a, b)),
        Comparison::Lt => collect(x, y, rows, less),
        Comparison::LtEq => collect(x, y, rows, |a, b| !less(b, a)),
        Comparison::Gt => collect(x, y, rows, |a, b| less(b, a)),
        Comparison::GtEq => collect(x, y, rows, |a, b| !less(a, b)),
    };
    if comparison != Comparison::NullSafeEq {
        return Ok(BooleanArray::new(bits, union_nulls(&[a.clone(), b.clone()])));
    }
    let valid = |d: &Datum| match d {
        Datum::Array(array) => array.nulls().map(|n| n.inner().clone()),
        Datum::Scalar(_) => None,
    };
    let all = || BooleanBuffer::new_set(rows);
    let (va, vb) = (valid(a).unwrap_or_else(all), valid(b).unwrap_or_else(all));
    let neither = &!&va & &!&vb;
    Ok(BooleanArray::new(&(&bits & &(&va & &vb)) | &neither, None))
}

/// The bits of a predicate over pairs.
fn collect<A: Copy>(a: Values<A>, b: Values<A>, rows: usize, f: impl Fn(A, A) -> bool) -> BooleanBuffer {
    match (a, b) {
        (Values::Many(a), Values::Many(b)) => {
            let (a, b) = (&a[..rows], &b[..rows]);
            BooleanBuffer::collect_bool(rows, |i| f(a[i], b[i]))
        }
        (Values::Many(a), Values::One(b)) => {
            let a = &a[..rows];
            BooleanBuffer::collect_bool(rows, |i| f(a[i], b))
        }
        (Values::One(a), Values::Many(b)) => {
            let b = &b[..rows];
            BooleanBuffer::collect_bool(rows, |i| f(a, b[i]))
        }
        (Values::One(a), Values::One(b)) => BooleanBuffer::collect_bool(rows, |_| f(a, b)),
    }
}
