//! Parquet tables: what a scan returns, with pages, row groups, NULLs, filters and partitions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field as ArrowField, Schema};
use common::{OneFilter, all_columns, block_on, column, context, open, rows};
use firesteel_catalog::runtime_filter::RuntimeFilter;
use firesteel_catalog::{ScanContext, ScanRequest};
use firesteel_common::{FilterId, Scalar, SqlType};
use firesteel_expr::{Expr, op};
use firesteel_sources::{ObjectStores, open_table};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterVersion};

const ROWS: i64 = 50_000;

/// id, price DECIMAL(15,2), flag (few strings), text (long strings, all different), maybe (NULLs).
fn sample(from: i64, rows: i64) -> RecordBatch {
    let ids = from..from + rows;
    let price: Decimal128Array = ids.clone().map(|i| i128::from(i % 1000)).collect();
    let maybe = |i: i64| (i % 7 != 0).then_some(i as f64 / 2.0);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone())), false),
        ("price", Arc::new(price.with_precision_and_scale(15, 2).unwrap()), false),
        (
            "flag",
            Arc::new(ids.clone().map(|i| (i % 5 != 4).then(|| format!("flag {}", i % 3))).collect::<StringArray>()),
            true,
        ),
        (
            "text",
            Arc::new(
                ids.clone().map(|i| (i % 11 != 3).then(|| format!("a text that is long {i}"))).collect::<StringArray>(),
            ),
            true,
        ),
        ("maybe", Arc::new(ids.clone().map(maybe).collect::<Float64Array>()), true),
        ("small", Arc::new(ids.map(|i| Some((i % 100) as i32)).collect::<Date32Array>()), true),
    ];
    let fields: Vec<ArrowField> =
        columns.iter().map(|(n, c, null)| ArrowField::new(*n, c.data_type().clone(), *null)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c, _)| c).collect()).unwrap()
}

fn write(path: &std::path::Path, from: i64, properties: WriterProperties) {
    let file = std::fs::File::create(path).unwrap();
    let batch = sample(from, ROWS);
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn variants() -> Vec<WriterProperties> {
    let base = || {
        WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(30_000))
            .set_data_page_row_count_limit(1_500)
            .set_write_batch_size(500)
    };
    vec![
        base().build(),
        base().set_writer_version(WriterVersion::PARQUET_2_0).set_dictionary_enabled(false).build(),
        base()
            .set_offset_index_disabled(true)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
            .build(),
        base().set_dictionary_page_size_limit(3_000).build(),
        base()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_offset_index_disabled(true)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
            .build(),
    ]
}

/// The rows of the sample whose position passes, in the canonical encodings.
fn expected(keep: impl Fn(i64) -> bool) -> Vec<ArrayRef> {
    let mask = BooleanArray::from_iter((0..ROWS).map(|i| Some(keep(i))));
    let batch = arrow::compute::filter_record_batch(&sample(0, ROWS), &mask).unwrap();
    let types = [
        DataType::Int64,
        DataType::Decimal64(15, 2),
        DataType::Utf8View,
        DataType::Utf8View,
        DataType::Float64,
        DataType::Date32,
    ];
    batch.columns().iter().zip(types).map(|(c, ty)| arrow::compute::cast(c, &ty).unwrap()).collect()
}

#[test]
fn all_rows_in_all_layouts() {
    for (i, properties) in variants().into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.parquet"), 0, properties);
        let table = open(dir.path());
        assert_eq!(table.statistics().rows, Some(ROWS as u64));
        let request = ScanRequest { columns: all_columns(&*table), ..ScanRequest::default() };
        let batch = rows(&*table, request, &context());
        assert_eq!(batch.columns(), expected(|_| true), "variant {i}");
    }
}

/// `values` in row groups of 5,000 rows with dictionaries: how many different ones the table believes in.
fn believed(values: impl Iterator<Item = i64>) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(5_000)).build();
    let array: ArrayRef = Arc::new(values.collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("v", array)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    open(dir.path()).statistics().columns[0].distinct.unwrap() as f64
}

#[test]
fn dictionaries_of_the_first_row_group_tell_of_values_that_repeat_and_of_keys_in_order() {
    assert_eq!(believed((0..50_000).map(|i| i * 7_919 % 500)), 500.0);
    // Each key has eight rows in a row; of the numbers between the keys, most are none.
    let keys = believed((0..50_000).map(|i| i / 8 * 10));
    assert!((6_000.0..6_500.0).contains(&keys), "{keys}");
}

#[test]
fn filters_before_other_columns() {
    for (i, properties) in variants().into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.parquet"), 0, properties);
        let table = open(dir.path());
        let (id, flag) = (column(&*table, "id"), column(&*table, "flag"));
        let filters = vec![
            Expr::predicate(op::GT_EQ, vec![Expr::Column(id.0.clone()), Expr::Literal(Scalar::BigInt(20_000))]),
            Expr::predicate(op::LT, vec![Expr::Column(id.0.clone()), Expr::Literal(Scalar::BigInt(21_000))]),
            Expr::eq(Expr::Column(flag.0.clone()), Expr::Literal(Scalar::string("flag 1"))),
        ];
        let request = ScanRequest {
            columns: all_columns(&*table),
            filters,
            filter_columns: vec![id, flag],
            ..ScanRequest::default()
        };
        let cx = context();
        let fraction = block_on(table.sample(&request, &cx)).unwrap().unwrap();
        assert!((0.0..0.5).contains(&fraction));
        let batch = rows(&*table, request, &cx);
        let keep = |i: i64| (20_000..21_000).contains(&i) && i % 3 == 1 && i % 5 != 4;
        assert_eq!(batch.columns(), expected(keep), "variant {i}");
    }
}

#[test]
fn runtime_filters_prune_groups_and_rows() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.parquet"), 0, variants().remove(0));
    let table = open(dir.path());
    let mut bits = vec![0u64; 16];
    bits[0] = 1 << 5 | 1 << 40;
    let filter = RuntimeFilter::Bitmap { min: 40_000, max: 40_000 + 1023, bits: bits.into() };
    let cx = ScanContext { runtime_filters: Arc::new(OneFilter(Arc::new(filter))), ..context() };
    let request = ScanRequest {
        columns: all_columns(&*table),
        filter_columns: vec![column(&*table, "id")],
        runtime_filters: vec![(FilterId(1), 0)],
        ..ScanRequest::default()
    };
    let batch = rows(&*table, request, &cx);
    assert_eq!(batch.columns(), expected(|i| i == 40_005 || i == 40_040));
    assert_eq!(cx.metrics.groups_pruned.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn partitions_are_columns_and_prune() {
    let dir = tempfile::tempdir().unwrap();
    for year in [2023, 2024] {
        let directory = dir.path().join(format!("year={year}"));
        std::fs::create_dir(&directory).unwrap();
        write(&directory.join("a.parquet"), 0, variants().remove(0));
    }
    std::fs::write(dir.path().join("_SUCCESS"), "").unwrap();
    let table = open(dir.path());
    let year = column(&*table, "year");
    assert_eq!(year.0.ty, SqlType::Int);
    let filters = vec![Expr::eq(Expr::Column(year.0.clone()), Expr::Literal(Scalar::Int(2024)))];
    let request =
        ScanRequest { columns: vec![year.clone()], filters, filter_columns: vec![year], ..ScanRequest::default() };
    let cx = context();
    let batch = rows(&*table, request, &cx);
    assert_eq!(batch.rows(), ROWS as usize);
    assert_eq!(cx.metrics.groups_pruned.load(std::sync::atomic::Ordering::Relaxed), 2);
    let count = rows(&*table, ScanRequest::default(), &cx);
    assert_eq!(count.rows(), 2 * ROWS as usize);
}

#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, 0, variants().remove(0));
    let table = open(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..200_000].fill(0xEE);
    std::fs::write(&path, &bytes).unwrap();
    let scan = table.scan(ScanRequest { columns: all_columns(&*table), ..ScanRequest::default() }).unwrap();
    let cx = context();
    let splits = block_on(scan.splits(&cx)).unwrap();
    let first: Vec<_> = block_on(scan.open(&splits[0], &cx).collect());
    let error = first.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.condition(), "FAILED_READ_FILE.NO_HINT");
    std::fs::write(&path, "this is not a Parquet file").unwrap();
    let paths = [path.to_str().unwrap().to_string()];
    let stores = ObjectStores::default();
    let error = block_on(open_table("parquet", &paths, None, &BTreeMap::new(), &stores)).unwrap_err();
    assert_eq!((error.condition(), error.sqlstate()), ("CANNOT_READ_FILE_FOOTER", "KD001"));
    let missing = ["/no/such/path".to_string()];
    let error = block_on(open_table("parquet", &missing, None, &BTreeMap::new(), &stores)).unwrap_err();
    assert_eq!(error.condition(), "PATH_NOT_FOUND");
}

#[test]
fn objects_of_a_store_are_fetched_first() {
    use object_store::{ObjectStoreExt, PutPayload};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, 0, variants().remove(0));
    let store = Arc::new(object_store::memory::InMemory::new());
    let bytes = std::fs::read(&path).unwrap();
    block_on(store.put(&"data/a.parquet".into(), PutPayload::from(bytes))).unwrap();
    let stores = ObjectStores::default();
    stores.register("s3://bucket", store);
    let paths = ["s3://bucket/data/*.parquet".to_string()];
    let table = block_on(open_table("parquet", &paths, None, &BTreeMap::new(), &stores)).unwrap();
    let request = ScanRequest { columns: all_columns(&*table), ..ScanRequest::default() };
    assert_eq!(rows(&*table, request, &context()).columns(), expected(|_| true));
}
