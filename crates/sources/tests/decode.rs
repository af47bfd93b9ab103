//! The own page decoder against the Parquet crate's Arrow reader: encodings, page versions, NULLs,
//! compressions and selections of any density.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::filter;
use common::data::{Shape, random, read, write};
use common::{Numbers, all_columns, column, context, open, rows};
use firesteel_catalog::{ScanContext, ScanRequest, TableProvider};
use firesteel_common::{Scalar, SqlType};
use firesteel_expr::{Expr, op};
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::parser::parse_message_type;

const COMPRESSIONS: [fn() -> Compression; 6] = [
    || Compression::UNCOMPRESSED,
    || Compression::SNAPPY,
    || Compression::ZSTD(ZstdLevel::default()),
    || Compression::GZIP(GzipLevel::default()),
    || Compression::LZ4_RAW,
    || Compression::BROTLI(BrotliLevel::default()),
];

/// PLAIN, codes only, and dictionaries that are given up in the middle; small pages.
fn layout(number: usize) -> WriterProperties {
    let base = WriterProperties::builder()
        .set_compression(COMPRESSIONS[number % 6]())
        .set_data_page_row_count_limit([7, 100, 1_000][number / 6 % 3])
        .set_data_page_size_limit([300, 5_000][number % 2])
        .set_write_batch_size([1, 7, 64][number / 3 % 3])
        .set_max_row_group_row_count(Some([700, 100_000][number / 2 % 2]));
    let dictionary = |base: WriterPropertiesBuilder| match number % 3 {
        0 => base.set_dictionary_enabled(false),
        1 => base.set_dictionary_enabled(true),
        _ => base.set_dictionary_page_size_limit(200),
    };
    let version = |base: WriterPropertiesBuilder| match number / 3 % 2 {
        0 => base.set_writer_version(WriterVersion::PARQUET_1_0),
        _ => base
            .set_writer_version(WriterVersion::PARQUET_2_0)
            // The encodings of version 2 are not the own decoder's.
            .set_encoding(Encoding::PLAIN),
    };
    let index = |base: WriterPropertiesBuilder| match number / 4 % 2 {
        0 => base,
        _ => base.set_offset_index_disabled(true).set_statistics_enabled(EnabledStatistics::Chunk),
    };
    index(version(dictionary(base))).build()
}

/// The rows that pass `filters`, against those of the Arrow reader that `keep` keeps.
fn check(
    table: &dyn TableProvider,
    file: &[u8],
    filters: Vec<(Expr, &str)>,
    keep: &BooleanArray,
    cx: &ScanContext,
    what: &str,
) {
    let types: Vec<SqlType> = table.schema().iter().map(|f| f.ty.clone()).collect();
    let request = ScanRequest {
        columns: all_columns(table),
        filter_columns: filters.iter().map(|(_, name)| column(table, name)).collect(),
        filters: filters.into_iter().map(|(filter, _)| filter).collect(),
        ..ScanRequest::default()
    };
    let found = rows(table, request, cx);
    for (i, wanted) in read(file.to_vec(), &types).iter().enumerate() {
        let wanted = filter(wanted, keep).unwrap();
        assert_eq!(&found.columns()[i], &wanted, "{what}, column {}", table.schema()[i].name);
    }
}

#[test]
fn all_layouts_and_selections() {
    let mut numbers = Numbers(0x1234_5678_9ABC_DEF1);
    for number in 0..36 {
        let shape = Shape {
            rows: 1 + numbers.below(3_000) as usize,
            nulls: [0, 30, 100, 95][number % 4],
            distinct: [3, 300, 5_000][number / 2 % 3],
            sorted: number % 5 == 0,
        };
        let file = write(&random(shape, &mut numbers), layout(number));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        std::fs::write(&path, &file).unwrap();
        let table = open(&path);
        let types: Vec<SqlType> = table.schema().iter().map(|f| f.ty.clone()).collect();
        let what = format!("layout {number}, {shape:?}");
        let stored = read(file.clone(), &types);
        let cx = ScanContext { batch_rows: [3, 100, 4_000][number % 3], ..context() };
        check(&*table, &file, Vec::new(), &BooleanArray::from(vec![true; shape.rows]), &cx, &what);

        // By a column without order: any density.
        let limit = [0, 2, 40, 300, 900][numbers.below(5) as usize];
        let pick = stored.last().unwrap().as_primitive::<arrow::datatypes::Int32Type>().clone();
        let keep = BooleanArray::from_unary(&pick, |v| v < limit);
        let below = |limit| {
            let column = Expr::Column(column(&*table, "pick").0);
            Expr::predicate(op::LT, vec![column, Expr::Literal(Scalar::Int(limit))])
        };
        check(&*table, &file, vec![(below(limit), "pick")], &keep, &cx, &format!("{what}, pick < {limit}"));

        // By a column that may be codes, and may be NULL; then both.
        let text = stored[14].as_string_view().clone();
        let pivot = text.iter().flatten().nth(shape.rows / 3).unwrap_or("none").to_string();
        let larger = Expr::predicate(
            op::GT_EQ,
            vec![Expr::Column(column(&*table, "text").0), Expr::Literal(Scalar::string(&pivot))],
        );
        let keep_text: BooleanArray = text.iter().map(|v| Some(v.is_some_and(|v| v >= pivot.as_str()))).collect();
        check(&*table, &file, vec![(larger.clone(), "text")], &keep_text, &cx, &format!("{what}, text"));
        let both = arrow::compute::and(&keep, &keep_text).unwrap();
        check(&*table, &file, vec![(larger, "text"), (below(limit), "pick")], &both, &cx, &format!("{what}, both"));
    }
}

/// A file of one column `pick INT` of the given pages.
fn file_of_pages(pages: Vec<Page>, rows: i64, nullable: bool) -> Vec<u8> {
    let schema = format!("message m {{ {} int32 pick; }}", if nullable { "optional" } else { "required" });
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut sink = TrackedWrite::new(Vec::new());
    let mut written = SerializedPageWriter::new(&mut sink);
    let (mut bytes, mut first_data, mut dictionary) = (0, None, None);
    for page in pages {
        let length = page.buffer().len();
        let is_dictionary = page.page_type() == PageType::DICTIONARY_PAGE;
        let spec = written.write_page(CompressedPage::new(page, length)).unwrap();
        bytes += spec.bytes_written;
        let place = if is_dictionary { &mut dictionary } else { &mut first_data };
        place.get_or_insert(spec.offset as i64);
    }
    written.close().unwrap();
    let chunk = sink.into_inner().unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema.clone(), properties).unwrap();
    let descriptor = writer.schema_descr().column(0);
    let metadata = ColumnChunkMetaData::builder(descriptor)
        .set_compression(Compression::UNCOMPRESSED)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_num_values(rows)
        .set_total_compressed_size(bytes as i64)
        .set_total_uncompressed_size(bytes as i64)
        .set_data_page_offset(first_data.unwrap())
        .set_dictionary_page_offset(dictionary)
        .build()
        .unwrap();
    let mut group = writer.next_row_group().unwrap();
    let close = ColumnCloseResult {
        bytes_written: bytes,
        rows_written: rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    group.append_column(&bytes::Bytes::from(chunk), close).unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn plain(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn version_1(buf: Vec<u8>, rows: u32, encoding: Encoding) -> Page {
    Page::DataPage {
        buf: buf.into(),
        num_values: rows,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

fn version_2(buf: Vec<u8>, rows: u32, levels: u32, encoding: Encoding, nulls: u32) -> Page {
    Page::DataPageV2 {
        buf: buf.into(),
        num_values: rows,
        encoding,
        num_nulls: nulls,
        num_rows: rows,
        def_levels_byte_len: levels,
        rep_levels_byte_len: 0,
        is_compressed: false,
        statistics: None,
    }
}

#[test]
fn pages_that_writers_rarely_make() {
    let entries = |values: &[i32]| Page::DictionaryPage {
        buf: plain(values).into(),
        num_values: values.len() as u32,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    };
    let none: fn() -> Vec<Page> = || vec![version_1(plain(&[]), 0, Encoding::PLAIN)];
    // Pages without rows, before, between and after others, of both versions and encodings.
    let mut required = none();
    required.push(version_1(plain(&[5, 6]), 2, Encoding::PLAIN));
    required.push(version_2(plain(&[]), 0, 0, Encoding::PLAIN, 0));
    required.push(version_2(plain(&[7]), 1, 0, Encoding::PLAIN, 0));
    required.extend(none());
    // Codes of no bits, and of one; a page of no codes; then the dictionary is given up.
    let coded = vec![
        entries(&[40, 41]),
        version_1(vec![0, 3 << 1], 3, Encoding::RLE_DICTIONARY),
        version_1(vec![1], 0, Encoding::RLE_DICTIONARY),
        version_1(vec![1, 1 << 1 | 1, 0b0101_0010], 8, Encoding::RLE_DICTIONARY),
        version_1(plain(&[9]), 1, Encoding::PLAIN),
    ];
    // Levels: all NULL without values; some NULLs; none, said by a run and by the header.
    let mut some = vec![2, 0, 0, 0, 1 << 1 | 1, 0b0000_0101];
    some.extend(plain(&[1, 2]));
    let mut run = vec![2, 0, 0, 0, 2 << 1, 1];
    run.extend(plain(&[3, 4]));
    let mut header = vec![2 << 1, 1];
    header.extend(plain(&[5, 6]));
    let nullable = vec![
        version_1(vec![2, 0, 0, 0, 4 << 1, 0], 4, Encoding::PLAIN),
        version_1(some, 4, Encoding::PLAIN),
        version_1(run, 2, Encoding::PLAIN),
        version_2(vec![3 << 1, 0], 3, 2, Encoding::PLAIN, 3),
        version_2(header, 2, 2, Encoding::PLAIN, 0),
    ];
    for (what, pages, rows, optional) in
        [("empty", required, 3, false), ("coded", coded, 12, false), ("levels", nullable, 15, true)]
    {
        let file = file_of_pages(pages, rows, optional);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        std::fs::write(&path, &file).unwrap();
        let table = open(&path);
        for batch_rows in [1, 2, 5, 100] {
            let cx = ScanContext { batch_rows, ..context() };
            let all = BooleanArray::from(vec![true; rows as usize]);
            check(&*table, &file, Vec::new(), &all, &cx, what);
            let stored = read(file.clone(), &[SqlType::Int])[0].as_primitive::<arrow::datatypes::Int32Type>().clone();
            for limit in [0, 2, 6, 41, 100] {
                let column = Expr::Column(column(&*table, "pick").0);
                let filter = Expr::predicate(op::LT, vec![column, Expr::Literal(Scalar::Int(limit))]);
                let keep: BooleanArray = stored.iter().map(|v| Some(v.is_some_and(|v| v < limit))).collect();
                check(&*table, &file, vec![(filter, "pick")], &keep, &cx, &format!("{what} < {limit}"));
            }
        }
    }
}
