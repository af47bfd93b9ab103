//! Tables of a statement: names of the catalog, and files that are named by path.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::{
    Catalog, CatalogEntry, TableName, TableProvider, TableRef, TableResolver, TableStatistics, ViewBody,
};
use firesteel_common::{Result, Span};
use firesteel_optimizer::rule::TableStats;
use firesteel_sources::ObjectStores;
use firesteel_sql::{BoundQuery, ParsedStatement, TableLookup};

/// Views inside views that are followed to find their files; the binder has a limit of its own.
const MAX_VIEW_DEPTH: usize = 64;

/// The tables that one statement may refer to. Plans made from the statement keep it alive.
#[derive(Debug)]
pub(crate) struct StatementTables {
    catalog: Arc<Catalog>,
    paths: BTreeMap<TableName, (TableRef, Arc<dyn TableProvider>)>,
    /// Tables of the frames behind views that the statement uses.
    frames: Vec<Arc<StatementTables>>,
}

/// A view that is a frame: its query, and the tables that it keeps alive. Only the query is for the binder.
#[derive(Debug)]
pub(crate) struct FrameView {
    pub(crate) query: Arc<BoundQuery>,
    pub(crate) tables: Vec<Arc<StatementTables>>,
}

impl StatementTables {
    /// Opens the files that `statement`, and the views that it uses, name by path.
    pub(crate) async fn open(
        statement: &ParsedStatement,
        catalog: Arc<Catalog>,
        stores: &ObjectStores,
    ) -> Result<Arc<Self>> {
        let mut this = Self { catalog, paths: BTreeMap::new(), frames: Vec::new() };
        let mut names = statement.tables();
        for _ in 0..MAX_VIEW_DEPTH {
            let mut inner = Vec::new();
            for name in std::mem::take(&mut names) {
                let entry = this.catalog.get(&name);
                if let Some(CatalogEntry::View { body: ViewBody::Sql(sql), .. }) = entry {
                    inner.extend(firesteel_sql::parse(&sql)?.iter().flat_map(ParsedStatement::tables));
                } else if let Some(CatalogEntry::View { body: ViewBody::Plan(plan), .. }) = entry {
                    if let Some(view) = plan.downcast_ref::<FrameView>() {
                        this.frames.extend(view.tables.iter().cloned());
                    }
                } else if let Some((format, path)) = name.as_path()
                    && !this.paths.contains_key(&name)
                {
                    let paths = [path.to_owned()];
                    let table = firesteel_sources::open_table(format, &paths, None, &BTreeMap::new(), stores).await?;
                    let id = this.catalog.adopt(&format!("{format}.`{path}`"), table.clone());
                    this.paths.insert(name, (id, table));
                }
            }
            inner.sort();
            inner.dedup();
            if inner.is_empty() {
                break;
            }
            names = inner;
        }
        Ok(Arc::new(this))
    }

    /// One table without a name in the catalog.
    pub(crate) fn of_provider(catalog: Arc<Catalog>, name: &str, provider: Arc<dyn TableProvider>) -> Arc<Self> {
        let table = catalog.adopt(name, provider.clone());
        let paths = BTreeMap::from([(TableName(vec![name.to_owned()]), (table, provider))]);
        Arc::new(Self { catalog, paths, frames: Vec::new() })
    }

    /// The tables that are not in the catalog.
    pub(crate) fn own(&self) -> impl Iterator<Item = &(TableRef, Arc<dyn TableProvider>)> {
        self.paths.values()
    }
}

impl Drop for StatementTables {
    fn drop(&mut self) {
        self.paths.values().for_each(|(table, _)| self.catalog.forget(table.id));
    }
}

impl TableLookup for StatementTables {
    fn lookup(&self, name: &TableName, span: Span) -> Result<CatalogEntry> {
        match self.paths.get(name) {
            Some((table, provider)) => Ok(CatalogEntry::Table(table.clone(), provider.clone())),
            None => Ok(match self.catalog.lookup(name, span)? {
                CatalogEntry::View { body: ViewBody::Plan(plan), columns } => {
                    let query = plan.downcast_ref::<FrameView>().map(|view| view.query.clone());
                    let body = query.map_or(ViewBody::Plan(plan), |query| ViewBody::Plan(query));
                    CatalogEntry::View { body, columns }
                }
                other => other,
            }),
        }
    }
}

/// Statistics through a catalog.
pub(crate) struct CatalogStats(pub(crate) Arc<Catalog>);

impl TableStats for CatalogStats {
    fn statistics(&self, table: &TableRef) -> Option<Arc<TableStatistics>> {
        self.0.resolve(table).ok().map(|provider| provider.statistics())
    }

    fn identity(&self, table: &TableRef) -> Option<u64> {
        self.0.resolve(table).ok()?.identity()
    }
}
