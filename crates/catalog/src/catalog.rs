//! Names of a session: tables and views.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firesteel_common::{Error, Result, Span, TableId};
use parking_lot::RwLock;

use crate::table::{TableProvider, TableRef, TableResolver, unknown_table};

/// The only schema there is; `default.t` is `t`.
pub const DEFAULT_SCHEMA: &str = "default";

/// A table name as written: one or more parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName(pub Vec<String>);

impl TableName {
    /// The format and path of a name such as ``parquet.`/data/x` ``.
    pub fn as_path(&self) -> Option<(&str, &str)> {
        match self.0.as_slice() {
            [format, path] => {
                let format = ["parquet", "csv", "json"].into_iter().find(|f| f.eq_ignore_ascii_case(format))?;
                Some((format, path))
            }
            _ => None,
        }
    }

    /// The key in the catalog: the last part in lower case, if the others name the default schema.
    fn key(&self) -> Option<String> {
        let (name, schema) = self.0.split_last()?;
        let in_default = match schema {
            [] => true,
            [schema] => schema.eq_ignore_ascii_case(DEFAULT_SCHEMA),
            [catalog, schema] => {
                catalog.eq_ignore_ascii_case("spark_catalog") && schema.eq_ignore_ascii_case(DEFAULT_SCHEMA)
            }
            _ => false,
        };
        in_default.then(|| name.to_lowercase())
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| format!("`{part}`")).collect();
        f.write_str(&parts.join("."))
    }
}

/// What a view stands for.
#[derive(Clone)]
pub enum ViewBody {
    /// A query's text, bound anew at each use.
    Sql(Arc<str>),
    /// A logical plan (opaque here, since plans are above this crate); the binder gives it fresh ids.
    Plan(Arc<dyn Any + Send + Sync>),
}

impl fmt::Debug for ViewBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewBody::Sql(sql) => f.write_str(sql),
            ViewBody::Plan(_) => f.write_str("<plan>"),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum CatalogEntry {
    /// A table.
    Table(TableRef, Arc<dyn TableProvider>),
    /// A temporary view.
    View {
        /// Its query.
        body: ViewBody,
        /// Names of its columns, if the view renames them.
        columns: Option<Vec<String>>,
    },
}

/// Tables and views of a session, and the providers of all tables that its plans refer to (those read
/// by path as well).
#[derive(Debug, Default)]
pub struct Catalog {
    entries: RwLock<BTreeMap<String, Named>>,
    providers: RwLock<BTreeMap<TableId, Arc<dyn TableProvider>>>,
    next: AtomicU64,
}

/// An entry with its name as it was written.
#[derive(Debug)]
struct Named {
    shown: String,
    entry: CatalogEntry,
    /// It gives way to anything that is created with its name.
    offered: bool,
}

impl Catalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a provider an identity that plans can refer to, without a name in the catalog.
    pub fn adopt(&self, name: &str, provider: Arc<dyn TableProvider>) -> TableRef {
        let id = TableId(self.next.fetch_add(1, Ordering::Relaxed));
        self.providers.write().insert(id, provider);
        TableRef { id, name: Arc::from(name) }
    }

    /// Forgets a provider that was adopted; plans that refer to it can no longer start.
    pub fn forget(&self, id: TableId) {
        self.providers.write().remove(&id);
    }

    /// Registers a table. A table or view of that name is replaced if `replace`.
    ///
    /// Errors: `TABLE_OR_VIEW_ALREADY_EXISTS`.
    pub fn register_table(
        &self,
        name: &TableName,
        provider: Arc<dyn TableProvider>,
        replace: bool,
    ) -> Result<TableRef> {
        let table = self.adopt(name.0.last().map_or("", String::as_str), provider.clone());
        self.insert(name, CatalogEntry::Table(table.clone(), provider), replace)?;
        Ok(table)
    }

    /// Registers a table that gives way to whatever is created with its name; nothing happens if the name is taken.
    pub fn offer_table(&self, name: &str, provider: Arc<dyn TableProvider>) {
        let mut entries = self.entries.write();
        entries.entry(name.to_lowercase()).or_insert_with(|| Named {
            shown: name.to_owned(),
            entry: CatalogEntry::Table(self.adopt(name, provider.clone()), provider),
            offered: true,
        });
    }

    /// Registers a temporary view.
    ///
    /// Errors: `TEMP_TABLE_OR_VIEW_ALREADY_EXISTS`.
    pub fn register_view(
        &self,
        name: &TableName,
        body: ViewBody,
        columns: Option<Vec<String>>,
        replace: bool,
    ) -> Result<()> {
        self.insert(name, CatalogEntry::View { body, columns }, replace)
    }

    fn insert(&self, name: &TableName, entry: CatalogEntry, replace: bool) -> Result<()> {
        let key = name.key().ok_or_else(|| schema_not_found(name))?;
        let mut entries = self.entries.write();
        if !replace && entries.get(&key).is_some_and(|known| !known.offered) {
            let condition = match entry {
                CatalogEntry::View { .. } => "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS",
                CatalogEntry::Table(..) => "TABLE_OR_VIEW_ALREADY_EXISTS",
            };
            let message = format!(
                "Cannot create {name} because it already exists. Choose a different name, drop or replace the existing object."
            );
            return Err(Error::bind(condition, "42P07", message));
        }
        let shown = name.0.last().cloned().unwrap_or_default();
        entries.insert(key, Named { shown, entry, offered: false });
        Ok(())
    }

    /// Removes a table or view; false if there is none.
    pub fn remove(&self, name: &TableName) -> bool {
        name.key().is_some_and(|key| self.entries.write().remove(&key).is_some())
    }

    /// What `name` stands for, if anything.
    pub fn get(&self, name: &TableName) -> Option<CatalogEntry> {
        let key = name.key()?;
        self.entries.read().get(&key).map(|known| known.entry.clone())
    }

    /// Whether a name is taken, by more than an offer.
    pub fn is_taken(&self, name: &TableName) -> bool {
        name.key().is_some_and(|key| self.entries.read().get(&key).is_some_and(|known| !known.offered))
    }

    /// What `name` stands for.
    ///
    /// Errors: `TABLE_OR_VIEW_NOT_FOUND`, with the nearest names as a hint.
    pub fn lookup(&self, name: &TableName, span: Span) -> Result<CatalogEntry> {
        self.get(name).ok_or_else(|| {
            let error = Error::bind(
                "TABLE_OR_VIEW_NOT_FOUND",
                "42P01",
                format!("The table or view {name} cannot be found. Verify the spelling and correctness of the schema and catalog."),
            )
            .at(span);
            let near = self.nearest(name.0.last().map_or("", String::as_str));
            if near.is_empty() { error } else { error.with_hint(format!("did you mean {}?", near.join(", "))) }
        })
    }

    fn nearest(&self, name: &str) -> Vec<String> {
        let name = name.to_lowercase();
        let entries = self.entries.read();
        let mut near: Vec<(usize, String)> = entries
            .iter()
            .map(|(key, known)| (edit_distance(&name, key), format!("`{}`", known.shown)))
            .filter(|(distance, _)| *distance <= name.len().div_ceil(2).min(3))
            .collect();
        near.sort();
        near.into_iter().take(3).map(|(_, shown)| shown).collect()
    }

    /// Names and entries, sorted by name.
    pub fn list(&self) -> Vec<(String, CatalogEntry)> {
        self.entries.read().values().map(|known| (known.shown.clone(), known.entry.clone())).collect()
    }
}

impl TableResolver for Catalog {
    fn resolve(&self, table: &TableRef) -> Result<Arc<dyn TableProvider>> {
        self.providers.read().get(&table.id).cloned().ok_or_else(|| unknown_table(table))
    }
}

fn schema_not_found(name: &TableName) -> Error {
    let schema = name.0.iter().rev().nth(1).map_or("", String::as_str);
    Error::bind("SCHEMA_NOT_FOUND", "42704", format!("The schema `{schema}` cannot be found."))
        .with_hint("there is one schema, `default`")
}

/// Levenshtein distance in bytes: insertions, deletions and replacements that lead from `a` to `b`.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableStatistics;
    use crate::table::{Field, ScanRequest, TableScan};

    #[test]
    fn distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[derive(Debug)]
    struct Nothing;

    impl TableProvider for Nothing {
        fn schema(&self) -> &[Field] {
            &[]
        }

        fn statistics(&self) -> Arc<TableStatistics> {
            Arc::default()
        }

        fn scan(&self, _: ScanRequest) -> Result<Arc<dyn TableScan>> {
            Err(Error::unsupported("it has no rows"))
        }

        fn description(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn what_is_created_takes_the_place_of_an_offer() {
        let catalog = Catalog::new();
        let name = TableName(vec!["T".to_owned()]);
        catalog.offer_table("t", Arc::new(Nothing));
        assert!(catalog.get(&name).is_some() && !catalog.is_taken(&name));
        catalog.register_view(&name, ViewBody::Sql("SELECT 1".into()), None, false).unwrap();
        catalog.offer_table("t", Arc::new(Nothing));
        assert!(catalog.is_taken(&name));
        assert!(matches!(catalog.get(&name), Some(CatalogEntry::View { .. })));
    }

    #[test]
    fn names_ignore_case_and_the_default_schema() {
        let catalog = Catalog::new();
        let name = |parts: &[&str]| TableName(parts.iter().map(|p| (*p).to_owned()).collect());
        catalog.register_view(&name(&["Orders"]), ViewBody::Sql("SELECT 1".into()), None, false).unwrap();
        assert!(catalog.get(&name(&["default", "ORDERS"])).is_some());
        let error = catalog.lookup(&name(&["oders"]), Span::NONE).unwrap_err();
        assert_eq!(error.condition(), "TABLE_OR_VIEW_NOT_FOUND");
        assert_eq!(error.hint(), Some("did you mean `Orders`?"));
        assert!(catalog.remove(&name(&["orders"])));
    }
}
