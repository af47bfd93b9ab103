//! Binds whole statements: TPC-H, and the corners of each clause.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeSet;

use common::Fixture;
use firesteel_common::{ColumnId, SqlType};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use firesteel_sql::{BoundQuery, Statement};

/// Checks that every column that is read is made below, or by a dependent join further up.
fn check(plan: &LogicalPlan, outer: &BTreeSet<ColumnId>) {
    let mut known = outer.clone();
    for (at, input) in plan.inputs.iter().enumerate() {
        let dependent = matches!(plan.op, LogicalOp::DependentJoin { .. }) && at == 1;
        check(input, if dependent { &known } else { outer });
        known.extend(input.column_ids());
    }
    if let LogicalOp::Scan(scan) = &plan.op {
        known.extend(scan.source.iter().map(|c| c.id));
    }
    for expr in plan.expressions() {
        for column in expr.columns() {
            assert!(known.contains(&column.id), "{column} is not made below {:#?}", plan.op);
        }
    }
    let columns = plan.column_ids();
    let distinct: BTreeSet<ColumnId> = columns.iter().copied().collect();
    assert_eq!(distinct.len(), columns.len(), "a column twice in {:#?}", plan.op);
}

fn query(sql: &str) -> BoundQuery {
    let query = Fixture::new().query(sql).unwrap_or_else(|error| panic!("{sql}\n{}", error.render()));
    check(&query.plan, &BTreeSet::new());
    let columns: Vec<_> = query.columns.iter().map(|c| c.column.id).collect();
    assert_eq!(query.plan.column_ids(), columns, "{sql}");
    query
}

fn names(sql: &str) -> Vec<String> {
    query(sql).columns.iter().map(|c| c.name.to_string()).collect()
}

fn failure(sql: &str) -> (String, String) {
    let error = Fixture::new().statement(sql).expect_err(sql);
    let piece = error.span().and_then(|s| sql.get(s.start as usize..s.end as usize)).unwrap_or_default();
    (error.condition().to_owned(), piece.to_owned())
}

fn count(plan: &LogicalPlan, wanted: impl Fn(&LogicalOp) -> bool) -> usize {
    let mut n = 0;
    plan.visit(&mut |node| n += usize::from(wanted(&node.op)));
    n
}

#[test]
fn all_of_tpch_binds() {
    macro_rules! queries {
        ($($n:literal)*) => {
            [$(($n, include_str!(concat!("../../../benches/queries/tpch/q", $n, ".sql")))),*]
        };
    }
    let all = queries!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22);
    for (number, text) in all {
        let bound = query(text);
        assert!(!bound.columns.is_empty(), "q{number}");
    }
}

#[test]
fn result_names_are_sparks() {
    assert_eq!(
        names("SELECT 1 + 1, a, t.a AS x, sum(a) OVER () FROM t"),
        ["(1 + 1)", "a", "x", "sum(a) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"]
    );
    assert_eq!(
        names("SELECT count(*), count(DISTINCT a), sum(a), CAST(1.5 AS INT), -1, 'x', NULL, a <> 1 FROM t GROUP BY a"),
        ["count(1)", "count(DISTINCT a)", "sum(a)", "CAST(1.5 AS INT)", "-1", "x", "NULL", "(NOT (a = 1))"]
    );
    assert_eq!(
        names("SELECT a IS NULL, a IN (1, 2), b LIKE 'x%', CASE WHEN a = 1 THEN 'y' ELSE 'z' END FROM t"),
        ["(a IS NULL)", "(a IN (1, 2))", "b LIKE x%", "CASE WHEN (a = 1) THEN y ELSE z END"]
    );
}

#[test]
fn stars_and_using() {
    assert_eq!(names("SELECT * FROM t JOIN u USING (a)"), ["a", "b", "c", "d", "e"]);
    assert_eq!(names("SELECT * FROM t NATURAL FULL JOIN u"), ["a", "b", "c", "d", "e"]);
    assert_eq!(names("SELECT t.*, u.a FROM t JOIN u USING (a)"), ["a", "b", "c", "d", "a"]);
    assert_eq!(names("SELECT * EXCEPT (b, d) FROM t"), ["a", "c"]);
    assert_eq!(names("SELECT * FROM t LEFT SEMI JOIN u ON t.a = u.a"), ["a", "b", "c", "d"]);
    assert_eq!(names("SELECT * FROM VALUES (1, 'x'), (2, NULL) AS v(p, q)"), ["p", "q"]);
    assert_eq!(names("FROM t SELECT a"), ["a"]);
}

#[test]
fn columns_that_do_not_resolve() {
    assert_eq!(failure("SELECT aa FROM t"), ("UNRESOLVED_COLUMN.WITH_SUGGESTION".into(), "aa".into()));
    assert_eq!(failure("SELECT a FROM t, u"), ("AMBIGUOUS_REFERENCE".into(), "a".into()));
    assert_eq!(failure("SELECT * FROM nope"), ("TABLE_OR_VIEW_NOT_FOUND".into(), "nope".into()));
    assert_eq!(failure("SELECT uper(b) FROM t"), ("UNRESOLVED_ROUTINE".into(), "uper(b)".into()));
    assert_eq!(failure("SELECT a, sum(a) FROM t"), ("MISSING_GROUP_BY".into(), "a".into()));
    assert_eq!(failure("SELECT b, sum(a) FROM t GROUP BY a").0, "MISSING_AGGREGATION");
    assert_eq!(failure("SELECT a FROM t GROUP BY 3").0, "GROUP_BY_POS_OUT_OF_RANGE");
    assert_eq!(failure("SELECT a FROM t ORDER BY 2").0, "ORDER_BY_POS_OUT_OF_RANGE");
    assert_eq!(failure("SELECT a FROM t UNION SELECT 1, 2").0, "NUM_COLUMNS_MISMATCH");
    assert_eq!(failure("SELECT sum(sum(a)) FROM t").0, "NESTED_AGGREGATE_FUNCTION");
    assert_eq!(failure("SELECT a FROM t WHERE sum(a) > 1").0, "INVALID_WHERE_CONDITION");
    assert_eq!(failure("SELECT a FROM t LIMIT -1").0, "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE");
}

#[test]
fn spans_cover_the_whole_expression() {
    let span = |sql: &str| {
        let bound = query(sql);
        let mut spans = Vec::new();
        bound.plan.visit(&mut |node| {
            for expr in node.expressions() {
                let s = expr.span();
                spans.push(sql.get(s.start as usize..s.end as usize).unwrap_or_default().to_owned());
            }
        });
        spans.retain(|s| !s.is_empty());
        spans.remove(0)
    };
    assert_eq!(span("select 1/0"), "1/0");
    assert_eq!(span("select cast( 'abc' as int ) x"), "cast( 'abc' as int )");
    assert_eq!(span("select cast(cast('1' as int) as string)"), "cast(cast('1' as int) as string)");
    assert_eq!(span("select 2147483647 + 1"), "2147483647 + 1");
    assert_eq!(span("select (1 + 2) / (0 * 1)"), "(1 + 2) / (0 * 1)");
    assert_eq!(span("select upper(concat('a', 'b')) from t"), "upper(concat('a', 'b'))");
    assert_eq!(span("select - a from t"), "- a");
    assert_eq!(span("select substring(b from 1 for 2) from t"), "substring(b from 1 for 2)");
    assert_eq!(span("select date '2020-01-01' + interval 1 day"), "date '2020-01-01' + interval 1 day");
}

#[test]
fn subqueries_are_dependent_joins() {
    let dependent = |sql: &str| {
        let bound = query(sql);
        let mut kinds = Vec::new();
        bound.plan.visit(&mut |node| {
            if let LogicalOp::DependentJoin { kind, .. } = &node.op {
                kinds.push(match kind {
                    JoinKind::Mark(_) => "mark",
                    JoinKind::LeftSingle(_) => "single",
                    JoinKind::Inner => "inner",
                    _ => "other",
                });
            }
        });
        kinds
    };
    assert_eq!(dependent("SELECT a FROM t WHERE a IN (SELECT a FROM u)"), ["mark"]);
    assert_eq!(dependent("SELECT a, (SELECT max(e) FROM u WHERE u.a = t.a) FROM t"), ["single"]);
    assert_eq!(
        dependent("SELECT a FROM t WHERE a > ALL (SELECT a FROM u) OR EXISTS (SELECT 1 FROM u)"),
        ["mark", "mark"]
    );
    assert_eq!(dependent("SELECT * FROM t, LATERAL (SELECT e FROM u WHERE u.a = t.a)"), ["inner"]);
    assert_eq!(
        dependent("SELECT a, sum(a) FROM t GROUP BY a HAVING sum(a) > (SELECT max(e) FROM u WHERE u.a = t.a)"),
        ["single"]
    );
    assert_eq!(
        dependent(
            "SELECT upper(b), (SELECT max(e) FROM u WHERE u.a = length) FROM (SELECT b, a length FROM t) GROUP BY upper(b), length"
        ),
        ["single"]
    );
    // The outer column is two queries up.
    assert_eq!(
        dependent("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM u v WHERE v.a = t.a))"),
        ["mark", "mark"]
    );
}

#[test]
fn aggregation() {
    query("SELECT a % 2 AS k, sum(a) FROM t GROUP BY k HAVING sum(a) > 1 ORDER BY max(a), k DESC");
    query("SELECT a, count(*) FROM t GROUP BY ALL ORDER BY ALL");
    query("SELECT sum(a) FILTER (WHERE b = 'x') FROM t");
    query("SELECT a + 1, grouping(b), grouping_id(), sum(a) FROM t GROUP BY ROLLUP (a + 1, b)");
    query("SELECT a, b, count(*) FROM t GROUP BY GROUPING SETS ((a, b), (a), (a), ()) ORDER BY a");
    query("SELECT a, b FROM t GROUP BY a, b WITH CUBE");
    let bound = query("SELECT sum(a), sum(a) + 1 FROM t");
    let mut calls = 0;
    bound.plan.visit(&mut |node| {
        if let LogicalOp::Aggregate { aggregates, .. } = &node.op {
            calls += aggregates.len();
        }
    });
    assert_eq!(calls, 1);
}

#[test]
fn windows() {
    let bound = query(
        "SELECT a, row_number() OVER w, lag(a, 1, 0) OVER w, sum(c) OVER (PARTITION BY b) FROM t \
         WINDOW w AS (PARTITION BY b ORDER BY a DESC) QUALIFY row_number() OVER w = 1",
    );
    assert_eq!(count(&bound.plan, |op| matches!(op, LogicalOp::Window { .. })), 2);
    query("SELECT sum(sum(a)) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t GROUP BY b");
    query("SELECT sum(a) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW) FROM t");
    assert_eq!(failure("SELECT row_number() FROM t").0, "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE");
}

#[test]
fn set_operations_and_types() {
    let bound =
        query("SELECT a FROM t UNION ALL SELECT e FROM u UNION ALL SELECT c FROM t ORDER BY 1 LIMIT 3 OFFSET 1");
    assert_eq!(bound.columns[0].column.ty, SqlType::Double);
    assert_eq!(count(&bound.plan, |op| matches!(op, LogicalOp::Union { .. })), 1);
    query("SELECT a FROM t EXCEPT SELECT a FROM u INTERSECT ALL SELECT a FROM u");
    query("(SELECT a FROM t ORDER BY a LIMIT 1) UNION (SELECT a FROM u)");
    query("SELECT DISTINCT a AS x FROM t ORDER BY x + 1");
    query("SELECT b FROM t ORDER BY a, upper(b)");
}

#[test]
fn names_of_queries() {
    let fixture = Fixture::new();
    fixture.view("v", "SELECT a, b FROM t WHERE a > 1");
    let bound = fixture.query("SELECT x.a FROM v x JOIN v y ON x.a = y.a").unwrap();
    check(&bound.plan, &BTreeSet::new());
    query(
        "WITH x AS (SELECT a FROM t), y(p) AS (SELECT a FROM x) SELECT * FROM x JOIN y ON x.a = y.p JOIN x z ON z.a = p",
    );
    query("SELECT a AS z, z + 1 AS w, w * 2 FROM t");
    query("SELECT id FROM range(5000) WHERE id > :x AND id < ?");
    query("SELECT default.t.a, t.b FROM default.t");
}

#[test]
fn statements() {
    let fixture = Fixture::new();
    let bind = |sql: &str| fixture.statement(sql).unwrap_or_else(|error| panic!("{sql}\n{}", error.render()));
    assert!(matches!(bind("EXPLAIN FORMATTED SELECT 1"), Statement::Explain { .. }));
    assert!(matches!(bind("SET spark.sql.session.timeZone = Europe/Berlin"),
        Statement::Set(Some((k, Some(v)))) if k == "spark.sql.session.timeZone" && v == "Europe/Berlin"));
    assert!(matches!(bind("SET"), Statement::Set(None)));
    assert!(matches!(bind("SET -v"), Statement::SetVerbose));
    assert!(matches!(bind("RESET"), Statement::Reset(None)));
    assert!(matches!(bind("DESCRIBE TABLE EXTENDED t"), Statement::Describe { extended: true, .. }));
    let Statement::CreateTable(table) =
        bind("CREATE OR REPLACE TEMPORARY VIEW p USING parquet OPTIONS (path '/data/p', mergeSchema true)")
    else {
        panic!("no table")
    };
    assert_eq!(table.location.as_deref(), Some("/data/p"));
    assert_eq!(table.options, [("mergeSchema".to_owned(), "true".to_owned())]);
    assert!(matches!(bind("CREATE VIEW w (x, y) AS SELECT a, b FROM t"),
        Statement::CreateView { sql, .. } if &*sql == "SELECT a, b FROM t"));
    let Statement::Insert { query, .. } = bind("INSERT INTO t (b, a) SELECT 'x', 1L") else { panic!("no insert") };
    assert_eq!(query.plan.columns()[2].ty, SqlType::Decimal(10, 2));
    assert!(matches!(bind("COPY (SELECT 1) TO '/x.parquet' (FORMAT parquet, compression zstd)"),
        Statement::Copy { format: Some(f), .. } if f == "parquet"));
    assert!(matches!(bind("SHOW TABLES LIKE 'a*'"), Statement::ShowTables { like: Some(_), .. }));
    assert!(matches!(bind("DROP VIEW IF EXISTS v"), Statement::DropView { if_exists: true, .. }));
}

#[test]
fn chains_of_any_length_end() {
    let long = |part: &str, n: usize| format!("SELECT a FROM t WHERE a = 0{}", part.repeat(n));
    let bound = query(&long(" OR a = 1", 10_000));
    let widest = bound.plan.inputs[0].expressions().iter().map(|e| e.children().len()).max();
    assert_eq!(widest, Some(10_001));
    assert!(Fixture::new().statement(&long(" + 1", 10_000)).is_err());
    query(&long(" + 1", 300));
    query(&format!("SELECT {}1{}", "(1 + ".repeat(40), ")".repeat(40)));
}
