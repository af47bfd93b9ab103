//! Files of an HTTP server: what is requested, what is read, and what goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![cfg(feature = "cloud")]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::*;
use common::{all_columns, block_on, column, context, open_as, rows};
use firesteel_catalog::ScanRequest;
use firesteel_common::{ErrorKind, Scalar};
use firesteel_expr::Expr;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// A server of files, with ranges, for the life of the process.
struct Server {
    url: String,
    log: Arc<Mutex<Vec<String>>>,
}

type Files = Arc<HashMap<String, Vec<u8>>>;

impl Server {
    /// Serves `files`; paths below `/busy` fail at the first two requests, those below `/secret` always.
    #[allow(clippy::disallowed_methods, reason = "the server is not part of the engine")]
    fn start(files: Vec<(&str, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files: Files = Arc::new(files.into_iter().map(|(path, bytes)| (path.to_string(), bytes)).collect());
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), &files, &seen);
            }
        });
        Self { url, log }
    }

    /// The requests since the last call: method, path and range.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn answer(mut stream: &TcpStream, files: &Files, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let Some(request) = lines.next() else { return };
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap().to_string(), words.next().unwrap().to_string());
    let range = lines.filter_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned)).last();
    let before = {
        let mut log = log.lock().unwrap();
        log.push(format!("{method} {path} {}", range.as_deref().unwrap_or("all")));
        log.iter().filter(|line| line.contains(&path)).count() - 1
    };
    let file = files.get(&path);
    let status = match file {
        _ if path.starts_with("/secret") => "403 Forbidden",
        _ if path.starts_with("/busy") && before < 2 => "503 Service Unavailable",
        None => "404 Not Found",
        Some(_) if range.is_some() => "206 Partial Content",
        Some(_) => "200 OK",
    };
    let body = file.filter(|_| status.starts_with('2')).map_or(&[][..], |file| file);
    let (from, to) = match range.as_deref().filter(|_| !body.is_empty()) {
        Some(range) => {
            let (from, to) = range.split_once('-').unwrap();
            (from.parse::<usize>().unwrap(), (to.parse::<usize>().unwrap() + 1).min(body.len()))
        }
        None => (0, body.len()),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", to - from);
    head += "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    if status.starts_with("206") {
        head += &format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, body.len());
    }
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    if method == "GET" {
        let _ = stream.write_all(&body[from..to]);
    }
}

const ROWS: i64 = 200_000;

/// `id` ascending, and two columns of which each is large.
fn parquet() -> Vec<u8> {
    let text = |salt: u64| (0..ROWS as u64).map(move |i| format!("{:x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS))),
        ("a", Arc::new(StringArray::from_iter_values(text(1)))),
        ("b", Arc::new(StringArray::from_iter_values(text(2)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100_000))
        .set_data_page_row_count_limit(5_000)
        .set_write_batch_size(1_000)
        .set_dictionary_enabled(false);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn parquet_is_read_by_ranges() {
    let file = parquet();
    let length = file.len() as u64;
    let server = Server::start(vec![("/data/a b.parquet", file.clone()), ("/data/a%20b.parquet", file)]);
    let table = open_as("parquet", &format!("{}/data/a%20b.parquet", server.url)).unwrap();
    assert_eq!(table.statistics().rows, Some(ROWS as u64));
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(requests[0].starts_with("HEAD") && !requests[1].ends_with("all"), "{requests:?}");

    let cx = context();
    let all = rows(&*table, ScanRequest { columns: all_columns(&*table), ..ScanRequest::default() }, &cx);
    assert_eq!(all.columns()[0].as_ref(), &Int64Array::from_iter_values(0..ROWS) as &dyn Array);
    assert!(server.requests().iter().all(|request| !request.ends_with("all")));

    // A filter on the sorted column: its page index, and then one page of each column.
    let id = column(&*table, "id");
    let filters = vec![Expr::eq(Expr::Column(id.0.clone()), Expr::Literal(Scalar::BigInt(123_456)))];
    let request =
        ScanRequest { columns: all_columns(&*table), filters, filter_columns: vec![id], ..ScanRequest::default() };
    let cx = context();
    let one = rows(&*table, request.clone(), &cx);
    assert_eq!(one.rows(), 1);
    assert_eq!(one.columns()[0].as_ref(), &Int64Array::from_iter_values([123_456]) as &dyn Array);
    let requests = server.requests();
    assert!(requests.len() <= 4, "{requests:?}");
    assert!(cx.metrics.bytes.load(Ordering::Relaxed) < length / 20);
    assert_eq!(cx.metrics.groups_pruned.load(Ordering::Relaxed), 1);
    assert_eq!(cx.metrics.pages_pruned.load(Ordering::Relaxed), 3 * 19);

    let sampled = block_on(table.sample(&request, &context())).unwrap().unwrap();
    assert!(sampled < 0.01, "{sampled}");
}

#[test]
fn text_files_and_requests_that_fail_at_first() {
    let csv = b"1,one\n2,two\n".to_vec();
    let json = b"{\"a\": 1}\n{\"a\": 2}\n{\"b\": true}\n".to_vec();
    let server = Server::start(vec![("/x.csv", csv.clone()), ("/x.json", json), ("/busy/x.csv", csv)]);
    for (format, name, columns, count) in
        [("csv", "x.csv", 2, 2), ("json", "x.json", 2, 3), ("csv", "busy/x.csv", 2, 2)]
    {
        let table = open_as(format, &format!("{}/{name}", server.url)).unwrap();
        assert_eq!(table.schema().len(), columns);
        let request = ScanRequest { columns: all_columns(&*table), ..ScanRequest::default() };
        assert_eq!(rows(&*table, request, &context()).rows(), count, "{name}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let server = Server::start(Vec::new());
    let error = |path: &str| open_as("parquet", path).unwrap_err();
    let missing = error(&format!("{}/nothing.parquet", server.url));
    assert_eq!((missing.condition(), missing.sqlstate()), ("PATH_NOT_FOUND", "42K03"));
    let secret = error(&format!("{}/secret/a.parquet", server.url));
    assert_eq!((secret.condition(), secret.kind()), ("FAILED_READ_FILE.NO_HINT", ErrorKind::Data));
    let listed = error(&format!("{}/data/*.parquet", server.url));
    assert_eq!(listed.kind(), ErrorKind::Unsupported);
    assert!(listed.hint().is_some());

    // Nobody listens there: an error, and soon.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unused = format!("http://{}/a.parquet", listener.local_addr().unwrap());
    drop(listener);
    let start = Instant::now();
    let refused = error(&unused);
    assert_eq!((refused.condition(), refused.kind()), ("FAILED_READ_FILE.NO_HINT", ErrorKind::Io));
    assert!(refused.message().contains("refused"), "{}", refused.message());
    assert!(refused.hint().is_some());
    assert!(start.elapsed() < Duration::from_secs(20));
}
