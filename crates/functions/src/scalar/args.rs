//! Typed access to the arguments of a call, and the building of its result.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, BooleanBuilder,
    PrimitiveArray, StringViewArray, StringViewBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    Date32Type, Decimal64Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use firesteel_common::{Error, Result, Scalar, SqlType, encoding};
use firesteel_expr::{Datum, EvalContext};

/// The arguments of a call over a batch.
pub(crate) struct Args<'a> {
    pub(crate) data: &'a [Datum],
    pub(crate) types: &'a [SqlType],
    pub(crate) ty: &'a SqlType,
    pub(crate) rows: usize,
    pub(crate) cx: &'a EvalContext,
}

/// A column of fixed-width values; a constant has one row, which stands for all.
pub(crate) struct Column<A> {
    array: A,
    mask: usize,
}

/// Reads values by row.
pub(crate) trait Read {
    type Value<'a>
    where
        Self: 'a;
    fn value(&self, row: usize) -> Self::Value<'_>;
    fn validity(&self) -> Option<&NullBuffer>;
}

impl<T: ArrowPrimitiveType> Read for PrimitiveArray<T> {
    type Value<'a> = T::Native;
    #[inline(always)]
    fn value(&self, row: usize) -> T::Native {
        self.values()[row]
    }
    fn validity(&self) -> Option<&NullBuffer> {
        self.nulls()
    }
}

impl Read for StringViewArray {
    type Value<'a> = &'a str;
    #[inline(always)]
    fn value(&self, row: usize) -> &str {
        StringViewArray::value(self, row)
    }
    fn validity(&self) -> Option<&NullBuffer> {
        self.nulls()
    }
}

impl Read for BinaryViewArray {
    type Value<'a> = &'a [u8];
    #[inline(always)]
    fn value(&self, row: usize) -> &[u8] {
        BinaryViewArray::value(self, row)
    }
    fn validity(&self) -> Option<&NullBuffer> {
        self.nulls()
    }
}

impl Read for BooleanArray {
    type Value<'a> = bool;
    #[inline(always)]
    fn value(&self, row: usize) -> bool {
        BooleanArray::value(self, row)
    }
    fn validity(&self) -> Option<&NullBuffer> {
        self.nulls()
    }
}

impl<A: Read> Column<A> {
    /// The value of a row; `None` is NULL.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> Option<A::Value<'_>> {
        let row = row & self.mask;
        match self.array.validity() {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(self.array.value(row)),
        }
    }

    /// The value that all rows have, if it is a constant that is not NULL.
    pub(crate) fn constant(&self) -> Option<A::Value<'_>> {
        if self.mask == 0 { self.get(0) } else { None }
    }
}

pub(crate) type Ints = Column<PrimitiveArray<Int32Type>>;
pub(crate) type Longs = Column<PrimitiveArray<Int64Type>>;
pub(crate) type Doubles = Column<PrimitiveArray<Float64Type>>;
pub(crate) type Wide = Column<PrimitiveArray<Decimal128Type>>;
pub(crate) type Strings = Column<StringViewArray>;
pub(crate) type Binaries = Column<BinaryViewArray>;
pub(crate) type Booleans = Column<BooleanArray>;

impl Args<'_> {
    /// Number of arguments.
    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    fn datum(&self, index: usize) -> Result<(ArrayRef, usize)> {
        match self.data.get(index) {
            Some(Datum::Scalar(value)) => Ok((value.to_array(1), 0)),
            Some(Datum::Array(array)) => Ok((encoding::canonical(array, &self.types[index])?, usize::MAX)),
            None => Err(Error::internal(format!("no argument {index}"))),
        }
    }

    fn wrong(&self, index: usize) -> Error {
        Error::internal(format!("argument {index} is no {}", self.types[index]))
    }

    /// An argument as fixed-width values.
    pub(crate) fn column<T: ArrowPrimitiveType>(&self, index: usize) -> Result<Column<PrimitiveArray<T>>> {
        let (array, mask) = self.datum(index)?;
        let array = array.as_primitive_opt::<T>().ok_or_else(|| self.wrong(index))?.clone();
        Ok(Column { array, mask })
    }

    /// An INT argument.
    pub(crate) fn ints(&self, index: usize) -> Result<Ints> {
        self.column(index)
    }

    /// A BIGINT argument.
    pub(crate) fn longs(&self, index: usize) -> Result<Longs> {
        self.column(index)
    }

    /// A DOUBLE argument.
    pub(crate) fn doubles(&self, index: usize) -> Result<Doubles> {
        self.column(index)
    }

    /// A DATE argument.
    pub(crate) fn dates(&self, index: usize) -> Result<Column<PrimitiveArray<Date32Type>>> {
        self.column(index)
    }

    /// A TIMESTAMP or TIMESTAMP_NTZ argument.
    pub(crate) fn timestamps(&self, index: usize) -> Result<Column<PrimitiveArray<TimestampMicrosecondType>>> {
        self.column(index)
    }

    /// The unscaled values of a DECIMAL argument.
    pub(crate) fn decimals(&self, index: usize) -> Result<Wide> {
        let (array, mask) = self.datum(index)?;
        let array = match array.as_primitive_opt::<Decimal64Type>() {
            Some(narrow) => narrow.unary(i128::from),
            None => array.as_primitive_opt::<Decimal128Type>().ok_or_else(|| self.wrong(index))?.clone(),
        };
        Ok(Column { array, mask })
    }

    /// A STRING argument.
    pub(crate) fn strings(&self, index: usize) -> Result<Strings> {
        let (array, mask) = self.datum(index)?;
        let array = array.as_string_view_opt().ok_or_else(|| self.wrong(index))?.clone();
        Ok(Column { array, mask })
    }

    /// All arguments from one on, each a STRING.
    pub(crate) fn strings_from(&self, first: usize) -> Result<Vec<Strings>> {
        (first..self.len()).map(|index| self.strings(index)).collect()
    }

    /// A BINARY argument.
    pub(crate) fn binaries(&self, index: usize) -> Result<Binaries> {
        let (array, mask) = self.datum(index)?;
        let array = array.as_binary_view_opt().ok_or_else(|| self.wrong(index))?.clone();
        Ok(Column { array, mask })
    }

    /// A BOOLEAN argument.
    pub(crate) fn booleans(&self, index: usize) -> Result<Booleans> {
        let (array, mask) = self.datum(index)?;
        let array = array.as_boolean_opt().ok_or_else(|| self.wrong(index))?.clone();
        Ok(Column { array, mask })
    }

    /// An argument with a value for each row, in its canonical encoding.
    pub(crate) fn array(&self, index: usize) -> Result<ArrayRef> {
        match self.data.get(index) {
            Some(Datum::Scalar(value)) => Ok(value.to_array(self.rows)),
            _ => Ok(self.datum(index)?.0),
        }
    }

    /// A result of fixed-width values.
    pub(crate) fn out<T: ArrowPrimitiveType>(&self, mut f: impl FnMut(usize) -> Option<T::Native>) -> Result<ArrayRef> {
        let array: PrimitiveArray<T> = (0..self.rows).map(&mut f).collect();
        Ok(Arc::new(array.with_data_type(self.ty.arrow())))
    }

    /// A result of fixed-width values, whose computation may fail.
    pub(crate) fn try_out<T: ArrowPrimitiveType>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveArray::<T>::builder(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish().with_data_type(self.ty.arrow())))
    }

    /// An INT result.
    pub(crate) fn out_ints(&self, f: impl FnMut(usize) -> Option<i32>) -> Result<ArrayRef> {
        self.out::<Int32Type>(f)
    }

    /// A BIGINT result.
    pub(crate) fn out_longs(&self, f: impl FnMut(usize) -> Option<i64>) -> Result<ArrayRef> {
        self.out::<Int64Type>(f)
    }

    /// A DOUBLE result.
    pub(crate) fn out_doubles(&self, f: impl FnMut(usize) -> Option<f64>) -> Result<ArrayRef> {
        self.out::<Float64Type>(f)
    }

    /// A DECIMAL result, of unscaled values that fit.
    pub(crate) fn out_decimals(&self, mut f: impl FnMut(usize) -> Result<Option<i128>>) -> Result<ArrayRef> {
        match self.ty {
            SqlType::Decimal(p, _) if *p <= 18 => self.try_out::<Decimal64Type>(|row| Ok(f(row)?.map(|v| v as i64))),
            _ => self.try_out::<Decimal128Type>(f),
        }
    }

    /// A BOOLEAN result.
    pub(crate) fn out_booleans(&self, mut f: impl FnMut(usize) -> Option<bool>) -> Result<ArrayRef> {
        let mut builder = BooleanBuilder::with_capacity(self.rows);
        (0..self.rows).for_each(|row| builder.append_option(f(row)));
        Ok(Arc::new(builder.finish()))
    }

    /// A STRING result.
    pub(crate) fn out_strings<S: AsRef<str>>(&self, mut f: impl FnMut(usize) -> Option<S>) -> Result<ArrayRef> {
        self.try_strings(|row| Ok(f(row)))
    }

    /// A STRING result, whose computation may fail.
    pub(crate) fn try_strings<S: AsRef<str>>(&self, mut f: impl FnMut(usize) -> Result<Option<S>>) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A BINARY result, whose computation may fail.
    pub(crate) fn try_binaries(&self, mut f: impl FnMut(usize) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
        let mut builder = BinaryViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A result that is the same in all rows.
    pub(crate) fn constant(&self, value: &Scalar) -> Result<ArrayRef> {
        Ok(value.to_array(self.rows))
    }
}
