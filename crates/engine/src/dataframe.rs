//! Lazy frames: a plan, the names of its columns, and the session to run it in.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use firesteel_common::{Error, Result};
use firesteel_expr::{AggregateCall, ColumnRef, NamedAggregate};
use firesteel_plan::{LogicalOp, LogicalPlan, Scan};
use firesteel_sql::BoundQuery;

use crate::explain::{self, ExplainMode};
use crate::query::{self, QueryStream};
use crate::resolve::StatementTables;
use crate::result::schema_of;
use crate::session::Session;

/// A query that has not been run. Cheap to clone; its methods make new frames, its actions run it.
#[derive(Clone)]
pub struct DataFrame {
    session: Session,
    plan: Arc<LogicalPlan>,
    /// Columns of the result with the names that are shown.
    columns: Vec<(Arc<str>, ColumnRef)>,
    /// Keeps tables alive that the plan refers to and the catalog does not hold.
    tables: Vec<Arc<StatementTables>>,
    /// Text that the spans of the plan refer to.
    sql: Option<Arc<str>>,
    /// Whether it is the result of a command that has run, not a query.
    command: bool,
}

impl DataFrame {
    pub(crate) fn of_query(
        session: &Session,
        query: BoundQuery,
        tables: Arc<StatementTables>,
        sql: Option<Arc<str>>,
    ) -> Self {
        let columns = query.columns.into_iter().map(|c| (c.name, c.column)).collect();
        Self { session: session.clone(), plan: Arc::new(query.plan), columns, tables: vec![tables], sql, command: false }
    }

    /// All rows of the only table of `tables`.
    pub(crate) fn scan(session: &Session, tables: Arc<StatementTables>) -> Result<Self> {
        let (table, provider) = tables.own().next().ok_or_else(|| Error::internal("no table to scan"))?.clone();
        let source = session.fresh_columns(provider.schema());
        let columns = source.iter().map(|c| (c.name.clone(), c.clone())).collect();
        let scan = Scan { table, columns: source.clone(), source, filters: Vec::new(), limit: None };
        let plan = Arc::new(LogicalPlan::leaf(session.ids().node(), LogicalOp::Scan(scan)));
        Ok(Self { session: session.clone(), plan, columns, tables: vec![tables], sql: None, command: false })
    }

    /// Says that it is the result of a command.
    #[must_use]
    pub(crate) fn as_command(mut self) -> Self {
        self.command = true;
        self
    }

    /// A frame with another plan and other columns that refers to the same tables.
    #[must_use]
    pub(crate) fn with_plan(&self, plan: LogicalPlan, columns: Vec<(Arc<str>, ColumnRef)>) -> Self {
        Self { plan: Arc::new(plan), columns, command: false, ..self.clone() }
    }

    /// A frame over two inputs keeps the tables of both.
    #[must_use]
    pub(crate) fn with_tables_of(mut self, other: &DataFrame) -> Self {
        self.tables.extend(other.tables.iter().cloned());
        self
    }

    /// The session that it runs in.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether it is the result of a command, such as `SET`, that ran when the frame was made.
    pub fn is_command(&self) -> bool {
        self.command
    }

    /// The bound plan.
    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    pub(crate) fn sql_text(&self) -> Option<Arc<str>> {
        self.sql.clone()
    }

    pub(crate) fn named_columns(&self) -> &[(Arc<str>, ColumnRef)] {
        &self.columns
    }

    /// The columns of the result.
    pub fn output(&self) -> Vec<ColumnRef> {
        self.columns.iter().map(|(_, column)| column.clone()).collect()
    }

    /// Names and Arrow types of the columns.
    pub fn schema(&self) -> SchemaRef {
        let names: Vec<Arc<str>> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        schema_of(&names, &self.output())
    }

    /// Runs it; rows come as they are made. Dropping the stream cancels the query.
    pub fn stream(&self) -> Result<QueryStream> {
        query::start(self)
    }

    /// Runs it and returns all rows.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.stream()?.collect().await
    }

    /// Runs it and counts the rows.
    pub async fn count(&self) -> Result<u64> {
        let registry = self.session.registry();
        let signature = registry.expect_aggregate("count")?.bind(&[])?;
        let call = AggregateCall {
            function: Arc::from("count"),
            args: Vec::new(),
            distinct: false,
            filter: None,
            ty: signature.ty,
            nullable: false,
            span: firesteel_common::Span::NONE,
        };
        let count = NamedAggregate::new(self.session.ids().column(), "count", call);
        let columns = vec![(count.column.name.clone(), count.column.clone())];
        let op = LogicalOp::Aggregate { keys: Vec::new(), aggregates: vec![count] };
        let plan = LogicalPlan::unary(self.session.ids().node(), op, self.plan().clone());
        let batches = self.with_plan(plan, columns).collect().await?;
        let value = batches.iter().find(|b| b.num_rows() > 0).map(|b| b.column(0).as_primitive::<Int64Type>().value(0));
        value.map(|n| n as u64).ok_or_else(|| Error::internal("count returned no row"))
    }

    /// The plan as text. `Analyze` runs the query.
    pub async fn explain(&self, mode: ExplainMode) -> Result<String> {
        explain::explain(self, mode).await
    }
}

impl std::fmt::Debug for DataFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns: Vec<String> = self.columns.iter().map(|(name, c)| format!("{name}: {}", c.ty)).collect();
        write!(f, "DataFrame[{}]", columns.join(", "))
    }
}
