//! Tests of the sort operator.

use std::sync::Arc;

use arrow::array::*;
use firesteel_common::{Batch, Selection, SqlType};

use super::SortOperator;
use crate::operators::testing::{columns, key, run, task, text};
use crate::operators::top_k::TopKOperator;

fn batches() -> Vec<Batch> {
    let batch = |numbers: Vec<Option<i64>>, texts: Vec<Option<&str>>| {
        let rows = numbers.len();
        Batch::new(vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringViewArray::from(texts))], rows)
    };
    vec![
        batch(
            vec![Some(3), None, Some(99), Some(i64::MIN), Some(3)],
            vec![Some("b"), Some("n"), Some("dead"), Some("m"), None],
        )
        .refine(&Selection::new(vec![0, 1, 3, 4])),
        batch(vec![Some(i64::MAX), Some(-1), Some(3)], vec![Some("x"), Some("a longer text"), Some("a")]),
    ]
}

#[test]
fn directions_and_nulls_of_several_keys() {
    let cx = task();
    let input = columns(&[SqlType::BigInt, SqlType::String]);
    let keys = [key(&input[0], true, true), key(&input[1], false, false)];
    let mut sort = SortOperator::new(&keys, &input, &cx).unwrap();
    let expected = ["- n", "-9223372036854775808 m", "-1 a longer text", "3 b", "3 a", "3 -", "9223372036854775807 x"];
    assert_eq!(text(&run(&mut sort, batches())), expected);
    for limit in 0..8 {
        let mut top = TopKOperator::new(&keys, limit as u64, &input, &cx).unwrap();
        assert_eq!(text(&run(&mut top, batches())), expected[..expected.len().min(limit)]);
    }
}

#[test]
fn nulls_of_a_single_key_are_apart_from_extreme_values() {
    let cx = task();
    let input = columns(&[SqlType::BigInt, SqlType::String]);
    let mut sort = SortOperator::new(&[key(&input[0], false, false)], &input, &cx).unwrap();
    let rows = text(&run(&mut sort, batches()));
    assert_eq!(rows[0], "9223372036854775807 x");
    assert_eq!(rows[5..], ["-9223372036854775808 m", "- n"]);
}

#[test]
fn nan_is_the_greatest_float() {
    let cx = task();
    let input = columns(&[SqlType::Double]);
    let values = vec![Some(1.5), Some(-f64::NAN), None, Some(f64::INFINITY), Some(-0.0), Some(-2.0)];
    let batch = Batch::new(vec![Arc::new(Float64Array::from(values))], 6);
    let mut sort = SortOperator::new(&[key(&input[0], true, false)], &input, &cx).unwrap();
    assert_eq!(text(&run(&mut sort, vec![batch])), ["-2.0", "-0.0", "1.5", "inf", "NaN", "-"]);
}

#[test]
fn top_k_of_many_batches_is_the_start_of_the_sort() {
    let cx = task();
    let input = columns(&[SqlType::Int, SqlType::Int]);
    // A permutation of 0..20011, and a first key with many ties.
    let batches: Vec<Batch> = (0..11)
        .map(|b| {
            let value = |row: i64| ((b * 2000 + row) * 7919 % 20_011) as i32;
            let second = Int32Array::from_iter_values((0..2000).map(value));
            let first: Int32Array = second.unary(|v| v / 1000);
            Batch::new(vec![Arc::new(first), Arc::new(second)], 2000)
        })
        .collect();
    let keys = [key(&input[0], false, true), key(&input[1], true, true)];
    let all = text(&run(&mut SortOperator::new(&keys, &input, &cx).unwrap(), batches.clone()));
    for limit in [1, 10, 1500] {
        let top = text(&run(&mut TopKOperator::new(&keys, limit as u64, &input, &cx).unwrap(), batches.clone()));
        assert_eq!(top, all[..limit]);
    }
}

#[test]
fn long_common_starts_are_ordered_by_what_follows() {
    let cx = task();
    let input = columns(&[SqlType::String, SqlType::Int]);
    let start = "x".repeat(70);
    // 100 texts, each twice, with and without a common start.
    let texts: Vec<String> = (0..200).map(|i| format!("{}{:03}", &start[..(i % 2) * 70], i * 77 % 100)).collect();
    let numbers = Int32Array::from_iter_values((0..200).map(|i| -i));
    let batch = Batch::new(vec![Arc::new(StringViewArray::from_iter_values(&texts)), Arc::new(numbers)], 200);
    let mut expected: Vec<(String, i32)> = texts.into_iter().zip((0..200).map(|i| -i)).collect();
    expected.sort();
    let expected: Vec<String> = expected.iter().map(|(text, number)| format!("{text} {number}")).collect();
    let keys = [key(&input[0], true, true), key(&input[1], true, true)];
    assert_eq!(text(&run(&mut SortOperator::new(&keys, &input, &cx).unwrap(), vec![batch])), expected);
}
