//! Missing values, samples and summaries.

use firesteel_common::{Error, Result, Scalar, SqlType};

use crate::column::{Column, Node, call};
use crate::dataframe::DataFrame;
use crate::display;
use crate::functions::{avg, call_function, count, lit, max, min, nanvl, stddev};
use crate::resolver::NamedColumn;

/// What a summary has a row for.
const SUMMARIES: [&str; 5] = ["count", "mean", "stddev", "min", "max"];

/// This very column, whatever others have its name.
fn exactly(column: &NamedColumn) -> Column {
    let origin = firesteel_expr::ColumnRef { id: column.origin, ..column.column.clone() };
    Column(Node::Of { origin, qualifier: column.qualifier.clone(), name: column.name.clone() })
}

fn is_float(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Float | SqlType::Double)
}

impl DataFrame {
    /// The columns of `names`; all, if there is no name.
    ///
    /// Errors: `UNRESOLVED_COLUMN`.
    fn named<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<Vec<&NamedColumn>> {
        let names: Vec<&str> = names.into_iter().collect();
        for name in &names {
            self.col(name)?;
        }
        let wanted = |c: &&NamedColumn| names.is_empty() || names.iter().any(|name| self.same_name(&c.name, name));
        Ok(self.named_columns().iter().filter(wanted).collect())
    }

    /// `value` in place of NULL, and of NaN, in the columns of `names`, or in all; columns of another kind than `value`
    /// (a number, a string, a Boolean) stay as they are.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT * FROM VALUES (1, NULL), (NULL, 'b') AS t(n, s)").await?;
    /// let filled = df.fillna(0, [])?.fillna("?", ["s"])?;
    /// assert_eq!(filled.filter("n = 0 OR s = '?'")?.count().await?, 2);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn fillna<'s>(&self, value: impl Into<Scalar>, names: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let value: Scalar = value.into();
        let chosen: Vec<_> = self.named(names)?.into_iter().map(|c| c.column.id).collect();
        let fits = |ty: &SqlType| match &value {
            Scalar::Boolean(_) => *ty == SqlType::Boolean,
            Scalar::String(_) => *ty == SqlType::String,
            number => number.ty().is_numeric() && ty.is_numeric(),
        };
        let filled = self.named_columns().iter().map(|c| {
            let column = exactly(c);
            if !chosen.contains(&c.column.id) || !fits(&c.column.ty) {
                return column;
            }
            let known = if is_float(&c.column.ty) { nanvl(column, lit(Scalar::Null(SqlType::Void))) } else { column };
            call("coalesce", vec![known, lit(value.clone()).cast(c.column.ty.clone())]).alias(&c.name)
        });
        self.select(filled.collect::<Vec<_>>())
    }

    /// The rows without NULL, and without NaN, in the columns of `names`, or in all.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT * FROM VALUES (1, NULL), (NULL, 'b'), (2, 'c') AS t(n, s)").await?;
    /// assert_eq!(df.dropna([])?.count().await?, 1);
    /// assert_eq!(df.dropna(["n"])?.count().await?, 2);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn dropna<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let present = self.named(names)?.into_iter().map(|c| {
            let some = exactly(c).is_not_null();
            if is_float(&c.column.ty) { some.and(call_function("isnan", exactly(c)).eq(false)) } else { some }
        });
        present.reduce(Column::and).map_or_else(|| Ok(self.clone()), |all| self.filter(all))
    }

    /// About `fraction` of the rows, each chosen by itself, others in each run.
    ///
    /// Errors: `INVALID_PARAMETER_VALUE` for a fraction that is not from 0 to 1.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let some = session.sql("SELECT id FROM range(10000)").await?.sample(0.1)?.count().await?;
    /// assert!((500..2000).contains(&some));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn sample(&self, fraction: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&fraction) {
            let message = format!("The fraction of a sample must be from 0 to 1, not {fraction}.");
            return Err(Error::bind("INVALID_PARAMETER_VALUE", "22023", message));
        }
        self.filter(call("rand", Vec::new()).lt(fraction))
    }

    /// Runs it and sums up the columns of `names`, or all numbers and strings: count, mean, standard deviation, least and
    /// greatest value, as text.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT * FROM VALUES (1, 'x'), (3, 'y') AS t(n, s)").await?;
    /// assert_eq!(
    ///     df.describe([]).await?.to_pretty_string().await?.lines().skip(3).collect::<Vec<_>>(),
    ///     [
    ///         "|count  |2                 |2   |",
    ///         "|mean   |2.0               |NULL|",
    ///         "|stddev |1.4142135623730951|NULL|",
    ///         "|min    |1                 |x   |",
    ///         "|max    |3                 |y   |",
    ///         "+-------+------------------+----+",
    ///     ]
    /// );
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn describe<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<Self> {
        let mut chosen = self.named(names)?;
        chosen.retain(|c| c.column.ty.is_numeric() || c.column.ty == SqlType::String);
        let of = |c: &&NamedColumn| {
            let column = exactly(c);
            let number = |aggregate: fn(Column) -> Column| match c.column.ty.is_numeric() {
                true => aggregate(column.clone()),
                false => lit(Scalar::Null(SqlType::Void)),
            };
            [count(column.clone()), number(avg), number(stddev), min(column.clone()), max(column.clone())]
                .map(|value| value.cast(SqlType::String))
        };
        // A literal keeps the list from being empty.
        let items: Vec<Column> = std::iter::once(lit(true)).chain(chosen.iter().flat_map(of)).collect();
        let batches = self.agg(items)?.collect().await?;
        let mut cells = Vec::new();
        for batch in &batches {
            cells.extend(display::cells(batch, &self.session().config().time_zone)?.into_iter().flatten().skip(1));
        }
        let text = |cell: Option<&Option<String>>| match cell {
            Some(Some(text)) => Scalar::string(text),
            _ => Scalar::Null(SqlType::String),
        };
        let rows = SUMMARIES.iter().enumerate().map(|(i, name)| {
            let values = (0..chosen.len()).map(|c| text(cells.get(c * SUMMARIES.len() + i)));
            std::iter::once(Scalar::string(name)).chain(values).collect()
        });
        let names = std::iter::once("summary").chain(chosen.iter().map(|c| &*c.name));
        let columns: Vec<(&str, SqlType)> = names.map(|name| (name, SqlType::String)).collect();
        self.session().rows(&columns, rows.collect())
    }
}
