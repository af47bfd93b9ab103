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

/// Rows of two numbers and a double, some of them NULL, with many ties.
fn random_numbers(seed: u64, rows: usize) -> Batch {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let wide: Int64Array = (0..rows)
        .map(|_| match next() % 6 {
            0 => None,
            1 => Some(i64::MIN),
            2 => Some(i64::MAX),
            _ => Some(next() as i64 % 4),
        })
        .collect();
    let narrow: Int32Array = (0..rows).map(|_| (next() % 5 > 0).then(|| next() as i32 % 3 - 1)).collect();
    let double: Float64Array = (0..rows).map(|_| (next() % 5 > 0).then(|| (next() % 7) as f64 - 3.5)).collect();
    Batch::new(vec![Arc::new(wide), Arc::new(narrow), Arc::new(double)], rows)
}

#[test]
fn packed_words_compare_like_the_keys() {
    let cx = task();
    let types = [SqlType::BigInt, SqlType::Int, SqlType::Double];
    let input = columns(&types);
    for seed in 0..24u64 {
        let direction = |bit: u64| (seed >> bit) & 1 == 1;
        let keys: Vec<_> = (0..3).map(|i| key(&input[i], direction(i as u64), direction((i as u64 + 1) % 5))).collect();
        let batches: Vec<Batch> = (0..3).map(|i| random_numbers(seed * 3 + i, 200)).collect();
        let all = Batch::concat(&batches, &types).unwrap();
        let columns: Vec<_> = keys
            .iter()
            .zip(all.columns())
            .map(|(key, values)| arrow::compute::SortColumn {
                values: values.clone(),
                options: Some(arrow::compute::SortOptions { descending: !key.ascending, nulls_first: key.nulls_first }),
            })
            .collect();
        let order = arrow::compute::lexsort_to_indices(&columns, None).unwrap();
        let take = |c: &ArrayRef| arrow::compute::take(c, &order, None).unwrap();
        let expected = Batch::new(all.columns().iter().map(take).collect(), all.rows());
        let mut sort = SortOperator::new(&keys, &input, &cx).unwrap();
        assert_eq!(text(&run(&mut sort, batches)), text(&[expected]), "seed {seed}");
    }
}

#[test]
fn only_what_is_asked_for_is_returned() {
    let cx = task();
    let input = columns(&[SqlType::BigInt, SqlType::String]);
    let keys = [key(&input[0], true, true), key(&input[1], true, true)];
    let mut sort = SortOperator::new(&keys, &input, &cx).unwrap().returning(&input, &input[1..]);
    assert_eq!(text(&run(&mut sort, batches())), ["n", "m", "a longer text", "-", "a", "b", "x"]);
    let mut sort = SortOperator::new(&keys, &input, &cx).unwrap().returning(&input, &[]);
    assert_eq!(run(&mut sort, batches()).iter().map(Batch::rows).sum::<usize>(), 7);
}
