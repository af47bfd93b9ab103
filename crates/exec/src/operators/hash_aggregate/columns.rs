//! Groups with keys of any width, kept as columns.
//!
//! A key is hashed and compared where it is. Only the first row of each group is copied, together with the other such
//! rows of its batch, and keys are returned as slices of those copies: no value is ever encoded, built or checked on its
//! own.
//!
//! The rows of a batch are looked up together. A slot whose 32 bits of the hash agree is presumed to be that of the
//! group, which is true but for one key in thousands; a row without such a slot begins a group. Then the presumed
//! rows are compared with their groups column by column, so that types are looked at once per column and the memory
//! serves many rows at a time. The few that differ are looked up again, one by one, by the values themselves.
//!
//! Invariant: groups differ from each other, and those of a chunk are numbered on end. Groups are numbered in order of
//! first sight within the two passes of a batch; [`ColumnTable::adopt`] keeps the order whatever the hashes are.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use firesteel_common::hash::hash_columns;
use firesteel_common::texts::{long_bytes, own_texts};
use firesteel_common::{Error, Result, SqlType};

use super::slots::Slots;
use super::texts::same_text;

/// Rows of which the slots are looked up together.
const AT_A_TIME: usize = 128;
/// Rows above which a chunk is left as it is; smaller ones are put together.
const SMALL: usize = 1024;

/// Groups by the values of their keys.
#[derive(Debug)]
pub(super) struct ColumnTable {
    slots: Slots,
    chunks: Vec<Chunk>,
    /// The chunk of each group.
    homes: Vec<u32>,
    /// Bytes of the chunks.
    bytes: usize,
    lookup: Lookup,
}

/// Keys of consecutive groups.
#[derive(Debug)]
struct Chunk {
    /// The first group.
    start: usize,
    rows: usize,
    columns: Vec<Column>,
}

/// What is known of the rows of a batch; kept for its memory.
#[derive(Debug, Default)]
struct Lookup {
    hashes: Vec<u64>,
    /// Rows that begin groups.
    new: Vec<u32>,
    /// Rows that are presumed to be of a group.
    presumed: Vec<Pair>,
    equal: Vec<bool>,
}

/// A row of a batch and one of a chunk.
#[derive(Clone, Copy, Debug)]
struct Pair {
    row: u32,
    chunk: u32,
    place: u32,
}

impl ColumnTable {
    pub(super) fn new() -> Self {
        Self { slots: Slots::new(), chunks: Vec::new(), homes: Vec::new(), bytes: 0, lookup: Lookup::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.homes.len()
    }

    /// What the groups are found by.
    pub(super) fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.chunks.clear();
        self.homes.clear();
        self.bytes = 0;
    }

    pub(super) fn memory(&self) -> usize {
        let lookup = &self.lookup;
        let lookup = lookup.hashes.capacity() * 8
            + lookup.new.capacity() * 4
            + lookup.presumed.capacity() * size_of::<Pair>()
            + lookup.equal.capacity();
        self.slots.memory() + self.homes.capacity() * 4 + self.bytes + lookup
    }

    /// Appends the group of each row to `groups`.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        if columns.iter().any(|column| column.len() != rows) {
            return Err(Error::internal("key columns differ in length"));
        }
        let mut lookup = std::mem::take(&mut self.lookup);
        hash_columns(columns, rows, &mut lookup.hashes)?;
        let before = groups.len();
        self.presume(&mut lookup, groups);
        self.push(columns, &lookup.new)?;
        // The groups that this batch began have a home now.
        let presumed = lookup.presumed.iter_mut();
        presumed.for_each(|pair| *pair = self.pair(pair.row, groups[before + pair.row as usize]));
        if !lookup.presumed.is_empty() {
            let columns = columns.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
            self.compare(&columns, &lookup.presumed, &mut lookup.equal)?;
        }
        for (pair, _) in lookup.presumed.iter().zip(&lookup.equal).filter(|(_, equal)| !**equal) {
            let row = pair.row as usize;
            groups[before + row] = self.find(columns, row, lookup.hashes[row])?;
        }
        self.lookup = lookup;
        Ok(())
    }

    /// Takes in keys that differ from each other, in a table that has no groups.
    pub(super) fn adopt(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let mut hashes = Vec::new();
        hash_columns(columns, rows, &mut hashes)?;
        for (group, hash) in hashes.into_iter().enumerate() {
            self.slots.find_or_insert(hash, group as u32, |_| false);
        }
        self.push_chunk(columns.to_vec(), rows)
    }

    /// Looks all rows up by 32 bits of their hashes.
    fn presume(&mut self, lookup: &mut Lookup, groups: &mut Vec<u32>) {
        lookup.new.clear();
        lookup.presumed.clear();
        groups.reserve(lookup.hashes.len());
        let mut next = self.homes.len() as u32;
        let mut row = 0;
        let mut found = [None; AT_A_TIME];
        for hashes in lookup.hashes.chunks(AT_A_TIME) {
            found.iter_mut().zip(hashes).for_each(|(found, hash)| *found = self.slots.first(*hash));
            for (hash, found) in hashes.iter().zip(&found) {
                let group = found.unwrap_or_else(|| self.slots.find_or_insert(*hash, next, |_| true));
                if group == next {
                    lookup.new.push(row);
                    next += 1;
                } else {
                    lookup.presumed.push(Pair { row, chunk: 0, place: 0 });
                }
                groups.push(group);
                row += 1;
            }
        }
    }

    /// The group of a row whose 32 bits of the hash are also those of another key.
    fn find(&mut self, columns: &[ArrayRef], row: usize, hash: u64) -> Result<u32> {
        let one: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, 1)).collect();
        let values = one.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        let (mut equal, mut failure) = (Vec::new(), None);
        let mut slots = std::mem::replace(&mut self.slots, Slots::new());
        let next = self.homes.len() as u32;
        let group = slots.find_or_insert(hash, next, |group| {
            let compared = self.compare(&values, &[self.pair(0, group)], &mut equal);
            failure = compared.err();
            equal == [true]
        });
        self.slots = slots;
        if let Some(error) = failure {
            return Err(error);
        }
        if group == next {
            self.push(&one, &[0])?;
        }
        Ok(group)
    }

    #[inline]
    fn pair(&self, row: u32, group: u32) -> Pair {
        let chunk = self.homes[group as usize];
        Pair { row, chunk, place: group - self.chunks[chunk as usize].start as u32 }
    }

    /// Sets `equal` to whether the rows of each pair are equal.
    fn compare(&self, columns: &[Column], pairs: &[Pair], equal: &mut Vec<bool>) -> Result<()> {
        equal.clear();
        equal.resize(pairs.len(), true);
        for (at, column) in columns.iter().enumerate() {
            let chunks: Vec<&Column> = self.chunks.iter().map(|chunk| &chunk.columns[at]).collect();
            column.compare(&chunks, pairs, equal)?;
        }
        Ok(())
    }

    /// Copies `rows` of a batch, which begin groups.
    fn push(&mut self, columns: &[ArrayRef], rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let indices = UInt32Array::from(rows.to_vec());
        let columns = columns.iter().map(|column| Ok(own(take(column, &indices, None)?)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        self.push_chunk(columns, rows.len())
    }

    /// Appends a chunk, of which small ones before become a part: there are never many of them.
    fn push_chunk(&mut self, mut columns: Vec<ArrayRef>, mut rows: usize) -> Result<()> {
        while let Some(last) = self.chunks.pop_if(|last| last.rows < SMALL && last.rows <= 2 * rows) {
            let joined = last.columns.iter().zip(&columns);
            columns = joined
                .map(|(last, column)| Ok(concat(&[last.array.as_ref(), column.as_ref()])?))
                .collect::<Result<_>>()?;
            rows += last.rows;
            self.bytes -= last.memory();
            self.homes.truncate(last.start);
        }
        let (start, home) = (self.homes.len(), self.chunks.len() as u32);
        self.homes.resize(start + rows, home);
        let columns = columns.iter().map(Column::new).collect::<Result<_>>()?;
        let chunk = Chunk { start, rows, columns };
        self.bytes += chunk.memory();
        self.chunks.push(chunk);
        Ok(())
    }

    /// The key columns of `rows` groups from `offset` on.
    pub(super) fn keys(&self, types: &[SqlType], offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let first = self.homes.get(offset).map_or(self.chunks.len(), |home| *home as usize);
        let end = offset + rows;
        let chunks = self.chunks[first..].iter().take_while(|chunk| chunk.start < end);
        let parts: Vec<_> = chunks
            .map(|chunk| {
                let from = offset.max(chunk.start);
                (chunk, from - chunk.start, end.min(chunk.start + chunk.rows) - from)
            })
            .collect();
        let column = |(at, ty): (usize, &SqlType)| {
            let slices = parts.iter().map(|(chunk, from, rows)| chunk.columns[at].array.slice(*from, *rows));
            let slices: Vec<ArrayRef> = slices.collect();
            match slices.as_slice() {
                [] => Ok(arrow::array::new_empty_array(&ty.arrow())),
                [one] => Ok(own(one.clone())),
                all => Ok(concat(&all.iter().map(|array| array.as_ref()).collect::<Vec<_>>())?),
            }
        };
        types.iter().enumerate().map(column).collect()
    }

    /// The keys of `groups`, if the key is one column of `ty`.
    pub(super) fn gather(&self, ty: &SqlType, groups: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let places = groups.map(|group| {
            let pair = self.pair(0, group);
            (pair.chunk as usize, pair.place as usize)
        });
        let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk.columns[0].array.as_ref()).collect();
        if arrays.is_empty() {
            return Ok(arrow::array::new_empty_array(&ty.arrow()));
        }
        Ok(own(interleave(&arrays, &places.collect::<Vec<_>>())?))
    }
}

impl Chunk {
    fn memory(&self) -> usize {
        self.columns.iter().map(|column| column.array.get_array_memory_size()).sum()
    }
}

/// The same values without a text that others need.
fn own(column: ArrayRef) -> ArrayRef {
    own_texts(&column, |buffers, views| {
        let held: usize = buffers.iter().map(|buffer| buffer.capacity()).sum();
        held > 0 && held as u64 > 2 * long_bytes(views)
    })
}

/// A column and its parts.
#[derive(Debug)]
struct Column {
    array: ArrayRef,
    nulls: Option<NullBuffer>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// All are NULL.
    Nulls,
    Bits(BooleanBuffer),
    /// So many bytes each.
    Fixed(usize, Buffer),
    Text(ScalarBuffer<u128>, Vec<Buffer>),
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Self> {
        fn text<T: ByteViewType>(array: &ArrayRef) -> Values {
            let array = array.as_byte_view::<T>();
            Values::Text(array.views().clone(), array.data_buffers().to_vec())
        }
        let values = match array.data_type() {
            DataType::Null => Values::Nulls,
            DataType::Boolean => Values::Bits(array.as_boolean().values().clone()),
            DataType::Utf8View => text::<StringViewType>(array),
            DataType::BinaryView => text::<BinaryViewType>(array),
            other => match (other.primitive_width(), array.to_data().buffers()) {
                (Some(width), [values]) => Values::Fixed(width, values.clone()),
                _ => return Err(Error::internal(format!("{other} is no key"))),
            },
        };
        Ok(Self { array: array.clone(), nulls: array.nulls().cloned(), values })
    }

    /// Clears those of `equal` whose row differs from that of its chunk.
    fn compare(&self, chunks: &[&Column], pairs: &[Pair], equal: &mut [bool]) -> Result<()> {
        macro_rules! fixed {
            ($width:literal, $values:expr) => {{
                let rows = $values.as_chunks::<$width>().0;
                let known = chunks.iter().map(|chunk| match &chunk.values {
                    Values::Fixed($width, values) => Some(values.as_chunks::<$width>().0),
                    _ => None,
                });
                let same = |chunk: &&[[u8; $width]], pair: &Pair| chunk[pair.place as usize] == rows[pair.row as usize];
                self.check(chunks, known, pairs, equal, same)
            }};
        }
        match &self.values {
            Values::Nulls => Ok(()),
            Values::Bits(rows) => {
                let known = chunks.iter().map(|chunk| match &chunk.values {
                    Values::Bits(values) => Some(values),
                    _ => None,
                });
                let same = |chunk: &&BooleanBuffer, pair: &Pair| {
                    chunk.value(pair.place as usize) == rows.value(pair.row as usize)
                };
                self.check(chunks, known, pairs, equal, same)
            }
            Values::Fixed(1, values) => fixed!(1, values),
            Values::Fixed(2, values) => fixed!(2, values),
            Values::Fixed(4, values) => fixed!(4, values),
            Values::Fixed(8, values) => fixed!(8, values),
            Values::Fixed(16, values) => fixed!(16, values),
            Values::Fixed(width, _) => Err(Error::internal(format!("a key of {width} bytes"))),
            Values::Text(views, buffers) => {
                let known = chunks.iter().map(|chunk| match &chunk.values {
                    Values::Text(views, buffers) => Some((views.as_ref(), buffers.as_slice())),
                    _ => None,
                });
                let same = |(views_there, there): &(&[u128], &[Buffer]), pair: &Pair| {
                    same_text(views_there[pair.place as usize], there, views[pair.row as usize], buffers)
                };
                self.check(chunks, known, pairs, equal, same)
            }
        }
    }

    /// [`Self::compare`] for chunks of which `known` has the values, if those are of the same kind.
    #[inline]
    fn check<K>(
        &self,
        chunks: &[&Column],
        known: impl Iterator<Item = Option<K>>,
        pairs: &[Pair],
        equal: &mut [bool],
        same: impl Fn(&K, &Pair) -> bool,
    ) -> Result<()> {
        let known = known.collect::<Option<Vec<K>>>();
        let known = known.ok_or_else(|| Error::internal("chunks of a key differ in type"))?;
        if self.nulls.is_none() && chunks.iter().all(|chunk| chunk.nulls.is_none()) {
            for (pair, equal) in pairs.iter().zip(equal) {
                *equal &= same(&known[pair.chunk as usize], pair);
            }
            return Ok(());
        }
        for (pair, equal) in pairs.iter().zip(equal) {
            let here = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(pair.row as usize));
            let there = chunks[pair.chunk as usize].nulls.as_ref();
            let there = there.is_some_and(|nulls| nulls.is_null(pair.place as usize));
            *equal &= if here || there { here && there } else { same(&known[pair.chunk as usize], pair) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::*;

    use super::super::bytes::ByteTable;
    use super::*;

    /// Interns batches here and in a table of encoded keys; both must number the same groups.
    fn same_as_bytes(types: &[SqlType], batches: &[Vec<ArrayRef>]) -> ColumnTable {
        let (mut table, mut reference) = (ColumnTable::new(), ByteTable::new());
        for (i, columns) in batches.iter().enumerate() {
            let rows = columns[0].len();
            let (mut groups, mut expected) = (vec![77], vec![77]);
            table.intern(columns, rows, &mut groups).unwrap();
            reference.intern(types, columns, rows, &mut expected).unwrap();
            assert!(groups == expected, "batch {i}: {groups:?} is not {expected:?}");
        }
        let count = reference.len();
        assert_eq!(table.len(), count);
        let expected = reference.keys(types, 0, count).unwrap();
        assert!(table.keys(types, 0, count).unwrap() == expected);
        for (offset, rows) in [(0, count / 3), (count / 3, count / 2), (count - count / 8, count / 8), (count, 0)] {
            let part: Vec<ArrayRef> = expected.iter().map(|column| column.slice(offset, rows)).collect();
            assert!(table.keys(types, offset, rows).unwrap() == part, "{rows} keys from {offset} on");
        }
        table
    }

    /// Rows `numbers` of texts of 0 to 45 bytes, of which some differ in the last byte only, and of numbers.
    fn rows(numbers: impl Iterator<Item = u64> + Clone) -> Vec<ArrayRef> {
        let text = |n: u64| {
            let text = format!("{}{}", "x".repeat((n % 43) as usize), n / 43 % 7);
            (!n.is_multiple_of(29)).then(|| if n.is_multiple_of(31) { String::new() } else { text })
        };
        let wide = numbers.clone().map(|n| (!n.is_multiple_of(5)).then(|| (i128::from(n % 3) << 100) - 1));
        vec![
            Arc::new(StringViewArray::from_iter(numbers.clone().map(text))),
            Arc::new(wide.collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap()),
            Arc::new(BinaryViewArray::from_iter(numbers.clone().map(|n| text(n / 2)))),
            Arc::new(numbers.clone().map(|n| (!n.is_multiple_of(11)).then_some(n % 2 == 1)).collect::<BooleanArray>()),
            Arc::new(NullArray::new(numbers.clone().count())),
            Arc::new(Int16Array::from_iter_values(numbers.clone().map(|n| n as i16 % 2))),
            Arc::new(Int8Array::from_iter(numbers.clone().map(|n| (n > 900).then_some(n as i8 % 2)))),
            Arc::new(Float64Array::from_iter_values(numbers.map(|n| (n % 2) as f64))),
        ]
    }

    #[test]
    fn keys_of_all_kinds_are_numbered_as_by_bytes() {
        let types = [
            SqlType::String,
            SqlType::Decimal(38, 0),
            SqlType::Binary,
            SqlType::Boolean,
            SqlType::Void,
            SqlType::SmallInt,
            SqlType::TinyInt,
            SqlType::Double,
        ];
        let mut batches = vec![rows(0..0), rows(3..4)];
        for batch in 0..60u64 {
            let size = [1, 2, 700, 5, 1500, 128, 129][batch as usize % 7];
            batches.push(rows((0..size).map(move |row| (row * 7 + batch * 131) % 3000)));
        }
        batches.push(rows(0..3000).iter().map(|column| column.slice(100, 2500)).collect());
        let table = same_as_bytes(&types, &batches);
        assert!(table.chunks.len() < 20, "{} chunks", table.chunks.len());
        for keys in [0..1usize, 2..3, 1..2, 3..5, 0..4, 4..6] {
            let some: Vec<Vec<ArrayRef>> = batches.iter().map(|columns| columns[keys.clone()].to_vec()).collect();
            same_as_bytes(&types[keys], &some);
        }
    }

    #[test]
    fn keys_with_the_same_32_bits_of_the_hash_are_told_apart() {
        const KEYS: i64 = 400_000;
        let key = |n: i64| n % KEYS * 1_000_003;
        let batches: Vec<ArrayRef> = (0..100)
            .map(|b| Arc::new(Int64Array::from_iter_values((b * 8000..b * 8000 + 8000).map(key))) as ArrayRef)
            .collect();
        let (mut table, mut hashes, mut tags) = (ColumnTable::new(), Vec::new(), HashMap::new());
        let mut seen = HashMap::new();
        for batch in &batches {
            let mut groups = Vec::new();
            table.intern(std::slice::from_ref(batch), 8000, &mut groups).unwrap();
            hash_columns(std::slice::from_ref(batch), 8000, &mut hashes).unwrap();
            let values = batch.as_primitive::<arrow::datatypes::Int64Type>().values();
            for ((value, group), hash) in values.iter().zip(&groups).zip(&hashes) {
                assert_eq!(seen.entry(*value).or_insert(*group), group);
                tags.insert(*hash as u32, *value);
            }
        }
        assert!(tags.len() < KEYS as usize, "no two keys have the same bits");
        assert_eq!((table.len(), seen.len()), (KEYS as usize, KEYS as usize));
        let keys = table.keys(&[SqlType::BigInt], 0, KEYS as usize).unwrap();
        let values = keys[0].as_primitive::<arrow::datatypes::Int64Type>().values();
        assert!(values.iter().enumerate().all(|(group, value)| seen[value] == group as u32));
        // Groups of another table keep their numbers.
        let mut adopted = ColumnTable::new();
        adopted.adopt(&keys, KEYS as usize).unwrap();
        let mut groups = Vec::new();
        adopted.intern(&keys, KEYS as usize, &mut groups).unwrap();
        assert!(groups.iter().copied().eq(0..KEYS as u32));
    }

    #[test]
    fn the_texts_of_other_rows_are_not_kept() {
        let texts = (0..10_000).map(|n| format!("a text that is longer than a view, number {n}"));
        let all = StringViewArray::from_iter_values(texts);
        let few: ArrayRef = Arc::new(all.slice(5_000, 10));
        let mut table = ColumnTable::new();
        table.intern(std::slice::from_ref(&few), 10, &mut Vec::new()).unwrap();
        assert!(table.memory() < 10_000, "{} bytes", table.memory());
        let keys = table.gather(&SqlType::String, [9, 0, 9].into_iter()).unwrap();
        assert_eq!(keys.as_string_view().value(0), all.value(5_009));
        assert_eq!(keys.as_string_view().value(1), all.value(5_000));
        table.clear();
        assert_eq!((table.len(), table.keys(&[SqlType::String], 0, 0).unwrap()[0].len()), (0, 0));
        assert_eq!(table.gather(&SqlType::String, [].into_iter()).unwrap().len(), 0);
    }
}
