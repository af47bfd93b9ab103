//! `bit_and`, `bit_or` and `bit_xor`: integers combined bit by bit, in 64 bits whatever their type.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use firesteel_common::{Result, SqlType, encoding};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, for_each, live, nulls_of};
use super::{Aggregate, doc};
use crate::check;

macro_rules! bitwise {
    ($name:literal, $what:literal, $result:literal, $combine:expr, $ignores_duplicates:literal) => {
        Aggregate {
            doc: doc(
                $name,
                &[],
                concat!($name, "(expr)"),
                concat!("Returns the bitwise ", $what, " of all values that are not NULL, or NULL if there is none."),
                &[(concat!("SELECT ", $name, "(col) FROM VALUES (3), (5) AS tab(col)"), $result)],
            ),
            bind,
            make: |args, _, _| {
                let ty = args[0].clone();
                Ok(Box::new(Bits { ty, combine: $combine, values: Vec::new(), seen: Vec::new() }))
            },
            ignores_duplicates: $ignores_duplicates,
        }
    };
}

pub(super) const FUNCTIONS: &[Aggregate] = &[
    bitwise!("bit_and", "AND", "1", |a, b| a & b, true),
    bitwise!("bit_or", "OR", "7", |a, b| a | b, true),
    bitwise!("bit_xor", "XOR", "6", |a, b| a ^ b, false),
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 1)?;
    let ty = match &args[0] {
        ty if ty.is_integer() => ty.clone(),
        SqlType::Void => SqlType::Int,
        other => return Err(check::unexpected_type(name, 0, "INTEGRAL", other)),
    };
    Ok(AggregateSignature { args: vec![ty.clone()], ty: ty.clone(), nullable: true, state: vec![ty] })
}

struct Bits {
    ty: SqlType,
    combine: fn(i64, i64) -> i64,
    values: Vec<i64>,
    seen: Vec<bool>,
}

impl GroupAccumulator for Bits {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, 0);
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = encoding::canonical(arg(args, 0)?, &self.ty)?;
        let live = live(Some(&array as &dyn Array), filter);
        let wide = cast(&array, &DataType::Int64)?;
        for_each(groups, wide.as_primitive::<Int64Type>().values(), live.as_ref(), |group, value| {
            let total = &mut self.values[group];
            *total = if self.seen[group] { (self.combine)(*total, value) } else { value };
            self.seen[group] = true;
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        self.update(groups, states, None)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(offset, rows)?])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let range = offset..offset + rows;
        let wide = Int64Array::new(self.values[range.clone()].to_vec().into(), nulls_of(&self.seen[range]));
        Ok(cast(&wide, &self.ty.arrow())?)
    }

    fn memory(&self) -> usize {
        self.values.capacity() * 8 + self.seen.capacity()
    }
}
