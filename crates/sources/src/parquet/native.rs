//! Decoding of the common encodings (PLAIN and dictionary codes) straight into Arrow arrays.
//!
//! The Parquet crate reads and decompresses pages; this turns their values into arrays. Three things
//! are gained over its record readers: any gap can be skipped at any time, so that one cursor serves a
//! whole morsel; a dictionary is decoded once per row group and shared by all morsels of it; and short
//! string dictionaries stay dictionaries, so that filters and group keys work on codes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, TimeUnit};
use bytes::Bytes;
use firesteel_catalog::SharedChunk;
use firesteel_common::{Result, SqlType};
use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::column::page::Page;
use parquet::errors::ParquetError;

use super::assemble::{CodedPiece, PlainPiece, floats, integers32, integers64, spread_rows};
use super::column::ChunkRef;
use super::dictionary::{Dictionaries, Dictionary, DictionaryKey, Fixed, decode_dictionary};
use super::distinct::only_codes;
use super::file::{FileColumn, ParquetFile};
use super::rle::{RleDecoder, Truncated};
use super::snappy::Malformed;
use super::stored::{StoredPage, StoredPages};
use super::unpack::all_below;
use super::views::{BadValues, plain_value};

/// Why a page cannot be decoded.
#[derive(Debug)]
pub(crate) struct Damage(String);

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ParquetError> for Damage {
    fn from(error: ParquetError) -> Self {
        Damage(error.to_string())
    }
}

impl From<arrow::error::ArrowError> for Damage {
    fn from(error: arrow::error::ArrowError) -> Self {
        Damage(error.to_string())
    }
}

impl From<Truncated> for Damage {
    fn from(_: Truncated) -> Self {
        Damage("a page ends before its values".to_string())
    }
}

impl From<Malformed> for Damage {
    fn from(_: Malformed) -> Self {
        Damage("a page is not what Snappy makes".to_string())
    }
}

impl From<BadValues> for Damage {
    fn from(bad: BadValues) -> Self {
        match bad {
            BadValues::Truncated => Truncated.into(),
            BadValues::NotText => Damage("a string is not UTF-8".to_string()),
        }
    }
}

/// A page, how many rows of it are meant, room for codes, and the dictionary of its column.
type Piece<'a> = (&'a mut PageState, usize, &'a mut Vec<u32>, Option<&'a Arc<Dictionary>>);

#[derive(Debug)]
pub(super) enum Values {
    /// The rest of the page.
    Plain(Bytes),
    Codes(RleDecoder),
}

/// The page at which a cursor stands.
#[derive(Debug)]
pub(super) struct PageState {
    rows: usize,
    at: usize,
    validity: Option<NullBuffer>,
    pub(super) values: Values,
}

/// A cursor on a column chunk.
pub(crate) struct NativeCursor {
    pages: StoredPages,
    dictionaries: Arc<Dictionaries>,
    key: DictionaryKey,
    dictionary: Option<Arc<Dictionary>>,
    physical: PhysicalType,
    nullable: bool,
    only_codes: bool,
    ty: SqlType,
    page: Option<PageState>,
    /// The row at which it stands.
    next: u64,
    codes: Vec<u32>,
}

/// Whether [`NativeCursor`] decodes a column chunk to `ty`.
pub(crate) fn supports(file: &ParquetFile, column: &FileColumn, group: usize, ty: &SqlType) -> bool {
    let chunk = file.metadata().row_group(group).column(column.leaf);
    let encodings = chunk.encodings().all(|e| {
        #[allow(deprecated, reason = "older writers name the encoding of levels that flat columns do not have")]
        let levels = e == Encoding::BIT_PACKED;
        levels || matches!(e, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE | Encoding::RLE_DICTIONARY)
    });
    let descriptor = chunk.column_descr();
    let flat = descriptor.max_rep_level() == 0 && descriptor.max_def_level() <= 1;
    let schema = file.footer.arrow.schema();
    let Ok(arrow) = schema.field_with_name(&column.field.name).map(Field::data_type) else { return false };
    let types = matches!(
        (chunk.column_type(), arrow),
        (PhysicalType::INT32, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32)
            | (PhysicalType::INT32 | PhysicalType::INT64, DataType::Decimal64(..))
            | (PhysicalType::INT64, DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _))
            | (PhysicalType::FLOAT, DataType::Float32)
            | (PhysicalType::DOUBLE, DataType::Float64)
            | (PhysicalType::BYTE_ARRAY, DataType::Utf8View | DataType::BinaryView)
    );
    encodings && flat && types && column.field.ty == *ty
}

impl NativeCursor {
    pub(crate) fn new(
        file: &ParquetFile,
        column: &FileColumn,
        chunk: &ChunkRef,
        part: usize,
        ty: SqlType,
        dictionaries: Arc<Dictionaries>,
        shared: Option<SharedChunk>,
    ) -> Result<Self> {
        let meta = file.metadata().row_group(chunk.group).column(column.leaf);
        Ok(Self {
            pages: StoredPages::new(file, column, chunk, shared)?,
            dictionaries,
            key: (part, chunk.group, column.leaf),
            dictionary: None,
            physical: meta.column_type(),
            nullable: meta.column_descr().max_def_level() > 0,
            only_codes: only_codes(meta),
            ty,
            page: None,
            next: 0,
            codes: Vec::new(),
        })
    }

    /// Rows `start .. start + rows` of the row group.
    pub(crate) fn read(&mut self, file: &ParquetFile, start: u64, rows: usize) -> Result<ArrayRef> {
        self.read_at(start, rows).map_err(|e| file.source.damaged(&e))
    }

    /// Whether all pages are dictionary codes.
    pub(crate) fn only_codes(&self) -> bool {
        self.only_codes
    }

    /// Whether there may be NULLs.
    pub(crate) fn nullable(&self) -> bool {
        self.nullable
    }

    /// The dictionary, once a page of codes was read.
    pub(super) fn dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_deref()
    }

    pub(super) fn ty(&self) -> &SqlType {
        &self.ty
    }

    pub(super) fn physical(&self) -> PhysicalType {
        self.physical
    }

    /// Moves on to row `start`, of which `rows` will be read at once.
    pub(super) fn move_to(&mut self, start: u64, rows: usize) -> Result<(), Damage> {
        self.skip(start.saturating_sub(self.next) as usize)?;
        self.next = start + rows as u64;
        Ok(())
    }

    fn read_at(&mut self, start: u64, rows: usize) -> Result<ArrayRef, Damage> {
        self.move_to(start, rows)?;
        Ok(match self.physical {
            PhysicalType::INT32 => {
                let (values, nulls) = self.read_fixed::<i32>(rows)?;
                integers32(values, nulls, &self.ty)
            }
            PhysicalType::INT64 => {
                let (values, nulls) = self.read_fixed::<i64>(rows)?;
                integers64(values, nulls, &self.ty)
            }
            PhysicalType::FLOAT => {
                let (values, nulls) = self.read_fixed::<f32>(rows)?;
                floats::<Float32Type>(values, nulls)?
            }
            PhysicalType::DOUBLE => {
                let (values, nulls) = self.read_fixed::<f64>(rows)?;
                floats::<Float64Type>(values, nulls)?
            }
            _ => self.read_bytes(rows)?,
        })
    }

    /// Leaves out rows; pages that they fill are not read.
    fn skip(&mut self, mut rows: usize) -> Result<(), Damage> {
        while rows > 0 {
            if let Some(page) = self.page.as_mut().filter(|p| p.at < p.rows) {
                let n = rows.min(page.rows - page.at);
                page.skip(n, self.physical)?;
                rows -= n;
                continue;
            }
            self.page = None;
            match self.pages.peek()? {
                Some(next) if next.is_dict => self.pass_dictionary()?,
                Some(next) => match next.num_rows.or(next.num_levels).filter(|n| *n <= rows) {
                    Some(n) => {
                        self.pages.skip(n)?;
                        rows -= n;
                    }
                    None => self.load_page()?,
                },
                None => self.load_page()?,
            }
        }
        Ok(())
    }

    /// The current page, with rows left, and how many of `rows` it has.
    pub(super) fn piece(&mut self, rows: usize) -> Result<Piece<'_>, Damage> {
        while self.page.as_ref().is_none_or(|p| p.at == p.rows) {
            self.load_page()?;
        }
        let page = self.page.as_mut().ok_or(Truncated)?;
        let n = rows.min(page.rows - page.at);
        Ok((page, n, &mut self.codes, self.dictionary.as_ref()))
    }

    /// The dictionary page is next. It is read only when codes come: another morsel may have read it, and a chunk
    /// whose later pages are plain may not need it.
    fn pass_dictionary(&mut self) -> Result<(), Damage> {
        self.dictionary = self.dictionaries.get(self.key);
        self.pages.skip(0)
    }

    fn need_dictionary(&mut self) -> Result<(), Damage> {
        if self.dictionary.is_some() {
            return Ok(());
        }
        if let Some(known) = self.dictionaries.get(self.key) {
            self.dictionary = Some(known);
            return Ok(());
        }
        let dictionary = match self.pages.kept_dictionary() {
            Some(kept) => kept,
            None => self.read_dictionary()?,
        };
        self.dictionary = Some(self.dictionaries.insert(self.key, dictionary));
        Ok(())
    }

    fn read_dictionary(&mut self) -> Result<Arc<Dictionary>, Damage> {
        let missing = || Damage("a page refers to a dictionary that is not there".to_string());
        let (bytes, values) = self.pages.dictionary()?.ok_or_else(missing)?;
        let dictionary = Arc::new(decode_dictionary(bytes, values, self.physical, &self.ty)?);
        self.pages.keep_dictionary(&dictionary);
        Ok(dictionary)
    }

    fn load_page(&mut self) -> Result<(), Damage> {
        while self.pages.peek()?.is_some_and(|next| next.is_dict) {
            self.pass_dictionary()?;
        }
        let stored = self.pages.next()?;
        let (encoding, rows) = (stored.page.encoding(), stored.page.num_values() as usize);
        let (validity, values) = self.levels(&stored, rows)?;
        let values = match encoding {
            Encoding::PLAIN => Values::Plain(values),
            #[allow(deprecated, reason = "older writers use this name for dictionary codes")]
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                self.need_dictionary()?;
                let width = values.first().copied().unwrap_or(0) as usize;
                if width > 32 {
                    return Err(Damage(format!("dictionary codes of {width} bits")));
                }
                Values::Codes(RleDecoder::new(values.slice(values.len().min(1)..), width))
            }
            other => return Err(Damage(format!("the encoding {other} is not announced in the footer"))),
        };
        self.page = Some(PageState { rows, at: 0, validity, values });
        Ok(())
    }

    /// The validity of the rows of a page, `None` if all are valid, and the bytes after the levels.
    fn levels(&self, stored: &StoredPage, rows: usize) -> Result<(Option<NullBuffer>, Bytes), Damage> {
        match &stored.page {
            Page::DataPage { def_level_encoding, .. } if self.nullable => {
                if *def_level_encoding != Encoding::RLE {
                    return Err(Damage(format!("levels in the encoding {def_level_encoding} are not supported")));
                }
                let bytes = stored.values(0)?;
                let length = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or(Truncated)?;
                let end = 4 + length as usize;
                let values = stored.values(end)?;
                Ok((RleDecoder::new(bytes.slice(4..end), 1).read_validity(rows)?, values))
            }
            Page::DataPage { .. } => Ok((None, stored.values(0)?)),
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, num_nulls, .. } => {
                let start = *rep_levels_byte_len as usize;
                let end = start + *def_levels_byte_len as usize;
                if end > buf.len() {
                    return Err(Truncated.into());
                }
                let nulls = self.nullable && *num_nulls > 0;
                let levels = nulls.then(|| RleDecoder::new(buf.slice(start..end), 1));
                let validity = levels.map(|mut l| l.read_validity(rows)).transpose()?.flatten();
                Ok((validity, stored.values(end)?))
            }
            Page::DictionaryPage { .. } => Err(Damage("a second dictionary page".to_string())),
        }
    }

    fn read_fixed<T: Fixed>(&mut self, rows: usize) -> Result<(Vec<T>, Option<NullBuffer>), Damage> {
        let mut out: Vec<T> = Vec::with_capacity(rows);
        let mut nulls = NullBufferBuilder::new(rows);
        let mut left = rows;
        while left > 0 {
            let (page, n, codes, dictionary) = self.piece(left)?;
            let validity = page.take_validity(n);
            let present = n - validity.as_ref().map_or(0, NullBuffer::null_count);
            let before = out.len();
            match &mut page.values {
                Values::Plain(bytes) => {
                    let length = present * T::WIDTH;
                    if length > bytes.len() {
                        return Err(Truncated.into());
                    }
                    T::decode(&bytes.split_to(length), &mut out);
                }
                Values::Codes(decoder) => {
                    let dictionary = dictionary.and_then(|d| T::of(d)).unwrap_or_default();
                    gather(decoder, present, dictionary, codes, &mut out)?;
                }
            }
            spread_rows(&mut out, before, n, validity.as_ref(), &mut nulls);
            left -= n;
        }
        Ok((out, nulls.finish()))
    }

    fn read_bytes(&mut self, rows: usize) -> Result<ArrayRef, Damage> {
        let text = self.ty.is_string();
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut coded = CodedPiece::default();
        let mut plain = PlainPiece::new(text);
        let mut left = rows;
        while left > 0 {
            let (page, n, _, dictionary) = self.piece(left)?;
            let validity = page.take_validity(n);
            let present = n - validity.as_ref().map_or(0, NullBuffer::null_count);
            match &mut page.values {
                Values::Plain(bytes) => {
                    pieces.extend(coded.finish(dictionary)?);
                    plain.append(bytes, n, present, validity.as_ref())?;
                }
                Values::Codes(decoder) => {
                    pieces.extend(plain.finish()?);
                    let length = match dictionary.map(|d| &**d) {
                        Some(Dictionary::Bytes(values)) => values.len(),
                        _ => 0,
                    };
                    coded.append(decoder, present, length, n, validity.as_ref())?;
                }
            }
            left -= n;
        }
        pieces.extend(coded.finish(self.dictionary.as_ref())?);
        pieces.extend(plain.finish()?);
        if let [one] = pieces.as_slice() {
            return Ok(one.clone());
        }
        let ty = self.ty.arrow();
        let pieces = pieces.iter().map(|p| Ok(arrow::compute::cast(p, &ty)?)).collect::<Result<Vec<_>, Damage>>()?;
        Ok(arrow::compute::concat(&pieces.iter().map(|p| p.as_ref()).collect::<Vec<&dyn Array>>())?)
    }
}

impl PageState {
    /// Validity of the next `n` rows, `None` if all are valid; moves on by them.
    pub(super) fn take_validity(&mut self, n: usize) -> Option<NullBuffer> {
        let at = self.at;
        self.at += n;
        self.validity.as_ref().map(|v| v.slice(at, n)).filter(|v| v.null_count() > 0)
    }

    fn skip(&mut self, n: usize, physical: PhysicalType) -> Result<(), Damage> {
        let present = n - self.take_validity(n).map_or(0, |v| v.null_count());
        match &mut self.values {
            Values::Codes(decoder) => decoder.skip(present)?,
            Values::Plain(bytes) => {
                let length = match physical {
                    PhysicalType::INT32 | PhysicalType::FLOAT => present * 4,
                    PhysicalType::INT64 | PhysicalType::DOUBLE => present * 8,
                    _ => {
                        let mut at = 0;
                        for _ in 0..present {
                            at = plain_value(bytes, at)?.1;
                        }
                        at
                    }
                };
                if length > bytes.len() {
                    return Err(Truncated.into());
                }
                let _ = bytes.split_to(length);
            }
        }
        Ok(())
    }
}

/// Codes decoded at a time: they stay in the nearest cache until their values are fetched.
pub(super) const CODES: usize = 1_024;

/// Decodes the next `codes`, which are to be below `length`.
pub(super) fn read_codes(decoder: &mut RleDecoder, codes: &mut [u32], length: usize) -> Result<(), Damage> {
    decoder.read(codes)?;
    if all_below(codes, length) { Ok(()) } else { Err(Damage("a code is not in the dictionary".to_string())) }
}

/// Appends the values of the next `n` codes.
fn gather<T: Fixed>(
    decoder: &mut RleDecoder,
    n: usize,
    dictionary: &[T],
    codes: &mut Vec<u32>,
    out: &mut Vec<T>,
) -> Result<(), Damage> {
    codes.resize(CODES, 0);
    let mut left = n;
    while left > 0 {
        let codes = &mut codes[..CODES.min(left)];
        read_codes(decoder, codes, dictionary.len())?;
        out.extend(codes.iter().map(|code| dictionary[*code as usize]));
        left -= codes.len();
    }
    Ok(())
}
