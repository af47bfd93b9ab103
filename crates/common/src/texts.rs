//! Texts as views: which bytes they keep alive, and how to let go of those that they do not need.
//!
//! A view refers to one of the buffers of its column. Rows that are taken or sliced from a column refer to all of its
//! buffers, also to those of which they have nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

/// Longest text that a view holds itself.
const INLINE: u32 = 12;

/// Bytes of the texts that are not in their views.
pub fn long_bytes(views: &[u128]) -> u64 {
    views.iter().map(|view| *view as u32).filter(|length| *length > INLINE).map(u64::from).sum()
}

/// `column` with its texts copied into buffers of their own, if `is_wasteful` says so of its buffers and views. Columns
/// of other types stay as they are.
pub fn own_texts(column: &ArrayRef, is_wasteful: impl FnOnce(&[Buffer], &[u128]) -> bool) -> ArrayRef {
    macro_rules! own {
        ($array:expr) => {{
            let array = $array;
            if is_wasteful(array.data_buffers(), array.views()) { Arc::new(array.gc()) } else { column.clone() }
        }};
    }
    match column.data_type() {
        DataType::Utf8View => own!(column.as_string_view()),
        DataType::BinaryView => own!(column.as_binary_view()),
        _ => column.clone(),
    }
}

/// `column` without the parts of shared buffers that its rows do not use, if it refers to more than `small` bytes and
/// that frees more than half of them.
pub fn trim(column: &ArrayRef, small: usize) -> ArrayRef {
    own_texts(column, |buffers, views| {
        let held: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        held > small && held as u64 > 2 * long_bytes(views)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, BinaryViewArray, Int32Array, StringViewArray};

    fn held(column: &ArrayRef) -> usize {
        let buffers = match column.as_string_view_opt() {
            Some(array) => array.data_buffers(),
            None => column.as_binary_view().data_buffers(),
        };
        buffers.iter().map(|buffer| buffer.len()).sum()
    }

    #[test]
    fn what_rows_do_not_use_is_let_go_of_if_that_is_more_than_half() {
        let texts: Vec<String> = (0..100).map(|i| format!("a text of more than twelve bytes, number {i:04}")).collect();
        let all: ArrayRef = Arc::new(texts.iter().map(Some).collect::<StringViewArray>());
        let bytes: ArrayRef = Arc::new(texts.iter().map(Some).collect::<BinaryViewArray>());
        for all in [all, bytes] {
            let (few, most, one) = (all.slice(10, 20), all.slice(0, 60), held(&all) / 100);
            assert_eq!(held(&trim(&few, 0)), 20 * one);
            assert_eq!(&trim(&few, 0), &few);
            assert_eq!(held(&trim(&few, 100 * one)), 100 * one, "too small to be worth a copy");
            assert_eq!(held(&trim(&most, 0)), 100 * one);
        }
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        assert!(Arc::ptr_eq(&trim(&numbers, 0), &numbers));
    }
}
