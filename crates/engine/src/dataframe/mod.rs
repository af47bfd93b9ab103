//! Lazy frames: a plan, the names of its columns, and the session to run it in.
//!
//! A transformation resolves its expressions at once, so that a wrong name is an error where it is written, and makes a
//! new frame; only actions run anything. One file per kind of method.

mod action;
mod clean;
mod group;
mod join;
mod setop;
mod show;
mod transform;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use firesteel_catalog::ViewBody;
use firesteel_common::{Error, Result};
use firesteel_expr::ColumnRef;
use firesteel_plan::{LogicalOp, LogicalPlan, Scan};
use firesteel_sql::{BoundQuery, OutputColumn};

pub use group::GroupedData;
pub use join::{JoinOn, JoinType};
pub use transform::Condition;

use crate::column::{Column, Node};
use crate::resolve::{FrameView, StatementTables};
use crate::resolver::NamedColumn;
use crate::result::schema_of;
use crate::session::Session;
use crate::writer::DataFrameWriter;

/// A query that has not been run. Cheap to clone; its methods make new frames, its actions run it.
///
/// ```
/// # fn main() -> Result<(), firesteel::Error> {
/// # futures::executor::block_on(async {
/// use firesteel::Session;
/// use firesteel::functions::{col, sum};
///
/// let session = Session::builder().threads(2).build()?;
/// let sales = session.sql("SELECT * FROM VALUES ('a', 1), ('b', 2), ('a', 3) AS t(item, n)").await?;
/// let totals = sales
///     .filter(col("n").gt(0))?
///     .group_by("item")
///     .agg(sum("n").alias("total"))?
///     .sort(col("total").desc())?;
/// assert_eq!(totals.columns(), ["item", "total"]);
/// assert_eq!(totals.count().await?, 2);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct DataFrame {
    session: Session,
    plan: Arc<LogicalPlan>,
    /// Columns of the result with the names that are shown.
    columns: Vec<NamedColumn>,
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
        let columns = query.columns.into_iter().map(|c| NamedColumn::new(c.name, c.column)).collect();
        Self {
            session: session.clone(),
            plan: Arc::new(query.plan),
            columns,
            tables: vec![tables],
            sql,
            command: false,
        }
    }

    /// All rows of the only table of `tables`.
    pub(crate) fn scan(session: &Session, tables: Arc<StatementTables>) -> Result<Self> {
        let (table, provider) = tables.own().next().ok_or_else(|| Error::internal("no table to scan"))?.clone();
        let source = session.fresh_columns(provider.schema());
        let columns = source.iter().map(|c| NamedColumn::new(c.name.clone(), c.clone())).collect();
        let scan = Scan { table, columns: source.clone(), source, filters: Vec::new(), limit: None };
        let plan = Arc::new(LogicalPlan::leaf(session.ids().node(), LogicalOp::Scan(scan)));
        Ok(Self { session: session.clone(), plan, columns, tables: vec![tables], sql: None, command: false })
    }

    /// Says that it is the result of a command.
    #[must_use]
    pub(crate) fn into_command(mut self) -> Self {
        self.command = true;
        self
    }

    /// A frame with another plan and the same columns that refers to the same tables.
    fn with_plan(&self, plan: LogicalPlan) -> Self {
        let columns = self.columns.clone();
        self.with_columns_of(plan, columns)
    }

    /// A frame with another plan and other columns. Types and nullability are taken from the plan, which knows best.
    fn with_columns_of(&self, plan: LogicalPlan, mut columns: Vec<NamedColumn>) -> Self {
        let output = plan.columns();
        for named in &mut columns {
            if let Some(now) = output.iter().find(|now| now.id == named.column.id) {
                named.column = now.clone();
            }
        }
        Self { plan: Arc::new(plan), columns, command: false, ..self.clone() }
    }

    /// A frame of a query over this one; columns that are passed on keep where they come from.
    fn with_query(&self, query: BoundQuery) -> Self {
        let column = |c: OutputColumn| match self.columns.iter().find(|known| known.column.id == c.column.id) {
            Some(known) => {
                let qualifier = known.qualifier.clone().filter(|_| known.name == c.name);
                NamedColumn { name: c.name, column: c.column, qualifier, origin: known.origin }
            }
            None => NamedColumn::new(c.name, c.column),
        };
        let columns = query.columns.into_iter().map(column).collect();
        Self { plan: Arc::new(query.plan), columns, command: false, ..self.clone() }
    }

    /// A node above the plan.
    fn unary(&self, op: LogicalOp) -> LogicalPlan {
        LogicalPlan::unary(self.session.ids().node(), op, self.plan().clone())
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

    pub(crate) fn named_columns(&self) -> &[NamedColumn] {
        &self.columns
    }

    /// The bound columns of the result.
    pub fn output(&self) -> Vec<ColumnRef> {
        self.columns.iter().map(|c| c.column.clone()).collect()
    }

    /// Names and Arrow types of the columns.
    pub fn schema(&self) -> SchemaRef {
        let names: Vec<Arc<str>> = self.columns.iter().map(|c| c.name.clone()).collect();
        schema_of(&names, &self.output())
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.to_string()).collect()
    }

    /// Names of the columns with their types, as SQL names these.
    pub fn dtypes(&self) -> Vec<(String, String)> {
        self.columns.iter().map(|c| (c.name.to_string(), c.column.ty.to_string().to_lowercase())).collect()
    }

    /// A column of this frame, to tell it apart from columns of that name of other frames in a join.
    ///
    /// Errors: `UNRESOLVED_COLUMN`, `AMBIGUOUS_REFERENCE`.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # use firesteel::{JoinType, Session};
    /// # let session = Session::builder().threads(1).build()?;
    /// let left = session.sql("SELECT 1 AS id, 'x' AS name").await?;
    /// let right = session.sql("SELECT 1 AS id, 'y' AS name").await?;
    /// let both = left.join(&right, left.col("id")?.eq(right.col("id")?), JoinType::Inner)?;
    /// let names = both.select([left.col("name")?, right.col("name")?.alias("other")])?;
    /// assert_eq!(names.columns(), ["name", "other"]);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn col(&self, name: &str) -> Result<Column> {
        let expr = self.resolve("SELECT", |resolver| resolver.binder.name(name))?;
        let found = self.columns.iter().find(|c| expr.as_column().is_some_and(|e| e.id == c.column.id));
        let found = found.ok_or_else(|| Error::internal("a name is a column that the frame does not have"))?;
        let origin = ColumnRef { id: found.origin, ..found.column.clone() };
        Ok(Column(Node::Of { origin, qualifier: found.qualifier.clone(), name: found.name.clone() }))
    }

    /// The same rows under a name: columns can be called `name.column`.
    #[must_use]
    pub fn alias(&self, name: &str) -> Self {
        let qualifier: Arc<str> = Arc::from(name);
        let mut aliased = self.clone();
        aliased.columns.iter_mut().for_each(|c| c.qualifier = Some(qualifier.clone()));
        aliased
    }

    /// The query as the binder has it.
    fn bound(&self) -> BoundQuery {
        let column = |c: &NamedColumn| OutputColumn { name: c.name.clone(), column: c.column.clone() };
        BoundQuery { plan: self.plan().clone(), columns: self.columns.iter().map(column).collect() }
    }

    /// Registers it as a view of the session; a table or view of that name is replaced.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// session.sql("SELECT 1 AS a").await?.create_or_replace_temp_view("one")?;
    /// assert_eq!(session.sql("SELECT a + 1 FROM one").await?.count().await?, 1);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn create_or_replace_temp_view(&self, name: &str) -> Result<()> {
        self.register_view(name, true)
    }

    /// Registers it as a view of the session.
    ///
    /// Errors: `TEMP_TABLE_OR_VIEW_ALREADY_EXISTS`.
    pub fn create_temp_view(&self, name: &str) -> Result<()> {
        self.register_view(name, false)
    }

    fn register_view(&self, name: &str, replace: bool) -> Result<()> {
        let mut query = self.bound();
        query.plan = firesteel_sql::frame::plan_without_spans(query.plan)?;
        let view = FrameView { query: Arc::new(query), tables: self.tables.clone() };
        let name = firesteel_catalog::TableName(vec![name.to_owned()]);
        self.session.catalog().register_view(&name, ViewBody::Plan(Arc::new(view)), None, replace)
    }

    /// Writes the rows to files.
    pub fn write(&self) -> DataFrameWriter {
        DataFrameWriter::new(self.clone())
    }
}

impl std::fmt::Debug for DataFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{}: {}", c.name, c.column.ty)).collect();
        write!(f, "DataFrame[{}]", columns.join(", "))
    }
}
