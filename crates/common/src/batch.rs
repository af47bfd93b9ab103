//! What moves between operators: columns and an optional selection.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;

use crate::texts::own_texts;
use crate::{Error, Result, SqlType, encoding};

/// Positions of the live rows of a batch, ascending and without duplicates.
#[derive(Clone, Debug)]
pub struct Selection(Arc<UInt32Array>);

impl Selection {
    /// The rows of `indices`, which ascend and are within the batch.
    pub fn new(indices: Vec<u32>) -> Self {
        debug_assert!(indices.is_sorted_by(|a, b| a < b));
        Self(Arc::new(UInt32Array::from(indices)))
    }

    /// The rows where `mask` is true; NULL counts as false.
    pub fn from_mask(mask: &BooleanArray) -> Self {
        let mut indices = Vec::with_capacity(mask.true_count());
        match mask.nulls() {
            Some(nulls) => {
                let bits = mask.values() & nulls.inner();
                indices.extend(bits.set_indices_u32());
            }
            None => indices.extend(mask.values().set_indices_u32()),
        }
        Self(Arc::new(UInt32Array::from(indices)))
    }

    /// The positions.
    pub fn indices(&self) -> &[u32] {
        self.0.values()
    }

    /// The positions as an Arrow array, for `take`.
    pub fn array(&self) -> &UInt32Array {
        &self.0
    }

    /// Number of live rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no row is live.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The selection of `inner` within the rows of this one.
    #[must_use]
    pub fn then(&self, inner: &Selection) -> Selection {
        let all = self.indices();
        Self(Arc::new(UInt32Array::from_iter_values(inner.indices().iter().map(|i| all[*i as usize]))))
    }
}

/// Columns of equal length, of which the selected rows are live. A filter sets the selection and
/// copies nothing; an operator that keeps rows compacts them first.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    columns: Vec<ArrayRef>,
    physical_rows: usize,
    selection: Option<Selection>,
}

impl Batch {
    /// A batch whose rows are all live. `rows` is stated because there may be no column.
    pub fn new(columns: Vec<ArrayRef>, rows: usize) -> Self {
        debug_assert!(columns.iter().all(|c| c.len() == rows), "columns must have {rows} rows");
        Self { columns, physical_rows: rows, selection: None }
    }

    /// The same rows with `selection`, which refers to physical rows and replaces the one there was.
    #[must_use]
    pub fn with_selection(mut self, selection: Option<Selection>) -> Self {
        self.selection = selection.filter(|s| s.len() < self.physical_rows);
        self
    }

    /// Keeps of the live rows those that `inner` (positions among the live rows) selects.
    #[must_use]
    pub fn refine(self, inner: &Selection) -> Self {
        let selection = match &self.selection {
            Some(outer) => outer.then(inner),
            None => inner.clone(),
        };
        self.with_selection(Some(selection))
    }

    /// Number of live rows.
    pub fn rows(&self) -> usize {
        self.selection.as_ref().map_or(self.physical_rows, Selection::len)
    }

    /// Number of rows of the columns, live or not.
    pub fn physical_rows(&self) -> usize {
        self.physical_rows
    }

    /// The live rows, or `None` if all are.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// The columns, of [`Batch::physical_rows`] rows.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// The live rows of one column.
    pub fn column(&self, index: usize) -> Result<ArrayRef> {
        let column = self.columns.get(index).ok_or_else(|| Error::internal("column index out of range"))?;
        match &self.selection {
            Some(selection) => Ok(take(column, selection.array(), None)?),
            None => Ok(column.clone()),
        }
    }

    /// Copies the live rows together; free if all are live.
    pub fn compact(self) -> Result<Batch> {
        let Some(selection) = &self.selection else { return Ok(self) };
        let rows = selection.len();
        let columns = self.columns.iter().map(|c| Ok(take(c, selection.array(), None)?)).collect::<Result<_>>()?;
        Ok(Batch { columns, physical_rows: rows, selection: None })
    }

    /// Compacted, every column in the canonical encoding of its type.
    pub fn canonical(self, types: &[SqlType]) -> Result<Batch> {
        let batch = self.compact()?;
        let rows = batch.physical_rows;
        let columns = batch
            .columns
            .iter()
            .zip(types)
            .map(|(column, ty)| encoding::canonical(column, ty))
            .collect::<Result<_>>()?;
        Ok(Batch { columns, physical_rows: rows, selection: None })
    }

    /// The columns at `indices`, in that order, with the same selection.
    #[must_use]
    pub fn project(&self, indices: &[usize]) -> Batch {
        Batch {
            columns: indices.iter().map(|i| self.columns[*i].clone()).collect(),
            physical_rows: self.physical_rows,
            selection: self.selection.clone(),
        }
    }

    /// `rows` live rows from live row `offset` on.
    #[must_use]
    pub fn slice(&self, offset: usize, rows: usize) -> Batch {
        match &self.selection {
            Some(selection) => {
                let part = Selection(Arc::new(selection.0.slice(offset, rows)));
                Batch { selection: Some(part), ..self.clone() }
            }
            None => Batch {
                columns: self.columns.iter().map(|c| c.slice(offset, rows)).collect(),
                physical_rows: rows,
                selection: None,
            },
        }
    }

    /// Bytes that the batch keeps alive. A buffer that two columns share counts twice.
    pub fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(|c| c.get_array_memory_size()).sum();
        columns + self.selection.as_ref().map_or(0, |s| s.len() * 4)
    }

    /// One batch of the live rows of all, every column in the canonical encoding of its type.
    pub fn concat(batches: &[Batch], types: &[SqlType]) -> Result<Batch> {
        let parts = batches.iter().map(|b| b.clone().canonical(types)).collect::<Result<Vec<_>>>()?;
        let rows = parts.iter().map(Batch::rows).sum();
        if let [one] = parts.as_slice() {
            return Ok(one.clone());
        }
        let columns = types
            .iter()
            .enumerate()
            .map(|(i, ty)| {
                // A few rows of many batches would list all buffers of each: as many as there are batches, squared.
                let few = |p: &Batch| own_texts(&p.columns[i], |buffers, views| buffers.len() > views.len());
                let own: Vec<ArrayRef> = parts.iter().map(few).collect();
                let arrays: Vec<&dyn Array> = own.iter().map(|array| array.as_ref()).collect();
                if arrays.is_empty() {
                    return Ok(arrow::array::new_empty_array(&ty.arrow()));
                }
                Ok(arrow::compute::concat(&arrays)?)
            })
            .collect::<Result<_>>()?;
        Ok(Batch { columns, physical_rows: rows, selection: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int32Array, StringViewArray};
    use arrow::datatypes::Int32Type;

    fn batch(values: &[i32]) -> Batch {
        Batch::new(vec![Arc::new(Int32Array::from(values.to_vec()))], values.len())
    }

    #[test]
    fn few_rows_of_many_batches_do_not_list_all_buffers_of_their_source() {
        let texts = |i: usize| format!("a text of more than twelve bytes, number {i}");
        let sources: Vec<StringViewArray> =
            (0..100).map(|i| StringViewArray::from_iter([Some(texts(i)), None, Some("short".into())])).collect();
        let sources: Vec<&dyn Array> = sources.iter().map(|array| array as &dyn Array).collect();
        let source = arrow::compute::concat(&sources).unwrap();
        assert_eq!(source.as_string_view().data_buffers().len(), 100);
        let batches: Vec<Batch> = (0..100).map(|i| Batch::new(vec![source.slice(i * 3, 3)], 3)).collect();
        let all = Batch::concat(&batches, &[SqlType::String]).unwrap();
        assert!(all.columns()[0].as_string_view().data_buffers().len() <= 100);
        assert_eq!(&all.columns()[0], &source);
    }

    #[test]
    fn refine_nests_selections() {
        let b = batch(&[10, 11, 12, 13, 14]).refine(&Selection::new(vec![1, 2, 4]));
        let b = b.refine(&Selection::new(vec![0, 2]));
        assert_eq!(b.rows(), 2);
        let b = b.compact().unwrap();
        assert_eq!(b.columns()[0].as_primitive::<Int32Type>().values(), &[11, 14]);
    }

    #[test]
    fn null_in_a_mask_is_not_selected() {
        let mask = BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
        assert_eq!(Selection::from_mask(&mask).indices(), &[0, 3]);
    }

    #[test]
    fn slice_of_a_selection_counts_live_rows() {
        let b = batch(&[0, 1, 2, 3, 4, 5]).refine(&Selection::new(vec![1, 3, 5])).slice(1, 2);
        assert_eq!(b.compact().unwrap().columns()[0].as_primitive::<Int32Type>().values(), &[3, 5]);
    }

    #[test]
    fn concat_of_nothing_is_empty() {
        let b = Batch::concat(&[], &[SqlType::Int]).unwrap();
        assert_eq!((b.rows(), b.columns().len()), (0, 1));
    }
}
