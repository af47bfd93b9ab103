//! Sessions: settings, tables, views, and the threads and memory that queries run on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use firesteel_catalog::{Catalog, Field, TableName, TableProvider};
use firesteel_common::{Batch, Config, Error, IdGenerator, QueryId, Result, SqlType};
use firesteel_expr::{ColumnRef, EvalContext, FunctionRegistry};
use firesteel_functions::builtin_registry;
use firesteel_runtime::{MemoryPool, Threads};
use firesteel_scheduler::LocalCluster;
use firesteel_sources::{MemoryTable, ObjectStores, ParquetTable, SourceFile};
use firesteel_sql::{BindContext, Parameters, ParsedStatement, Statement};
use parking_lot::{Mutex, RwLock};

use crate::command;
use crate::dataframe::DataFrame;
use crate::query::{self, QueryHandle};
use crate::resolve::StatementTables;

/// A place to run queries. Clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    config: RwLock<Config>,
    defaults: Config,
    catalog: Arc<Catalog>,
    registry: RwLock<Arc<FunctionRegistry>>,
    ids: IdGenerator,
    queries: AtomicU64,
    stores: Arc<ObjectStores>,
    definitions: Mutex<BTreeMap<String, TableDefinition>>,
    resources: Mutex<Resources>,
    /// Queries that were started, to be looked at while they run.
    started: Mutex<Vec<Weak<query::Shared>>>,
}

/// What depends on settings that can change between queries.
struct Resources {
    threads: Arc<Threads>,
    /// The workers on these threads, which all queries share.
    cluster: Arc<LocalCluster>,
    memory: Arc<MemoryPool>,
    memory_limit: u64,
}

/// How a table was created, so that it can be written to and opened again.
#[derive(Clone, Debug)]
pub(crate) struct TableDefinition {
    pub(crate) format: String,
    pub(crate) location: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) schema: Option<Vec<Field>>,
}

/// Settings of a session to be.
#[derive(Clone, Debug, Default)]
pub struct SessionBuilder {
    settings: Vec<(String, String)>,
}

impl SessionBuilder {
    /// A setting by its key; `SET` changes it later.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.settings.push((key.into(), value.to_string()));
        self
    }

    /// Number of tasks that run at the same time; by default the number of cores.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        self.config("firesteel.threads", threads)
    }

    /// Bytes that queries may hold together; by default 70 % of the memory of the machine or its container.
    #[must_use]
    pub fn memory_limit(self, bytes: u64) -> Self {
        self.config("firesteel.memory.limit", bytes)
    }

    /// Folder for files that queries write for themselves; by default the system's folder for temporary files.
    #[must_use]
    pub fn temp_dir(self, folder: impl AsRef<std::path::Path>) -> Self {
        self.config("firesteel.temp.dir", folder.as_ref().display())
    }

    /// The session.
    ///
    /// Errors: `INVALID_CONF_VALUE`, `INVALID_CONF_KEY`.
    pub fn build(self) -> Result<Session> {
        let mut config = Config { memory_limit: default_memory_limit(), ..Config::default() };
        let stores = ObjectStores::default();
        for (key, value) in &self.settings {
            config.set(key, value)?;
            stores.configure(key, Some(value));
        }
        let resources = Resources {
            threads: Threads::new(config.threads),
            cluster: LocalCluster::new(config.threads),
            memory: MemoryPool::root(config.memory_limit as usize),
            memory_limit: config.memory_limit,
        };
        Ok(Session(Arc::new(Inner {
            defaults: config.clone(),
            config: RwLock::new(config),
            catalog: Arc::new(Catalog::new()),
            registry: RwLock::new(builtin_registry()),
            ids: IdGenerator::new(),
            queries: AtomicU64::new(0),
            stores: Arc::new(stores),
            definitions: Mutex::default(),
            resources: Mutex::new(resources),
            started: Mutex::default(),
        })))
    }
}

/// 70 % of what the machine or its container has.
fn default_memory_limit() -> u64 {
    let number = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let container =
        number("/sys/fs/cgroup/memory.max").or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    let available = [total, container].into_iter().flatten().min().unwrap_or(Config::default().memory_limit);
    available / 10 * 7
}

impl Session {
    /// A builder with default settings.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// Runs a statement. A query is not run until an action of the [`DataFrame`]; a command (`SET`, `CREATE`, …)
    /// runs now, and the frame has its result.
    ///
    /// Errors: those of parsing and binding, with their place in `sql`; those of the command.
    pub async fn sql(&self, sql: &str) -> Result<DataFrame> {
        self.sql_with_parameters(sql, Parameters::default()).await
    }

    /// As [`Session::sql`], with values for `:name` and `?`. Values are never part of the text, so that nothing in
    /// them is read as SQL.
    pub async fn sql_with_parameters(&self, sql: &str, parameters: Parameters) -> Result<DataFrame> {
        let mut statements = firesteel_sql::parse(sql)?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => statement,
            (None, _) => return Err(Error::syntax("Syntax error: the statement is empty.")),
            (Some(_), false) => {
                return Err(Error::syntax("Syntax error: there is more than one statement.")
                    .with_hint("run them one by one; `split_statements` finds where they end"));
            }
        };
        let text = statement.text.clone();
        self.run_statement(statement, parameters).await.map_err(|error| error.in_sql(&text))
    }

    async fn run_statement(&self, statement: ParsedStatement, parameters: Parameters) -> Result<DataFrame> {
        let tables = StatementTables::open(&statement, self.catalog().clone(), &self.0.stores).await?;
        let bound = self.bind_with(&statement, &tables, parameters)?;
        command::execute(self, bound, tables, &statement.text).await
    }

    pub(crate) fn bind(&self, statement: &ParsedStatement, tables: &StatementTables) -> Result<Statement> {
        self.bind_with(statement, tables, Parameters::default())
    }

    fn bind_with(
        &self,
        statement: &ParsedStatement,
        tables: &StatementTables,
        parameters: Parameters,
    ) -> Result<Statement> {
        let (registry, config) = (self.registry(), self.config());
        let cx = BindContext { tables, registry: &registry, ids: self.ids(), config: &config, parameters };
        firesteel_sql::bind(statement, &cx)
    }

    /// Opens the files of a definition and registers the table.
    pub(crate) async fn open_definition(&self, name: &TableName, definition: TableDefinition) -> Result<()> {
        let paths = [definition.location.clone()];
        let (schema, options) = (definition.schema.clone(), &definition.options);
        let opened = firesteel_sources::open_table(&definition.format, &paths, schema, options, &self.0.stores).await;
        let table: Arc<dyn TableProvider> = match (opened, &definition.schema) {
            (Ok(table), _) => table,
            // A prefix of a store begins to exist with its first object.
            (Err(error), Some(schema)) if error.condition() == "PATH_NOT_FOUND" => {
                Arc::new(MemoryTable::new(schema.clone(), Vec::new())?)
            }
            (Err(error), _) => return Err(error),
        };
        self.0.catalog.register_table(name, table, true)?;
        self.0.definitions.lock().insert(definition_key(name), definition);
        Ok(())
    }

    pub(crate) fn definition(&self, name: &TableName) -> Option<TableDefinition> {
        self.0.definitions.lock().get(&definition_key(name)).cloned()
    }

    pub(crate) fn forget_definition(&self, name: &TableName) {
        self.0.definitions.lock().remove(&definition_key(name));
    }

    /// A table or view of the catalog as a frame.
    ///
    /// Errors: `TABLE_OR_VIEW_NOT_FOUND`.
    pub async fn table(&self, name: &str) -> Result<DataFrame> {
        let quoted: Vec<String> = name.split('.').map(|part| format!("`{}`", part.replace('`', "``"))).collect();
        self.sql(&format!("SELECT * FROM {}", quoted.join("."))).await
    }

    /// A frame of record batches that the caller has.
    ///
    /// Errors: `UNSUPPORTED_FEATURE` for types that the engine does not hold.
    pub fn create_dataframe(&self, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let Some(first) = batches.first() else {
            return Err(Error::type_mismatch("A frame needs at least one batch, which may be empty."));
        };
        let table = MemoryTable::from_arrow(fields(&first.schema())?, &batches)?;
        self.frame_of(Arc::new(table), "batches")
    }

    /// Registers record batches as a table; replaces a table or view of that name.
    pub fn register_batches(&self, name: &str, batches: Vec<RecordBatch>) -> Result<()> {
        let Some(first) = batches.first() else {
            return Err(Error::type_mismatch("A table needs at least one batch, which may be empty."));
        };
        let table = MemoryTable::from_arrow(fields(&first.schema())?, &batches)?;
        self.register_table(name, Arc::new(table))
    }

    /// Registers a table of any kind; replaces a table or view of that name.
    pub fn register_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        self.0.catalog.register_table(&TableName(vec![name.to_owned()]), table, true).map(|_| ())
    }

    /// Registers Parquet files (a file, a folder, a glob, a URL) as a table.
    pub async fn register_parquet(&self, name: &str, path: &str) -> Result<()> {
        self.register_files(name, "parquet", &[path.to_owned()], &BTreeMap::new()).await
    }

    /// Registers files of a format (`parquet`, `csv`, `json`) as a table; options are Spark's.
    pub async fn register_files(
        &self,
        name: &str,
        format: &str,
        paths: &[String],
        options: &BTreeMap<String, String>,
    ) -> Result<()> {
        let table = firesteel_sources::open_table(format, paths, None, options, &self.0.stores).await?;
        self.register_table(name, table)
    }

    /// Registers a Parquet file that is in memory.
    pub async fn register_parquet_bytes(&self, name: &str, bytes: impl Into<bytes::Bytes>) -> Result<()> {
        self.register_table(name, Arc::new(parquet_of_bytes(name, bytes.into()).await?))
    }

    /// As [`Session::register_parquet_bytes`], but the table gives way to any that is created with its name, and does
    /// nothing if there is one.
    pub async fn offer_parquet_bytes(&self, name: &str, bytes: impl Into<bytes::Bytes>) -> Result<()> {
        self.0.catalog.offer_table(name, Arc::new(parquet_of_bytes(name, bytes.into()).await?));
        Ok(())
    }

    pub(crate) fn frame_of(&self, table: Arc<dyn TableProvider>, name: &str) -> Result<DataFrame> {
        let tables = StatementTables::of_provider(self.catalog().clone(), name, table);
        DataFrame::scan(self, tables)
    }

    /// The settings as they are now.
    pub fn config(&self) -> Config {
        self.0.config.read().clone()
    }

    /// Changes a setting; whether it has an effect here.
    ///
    /// Errors: `INVALID_CONF_VALUE`, `INVALID_CONF_KEY`.
    pub fn set(&self, key: &str, value: &str) -> Result<bool> {
        let known = self.0.config.write().set(key, value)?;
        Ok(self.0.stores.configure(key, Some(value)) || known)
    }

    /// Gives a setting, or all, the value that it had when the session was built.
    pub fn reset(&self, key: Option<&str>) -> Result<()> {
        let mut config = self.0.config.write();
        let defaults = &self.0.defaults;
        let keys = match key {
            None => std::mem::replace(&mut *config, defaults.clone()).other.into_keys().collect(),
            Some(key) => {
                match defaults.get(key) {
                    Some(value) => config.set(key, &value).map(|_| ())?,
                    None => config.reset(key)?,
                }
                vec![key.to_owned()]
            }
        };
        for key in keys.iter().chain(defaults.other.keys()) {
            self.0.stores.configure(key, config.get(key).as_deref());
        }
        Ok(())
    }

    /// Names of tables and views, sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.0.catalog.list().into_iter().map(|(name, _)| name).collect()
    }

    /// Names of functions, sorted.
    pub fn function_names(&self) -> Vec<String> {
        let registry = self.registry();
        let mut names: Vec<String> = registry.names().into_iter().map(str::to_owned).collect();
        names.extend(firesteel_sql::names_without_registry().map(str::to_owned));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether it is the same session, and not one that is like it.
    pub(crate) fn is_same(&self, other: &Session) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.0.catalog
    }

    pub(crate) fn registry(&self) -> Arc<FunctionRegistry> {
        self.0.registry.read().clone()
    }

    pub(crate) fn update_registry(&self, change: impl FnOnce(&mut FunctionRegistry)) {
        let mut registry = self.0.registry.write();
        let mut own = FunctionRegistry::clone(&registry);
        change(&mut own);
        *registry = Arc::new(own);
    }

    pub(crate) fn ids(&self) -> &IdGenerator {
        &self.0.ids
    }

    pub(crate) fn stores(&self) -> &ObjectStores {
        &self.0.stores
    }

    pub(crate) fn next_query(&self) -> QueryId {
        QueryId(self.0.queries.fetch_add(1, Ordering::Relaxed))
    }

    /// The queries that run now: of frames whose rows are read, and of commands that write files or run a query
    /// otherwise, such as `CREATE TABLE AS SELECT` and `EXPLAIN ANALYZE`. The oldest is first.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let stream = session.sql("SELECT id FROM range(1000000)").await?.stream()?;
    /// let running = session.running_queries();
    /// assert_eq!(running[0].id(), stream.handle().id());
    /// running[0].cancel();
    /// assert!(stream.collect().await.is_err());
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn running_queries(&self) -> Vec<QueryHandle> {
        query::running(&mut self.0.started.lock())
    }

    pub(crate) fn remember(&self, query: Weak<query::Shared>) {
        let mut started = self.0.started.lock();
        query::running(&mut started);
        started.push(query);
    }

    /// Bytes that the queries of the session hold now, of [`SessionBuilder::memory_limit`].
    pub fn memory_used(&self) -> u64 {
        self.0.resources.lock().memory.used() as u64
    }

    /// Tasks of the session that run now or wait in the middle for a thread.
    pub fn running_tasks(&self) -> usize {
        self.0.resources.lock().cluster.tasks()
    }

    /// The threads of the session and the workers on them; others are made when their number was changed.
    pub(crate) fn workers(&self) -> (Arc<Threads>, Arc<LocalCluster>) {
        let wanted = self.0.config.read().threads;
        let mut resources = self.0.resources.lock();
        if resources.threads.workers() != wanted {
            resources.threads = Threads::new(wanted);
            resources.cluster = LocalCluster::new(wanted);
        }
        (resources.threads.clone(), resources.cluster.clone())
    }

    /// The memory of the session; a new pool is made when the limit was changed.
    pub(crate) fn memory(&self) -> Arc<MemoryPool> {
        let wanted = self.0.config.read().memory_limit;
        let mut resources = self.0.resources.lock();
        if resources.memory_limit != wanted {
            resources.memory = MemoryPool::root(wanted as usize);
            resources.memory_limit = wanted;
        }
        resources.memory.clone()
    }

    pub(crate) fn eval_context(&self, config: &Config) -> EvalContext {
        crate::query::eval_context(self.registry(), config)
    }

    /// A frame of literal rows: the result of a command.
    pub(crate) fn rows(
        &self,
        columns: &[(&str, SqlType)],
        rows: Vec<Vec<firesteel_common::Scalar>>,
    ) -> Result<DataFrame> {
        let fields: Vec<Field> =
            columns.iter().map(|(name, ty)| Field { name: Arc::from(*name), ty: ty.clone(), nullable: true }).collect();
        let arrays = fields
            .iter()
            .enumerate()
            .map(|(i, field)| {
                let cells: Vec<_> = rows.iter().map(|row| row[i].to_array(1)).collect();
                let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
                if cells.is_empty() {
                    return Ok(arrow::array::new_empty_array(&field.ty.arrow()));
                }
                Ok(arrow::compute::concat(&cells)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let table = MemoryTable::new(fields, vec![Batch::new(arrays, rows.len())])?;
        self.frame_of(Arc::new(table), "result")
    }

    /// The columns of a table as a scan of it has them.
    pub(crate) fn fresh_columns(&self, fields: &[Field]) -> Vec<ColumnRef> {
        let column = |f: &Field| ColumnRef {
            id: self.ids().column(),
            name: f.name.clone(),
            ty: f.ty.clone(),
            nullable: f.nullable,
        };
        fields.iter().map(column).collect()
    }
}

async fn parquet_of_bytes(name: &str, bytes: bytes::Bytes) -> Result<ParquetTable> {
    ParquetTable::open(vec![SourceFile::memory(name, bytes)], None, format!("memory:{name}")).await
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("tables", &self.table_names()).finish_non_exhaustive()
    }
}

fn definition_key(name: &TableName) -> String {
    name.0.last().map(|part| part.to_lowercase()).unwrap_or_default()
}

fn fields(schema: &arrow::datatypes::Schema) -> Result<Vec<Field>> {
    let field = |f: &arrow::datatypes::FieldRef| {
        Ok(Field {
            name: Arc::from(f.name().as_str()),
            ty: SqlType::from_arrow(f.data_type())?,
            nullable: f.is_nullable(),
        })
    };
    schema.fields().iter().map(field).collect()
}
