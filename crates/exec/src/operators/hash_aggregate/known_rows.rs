//! The numbers of rows of one table, such as the build side of a join, that come as codes of dictionaries.
//!
//! Rows of a table have the same keys each time they come, so each is looked up once, and then found at its place in
//! a list. The table is known by the identity of its columns, which are held so that there are no others at
//! their place.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take;
use arrow::datatypes::Int32Type;
use firesteel_common::Result;

/// Rows of a table up to which their numbers are remembered.
const MAX_ROWS: usize = 1 << 21;
/// Rows of another table, by row of the batch, up to which it is worth a new list.
const ROWS_PER_ROW: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KnownRows {
    columns: Vec<ArrayRef>,
    /// By row: 1 + its number, or 0.
    numbers: Vec<u32>,
}

impl KnownRows {
    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>()
    }

    /// If `columns` are columns of one table at the same rows: appends the number of each row to `out` and returns
    /// true. `look_up` is called with the first row of each that is not known. Known numbers are below `next`.
    pub(super) fn number(
        &mut self,
        columns: &[ArrayRef],
        next: usize,
        out: &mut Vec<u32>,
        look_up: impl FnOnce(&[ArrayRef], usize) -> Result<Vec<u32>>,
    ) -> Result<bool> {
        let Some(rows) = Rows::of(columns) else { return Ok(false) };
        if !self.is_of(&rows.columns) {
            let is_first = self.columns.is_empty();
            let size = rows.columns[0].len();
            if size > MAX_ROWS || (!is_first && size > rows.codes.len() * ROWS_PER_ROW) {
                return Ok(false);
            }
            *self = Self { columns: rows.columns, numbers: vec![0; size] };
        }
        // Until they are looked up, new rows are numbered from `next` on.
        let (start, next) = (out.len(), next as u32);
        let mut new = Vec::new();
        for (row, code) in rows.codes.iter().enumerate() {
            let number = &mut self.numbers[*code as usize];
            if *number == 0 {
                new.push(row as u32);
                *number = next + new.len() as u32;
            }
            out.push(*number - 1);
        }
        if new.is_empty() {
            return Ok(true);
        }
        let examples = UInt32Array::from(new);
        let keys = columns.iter().map(|column| Ok(take(column, &examples, None)?)).collect::<Result<Vec<_>>>()?;
        let found = look_up(&keys, examples.len())?;
        let provisional = out[start..].iter_mut().filter(|number| **number >= next);
        provisional.for_each(|number| *number = found[(*number - next) as usize]);
        for (row, number) in examples.values().iter().zip(&found) {
            self.numbers[rows.codes[*row as usize] as usize] = number + 1;
        }
        Ok(true)
    }

    fn is_of(&self, columns: &[ArrayRef]) -> bool {
        let mut both = self.columns.iter().zip(columns);
        self.columns.len() == columns.len() && both.all(|(own, other)| Arc::ptr_eq(own, other))
    }
}

/// Rows of a table.
struct Rows {
    codes: ScalarBuffer<i32>,
    columns: Vec<ArrayRef>,
}

impl Rows {
    /// `None` unless `columns` are dictionaries with the same codes, none of them NULL.
    fn of(columns: &[ArrayRef]) -> Option<Self> {
        let first = columns.first()?.as_dictionary_opt::<Int32Type>()?;
        let codes = first.keys().values();
        let mut tables = Vec::with_capacity(columns.len());
        for column in columns {
            let dictionary = column.as_dictionary_opt::<Int32Type>()?;
            let own = dictionary.keys().values();
            let same = own.inner().ptr_eq(codes.inner()) || own == codes;
            if !same || dictionary.null_count() > 0 || dictionary.values().len() != first.values().len() {
                return None;
            }
            tables.push(dictionary.values().clone());
        }
        Some(Self { codes: codes.clone(), columns: tables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array, StringViewArray};

    fn rows(columns: &[ArrayRef], codes: Vec<i32>) -> Vec<ArrayRef> {
        let of = |column: &ArrayRef| {
            let dictionary = DictionaryArray::try_new(Int32Array::from(codes.clone()), column.clone()).unwrap();
            Arc::new(dictionary) as ArrayRef
        };
        columns.iter().map(of).collect()
    }

    /// The first of the columns says the number: its value.
    fn by_value(keys: &[ArrayRef], rows: usize) -> Vec<u32> {
        let numbers = arrow::compute::cast(&keys[0], &arrow::datatypes::DataType::UInt32).unwrap();
        assert_eq!(numbers.len(), rows);
        numbers.as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec()
    }

    #[test]
    fn each_row_is_looked_up_once() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![5, 3, 5, 0]));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a"), Some("b")]));
        let table = [numbers, texts];
        let mut known = KnownRows::default();
        let mut looked_up = Vec::new();
        let mut number = |codes: Vec<i32>, next: usize| {
            let mut out = vec![77];
            let found = known.number(&rows(&table, codes), next, &mut out, |keys, rows| {
                looked_up.push(rows);
                Ok(by_value(keys, rows))
            });
            assert!(found.unwrap());
            out
        };
        assert_eq!(number(vec![1, 0, 1, 2], 0), [77, 3, 5, 3, 5]);
        assert_eq!(number(vec![2, 2, 0], 6), [77, 5, 5, 5]);
        assert_eq!(number(vec![3, 1, 3], 6), [77, 0, 3, 0]);
        assert_eq!(looked_up, [3, 1]);
    }

    #[test]
    fn rows_of_different_tables_or_places_are_not_known() {
        let a: ArrayRef = Arc::new(Int32Array::from(vec![5, 3]));
        let b: ArrayRef = Arc::new(Int32Array::from(vec![3, 5, 1]));
        let mut known = KnownRows::default();
        let mut number = |columns: &[ArrayRef]| {
            let mut out = Vec::new();
            let found = known.number(columns, 6, &mut out, |keys, rows| Ok(by_value(keys, rows))).unwrap();
            found.then_some(out)
        };
        let of = |table: &ArrayRef, codes: Vec<i32>| rows(std::slice::from_ref(table), codes).remove(0);
        assert_eq!(number(&[of(&a, vec![0, 1])]), Some(vec![5, 3]));
        assert_eq!(number(&[of(&b, vec![0, 1])]), Some(vec![3, 5]), "another table");
        assert_eq!(number(&[of(&a, vec![0, 1]), of(&a, vec![1, 0])]), None, "other rows");
        assert_eq!(number(&[of(&a, vec![0, 1]), of(&b, vec![0, 1])]), None, "a table has columns of one length");
        assert_eq!(number(std::slice::from_ref(&a)), None, "no dictionary");
        let codes = Int32Array::from(vec![Some(0), None]);
        let with_null = Arc::new(DictionaryArray::try_new(codes, a.clone()).unwrap());
        assert_eq!(number(&[with_null]), None, "no row");
    }
}
