//! What the tests of operators share.

use std::sync::Arc;

use firesteel_common::{Batch, ColumnId, SqlType, StageId, TaskId};
use firesteel_expr::{ColumnRef, EvalContext, Expr, SortKey};
use firesteel_runtime::{CancelToken, MemoryPool};

use crate::{Operator, TaskContext};

/// A task with the built-in functions and small output batches.
pub(crate) fn task() -> TaskContext {
    TaskContext {
        id: TaskId { stage: StageId(0), task: 0, attempt: 0 },
        eval: EvalContext {
            registry: firesteel_functions::builtin_registry(),
            ansi: true,
            time_zone: Arc::from("UTC"),
            now: 0,
        },
        batch_rows: 4,
        memory: MemoryPool::root(1 << 30),
        usage: Arc::default(),
        cancel: CancelToken::new(),
    }
}

/// Nullable columns `c0`, `c1`, … of these types.
pub(crate) fn columns(types: &[SqlType]) -> Vec<ColumnRef> {
    let column = |(i, ty): (usize, &SqlType)| ColumnRef {
        id: ColumnId(i as u32),
        name: Arc::from(format!("c{i}")),
        ty: ty.clone(),
        nullable: true,
    };
    types.iter().enumerate().map(column).collect()
}

/// A sort key.
pub(crate) fn key(column: &ColumnRef, ascending: bool, nulls_first: bool) -> SortKey {
    SortKey { expr: Expr::Column(column.clone()), ascending, nulls_first }
}

/// All output of an operator for `input`, driven as a pipeline does.
pub(crate) fn run(operator: &mut dyn Operator, input: Vec<Batch>) -> Vec<Batch> {
    let mut output = Vec::new();
    for batch in input {
        operator.push(batch).unwrap();
        while let Some(batch) = operator.next_output().unwrap() {
            output.push(batch);
        }
    }
    operator.input_done().unwrap();
    while let Some(batch) = operator.next_output().unwrap() {
        output.push(batch);
    }
    output
}

/// The rows of batches as text, one string per row; NULL is `-`.
pub(crate) fn text(batches: &[Batch]) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("-");
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.clone().compact().unwrap();
        let formatters: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.rows() {
            let values: Vec<String> = formatters.iter().map(|f| f.value(row).to_string()).collect();
            rows.push(values.join(" "));
        }
    }
    rows
}
