//! Sessions: tables, views, parameters, functions, files, cancelling.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{rows, run, session, sorted_rows};
use firesteel::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use firesteel::arrow::datatypes::Int64Type;
use firesteel::functions::col;
use firesteel::{Params, SaveMode, Scalar, SqlType};
use futures::StreamExt;

fn batch() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

/// A folder that is removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("firesteel-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn batches_become_frames_tables_and_views() {
    run(async {
        let session = session();
        let df = session.create_dataframe(vec![batch()]).unwrap();
        assert_eq!(rows(&df.filter(col("id").gt(1)).unwrap().sort("id").unwrap()).await, ["2 NULL", "3 c"]);
        session.register_batches("people", vec![batch()]).unwrap();
        assert_eq!(session.table("people").await.unwrap().count().await.unwrap(), 3);
        // The view keeps the batches alive, and a frame over it survives the view.
        df.filter("id > 1").unwrap().create_or_replace_temp_view("some").unwrap();
        drop(df);
        let over = session.sql("SELECT count(*) FROM some AS a JOIN some AS b ON a.id = b.id").await.unwrap();
        let error = over.create_temp_view("some").unwrap_err();
        assert_eq!(error.condition(), "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS");
        session.sql("DROP VIEW some").await.unwrap();
        assert_eq!(rows(&over).await, ["2"]);
        assert_eq!(session.sql("SELECT * FROM some").await.unwrap_err().condition(), "TABLE_OR_VIEW_NOT_FOUND");
    });
}

#[test]
fn parameters_are_values() {
    run(async {
        let session = session();
        let text = "'; DROP TABLE t; --";
        let df =
            session.sql_with_params("SELECT :text AS t, :n + 1 AS n", Params::new().named("text", text).named("n", 1));
        assert_eq!(rows(&df.await.unwrap()).await, [format!("{text} 2")]);
        let df = session.sql_with_params("SELECT ? + ?, ?", (1, 2.5, Scalar::Date(0))).await.unwrap();
        assert_eq!(rows(&df).await, ["3.5 1970-01-01"]);
        let error = session.sql_with_params("SELECT :a", [("b", 1)]).await.unwrap_err();
        assert_eq!(error.condition(), "UNBOUND_SQL_PARAMETER");
    });
}

#[test]
fn functions_are_registered() {
    run(async {
        let session = session();
        let add =
            session.udf_register("Plus", [SqlType::BigInt, SqlType::BigInt], SqlType::BigInt, |args: &[ArrayRef]| {
                let (a, b) = (args[0].as_primitive::<Int64Type>(), args[1].as_primitive::<Int64Type>());
                Ok(Arc::new(a.iter().zip(b).map(|(a, b)| Some(a? + b?)).collect::<Int64Array>()) as ArrayRef)
            });
        session.udf_register("shout", [SqlType::String], SqlType::String, |args: &[ArrayRef]| {
            let text = args[0].as_string_view().iter().map(|text| text.map(|text| format!("{text}!")));
            Ok(Arc::new(text.collect::<StringArray>()) as ArrayRef)
        });
        let sql = "SELECT plus(id, 10) AS p, shout(CAST(id AS STRING)) AS s, PLUS(NULL, 1) AS n FROM range(2)";
        assert_eq!(sorted_rows(&session.sql(sql).await.unwrap()).await, ["10 0! NULL", "11 1! NULL"]);
        let df = session.sql("SELECT id FROM range(2)").await.unwrap();
        let df = df.select(add.call([col("id"), col("id")]).alias("twice")).unwrap();
        assert_eq!(sorted_rows(&df).await, ["0", "2"]);
        let error = session.sql("SELECT plus(1)").await.unwrap_err();
        assert_eq!(error.condition(), "WRONG_NUM_ARGS.WITHOUT_SUGGESTION");
        session.udf_register("short", [SqlType::BigInt], SqlType::BigInt, |_: &[ArrayRef]| {
            Ok(Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef)
        });
        let error = session.sql("SELECT short(id) FROM range(2)").await.unwrap().collect().await.unwrap_err();
        assert_eq!(error.condition(), "FAILED_EXECUTE_UDF");
    });
}

#[test]
fn files_are_written_and_read() {
    run(async {
        let (session, folder) = (session(), Folder::new("session"));
        let df = session.create_dataframe(vec![batch()]).unwrap();
        for format in ["parquet", "json"] {
            let path = folder.file(format);
            assert_eq!(df.write().save(format, &path).await.unwrap(), 3);
            assert_eq!(df.write().save(format, &path).await.unwrap_err().condition(), "PATH_ALREADY_EXISTS");
            assert_eq!(df.write().mode(SaveMode::Ignore).save(format, &path).await.unwrap(), 0);
            df.write().mode(SaveMode::Append).save(format, &path).await.unwrap();
            assert_eq!(session.read().load(format, &[&path]).await.unwrap().count().await.unwrap(), 6);
            df.limit(1).write().mode(SaveMode::Overwrite).save(format, &path).await.unwrap();
            assert_eq!(rows(&session.read().load(format, &[&path]).await.unwrap()).await, ["1 a"]);
        }
        let csv = folder.file("csv");
        df.write().option("header", true).csv(&csv).await.unwrap();
        let read = session.read().option("header", true).schema("id BIGINT, name STRING").csv(&csv).await.unwrap();
        assert_eq!(sorted_rows(&read).await, ["1 a", "2 NULL", "3 c"]);
        let error = session.read().parquet(folder.file("nothing")).await.unwrap_err();
        assert_eq!(error.condition(), "PATH_NOT_FOUND");
    });
}

#[test]
fn a_dropped_stream_cancels_the_query() {
    run(async {
        let session = session();
        let sql = "SELECT count(*) FROM range(100000) AS a CROSS JOIN range(100000) AS b WHERE a.id + b.id = -1";
        let df = session.sql(sql).await.unwrap();
        let stream = df.stream().unwrap();
        let handle = stream.handle().clone();
        assert!(!handle.is_cancelled());
        drop(stream);
        assert!(handle.is_cancelled());
        let started = std::time::Instant::now();
        while !handle.is_ended() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the query goes on");
        // Its tasks have given back their threads.
        assert_eq!(session.sql("SELECT 1").await.unwrap().count().await.unwrap(), 1);
        // A query that is cancelled while it is read says so.
        let mut stream = df.stream().unwrap();
        stream.handle().cancel();
        let error = loop {
            match stream.next().await {
                Some(Err(error)) => break error,
                Some(Ok(_)) => {}
                None => panic!("it ended as if nothing had happened"),
            }
        };
        assert_eq!(error.condition(), "OPERATION_CANCELED");
    });
}

#[test]
fn a_handle_tells_what_a_query_took() {
    run(async {
        let session = session();
        let df = session.sql("SELECT id % 7 AS k, count(*) FROM range(10000) GROUP BY 1").await.unwrap();
        let mut stream = df.stream().unwrap();
        while let Some(batch) = stream.next().await {
            batch.unwrap();
        }
        let handle = stream.handle();
        let metrics = handle.metrics().unwrap();
        assert!(metrics.stages >= 1 && metrics.tasks >= 1);
        assert_eq!(handle.progress().tasks, handle.progress().tasks_finished);
        assert_ne!(df.stream().unwrap().handle().id(), handle.id());
    });
}
