//! `IN` with a list.
//!
//! Literals are put into a set when the kernel is made: a few are compared one after the other,
//! more are looked up by binary search. The list may hold NULL: then no match is NULL, not false.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::or_kleene;
use arrow::datatypes::*;
use firesteel_common::{Result, Scalar, SqlType, encoding};

use super::comparison::{self, Comparison};
use super::operand::boxed;
use super::{Operator, differing_types, infallible, pattern};
use crate::coercion::{common_type_of, literal_decimal, wider_decimal};
use crate::expr::op;
use crate::function::{Datum, EvalContext, FunctionDoc, ScalarKernel, Signature};

/// Up to this many values are compared one after the other.
const LINEAR: usize = 8;

/// The table entries of this file.
pub(crate) fn operators() -> Vec<Operator> {
    vec![Operator {
        doc: FunctionDoc {
            name: op::IN,
            aliases: &[],
            category: "predicate",
            syntax: "a IN (b, …)",
            description: "Whether the value equals one of a list; NULL if it equals none and the list holds NULL.",
            examples: &[("1 IN (1, 2)", "true"), ("3 IN (1, NULL)", "NULL")],
        },
        bind,
        kernel,
        handles_null: true,
        may_fail: infallible,
    }]
}

fn bind(name: &str, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
    super::expect_args(name, args, 2..=usize::MAX)?;
    let literal = |i: usize| literals.get(i).and_then(Option::as_ref);
    // As in comparisons, a literal integer does not widen a decimal.
    let exact = args.iter().any(|ty| matches!(ty, SqlType::Decimal(..)))
        && args.iter().all(|ty| matches!(ty, SqlType::Decimal(..)) || ty.is_integer());
    let ty = if exact {
        let mut types = args.iter().enumerate().filter_map(|(i, ty)| literal_decimal(ty, literal(i)));
        let first = types.next().ok_or_else(|| differing_types(name, args))?;
        types.fold(SqlType::Decimal(first.0, first.1), |wide, (p, s)| match wide {
            SqlType::Decimal(q, t) => wider_decimal(q, t, p, s),
            other => other,
        })
    } else {
        common_type_of(args).ok_or_else(|| differing_types(name, args))?
    };
    Ok(Signature { args: vec![ty; args.len()], ty: SqlType::Boolean, may_be_null: false })
}

fn kernel(
    _: &str,
    args: &[SqlType],
    _: &SqlType,
    literals: &[Option<Scalar>],
    _: &EvalContext,
) -> Result<Box<dyn ScalarKernel>> {
    let ty = args[0].clone();
    let listed = literals.get(1..).unwrap_or_default();
    let values: Option<Vec<Scalar>> = listed.iter().cloned().collect();
    if let Some(values) = values {
        let has_null = values.iter().any(Scalar::is_null);
        let present: Vec<Scalar> = values.into_iter().filter(|v| !v.is_null()).collect();
        if let Some(set) = Set::new(&present, &ty) {
            return Ok(boxed(move |args, rows| match_set(&set, has_null, &ty, &args[0], rows)));
        }
    }
    Ok(boxed(move |args, rows| {
        let mut found: Option<BooleanArray> = None;
        for candidate in &args[1..] {
            let equal = comparison::evaluate(Comparison::Eq, &ty, &args[0], candidate, rows)?.into_array(rows);
            let equal = equal.as_boolean();
            found = Some(found.map_or_else(|| Ok(equal.clone()), |found| or_kleene(&found, equal))?);
        }
        let found = found.unwrap_or_else(|| BooleanArray::from(vec![false; rows]));
        Ok(Datum::Array(Arc::new(found)))
    }))
}

/// The values of a list that are not NULL.
enum Set {
    Small(Vec<i64>),
    Wide(Vec<i128>),
    Text(Vec<Box<[u8]>>),
}

/// The value of a scalar that is an integer underneath.
fn integer(value: &Scalar) -> Option<i128> {
    Some(match value {
        Scalar::Decimal(v, ..) => *v,
        Scalar::Date(v) | Scalar::IntervalYearMonth(v) => i128::from(*v),
        Scalar::Timestamp(v) | Scalar::TimestampNtz(v) | Scalar::IntervalDayTime(v) => i128::from(*v),
        other => i128::from(other.as_i64()?),
    })
}

impl Set {
    /// A set, for types that have one.
    fn new(values: &[Scalar], ty: &SqlType) -> Option<Set> {
        if ty.is_string() || *ty == SqlType::Binary {
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                texts.push(match value {
                    Scalar::String(v) => Box::from(v.as_bytes()),
                    Scalar::Binary(v) => Box::from(&**v),
                    _ => return None,
                });
            }
            texts.sort_unstable();
            texts.dedup();
            return Some(Set::Text(texts));
        }
        let mut wide = values.iter().map(integer).collect::<Option<Vec<i128>>>()?;
        if matches!(ty, SqlType::Boolean | SqlType::Float | SqlType::Double | SqlType::Void) {
            return None;
        }
        wide.sort_unstable();
        wide.dedup();
        if matches!(ty, SqlType::Decimal(..)) {
            return Some(Set::Wide(wide));
        }
        Some(Set::Small(wide.into_iter().map(|v| v as i64).collect()))
    }

    fn test(&self, array: &ArrayRef) -> Option<BooleanBuffer> {
        macro_rules! integers {
            ($($ty:ty),*) => {
                $(if let (Set::Small(set), Some(array)) = (self, array.as_primitive_opt::<$ty>()) {
                    let set: Vec<<$ty as ArrowPrimitiveType>::Native> = set.iter().map(|v| *v as _).collect();
                    return Some(test_values(array.values(), &set));
                })*
            };
        }
        integers!(Int8Type, Int16Type, Int32Type, Int64Type, Date32Type, TimestampMicrosecondType);
        integers!(DurationMicrosecondType, IntervalYearMonthType);
        match self {
            Set::Wide(set) => {
                if let Some(array) = array.as_primitive_opt::<Decimal64Type>() {
                    let set: Vec<i64> = set.iter().filter_map(|v| i64::try_from(*v).ok()).collect();
                    return Some(test_values(array.values(), &set));
                }
                Some(test_values(array.as_primitive_opt::<Decimal128Type>()?.values(), set))
            }
            Set::Text(set) => {
                let contains = |bytes: &[u8]| {
                    if set.len() <= LINEAR {
                        set.iter().any(|v| **v == *bytes)
                    } else {
                        set.binary_search_by(|v| (**v).cmp(bytes)).is_ok()
                    }
                };
                if let Some(view) = array.as_string_view_opt() {
                    return Some(BooleanBuffer::collect_bool(view.len(), |i| contains(view.value(i).as_bytes())));
                }
                if let Some(strings) = array.as_string_opt::<i32>() {
                    return Some(BooleanBuffer::collect_bool(strings.len(), |i| contains(strings.value(i).as_bytes())));
                }
                let view = array.as_binary_view_opt()?;
                Some(BooleanBuffer::collect_bool(view.len(), |i| contains(view.value(i))))
            }
            Set::Small(_) => None,
        }
    }
}

fn test_values<T: Copy + Ord>(values: &[T], set: &[T]) -> BooleanBuffer {
    if set.len() <= LINEAR {
        return BooleanBuffer::collect_bool(values.len(), |i| {
            let value = values[i];
            set.iter().fold(false, |found, v| found | (*v == value))
        });
    }
    BooleanBuffer::collect_bool(values.len(), |i| set.binary_search(&values[i]).is_ok())
}

fn match_set(set: &Set, has_null: bool, ty: &SqlType, value: &Datum, _: usize) -> Result<Datum> {
    let array = match value {
        Datum::Scalar(value) if value.is_null() => return Ok(Datum::Scalar(Scalar::Null(SqlType::Boolean))),
        Datum::Scalar(value) => value.to_array(1),
        Datum::Array(array) => array.clone(),
    };
    let test = |array: &ArrayRef| -> Result<BooleanArray> {
        let bits = match set.test(array) {
            Some(bits) => bits,
            None => {
                let array = encoding::canonical(array, ty)?;
                set.test(&array).unwrap_or_else(|| BooleanBuffer::new_unset(array.len()))
            }
        };
        Ok(BooleanArray::new(bits, array.logical_nulls()))
    };
    let mut found = match array.as_any_dictionary_opt() {
        Some(dictionary) => pattern::spread(&array, &test(dictionary.values())?)?,
        None => test(&array)?,
    };
    if has_null {
        // What was not found may be equal to the NULL of the list.
        let known = NullBuffer::new(found.values().clone());
        let nulls = NullBuffer::union(found.nulls(), Some(&known));
        found = BooleanArray::new(found.values().clone(), nulls);
    }
    if matches!(value, Datum::Scalar(_)) {
        return Ok(Datum::Scalar(Scalar::from_array(&found, 0, &SqlType::Boolean)?));
    }
    Ok(Datum::Array(Arc::new(found)))
}
