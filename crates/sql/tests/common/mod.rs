//! What the tests bind against: TPC-H's tables, two small ones, and the built-in functions.

use std::sync::Arc;

use firesteel_catalog::{
    Catalog, CatalogEntry, Field, ScanRequest, TableName, TableProvider, TableScan, TableStatistics, ViewBody,
};
use firesteel_common::{Config, Error, IdGenerator, Result, Scalar, Span};
use firesteel_expr::FunctionRegistry;
use firesteel_sql::{BindContext, BoundQuery, Parameters, Statement, TableLookup, bind, parse};

#[derive(Debug)]
struct Table(Vec<Field>);

impl TableProvider for Table {
    fn schema(&self) -> &[Field] {
        &self.0
    }

    fn statistics(&self) -> Arc<TableStatistics> {
        Arc::default()
    }

    fn scan(&self, _: ScanRequest) -> Result<Arc<dyn TableScan>> {
        Err(Error::internal("no rows in tests of the binder"))
    }

    fn description(&self) -> String {
        "test".to_owned()
    }
}

const TABLES: &[(&str, &str)] = &[
    ("region", "r_regionkey int, r_name string, r_comment string"),
    ("nation", "n_nationkey int, n_name string, n_regionkey int, n_comment string"),
    (
        "supplier",
        "s_suppkey bigint, s_name string, s_address string, s_nationkey int, s_phone string, \
         s_acctbal decimal(15,2), s_comment string",
    ),
    (
        "customer",
        "c_custkey bigint, c_name string, c_address string, c_nationkey int, c_phone string, \
         c_acctbal decimal(15,2), c_mktsegment string, c_comment string",
    ),
    (
        "part",
        "p_partkey bigint, p_name string, p_mfgr string, p_brand string, p_type string, p_size int, \
         p_container string, p_retailprice decimal(15,2), p_comment string",
    ),
    (
        "partsupp",
        "ps_partkey bigint, ps_suppkey bigint, ps_availqty bigint, ps_supplycost decimal(15,2), ps_comment string",
    ),
    (
        "orders",
        "o_orderkey bigint, o_custkey bigint, o_orderstatus string, o_totalprice decimal(15,2), \
         o_orderdate date, o_orderpriority string, o_clerk string, o_shippriority int, o_comment string",
    ),
    (
        "lineitem",
        "l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity decimal(15,2), \
         l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), l_returnflag string, \
         l_linestatus string, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct string, \
         l_shipmode string, l_comment string",
    ),
    ("t", "a int, b string, c decimal(10,2), d date not null"),
    ("u", "a int, e double"),
];

/// A session for binding.
pub(crate) struct Fixture {
    pub(crate) catalog: Catalog,
    registry: Arc<FunctionRegistry>,
    config: Config,
}

struct Lookup<'a>(&'a Catalog);

impl TableLookup for Lookup<'_> {
    fn lookup(&self, name: &TableName, span: Span) -> Result<CatalogEntry> {
        self.0.lookup(name, span)
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let catalog = Catalog::new();
        for (name, schema) in TABLES {
            let provider = Arc::new(Table(firesteel_sql::parse_schema(schema).unwrap()));
            catalog.register_table(&TableName(vec![(*name).to_owned()]), provider, false).unwrap();
        }
        Self { catalog, registry: firesteel_functions::builtin_registry(), config: Config::default() }
    }

    #[allow(dead_code, reason = "each test file uses some of these")]
    pub(crate) fn view(&self, name: &str, sql: &str) {
        let name = TableName(vec![name.to_owned()]);
        self.catalog.register_view(&name, ViewBody::Sql(sql.into()), None, true).unwrap();
    }

    pub(crate) fn statement(&self, sql: &str) -> Result<Statement> {
        let ids = IdGenerator::new();
        let mut parsed = parse(sql)?;
        assert_eq!(parsed.len(), 1, "{sql}");
        let cx = BindContext {
            tables: &Lookup(&self.catalog),
            registry: &self.registry,
            ids: &ids,
            config: &self.config,
            parameters: Parameters {
                named: [("x".to_owned(), Scalar::Int(7))].into(),
                positional: vec![Scalar::Int(8)],
            },
        };
        bind(&parsed.remove(0), &cx)
    }

    pub(crate) fn query(&self, sql: &str) -> Result<BoundQuery> {
        match self.statement(sql)? {
            Statement::Query(query) => Ok(query),
            other => panic!("no query: {other:?}"),
        }
    }
}
