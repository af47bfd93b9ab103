//! Grouping, aggregates and duplicates.

use std::sync::Arc;

use firesteel_common::Result;
use firesteel_expr::Expr;
use firesteel_sql::frame::{GroupKind, distinct};

use crate::column::{Column, IntoColumns, call};
use crate::dataframe::DataFrame;
use crate::functions::count;
use crate::resolver::{Resolver, with_context};

/// A frame whose rows are grouped, made by [`DataFrame::group_by`]; aggregates give a frame again.
#[derive(Clone, Debug)]
pub struct GroupedData {
    frame: DataFrame,
    kind: GroupKind,
    keys: Vec<Column>,
}

impl DataFrame {
    /// Groups rows that agree in `columns`; `()` makes one group of all rows.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use firesteel::functions::{avg, col, max};
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT id, id % 3 AS k FROM range(9)").await?;
    /// let groups = df.group_by("k").agg([max("id"), (avg("id") + 1).alias("mean")])?;
    /// assert_eq!(groups.columns(), ["k", "max(id)", "mean"]);
    /// assert_eq!(df.group_by((col("id") % 2).alias("odd")).count()?.columns(), ["odd", "count"]);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn group_by(&self, columns: impl IntoColumns) -> GroupedData {
        GroupedData { frame: self.clone(), kind: GroupKind::Plain, keys: columns.into_columns() }
    }

    /// Groups by all prefixes of `columns`, with NULL in the others: subtotals and a total.
    pub fn rollup(&self, columns: impl IntoColumns) -> GroupedData {
        GroupedData { frame: self.clone(), kind: GroupKind::Rollup, keys: columns.into_columns() }
    }

    /// Groups by all subsets of `columns`, with NULL in the others.
    pub fn cube(&self, columns: impl IntoColumns) -> GroupedData {
        GroupedData { frame: self.clone(), kind: GroupKind::Cube, keys: columns.into_columns() }
    }

    /// Aggregates of all rows.
    pub fn agg(&self, aggregates: impl IntoColumns) -> Result<Self> {
        self.group_by(()).agg(aggregates)
    }

    /// The rows without duplicates.
    pub fn distinct(&self) -> Result<Self> {
        with_context(self.session(), |cx| {
            let columns: Vec<&str> = Vec::new();
            // A projection first: DISTINCT is of the columns that the frame shows.
            let shown = self.drop(columns);
            Ok(shown.with_plan(distinct(shown.plan().clone(), cx)))
        })
    }

    /// One row for each combination of values of `names`; of all columns, if there is no name.
    pub fn drop_duplicates<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() {
            return self.distinct();
        }
        with_context(self.session(), |cx| {
            let mut resolver = Resolver::new(&self.columns, cx);
            let keys = names.iter().map(|name| resolver.binder.name(name)).collect::<Result<Vec<_>>>()?;
            let mut items = Vec::with_capacity(self.columns.len());
            for named in &self.columns {
                let column = Expr::Column(named.column.clone());
                let expr = if keys.contains(&column) {
                    column
                } else {
                    resolver.binder.enter_aggregate("first")?;
                    resolver.binder.aggregate("first", vec![column], false, &named.name)?
                };
                items.push((named.name.clone(), expr));
            }
            Ok(self.with_query(resolver.binder.select(self.plan().clone(), Some((GroupKind::Plain, keys)), items)?))
        })
    }
}

impl GroupedData {
    /// The keys, then the aggregates.
    ///
    /// Errors: `MISSING_AGGREGATION` for a column that is neither; those of names and types.
    pub fn agg(&self, aggregates: impl IntoColumns) -> Result<DataFrame> {
        let (frame, aggregates) = (&self.frame, aggregates.into_columns());
        with_context(frame.session(), |cx| {
            let mut resolver = Resolver::new(&frame.columns, cx);
            let mut items: Vec<(Arc<str>, Expr)> = resolver.items(&self.keys)?;
            let keys = items.iter().map(|(_, expr)| expr.clone()).collect();
            items.extend(resolver.items(&aggregates)?);
            let query = resolver.binder.select(frame.plan().clone(), Some((self.kind, keys)), items)?;
            Ok(frame.with_query(query))
        })
    }

    /// The number of rows of each group, as column `count`.
    pub fn count(&self) -> Result<DataFrame> {
        self.agg(count("*").alias("count"))
    }

    /// The sum of each column.
    pub fn sum(&self, columns: impl IntoColumns) -> Result<DataFrame> {
        self.each("sum", columns)
    }

    /// The average of each column.
    pub fn avg(&self, columns: impl IntoColumns) -> Result<DataFrame> {
        self.each("avg", columns)
    }

    /// The least value of each column.
    pub fn min(&self, columns: impl IntoColumns) -> Result<DataFrame> {
        self.each("min", columns)
    }

    /// The greatest value of each column.
    pub fn max(&self, columns: impl IntoColumns) -> Result<DataFrame> {
        self.each("max", columns)
    }

    fn each(&self, function: &str, columns: impl IntoColumns) -> Result<DataFrame> {
        let columns = columns.into_columns().into_iter();
        self.agg(columns.map(|column| call(function, vec![column])).collect::<Vec<_>>())
    }
}
