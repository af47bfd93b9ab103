//! Tests of the window operator.

use std::sync::Arc;

use arrow::array::*;
use firesteel_common::{Batch, ColumnId, Scalar, Selection, Span, SqlType};
use firesteel_expr::{AggregateCall, Expr, Frame, FrameBound, FrameUnit, WindowCall, WindowFunction};

use super::*;
use crate::operators::testing::{columns, key, run, task, text};

fn window_call(function: WindowFunction, frame: Frame, ty: SqlType) -> WindowCall {
    let column = ColumnRef { id: ColumnId(99), name: Arc::from("w"), ty, nullable: true };
    WindowCall { column, function, frame, span: Span::NONE }
}

fn aggregate(function: &str, arg: Option<&ColumnRef>, frame: Frame, cx: &TaskContext) -> WindowCall {
    let types: Vec<SqlType> = arg.iter().map(|c| c.ty.clone()).collect();
    let signature = cx.eval.registry.expect_aggregate(function).unwrap().bind(&types).unwrap();
    let call = AggregateCall {
        function: Arc::from(function),
        args: arg.iter().map(|c| Expr::Column((*c).clone())).collect(),
        distinct: false,
        filter: None,
        ty: signature.ty.clone(),
        nullable: true,
        span: Span::NONE,
    };
    window_call(WindowFunction::Aggregate(call), frame, signature.ty)
}

fn frame(unit: FrameUnit, start: FrameBound, end: FrameBound) -> Frame {
    Frame { unit, start, end }
}

/// Results of the calls by row, over rows of partition `c0`, order `c1` (values 1 2 2 4 and one NULL in
/// partition "a", 1 in "b") and value `c2`, in that order.
fn results(calls: impl Fn(&[ColumnRef], &TaskContext) -> Vec<WindowCall>, ascending: bool) -> Vec<String> {
    let cx = task();
    let input = columns(&[SqlType::String, SqlType::Int, SqlType::BigInt]);
    let first = Batch::new(
        vec![
            Arc::new(StringViewArray::from(vec!["a", "dead", "b", "a"])),
            Arc::new(Int32Array::from(vec![4, 0, 1, 2])),
            Arc::new(Int64Array::from(vec![Some(40), Some(0), Some(100), None])),
        ],
        4,
    )
    .refine(&Selection::new(vec![0, 2, 3]));
    let second = Batch::new(
        vec![
            Arc::new(StringViewArray::from(vec!["a", "a", "a"])),
            Arc::new(Int32Array::from(vec![None, Some(1), Some(2)])),
            Arc::new(Int64Array::from(vec![Some(5), Some(10), None])),
        ],
        3,
    );
    let calls = calls(&input, &cx);
    let order = [key(&input[1], ascending, ascending)];
    let by = [Expr::Column(input[0].clone())];
    let mut operator = WindowOperator::new(&by, &order, &calls, &input, &cx).unwrap();
    let rows = text(&run(&mut operator, vec![first, second]));
    rows.iter().map(|row| row.splitn(4, ' ').last().unwrap().to_owned()).collect()
}

#[test]
fn ranks() {
    use WindowFunction::*;
    let ranks = |_: &[ColumnRef], _: &TaskContext| {
        let int = [RowNumber, Rank, DenseRank, Ntile(2)].map(|f| window_call(f, Frame::whole(), SqlType::Int));
        let double = [PercentRank, CumeDist].map(|f| window_call(f, Frame::whole(), SqlType::Double));
        int.into_iter().chain(double).collect()
    };
    let expected = [
        "1 1 1 1 0.0 0.2",
        "2 2 2 1 0.25 0.4",
        "3 3 3 1 0.5 0.8",
        "4 3 3 2 0.5 0.8",
        "5 5 4 2 1.0 1.0",
        "1 1 1 1 0.0 1.0",
    ];
    assert_eq!(results(ranks, true), expected);
}

#[test]
fn frames_of_aggregates() {
    use FrameBound::{CurrentRow, Following, Preceding, Unbounded};
    let n = |n: i64| Scalar::BigInt(n);
    let sums = |input: &[ColumnRef], cx: &TaskContext| {
        let frames = [
            Frame::whole(),
            Frame::running(),
            frame(FrameUnit::Rows, Unbounded, CurrentRow),
            frame(FrameUnit::Rows, Preceding(n(1)), Following(n(1))),
            frame(FrameUnit::Rows, Following(n(1)), Unbounded),
            frame(FrameUnit::Rows, Following(n(2)), Following(n(2))),
            frame(FrameUnit::Range, Preceding(Scalar::Int(2)), CurrentRow),
            frame(FrameUnit::Range, Following(Scalar::Int(1)), Following(Scalar::Int(2))),
        ];
        let mut calls = Vec::new();
        for f in frames {
            calls.push(aggregate("sum", Some(&input[2]), f.clone(), cx));
            calls.push(aggregate("count", None, f, cx));
        }
        calls
    };
    // Rows of "a" in order: (NULL, 5), (1, 10), (2, NULL), (2, NULL), (4, 40).
    let expected = [
        "55 5 5 1 5 1 15 2 50 4 - 1 5 1 5 1",
        "55 5 15 2 15 2 15 3 40 3 - 1 10 1 - 2",
        "55 5 15 4 15 3 10 3 40 2 40 1 10 3 40 1",
        "55 5 15 4 15 4 40 3 40 1 - 0 10 3 40 1",
        "55 5 55 5 55 5 40 2 - 0 - 0 40 3 - 0",
        "100 1 100 1 100 1 100 1 - 0 - 0 100 1 - 0",
    ];
    assert_eq!(results(sums, true), expected);
}

#[test]
fn range_frames_in_descending_order() {
    let calls = |input: &[ColumnRef], cx: &TaskContext| {
        let two = || Scalar::Int(2);
        let behind = frame(FrameUnit::Range, FrameBound::Preceding(two()), FrameBound::CurrentRow);
        let ahead = frame(FrameUnit::Range, FrameBound::CurrentRow, FrameBound::Following(Scalar::Int(1)));
        vec![aggregate("count", Some(&input[1]), behind, cx), aggregate("sum", Some(&input[2]), ahead, cx)]
    };
    // 4, 2, 2, 1, NULL, and 1 of "b".
    assert_eq!(results(calls, false), ["1 40", "3 10", "3 10", "3 10", "0 5", "1 100"]);
}

#[test]
fn values_of_other_rows() {
    use WindowFunction::*;
    let calls = |input: &[ColumnRef], _: &TaskContext| {
        let value = || Expr::Column(input[2].clone());
        let shift = |offset, default, ignore_nulls| {
            window_call(Shift { value: value(), offset, default, ignore_nulls }, Frame::whole(), SqlType::BigInt)
        };
        let running = frame(FrameUnit::Rows, FrameBound::Unbounded, FrameBound::CurrentRow);
        let nth =
            |n, ignore_nulls| window_call(Nth { value: value(), n, ignore_nulls }, running.clone(), SqlType::BigInt);
        let last = |ignore_nulls| window_call(Last { value: value(), ignore_nulls }, running.clone(), SqlType::BigInt);
        vec![
            shift(1, Scalar::Null(SqlType::BigInt), false),
            shift(-2, Scalar::BigInt(-1), false),
            shift(1, Scalar::BigInt(0), true),
            shift(-1, Scalar::BigInt(0), true),
            nth(2, false),
            nth(3, true),
            last(false),
            last(true),
        ]
    };
    // Values of "a" in order: 5, 10, NULL, NULL, 40.
    let expected = [
        "- - 0 10 - - 5 5",
        "5 - 5 40 10 - 10 10",
        "10 40 10 40 10 - - 10",
        "- -1 10 40 10 - - 10",
        "- -1 10 0 10 40 40 40",
        "- -1 0 0 - - 100 100",
    ];
    assert_eq!(results(calls, true), expected);
}

#[test]
fn sliding_sums_equal_direct_ones() {
    let cx = task();
    let input = columns(&[SqlType::Int, SqlType::BigInt]);
    let values: Vec<i64> = (0..300).map(|i| i * 37 % 101).collect();
    let keys = Int32Array::from_iter_values(0..300);
    let batch = Batch::new(vec![Arc::new(keys), Arc::new(Int64Array::from(values.clone()))], 300);
    let n = |n: i64| Scalar::BigInt(n);
    let sliding = frame(FrameUnit::Rows, FrameBound::Preceding(n(20)), FrameBound::Following(n(6)));
    let calls =
        [aggregate("sum", Some(&input[1]), sliding, &cx), aggregate("max", Some(&input[1]), Frame::running(), &cx)];
    let mut operator = WindowOperator::new(&[], &[key(&input[0], true, true)], &calls, &input, &cx).unwrap();
    let expected: Vec<String> = (0..300usize)
        .map(|i| {
            let sum: i64 = values[i.saturating_sub(20)..(i + 7).min(300)].iter().sum();
            let max = values[..=i].iter().max().unwrap();
            format!("{i} {} {sum} {max}", values[i])
        })
        .collect();
    assert_eq!(text(&run(&mut operator, vec![batch])), expected);
}

#[test]
fn long_frames_over_floats_are_added_in_order() {
    let cx = task();
    let input = columns(&[SqlType::Int, SqlType::Double]);
    let values: Vec<f64> = (0..1000).map(|i| 1.0 / f64::from(i + 1)).collect();
    let keys = Int32Array::from_iter_values(0..1000);
    let batch = Batch::new(vec![Arc::new(keys), Arc::new(Float64Array::from(values.clone()))], 1000);
    let running = frame(FrameUnit::Rows, FrameBound::Unbounded, FrameBound::CurrentRow);
    let calls = [aggregate("sum", Some(&input[1]), running, &cx), aggregate("count", None, Frame::running(), &cx)];
    let mut operator = WindowOperator::new(&[], &[key(&input[0], true, true)], &calls, &input, &cx).unwrap();
    let sums: Vec<f64> = run(&mut operator, vec![batch])
        .iter()
        .flat_map(|b| b.columns()[2].as_primitive::<arrow::datatypes::Float64Type>().values().to_vec())
        .collect();
    let mut sum = 0.0;
    let expected: Vec<f64> = values
        .iter()
        .map(|v| {
            sum += v;
            sum
        })
        .collect();
    assert_eq!(sums, expected);
}

#[test]
fn running_aggregates_over_long_and_short_partitions() {
    let cx = task();
    let input = columns(&[SqlType::Int, SqlType::Int, SqlType::BigInt]);
    // Partition p has p * p rows; two rows with equal keys are peers.
    let rows: Vec<(i32, i32, i64)> =
        (1..16).flat_map(|p| (0..p * p).map(move |i| (p, i / 2, i64::from(i * 31 % 17)))).collect();
    let batch = Batch::new(
        vec![
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2))),
        ],
        rows.len(),
    );
    let before = frame(FrameUnit::Rows, FrameBound::Unbounded, FrameBound::Preceding(Scalar::BigInt(1)));
    let calls =
        [aggregate("sum", Some(&input[2]), Frame::running(), &cx), aggregate("count", Some(&input[2]), before, &cx)];
    let by = [Expr::Column(input[0].clone())];
    let mut operator = WindowOperator::new(&by, &[key(&input[1], true, true)], &calls, &input, &cx).unwrap();
    let results = text(&run(&mut operator, vec![batch]));
    let expected = |p: i32, key: i32| rows.iter().filter(|r| r.0 == p && r.1 <= key).map(|r| r.2).sum::<i64>();
    let mut position = (0, 0);
    for (result, row) in results.iter().zip(&rows) {
        position = if position.0 == row.0 { (row.0, position.1 + 1) } else { (row.0, 0) };
        let values: Vec<&str> = result.split(' ').skip(3).collect();
        assert_eq!(values, [expected(row.0, row.1).to_string(), position.1.to_string()], "{result}");
    }
    assert_eq!(results.len(), rows.len());
}

#[test]
fn months_before_a_date() {
    let cx = task();
    let input = columns(&[SqlType::Date]);
    // 2024-01-31, 2024-02-28, 2024-02-29, 2024-03-31.
    let batch = Batch::new(vec![Arc::new(Date32Array::from(vec![19_753, 19_781, 19_782, 19_813]))], 4);
    let month = FrameBound::Preceding(Scalar::IntervalYearMonth(1));
    let days = FrameBound::Preceding(Scalar::IntervalDayTime(28 * 86_400_000_000));
    let calls = [month, days]
        .map(|start| aggregate("count", None, frame(FrameUnit::Range, start, FrameBound::CurrentRow), &cx));
    let mut operator = WindowOperator::new(&[], &[key(&input[0], true, true)], &calls, &input, &cx).unwrap();
    assert_eq!(
        text(&run(&mut operator, vec![batch])),
        ["2024-01-31 1 1", "2024-02-28 2 2", "2024-02-29 3 2", "2024-03-31 2 1"]
    );
}

/// Rows of partitions with so many rows each; each three neighbours are peers.
fn in_threes(sizes: &[i32]) -> (Vec<(i32, i32)>, Batch) {
    let rows: Vec<(i32, i32)> =
        sizes.iter().zip(0..).flat_map(|(size, p)| (0..*size).map(move |i| (p, i / 3))).collect();
    // They arrive in another order.
    let shuffled = |i: usize| rows[i * 7919 % rows.len()];
    let all = 0..rows.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(all.clone().map(|i| shuffled(i).0))),
        Arc::new(Int32Array::from_iter_values(all.map(|i| shuffled(i).1))),
    ];
    let batch = Batch::new(columns, rows.len());
    (rows, batch)
}

#[test]
fn ranks_go_on_from_chunk_to_chunk() {
    use WindowFunction::*;
    let mut cx = task();
    cx.batch_rows = 1000;
    let input = columns(&[SqlType::Int, SqlType::Int]);
    let chunk = 1 << 16;
    // Partitions that end within a chunk and with one, and begin with one; peers across the ends of chunks.
    let (rows, batch) = in_threes(&[150_001, 1, 2 * chunk, 3 * chunk - 150_002, chunk + 1, 4]);
    let calls = [RowNumber, Rank, DenseRank].map(|f| window_call(f, Frame::whole(), SqlType::Int));
    let by = [Expr::Column(input[0].clone())];
    let operator = WindowOperator::new(&by, &[key(&input[1], true, true)], &calls, &input, &cx).unwrap();
    // Only the partition is asked for.
    let mut operator = operator.returning(&input, &input[..1]);
    let output = run(&mut operator, vec![batch]);
    assert!(output.iter().all(|batch| batch.columns().len() == 4));
    let results: Vec<Vec<i32>> = (0..4)
        .map(|c| {
            let values = output.iter().map(|b| b.columns()[c].as_primitive::<arrow::datatypes::Int32Type>());
            values.flat_map(|v| v.values().to_vec()).collect()
        })
        .collect();
    assert_eq!(results[0].len(), rows.len());
    let mut number = 0;
    for (i, (p, peers)) in rows.iter().enumerate() {
        number = if i > 0 && rows[i - 1].0 == *p { number + 1 } else { 1 };
        let row: Vec<i32> = results.iter().map(|column| column[i]).collect();
        assert_eq!(row, [*p, number, peers * 3 + 1, peers + 1], "row {i}");
    }
}

/// The results of `calls` over `batch` (partition, order, value), row by row in the order of both.
fn by_row(calls: &[WindowCall], batch: &Batch, cx: &TaskContext) -> Vec<String> {
    let input = columns(&[SqlType::Int, SqlType::Int, SqlType::BigInt]);
    let by = [Expr::Column(input[0].clone())];
    let mut operator = WindowOperator::new(&by, &[key(&input[1], true, true)], calls, &input, cx).unwrap();
    text(&run(&mut operator, vec![batch.clone()]))
}

#[test]
fn calls_that_go_on_agree_with_those_that_see_whole_partitions() {
    use FrameBound::{CurrentRow, Following, Preceding, Unbounded};
    let n = |n: i64| Scalar::BigInt(n);
    let chunk = 1 << 16;
    // Ends of partitions before, at and behind the ends of chunks; the order is total, so that rows are comparable.
    let sizes = [chunk - 1, 3, chunk + 2, 1, 2 * chunk, 70_000, 5];
    let rows: Vec<(i32, i32)> = sizes.iter().zip(0..).flat_map(|(size, p)| (0..*size).map(move |i| (p, i))).collect();
    let of = |f: fn(&(i32, i32)) -> i32| -> ArrayRef { Arc::new(Int32Array::from_iter_values(rows.iter().map(f))) };
    let values = rows.iter().map(|(p, i)| (i % 7 != 3).then(|| i64::from(p * 31 + i * 17 % 101)));
    let batch = Batch::new(vec![of(|r| r.0), of(|r| r.1), Arc::new(Int64Array::from_iter(values))], rows.len());
    let cx = task();
    let input = columns(&[SqlType::Int, SqlType::Int, SqlType::BigInt]);
    let value = Expr::Column(input[2].clone());
    let by_rows = |start, end| frame(FrameUnit::Rows, start, end);
    let shift = |offset| WindowFunction::Shift {
        value: value.clone(),
        offset,
        default: Scalar::BigInt(-1),
        ignore_nulls: false,
    };
    let running = by_rows(Unbounded, CurrentRow);
    let calls = vec![
        window_call(WindowFunction::RowNumber, Frame::whole(), SqlType::Int),
        aggregate("sum", Some(&input[2]), running.clone(), &cx),
        aggregate("sum", Some(&input[2]), Frame::running(), &cx),
        aggregate("min", Some(&input[2]), running.clone(), &cx),
        aggregate("count", Some(&input[2]), by_rows(Preceding(n(5)), Following(n(2))), &cx),
        aggregate("max", Some(&input[2]), by_rows(Preceding(n(300)), Preceding(n(100))), &cx),
        window_call(shift(3), Frame::whole(), SqlType::BigInt),
        window_call(shift(-2), Frame::whole(), SqlType::BigInt),
        window_call(
            WindowFunction::Nth { value: value.clone(), n: 2, ignore_nulls: true },
            by_rows(Preceding(n(2)), Following(n(1))),
            SqlType::BigInt,
        ),
        window_call(
            WindowFunction::Last { value: value.clone(), ignore_nulls: false },
            Frame::running(),
            SqlType::BigInt,
        ),
    ];
    let pieces = by_row(&calls, &batch, &cx);
    // One call that needs whole partitions keeps all of them whole.
    let ntile = window_call(WindowFunction::Ntile(4), Frame::whole(), SqlType::Int);
    let whole = by_row(&[calls, vec![ntile]].concat(), &batch, &cx);
    assert_eq!(pieces.len(), rows.len());
    for (piece, whole) in pieces.iter().zip(&whole) {
        assert_eq!(piece, whole.rsplit_once(' ').unwrap().0);
    }
}

#[test]
fn running_frames_end_with_peers_across_chunks() {
    let mut cx = task();
    cx.batch_rows = 10_000;
    let chunk = 1 << 16;
    // Runs of peers that a chunk would cut, and one that is longer than a chunk.
    let runs = [chunk - 10, 20, chunk + 500, 3, 40];
    let rows: Vec<i32> = runs.iter().zip(0..).flat_map(|(size, k)| std::iter::repeat_n(k, *size as usize)).collect();
    let count = rows.len();
    let batch = Batch::new(
        vec![
            Arc::new(Int32Array::from(vec![1; count])),
            Arc::new(Int32Array::from(rows.clone())),
            Arc::new(Int64Array::from(vec![2; count])),
        ],
        count,
    );
    let input = columns(&[SqlType::Int, SqlType::Int, SqlType::BigInt]);
    let results = by_row(&[aggregate("sum", Some(&input[2]), Frame::running(), &cx)], &batch, &cx);
    let mut sums = vec![0; runs.len()];
    let mut sum = 0;
    for (total, run) in sums.iter_mut().zip(runs) {
        sum += 2 * i64::from(run);
        *total = sum;
    }
    for (result, k) in results.iter().zip(&rows) {
        assert_eq!(*result, format!("1 {k} 2 {}", sums[*k as usize]));
    }
}
