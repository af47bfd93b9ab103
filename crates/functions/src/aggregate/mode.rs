//! `mode`: the value that occurs most often.
//!
//! Values are counted in Arrow's row format, whose bytes order as the values do: of values that occur equally often
//! the least is taken (with a third argument, which `WITHIN GROUP (ORDER BY … DESC)` gives, the greatest), so that
//! the result does not depend on the order of the rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, new_null_array};
use arrow::compute::concat;
use arrow::row::{RowConverter, SortField};
use firesteel_common::{Error, Result, SqlType, encoding};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, for_each_row, live};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[Aggregate {
    doc: doc(
        "mode",
        &[],
        "mode(col[, deterministic]) or mode() WITHIN GROUP (ORDER BY col)",
        "Returns the value that occurs most often, NULL not counted; the least of several.",
        &[("SELECT mode(col) FROM VALUES (0), (10), (10) AS tab(col)", "10")],
    ),
    bind: |name, args| {
        check::arity(name, args.len(), 1, 3)?;
        for (index, ty) in args.iter().enumerate().skip(1) {
            if !matches!(ty, SqlType::Boolean | SqlType::Void) {
                return Err(check::unexpected_type(name, index, "BOOLEAN", ty));
            }
        }
        let (ty, state) = (args[0].clone(), vec![SqlType::Binary]);
        Ok(AggregateSignature { args: args.to_vec(), ty, nullable: true, state })
    },
    make: |args, _, _| Ok(Box::new(Mode::new(args)?)),
    ignores_duplicates: false,
}];

struct Mode {
    ty: SqlType,
    /// Of several, the greatest.
    greatest: bool,
    converter: RowConverter,
    groups: Vec<HashMap<Box<[u8]>, u64>>,
    bytes: usize,
}

impl Mode {
    fn new(args: &[SqlType]) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(args[0].arrow())])?;
        Ok(Self { ty: args[0].clone(), greatest: args.len() > 2, converter, groups: Vec::new(), bytes: 0 })
    }

    fn count(&mut self, group: usize, value: &[u8], count: u64) {
        let counts = &mut self.groups[group];
        match counts.get_mut(value) {
            Some(known) => *known += count,
            None => {
                self.bytes += value.len() + size_of::<(Box<[u8]>, u64)>();
                counts.insert(value.into(), count);
            }
        }
    }
}

impl GroupAccumulator for Mode {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, HashMap::new);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let values = encoding::canonical(arg(args, 0)?, &self.ty)?;
        let live = live(Some(&values as &dyn Array), filter);
        let rows = self.converter.convert_columns(std::slice::from_ref(&values))?;
        for_each_row(groups, live.as_ref(), |group, row| self.count(group, rows.row(row).as_ref(), 1));
        Ok(())
    }

    /// A state is a list of counts, lengths and values.
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let lists = arg(states, 0)?.as_binary_view_opt().ok_or_else(|| Error::internal("a state is no binary"))?;
        for (row, group) in groups.iter().enumerate() {
            let mut rest = lists.value(row);
            while let Some((count, after)) = rest.split_first_chunk::<8>() {
                let Some((length, after)) = after.split_first_chunk::<4>() else { break };
                let Some((value, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
                self.count(*group as usize, value, u64::from_le_bytes(*count));
                rest = after;
            }
        }
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let list = |group: &HashMap<Box<[u8]>, u64>| {
            let mut out = Vec::new();
            for (value, count) in group {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
            out
        };
        let lists: Vec<Vec<u8>> = self.groups[offset..offset + rows].iter().map(list).collect();
        Ok(vec![Arc::new(BinaryViewArray::from_iter_values(lists))])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let null = new_null_array(&self.ty.arrow(), 1);
        let mut results: Vec<ArrayRef> = Vec::with_capacity(rows);
        for group in &self.groups[offset..offset + rows] {
            let best = group
                .iter()
                .max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| if self.greatest { a.cmp(b) } else { b.cmp(a) }));
            results.push(match best {
                Some((value, _)) => self.converter.convert_rows([parser.parse(value)])?.swap_remove(0),
                None => null.clone(),
            });
        }
        if results.is_empty() {
            return Ok(null.slice(0, 0));
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(concat(&results)?)
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<HashMap<Box<[u8]>, u64>>() + self.bytes
    }
}
