//! Numbers the groups: from key rows to dense group numbers, counted from 0 in order of first sight.
//!
//! The table is chosen from the data. Keys that fit a word of 64 or 128 bits are packed (numbers, dates,
//! short strings), by their types or else by the range of their values; long strings that follow from the other keys are
//! only compared, those that repeat are numbered, and their numbers packed; all others are kept as columns. When a batch does not fit (the first NULL of a column, a
//! longer string, a number outside of the range), the groups move to another table in order, so that their numbers stay.
//!
//! Keys that are columns of one table, such as the build side of a join, are looked up once for each row of that table.
//!
//! NULL is equal to NULL here, NaN to NaN, and -0.0 to 0.0; keys are returned in that normal form.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use firesteel_common::{Error, Result, SqlType};

use super::columns::ColumnTable;
use super::determined::{DeterminedTable, Fit};
use super::fields::Extent;
use super::interned::Interned;
use super::known_rows::KnownRows;
use super::packed::Packed;
use super::slots::Slots;
use super::values::normalised;

/// Keys with their group numbers.
#[derive(Debug)]
pub(super) struct GroupTable {
    types: Vec<SqlType>,
    /// Columns in which a NULL was seen.
    nullable: Vec<bool>,
    texts: Texts,
    /// Whether texts were seen that do not follow from the other keys.
    undetermined: bool,
    table: Table,
    known: KnownRows,
}

/// What is known of strings among the keys; only ever changes to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Texts {
    /// All were short so far.
    Short,
    /// Some are long.
    Long,
    /// And they hardly repeat.
    Unique,
}

#[derive(Debug)]
enum Table {
    /// Nothing was seen yet.
    Unset,
    /// No keys: one group.
    Single,
    Packed(Packed),
    Determined(DeterminedTable),
    Interned(Interned),
    Columns(ColumnTable),
}

impl GroupTable {
    pub(super) fn new(types: Vec<SqlType>) -> Self {
        // A column of type VOID has nothing but NULLs.
        let nullable = types.iter().map(|ty| *ty == SqlType::Void).collect();
        let table = if types.is_empty() { Table::Single } else { Table::Unset };
        Self { types, nullable, texts: Texts::Short, undetermined: false, table, known: KnownRows::default() }
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        match &self.table {
            Table::Unset => 0,
            Table::Single => 1,
            Table::Packed(table) => table.len(),
            Table::Determined(table) => table.len(),
            Table::Interned(table) => table.len(),
            Table::Columns(table) => table.len(),
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let table = match &self.table {
            Table::Unset | Table::Single => 0,
            Table::Packed(table) => table.memory(),
            Table::Determined(table) => table.memory(),
            Table::Interned(table) => table.memory(),
            Table::Columns(table) => table.memory(),
        };
        table + self.known.memory()
    }

    /// Whether so many groups fit without growing.
    pub(super) fn has_room(&mut self, groups: usize) -> bool {
        self.slots().is_none_or(|slots| slots.has_room(groups))
    }

    /// Makes room for so many groups, so that the table need not grow on the way there.
    pub(super) fn make_room(&mut self, groups: usize) {
        if let Some(slots) = self.slots() {
            slots.make_room(groups);
        }
    }

    /// What the groups are found by, if there is more than one.
    fn slots(&mut self) -> Option<&mut Slots> {
        match &mut self.table {
            Table::Unset | Table::Single => None,
            Table::Packed(table) => Some(table.slots()),
            Table::Determined(table) => Some(table.slots()),
            Table::Interned(table) => Some(table.slots()),
            Table::Columns(table) => Some(table.slots()),
        }
    }

    /// Whether rows of a group follow each other, as far as is known: hardly any group was seen again after another one.
    pub(super) fn is_clustered(&self) -> bool {
        match &self.table {
            Table::Packed(table) => {
                let (runs, groups) = (table.runs(), table.len());
                (groups..=groups + groups / 16).contains(&runs)
            }
            _ => false,
        }
    }

    /// Whether texts have followed from the other keys so far, and only those are packed.
    #[cfg(test)]
    pub(super) fn is_determined(&self) -> bool {
        matches!(self.table, Table::Determined(_))
    }

    /// Forgets all groups; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.known = KnownRows::default();
        match &mut self.table {
            Table::Unset | Table::Single => {}
            Table::Packed(table) => table.clear(),
            Table::Determined(table) => table.clear(),
            Table::Interned(table) => table.clear(),
            Table::Columns(table) => table.clear(),
        }
    }

    /// Sets `groups` to the group of each row; new keys make new groups. Columns may come in any encoding.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        if self.types.is_empty() {
            groups.resize(rows, 0);
            return Ok(());
        }
        if self.intern_rows(columns, groups)? || self.intern_codes(columns, rows, groups)? {
            return Ok(());
        }
        self.intern_values(columns, rows, groups)
    }

    /// If all keys are columns of one table at the same rows: looks each of these rows up once.
    fn intern_rows(&mut self, columns: &[ArrayRef], groups: &mut Vec<u32>) -> Result<bool> {
        let (mut known, next) = (std::mem::take(&mut self.known), self.len());
        let done = known.number(columns, next, groups, |keys, rows| {
            let mut found = Vec::new();
            self.intern_values(keys, rows, &mut found)?;
            Ok(found)
        });
        self.known = known;
        done
    }

    /// If all keys are dictionaries that together have fewer values than there are rows: looks each
    /// combination of codes up once.
    fn intern_codes(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<bool> {
        const UNSEEN: u32 = u32::MAX;
        let mut combinations = 1usize;
        for column in columns {
            let Some(dictionary) = column.as_any_dictionary_opt() else { return Ok(false) };
            // One more code stands for NULL.
            combinations = combinations.saturating_mul(dictionary.values().len() + 1);
        }
        if combinations > rows {
            return Ok(false);
        }
        groups.resize(rows, 0);
        for column in columns {
            let dictionary = column.as_any_dictionary();
            let size = dictionary.values().len() as u32;
            let codes = dictionary.keys();
            let codes = codes
                .as_primitive_opt::<arrow::datatypes::Int32Type>()
                .ok_or_else(|| Error::internal(format!("dictionary codes of type {}", codes.data_type())))?;
            match codes.nulls() {
                None => groups.iter_mut().zip(codes.values()).for_each(|(g, c)| *g = *g * (size + 1) + *c as u32),
                Some(nulls) => groups.iter_mut().enumerate().for_each(|(row, g)| {
                    let code = if nulls.is_valid(row) { codes.values()[row] as u32 } else { size };
                    *g = *g * (size + 1) + code;
                }),
            }
        }
        let mut number = vec![UNSEEN; combinations];
        let mut examples = Vec::new();
        for (row, group) in groups.iter_mut().enumerate() {
            let slot = &mut number[*group as usize];
            if *slot == UNSEEN {
                *slot = examples.len() as u32;
                examples.push(row as u32);
            }
            *group = *slot;
        }
        let examples = UInt32Array::from(examples);
        let keys = columns.iter().map(|c| Ok(take(c, &examples, None)?)).collect::<Result<Vec<_>>>()?;
        let mut found = Vec::new();
        self.intern_values(&keys, examples.len(), &mut found)?;
        groups.iter_mut().for_each(|group| *group = found[*group as usize]);
        Ok(true)
    }

    fn intern_values(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        // A table that is chosen for a batch takes it, but for the one that is chosen on trial.
        let mut fits = !matches!(self.table, Table::Unset) && self.try_intern(columns, rows, groups)?;
        for _ in 0..2 {
            if !fits {
                self.move_for(columns, rows)?;
                fits = self.try_intern(columns, rows, groups)?;
            }
        }
        if !fits {
            return Err(Error::internal("a table of groups was chosen that is too narrow"));
        }
        if matches!(&self.table, Table::Interned(table) if !table.pays()) {
            self.texts = Texts::Unique;
            self.move_for(&[], 0)?;
        }
        if self.len() >= u32::MAX as usize - 1 {
            return Err(Error::unsupported("More than 4 billion groups in one task are not supported."));
        }
        Ok(())
    }

    fn try_intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<bool> {
        let types = &self.types;
        let normal = || columns.iter().zip(types).map(|(c, ty)| normalised(c, ty)).collect::<Result<Vec<_>>>();
        match &mut self.table {
            Table::Packed(table) => table.intern(&normal()?, rows, groups),
            Table::Determined(table) => {
                let fit = table.intern(&normal()?, rows, groups)?;
                self.undetermined |= fit == Fit::Undetermined;
                Ok(fit == Fit::Fits)
            }
            Table::Interned(table) => table.intern(types, columns, rows, groups),
            Table::Columns(table) => table.intern(&normal()?, rows, groups).map(|()| true),
            Table::Unset | Table::Single => Err(Error::internal("a table of groups was not chosen")),
        }
    }

    /// A table for `groups`, which are keys, and for a batch.
    fn choose(&mut self, groups: &[ArrayRef], columns: &[ArrayRef], rows: usize) -> Result<Table> {
        for (column, nullable) in columns.iter().zip(&mut self.nullable) {
            *nullable |= column.logical_null_count() > 0;
        }
        let mut extents = Vec::with_capacity(self.types.len());
        for (i, ty) in self.types.iter().enumerate() {
            let column = columns.get(i).map(|column| normalised(column, ty)).transpose()?;
            extents.push(Extent::of(ty, groups.get(i).into_iter().chain(&column))?);
        }
        let (types, nullable) = (&self.types, &self.nullable);
        if let Some(table) = Packed::plan(types, nullable, &extents, self.texts == Texts::Short) {
            return Ok(Table::Packed(table));
        }
        if self.texts == Texts::Short {
            self.texts = Texts::Long;
        }
        if !self.undetermined
            && let Some(table) = DeterminedTable::plan(types, nullable, &extents)
        {
            return Ok(Table::Determined(table));
        }
        // One text alone would be looked up twice.
        let numbers = self.len() + rows;
        if self.texts != Texts::Unique
            && types.len() > 1
            && let Some(table) = Interned::plan(types, nullable, &extents, numbers)
        {
            return Ok(Table::Interned(table));
        }
        Ok(Table::Columns(ColumnTable::new()))
    }

    /// Moves all groups to a table that also holds a batch.
    fn move_for(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let groups = self.len();
        let keys = self.keys(0, groups)?;
        self.table = self.choose(&keys, columns, rows)?;
        if groups == 0 {
            return Ok(());
        }
        if let Table::Columns(table) = &mut self.table {
            return table.adopt(&keys, groups);
        }
        let mut numbers = Vec::with_capacity(groups);
        let mut fits = self.try_intern(&keys, groups, &mut numbers)?;
        if !fits && self.undetermined {
            self.table = self.choose(&keys, columns, rows)?;
            if let Table::Columns(table) = &mut self.table {
                return table.adopt(&keys, groups);
            }
            fits = self.try_intern(&keys, groups, &mut numbers)?;
        }
        if !fits || self.len() != groups {
            return Err(Error::internal("groups changed when their table did"));
        }
        Ok(())
    }

    /// The key columns of `rows` groups from `offset` on, in the canonical encoding.
    pub(super) fn keys(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        match &mut self.table {
            Table::Unset | Table::Single => Ok(Vec::new()),
            Table::Packed(table) => table.keys(&self.types, offset, rows),
            Table::Determined(table) => table.keys(offset, rows),
            Table::Interned(table) => table.keys(offset, rows),
            Table::Columns(table) => table.keys(&self.types, offset, rows),
        }
    }
}
