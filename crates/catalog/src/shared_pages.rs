//! Pages that several scans of a statement read: the first one keeps them for the others, so that none is decompressed
//! twice. They live no longer than the statement.
//!
//! Invariant: a page is known by where it is in its table, and what is kept for a place is what any scan of the table
//! would find there. So a scan may take a page or read it, and may keep one or not: its rows are the same.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use firesteel_common::TableId;

use crate::ScanMetrics;

/// How many scans of a statement, from now on, read each column of each table.
pub type ColumnReaders = BTreeMap<TableId, BTreeMap<usize, usize>>;

/// A page, in a form that the source of the table knows.
pub type SharedPage = Arc<dyn Any + Send + Sync>;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    /// The table.
    pub table: TableId,
    /// Column of the table.
    pub column: usize,
    /// File of the table.
    pub part: usize,
    /// Row group, or another unit inside the part.
    pub group: usize,
    /// First row of the page in its unit; `None` for the dictionary.
    pub row: Option<u64>,
}

/// Holds pages.
pub trait PageStore: Send + Sync + fmt::Debug {
    /// The page, if it was kept.
    fn get(&self, key: &PageKey) -> Option<SharedPage>;

    /// Keeps a page that takes `bytes` bytes, if there is room.
    fn keep(&self, key: PageKey, page: SharedPage, bytes: usize);
}

/// The columns of a table that a scan shares with others.
#[derive(Clone, Debug)]
pub struct SharedColumns {
    /// Where the pages are.
    pub store: Arc<dyn PageStore>,
    /// The table.
    pub table: TableId,
    /// Columns of the table, each with whether yet another scan will want its pages.
    pub columns: Arc<BTreeMap<usize, bool>>,
}

impl SharedColumns {
    /// A column in a unit of the table, if it is shared.
    pub fn chunk(&self, column: usize, part: usize, group: usize, metrics: &Arc<ScanMetrics>) -> Option<SharedChunk> {
        let keeps = *self.columns.get(&column)?;
        let key = PageKey { table: self.table, column, part, group, row: None };
        Some(SharedChunk { store: self.store.clone(), key, keeps, metrics: metrics.clone() })
    }
}

/// The pages of a shared column in one unit of its table.
#[derive(Clone, Debug)]
pub struct SharedChunk {
    store: Arc<dyn PageStore>,
    key: PageKey,
    keeps: bool,
    metrics: Arc<ScanMetrics>,
}

impl SharedChunk {
    /// What was kept of the page that begins at `row`, or of the dictionary.
    pub fn get<T: Any + Send + Sync>(&self, row: Option<u64>) -> Option<Arc<T>> {
        let page = self.store.get(&PageKey { row, ..self.key })?.downcast().ok()?;
        ScanMetrics::add(&self.metrics.pages_shared, 1);
        Some(page)
    }

    /// Whether the page that begins at `row` was kept.
    pub fn has(&self, row: u64) -> bool {
        self.store.get(&PageKey { row: Some(row), ..self.key }).is_some()
    }

    /// Whether another scan will want what this one reads.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Keeps the page that begins at `row`, or the dictionary, for others.
    pub fn keep<T: Any + Send + Sync>(&self, row: Option<u64>, page: Arc<T>, bytes: usize) {
        if self.keeps {
            self.store.keep(PageKey { row, ..self.key }, page, bytes);
        }
    }
}
