//! Times of scans; run by hand: `FIRESTEEL_TPCH=… cargo test --release -p firesteel-sources -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use firesteel_catalog::runtime_filter::NoRuntimeFilters;
use firesteel_catalog::{ScanContext, ScanRequest, TableProvider};
use firesteel_common::{ColumnId, Scalar};
use firesteel_expr::{ColumnRef, EvalContext, Expr, FunctionRegistry, op};
use firesteel_sources::{ObjectStores, open_table};
use futures::StreamExt;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn column(table: &dyn TableProvider, name: &str) -> (ColumnRef, usize) {
    let at = table.schema().iter().position(|f| &*f.name == name).unwrap();
    let field = &table.schema()[at];
    (ColumnRef { id: ColumnId(at as u32), name: field.name.clone(), ty: field.ty.clone(), nullable: false }, at)
}

fn time(label: &str, table: &dyn TableProvider, columns: &[&str], filters: Vec<Expr>) {
    let mut registry = FunctionRegistry::new();
    firesteel_expr::kernels::register_operators(&mut registry);
    let registry = Arc::new(registry);
    let cx = ScanContext {
        eval: EvalContext { registry, ansi: true, time_zone: Arc::from("UTC"), now: 0 },
        batch_rows: 8_192,
        workers: 2,
        runtime_filters: Arc::new(NoRuntimeFilters),
        shared: None,
        metrics: Arc::default(),
    };
    let columns: Vec<_> = columns.iter().map(|c| column(table, c)).collect();
    let names: Vec<_> = filters.iter().flat_map(|f| f.columns()).map(|c| column(table, &c.name)).collect();
    let request = ScanRequest { columns, filters, filter_columns: names, ..ScanRequest::default() };
    let started = Instant::now();
    let fraction = block_on(table.sample(&request, &cx)).unwrap();
    let sampled = started.elapsed();
    let mut best = f64::MAX;
    let mut rows = 0;
    for _ in 0..3 {
        let started = Instant::now();
        let scan = table.scan(request.clone()).unwrap();
        rows = 0;
        for split in block_on(scan.splits(&cx)).unwrap() {
            block_on(scan.open(&split, &cx).for_each(|batch| {
                rows += batch.unwrap().rows();
                std::future::ready(())
            }));
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e3);
    }
    eprintln!("{label}: {best:.1} ms, {rows} rows, sample {fraction:?} in {sampled:?}");
}

#[test]
#[ignore = "needs data and a quiet machine"]
fn scans_of_lineitem() {
    let root = std::env::var("FIRESTEEL_TPCH").unwrap();
    let open = |name: &str| {
        let paths = [format!("{root}/{name}")];
        block_on(open_table("parquet", &paths, None, &BTreeMap::new(), &ObjectStores::default())).unwrap()
    };
    let table = open("lineitem");
    let t = &*table;
    for name in t.schema().iter().map(|f| f.name.to_string()) {
        time(&name, t, &[&*name], Vec::new());
    }
    let q1 = ["l_returnflag", "l_linestatus", "l_quantity", "l_extendedprice", "l_discount", "l_tax"];
    let q6 = ["l_extendedprice", "l_discount"];
    let compare =
        |name: &str, f: &str, v: Scalar| Expr::predicate(f, vec![Expr::Column(column(t, name).0), Expr::Literal(v)]);
    let cents = |v| Scalar::Decimal(v, 15, 2);
    time("q1 columns", t, &[&q1[..], &["l_shipdate"]].concat(), Vec::new());
    time("q1", t, &q1, vec![compare("l_shipdate", op::LT_EQ, Scalar::Date(10_471))]);
    time("q6 columns", t, &["l_extendedprice", "l_discount", "l_shipdate", "l_quantity"], Vec::new());
    let filters = vec![
        compare("l_shipdate", op::GT_EQ, Scalar::Date(8_766)),
        compare("l_shipdate", op::LT, Scalar::Date(9_131)),
        compare("l_discount", op::GT_EQ, cents(5)),
        compare("l_discount", op::LT_EQ, cents(7)),
        compare("l_quantity", op::LT, cents(2_400)),
    ];
    time("q6", t, &q6, filters);
    let orders = open("orders");
    time("o_comment", &*orders, &["o_comment"], Vec::new());
}
