//! Groups with several keys of which some are long texts, each numbered by a pool of its column.
//!
//! Text keys next to other keys repeat: a hundred thousand groups have a few hundred names. A text is
//! looked up in the small pool of its column; what is hashed and compared per group is a word of
//! numbers. A text that comes as a dictionary is looked up once per entry that occurs and not once per row.
//!
//! Where texts hardly repeat ([`Interned::pays`]), the owner chooses the table of columns.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use firesteel_common::{Result, SqlType};

use super::columns::ColumnTable;
use super::fields::Extent;
use super::known_rows::KnownRows;
use super::packed::Packed;
use super::slots::Slots;
use super::values::{fixed_bits, normalised};

/// Groups before it is judged whether numbering texts pays.
const TRIAL_GROUPS: usize = 16_384;

/// Groups by packed numbers.
#[derive(Debug)]
pub(super) struct Interned {
    /// By key column; `None` if it is not text.
    pools: Vec<Option<TextPool>>,
    /// The types of what is packed: text is a number.
    types: Vec<SqlType>,
    table: Packed,
}

impl Interned {
    /// A table for keys of `types` of which `extents` were seen, with at most `numbers` texts in a column, or `None` if
    /// they do not fit a word.
    pub(super) fn plan(types: &[SqlType], nullable: &[bool], extents: &[Extent], numbers: usize) -> Option<Self> {
        let is_text = |ty: &SqlType| fixed_bits(ty).is_none();
        let packed: Vec<SqlType> = types.iter().map(|ty| if is_text(ty) { SqlType::Int } else { ty.clone() }).collect();
        let nullable: Vec<bool> = types.iter().zip(nullable).map(|(ty, n)| *n && !is_text(ty)).collect();
        let extents = types.iter().zip(extents).map(|(ty, e)| if is_text(ty) { Extent::numbers(numbers) } else { *e });
        let table = Packed::plan(&packed, &nullable, &extents.collect::<Vec<_>>(), false)?;
        let pools = types.iter().map(|ty| is_text(ty).then(|| TextPool::new(ty.clone()))).collect();
        Some(Self { pools, types: packed, table })
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// What the groups are found by.
    pub(super) fn slots(&mut self) -> &mut Slots {
        self.table.slots()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.pools.iter_mut().flatten().for_each(TextPool::clear);
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.pools.iter().flatten().map(TextPool::memory).sum::<usize>()
    }

    /// Whether texts repeat so often that numbering them saves work.
    pub(super) fn pays(&self) -> bool {
        let groups = self.len();
        groups < TRIAL_GROUPS || self.pools.iter().flatten().all(|pool| pool.table.len() * 2 < groups)
    }

    /// As [`super::packed::PackedTable::intern`], for columns in any encoding.
    pub(super) fn intern(
        &mut self,
        types: &[SqlType],
        columns: &[ArrayRef],
        rows: usize,
        groups: &mut Vec<u32>,
    ) -> Result<bool> {
        let numbered = columns.iter().zip(types).zip(&mut self.pools).map(|((column, ty), pool)| match pool {
            Some(pool) => pool.number(column),
            None => normalised(column, ty),
        });
        let numbered = numbered.collect::<Result<Vec<_>>>()?;
        self.table.intern(&numbered, rows, groups)
    }

    /// The key columns of `rows` groups from `offset` on.
    pub(super) fn keys(&self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let columns = self.table.keys(&self.types, offset, rows)?;
        let column = |(column, pool): (ArrayRef, &Option<TextPool>)| match pool {
            Some(pool) => pool.texts(column.as_primitive::<Int32Type>()),
            None => Ok(column),
        };
        columns.into_iter().zip(&self.pools).map(column).collect()
    }
}

/// The different values of a text column, NULL among them, counted from 0.
#[derive(Debug)]
struct TextPool {
    ty: SqlType,
    table: ColumnTable,
    known: KnownRows,
}

impl TextPool {
    fn new(ty: SqlType) -> Self {
        Self { ty, table: ColumnTable::new(), known: KnownRows::default() }
    }

    fn clear(&mut self) {
        self.table.clear();
        self.known = KnownRows::default();
    }

    fn memory(&self) -> usize {
        self.table.memory() + self.known.memory()
    }

    /// The numbers of the values; new ones get the next.
    fn number(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        let Self { ty, table, known } = self;
        let (next, mut numbers) = (table.len(), Vec::with_capacity(column.len()));
        let mut look_up = |values: &ArrayRef| {
            let (mut numbers, rows) = (Vec::with_capacity(values.len()), values.len());
            table.intern(&[normalised(values, ty)?], rows, &mut numbers)?;
            Ok(numbers)
        };
        if !known.number(std::slice::from_ref(column), next, &mut numbers, |values, _| look_up(&values[0]))? {
            numbers = look_up(column)?;
        }
        let numbers = ScalarBuffer::new(Buffer::from_vec(numbers), 0, column.len());
        Ok(std::sync::Arc::new(Int32Array::new(numbers, None)))
    }

    fn texts(&self, numbers: &Int32Array) -> Result<ArrayRef> {
        self.table.gather(&self.ty, numbers.values().iter().map(|number| *number as u32))
    }
}
