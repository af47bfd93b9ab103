//! AND, OR and CASE: three-valued logic, and evaluation on the rows that need it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum as ArrowDatum, Scalar as ArrowScalar};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, interleave, or_kleene, take};
use arrow::datatypes::{DataType, Decimal64Type};
use firesteel_common::{Batch, Error, Result, Scalar, Selection, SqlType, encoding};

use super::program::{Program, Register};
use crate::function::Datum;

/// An operand that not every row needs.
pub(super) enum Operand {
    /// Computed for all rows.
    Dense(Register),
    /// Computed for the rows that need it.
    Lazy(Box<Program>),
}

impl Operand {
    /// The values for the rows `needed` (all, if there is no selection), of which there is at least one.
    fn eval(&mut self, registers: &[Datum], batch: &Batch, needed: Option<&Selection>) -> Result<Datum> {
        match (self, needed) {
            (Operand::Dense(register), None) => Ok(registers[*register].clone()),
            (Operand::Dense(register), Some(selection)) => match &registers[*register] {
                Datum::Array(array) => Ok(Datum::Array(take(array, selection.array(), None)?)),
                scalar => Ok(scalar.clone()),
            },
            (Operand::Lazy(program), None) => Ok(program.run(batch)?.swap_remove(0)),
            (Operand::Lazy(program), Some(selection)) => {
                Ok(program.run(&batch.clone().refine(selection))?.swap_remove(0))
            }
        }
    }
}

/// A set of rows.
pub(super) enum Rows {
    All,
    None,
    Some(BooleanBuffer),
}

/// The rows where a condition is true.
pub(super) fn true_rows(condition: &Datum) -> Result<Rows> {
    Ok(match condition {
        Datum::Scalar(Scalar::Boolean(true)) => Rows::All,
        Datum::Scalar(_) => Rows::None,
        Datum::Array(array) => {
            let mask = booleans(array)?;
            let mask = mask.nulls().map_or_else(|| mask.values().clone(), |nulls| mask.values() & nulls.inner());
            match mask.count_set_bits() {
                0 => Rows::None,
                n if n == mask.len() => Rows::All,
                _ => Rows::Some(mask),
            }
        }
    })
}

fn booleans(array: &ArrayRef) -> Result<&BooleanArray> {
    array.as_boolean_opt().ok_or_else(|| Error::internal(format!("a condition of type {}", array.data_type())))
}

/// AND or OR of operands; the first is dense.
pub(super) fn connective(
    conjunction: bool,
    operands: &mut [Operand],
    registers: &[Datum],
    batch: &Batch,
) -> Result<Datum> {
    let rows = batch.rows();
    let mut result: Option<Datum> = None;
    for operand in operands {
        let Some(so_far) = result.take() else {
            result = Some(operand.eval(registers, batch, None)?);
            continue;
        };
        let value = match operand {
            Operand::Dense(register) => registers[*register].clone(),
            Operand::Lazy(_) => match unsettled(conjunction, &so_far)? {
                Rows::None => {
                    result = Some(so_far);
                    continue;
                }
                Rows::All => operand.eval(registers, batch, None)?,
                Rows::Some(mask) => {
                    let needed = Selection::new(mask.set_indices_u32().collect());
                    let value = operand.eval(registers, batch, Some(&needed))?;
                    scatter(&value.into_array(needed.len()), &needed, rows, conjunction)?
                }
            },
        };
        result = Some(combine(conjunction, &so_far, &value)?);
    }
    result.ok_or_else(|| Error::internal("a connective without operands"))
}

/// The rows that a further operand may change: all but the FALSE ones of AND, the TRUE ones of OR.
fn unsettled(conjunction: bool, value: &Datum) -> Result<Rows> {
    Ok(match value {
        Datum::Scalar(Scalar::Boolean(v)) if *v != conjunction => Rows::None,
        Datum::Scalar(_) => Rows::All,
        Datum::Array(array) => {
            let array = booleans(array)?;
            let open = if conjunction { array.values().clone() } else { !array.values() };
            let open = array.nulls().map_or(open.clone(), |nulls| &open | &!nulls.inner());
            match open.count_set_bits() {
                0 => Rows::None,
                n if n == open.len() => Rows::All,
                _ => Rows::Some(open),
            }
        }
    })
}

/// Puts the values of the needed rows in their places among `rows`; the others get `fill`.
fn scatter(values: &ArrayRef, needed: &Selection, rows: usize, fill: bool) -> Result<Datum> {
    let values = booleans(values)?;
    let mut bits = vec![fill; rows];
    let mut valid = (values.null_count() > 0).then(|| vec![true; rows]);
    for (i, row) in needed.indices().iter().enumerate() {
        bits[*row as usize] = values.value(i);
        if let Some(valid) = &mut valid {
            valid[*row as usize] = values.is_valid(i);
        }
    }
    Ok(Datum::Array(Arc::new(BooleanArray::new(bits.into(), valid.map(NullBuffer::from)))))
}

fn combine(conjunction: bool, a: &Datum, b: &Datum) -> Result<Datum> {
    match (a, b) {
        (Datum::Scalar(Scalar::Boolean(value)), other) | (other, Datum::Scalar(Scalar::Boolean(value))) => {
            Ok(if *value == conjunction { other.clone() } else { Datum::Scalar(Scalar::Boolean(*value)) })
        }
        (Datum::Scalar(_), Datum::Scalar(_)) => Ok(Datum::Scalar(Scalar::Null(SqlType::Boolean))),
        (Datum::Array(a), Datum::Array(b)) => {
            let (a, b) = (booleans(a)?, booleans(b)?);
            let result = if conjunction { and_kleene(a, b)? } else { or_kleene(a, b)? };
            Ok(Datum::Array(Arc::new(result)))
        }
        (Datum::Array(array), Datum::Scalar(_)) | (Datum::Scalar(_), Datum::Array(array)) => {
            let array = booleans(array)?;
            let null = BooleanArray::new_null(array.len());
            let result = if conjunction { and_kleene(array, &null)? } else { or_kleene(array, &null)? };
            Ok(Datum::Array(Arc::new(result)))
        }
    }
}

/// CASE.
pub(super) fn case(
    branches: &mut [(Operand, Operand)],
    otherwise: &mut Operand,
    ty: &SqlType,
    registers: &[Datum],
    batch: &Batch,
) -> Result<Datum> {
    let dense = |operand: &Operand| matches!(operand, Operand::Dense(_));
    if dense(otherwise) && branches.iter().all(|(c, r)| dense(c) && dense(r)) {
        return dense_case(branches, otherwise, ty, registers, batch);
    }
    let rows = batch.rows();
    let mut parts: Vec<Part> = Vec::new();
    // Rows that no condition took so far; all, if there is no selection.
    let mut left: Option<Selection> = None;
    for (condition, result) in branches {
        let condition = condition.eval(registers, batch, left.as_ref())?;
        let (taken, rest) = match true_rows(&condition)? {
            Rows::None => continue,
            Rows::All => (left.clone(), Some(Selection::new(Vec::new()))),
            Rows::Some(mask) => {
                let taken = Selection::new(mask.set_indices_u32().collect());
                let rest = Selection::new((!&mask).set_indices_u32().collect());
                match &left {
                    Some(outer) => (Some(outer.then(&taken)), Some(outer.then(&rest))),
                    None => (Some(taken), Some(rest)),
                }
            }
        };
        let value = result.eval(registers, batch, taken.as_ref())?;
        parts.push(Part { rows: taken, value });
        left = rest;
        if left.as_ref().is_some_and(Selection::is_empty) {
            break;
        }
    }
    if !left.as_ref().is_some_and(Selection::is_empty) {
        let value = otherwise.eval(registers, batch, left.as_ref())?;
        parts.push(Part { rows: left, value });
    }
    assemble(parts, ty, rows)
}

/// The result of one branch of CASE for the rows that took it; for all, if there is no selection.
struct Part {
    rows: Option<Selection>,
    value: Datum,
}

fn assemble(mut parts: Vec<Part>, ty: &SqlType, rows: usize) -> Result<Datum> {
    if let [part] = parts.as_mut_slice()
        && part.rows.is_none()
    {
        return Ok(std::mem::replace(&mut part.value, Datum::Scalar(Scalar::Boolean(false))));
    }
    let mut indices = vec![(0usize, 0usize); rows];
    let mut arrays = Vec::with_capacity(parts.len());
    for (p, part) in parts.into_iter().enumerate() {
        let selection = part.rows.ok_or_else(|| Error::internal("a branch of CASE took all rows twice"))?;
        let scalar = matches!(part.value, Datum::Scalar(_));
        for (i, row) in selection.indices().iter().enumerate() {
            indices[*row as usize] = (p, if scalar { 0 } else { i });
        }
        arrays.push(part.value.into_array(1));
    }
    let arrays = unify(arrays, ty)?;
    let views: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    Ok(Datum::Array(interleave(&views, &indices)?))
}

fn dense_case(
    branches: &mut [(Operand, Operand)],
    otherwise: &mut Operand,
    ty: &SqlType,
    registers: &[Datum],
    batch: &Batch,
) -> Result<Datum> {
    let rows = batch.rows();
    let mut result = otherwise.eval(registers, batch, None)?;
    for (condition, value) in branches.iter_mut().rev() {
        let condition = condition.eval(registers, batch, None)?;
        match true_rows(&condition)? {
            Rows::None => {}
            Rows::All => result = value.eval(registers, batch, None)?,
            Rows::Some(mask) => {
                let value = value.eval(registers, batch, None)?;
                result = choose(&mask, value, result, ty, rows)?;
            }
        }
    }
    Ok(result)
}

/// `yes` where the mask is set, `no` elsewhere.
fn choose(mask: &BooleanBuffer, yes: Datum, no: Datum, ty: &SqlType, rows: usize) -> Result<Datum> {
    debug_assert_eq!(mask.len(), rows);
    let scalars = (matches!(yes, Datum::Scalar(_)), matches!(no, Datum::Scalar(_)));
    let arrays = unify(vec![yes.into_array(1), no.into_array(1)], ty)?;
    let side = |array: &ArrayRef, scalar: bool| -> Box<dyn ArrowDatum> {
        if scalar { Box::new(ArrowScalar::new(array.clone())) } else { Box::new(array.clone()) }
    };
    let (yes, no) = (side(&arrays[0], scalars.0), side(&arrays[1], scalars.1));
    let mask = BooleanArray::new(mask.clone(), None);
    Ok(Datum::Array(zip(&mask, &*yes, &*no)?))
}

/// Arrays of one type brought to one encoding: narrow decimals stay narrow if all fit.
fn unify(arrays: Vec<ArrayRef>, ty: &SqlType) -> Result<Vec<ArrayRef>> {
    if let SqlType::Decimal(p, s) = ty
        && *p > 18
        && *s <= 18
        && arrays.iter().any(|a| matches!(a.data_type(), DataType::Decimal64(..)))
        && let Some(narrow) = arrays.iter().map(|a| narrowed(a, *s)).collect::<Option<Vec<_>>>()
    {
        return Ok(narrow);
    }
    let plain = |array: &ArrayRef| !matches!(array.data_type(), DataType::Dictionary(..));
    if arrays.windows(2).all(|pair| pair[0].data_type() == pair[1].data_type()) && arrays.iter().all(plain) {
        return Ok(arrays);
    }
    arrays.iter().map(|array| encoding::canonical(array, ty)).collect()
}

/// A decimal as `Decimal64`: one that is so already, a single small value, or NULLs.
fn narrowed(array: &ArrayRef, scale: u8) -> Option<ArrayRef> {
    let label = DataType::Decimal64(18, scale as i8);
    if let Some(narrow) = array.as_primitive_opt::<Decimal64Type>() {
        return Some(Arc::new(narrow.clone().with_data_type(label)));
    }
    let wide = array.as_primitive_opt::<arrow::datatypes::Decimal128Type>()?;
    if wide.len() != 1 {
        return None;
    }
    let value = if wide.is_null(0) { None } else { Some(i64::try_from(wide.value(0)).ok()?) };
    let narrow: arrow::array::PrimitiveArray<Decimal64Type> = std::iter::once(value).collect();
    Some(Arc::new(narrow.with_data_type(label)))
}
