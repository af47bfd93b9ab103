//! `avg` and `try_avg`: a sum and a count; the quotient of a decimal is rounded half up.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int64Type};
use firesteel_common::scalar::format_decimal;
use firesteel_common::{Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use num_traits::AsPrimitive;

use super::rows::{arg, array_of, decimals, for_each_row, live, nulls_of, numeric_values, primitive};
use super::sum::{Of, Total, Totals};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "avg",
            &["mean"],
            "avg(expr)",
            "Returns the mean calculated from values of a group.",
            &[
                ("SELECT avg(col) FROM VALUES (1), (2), (3) AS tab(col)", "2.0"),
                ("SELECT avg(col) FROM VALUES (1), (2), (NULL) AS tab(col)", "1.5"),
            ],
        ),
        bind,
        make: |_, ty, cx| make(ty, cx.ansi),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "try_avg",
            &[],
            "try_avg(expr)",
            "Returns the mean calculated from values of a group, or NULL on overflow.",
            &[("SELECT try_avg(col) FROM VALUES (1), (2), (3) AS tab(col)", "2.0")],
        ),
        bind,
        make: |_, ty, _| make(ty, false),
        ignores_duplicates: false,
    },
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 1)?;
    let (arg, ty, sum) = match &args[0] {
        SqlType::Decimal(p, s) => {
            (args[0].clone(), SqlType::Decimal((*p + 4).min(38), (*s + 4).min(38)), SqlType::Decimal(38, *s))
        }
        ty if ty.is_numeric() => (ty.clone(), SqlType::Double, SqlType::Double),
        ty if ty.is_string() || *ty == SqlType::Void => (SqlType::Double, SqlType::Double, SqlType::Double),
        other => return Err(check::unexpected_type(name, 0, "NUMERIC\" or \"ANSI INTERVAL", other)),
    };
    Ok(AggregateSignature { args: vec![arg], ty, nullable: true, state: vec![sum, SqlType::BigInt] })
}

fn make(ty: &SqlType, ansi: bool) -> Result<Box<dyn GroupAccumulator>> {
    Ok(match ty {
        SqlType::Decimal(..) => Box::new(Average::<i128>::new(ty, ansi)),
        _ => Box::new(Average::<f64>::new(ty, ansi)),
    })
}

struct Average<S> {
    ty: SqlType,
    ansi: bool,
    /// Scale of the argument, known from the first array.
    scale: u8,
    totals: Totals<S>,
    counts: Vec<i64>,
}

impl<S: Total> Average<S> {
    fn new(ty: &SqlType, ansi: bool) -> Self {
        Self { ty: ty.clone(), ansi, scale: 0, totals: Totals { sums: Vec::new() }, counts: Vec::new() }
    }

    /// Adds values to the sums, and 1 to the counts if `count`.
    fn add<T: AsPrimitive<i128>>(&mut self, groups: &[u32], values: &[T], live: Option<&BooleanBuffer>, count: bool)
    where
        S: Of<T>,
    {
        if self.totals.sums.len() == 1 && live.is_none() {
            self.totals.sums[0] = self.totals.sums[0].add(S::of(values).0).0;
            self.counts[0] += if count { values.len() as i64 } else { 0 };
        } else if count {
            let counts = self.counts.as_mut_slice();
            self.totals.add(groups, values, live, |group, rows| counts[group] += rows, |_| {});
        } else {
            self.totals.add(groups, values, live, |_, _| {}, |_| {});
        }
    }

    fn add_array(&mut self, groups: &[u32], array: &ArrayRef, live: Option<&BooleanBuffer>, count: bool) -> Result<()> {
        use arrow::datatypes::DataType::{Decimal64, Decimal128};
        if let Decimal64(_, scale) | Decimal128(_, scale) = array.data_type() {
            self.scale = *scale as u8;
        }
        numeric_values!(array, values => self.add(groups, values, live, count));
        Ok(())
    }
}

impl<S: Total> GroupAccumulator for Average<S>
where
    Self: AverageResult,
{
    fn resize(&mut self, groups: usize) {
        self.totals.resize(groups);
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = arg(args, 0)?;
        let live = live(Some(array), filter);
        self.add_array(groups, array, live.as_ref(), true)
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let counts = primitive::<Int64Type>(states, 1)?.values();
        for_each_row(groups, None, |group, row| self.counts[group] += counts[row]);
        self.add_array(groups, arg(states, 0)?, None, false)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let counts = self.counts[offset..offset + rows].to_vec();
        Ok(vec![self.sums(offset, rows), array_of::<Int64Type>(counts, None, &SqlType::BigInt)])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        self.result(offset, rows)
    }

    fn memory(&self) -> usize {
        self.totals.memory() + self.counts.capacity() * 8
    }
}

trait AverageResult {
    fn sums(&self, offset: usize, rows: usize) -> ArrayRef;
    fn result(&self, offset: usize, rows: usize) -> Result<ArrayRef>;
}

impl AverageResult for Average<f64> {
    fn sums(&self, offset: usize, rows: usize) -> ArrayRef {
        array_of::<Float64Type>(self.totals.sums[offset..offset + rows].to_vec(), None, &SqlType::Double)
    }

    fn result(&self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let (sums, counts) = (&self.totals.sums[offset..offset + rows], &self.counts[offset..offset + rows]);
        let seen: Vec<bool> = counts.iter().map(|c| *c > 0).collect();
        let means = sums.iter().zip(counts).map(|(sum, count)| sum / *count as f64).collect();
        Ok(array_of::<Float64Type>(means, nulls_of(&seen), &self.ty))
    }
}

impl AverageResult for Average<i128> {
    fn sums(&self, offset: usize, rows: usize) -> ArrayRef {
        decimals(self.totals.sums[offset..offset + rows].to_vec(), None, &SqlType::Decimal(38, self.scale))
    }

    fn result(&self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let (sums, counts) = (&self.totals.sums[offset..offset + rows], &self.counts[offset..offset + rows]);
        let SqlType::Decimal(precision, scale) = self.ty else { return Ok(self.sums(offset, rows)) };
        let mut seen = vec![false; rows];
        let mut means = vec![0; rows];
        for row in 0..rows {
            if counts[row] == 0 {
                continue;
            }
            match quotient(sums[row], counts[row], scale.saturating_sub(self.scale)) {
                Some(mean) if check::fits(mean, precision) && check::fits(sums[row], 38) => {
                    means[row] = mean;
                    seen[row] = true;
                }
                _ if self.ansi => {
                    return Err(check::decimal_out_of_range(&format_decimal(sums[row], self.scale), precision, scale));
                }
                _ => {}
            }
        }
        Ok(decimals(means, nulls_of(&seen), &self.ty))
    }
}

/// `sum / count` with `digits` more digits than `sum` has, rounded half up. The whole quotient is
/// scaled apart from the rest, so that the scaled dividend need not fit.
fn quotient(sum: i128, count: i64, digits: u8) -> Option<i128> {
    let (scale, count) = (check::pow10(digits), i128::from(count));
    let rest = check::div_half_up((sum % count) * scale, count);
    (sum / count).checked_mul(scale)?.checked_add(rest)
}
