//! Whole queries through the binder and the optimizer. In debug builds every rule is checked for what
//! it did, so that each query here is also a test of the invariants of all rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::{
    Catalog, CatalogEntry, ColumnStatistics, Field, ScanRequest, TableName, TableProvider, TableRef, TableScan,
    TableStatistics,
};
use firesteel_common::{Config, Error, IdGenerator, Result, Scalar, Span, SqlType};
use firesteel_expr::EvalContext;
use firesteel_optimizer::{Optimizer, OptimizerContext, PlanFacts, TableStats, Workers};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use firesteel_sql::{BindContext, Parameters, Statement, TableLookup, bind, parse};

#[derive(Debug)]
struct Table {
    fields: Vec<Field>,
    stats: Arc<TableStatistics>,
}

impl TableProvider for Table {
    fn schema(&self) -> &[Field] {
        &self.fields
    }
    fn statistics(&self) -> Arc<TableStatistics> {
        self.stats.clone()
    }
    fn scan(&self, _: ScanRequest) -> Result<Arc<dyn TableScan>> {
        Err(Error::unsupported("not read here"))
    }
    fn description(&self) -> String {
        "test".into()
    }
}

struct World {
    catalog: Catalog,
    stats: BTreeMap<u64, Arc<TableStatistics>>,
    config: Config,
}

impl TableLookup for World {
    fn lookup(&self, name: &TableName, span: Span) -> Result<CatalogEntry> {
        self.catalog.lookup(name, span)
    }
}

impl TableStats for World {
    fn statistics(&self, table: &TableRef) -> Option<Arc<TableStatistics>> {
        self.stats.get(&table.id.0).cloned()
    }
}

const DEC: SqlType = SqlType::Decimal(15, 2);
const STR: SqlType = SqlType::String;
const INT: SqlType = SqlType::BigInt;
const DAY: SqlType = SqlType::Date;

/// Columns with the number of distinct values at scale factor 1; 0 is unknown.
type Columns = &'static [(&'static str, SqlType, u64)];

const TABLES: &[(&str, u64, Columns)] = &[
    ("region", 5, &[("r_regionkey", INT, 5), ("r_name", STR, 5), ("r_comment", STR, 5)]),
    ("nation", 25, &[("n_nationkey", INT, 25), ("n_name", STR, 25), ("n_regionkey", INT, 5), ("n_comment", STR, 25)]),
    (
        "supplier",
        10_000,
        &[
            ("s_suppkey", INT, 10_000),
            ("s_name", STR, 10_000),
            ("s_address", STR, 10_000),
            ("s_nationkey", INT, 25),
            ("s_phone", STR, 10_000),
            ("s_acctbal", DEC, 9_955),
            ("s_comment", STR, 10_000),
        ],
    ),
    (
        "customer",
        150_000,
        &[
            ("c_custkey", INT, 150_000),
            ("c_name", STR, 150_000),
            ("c_address", STR, 150_000),
            ("c_nationkey", INT, 25),
            ("c_phone", STR, 150_000),
            ("c_acctbal", DEC, 140_187),
            ("c_mktsegment", STR, 5),
            ("c_comment", STR, 149_968),
        ],
    ),
    (
        "part",
        200_000,
        &[
            ("p_partkey", INT, 200_000),
            ("p_name", STR, 199_997),
            ("p_mfgr", STR, 5),
            ("p_brand", STR, 25),
            ("p_type", STR, 150),
            ("p_size", INT, 50),
            ("p_container", STR, 40),
            ("p_retailprice", DEC, 20_899),
            ("p_comment", STR, 131_753),
        ],
    ),
    (
        "partsupp",
        800_000,
        &[
            ("ps_partkey", INT, 200_000),
            ("ps_suppkey", INT, 10_000),
            ("ps_availqty", INT, 9_999),
            ("ps_supplycost", DEC, 99_865),
            ("ps_comment", STR, 799_124),
        ],
    ),
    (
        "orders",
        1_500_000,
        &[
            ("o_orderkey", INT, 1_500_000),
            ("o_custkey", INT, 99_996),
            ("o_orderstatus", STR, 3),
            ("o_totalprice", DEC, 1_464_556),
            ("o_orderdate", DAY, 2_406),
            ("o_orderpriority", STR, 5),
            ("o_clerk", STR, 1_000),
            ("o_shippriority", INT, 1),
            ("o_comment", STR, 1_482_071),
        ],
    ),
    (
        "lineitem",
        6_001_215,
        &[
            ("l_orderkey", INT, 1_500_000),
            ("l_partkey", INT, 200_000),
            ("l_suppkey", INT, 10_000),
            ("l_linenumber", INT, 7),
            ("l_quantity", DEC, 50),
            ("l_extendedprice", DEC, 933_900),
            ("l_discount", DEC, 11),
            ("l_tax", DEC, 9),
            ("l_returnflag", STR, 3),
            ("l_linestatus", STR, 2),
            ("l_shipdate", DAY, 2_526),
            ("l_commitdate", DAY, 2_466),
            ("l_receiptdate", DAY, 2_554),
            ("l_shipinstruct", STR, 4),
            ("l_shipmode", STR, 7),
            ("l_comment", STR, 4_580_667),
        ],
    ),
];

impl World {
    fn new() -> Self {
        let catalog = Catalog::new();
        let mut stats = BTreeMap::new();
        for (name, rows, columns) in TABLES {
            let fields = columns.iter().map(|(n, ty, _)| Field { name: (*n).into(), ty: ty.clone(), nullable: true });
            let known = columns.iter().map(|(_, ty, distinct)| ColumnStatistics {
                distinct: (*distinct > 0).then_some(*distinct),
                nulls: Some(0),
                min: (*ty == DAY).then_some(Scalar::Date(8036)),
                max: (*ty == DAY).then_some(Scalar::Date(10440)),
                ..ColumnStatistics::default()
            });
            let table = Table {
                fields: fields.collect(),
                stats: Arc::new(TableStatistics {
                    rows: Some(*rows),
                    exact: true,
                    bytes: None,
                    columns: known.collect(),
                }),
            };
            let table_stats = table.stats.clone();
            let reference = catalog.register_table(&TableName(vec![(*name).into()]), Arc::new(table), false).unwrap();
            stats.insert(reference.id.0, table_stats);
        }
        Self { catalog, stats, config: Config::default() }
    }

    fn optimize(&self, sql: &str) -> LogicalPlan {
        self.optimize_and(sql, |_, _| ()).0
    }

    /// The plan, and what `look` sees in it.
    fn optimize_and<T>(&self, sql: &str, look: impl Fn(&LogicalPlan, &OptimizerContext<'_>) -> T) -> (LogicalPlan, T) {
        let ids = IdGenerator::new();
        let registry = firesteel_functions::builtin_registry();
        let cx = BindContext {
            tables: self,
            registry: &registry,
            ids: &ids,
            config: &self.config,
            parameters: Parameters::default(),
        };
        let parsed = parse(sql).unwrap();
        let Statement::Query(query) = bind(&parsed[0], &cx).unwrap() else { panic!("a query") };
        let eval = EvalContext { registry: registry.clone(), ansi: true, time_zone: "UTC".into(), now: 0 };
        let facts = PlanFacts::default();
        let workers = Workers { tasks: 2, cores: 2 };
        let cx =
            OptimizerContext { config: &self.config, ids: &ids, eval: &eval, tables: self, facts: &facts, workers };
        let plan = Optimizer::once(query.plan, &cx).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let plan = Optimizer::sampled(plan, &cx).unwrap();
        if std::env::var("SHOW_PLANS").is_ok() {
            eprintln!("{sql}\n{}", show(&plan, &cx));
        }
        plan.visit(&mut |node| {
            assert!(!matches!(node.op, LogicalOp::DependentJoin { .. } | LogicalOp::SetOp { .. }), "{sql}");
        });
        let again = Optimizer::every_step(plan.clone(), &cx).unwrap();
        assert_eq!(again, plan, "the steps are stable: {sql}");
        let seen = look(&plan, &cx);
        (plan, seen)
    }
}

/// One line per node, for people.
fn show(plan: &LogicalPlan, cx: &OptimizerContext<'_>) -> String {
    fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
        items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
    }
    fn line(plan: &LogicalPlan) -> String {
        match &plan.op {
            LogicalOp::Scan(s) => format!("Scan {} [{}] {}", s.table.name, list(&s.columns), list(&s.filters)),
            LogicalOp::Filter { predicate } => format!("Filter {predicate}"),
            LogicalOp::Project { exprs } => format!("Project {}", list(exprs.iter().map(|(c, e)| format!("{c}={e}")))),
            LogicalOp::Aggregate { keys, aggregates } => format!(
                "Aggregate [{}] [{}]",
                list(keys.iter().map(|(c, e)| format!("{c}={e}"))),
                list(aggregates.iter().map(|a| format!("{}={}", a.column, a.call)))
            ),
            LogicalOp::Join { kind, on, residual, null_aware, .. } => {
                let keys = on.iter().map(|k| format!("{}{}{}", k.left, if k.null_safe { "<=>" } else { "=" }, k.right));
                let kind = match kind {
                    JoinKind::Mark(mark) => format!("Mark {mark}"),
                    other => format!("{other:?}"),
                };
                let rest = residual.as_ref().map(|r| format!(" and {r}")).unwrap_or_default();
                format!("Join {kind} on {}{rest}{}", list(keys), if *null_aware { " null-aware" } else { "" })
            }
            LogicalOp::Sort { keys, fetch, .. } => format!("Sort {} {fetch:?}", list(keys)),
            other => format!("{other:?}"),
        }
    }
    fn walk(plan: &LogicalPlan, depth: usize, cx: &OptimizerContext<'_>, out: &mut String) {
        let rows = firesteel_optimizer::estimate(plan, cx).rows;
        out.push_str(&format!("{}{} ~{rows:.0}\n", "  ".repeat(depth), line(plan)));
        plan.inputs.iter().for_each(|input| walk(input, depth + 1, cx, out));
    }
    let mut out = String::new();
    walk(plan, 0, cx, &mut out);
    out
}

/// Kinds of joins with residual conditions, for assertions.
fn joins(plan: &LogicalPlan) -> Vec<(JoinKind, usize, bool, bool)> {
    let mut all = Vec::new();
    plan.visit(&mut |node| {
        if let LogicalOp::Join { kind, on, residual, null_aware, .. } = &node.op {
            all.push((kind.clone(), on.len(), residual.is_some(), *null_aware));
        }
    });
    all
}

fn tpch(number: u32) -> String {
    let path = format!("{}/../../benches/queries/tpch/q{number}.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn columns_of_one_input_have_no_more_combinations_than_it_has_rows() {
    let world = World::new();
    let groups = |keys: &str, from: &str| {
        let sql = format!("SELECT {keys}, max(o_totalprice - c_acctbal) FROM {from} GROUP BY {keys}");
        world.optimize_and(&sql, |plan, cx| firesteel_optimizer::estimate(plan, cx).rows).1
    };
    let two = "orders JOIN customer ON o_custkey = c_custkey";
    assert_eq!(groups("c_name, c_address, c_comment", two), 150_000.0);
    assert_eq!(groups("c_name, c_address, o_shippriority", two), 150_000.0);
    assert_eq!(groups("c_name, c_address, o_orderpriority", two), 750_000.0);
    let three = format!("{two} JOIN lineitem ON l_orderkey = o_orderkey");
    assert_eq!(groups("c_name, c_address, c_comment", &three), 150_000.0);
    // Of the rows of a join, too.
    assert_eq!(groups("c_name, c_address, o_orderdate, o_clerk", &three), 1_500_000.0);
}

#[test]
fn tpch_queries_have_no_cross_joins() {
    let world = World::new();
    for number in 1..=22 {
        let plan = world.optimize(&tpch(number));
        for (kind, keys, residual, _) in joins(&plan) {
            let scalar = [11, 15, 22].contains(&number) && matches!(kind, JoinKind::Inner);
            // The two nations of Q7, two rows of each, are joined by the OR that names them.
            let pairs = number == 7 && residual;
            assert!(keys > 0 || scalar || pairs, "q{number}: {kind:?} without keys, residual {residual}");
        }
    }
}

#[test]
fn tpch_subqueries_become_the_expected_joins() {
    let world = World::new();
    let kinds = |number: u32| joins(&world.optimize(&tpch(number))).into_iter().map(|j| j.0).collect::<Vec<_>>();
    for number in [2, 17] {
        assert!(kinds(number).iter().all(|k| *k == JoinKind::Inner), "q{number}: {:?}", kinds(number));
    }
    assert_eq!(kinds(4), [JoinKind::LeftSemi]);
    let q16 = joins(&world.optimize(&tpch(16)));
    assert!(q16.iter().any(|(kind, _, _, null_aware)| *kind == JoinKind::LeftAnti && *null_aware), "{q16:?}");
    let q21 = joins(&world.optimize(&tpch(21)));
    assert!(q21.contains(&(JoinKind::LeftSemi, 1, true, false)), "{q21:?}");
    assert!(q21.contains(&(JoinKind::LeftAnti, 1, true, false)), "{q21:?}");
}

#[test]
fn all_shapes_of_subqueries_unnest() {
    let world = World::new();
    for sql in [
        "SELECT n_name, (SELECT r_name FROM region WHERE r_regionkey = n_regionkey) FROM nation",
        "SELECT n_name, (SELECT count(*) FROM supplier WHERE s_nationkey = n_nationkey) FROM nation",
        "SELECT n_name, (SELECT count(*) FROM supplier WHERE s_nationkey < n_nationkey) FROM nation",
        "SELECT n_name, (SELECT max(s_acctbal) + n_regionkey FROM supplier WHERE s_nationkey = n_nationkey) FROM nation",
        "SELECT n_name, (SELECT n_nationkey + 1) FROM nation",
        "SELECT n_name FROM nation WHERE n_nationkey NOT IN (SELECT s_nationkey FROM supplier WHERE s_suppkey > n_regionkey)",
        "SELECT n_nationkey IN (SELECT s_nationkey FROM supplier WHERE s_acctbal > n_regionkey) FROM nation",
        "SELECT n_nationkey IN (SELECT s_nationkey FROM supplier) FROM nation",
        "SELECT n_name FROM nation WHERE n_nationkey IN (SELECT s_nationkey FROM supplier) OR n_regionkey = 1",
        "SELECT n_name FROM nation WHERE NOT EXISTS (SELECT 1 FROM supplier WHERE s_nationkey = n_nationkey) OR n_regionkey = 1",
        "SELECT n_name, (SELECT s_name FROM supplier WHERE s_nationkey = n_nationkey ORDER BY s_acctbal DESC LIMIT 1) FROM nation",
        "SELECT n_name FROM nation WHERE EXISTS (SELECT 1 FROM supplier WHERE s_nationkey = n_nationkey LIMIT 1)",
        "SELECT n_name FROM nation WHERE EXISTS (SELECT s_suppkey FROM supplier WHERE s_nationkey = n_nationkey
            UNION ALL SELECT c_custkey FROM customer WHERE c_nationkey = n_nationkey)",
        "SELECT n_name FROM nation WHERE n_regionkey > (SELECT count(*) FROM
            (SELECT s_suppkey FROM supplier WHERE s_nationkey = n_nationkey INTERSECT SELECT c_custkey FROM customer) x)",
        "SELECT n_name FROM nation n WHERE EXISTS (SELECT 1 FROM supplier s WHERE s_nationkey = n_nationkey AND s_acctbal >
            (SELECT avg(c_acctbal) FROM customer WHERE c_nationkey = n.n_nationkey AND c_custkey <> s.s_suppkey))",
        "SELECT n_name FROM nation n WHERE n_regionkey = ANY (SELECT r_regionkey FROM region WHERE r_name < n_name)",
        "SELECT n_name FROM nation n WHERE n_regionkey >= ALL (SELECT r_regionkey FROM region WHERE r_name < n_name)",
        "SELECT n_name FROM nation WHERE (n_nationkey, n_regionkey) NOT IN (SELECT s_nationkey, s_suppkey FROM supplier)",
        "SELECT n_name, t.m FROM nation, LATERAL (SELECT max(s_acctbal) AS m FROM supplier WHERE s_nationkey = n_nationkey) t",
        "SELECT n_name, t.k FROM nation, LATERAL (SELECT n_regionkey + r_regionkey AS k FROM region WHERE r_name <> n_name) t",
        "SELECT n_name FROM nation WHERE 3 > (SELECT count(*) FROM supplier LEFT JOIN customer ON c_nationkey = s_nationkey
            AND c_acctbal > n_regionkey WHERE s_nationkey = n_nationkey)",
        "SELECT n_name FROM nation WHERE n_regionkey IN (SELECT rank() OVER (ORDER BY s_acctbal) FROM supplier
            WHERE s_nationkey = n_nationkey)",
        "SELECT n_name FROM nation WHERE n_regionkey IN (SELECT max(s_suppkey) FROM supplier WHERE s_nationkey = n_nationkey)",
        "SELECT n_name FROM nation WHERE EXISTS (SELECT max(s_suppkey) FROM supplier WHERE s_nationkey = n_nationkey
            HAVING count(*) > 2)",
        "SELECT n_name FROM nation WHERE n_regionkey IN (SELECT s_suppkey FROM supplier WHERE s_nationkey = n_nationkey
            GROUP BY s_suppkey HAVING count(*) > 1)",
    ] {
        world.optimize(sql);
    }
}

#[test]
fn other_queries_pass_all_checks() {
    let world = World::new();
    for sql in [
        "SELECT count(DISTINCT n_regionkey) FROM nation",
        "SELECT n_regionkey, count(DISTINCT n_name), count(DISTINCT n_comment), count(*), sum(n_nationkey) FROM nation GROUP BY 1",
        "SELECT count(DISTINCT n_name) FILTER (WHERE n_regionkey > 1), min(DISTINCT n_name), count(*) FROM nation",
        "SELECT n_nationkey FROM nation EXCEPT SELECT r_regionkey FROM region",
        "SELECT n_nationkey FROM nation INTERSECT ALL SELECT r_regionkey FROM region",
        "SELECT n_name FROM nation LEFT JOIN region ON n_regionkey = r_regionkey WHERE r_name = 'ASIA'",
        "SELECT n_name FROM nation FULL JOIN region ON n_regionkey = r_regionkey WHERE r_name IS NULL LIMIT 3",
        "SELECT * FROM nation WHERE 1 = 0",
        "SELECT n_name FROM nation UNION ALL SELECT r_name FROM region ORDER BY 1 LIMIT 3",
        "SELECT n_regionkey, sum(n_nationkey) FROM nation GROUP BY ROLLUP(n_regionkey)",
        "SELECT n_name, row_number() OVER (PARTITION BY n_regionkey ORDER BY n_name) rn FROM nation",
        "SELECT a.n_name FROM nation a, nation b, nation c WHERE a.n_nationkey = b.n_nationkey AND b.n_nationkey = c.n_nationkey
            AND a.n_nationkey = 5 AND c.n_regionkey BETWEEN 1 AND 3",
        "SELECT 1",
        "SELECT count(*) FROM nation, region",
    ] {
        world.optimize(sql);
    }
}

#[test]
fn single_row_relations_and_constants() {
    let world = World::new();
    let plan = world.optimize("SELECT * FROM nation WHERE 1 = 0");
    assert!(plan.is_empty_relation(), "{plan:?}");
    let plan =
        world.optimize("SELECT n_name FROM nation LEFT JOIN region ON n_regionkey = r_regionkey WHERE r_name = 'ASIA'");
    assert_eq!(joins(&plan)[0].0, JoinKind::Inner);
    let plan =
        world.optimize("SELECT n_name FROM nation LEFT JOIN region ON n_regionkey = r_regionkey WHERE r_name IS NULL");
    assert_eq!(joins(&plan)[0].0, JoinKind::Left);
}

/// Names of the keys by which inputs of joins are grouped.
fn grouped_below_joins(sql: &str) -> Vec<String> {
    let mut keys = Vec::new();
    World::new().optimize(sql).visit(&mut |node| {
        let LogicalOp::Join { .. } = node.op else { return };
        for input in &node.inputs {
            if let LogicalOp::Aggregate { keys: own, .. } = &input.op {
                keys.extend(own.iter().map(|(column, _)| column.name.to_string()));
            }
        }
    });
    keys
}

#[test]
fn inputs_of_joins_are_grouped_where_that_pays() {
    let by = |select: &str, from: &str| grouped_below_joins(&format!("SELECT {select} FROM {from} GROUP BY ALL"));
    let lines_of_suppliers = "lineitem JOIN supplier ON l_suppkey = s_suppkey";
    assert_eq!(by("s_name, sum(l_quantity), count(*)", lines_of_suppliers), ["l_suppkey"]);
    assert_eq!(by("s_name, sum(l_quantity), max(s_acctbal)", lines_of_suppliers), ["l_suppkey"]);
    assert_eq!(by("s_nationkey, l_shipmode, avg(l_linenumber)", lines_of_suppliers), ["l_suppkey", "l_shipmode"]);
    let nations = "lineitem JOIN supplier ON l_suppkey = s_suppkey JOIN nation ON s_nationkey = n_nationkey";
    assert_eq!(by("n_name, sum(l_quantity)", nations), ["l_suppkey"]);
    assert_eq!(by("c_name, count(o_orderkey)", "customer LEFT JOIN orders ON c_custkey = o_custkey"), ["o_custkey"]);
    // Of four rows of an order, there are as many groups in the end.
    assert_eq!(
        by("o_orderkey, o_comment, count(*)", "orders JOIN lineitem ON o_orderkey = l_orderkey"),
        ["l_orderkey"]
    );
}

#[test]
fn inputs_of_joins_are_not_grouped_where_that_costs_more_or_tells_less() {
    let by = |select: &str, from: &str| grouped_below_joins(&format!("SELECT {select} FROM {from} GROUP BY ALL"));
    let none: [&str; 0] = [];
    let lines_of_orders = "lineitem JOIN orders ON l_orderkey = o_orderkey";
    assert_eq!(by("o_orderpriority, sum(l_quantity)", lines_of_orders), none, "four rows of a group, five groups");
    assert_eq!(by("s_nationkey, count(*)", "supplier JOIN nation ON s_nationkey = n_nationkey"), none, "few rows");
    let lines_of_suppliers = "lineitem JOIN supplier ON l_suppkey = s_suppkey";
    assert_eq!(
        by("s_name, sum(l_quantity)", &format!("{lines_of_suppliers} AND s_nationkey = 3")),
        none,
        "few are left"
    );
    assert_eq!(by("s_name, l_comment, count(*)", lines_of_suppliers), none, "groups of one row");
    assert_eq!(by("sum(l_quantity)", lines_of_suppliers), none, "one group");
    assert_eq!(by("s_name, sum(l_quantity * s_acctbal)", lines_of_suppliers), none, "both sides");
    assert_eq!(by("s_name, sum(100 / l_quantity)", lines_of_suppliers), none, "may fail on what the join drops");
    assert_eq!(by("s_name, sum(l_linenumber)", lines_of_suppliers), none, "no bounds: the sum may overflow");
    assert_eq!(by("s_name, stddev(l_linenumber)", lines_of_suppliers), none, "has no parts");
    assert_eq!(by("s_name, avg(l_quantity)", lines_of_suppliers), none, "would be rounded twice");
    let random = format!("{lines_of_suppliers} AND s_acctbal > rand()");
    assert_eq!(by("s_name, sum(l_quantity)", &random), none, "not deterministic");
    let missing = "supplier LEFT JOIN lineitem ON l_suppkey = s_suppkey";
    assert_eq!(by("s_name, count(*)", missing), none, "counts who is missing");
    assert_eq!(by("s_name, sum(coalesce(l_quantity, 1))", missing), none, "not NULL where it is missing");
    let having = "lineitem JOIN (SELECT ps_suppkey FROM partsupp GROUP BY 1 HAVING sum(ps_availqty) > 9) ON l_suppkey = ps_suppkey";
    assert_eq!(by("ps_suppkey, count(*)", having), none, "a guess");
}
