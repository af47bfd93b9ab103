//! CSV, JSON lines and written files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use firesteel_catalog::runtime_filter::NoRuntimeFilters;
use firesteel_catalog::{Field, ScanContext, ScanRequest, TableProvider};
use firesteel_common::{Batch, ColumnId, Result, Scalar, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, FunctionRegistry};
use firesteel_sources::{FileSink, MemoryTable, ObjectStores, Target, open_table};
use futures::StreamExt;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn open(format: &str, path: &str, schema: Option<Vec<Field>>, pairs: &[(&str, &str)]) -> Arc<dyn TableProvider> {
    block_on(open_table(format, &[path.to_string()], schema, &options(pairs), &ObjectStores::default())).unwrap()
}

fn rows(table: &dyn TableProvider) -> Result<Batch> {
    let mut registry = FunctionRegistry::new();
    firesteel_expr::kernels::register_operators(&mut registry);
    let registry = Arc::new(registry);
    let cx = ScanContext {
        eval: EvalContext { registry, ansi: true, time_zone: Arc::from("UTC"), now: 0 },
        batch_rows: 1_000,
        workers: 1,
        runtime_filters: Arc::new(NoRuntimeFilters),
        shared: None,
        metrics: Arc::default(),
    };
    let reference = |(i, f): (usize, &Field)| {
        (ColumnRef { id: ColumnId(i as u32), name: f.name.clone(), ty: f.ty.clone(), nullable: true }, i)
    };
    let columns: Vec<_> = table.schema().iter().enumerate().map(reference).collect();
    let types: Vec<SqlType> = columns.iter().map(|(c, _)| c.ty.clone()).collect();
    let scan = table.scan(ScanRequest { columns, ..ScanRequest::default() })?;
    let mut batches = Vec::new();
    for split in block_on(scan.splits(&cx))? {
        let found: Vec<Result<Batch>> = block_on(scan.open(&split, &cx).collect());
        batches.extend(found.into_iter().collect::<Result<Vec<_>>>()?);
    }
    Batch::concat(&batches, &types)
}

fn field(name: &str, ty: SqlType) -> Field {
    Field { name: Arc::from(name), ty, nullable: true }
}

#[test]
fn csv_with_and_without_inference() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "id,name,day\n1,\"a, b\",2024-02-29\n2,,2024-03-01\n").unwrap();
    let path = path.to_str().unwrap();
    let plain = open("csv", path, None, &[]);
    assert_eq!(plain.schema().iter().map(|f| f.name.to_string()).collect::<Vec<_>>(), ["_c0", "_c1", "_c2"]);
    assert_eq!(rows(&*plain).unwrap().rows(), 3);
    let typed = open("csv", path, None, &[("header", "true"), ("inferSchema", "true")]);
    let types: Vec<SqlType> = typed.schema().iter().map(|f| f.ty.clone()).collect();
    assert_eq!(types, [SqlType::Int, SqlType::String, SqlType::Date]);
    let batch = rows(&*typed).unwrap();
    assert_eq!(batch.columns()[0].as_primitive::<arrow::datatypes::Int32Type>().values(), &[1, 2]);
    assert_eq!(Scalar::from_array(&batch.columns()[1], 0, &SqlType::String).unwrap(), Scalar::string("a, b"));
    assert!(batch.columns()[1].is_null(1));
}

#[test]
fn malformed_records_by_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "1,x\ntwo,y\n3\n").unwrap();
    let path = path.to_str().unwrap();
    let schema = || Some(vec![field("a", SqlType::Int), field("b", SqlType::String)]);
    let permissive = rows(&*open("csv", path, schema(), &[])).unwrap();
    assert_eq!((permissive.rows(), permissive.columns()[0].null_count()), (3, 1));
    let dropped = rows(&*open("csv", path, schema(), &[("mode", "dropMalformed")])).unwrap();
    assert_eq!(dropped.rows(), 1);
    let error = rows(&*open("csv", path, schema(), &[("mode", "FAILFAST")])).unwrap_err();
    assert_eq!(error.condition(), "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION");
}

#[test]
fn json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    std::fs::write(&path, "{\"b\":1,\"a\":\"x\"}\n{\"b\":2.5}\n{broken\n{\"c\":true,\"a\":null}\n").unwrap();
    let table = open("json", path.to_str().unwrap(), None, &[]);
    let schema: Vec<_> = table.schema().iter().map(|f| (f.name.to_string(), f.ty.clone())).collect();
    let expected = [("a", SqlType::String), ("b", SqlType::Double), ("c", SqlType::Boolean)];
    assert_eq!(schema, expected.map(|(n, ty)| (n.to_string(), ty)));
    let batch = rows(&*table).unwrap();
    assert_eq!(batch.rows(), 4);
    assert_eq!(batch.columns()[1].null_count(), 2);
}

#[test]
fn large_files_are_cut_at_line_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let text: String = (0..1_500_000).map(|i| format!("{i},text\n")).collect();
    assert!(text.len() > 2 * (8 << 20));
    std::fs::write(&path, &text).unwrap();
    let schema = Some(vec![field("a", SqlType::Int), field("b", SqlType::String)]);
    let batch = rows(&*open("csv", path.to_str().unwrap(), schema, &[])).unwrap();
    assert_eq!(batch.rows(), 1_500_000);
    let values = batch.columns()[0].as_primitive::<arrow::datatypes::Int32Type>();
    assert!(values.values().iter().enumerate().all(|(i, v)| i as i32 == *v));
}

#[test]
fn what_is_written_can_be_read() {
    let fields = vec![
        field("i", SqlType::BigInt),
        field("d", SqlType::Decimal(15, 2)),
        field("s", SqlType::String),
        field("t", SqlType::Timestamp),
        field("y", SqlType::Date),
    ];
    let decimals = Decimal64Array::from(vec![Some(-1230), None, Some(5)]).with_precision_and_scale(15, 2).unwrap();
    let times = TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(decimals),
        Arc::new(StringViewArray::from(vec![Some("a \"quoted\", text \\"), Some(""), None])),
        Arc::new(times),
        Arc::new(Date32Array::from(vec![Some(1), Some(-1), None])),
    ];
    let batch = Batch::new(columns, 3);
    for (format, read) in [("parquet", &[][..]), ("csv", &[("header", "true")][..]), ("json", &[][..])] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let target = Target::Local(folder.clone());
        let mut sink = FileSink::create(format, &target, &fields, &options(read), 0).unwrap();
        block_on(sink.write(&batch)).unwrap();
        let summary = block_on(sink.finish()).unwrap();
        assert_eq!(summary.rows, 3);
        let mut dropped = FileSink::create(format, &target, &fields, &options(read), 1).unwrap();
        block_on(dropped.write(&batch)).unwrap();
        dropped.abort();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let schema = (format != "parquet").then(|| fields.clone());
        let back = rows(&*open(format, folder.to_str().unwrap(), schema, read)).unwrap();
        assert_eq!(back.columns(), batch.columns(), "{format}");
    }
}

#[test]
fn memory_tables_and_empty_directories() {
    let table = MemoryTable::new(
        vec![field("a", SqlType::Int)],
        vec![Batch::new(vec![Arc::new(Int32Array::from_iter_values(0..2_500))], 2_500)],
    );
    let table = table.unwrap();
    assert_eq!(table.statistics().rows, Some(2_500));
    assert_eq!(rows(&table).unwrap().rows(), 2_500);
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().to_str().unwrap().to_string()];
    let error = block_on(open_table("parquet", &paths, None, &options(&[]), &ObjectStores::default())).unwrap_err();
    assert_eq!((error.condition(), error.sqlstate()), ("UNABLE_TO_INFER_SCHEMA", "42KD9"));
}
