//! Every kind of join, with either side kept, against a nested loop over scalars.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringViewArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use firesteel_common::{Batch, ColumnId, Error, FilterId, Result, Selection, Span, SqlType, StageId, TaskId};
use firesteel_expr::{ColumnRef, EvalContext, Expr, FunctionRegistry};
use firesteel_plan::logical::{JoinKey, JoinKind};
use firesteel_plan::physical::{BuildMode, HashJoin, Side};
use firesteel_runtime::{CancelToken, MemoryPool};

use super::*;
use crate::operators::nested_loop_join::{NestedLoopBuild, NestedLoopJoinOperator};
use crate::{Operator, TaskContext};

fn context(batch_rows: usize) -> TaskContext {
    let registry = Arc::new(FunctionRegistry::new());
    TaskContext {
        id: TaskId { stage: StageId(0), task: 0, attempt: 0 },
        eval: EvalContext { registry, ansi: true, time_zone: Arc::from("UTC"), now: 0 },
        batch_rows,
        memory: MemoryPool::root(1 << 30),
        usage: Arc::default(),
        cancel: CancelToken::new(),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A row: two keys, a flag and an identity.
type Row = (Option<i64>, Option<i64>, Option<bool>, i64);

#[derive(Clone, Copy, Debug, PartialEq)]
enum KeyType {
    Dense,
    Sparse,
    Two,
    Text,
    Narrow,
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn rows(&mut self, count: usize, keys: u64, nulls: bool) -> Vec<Row> {
        let row = |i| {
            let null = |random: &mut Self| nulls && random.next(8) == 0;
            let a = (!null(self)).then(|| self.next(keys) as i64);
            let b = (!null(self)).then(|| self.next(2) as i64);
            let flag = (self.next(4) != 0).then(|| self.next(2) == 0);
            (a, b, flag, i as i64)
        };
        (0..count).map(row).collect()
    }
}

fn columns(base: u32, key: KeyType) -> Vec<ColumnRef> {
    let ty = match key {
        KeyType::Text => SqlType::String,
        KeyType::Narrow => SqlType::Int,
        _ => SqlType::BigInt,
    };
    let column = |i: u32, ty| ColumnRef { id: ColumnId(base + i), name: Arc::from("c"), ty, nullable: true };
    vec![column(0, ty.clone()), column(1, ty), column(2, SqlType::Boolean), column(3, SqlType::BigInt)]
}

fn key_array(values: &[Option<i64>], key: KeyType) -> ArrayRef {
    match key {
        KeyType::Sparse => Arc::new(values.iter().map(|v| v.map(|v| (v - 2) << 50)).collect::<Int64Array>()),
        KeyType::Text => {
            Arc::new(values.iter().map(|v| v.map(|v| "key".repeat(v as usize * 3))).collect::<StringViewArray>())
        }
        KeyType::Narrow => {
            Arc::new(values.iter().map(|v| v.map(|v| v as i32 - 3)).collect::<arrow::array::Int32Array>())
        }
        _ => Arc::new(values.iter().map(|v| v.map(|v| v - 3)).collect::<Int64Array>()),
    }
}

/// The rows in batches, with rows between them that are not selected.
fn batches(rows: &[Row], key: KeyType, size: usize) -> Vec<Batch> {
    let batch = |rows: &[Row]| {
        let spaced: Vec<Row> = rows.iter().flat_map(|row| [*row, (Some(1), Some(1), Some(true), -1)]).collect();
        let column = |f: &dyn Fn(&Row) -> Option<i64>| spaced.iter().map(f).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = vec![
            key_array(&column(&|r| r.0), key),
            key_array(&column(&|r| r.1), key),
            Arc::new(spaced.iter().map(|r| r.2).collect::<BooleanArray>()),
            Arc::new(spaced.iter().map(|r| Some(r.3)).collect::<Int64Array>()),
        ];
        let selected = (0..rows.len() as u32).map(|i| 2 * i).collect();
        Batch::new(columns, spaced.len()).with_selection(Some(Selection::new(selected)))
    };
    let some: Vec<Batch> = rows.chunks(size).map(batch).collect();
    // Every other batch is compact, so that paths for batches without selection are taken too.
    some.into_iter().enumerate().map(|(i, b)| if i % 2 == 0 { b } else { b.compact().unwrap() }).collect()
}

#[derive(Clone, Debug)]
struct Case {
    kind: JoinKind,
    build: Side,
    key: KeyType,
    null_safe: bool,
    null_aware: bool,
    residual: bool,
    tasks: usize,
}

fn mark() -> ColumnRef {
    ColumnRef { id: ColumnId(99), name: Arc::from("mark"), ty: SqlType::Boolean, nullable: true }
}

impl Case {
    fn output(&self) -> Vec<ColumnRef> {
        let (left, right) = (columns(0, self.key), columns(10, self.key));
        match &self.kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => vec![left[3].clone(), left[0].clone()],
            JoinKind::Mark(mark) => vec![left[3].clone(), mark.clone()],
            _ => vec![left[3].clone(), right[3].clone(), left[0].clone()],
        }
    }

    fn condition(&self) -> Expr {
        Expr::Or(vec![Expr::Column(columns(0, self.key)[2].clone()), Expr::Column(columns(10, self.key)[2].clone())])
    }

    fn node(&self) -> HashJoin {
        let (left, right) = (columns(0, self.key), columns(10, self.key));
        let key = |i: usize, null_safe| JoinKey {
            left: Expr::Column(left[i].clone()),
            right: Expr::Column(right[i].clone()),
            null_safe,
        };
        let mut on = vec![key(0, self.null_safe)];
        if self.key == KeyType::Two {
            on.push(key(1, false));
        }
        HashJoin {
            kind: self.kind.clone(),
            on,
            residual: self.residual.then(|| self.condition()),
            null_aware: self.null_aware,
            build: self.build,
            mode: BuildMode::Shared,
            hint: None,
            filters: vec![(FilterId(0), 0)],
        }
    }

    /// The truth of "these two match".
    fn truth(&self, l: &Row, r: &Row) -> Option<bool> {
        let equal = |a: Option<i64>, b: Option<i64>, null_safe: bool| match (a, b) {
            (Some(a), Some(b)) => Some(a == b),
            _ if null_safe => Some(a == b),
            _ => self.null_aware.then_some(()).map_or(Some(false), |()| None),
        };
        let keys = match equal(l.0, r.0, self.null_safe) {
            Some(true) if self.key == KeyType::Two => equal(l.1, r.1, false),
            other => other,
        };
        if keys != Some(true) || !self.residual {
            return keys;
        }
        match (l.2, r.2) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    /// Identities of the rows that are returned, or nothing for an error.
    fn expected(&self, left: &[Row], right: &[Row]) -> Option<BTreeMap<Vec<String>, usize>> {
        let mut out = BTreeMap::new();
        let mut add = |l: Option<&Row>, other: String| {
            let l = l.map_or("NULL".to_owned(), |l| l.3.to_string());
            *out.entry(vec![l, other]).or_insert(0) += 1;
        };
        let mut right_matched = vec![false; right.len()];
        for l in left {
            let truths: Vec<Option<bool>> = right.iter().map(|r| self.truth(l, r)).collect();
            let matches: Vec<usize> = (0..right.len()).filter(|i| truths[*i] == Some(true)).collect();
            matches.iter().for_each(|i| right_matched[*i] = true);
            let unknown = self.null_aware && truths.contains(&None);
            match &self.kind {
                JoinKind::LeftSemi if !matches.is_empty() => add(Some(l), String::new()),
                JoinKind::LeftAnti if matches.is_empty() && !unknown => {
                    add(Some(l), String::new());
                }
                JoinKind::LeftSemi | JoinKind::LeftAnti => {}
                JoinKind::Mark(_) => {
                    let text = if matches.is_empty() && unknown {
                        "NULL".to_owned()
                    } else {
                        (!matches.is_empty()).to_string()
                    };
                    add(Some(l), text);
                }
                JoinKind::LeftSingle(_) if matches.len() > 1 => return None,
                kind => {
                    matches.iter().for_each(|i| add(Some(l), right[*i].3.to_string()));
                    if matches.is_empty() && matches!(kind, JoinKind::Left | JoinKind::Full | JoinKind::LeftSingle(_)) {
                        add(Some(l), "NULL".to_owned());
                    }
                }
            }
        }
        if matches!(self.kind, JoinKind::Right | JoinKind::Full) {
            let unmatched = right.iter().zip(&right_matched).filter(|(_, matched)| !**matched);
            unmatched.for_each(|(r, _)| add(None, r.3.to_string()));
        }
        Some(out)
    }

    fn collect(&self, output: Vec<Batch>, limit: usize) -> BTreeMap<Vec<String>, usize> {
        let mut rows = BTreeMap::new();
        let types: Vec<SqlType> = self.output().into_iter().map(|c| c.ty).collect();
        for batch in output {
            assert!(batch.rows() > 0 && batch.rows() <= limit, "{} rows in a batch", batch.rows());
            let batch = batch.compact().unwrap();
            for (column, ty) in batch.columns().iter().zip(&types) {
                assert_eq!(*column.data_type(), ty.arrow());
            }
            let options = FormatOptions::default().with_null("NULL");
            let format = |i: usize| ArrayFormatter::try_new(batch.columns()[i].as_ref(), &options).unwrap();
            for row in 0..batch.rows() {
                let second = if matches!(self.kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
                    String::new()
                } else {
                    format(1).value(row).to_string()
                };
                *rows.entry(vec![format(0).value(row).to_string(), second]).or_insert(0) += 1;
            }
        }
        rows
    }

    fn spec(&self) -> JoinSpec {
        JoinSpec::new(&self.node(), &columns(0, self.key), &columns(10, self.key), &self.output()).unwrap()
    }

    fn run(&self, left: &[Row], right: &[Row], batch_rows: usize) -> Result<Vec<Batch>> {
        self.run_spec(self.spec(), left, right, batch_rows)
    }

    fn run_spec(&self, spec: JoinSpec, left: &[Row], right: &[Row], batch_rows: usize) -> Result<Vec<Batch>> {
        let cx = context(batch_rows);
        let sides = [batches(left, self.key, 5), batches(right, self.key, 5)];
        let build =
            JoinBuild::new(Arc::new(spec), sides[self.build.index()].clone(), cx.reserve("input"), self.tasks, &cx)?;
        let helped: Vec<Result<bool>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..self.tasks).map(|_| scope.spawn(|| build.help(&cx, Duration::MAX))).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        helped.into_iter().collect::<Result<Vec<bool>>>()?;
        let table = block_on(build.ready(&cx.cancel))?;
        let operators = (0..self.tasks).map(|task| HashJoinOperator::new(table.clone(), task as u32, &cx));
        drive(operators.collect::<Result<_>>()?, &sides[self.build.other().index()])
    }

    fn run_loop(&self, left: &[Row], right: &[Row], batch_rows: usize) -> Result<Vec<Batch>> {
        let cx = context(batch_rows);
        let sides = [batches(left, self.key, 5), batches(right, self.key, 5)];
        let inputs = [columns(0, self.key), columns(10, self.key)];
        let kept = &inputs[self.build.index()];
        let build = NestedLoopBuild::new(sides[self.build.index()].clone(), kept, self.tasks, &cx)?;
        let condition = self.condition();
        let operators = (0..self.tasks).map(|task| {
            let (kind, side, [l, r]) = (&self.kind, self.build, &inputs);
            NestedLoopJoinOperator::new(
                kind,
                Some(&condition),
                side,
                build.clone(),
                l,
                r,
                &self.output(),
                task as u32,
                &cx,
            )
        });
        drive(operators.collect::<Result<_>>()?, &sides[self.build.other().index()])
    }

    fn check(&self, seed: u64, sizes: (usize, usize), batch_rows: usize) {
        let mut random = Random(seed);
        let nulls = !seed.is_multiple_of(3);
        let (left, right) = (random.rows(sizes.0, 9, nulls), random.rows(sizes.1, 9, nulls));
        let result = self.run(&left, &right, batch_rows);
        let described = format!("{self:?} seed {seed} sizes {sizes:?}");
        match (self.expected(&left, &right), result) {
            (Some(expected), Ok(output)) => {
                assert_eq!(self.collect(output, batch_rows.max(5)), expected, "{described}")
            }
            (None, Err(error)) => assert_eq!(error.condition(), "SCALAR_SUBQUERY_TOO_MANY_ROWS", "{described}"),
            (expected, result) => panic!("{described}: expected {expected:?}, got {:?}", result.map(|b| b.len())),
        }
    }
}

/// Gives the batches to the tasks by turns.
fn drive<O: Operator>(mut operators: Vec<O>, probe: &[Batch]) -> Result<Vec<Batch>> {
    let mut output = Vec::new();
    let count = operators.len();
    for (i, batch) in probe.iter().enumerate() {
        let operator = &mut operators[i % count];
        if operator.is_done() {
            continue;
        }
        operator.push(batch.clone())?;
        while let Some(batch) = operator.next_output()? {
            output.extend((batch.rows() > 0).then_some(batch));
        }
    }
    for operator in &mut operators {
        operator.input_done()?;
        while let Some(batch) = operator.next_output()? {
            output.extend((batch.rows() > 0).then_some(batch));
        }
    }
    Ok(output)
}

fn kinds() -> Vec<JoinKind> {
    use JoinKind::*;
    vec![Inner, Left, Right, Full, LeftSemi, LeftAnti, LeftSingle(Span::NONE), Mark(mark())]
}

fn check_all(residual: bool, null_safe: bool) {
    let keys = [KeyType::Dense, KeyType::Sparse, KeyType::Two, KeyType::Text, KeyType::Narrow];
    let mut seed = 0;
    for kind in kinds() {
        for build in [Side::Left, Side::Right] {
            for key in keys {
                for (tasks, sizes) in [(1, (20, 12)), (3, (12, 30)), (2, (0, 5)), (2, (5, 0)), (1, (40, 3))] {
                    seed += 1;
                    let kind = kind.clone();
                    let case = Case { kind, build, key, null_safe, null_aware: false, residual, tasks };
                    case.check(seed, sizes, if seed % 2 == 0 { 4 } else { 1000 });
                }
            }
        }
    }
}

#[test]
fn every_kind_and_key_agrees_with_a_nested_loop() {
    check_all(false, false);
}

#[test]
fn null_safe_keys_agree_with_a_nested_loop() {
    check_all(false, true);
}

#[test]
fn residuals_agree_with_a_nested_loop() {
    check_all(true, false);
}

#[test]
fn null_aware_joins_are_not_in() {
    for seed in 0..60 {
        for kind in [JoinKind::LeftAnti, JoinKind::Mark(mark())] {
            for build in [Side::Left, Side::Right] {
                let kind = kind.clone();
                let key = if seed % 2 == 0 { KeyType::Dense } else { KeyType::Text };
                let case = Case { kind, build, key, null_safe: false, null_aware: true, residual: false, tasks: 2 };
                // Seeds that 3 divides have no NULL.
                case.check(seed, (12, seed as usize % 5), 7);
            }
        }
    }
}

#[test]
fn nested_loop_joins_agree_with_a_nested_loop() {
    for (seed, kind) in kinds().into_iter().enumerate() {
        for build in [Side::Left, Side::Right] {
            if build == Side::Left && !matches!(kind, JoinKind::Inner | JoinKind::Right)
                || build == Side::Right && matches!(kind, JoinKind::Right)
            {
                continue;
            }
            for (tasks, sizes) in [(1, (20, 12)), (3, (12, 30)), (2, (0, 5)), (2, (5, 0)), (1, (40, 1))] {
                let key = KeyType::Dense;
                let kind = kind.clone();
                let case = Case { kind, build, key, null_safe: false, null_aware: false, residual: true, tasks };
                let mut random = Random(seed as u64);
                // One key value: only the condition decides.
                let (left, right) = (random.rows(sizes.0, 1, false), random.rows(sizes.1, 1, false));
                match (case.expected(&left, &right), case.run_loop(&left, &right, 6)) {
                    (Some(expected), Ok(output)) => assert_eq!(case.collect(output, 6), expected, "{case:?}"),
                    (None, Err(error)) => assert_eq!(error.condition(), "SCALAR_SUBQUERY_TOO_MANY_ROWS"),
                    (expected, got) => panic!("{case:?}: {expected:?} {:?}", got.map(|b| b.len())),
                }
            }
        }
    }
}

#[test]
fn filters_pass_what_matches_and_nothing_else() {
    for key in [KeyType::Dense, KeyType::Sparse, KeyType::Two, KeyType::Text] {
        for rows in [0, 40] {
            let (kind, build) = (JoinKind::Inner, Side::Right);
            let case = Case { kind, build, key, null_safe: false, null_aware: false, residual: false, tasks: 1 };
            let cx = context(100);
            let (l, r) = (columns(0, key), columns(10, key));
            let spec = Arc::new(JoinSpec::new(&case.node(), &l, &r, &case.output()).unwrap());
            let right = Random(7).rows(rows, 9, true);
            let build = JoinBuild::new(spec, batches(&right, key, 5), cx.reserve("input"), 1, &cx).unwrap();
            build.help(&cx, Duration::MAX).unwrap();
            let table = block_on(build.ready(&cx.cancel)).unwrap();
            assert_eq!(table.rows(), rows);
            let filter = table.runtime_filter(0).unwrap().unwrap();
            let probe: Vec<Option<i64>> = (0..30).map(Some).chain([None]).collect();
            let passed = filter.select(&key_array(&probe, key)).unwrap();
            let members = |v: &Option<i64>| v.is_some() && right.iter().any(|r| r.0 == *v);
            let expected: Vec<u32> = (0..31).filter(|i| members(&probe[*i as usize])).collect();
            assert_eq!(passed.indices(), expected, "{key:?}");
        }
    }
}

#[test]
fn carried_columns_are_rows_of_the_build_side() {
    let mut random = Random(5);
    let (left, right) = (random.rows(60, 9, true), random.rows(40, 9, true));
    let mut carried = 0;
    for (kind, build) in kinds().into_iter().flat_map(|kind| [(kind.clone(), Side::Left), (kind, Side::Right)]) {
        let key = KeyType::Dense;
        let case = Case { kind, build, key, null_safe: false, null_aware: false, residual: false, tasks: 2 };
        let output = case.output();
        let types: Vec<SqlType> = output.iter().map(|column| column.ty.clone()).collect();
        let spec = case.spec().carrying(&output.iter().map(|column| column.id).collect(), &output);
        let Ok(batches) = case.run_spec(spec, &left, &right, 100) else { continue };
        carried += batches
            .iter()
            .flat_map(Batch::columns)
            .filter(|c| matches!(c.data_type(), DataType::Dictionary(..)))
            .count();
        let batches = batches.into_iter().map(|batch| batch.canonical(&types).unwrap()).collect();
        assert_eq!(Some(case.collect(batches, 100)), case.expected(&left, &right), "{case:?}");
    }
    assert!(carried > 10, "{carried} columns");
}

#[test]
fn an_error_of_one_helper_reaches_all() {
    let cx = context(100);
    let (kind, build, key) = (JoinKind::Inner, Side::Right, KeyType::Dense);
    let case = Case { kind, build, key, null_safe: false, null_aware: false, residual: false, tasks: 2 };
    let (l, r) = (columns(0, key), columns(10, key));
    let spec = Arc::new(JoinSpec::new(&case.node(), &l, &r, &case.output()).unwrap());
    let small = TaskContext { memory: MemoryPool::root(100), ..cx.clone() };
    let build =
        JoinBuild::new(spec, batches(&Random(1).rows(50, 9, true), key, 5), small.reserve("input"), 2, &small).unwrap();
    let condition = |error: Error| error.condition().to_owned();
    assert_eq!(build.help(&cx, Duration::MAX).map_err(condition), Err("UNABLE_TO_ACQUIRE_MEMORY".to_owned()));
    assert_eq!(build.help(&cx, Duration::MAX).map_err(condition), Err("UNABLE_TO_ACQUIRE_MEMORY".to_owned()));
    let table = block_on(build.ready(&cx.cancel));
    assert_eq!(table.map(|t| t.rows()).map_err(condition), Err("UNABLE_TO_ACQUIRE_MEMORY".to_owned()));
}

#[test]
fn threads_that_insert_at_once_lose_no_row() {
    let cx = context(8192);
    // 50,000 keys with four rows each, and a fifth of which three rows out of four are NULL.
    let rows: Vec<Row> =
        (0..250_000).map(|i| ((i < 200_000 || i % 4 == 0).then_some(i / 4), Some(0), None, i)).collect();
    let probe: Vec<Row> = (0..70_000).map(|i| (Some(i), Some(0), None, i)).collect();
    for key in [KeyType::Dense, KeyType::Sparse, KeyType::Two] {
        for kind in [JoinKind::Inner, JoinKind::LeftSemi] {
            let (semi, build) = (kind == JoinKind::LeftSemi, Side::Right);
            let case = Case { kind, build, key, null_safe: false, null_aware: false, residual: false, tasks: 4 };
            let (l, r) = (columns(0, key), columns(10, key));
            let spec = Arc::new(JoinSpec::new(&case.node(), &l, &r, &case.output()).unwrap());
            // Keys of the sparse type are spread over the top bits and wrap; these are few enough not to.
            let shrink = |rows: &[Row]| rows.iter().map(|r| (r.0.map(|a| a % 8000), r.1, r.2, r.3)).collect();
            let sparse = key == KeyType::Sparse;
            let (rows, probe): (Vec<Row>, Vec<Row>) =
                if sparse { (shrink(&rows), shrink(&probe[..8000])) } else { (rows.clone(), probe.clone()) };
            let build = JoinBuild::new(spec, batches(&rows, key, 30_000), cx.reserve("input"), 4, &cx).unwrap();
            std::thread::scope(|scope| {
                (0..4).for_each(|_| drop(scope.spawn(|| build.help(&cx, Duration::MAX).unwrap())))
            });
            let table = block_on(build.ready(&cx.cancel)).unwrap();
            let operator = HashJoinOperator::new(table, 0, &cx).unwrap();
            let output = drive(vec![operator], &batches(&probe, key, 10_000)).unwrap();
            let count: usize = output.iter().map(Batch::rows).sum();
            let matched = rows.iter().filter(|r| r.0.is_some()).count();
            let keys = if sparse { 8000 } else { 62_500 };
            assert_eq!(count, if semi { keys } else { matched }, "{case:?}");
        }
    }
}
