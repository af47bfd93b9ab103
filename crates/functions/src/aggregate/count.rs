//! `count` and `count_if`.

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::few_groups;
use super::rows::{array_of, for_each_row, live, primitive};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "count",
            &[],
            "count(*) or count([DISTINCT] expr[, expr...])",
            "Returns the number of rows, or of rows for which no expression is NULL.",
            &[
                ("SELECT count(*) FROM VALUES (NULL), (5), (5), (20) AS tab(col)", "4"),
                ("SELECT count(col) FROM VALUES (NULL), (5), (5), (20) AS tab(col)", "3"),
                ("SELECT count(DISTINCT col) FROM VALUES (NULL), (5), (5), (10) AS tab(col)", "2"),
            ],
        ),
        bind: |_, args| {
            let state = vec![SqlType::BigInt];
            Ok(AggregateSignature { args: args.to_vec(), ty: SqlType::BigInt, nullable: false, state })
        },
        make: |_, _, _| Ok(Box::new(Count { counts: Vec::new(), only_true: false })),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "regr_count",
            &[],
            "regr_count(y, x)",
            "Returns the number of pairs without NULL.",
            &[("SELECT regr_count(y, x) FROM VALUES (1, 2), (2, NULL), (2, 3) AS tab(y, x)", "2")],
        ),
        bind: |name, args| {
            check::arity(name, args.len(), 2, 2)?;
            for (index, ty) in args.iter().enumerate() {
                if !(ty.is_numeric() || ty.is_string() || *ty == SqlType::Void) {
                    return Err(check::unexpected_type(name, index, "DOUBLE", ty));
                }
            }
            let state = vec![SqlType::BigInt];
            Ok(AggregateSignature { args: vec![SqlType::Double; 2], ty: SqlType::BigInt, nullable: false, state })
        },
        make: |_, _, _| Ok(Box::new(Count { counts: Vec::new(), only_true: false })),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "count_if",
            &[],
            "count_if(expr)",
            "Returns the number of TRUE values for the expression.",
            &[("SELECT count_if(col % 2 = 0) FROM VALUES (NULL), (0), (1), (2), (3) AS tab(col)", "2")],
        ),
        bind: |name, args| {
            check::arity(name, args.len(), 1, 1)?;
            if !matches!(args[0], SqlType::Boolean | SqlType::Void) {
                return Err(check::unexpected_type(name, 0, "BOOLEAN", &args[0]));
            }
            let (args, state) = (vec![SqlType::Boolean], vec![SqlType::BigInt]);
            Ok(AggregateSignature { args, ty: SqlType::BigInt, nullable: false, state })
        },
        make: |_, _, _| Ok(Box::new(Count { counts: Vec::new(), only_true: true })),
        ignores_duplicates: false,
    },
];

struct Count {
    counts: Vec<i64>,
    /// Count TRUE, not values.
    only_true: bool,
}

impl Count {
    /// The rows that count; `None` if all do.
    fn live(&self, args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Option<BooleanBuffer>> {
        let [first, rest @ ..] = args else { return Ok(live(None, filter)) };
        let mut mask = live(Some(first), filter);
        for array in rest {
            mask = match (mask, live(Some(array), None)) {
                (Some(a), Some(b)) => Some(&a & &b),
                (a, b) => a.or(b),
            };
        }
        if self.only_true {
            let values = first.as_boolean_opt().ok_or_else(|| Error::internal("count_if of no boolean"))?.values();
            mask = Some(mask.map_or_else(|| values.clone(), |m| &m & values));
        }
        Ok(mask)
    }
}

impl GroupAccumulator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let live = self.live(args, filter)?;
        let counts = self.counts.as_mut_slice();
        if let [count] = counts {
            *count += live.map_or(groups.len(), |l| l.count_set_bits()) as i64;
            return Ok(());
        }
        if live.is_none() && few_groups::applies(counts.len(), groups.len()) {
            few_groups::counts(groups, |group, rows| counts[group] += rows);
            return Ok(());
        }
        for_each_row(groups, live.as_ref(), |group, _| counts[group] += 1);
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let partial = primitive::<Int64Type>(states, 0)?.values();
        let counts = self.counts.as_mut_slice();
        for_each_row(groups, None, |group, row| counts[group] += partial[row]);
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(offset, rows)?])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        Ok(array_of::<Int64Type>(self.counts[offset..offset + rows].to_vec(), None, &SqlType::BigInt))
    }

    fn memory(&self) -> usize {
        self.counts.capacity() * 8
    }
}
