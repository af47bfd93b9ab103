//! `listagg`: the strings of a group in a row.
//!
//! With WITHIN GROUP (ORDER BY …), the third argument says the direction of each key (`a` or `d`, then `f` or `l` for
//! where NULLs are) and the keys follow. They are kept in Arrow's row format, whose bytes order as the keys do, and
//! sorted in the end; without keys the strings stay in the order of the rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, SortField};
use firesteel_common::{Error, Result, SqlType, encoding};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, for_each_row, live};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[Aggregate {
    doc: doc(
        "listagg",
        &["string_agg"],
        "listagg(expr[, delimiter]) [WITHIN GROUP (ORDER BY key, ...)]",
        "Returns the values that are not NULL in a row, with a delimiter ('') between them; NULL if there are none.",
        &[
            ("SELECT listagg(col, ',') FROM VALUES ('a'), ('b') AS tab(col)", "a,b"),
            ("SELECT listagg(col) WITHIN GROUP (ORDER BY col DESC) FROM VALUES ('a'), ('b') AS tab(col)", "ba"),
        ],
    ),
    bind: |name, args| {
        check::arity(name, args.len(), 1, usize::MAX)?;
        let mut types = args.to_vec();
        types.iter_mut().take(3).for_each(|ty| *ty = SqlType::String);
        let state = vec![SqlType::Binary, SqlType::String];
        Ok(AggregateSignature { args: types, ty: SqlType::String, nullable: true, state })
    },
    make: |args, _, _| {
        let keys = args.get(3..).unwrap_or_default().to_vec();
        Ok(Box::new(List { keys, converter: None, delimiter: String::new(), groups: Vec::new(), bytes: 0 }))
    },
    ignores_duplicates: false,
}];

/// A value and its sort key.
type Entry = (Box<[u8]>, Box<str>);

struct List {
    keys: Vec<SqlType>,
    /// Known from the first rows on, since the directions are an argument.
    converter: Option<RowConverter>,
    delimiter: String,
    groups: Vec<Vec<Entry>>,
    bytes: usize,
}

impl List {
    fn push(&mut self, group: usize, key: &[u8], value: &str) {
        self.bytes += key.len() + value.len() + size_of::<Entry>();
        self.groups[group].push((key.into(), value.into()));
    }

    fn converter(&mut self, args: &[ArrayRef]) -> Result<&RowConverter> {
        let converter = match self.converter.take() {
            Some(converter) => converter,
            None => {
                let directions = strings(args, 2)?.value(0).as_bytes().to_vec();
                let options = directions.chunks(2).map(|pair| SortOptions {
                    descending: pair.first() == Some(&b'd'),
                    nulls_first: pair.get(1) == Some(&b'f'),
                });
                let fields = self.keys.iter().zip(options);
                let fields = fields.map(|(ty, options)| SortField::new_with_options(ty.arrow(), options));
                RowConverter::new(fields.collect())?
            }
        };
        Ok(self.converter.insert(converter))
    }

    fn text(&self, entries: &[Entry]) -> Option<String> {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        let values: Vec<&str> = sorted.into_iter().map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(&self.delimiter))
    }
}

fn strings(args: &[ArrayRef], index: usize) -> Result<StringViewArray> {
    let array = encoding::canonical(arg(args, index)?, &SqlType::String)?;
    array.as_string_view_opt().cloned().ok_or_else(|| Error::internal(format!("argument {index} is no string")))
}

impl GroupAccumulator for List {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let values = strings(args, 0)?;
        if args.len() > 1 {
            let delimiter = strings(args, 1)?;
            self.delimiter = if delimiter.is_null(0) { String::new() } else { delimiter.value(0).to_owned() };
        }
        let live = live(Some(&values), filter);
        if self.keys.is_empty() {
            for_each_row(groups, live.as_ref(), |group, row| self.push(group, &[], values.value(row)));
            return Ok(());
        }
        let keys = args.iter().skip(3).zip(&self.keys).map(|(array, ty)| encoding::canonical(array, ty));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let rows = self.converter(args)?.convert_columns(&keys)?;
        for_each_row(groups, live.as_ref(), |group, row| self.push(group, rows.row(row).as_ref(), values.value(row)));
        Ok(())
    }

    /// A state is a list of keys and values, each with its length before it; and the delimiter.
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let lists =
            arg(states, 0)?.as_binary_view_opt().ok_or_else(|| Error::internal("a state is no binary"))?.clone();
        let delimiters = strings(states, 1)?;
        for (row, group) in groups.iter().enumerate() {
            let mut rest = lists.value(row);
            while let Some((key, after)) = piece(rest) {
                let Some((value, after)) = piece(after) else { break };
                let value = std::str::from_utf8(value).map_err(|_| Error::internal("a state is no text"))?;
                self.push(*group as usize, key, value);
                self.delimiter = delimiters.value(row).to_owned();
                rest = after;
            }
        }
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let list = |entries: &Vec<Entry>| {
            let mut out = Vec::new();
            for (key, value) in entries {
                for part in [&**key, value.as_bytes()] {
                    out.extend_from_slice(&(part.len() as u32).to_le_bytes());
                    out.extend_from_slice(part);
                }
            }
            out
        };
        let lists: Vec<Vec<u8>> = self.groups[offset..offset + rows].iter().map(list).collect();
        let delimiters = StringViewArray::from_iter_values(std::iter::repeat_n(&self.delimiter, rows));
        Ok(vec![Arc::new(BinaryViewArray::from_iter_values(lists)), Arc::new(delimiters)])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let texts = self.groups[offset..offset + rows].iter().map(|entries| self.text(entries));
        Ok(Arc::new(StringViewArray::from_iter(texts)))
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<Vec<Entry>>() + self.bytes
    }
}

/// The first piece of a list, and the rest.
fn piece(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = list.split_first_chunk::<4>()?;
    after.split_at_checked(u32::from_le_bytes(*length) as usize)
}
