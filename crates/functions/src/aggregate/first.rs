//! `first`, `last` and `any_value`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, for_each_row, live};
use super::slots::Slots;
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "first",
            &["first_value"],
            "first(expr[, isIgnoreNull])",
            "Returns the first value of the expression for a group of rows, or the first that is not NULL.",
            &[
                ("SELECT first(col) FROM VALUES (10), (5), (20) AS tab(col)", "10"),
                ("SELECT first(col, true) FROM VALUES (NULL), (5), (20) AS tab(col)", "5"),
            ],
        ),
        bind,
        make: |args, _, _| Ok(Box::new(First::new(&args[0], true, args.len() > 1))),
        ignores_duplicates: false,
    },
    Aggregate {
        doc: doc(
            "any_value",
            &[],
            "any_value(expr[, isIgnoreNull])",
            "Returns some value of the expression for a group of rows, or one that is not NULL.",
            &[("SELECT any_value(col) FROM VALUES (10), (5), (20) AS tab(col)", "10")],
        ),
        bind,
        make: |args, _, _| Ok(Box::new(First::new(&args[0], true, args.len() > 1))),
        ignores_duplicates: true,
    },
    Aggregate {
        doc: doc(
            "last",
            &["last_value"],
            "last(expr[, isIgnoreNull])",
            "Returns the last value of the expression for a group of rows, or the last that is not NULL.",
            &[
                ("SELECT last(col) FROM VALUES (10), (5), (20) AS tab(col)", "20"),
                ("SELECT last(col, true) FROM VALUES (10), (5), (NULL) AS tab(col)", "5"),
            ],
        ),
        bind,
        make: |args, _, _| Ok(Box::new(First::new(&args[0], false, args.len() > 1))),
        ignores_duplicates: false,
    },
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 2)?;
    if let Some(other) = args.get(1)
        && *other != SqlType::Boolean
    {
        return Err(check::unexpected_type(name, 1, "BOOLEAN", other));
    }
    let ty = args[0].clone();
    let state = vec![ty.clone(), SqlType::Boolean];
    Ok(AggregateSignature { args: args.to_vec(), ty, nullable: true, state })
}

/// The first or last row of each group.
pub(super) struct First {
    first: bool,
    /// Whether a second argument says if NULLs are ignored.
    flagged: bool,
    values: Slots,
    set: Vec<bool>,
}

impl First {
    pub(super) fn new(ty: &SqlType, first: bool, flagged: bool) -> Self {
        Self { first, flagged, values: Slots::new(ty), set: Vec::new() }
    }

    fn take(&mut self, groups: &[u32], source: &ArrayRef, rows: impl Iterator<Item = usize>) -> Result<()> {
        let mut picks = Vec::new();
        for row in rows {
            let set = &mut self.set[groups[row] as usize];
            if !(self.first && *set) {
                *set = true;
                picks.push((groups[row], row as u32));
            }
        }
        self.values.set(source, &picks)
    }
}

impl GroupAccumulator for First {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.set.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let source = arg(args, 0)?;
        let mut ignore_nulls = false;
        if self.flagged && !groups.is_empty() {
            let flags = arg(args, 1)?.as_boolean_opt().ok_or_else(|| Error::internal("the flag is no boolean"))?;
            ignore_nulls = flags.is_valid(0) && flags.value(0);
        }
        match live(ignore_nulls.then_some(source as &dyn Array), filter) {
            Some(live) => self.take(groups, source, live.set_indices()),
            None => self.take(groups, source, 0..groups.len()),
        }
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let set = arg(states, 1)?.as_boolean();
        let mut rows = Vec::new();
        for_each_row(groups, Some(set.values()), |_, row| rows.push(row));
        self.take(groups, arg(states, 0)?, rows.into_iter())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let set = BooleanArray::from(self.set[offset..offset + rows].to_vec());
        Ok(vec![self.values.gather(offset, rows)?, Arc::new(set)])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        self.values.gather(offset, rows)
    }

    fn memory(&self) -> usize {
        self.values.memory() + self.set.capacity()
    }
}
