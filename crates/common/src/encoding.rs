//! How values of a SQL type may be laid out in Arrow.
//!
//! Each type has one *canonical* encoding, [`SqlType::arrow`]. A batch between operators may carry
//! an *alternative*, chosen column by column and batch by batch because it is cheaper:
//!
//! - `DECIMAL(p, s)` with p > 18 as `Decimal64` of any precision and scale s, when the values fit;
//! - strings and binaries as a dictionary with `Int32` keys, or as `Utf8`/`Binary` with offsets;
//! - anything as a dictionary whose values are a column of a join's build side, on its way to where nothing but its
//!   identity matters, or where it is made canonical.
//!
//! Kernels that gain from an alternative look for it; all others call [`canonical`] first. Whoever
//! keeps rows (hash tables, sorts, exchanges, the public API) keeps canonical ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal64Type};

use crate::{Result, SqlType};

/// `array` in the canonical encoding of `ty`; free if it has it already.
pub fn canonical(array: &ArrayRef, ty: &SqlType) -> Result<ArrayRef> {
    let target = ty.arrow();
    if *array.data_type() == target {
        return Ok(array.clone());
    }
    match (array.data_type(), &target) {
        (DataType::Decimal64(_, from), DataType::Decimal128(p, to)) if from == to => {
            let narrow = array.as_primitive::<Decimal64Type>();
            let wide: Decimal128Array = narrow.unary(i128::from);
            Ok(Arc::new(wide.with_precision_and_scale(*p, *to)?))
        }
        (DataType::Decimal64(_, from), DataType::Decimal64(_, to)) if from == to => {
            Ok(Arc::new(array.as_primitive::<Decimal64Type>().clone().with_data_type(target)))
        }
        _ => Ok(cast(array, &target)?),
    }
}

/// Identity of the dictionary of a dictionary array. Codes of arrays may be compared only if their
/// dictionaries have the same identity and both arrays are alive.
pub fn dictionary_id(array: &dyn Array) -> Option<usize> {
    let dictionary = array.as_any_dictionary_opt()?;
    Some(Arc::as_ptr(dictionary.values()).cast::<()>() as usize)
}
