//! Random tables for differential tests, written in many layouts.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::TimeUnit;
use firesteel_common::SqlType;
use firesteel_common::encoding;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

use super::Numbers;

/// How values are spread over the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    /// NULLs of a hundred.
    pub(crate) nulls: u64,
    /// Different values, about.
    pub(crate) distinct: u64,
    /// Values follow the rows, with some noise, so that pages have narrow bounds.
    pub(crate) sorted: bool,
}

/// One column of each type; `key` has no NULLs.
pub(crate) fn random(shape: Shape, numbers: &mut Numbers) -> RecordBatch {
    let mut values = |nullable: bool| -> Vec<Option<i64>> {
        let step = (shape.rows as u64 / shape.distinct).max(1);
        let value = |row: usize, numbers: &mut Numbers| {
            if shape.sorted { row as u64 / step + numbers.below(4) } else { numbers.below(shape.distinct) }
        };
        let row = |row| (!nullable || numbers.below(100) >= shape.nulls).then(|| value(row, numbers) as i64 - 20);
        (0..shape.rows).map(row).collect()
    };
    let long = |v: i64| {
        format!(
            "{}{:06}{}",
            "a prefix that all values share, longer than what writers keep of bounds, ".repeat((v % 2) as usize),
            v,
            "x".repeat((v % 17) as usize)
        )
    };
    let decimal = |values: Vec<Option<i64>>, precision: u8, factor: i128| -> ArrayRef {
        let array: Decimal128Array = values.into_iter().map(|v| v.map(|v| i128::from(v) * factor)).collect();
        Arc::new(array.with_precision_and_scale(precision, 2).unwrap())
    };
    let double = |v: i64| if v % 29 == 7 { f64::NAN } else { v as f64 / 8.0 };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(values(false).into_iter().collect::<Int64Array>())),
        ("tiny", Arc::new(values(true).into_iter().map(|v| v.map(|v| (v % 100) as i8)).collect::<Int8Array>())),
        ("small", Arc::new(values(true).into_iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>())),
        ("int", Arc::new(values(true).into_iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())),
        ("big", Arc::new(values(true).into_iter().collect::<Int64Array>())),
        ("float", Arc::new(values(true).into_iter().map(|v| v.map(|v| double(v) as f32)).collect::<Float32Array>())),
        ("double", Arc::new(values(true).into_iter().map(|v| v.map(double)).collect::<Float64Array>())),
        ("dec9", decimal(values(true), 9, 1)),
        ("dec15", decimal(values(true), 15, 1_000_003)),
        ("dec30", decimal(values(true), 30, 1_000_000_000_000_000_003)),
        ("date", Arc::new(values(true).into_iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>())),
        ("time", Arc::new(values(true).into_iter().collect::<TimestampMicrosecondArray>().with_timezone_utc())),
        ("millis", Arc::new(values(true).into_iter().collect::<TimestampMillisecondArray>())),
        ("flag", Arc::new(values(true).into_iter().map(|v| v.map(|v| v % 40 < 20)).collect::<BooleanArray>())),
        ("text", Arc::new(values(true).into_iter().map(|v| v.map(|v| long(v.abs()))).collect::<StringArray>())),
        (
            "binary",
            Arc::new(values(true).into_iter().map(|v| v.map(|v| long(v.abs()).into_bytes())).collect::<BinaryArray>()),
        ),
        ("pick", Arc::new((0..shape.rows).map(|_| Some(numbers.below(1000) as i32)).collect::<Int32Array>())),
    ];
    assert!(columns.iter().all(|(_, c)| c.len() == shape.rows));
    assert_eq!(columns[12].1.data_type(), &arrow::datatypes::DataType::Timestamp(TimeUnit::Millisecond, None));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, name != "key"))).unwrap()
}

/// The bytes of a file that holds `batch`.
pub(crate) fn write(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// The columns of a file as the Parquet crate's reader has them, in the encodings of `types`.
pub(crate) fn read(file: Vec<u8>, types: &[SqlType]) -> Vec<ArrayRef> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let batch = arrow::compute::concat_batches(&schema, &batches).unwrap();
    batch.columns().iter().zip(types).map(|(column, ty)| encoding::canonical(column, ty).unwrap()).collect()
}
