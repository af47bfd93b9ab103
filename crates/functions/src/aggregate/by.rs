//! `min_by` and `max_by`: the value of the row with the least or greatest key.
//!
//! Keys of any type are compared in Arrow's row format, whose bytes order as the values do.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::row::{RowConverter, SortField};
use firesteel_common::{Result, SqlType, encoding};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, for_each_row, live};
use super::slots::Slots;
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "max_by",
            &[],
            "max_by(x, y)",
            "Returns the value of x associated with the maximum value of y.",
            &[("SELECT max_by(x, y) FROM VALUES ('a', 10), ('b', 50), ('c', 20) AS tab(x, y)", "b")],
        ),
        bind,
        make: |args, _, _| Ok(Box::new(By::new(args, true)?)),
        ignores_duplicates: true,
    },
    Aggregate {
        doc: doc(
            "min_by",
            &[],
            "min_by(x, y)",
            "Returns the value of x associated with the minimum value of y.",
            &[("SELECT min_by(x, y) FROM VALUES ('a', 10), ('b', 50), ('c', 20) AS tab(x, y)", "a")],
        ),
        bind,
        make: |args, _, _| Ok(Box::new(By::new(args, false)?)),
        ignores_duplicates: true,
    },
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 2, 2)?;
    Ok(AggregateSignature { args: args.to_vec(), ty: args[0].clone(), nullable: true, state: args.to_vec() })
}

struct By {
    max: bool,
    key_type: SqlType,
    converter: RowConverter,
    values: Slots,
    keys: Slots,
    best: Vec<Option<Box<[u8]>>>,
    bytes: usize,
}

impl By {
    fn new(args: &[SqlType], max: bool) -> Result<Self> {
        Ok(Self {
            max,
            key_type: args[1].clone(),
            converter: RowConverter::new(vec![SortField::new(args[1].arrow())])?,
            values: Slots::new(&args[0]),
            keys: Slots::new(&args[1]),
            best: Vec::new(),
            bytes: 0,
        })
    }
}

impl GroupAccumulator for By {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.keys.resize(groups);
        self.best.resize(groups, None);
    }

    /// Rows whose key is NULL do not count; of equal keys the last row does.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let keys = encoding::canonical(arg(args, 1)?, &self.key_type)?;
        let live = live(Some(&keys as &dyn Array), filter);
        let rows = self.converter.convert_columns(std::slice::from_ref(&keys))?;
        let mut picks = Vec::new();
        for_each_row(groups, live.as_ref(), |group, row| {
            let key = rows.row(row);
            let key = key.as_ref();
            let best = &mut self.best[group];
            if let Some(old) = best
                && (if self.max { key < &**old } else { key > &**old })
            {
                return;
            }
            self.bytes += key.len();
            self.bytes -= best.as_ref().map_or(0, |old| old.len());
            *best = Some(Box::from(key));
            picks.push((group as u32, row as u32));
        });
        self.values.set(arg(args, 0)?, &picks)?;
        self.keys.set(&keys, &picks)
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        self.update(groups, states, None)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values.gather(offset, rows)?, self.keys.gather(offset, rows)?])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        self.values.gather(offset, rows)
    }

    fn memory(&self) -> usize {
        let best = self.best.capacity() * size_of::<Option<Box<[u8]>>>() + self.bytes;
        best + self.values.memory() + self.keys.memory()
    }
}
