//! Typed views of arguments, and the loops over them.
//!
//! A kernel chooses its types once per batch and then runs one of these loops: plain slices in,
//! a vector out, nothing decided per row. NULL rows are computed like all others, on whatever value
//! lies under them; where such a value could fail, the exact loop is taken instead.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use firesteel_common::{Error, Result, Scalar, SqlType};

use crate::function::{Datum, ScalarKernel};

/// The values of an argument: one per row, or one for all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a, T> {
    Many(&'a [T]),
    One(T),
}

impl<T: Copy> Values<'_, T> {
    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> T {
        match self {
            Values::Many(values) => values[row],
            Values::One(value) => *value,
        }
    }
}

/// `f` of each pair.
pub(crate) fn zip<A: Copy, B: Copy, R: Clone>(
    a: Values<A>,
    b: Values<B>,
    rows: usize,
    f: impl Fn(A, B) -> R,
) -> Vec<R> {
    match (a, b) {
        (Values::Many(a), Values::Many(b)) => a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect(),
        (Values::Many(a), Values::One(b)) => a.iter().map(|a| f(*a, b)).collect(),
        (Values::One(a), Values::Many(b)) => b.iter().map(|b| f(a, *b)).collect(),
        (Values::One(a), Values::One(b)) => vec![f(a, b); rows],
    }
}

/// `f` of each pair, and whether it raised its flag for any of them.
pub(crate) fn zip_flagged<A: Copy, B: Copy, R: Clone>(
    a: Values<A>,
    b: Values<B>,
    rows: usize,
    f: impl Fn(A, B) -> (R, bool),
) -> (Vec<R>, bool) {
    let mut any = false;
    let mut g = |a: A, b: B| {
        let (value, flag) = f(a, b);
        any |= flag;
        value
    };
    let values = match (a, b) {
        (Values::Many(a), Values::Many(b)) => a.iter().zip(b).map(|(a, b)| g(*a, *b)).collect(),
        (Values::Many(a), Values::One(b)) => a.iter().map(|a| g(*a, b)).collect(),
        (Values::One(a), Values::Many(b)) => b.iter().map(|b| g(a, *b)).collect(),
        (Values::One(a), Values::One(b)) => vec![g(a, b); rows],
    };
    (values, any)
}

/// What happens to a row whose result does not exist.
pub(crate) type OnFailure<'a> = &'a dyn Fn(usize) -> Result<()>;

/// `f` of each pair that is not NULL; where it gives nothing, `failed` raises an error or lets the
/// row become NULL.
pub(crate) fn zip_exact<A: Copy, B: Copy, R: Copy + Default>(
    a: Values<A>,
    b: Values<B>,
    rows: usize,
    nulls: Option<&NullBuffer>,
    f: impl Fn(A, B) -> Option<R>,
    failed: OnFailure,
) -> Result<(Vec<R>, Option<NullBuffer>)> {
    let mut values = Vec::with_capacity(rows);
    let mut invalid: Option<Vec<bool>> = None;
    for row in 0..rows {
        if nulls.is_some_and(|n| n.is_null(row)) {
            values.push(R::default());
            continue;
        }
        match f(a.get(row), b.get(row)) {
            Some(value) => values.push(value),
            None => {
                failed(row)?;
                invalid.get_or_insert_with(|| vec![true; rows])[row] = false;
                values.push(R::default());
            }
        }
    }
    let invalid = invalid.map(NullBuffer::from);
    Ok((values, NullBuffer::union(nulls, invalid.as_ref())))
}

/// A bound on the magnitudes of 64-bit values: at least the greatest, less than twice as much.
/// NULL rows count with what lies under them.
pub(crate) fn magnitude_bound(values: Values<i64>) -> u64 {
    match values {
        Values::One(value) => value.unsigned_abs(),
        // OR-ing the bits needs no 64-bit comparison, which SSE2 does not have.
        Values::Many(values) => values.iter().fold(0, |bits, v| bits | (v ^ (v >> 63))) as u64 + 1,
    }
}

/// The array of an argument, if it is one.
pub(crate) fn as_array(datum: &Datum) -> Option<&ArrayRef> {
    match datum {
        Datum::Array(array) => Some(array),
        Datum::Scalar(_) => None,
    }
}

/// Rows that are NULL in any of the arguments.
pub(crate) fn union_nulls(args: &[Datum]) -> Option<NullBuffer> {
    args.iter().filter_map(as_array).fold(None, |nulls, array| {
        let more = array.logical_nulls().filter(|n| n.null_count() > 0);
        NullBuffer::union(nulls.as_ref(), more.as_ref())
    })
}

/// The primitive values of an argument; `value` reads a scalar.
pub(crate) fn primitive<'a, T: ArrowPrimitiveType>(
    datum: &'a Datum,
    value: impl Fn(&Scalar) -> Option<T::Native>,
) -> Result<Values<'a, T::Native>> {
    match datum {
        Datum::Array(array) => array
            .as_primitive_opt::<T>()
            .map(|a| Values::Many(a.values()))
            .ok_or_else(|| Error::internal(format!("expected {:?}, got {}", T::DATA_TYPE, array.data_type()))),
        Datum::Scalar(scalar) => value(scalar)
            .map(Values::One)
            .ok_or_else(|| Error::internal(format!("expected {:?}, got {scalar:?}", T::DATA_TYPE))),
    }
}

/// An array of values, relabelled as `ty`.
pub(crate) fn array_of<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    ty: DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(ty))
}

/// Runs a kernel body that propagates NULL: a NULL scalar settles the result, and scalars alone
/// give a scalar. The body gets the number of rows to make.
pub(crate) fn null_propagating(
    args: &[Datum],
    rows: usize,
    ty: &SqlType,
    body: impl FnOnce(usize) -> Result<ArrayRef>,
) -> Result<Datum> {
    if args.iter().any(|a| matches!(a, Datum::Scalar(s) if s.is_null())) {
        return Ok(Datum::Scalar(Scalar::Null(ty.clone())));
    }
    if args.iter().all(|a| matches!(a, Datum::Scalar(_))) {
        return Ok(Datum::Scalar(Scalar::from_array(&body(1)?, 0, ty)?));
    }
    body(rows).map(Datum::Array)
}

/// A kernel that is a closure.
pub(crate) struct FnKernel<F>(pub(crate) F);

impl<F: Fn(&[Datum], usize) -> Result<Datum> + Send + Sync> ScalarKernel for FnKernel<F> {
    fn eval(&self, args: &[Datum], rows: usize) -> Result<Datum> {
        (self.0)(args, rows)
    }
}

/// Boxes a closure as a kernel.
pub(crate) fn boxed(f: impl Fn(&[Datum], usize) -> Result<Datum> + Send + Sync + 'static) -> Box<dyn ScalarKernel> {
    Box::new(FnKernel(f))
}
