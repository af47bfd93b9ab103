//! Transformations of one frame.

use std::sync::Arc;

use firesteel_common::{Error, Result};
use firesteel_expr::{Expr, SortKey};
use firesteel_plan::{LogicalOp, RepartitionKind};

use crate::column::{Column, IntoColumns};
use crate::dataframe::DataFrame;
use crate::functions::expr;
use crate::resolver::{Resolver, with_context};
use firesteel_sql::frame;

/// A predicate: an expression, or SQL.
pub trait Condition {
    /// The predicate as an expression.
    fn into_condition(self) -> Column;
}

impl Condition for Column {
    fn into_condition(self) -> Column {
        self
    }
}

impl Condition for &str {
    fn into_condition(self) -> Column {
        expr(self)
    }
}

impl DataFrame {
    /// Resolves expressions of a clause without aggregates.
    pub(super) fn resolve<T>(&self, clause: &'static str, f: impl FnOnce(&mut Resolver<'_>) -> Result<T>) -> Result<T> {
        with_context(&self.session, |cx| f(&mut Resolver::scalar(&self.columns, clause, cx)))
    }

    /// Computes columns; the result has these and no others. `"*"` is all columns.
    ///
    /// Errors: `UNRESOLVED_COLUMN`, `AMBIGUOUS_REFERENCE`, and those of types.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use firesteel::functions::{col, upper};
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT 'a' AS name, 2 AS n").await?;
    /// let df = df.select([upper("name"), (col("n") * 10).alias("tens")])?;
    /// assert_eq!(df.columns(), ["upper(name)", "tens"]);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn select(&self, columns: impl IntoColumns) -> Result<Self> {
        let columns = columns.into_columns();
        with_context(&self.session, |cx| {
            let mut resolver = Resolver::new(&self.columns, cx);
            let items = resolver.items(&columns)?;
            Ok(self.with_query(resolver.binder.select(self.plan().clone(), None, items)?))
        })
    }

    /// As [`DataFrame::select`], of items in SQL.
    pub fn select_expr<'s>(&self, items: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        self.select(items.into_iter().map(expr).collect::<Vec<_>>())
    }

    /// Keeps the rows for which the condition is true: an expression, or SQL.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use firesteel::functions::col;
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT id FROM range(10)").await?;
    /// assert_eq!(df.filter(col("id").ge(8))?.count().await?, 2);
    /// assert_eq!(df.filter("id % 5 = 0")?.count().await?, 2);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn filter(&self, condition: impl Condition) -> Result<Self> {
        let condition = condition.into_condition();
        let predicate = self.resolve("WHERE", |resolver| resolver.condition(&condition))?;
        Ok(self.with_plan(self.unary(LogicalOp::Filter { predicate })))
    }

    /// As [`DataFrame::filter`].
    pub fn where_(&self, condition: impl Condition) -> Result<Self> {
        self.filter(condition)
    }

    /// Adds a column, or replaces that of the name.
    pub fn with_column(&self, name: &str, column: impl Into<Column>) -> Result<Self> {
        self.with_columns([(name, column.into())])
    }

    /// Adds or replaces several columns, all computed from the columns as they are.
    pub fn with_columns<'s>(&self, columns: impl IntoIterator<Item = (&'s str, Column)>) -> Result<Self> {
        let new: Vec<(&str, Column)> = columns.into_iter().collect();
        with_context(&self.session, |cx| {
            let mut resolver = Resolver::new(&self.columns, cx);
            let mut values = Vec::with_capacity(new.len());
            for (name, column) in &new {
                values.push((*name, resolver.expr(&column.0)?));
            }
            let mut items: Vec<(Arc<str>, Expr)> =
                self.columns.iter().map(|c| (c.name.clone(), Expr::Column(c.column.clone()))).collect();
            for (name, value) in values {
                let mut replaced = false;
                for (known, item) in &mut items {
                    if self.same_name(known, name) {
                        (*known, *item, replaced) = (Arc::from(name), value.clone(), true);
                    }
                }
                if !replaced {
                    items.push((Arc::from(name), value));
                }
            }
            Ok(self.with_query(resolver.binder.select(self.plan().clone(), None, items)?))
        })
    }

    /// Gives the column of a name another; nothing happens if there is none.
    #[must_use]
    pub fn with_column_renamed(&self, from: &str, to: &str) -> Self {
        let mut renamed = self.clone();
        for column in renamed.columns.iter_mut().filter(|c| self.same_name(&c.name, from)) {
            column.name = Arc::from(to);
        }
        renamed
    }

    /// As [`DataFrame::with_column_renamed`], for several columns, one after the other.
    #[must_use]
    pub fn with_columns_renamed<'s>(&self, names: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        names.into_iter().fold(self.clone(), |frame, (from, to)| frame.with_column_renamed(from, to))
    }

    /// Gives all columns new names.
    ///
    /// Errors: `ASSIGNMENT_ARITY_MISMATCH` if there are not as many names as columns.
    pub fn to_df<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let names: Vec<&str> = names.into_iter().collect();
        if names.len() != self.columns.len() {
            let message = format!(
                "The number of columns or variables assigned or aliased: {} does not match the number of source \
                 expressions: {}.",
                names.len(),
                self.columns.len()
            );
            return Err(Error::bind("ASSIGNMENT_ARITY_MISMATCH", "42802", message));
        }
        let mut renamed = self.clone();
        renamed.columns.iter_mut().zip(names).for_each(|(column, name)| column.name = Arc::from(name));
        Ok(renamed)
    }

    /// Leaves columns out; names that no column has are ignored.
    #[must_use]
    pub fn drop<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let mut kept = self.columns.clone();
        kept.retain(|c| !names.iter().any(|name| self.same_name(&c.name, name)));
        let exprs = kept.iter().map(|c| (c.column.clone(), Expr::Column(c.column.clone()))).collect();
        self.with_columns_of(self.unary(LogicalOp::Project { exprs }), kept)
    }

    /// The first `n` rows.
    #[must_use]
    pub fn limit(&self, n: u64) -> Self {
        self.with_plan(self.unary(LogicalOp::Limit { skip: 0, fetch: Some(n) }))
    }

    /// All rows but the first `n`.
    #[must_use]
    pub fn offset(&self, n: u64) -> Self {
        self.with_plan(self.unary(LogicalOp::Limit { skip: n, fetch: None }))
    }

    /// The rows in an order; ascending unless [`Column::desc`] says otherwise.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use firesteel::functions::{col, desc};
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT id, id % 2 AS odd FROM range(4)").await?;
    /// let sorted = df.sort([desc("odd"), col("id")])?.to_pretty_string().await?;
    /// let first = sorted.lines().nth(3);
    /// assert_eq!(first, Some("|1  |1  |"));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn sort(&self, columns: impl IntoColumns) -> Result<Self> {
        let keys = self.sort_keys("ORDER BY", columns)?;
        Ok(self.with_plan(self.unary(LogicalOp::Sort { keys, fetch: None, global: true })))
    }

    fn sort_keys(&self, clause: &'static str, columns: impl IntoColumns) -> Result<Vec<SortKey>> {
        let columns = columns.into_columns();
        self.resolve(clause, |resolver| columns.iter().map(|column| resolver.sort_key(&column.0)).collect())
    }

    /// As [`DataFrame::sort`].
    pub fn order_by(&self, columns: impl IntoColumns) -> Result<Self> {
        self.sort(columns)
    }

    /// Orders the rows of each task: `SORT BY`.
    pub fn sort_within_partitions(&self, columns: impl IntoColumns) -> Result<Self> {
        let keys = self.sort_keys("SORT BY", columns)?;
        Ok(self.with_plan(self.unary(LogicalOp::Sort { keys, fetch: None, global: false })))
    }

    /// Spreads the rows evenly over a number of partitions.
    #[must_use]
    pub fn repartition(&self, partitions: u32) -> Self {
        let kind = RepartitionKind::RoundRobin;
        self.with_plan(self.unary(LogicalOp::Repartition { kind, partitions: Some(partitions.max(1)) }))
    }

    /// Brings rows with equal values of `columns` to one partition.
    pub fn repartition_by(&self, partitions: Option<u32>, columns: impl IntoColumns) -> Result<Self> {
        let columns = columns.into_columns();
        let keys = self.resolve("REPARTITION", |resolver| {
            columns.iter().map(|column| resolver.expr(&column.0)).collect::<Result<Vec<_>>>()
        })?;
        let kind = if keys.is_empty() { RepartitionKind::RoundRobin } else { RepartitionKind::Hash(keys) };
        Ok(self.with_plan(self.unary(LogicalOp::Repartition { kind, partitions })))
    }

    /// Brings rows to partitions by ranges of an order, ascending unless [`Column::desc`] says otherwise. The
    /// ranges come from a sample.
    ///
    /// Errors: no column.
    pub fn repartition_by_range(&self, partitions: Option<u32>, columns: impl IntoColumns) -> Result<Self> {
        let keys = self.sort_keys("REPARTITION_BY_RANGE", columns)?;
        if keys.is_empty() {
            let message = "At least one partition-by expression must be specified.";
            return Err(Error::bind("INVALID_PARAMETER_VALUE", "22023", message));
        }
        let partitions = partitions.map(|n| n.max(1));
        Ok(self.with_plan(self.unary(LogicalOp::Repartition { kind: RepartitionKind::Range(keys), partitions })))
    }

    /// Has the rows made by at most a number of tasks, without moving them.
    #[must_use]
    pub fn coalesce(&self, partitions: u32) -> Self {
        let (kind, partitions) = (RepartitionKind::Coalesce, Some(partitions.max(1)));
        self.with_plan(self.unary(LogicalOp::Repartition { kind, partitions }))
    }

    /// A hint of SQL on these rows: `broadcast`, `merge`, `shuffle_hash` or `shuffle_replicate_nl` for the next join,
    /// or `repartition`, `repartition_by_range`, `rebalance` or `coalesce` with its arguments. Other names are
    /// ignored, with a warning.
    ///
    /// Errors: arguments that the hint does not take, `UNRESOLVED_COLUMN`.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # use firesteel::JoinType;
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let large = session.sql("SELECT id FROM range(1000)").await?;
    /// let small = session.sql("SELECT id FROM range(10)").await?;
    /// let joined = large.join(&small.hint("broadcast", [])?, "id", JoinType::Inner)?;
    /// assert_eq!(joined.hint("rebalance", ["id"])?.count().await?, 10);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn hint<'s>(&self, name: &str, parameters: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let parameters: Vec<String> = parameters.into_iter().map(str::to_owned).collect();
        let hinted = with_context(&self.session, |cx| {
            frame::hint(self.plan().clone(), &self.bound().columns, name, &parameters, cx)
        })?;
        Ok(self.with_plan(hinted))
    }

    /// Whether two names of columns are the same in this session.
    pub(super) fn same_name(&self, a: &str, b: &str) -> bool {
        if self.session.config().case_sensitive { a == b } else { a.to_lowercase() == b.to_lowercase() }
    }
}
