//! Sort keys as bytes and as words that compare like them.
//!
//! A row of keys has two forms. Its *bytes* compare exactly as the keys do, with directions and NULLs
//! settled. Its *prefix* is a word of the first key that never contradicts the bytes: a smaller prefix means
//! an earlier row, equal ones decide nothing. Most comparisons end at the prefix. Where all rows are there and all
//! keys are numbers, words of all of them are used instead ([`super::pack`]).

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::*;
use arrow::row::{RowConverter, Rows, SortField};
use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::{Expr, SortKey};
use firesteel_runtime::{CancelToken, Reservation};

use super::pack::Packing;
use crate::operators::hash_aggregate::values::normalised;

/// How keys of given types and directions are encoded.
pub(crate) struct KeyEncoder {
    types: Vec<SqlType>,
    options: Vec<SortOptions>,
    converter: RowConverter,
}

/// The place of a row among buffered batches, with its prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) prefix: u64,
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

impl KeyEncoder {
    /// An encoder for `keys`.
    pub(crate) fn new(keys: &[SortKey]) -> Result<Self> {
        let keys = keys.iter().map(|k| (k.expr.ty(), k.ascending, k.nulls_first));
        Self::from_types(keys.collect())
    }

    /// An encoder for keys of so many types, each with "ascending" and "NULLs first".
    pub(crate) fn from_types(keys: Vec<(SqlType, bool, bool)>) -> Result<Self> {
        let option = |ascending: bool, nulls_first| SortOptions { descending: !ascending, nulls_first };
        let options: Vec<SortOptions> = keys.iter().map(|(_, a, n)| option(*a, *n)).collect();
        let types: Vec<SqlType> = keys.into_iter().map(|(ty, ..)| ty).collect();
        let fields = types.iter().zip(&options).map(|(ty, o)| SortField::new_with_options(ty.arrow(), *o));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { types, options, converter })
    }

    /// The expressions of `keys`.
    pub(crate) fn exprs(keys: &[SortKey]) -> Vec<Expr> {
        keys.iter().map(|k| k.expr.clone()).collect()
    }

    /// The columns in the form that the other methods take.
    pub(crate) fn prepare(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        columns.iter().zip(&self.types).map(|(c, ty)| normalised(c, ty)).collect()
    }

    /// The bytes of each row.
    pub(crate) fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// No rows, to which others of this encoder can be added.
    pub(crate) fn no_rows(&self, capacity: usize) -> Rows {
        self.converter.empty_rows(capacity, capacity * 16)
    }

    /// The prefix of each row.
    pub(crate) fn prefixes(&self, columns: &[ArrayRef]) -> Result<Vec<u64>> {
        let (Some(column), Some(options)) = (columns.first(), self.options.first()) else {
            return Err(Error::internal("no sort key"));
        };
        let mut words = words(column)?;
        if options.descending {
            words.iter_mut().for_each(|word| *word = !*word);
        }
        if let Some(nulls) = column.logical_nulls() {
            let null = if options.nulls_first { 0 } else { u64::MAX };
            for (word, valid) in words.iter_mut().zip(nulls.iter()) {
                if !valid {
                    *word = null;
                }
            }
        }
        Ok(words)
    }
}

/// Entries of all rows of `batches` of key columns, in order. The bytes of the rows, if they are needed, are
/// reserved for as long as they are held.
pub(crate) fn sorted(
    encoder: &KeyEncoder,
    batches: &[Vec<ArrayRef>],
    reservation: &mut Reservation,
    cancel: &CancelToken,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(batches.iter().map(|keys| keys.first().map_or(0, |k| k.len())).sum());
    for (batch, keys) in batches.iter().enumerate() {
        let rows = keys.first().map_or(0, |k| k.len());
        entries.extend((0..rows).map(|row| Entry { prefix: 0, batch: batch as u32, row: row as u32 }));
    }
    Sorter { encoder, batches, cancel, runs: false }.sort(&mut entries, reservation)?;
    Ok(entries)
}

/// As [`sorted`], of `entries` that consist of a few runs, each in order.
pub(crate) fn merged(
    encoder: &KeyEncoder,
    batches: &[Vec<ArrayRef>],
    mut entries: Vec<Entry>,
    reservation: &mut Reservation,
    cancel: &CancelToken,
) -> Result<Vec<Entry>> {
    Sorter { encoder, batches, cancel, runs: true }.sort(&mut entries, reservation)?;
    Ok(entries)
}

struct Sorter<'a> {
    encoder: &'a KeyEncoder,
    batches: &'a [Vec<ArrayRef>],
    cancel: &'a CancelToken,
    /// Whether the entries consist of a few runs, which a stable sort finds and merges.
    runs: bool,
}

impl Sorter<'_> {
    fn sort(&self, entries: &mut [Entry], reservation: &mut Reservation) -> Result<()> {
        if let Some(packing) = Packing::plan(&self.encoder.options, self.batches)? {
            return self.by_words(&packing, entries, reservation);
        }
        self.set_prefixes(entries, |keys| self.encoder.prefixes(keys))?;
        let mut rows = Vec::with_capacity(self.batches.len());
        let mut bytes = 0;
        for keys in self.batches {
            self.cancel.check()?;
            let encoded = self.encoder.rows(keys)?;
            reservation.try_grow(encoded.size())?;
            bytes += encoded.size();
            rows.push(encoded);
        }
        if self.runs {
            entries.sort_by(|a, b| compare(a, b, &rows));
        } else {
            sort_prefixes(entries, self.cancel)?;
            sort_ties(entries, &rows, 0, self.cancel)?;
        }
        reservation.shrink(bytes);
        Ok(())
    }

    /// Orders entries by keys that are words.
    fn by_words(&self, packing: &Packing, entries: &mut [Entry], reservation: &mut Reservation) -> Result<()> {
        self.set_prefixes(entries, |keys| packing.word(0, keys))?;
        self.by_prefix(entries)?;
        let mut ties = equal_runs(entries, 0..entries.len());
        for at in 1..packing.words() {
            if ties.is_empty() {
                break;
            }
            let bytes = entries.len() * size_of::<u64>();
            reservation.try_grow(bytes)?;
            let words = self.batches.iter().map(|keys| packing.word(at, keys)).collect::<Result<Vec<_>>>()?;
            for (i, run) in ties.iter().enumerate() {
                if i % (1 << 16) == 0 {
                    self.cancel.check()?;
                }
                let run = &mut entries[run.clone()];
                run.iter_mut().for_each(|e| e.prefix = words[e.batch as usize][e.row as usize]);
                self.by_prefix(run)?;
            }
            ties = ties.into_iter().flat_map(|run| equal_runs(entries, run)).collect();
            reservation.shrink(bytes);
        }
        Ok(())
    }

    fn by_prefix(&self, entries: &mut [Entry]) -> Result<()> {
        if self.runs {
            self.cancel.check()?;
            entries.sort_by_key(|e| e.prefix);
            return Ok(());
        }
        sort_prefixes(entries, self.cancel)
    }

    /// Gives each entry its prefix. The entries of a batch follow each other, unless they are runs.
    fn set_prefixes(&self, entries: &mut [Entry], prefixes: impl Fn(&[ArrayRef]) -> Result<Vec<u64>>) -> Result<()> {
        if self.runs {
            let all = self.batches.iter().map(|keys| prefixes(keys)).collect::<Result<Vec<_>>>()?;
            entries.iter_mut().for_each(|e| e.prefix = all[e.batch as usize][e.row as usize]);
            return Ok(());
        }
        let mut rest = entries;
        for keys in self.batches {
            self.cancel.check()?;
            let prefixes = prefixes(keys)?;
            let (own, after) = rest.split_at_mut(prefixes.len());
            own.iter_mut().zip(prefixes).for_each(|(entry, prefix)| entry.prefix = prefix);
            rest = after;
        }
        Ok(())
    }
}

/// Places of several entries with equal prefixes among sorted ones.
fn equal_runs(entries: &[Entry], within: Range<usize>) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = within.start;
    for run in entries[within].chunk_by(|a, b| a.prefix == b.prefix) {
        if run.len() > 1 {
            runs.push(start..start + run.len());
        }
        start += run.len();
    }
    runs
}

/// Orders entries by their prefixes. Halves are split off until they are small, so that it can be cancelled in between.
fn sort_prefixes(entries: &mut [Entry], cancel: &CancelToken) -> Result<()> {
    const PIECE: usize = 2 << 20;
    cancel.check()?;
    if entries.len() <= PIECE {
        entries.sort_unstable_by_key(|e| e.prefix);
        return Ok(());
    }
    let middle = entries.len() / 2;
    entries.select_nth_unstable_by_key(middle, |e| e.prefix);
    let (low, high) = entries.split_at_mut(middle);
    sort_prefixes(low, cancel)?;
    sort_prefixes(high, cancel)
}

/// Orders the runs of equal prefixes in sorted `entries` by the bytes of their rows from `depth` on: eight at
/// a time, which are the next prefixes, since words compare faster than slices elsewhere in memory.
fn sort_ties(entries: &mut [Entry], rows: &[Rows], depth: usize, cancel: &CancelToken) -> Result<()> {
    const SHORT: usize = 8;
    const DEEPEST: usize = 64;
    for (i, run) in entries.chunk_by_mut(|a, b| a.prefix == b.prefix).filter(|run| run.len() > 1).enumerate() {
        if i % (1 << 16) == 0 {
            cancel.check()?;
        }
        if run.len() <= SHORT || depth >= DEEPEST {
            run.sort_unstable_by(|a, b| compare(a, b, rows));
            continue;
        }
        for entry in run.iter_mut() {
            let row = rows[entry.batch as usize].row(entry.row as usize);
            entry.prefix = word(row.data().get(depth..).unwrap_or_default());
        }
        sort_prefixes(run, cancel)?;
        sort_ties(run, rows, depth + 8, cancel)?;
    }
    Ok(())
}

/// The first eight bytes as a number that compares like them.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    if let Some(bytes) = bytes.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(word)
}

/// Order of two entries of batches that have these rows.
#[inline]
pub(crate) fn compare(a: &Entry, b: &Entry, rows: &[Rows]) -> Ordering {
    let row = |e: &Entry| rows[e.batch as usize].row(e.row as usize);
    a.prefix.cmp(&b.prefix).then_with(|| row(a).cmp(&row(b)))
}

/// Whether [`words`] says all of a value of this type.
pub(super) fn is_word(ty: &DataType) -> bool {
    match ty {
        DataType::Null | DataType::Boolean => true,
        DataType::Decimal128(..) | DataType::Utf8View | DataType::BinaryView => false,
        ty => ty.primitive_width().is_some_and(|width| width <= 8),
    }
}

/// Words that compare like the values, ascending; what stands for NULL is arbitrary.
pub(super) fn words(column: &ArrayRef) -> Result<Vec<u64>> {
    const SIGN: u64 = 1 << 63;
    macro_rules! integers {
        ($ty:ty) => {
            column.as_primitive::<$ty>().values().iter().map(|v| i64::from(*v) as u64 ^ SIGN).collect()
        };
    }
    let float = |v: f64| {
        let bits = v.to_bits();
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    };
    Ok(match column.data_type() {
        DataType::Null => vec![0; column.len()],
        DataType::Boolean => column.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Date32 => integers!(Date32Type),
        DataType::Timestamp(..) => integers!(TimestampMicrosecondType),
        DataType::Interval(_) => integers!(IntervalYearMonthType),
        DataType::Duration(_) => integers!(DurationMicrosecondType),
        DataType::Decimal64(..) => integers!(Decimal64Type),
        DataType::Decimal128(..) => {
            let clamp = |v: i128| v.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as u64 ^ SIGN;
            column.as_primitive::<Decimal128Type>().values().iter().map(|v| clamp(*v)).collect()
        }
        DataType::Float32 => {
            column.as_primitive::<Float32Type>().values().iter().map(|v| float(f64::from(*v))).collect()
        }
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().map(|v| float(*v)).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(|v| word(v.unwrap_or_default().as_bytes())).collect(),
        DataType::BinaryView => column.as_binary_view().iter().map(|v| word(v.unwrap_or_default())).collect(),
        other => return Err(Error::internal(format!("no sort key of {other}"))),
    })
}
