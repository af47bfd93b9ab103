//! `sum` and `try_sum`.
//!
//! Integers are added in 64 bits with the overflow noted per batch, floats in 64 bits, decimals in
//! 128 bits whatever their encoding: a sum of 64-bit decimals cannot leave them, and one of wide
//! decimals saturates, which its precision check finds out in the end.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DurationMicrosecondType, Float64Type, Int64Type, IntervalYearMonthType};
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Result, SqlType};
use firesteel_expr::{AggregateSignature, EvalContext, GroupAccumulator};
use num_traits::AsPrimitive;

use super::few_groups;
use super::rows::{arg, array_of, decimals, for_each, live, nulls_of, numeric_values};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "sum",
            &[],
            "sum(expr)",
            "Returns the sum calculated from values of a group. The sum of integers is a BIGINT.",
            &[
                ("SELECT sum(col) FROM VALUES (5), (10), (15) AS tab(col)", "30"),
                ("SELECT sum(col) FROM VALUES (NULL), (10), (15) AS tab(col)", "25"),
                ("SELECT sum(col) FROM VALUES (NULL), (NULL) AS tab(col)", "NULL"),
            ],
        ),
        bind,
        make: |args, ty, cx| make(args, ty, cx.ansi, cx.ansi),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "try_sum",
            &[],
            "try_sum(expr)",
            "Returns the sum calculated from values of a group, or NULL on overflow.",
            &[
                ("SELECT try_sum(col) FROM VALUES (5), (10), (15) AS tab(col)", "30"),
                ("SELECT try_sum(col) FROM VALUES (9223372036854775807L), (1L) AS tab(col)", "NULL"),
            ],
        ),
        bind,
        make: |args, ty, _cx: &EvalContext| make(args, ty, false, true),
        ignores_duplicates: false,
    },
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 1)?;
    let (arg, ty, state) = match &args[0] {
        ty if ty.is_integer() => (ty.clone(), SqlType::BigInt, SqlType::BigInt),
        SqlType::Float => (SqlType::Float, SqlType::Double, SqlType::Double),
        SqlType::Decimal(p, s) => (args[0].clone(), SqlType::Decimal((*p + 10).min(38), *s), SqlType::Decimal(38, *s)),
        SqlType::IntervalYearMonth | SqlType::IntervalDayTime => (args[0].clone(), args[0].clone(), args[0].clone()),
        SqlType::Double | SqlType::Void => (SqlType::Double, SqlType::Double, SqlType::Double),
        ty if ty.is_string() => (SqlType::Double, SqlType::Double, SqlType::Double),
        other => return Err(check::unexpected_type(name, 0, "NUMERIC\" or \"ANSI INTERVAL", other)),
    };
    Ok(AggregateSignature { args: vec![arg], ty, nullable: true, state: vec![state, SqlType::Boolean] })
}

fn make(_: &[SqlType], ty: &SqlType, ansi: bool, checked: bool) -> Result<Box<dyn GroupAccumulator>> {
    Ok(match ty {
        SqlType::Double => Box::new(Sum::<f64>::new(ty, ansi, checked)),
        SqlType::Decimal(..) => Box::new(Sum::<i128>::new(ty, ansi, checked)),
        _ => Box::new(Sum::<i64>::new(ty, ansi, checked)),
    })
}

/// A number that other numbers become by conversion.
pub(super) trait Of<T>: Copy {
    fn of_value(value: T) -> Self;
}

impl<S: Copy + 'static, T: AsPrimitive<S>> Of<T> for S {
    #[inline(always)]
    fn of_value(value: T) -> S {
        value.as_()
    }
}

/// What a sum is kept in.
pub(super) trait Total:
    Of<i8> + Of<i16> + Of<i32> + Of<i64> + Of<i128> + Of<f32> + Of<f64> + Default + Send + 'static
{
    /// Makes a total of an exact sum, and says whether it overflowed. `None` if the order of additions
    /// matters.
    const OF_SUM: Option<fn(i128) -> (Self, bool)>;

    /// Adds, and says whether the result overflowed (and is therefore of no use).
    fn add(self, other: Self) -> (Self, bool);

    /// The sum of a slice, and whether it overflowed.
    fn of<T: Copy>(values: &[T]) -> (Self, bool)
    where
        Self: Of<T>;
}

impl Total for i64 {
    const OF_SUM: Option<fn(i128) -> (Self, bool)> = Some(|sum| (sum as i64, i64::try_from(sum).is_err()));

    #[inline(always)]
    fn add(self, other: Self) -> (Self, bool) {
        self.overflowing_add(other)
    }

    fn of<T: Copy>(values: &[T]) -> (Self, bool)
    where
        Self: Of<T>,
    {
        let sum: i128 = values.iter().map(|v| i128::from(Self::of_value(*v))).sum();
        (sum as i64, i64::try_from(sum).is_err())
    }
}

impl Total for f64 {
    const OF_SUM: Option<fn(i128) -> (Self, bool)> = None;

    #[inline(always)]
    fn add(self, other: Self) -> (Self, bool) {
        (self + other, false)
    }

    /// Eight partial sums: additions of floats do not wait for each other, and the error is smaller.
    fn of<T: Copy>(values: &[T]) -> (Self, bool)
    where
        Self: Of<T>,
    {
        let mut lanes = [0.0; 8];
        let chunks = values.chunks_exact(8);
        let rest: f64 = chunks.remainder().iter().map(|v| Self::of_value(*v)).sum();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += Self::of_value(*value));
        }
        (lanes.iter().sum::<f64>() + rest, false)
    }
}

impl Total for i128 {
    const OF_SUM: Option<fn(i128) -> (Self, bool)> = Some(|sum| (sum, false));

    /// Saturates: no DECIMAL holds the bounds of 128 bits.
    #[inline(always)]
    fn add(self, other: Self) -> (Self, bool) {
        (self.saturating_add(other), false)
    }

    fn of<T: Copy>(values: &[T]) -> (Self, bool)
    where
        Self: Of<T>,
    {
        if size_of::<T>() <= 8 {
            return (values.iter().fold(0i128, |sum, v| sum.wrapping_add(Self::of_value(*v))), false);
        }
        (values.iter().fold(0i128, |sum, v| sum.saturating_add(Self::of_value(*v))), false)
    }
}

/// Sums by group, and which groups have one.
pub(super) struct Totals<S> {
    /// The sums.
    pub(super) sums: Vec<S>,
}

impl<S: Total> Totals<S> {
    /// Has room for `groups` groups.
    pub(super) fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, S::default());
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.sums.capacity() * size_of::<S>()
    }

    /// Adds values to the sums of their groups; `also` is called with groups and a number of live rows of
    /// each, `overflowed` with groups whose sum overflowed.
    #[inline(always)]
    pub(super) fn add<T: AsPrimitive<i128>>(
        &mut self,
        groups: &[u32],
        values: &[T],
        live: Option<&BooleanBuffer>,
        mut also: impl FnMut(usize, i64),
        mut overflowed: impl FnMut(usize),
    ) where
        S: Of<T>,
    {
        let sums = self.sums.as_mut_slice();
        if let (Some(of_sum), None) = (S::OF_SUM, live)
            && size_of::<T>() <= 8
            && few_groups::applies(sums.len(), values.len())
        {
            few_groups::sums(sums.len(), groups, values, |group, sum, rows| {
                let (sum, first) = of_sum(sum);
                let (sum, second) = sums[group].add(sum);
                sums[group] = sum;
                also(group, rows);
                if first || second {
                    overflowed(group);
                }
            });
            return;
        }
        for_each(groups, values, live, |group, value| {
            let (sum, overflow) = sums[group].add(S::of_value(value));
            sums[group] = sum;
            also(group, 1);
            if overflow {
                overflowed(group);
            }
        });
    }
}

struct Sum<S> {
    ty: SqlType,
    /// Whether an overflow is an error; otherwise it gives NULL if it is `checked`.
    ansi: bool,
    checked: bool,
    totals: Totals<S>,
    seen: Vec<bool>,
    /// Groups whose sum overflowed, where that is no error.
    overflowed: Vec<usize>,
}

impl<S: Total> Sum<S> {
    fn new(ty: &SqlType, ansi: bool, checked: bool) -> Self {
        let totals = Totals { sums: Vec::new() };
        Self { ty: ty.clone(), ansi, checked, totals, seen: Vec::new(), overflowed: Vec::new() }
    }

    fn add<T: AsPrimitive<i128>>(&mut self, groups: &[u32], values: &[T], live: Option<&BooleanBuffer>) -> Result<()>
    where
        S: Of<T>,
    {
        let before = self.overflowed.len();
        let overflowed = &mut self.overflowed;
        if self.totals.sums.len() == 1 && live.is_none() {
            let (sum, first) = S::of(values);
            let (sum, second) = self.totals.sums[0].add(sum);
            self.totals.sums[0] = sum;
            self.seen[0] |= !values.is_empty();
            if first || second {
                overflowed.push(0);
            }
        } else {
            let seen = self.seen.as_mut_slice();
            self.totals.add(groups, values, live, |group, _| seen[group] = true, |group| overflowed.push(group));
        }
        if overflowed.len() == before {
            return Ok(());
        }
        match (self.ansi, self.checked) {
            (true, _) => Err(check::overflow(if self.ty == SqlType::BigInt { "long" } else { "interval" }, "try_sum")),
            (false, true) => Ok(()),
            // Without ANSI mode sums wrap around.
            (false, false) => {
                self.overflowed.clear();
                Ok(())
            }
        }
    }
}

impl<S: Total> GroupAccumulator for Sum<S>
where
    Self: SumResult<S>,
{
    fn resize(&mut self, groups: usize) {
        self.totals.resize(groups);
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = arg(args, 0)?;
        let live = live(Some(array), filter);
        numeric_values!(array, values => self.add(groups, values, live.as_ref()))
    }

    /// A state without rows is NULL; one that is NULL but marked has overflowed.
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let marks = arrow::array::AsArray::as_boolean(arg(states, 1)?);
        let sums = arg(states, 0)?;
        for (row, group) in groups.iter().enumerate() {
            if sums.is_null(row) && marks.value(row) {
                self.overflowed.push(*group as usize);
            }
        }
        self.update(groups, &states[..1], None)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut seen = self.seen[offset..offset + rows].to_vec();
        let marks = BooleanArray::from(seen.clone());
        for group in self.overflowed.iter().filter(|g| (offset..offset + rows).contains(g)) {
            seen[group - offset] = false;
        }
        Ok(vec![self.state_column(&self.totals.sums[offset..offset + rows], &seen), std::sync::Arc::new(marks)])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let mut seen = self.seen[offset..offset + rows].to_vec();
        for group in self.overflowed.iter().filter(|g| (offset..offset + rows).contains(g)) {
            seen[group - offset] = false;
        }
        self.result_column(&self.totals.sums[offset..offset + rows], seen)
    }

    fn memory(&self) -> usize {
        self.totals.memory() + self.seen.capacity() + self.overflowed.capacity() * 8
    }
}

/// How sums become columns.
trait SumResult<S> {
    fn state_column(&self, sums: &[S], seen: &[bool]) -> ArrayRef;
    fn result_column(&self, sums: &[S], seen: Vec<bool>) -> Result<ArrayRef>;
}

impl SumResult<i64> for Sum<i64> {
    fn state_column(&self, sums: &[i64], seen: &[bool]) -> ArrayRef {
        let nulls = nulls_of(seen);
        match self.ty {
            SqlType::IntervalYearMonth => {
                array_of::<IntervalYearMonthType>(sums.iter().map(|v| *v as i32).collect(), nulls, &self.ty)
            }
            SqlType::IntervalDayTime => array_of::<DurationMicrosecondType>(sums.to_vec(), nulls, &self.ty),
            _ => array_of::<Int64Type>(sums.to_vec(), nulls, &self.ty),
        }
    }

    fn result_column(&self, sums: &[i64], seen: Vec<bool>) -> Result<ArrayRef> {
        if self.ty == SqlType::IntervalYearMonth && sums.iter().any(|v| i32::try_from(*v).is_err()) {
            return Err(check::overflow("interval", ""));
        }
        Ok(self.state_column(sums, &seen))
    }
}

impl SumResult<f64> for Sum<f64> {
    fn state_column(&self, sums: &[f64], seen: &[bool]) -> ArrayRef {
        array_of::<Float64Type>(sums.to_vec(), nulls_of(seen), &self.ty)
    }

    fn result_column(&self, sums: &[f64], seen: Vec<bool>) -> Result<ArrayRef> {
        Ok(self.state_column(sums, &seen))
    }
}

impl SumResult<i128> for Sum<i128> {
    fn state_column(&self, sums: &[i128], seen: &[bool]) -> ArrayRef {
        let scale = if let SqlType::Decimal(_, s) = self.ty { s } else { 0 };
        decimals(sums.to_vec(), nulls_of(seen), &SqlType::Decimal(38, scale))
    }

    fn result_column(&self, sums: &[i128], mut seen: Vec<bool>) -> Result<ArrayRef> {
        let SqlType::Decimal(precision, scale) = self.ty else { return Ok(self.state_column(sums, &seen)) };
        for (sum, seen) in sums.iter().zip(&mut seen) {
            if *seen && !check::fits(*sum, precision) {
                if self.ansi {
                    return Err(check::decimal_out_of_range(&format_decimal(*sum, scale), precision, scale));
                }
                *seen = false;
            }
        }
        Ok(decimals(sums.to_vec(), nulls_of(&seen), &self.ty))
    }
}
