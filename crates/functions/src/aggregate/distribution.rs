//! `percentile`, `median` and `percentile_approx`: they keep the values of a group and sort them in
//! the end, so that all are exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::Float64Type;
use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, doubles, for_each_row, live, primitive};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "percentile",
            &[],
            "percentile(col, percentage)",
            "Returns the exact percentile, interpolated between two values.",
            &[("SELECT percentile(col, 0.3) FROM VALUES (0), (10) AS tab(col)", "3.0")],
        ),
        bind: |name, args| bind(name, args, 2, SqlType::Double),
        make: |_, ty, _| Ok(Box::new(Percentile::new(ty, true))),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "percentile_cont",
            &[],
            "percentile_cont(percentage) WITHIN GROUP (ORDER BY col)",
            "Returns the exact percentile, interpolated between two values.",
            &[("SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY col) FROM VALUES (0), (10) AS tab(col)", "3.0")],
        ),
        bind: |name, args| bind(name, args, 2, SqlType::Double),
        make: |_, ty, _| Ok(Box::new(Percentile::new(ty, true))),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "percentile_disc",
            &[],
            "percentile_disc(percentage) WITHIN GROUP (ORDER BY col)",
            "Returns the least value that at least the given share of the values do not exceed.",
            &[("SELECT percentile_disc(0.3) WITHIN GROUP (ORDER BY col) FROM VALUES (0), (10) AS tab(col)", "0.0")],
        ),
        bind: |name, args| bind(name, args, 2, SqlType::Double),
        make: |_, ty, _| Ok(Box::new(Percentile::new(ty, false))),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "median",
            &[],
            "median(col)",
            "Returns the median.",
            &[("SELECT median(col) FROM VALUES (0), (10) AS tab(col)", "5.0")],
        ),
        bind: |name, args| bind(name, args, 1, SqlType::Double),
        make: |_, ty, _| Ok(Box::new(Percentile::new(ty, true))),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "percentile_approx",
            &["approx_percentile"],
            "percentile_approx(col, percentage[, accuracy])",
            "Returns the least value that at least the given share of the values do not exceed. It is exact \
             whatever the accuracy.",
            &[("SELECT percentile_approx(col, 0.5, 100) FROM VALUES (0), (6), (7), (9), (10) AS tab(col)", "7")],
        ),
        bind: |name, args| {
            check::arity(name, args.len(), 2, 3)?;
            let ty = if args[0].is_numeric() { args[0].clone() } else { SqlType::Double };
            let signature = bind(name, &args[..2], 2, ty)?;
            let types = signature.args.into_iter().chain(args[2..].iter().map(|_| SqlType::BigInt)).collect();
            Ok(AggregateSignature { args: types, ..signature })
        },
        make: |_, ty, _| Ok(Box::new(Percentile::new(ty, false))),
        ignores_duplicates: false,
    },
];

fn bind(name: &'static str, args: &[SqlType], arity: usize, ty: SqlType) -> Result<AggregateSignature> {
    check::arity(name, args.len(), arity, arity)?;
    for (index, ty) in args.iter().enumerate() {
        if !(ty.is_numeric() || ty.is_string() || *ty == SqlType::Void) {
            return Err(check::unexpected_type(name, index, "NUMERIC", ty));
        }
    }
    let state = vec![SqlType::Binary, SqlType::Double];
    Ok(AggregateSignature { args: vec![SqlType::Double; arity], ty, nullable: true, state })
}

struct Percentile {
    ty: SqlType,
    interpolated: bool,
    /// The share, which is known from the first rows; it travels with the states.
    share: f64,
    groups: Vec<Vec<f64>>,
    bytes: usize,
}

impl Percentile {
    fn new(ty: &SqlType, interpolated: bool) -> Self {
        Self { ty: ty.clone(), interpolated, share: 0.5, groups: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, group: usize, values: impl Iterator<Item = f64>) {
        let own = &mut self.groups[group];
        let before = own.capacity();
        own.extend(values);
        self.bytes += (own.capacity() - before) * 8;
    }

    fn result(&self, sorted: &[f64]) -> Option<f64> {
        let last = sorted.len().checked_sub(1)?;
        if !self.interpolated {
            let rank = (self.share * sorted.len() as f64).ceil() as usize;
            return Some(sorted[rank.saturating_sub(1).min(last)]);
        }
        let position = self.share * last as f64;
        let (lower, higher) = (position.floor(), position.ceil());
        let (low, high) = (sorted[lower as usize], sorted[higher as usize]);
        Some(if lower == higher || low == high { low } else { (higher - position) * low + (position - lower) * high })
    }
}

impl GroupAccumulator for Percentile {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        if args.len() > 1 && !groups.is_empty() {
            let share = primitive::<Float64Type>(args, 1)?;
            self.share = share.value(0);
            if share.is_null(0) || !(0.0..=1.0).contains(&self.share) {
                return Err(Error::compute(
                    "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
                    "42K09",
                    format!("The `percentage` must be between [0.0, 1.0] (current value = {}).", self.share),
                ));
            }
        }
        let live = live(Some(arg(args, 0)?), filter);
        let values = doubles(args, 0)?;
        for_each_row(groups, live.as_ref(), |group, row| self.push(group, std::iter::once(values[row])));
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let values = arg(states, 0)?.as_binary_view_opt().ok_or_else(|| Error::internal("a state is no binary"))?;
        let shares = doubles(states, 1)?;
        for (row, group) in groups.iter().enumerate() {
            let (values, _) = values.value(row).as_chunks::<8>();
            if !values.is_empty() {
                self.share = shares[row];
                self.push(*group as usize, values.iter().map(|v| f64::from_le_bytes(*v)));
            }
        }
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let bytes = |values: &Vec<f64>| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let values = BinaryViewArray::from_iter_values(self.groups[offset..offset + rows].iter().map(bytes));
        Ok(vec![Arc::new(values), Arc::new(Float64Array::from(vec![self.share; rows]))])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        for values in &mut self.groups[offset..offset + rows] {
            values.sort_by(f64::total_cmp);
        }
        let results: Float64Array = self.groups[offset..offset + rows].iter().map(|v| self.result(v)).collect();
        Ok(cast(&results, &self.ty.arrow())?)
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<Vec<f64>>() + self.bytes
    }
}
