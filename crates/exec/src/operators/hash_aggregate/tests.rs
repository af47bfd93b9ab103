//! Tests of the hash aggregate operator.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::Int32Type;
use firesteel_common::{Batch, Selection, Span, SqlType};
use firesteel_expr::{AggregateCall, ColumnRef, Expr};
use firesteel_plan::{AggregateMode, HashAggregate};
use firesteel_runtime::MemoryPool;

use super::groups::GroupTable;
use super::*;
use crate::operators::testing::{columns, run, task, text};

fn call(function: &str, args: &[&ColumnRef], filter: Option<&ColumnRef>, cx: &TaskContext) -> AggregateCall {
    let types: Vec<SqlType> = args.iter().map(|c| c.ty.clone()).collect();
    let signature = cx.eval.registry.expect_aggregate(function).unwrap().bind(&types).unwrap();
    AggregateCall {
        function: Arc::from(function),
        args: args.iter().map(|c| Expr::Column((*c).clone())).collect(),
        distinct: false,
        filter: filter.map(|c| Expr::Column(c.clone())),
        ty: signature.ty,
        nullable: signature.nullable,
        span: Span::NONE,
    }
}

/// Partial and final half, each over the batches of `input`.
fn two_steps(
    node: &HashAggregate,
    input: &[ColumnRef],
    batches: Vec<Batch>,
    cx: &TaskContext,
) -> (Vec<Batch>, Vec<Batch>) {
    let mut types: Vec<SqlType> = node.keys.iter().map(Expr::ty).collect();
    for call in &node.aggregates {
        let args: Vec<SqlType> = call.args.iter().map(Expr::ty).collect();
        types.extend(cx.eval.registry.expect_aggregate(&call.function).unwrap().bind(&args).unwrap().state);
    }
    let middle = columns(&types);
    let partial = HashAggregate { mode: AggregateMode::Partial, ..node.clone() };
    let states = run(&mut HashAggregateOperator::new(&partial, input, &middle, cx).unwrap(), batches);
    let keys = middle[..node.keys.len()].iter().cloned().map(Expr::Column).collect();
    let last = HashAggregate { mode: AggregateMode::Final, keys, aggregates: node.aggregates.clone() };
    let output = columns(&vec![SqlType::Int; node.keys.len() + node.aggregates.len()]);
    let results = run(&mut HashAggregateOperator::new(&last, &middle, &output, cx).unwrap(), states.clone());
    (states, results)
}

fn sorted_text(batches: &[Batch]) -> Vec<String> {
    let mut rows = text(batches);
    rows.sort();
    rows
}

#[test]
fn nulls_selections_dictionaries_and_filters() {
    let cx = task();
    let input = columns(&[SqlType::String, SqlType::BigInt, SqlType::Boolean]);
    let plain = Batch::new(
        vec![
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b"), Some("a"), None])),
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4), Some(5)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(true), None, Some(false)])),
        ],
        5,
    )
    .refine(&Selection::new(vec![0, 1, 2, 4]));
    let dictionary: DictionaryArray<Int32Type> = vec![Some("b"), None, Some("b"), Some("b")].into_iter().collect();
    let coded = Batch::new(
        vec![
            Arc::new(dictionary),
            Arc::new(Int64Array::from(vec![10, 20, 30, 40])),
            Arc::new(BooleanArray::from(vec![true; 4])),
        ],
        4,
    );
    let aggregates = vec![
        call("sum", &[&input[1]], None, &cx),
        call("count", &[], Some(&input[2]), &cx),
        call("min", &[&input[1]], None, &cx),
    ];
    let node = HashAggregate { mode: AggregateMode::Complete, keys: vec![Expr::Column(input[0].clone())], aggregates };
    let expected = ["- 27 2 2", "a 1 1 1", "b 80 4 10"];
    let output = columns(&vec![SqlType::Int; 4]);
    let mut complete = HashAggregateOperator::new(&node, &input, &output, &cx).unwrap();
    assert_eq!(sorted_text(&run(&mut complete, vec![plain.clone(), coded.clone()])), expected);
    assert_eq!(sorted_text(&two_steps(&node, &input, vec![plain, coded], &cx).1), expected);
}

#[test]
fn without_rows_there_is_one_group_only_without_keys() {
    let cx = task();
    let input = columns(&[SqlType::Int]);
    let aggregates = vec![call("count", &[], None, &cx), call("sum", &[&input[0]], None, &cx)];
    let global = HashAggregate { mode: AggregateMode::Complete, keys: Vec::new(), aggregates };
    let mut operator = HashAggregateOperator::new(&global, &input, &columns(&vec![SqlType::Int; 2]), &cx).unwrap();
    assert_eq!(text(&run(&mut operator, Vec::new())), ["0 -"]);
    assert_eq!(text(&two_steps(&global, &input, Vec::new(), &cx).1), ["0 -"]);
    let keyed = HashAggregate { keys: vec![Expr::Column(input[0].clone())], ..global };
    assert!(two_steps(&keyed, &input, Vec::new(), &cx).1.is_empty());
}

#[test]
fn pass_through_gives_the_same_result() {
    let cx = TaskContext { batch_rows: 8192, ..task() };
    let input = columns(&[SqlType::BigInt, SqlType::Int]);
    let aggregates = vec![call("sum", &[&input[1]], None, &cx), call("count", &[], None, &cx)];
    let node = HashAggregate { mode: AggregateMode::Complete, keys: vec![Expr::Column(input[0].clone())], aggregates };
    // Each key twice, far apart.
    let batches: Vec<Batch> = (0..32i64)
        .map(|b| {
            let keys = Int64Array::from_iter_values((0..8192).map(|row| (b * 8192 + row) % 131_072));
            Batch::new(vec![Arc::new(keys), Arc::new(Int32Array::from(vec![b as i32; 8192]))], 8192)
        })
        .collect();
    let (states, results) = two_steps(&node, &input, batches.clone(), &cx);
    assert!(states.iter().map(Batch::rows).sum::<usize>() > 200_000, "hashing was given up");
    let output = columns(&vec![SqlType::Int; 3]);
    let complete = run(&mut HashAggregateOperator::new(&node, &input, &output, &cx).unwrap(), batches);
    let expected = sorted_text(&complete);
    assert_eq!(expected.len(), 131_072);
    assert!(expected == sorted_text(&results), "results differ");
}

#[test]
fn clustered_rows_need_a_small_table() {
    let cx = TaskContext { batch_rows: 4096, ..task() };
    let input = columns(&[SqlType::BigInt, SqlType::Int]);
    let aggregates = vec![call("sum", &[&input[1]], None, &cx)];
    let node = HashAggregate { mode: AggregateMode::Partial, keys: vec![Expr::Column(input[0].clone())], aggregates };
    let output = columns(&vec![SqlType::BigInt; 3]);
    // Four rows for each key: neighbours, or spread over all batches.
    let batch = |keys: &dyn Fn(i64) -> i64, b: i64| {
        let keys = Int64Array::from_iter_values((0..4096).map(|row| keys(b * 4096 + row)));
        Batch::new(vec![Arc::new(keys), Arc::new(Int32Array::from(vec![1; 4096]))], 4096)
    };
    let returned_before_the_end = |keys: &dyn Fn(i64) -> i64| {
        let mut operator = HashAggregateOperator::new(&node, &input, &output, &cx).unwrap();
        let mut rows = 0;
        for b in 0..20 {
            operator.push(batch(keys, b)).unwrap();
            while let Some(batch) = operator.next_output().unwrap() {
                rows += batch.rows();
            }
        }
        rows
    };
    assert_eq!(returned_before_the_end(&|row| row / 4), 2 * CLUSTERED_GROUPS);
    assert_eq!(returned_before_the_end(&|row| row % 20_480), 0);
    let batches: Vec<Batch> = (0..20).map(|b| batch(&|row| row / 4, b)).collect();
    let (_, results) = two_steps(&HashAggregate { mode: AggregateMode::Complete, ..node }, &input, batches, &cx);
    let sums = sorted_text(&results);
    assert_eq!(sums.len(), 20_480);
    assert!(sums.iter().all(|row| row.ends_with(" 4")));
}

#[test]
fn tables_get_the_size_that_is_expected_where_nearly_all_rows_are_new() {
    const GROUPS: i64 = 81_920;
    // After three batches: whether there is room for all groups; and at the end, the sums of the counts.
    let grouped = |mode, of_two: bool, rows: Option<u64>, memory: usize| {
        let cx = TaskContext { batch_rows: 4096, memory: MemoryPool::root(memory), ..task() };
        let input = columns(&[SqlType::BigInt]);
        let aggregates = vec![call("count", &[], None, &cx)];
        let node = HashAggregate { mode, keys: vec![Expr::Column(input[0].clone())], aggregates };
        let output = columns(&vec![SqlType::BigInt; 2]);
        let mut operator = HashAggregateOperator::new(&node, &input, &output, &cx).unwrap().expect(1.0, rows);
        for batch in 0..3 {
            let key = |row: i64| if of_two { row / 2 } else { row };
            let keys = Int64Array::from_iter_values((0..4096).map(|row| key(batch * 4096 + row) * 7));
            operator.push(Batch::new(vec![Arc::new(keys)], 4096)).unwrap();
        }
        let has_room = operator.table.has_room(GROUPS as usize);
        operator.input_done().unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = operator.next_output().unwrap() {
            rows.extend(text(&[batch]));
        }
        let (groups, count) = if of_two { (6144, 2) } else { (12_288, 1) };
        let expected: Vec<String> = (0..groups).map(|group| format!("{} {count}", group * 7)).collect();
        assert_eq!(rows, expected);
        has_room
    };
    let (all, enough) = (Some(GROUPS as u64), 1 << 30);
    assert!(grouped(AggregateMode::Complete, false, all, enough));
    assert!(!grouped(AggregateMode::Complete, false, None, enough), "unknown");
    assert!(!grouped(AggregateMode::Complete, false, Some(10_000), enough), "no more than there are");
    assert!(!grouped(AggregateMode::Complete, true, all, enough), "rows repeat");
    assert!(!grouped(AggregateMode::Partial, false, all, enough), "partial halves stay small");
    assert!(!grouped(AggregateMode::Complete, false, all, 1_500_000), "no memory");
}

#[test]
fn group_numbers_survive_wider_tables() {
    let types = vec![SqlType::Int, SqlType::String];
    let mut table = GroupTable::new(types);
    let batch = |numbers: Vec<Option<i32>>, texts: Vec<Option<&str>>| -> Vec<ArrayRef> {
        vec![Arc::new(Int32Array::from(numbers)), Arc::new(StringViewArray::from(texts))]
    };
    let mut groups = Vec::new();
    table
        .intern(&batch(vec![Some(1), Some(-1), Some(1)], vec![Some("x"), Some(""), Some("x")]), 3, &mut groups)
        .unwrap();
    assert_eq!(groups, [0, 1, 0]);
    // The first NULLs, then text that fits no word.
    table.intern(&batch(vec![None, Some(-1), Some(0)], vec![Some("x"), Some(""), None]), 3, &mut groups).unwrap();
    assert_eq!(groups, [2, 1, 3]);
    let long = "longer than any word can hold";
    table.intern(&batch(vec![Some(1), None, None], vec![Some(long), Some("x"), None]), 3, &mut groups).unwrap();
    assert_eq!(groups, [4, 2, 5]);
    let keys = Batch::new(table.keys(0, 6).unwrap(), 6);
    assert_eq!(text(&[keys]), ["1 x", "-1 ", "- x", "0 -", &format!("1 {long}"), "- -"]);
}

#[test]
fn text_of_every_length_is_kept_by_a_word() {
    let mut table = GroupTable::new(vec![SqlType::String]);
    let all = "ABCDEFGHIJKLMNOP";
    let texts: Vec<&str> = (0..=15).map(|n| &all[..n]).collect();
    let column: ArrayRef = Arc::new(StringViewArray::from(texts.clone()));
    let mut groups = Vec::new();
    table.intern(&[column], 16, &mut groups).unwrap();
    assert_eq!(groups, (0..16).collect::<Vec<u32>>());
    assert_eq!(text(&[Batch::new(table.keys(0, 16).unwrap(), 16)]), texts);
}

#[test]
fn texts_that_a_bit_for_null_leaves_no_room_for_move_on() {
    // 64 + 32 bits leave 3 bytes for text, and 2 once the number may be NULL.
    let mut table = GroupTable::new(vec![SqlType::BigInt, SqlType::Int, SqlType::String]);
    let mut groups = Vec::new();
    for number in [Some(7), None] {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1])),
            Arc::new(Int32Array::from(vec![number])),
            Arc::new(StringViewArray::from(vec!["abc"])),
        ];
        table.intern(&columns, 1, &mut groups).unwrap();
    }
    assert_eq!(text(&[Batch::new(table.keys(0, 2).unwrap(), 2)]), ["1 7 abc", "1 - abc"]);
}

#[test]
fn equal_floats_are_one_group() {
    let mut table = GroupTable::new(vec![SqlType::Double, SqlType::Boolean, SqlType::Void]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(true), None, None, Some(false)])),
        Arc::new(NullArray::new(5)),
    ];
    let mut groups = Vec::new();
    table.intern(&columns, 5, &mut groups).unwrap();
    assert_eq!(groups, [0, 0, 1, 1, 2]);
    assert_eq!(text(&[Batch::new(table.keys(0, 3).unwrap(), 3)]), ["0.0 true -", "NaN - -", "1.0 false -"]);
}

#[test]
fn wide_decimals_take_either_encoding() {
    let mut table = GroupTable::new(vec![SqlType::Decimal(38, 2), SqlType::Date]);
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1, 1]));
    let narrow = Decimal64Array::from(vec![5, -7]).with_precision_and_scale(18, 2).unwrap();
    let wide = Decimal128Array::from(vec![-7, 5]).with_precision_and_scale(38, 2).unwrap();
    let mut groups = Vec::new();
    table.intern(&[Arc::new(narrow), dates.clone()], 2, &mut groups).unwrap();
    table.intern(&[Arc::new(wide), dates], 2, &mut groups).unwrap();
    assert_eq!(groups, [1, 0]);
}

/// Group numbers of `(number, text)` rows by a map, as a reference.
fn expected_groups(
    seen: &mut std::collections::HashMap<(Option<i32>, Option<String>), u32>,
    numbers: &[Option<i32>],
    texts: &[Option<String>],
) -> Vec<u32> {
    let number = |key: (&Option<i32>, &Option<String>)| {
        let next = seen.len() as u32;
        *seen.entry((*key.0, key.1.clone())).or_insert(next)
    };
    numbers.iter().zip(texts).map(number).collect()
}

#[test]
fn long_texts_are_numbered_until_they_prove_unique() {
    for unique in [false, true] {
        let mut table = GroupTable::new(vec![SqlType::Int, SqlType::String]);
        let mut seen = std::collections::HashMap::new();
        let mut groups = Vec::new();
        for batch in 0..8 {
            let values = if unique { 40_000 } else { 100 };
            let text = |n: i32| {
                (n % 11 != 0).then(|| format!("a text that is too long for a word, number {}", n * 7 % values))
            };
            let start = batch * 5_000;
            // NULLs among the numbers come late; every other batch has a dictionary with values twice.
            let numbers: Vec<Option<i32>> =
                (start..start + 5_000).map(|n| (batch < 4 || n % 13 != 0).then_some(n % 997)).collect();
            let (texts, column): (Vec<_>, ArrayRef) = if batch % 2 == 0 {
                let texts: Vec<_> = (start..start + 5_000).map(text).collect();
                (texts.clone(), Arc::new(StringViewArray::from_iter(texts)))
            } else {
                let entries: Vec<_> = (0..200).map(|n| text(n % 150)).collect();
                let codes = Int32Array::from_iter_values((0..5_000).map(|n| n * 3 % 200));
                let texts = codes.values().iter().map(|code| entries[*code as usize].clone()).collect();
                let values = Arc::new(StringViewArray::from_iter(entries));
                (texts, Arc::new(DictionaryArray::new(codes, values)))
            };
            table.intern(&[Arc::new(Int32Array::from(numbers.clone())), column], 5_000, &mut groups).unwrap();
            assert!(groups == expected_groups(&mut seen, &numbers, &texts), "batch {batch}, unique: {unique}");
        }
        let mut expected: Vec<_> = seen.into_iter().collect();
        expected.sort_by_key(|(_, group)| *group);
        let show = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let expected: Vec<String> =
            expected.into_iter().map(|((n, t), _)| format!("{} {}", show(n.map(|n| n.to_string())), show(t))).collect();
        let keys = Batch::new(table.keys(0, table.len()).unwrap(), table.len());
        assert!(text(&[keys]) == expected, "keys differ, unique: {unique}");
    }
}

/// Interns batches in a group table and in one that encodes keys as bytes; both must number the same groups.
fn same_as_bytes(types: &[SqlType], batches: &[Vec<ArrayRef>]) {
    let mut table = GroupTable::new(types.to_vec());
    let mut reference = bytes::ByteTable::new();
    let mut groups = Vec::new();
    for (i, columns) in batches.iter().enumerate() {
        let rows = columns[0].len();
        table.intern(columns, rows, &mut groups).unwrap();
        let normal: Vec<_> = columns.iter().zip(types).map(|(c, ty)| values::normalised(c, ty).unwrap()).collect();
        let mut expected = Vec::new();
        reference.intern(types, &normal, rows, &mut expected).unwrap();
        assert!(groups == expected, "batch {i}: {groups:?} is not {expected:?}");
    }
    let count = reference.len();
    assert_eq!(table.len(), count);
    let (keys, expected) = (table.keys(0, count).unwrap(), reference.keys(types, 0, count).unwrap());
    assert!(keys == expected, "{keys:?} are not {expected:?}");
}

fn longs(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

#[test]
fn ranges_grow_until_nothing_but_bytes_holds_them() {
    let types = vec![SqlType::BigInt; 3];
    let batch = |values: &[Option<i64>]| -> Vec<ArrayRef> {
        (0..3).map(|column| longs((0..values.len()).map(|row| values[(row * (column + 1)) % values.len()]))).collect()
    };
    let mut batches = vec![batch(&[Some(5)]), batch(&[]), batch(&[None, Some(7), Some(-1)])];
    for bits in 1..63 {
        batches.push(batch(&[Some(1 << bits), None, Some(-(1 << bits)), Some(5), Some((1 << bits) + 1)]));
    }
    batches.push(batch(&[Some(i64::MIN), Some(i64::MAX), Some(0), None, Some(-1)]));
    batches.push(batch(&[None, None]));
    same_as_bytes(&types, &batches);
    // Extreme values at once; none at all.
    same_as_bytes(&types, &batches[batches.len() - 2..]);
    same_as_bytes(&types, &[batch(&[]), batch(&[None]), batch(&[Some(i64::MAX)]), batch(&[Some(i64::MIN)])]);
}

#[test]
fn keys_of_all_types_are_numbered_as_by_bytes() {
    let types = vec![
        SqlType::Boolean,
        SqlType::TinyInt,
        SqlType::Double,
        SqlType::Date,
        SqlType::Timestamp,
        SqlType::Decimal(38, 2),
        SqlType::Void,
        SqlType::Decimal(10, 2),
        SqlType::String,
    ];
    // A fixed sequence without a pattern, wider from batch to batch.
    let mut state = 7u64;
    let mut batches = Vec::new();
    for size in 0..40u32 {
        let mut next = |row: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 33) as i64 >> 31u32.saturating_sub(size);
            (!(row + value as usize).is_multiple_of(9)).then(|| value - (1 << size >> 1))
        };
        let rows = 1 + size as usize % 7 * 50;
        let columns: Vec<ArrayRef> = types
            .iter()
            .map(|ty| -> ArrayRef {
                let values: Vec<Option<i64>> = (0..rows).map(&mut next).collect();
                match ty {
                    SqlType::Boolean => {
                        Arc::new(values.iter().map(|v| v.map(|v| v & 1 == 1)).collect::<BooleanArray>())
                    }
                    SqlType::Double => {
                        let floats = values.iter().map(|v| v.map(|v| if v == 3 { f64::NAN } else { v as f64 * -0.5 }));
                        Arc::new(floats.collect::<Float64Array>())
                    }
                    SqlType::String => {
                        let texts = values.iter().map(|v| v.map(|v| "x".repeat((v % 20).unsigned_abs() as usize)));
                        Arc::new(texts.collect::<StringViewArray>())
                    }
                    SqlType::Void => Arc::new(NullArray::new(rows)),
                    SqlType::TinyInt => {
                        arrow::compute::cast(&longs(values.iter().map(|v| v.map(|v| v % 128))), &ty.arrow()).unwrap()
                    }
                    SqlType::Date => {
                        let days: Int32Array = values.iter().map(|v| v.map(|v| v as i32)).collect();
                        arrow::compute::cast(&days, &ty.arrow()).unwrap()
                    }
                    other => {
                        let values = longs(values.iter().map(|v| v.map(|v| v % 10_000_000)));
                        arrow::compute::cast(&values, &other.arrow()).unwrap()
                    }
                }
            })
            .collect();
        batches.push(columns);
    }
    for keys in [0..2usize, 2..4, 3..5, 4..6, 5..6, 5..8, 6..9, 0..5, 0..9, 7..9] {
        let some: Vec<Vec<ArrayRef>> = batches.iter().map(|columns| columns[keys.clone()].to_vec()).collect();
        same_as_bytes(&types[keys], &some);
    }
}

/// Two numbers and two texts, by row.
fn people(rows: impl Iterator<Item = (i64, Option<&'static str>, &'static str)> + Clone) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row.0))),
        Arc::new(StringViewArray::from_iter(rows.clone().map(|row| row.1))),
        Arc::new(BinaryViewArray::from_iter_values(rows.map(|row| row.2.as_bytes()))),
    ]
}

#[test]
fn texts_that_follow_from_a_number_are_only_compared() {
    let types = [SqlType::BigInt, SqlType::String, SqlType::Binary];
    const NAMES: [Option<&str>; 3] = [Some("a name that no word holds"), None, Some("")];
    let follow =
        |n: i64| (n, NAMES[n as usize % 3], ["short", "an address that is longer than a word"][n as usize % 2]);
    let batches: Vec<Vec<ArrayRef>> =
        (0..4).map(|b| people((0..500).map(move |row| follow((row * 7 + b * 100) % 300)))).collect();
    let mut table = GroupTable::new(types.to_vec());
    for batch in &batches {
        table.intern(batch, 500, &mut Vec::new()).unwrap();
    }
    assert!(table.is_determined());
    assert_eq!(table.len(), 300);
    same_as_bytes(&types, &batches);
    // NULL in the place of a text, another text, and a number out of range, each in a later batch.
    let odd = |odd: (i64, Option<&'static str>, &'static str)| {
        let mut batches = batches.clone();
        batches.push(people((0..50).map(follow).chain([odd]).chain((0..50).map(follow))));
        batches.push(batches[0].clone());
        batches
    };
    for odd in [
        odd((3, None, "an address that is longer than a word")),
        odd((4, NAMES[1], "shorT")),
        odd((i64::MIN, None, "")),
    ] {
        same_as_bytes(&types, &odd);
    }
    // Groups that another table has made.
    let short = people([(1, Some("x"), "y"), (1, Some("z"), "y")].into_iter());
    same_as_bytes(&types, &[short.clone(), batches[0].clone(), batches[1].clone()]);
    same_as_bytes(&types, &[short.iter().map(|column| column.slice(0, 1)).collect(), batches[3].clone()]);
}
