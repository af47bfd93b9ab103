//! Filters on dictionary codes, and values of the rows that filters left.
//!
//! A condition on one column has one verdict per value of its dictionary: it is evaluated on the
//! dictionary once per morsel, and rows are then selected by their codes. Values are fetched later and
//! only for rows that are left. A condition that fails on a value of the dictionary is evaluated on
//! rows after all, as no row may have that value.

use arrow::array::*;
use arrow::buffer::NullBuffer;
use firesteel_common::select::{Verdicts, passing, rows_by_verdict};
use firesteel_common::{Batch, Result, Selection};
use firesteel_expr::Predicate;

use super::assemble::{coded_strings, floats, integers32, integers64, spread_rows};
use super::column::ColumnCursor;
use super::dictionary::{Dictionary, Fixed};
use super::file::ParquetFile;
use super::native::{CODES, Damage, NativeCursor, PageState, Values, read_codes};
use super::rle::Truncated;
use super::views::Views;

/// The codes of a chunk of rows; NULL rows have code 0.
#[derive(Debug)]
pub(crate) struct Codes {
    codes: Vec<u32>,
    nulls: Option<NullBuffer>,
}

impl NativeCursor {
    /// The codes of rows `start .. start + rows`, of a column chunk that is only codes.
    pub(crate) fn read_codes(&mut self, file: &ParquetFile, start: u64, rows: usize) -> Result<Codes> {
        self.codes_at(start, rows).map_err(|e| file.source.damaged(&e))
    }

    fn codes_at(&mut self, start: u64, rows: usize) -> Result<Codes, Damage> {
        self.move_to(start, rows)?;
        let mut out = Vec::with_capacity(rows);
        let mut nulls = NullBufferBuilder::new(rows);
        let mut left = rows;
        while left > 0 {
            let (page, n, _, dictionary) = self.piece(left)?;
            let validity = page.take_validity(n);
            let present = n - validity.as_ref().map_or(0, NullBuffer::null_count);
            let Values::Codes(decoder) = &mut page.values else { return Err(Truncated.into()) };
            let before = out.len();
            out.resize(before + present, 0);
            read_codes(decoder, &mut out[before..], dictionary.map_or(0, |d| d.len()))?;
            spread_rows(&mut out, before, n, validity.as_ref(), &mut nulls);
            left -= n;
        }
        Ok(Codes { codes: out, nulls: nulls.finish() })
    }

    /// The values of `codes`, of all rows or of those selected.
    pub(crate) fn values(&self, file: &ParquetFile, codes: &Codes, selection: Option<&Selection>) -> Result<ArrayRef> {
        let (picked, nulls) = match selection {
            Some(selection) => {
                let rows = selection.indices();
                let valid = |nulls: &NullBuffer| rows.iter().map(|row| nulls.is_valid(*row as usize)).collect();
                (fetch(&codes.codes, rows), codes.nulls.as_ref().map(valid))
            }
            None => (codes.codes.clone(), codes.nulls.clone()),
        };
        self.values_of(picked, nulls).map_err(|e| file.source.damaged(&e))
    }

    fn values_of(&self, codes: Vec<u32>, nulls: Option<NullBuffer>) -> Result<ArrayRef, Damage> {
        Ok(match self.dictionary().ok_or(Truncated)? {
            Dictionary::Int32(values) => integers32(fetch(values, &codes), nulls, self.ty()),
            Dictionary::Int64(values) => integers64(fetch(values, &codes), nulls, self.ty()),
            Dictionary::Float(values) => floats::<arrow::datatypes::Float32Type>(fetch(values, &codes), nulls)?,
            Dictionary::Double(values) => floats::<arrow::datatypes::Float64Type>(fetch(values, &codes), nulls)?,
            Dictionary::Bytes(values) => coded_strings(codes, nulls, values)?,
        })
    }

    /// The values of the dictionary, and NULL.
    fn entries(&self) -> Result<ArrayRef, Damage> {
        let length = self.dictionary().map_or(0, Dictionary::len);
        let codes: Vec<u32> = (0..length as u32).chain([0]).collect();
        self.values_of(codes, Some((0..=length).map(|i| i < length).collect()))
    }

    /// Of rows `start .. start + rows` those of `selection`, of a column without NULLs.
    pub(crate) fn read_selected(
        &mut self,
        file: &ParquetFile,
        start: u64,
        rows: usize,
        selection: &Selection,
    ) -> Result<ArrayRef> {
        self.selected_at(start, rows, selection.indices()).map_err(|e| file.source.damaged(&e))
    }

    fn selected_at(&mut self, start: u64, rows: usize, wanted: &[u32]) -> Result<ArrayRef, Damage> {
        use parquet::basic::Type as Physical;
        self.move_to(start, rows)?;
        Ok(match self.physical() {
            Physical::INT32 => integers32(self.selected_fixed(rows, wanted)?, None, self.ty()),
            Physical::INT64 => integers64(self.selected_fixed(rows, wanted)?, None, self.ty()),
            Physical::FLOAT => floats::<arrow::datatypes::Float32Type>(self.selected_fixed(rows, wanted)?, None)?,
            Physical::DOUBLE => floats::<arrow::datatypes::Float64Type>(self.selected_fixed(rows, wanted)?, None)?,
            _ => self.selected_bytes(rows, wanted)?,
        })
    }

    fn selected_fixed<T: Fixed>(&mut self, rows: usize, wanted: &[u32]) -> Result<Vec<T>, Damage> {
        let mut out = Vec::with_capacity(wanted.len());
        let mut done = 0;
        while done < rows {
            let (page, n, codes, dictionary) = self.piece(rows - done)?;
            page.take_validity(n);
            let wanted = within(wanted, done, done + n);
            if let Values::Plain(bytes) = &mut page.values {
                let length = n * T::WIDTH;
                if length > bytes.len() {
                    return Err(Truncated.into());
                }
                T::pick(&bytes.split_to(length), wanted.iter().map(|row| *row as usize - done), &mut out);
            } else {
                let values = dictionary.and_then(|d| T::of(d)).unwrap_or_default();
                codes.clear();
                selected_codes(page, n, done, wanted, values.len(), codes)?;
                out.extend_from_slice(&fetch(values, codes));
            }
            done += n;
        }
        Ok(out)
    }

    fn selected_bytes(&mut self, rows: usize, wanted: &[u32]) -> Result<ArrayRef, Damage> {
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut picked: Vec<u32> = Vec::new();
        let mut views = Views::new(self.ty().is_string());
        let mut done = 0;
        while done < rows {
            let (page, n, _, dictionary) = self.piece(rows - done)?;
            page.take_validity(n);
            let wanted = within(wanted, done, done + n);
            if let Values::Plain(bytes) = &mut page.values {
                views.append_at(bytes, n, wanted.iter().map(|row| *row as usize - done))?;
                if !picked.is_empty() {
                    pieces.push(self.values_of(std::mem::take(&mut picked), None)?);
                }
            } else {
                if views.len() > 0 {
                    pieces.push(views.finish(None)?);
                }
                let length = dictionary.map_or(0, |d| d.len());
                selected_codes(page, n, done, wanted, length, &mut picked)?;
            }
            done += n;
        }
        if !picked.is_empty() {
            pieces.push(self.values_of(picked, None)?);
        }
        if views.len() > 0 || pieces.is_empty() {
            pieces.push(views.finish(None)?);
        }
        if let [one] = pieces.as_slice() {
            return Ok(one.clone());
        }
        let ty = self.ty().arrow();
        let pieces = pieces.iter().map(|p| Ok(arrow::compute::cast(p, &ty)?)).collect::<Result<Vec<_>, Damage>>()?;
        Ok(arrow::compute::concat(&pieces.iter().map(|p| p.as_ref()).collect::<Vec<&dyn Array>>())?)
    }
}

/// Those of the ascending rows that are in `from..to`.
fn within(rows: &[u32], from: usize, to: usize) -> &[u32] {
    let end = rows.partition_point(|row| (*row as usize) < to);
    let start = rows[..end].partition_point(|row| (*row as usize) < from);
    &rows[start..end]
}

/// Appends the codes of the rows `wanted` of the next `n`, of which the first is row `done`. Codes of a
/// stretch without such rows are not unpacked.
fn selected_codes(
    page: &mut PageState,
    n: usize,
    done: usize,
    wanted: &[u32],
    length: usize,
    out: &mut Vec<u32>,
) -> Result<(), Damage> {
    let Values::Codes(decoder) = &mut page.values else { return Err(Truncated.into()) };
    let mut block = [0; CODES];
    let mut at = 0;
    let mut wanted = wanted;
    while at < n {
        let run = CODES.min(n - at);
        let split = wanted.partition_point(|row| (*row as usize) < done + at + run);
        let (here, later) = wanted.split_at(split);
        if here.is_empty() {
            decoder.skip(run)?;
        } else {
            read_codes(decoder, &mut block[..run], length)?;
            out.extend(here.iter().map(|row| block[*row as usize - done - at]));
        }
        wanted = later;
        at += run;
    }
    Ok(())
}

/// The values at `positions`; those outside, which only NULLs have, are zero.
fn fetch<T: Copy + Default>(values: &[T], positions: &[u32]) -> Vec<T> {
    positions.iter().map(|position| values.get(*position as usize).copied().unwrap_or_default()).collect()
}

/// A condition on one column, by the values of its dictionary.
pub(crate) struct CodedFilter {
    /// Where the column is.
    pub(crate) slot: usize,
    predicate: Predicate,
    judgement: Judgement,
}

enum Judgement {
    Unknown,
    /// By code; the last is that of NULL.
    Known(Verdicts),
    /// The condition is evaluated on rows.
    ByRow,
}

impl CodedFilter {
    /// A filter by `predicate`, which reads the column of `slot` alone.
    pub(crate) fn new(slot: usize, predicate: Predicate) -> Self {
        Self { slot, predicate, judgement: Judgement::Unknown }
    }

    /// The rows of the chunk that pass, of those selected; `None` if all rows do.
    pub(crate) fn select(
        &mut self,
        file: &ParquetFile,
        cursor: &NativeCursor,
        codes: &Codes,
        selection: Option<Selection>,
    ) -> Result<Option<Selection>> {
        if matches!(self.judgement, Judgement::Unknown) {
            self.judgement = self.judge(file, cursor, codes.codes.len())?;
        }
        let Judgement::Known(verdicts) = &self.judgement else {
            let batch = Batch::new(
                vec![cursor.values(file, codes, selection.as_ref())?],
                match &selection {
                    Some(selection) => selection.len(),
                    None => codes.codes.len(),
                },
            );
            let inner = self.predicate.select(&batch)?;
            return Ok(Some(selection.map_or(inner.clone(), |outer| outer.then(&inner))));
        };
        if verdicts.all() {
            return Ok(selection);
        }
        let among = selection.as_ref().map(Selection::indices);
        let Some(nulls) = &codes.nulls else {
            return Ok(Some(Selection::new(rows_by_verdict(&codes.codes, verdicts, among))));
        };
        let of_row = |row: u32| match nulls.is_valid(row as usize) {
            true => verdicts.of(codes.codes[row as usize]),
            false => verdicts.of(u32::MAX),
        };
        let passed = match among {
            None => passing(codes.codes.len(), |row| (row as u32, of_row(row as u32))),
            Some(rows) => passing(rows.len(), |at| (rows[at], of_row(rows[at]))),
        };
        Ok(Some(Selection::new(passed)))
    }

    /// Evaluates the condition on the dictionary, if that is not longer than the `rows` of a chunk.
    fn judge(&mut self, file: &ParquetFile, cursor: &NativeCursor, rows: usize) -> Result<Judgement> {
        let length = cursor.dictionary().map_or(0, Dictionary::len);
        if length > rows {
            return Ok(Judgement::ByRow);
        }
        let entries = cursor.entries().map_err(|e| file.source.damaged(&e))?;
        let Ok(passed) = self.predicate.select(&Batch::new(vec![entries], length + 1)) else {
            return Ok(Judgement::ByRow);
        };
        let mut verdicts = Verdicts::new(length + 1);
        passed.indices().iter().for_each(|code| verdicts.allow(*code as usize));
        Ok(Judgement::Known(verdicts))
    }
}

/// What of a column's chunk has been decoded.
#[derive(Debug, Default)]
pub(crate) enum Decoded {
    #[default]
    Nothing,
    Codes(Codes),
    /// The values of all rows.
    All(ArrayRef),
    /// The values of the rows that are left in the end.
    Left(ArrayRef),
}

impl Decoded {
    /// The values of all rows `start .. start + rows`.
    pub(crate) fn all(
        &mut self,
        cursor: &mut ColumnCursor,
        file: &ParquetFile,
        start: u64,
        rows: usize,
    ) -> Result<ArrayRef> {
        let array = match (&*self, cursor) {
            (Self::All(array) | Self::Left(array), _) => return Ok(array.clone()),
            (Self::Codes(codes), ColumnCursor::Native(cursor)) => cursor.values(file, codes, None)?,
            (_, cursor) => cursor.read(file, start, rows)?,
        };
        *self = Self::All(array.clone());
        Ok(array)
    }

    /// The values of those rows that are left in the end.
    pub(crate) fn left(
        &mut self,
        cursor: &mut ColumnCursor,
        file: &ParquetFile,
        start: u64,
        rows: usize,
        selection: &Selection,
    ) -> Result<ArrayRef> {
        let array = match (&*self, cursor) {
            (Self::Left(array), _) => return Ok(array.clone()),
            (Self::All(array), _) => arrow::compute::take(array, selection.array(), None)?,
            (Self::Codes(codes), ColumnCursor::Native(cursor)) => cursor.values(file, codes, Some(selection))?,
            (_, cursor) => cursor.read_selected(file, start, rows, selection)?,
        };
        *self = Self::Left(array.clone());
        Ok(array)
    }
}
