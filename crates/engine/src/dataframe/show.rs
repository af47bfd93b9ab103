//! Frames as text, as Spark shows them.

use std::fmt::Write as _;
use std::io::Write as _;

use firesteel_common::{Result, SqlType};

use crate::dataframe::DataFrame;
use crate::display::cells;

/// Rows that are shown unless said otherwise.
const SHOWN_ROWS: u64 = 20;
/// Characters of a cell that are shown.
const SHOWN_WIDTH: usize = 20;

impl DataFrame {
    /// Prints the first `n` rows; long cells are cut.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// session.sql("SELECT 1 AS a, 'x' AS b").await?.show(20).await?;
    /// // +---+---+
    /// // |  a|  b|
    /// // +---+---+
    /// // |  1|  x|
    /// // +---+---+
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn show(&self, n: u64) -> Result<()> {
        let text = self.show_string(n, Some(SHOWN_WIDTH)).await?;
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    /// The first 20 rows as [`DataFrame::show`] prints them, with whole cells.
    pub async fn to_pretty_string(&self) -> Result<String> {
        self.show_string(SHOWN_ROWS, None).await
    }

    /// The first `n` rows as text; cells are cut to `width` characters.
    pub async fn show_string(&self, n: u64, width: Option<usize>) -> Result<String> {
        let batches = self.take(n.saturating_add(1)).await?;
        let zone = self.session().config().time_zone;
        let mut rows: Vec<Vec<String>> = Vec::new();
        for batch in &batches {
            for row in cells(batch, &zone)? {
                rows.push(row.into_iter().map(|cell| shown(cell, width)).collect());
            }
        }
        let more = rows.len() as u64 > n;
        rows.truncate(usize::try_from(n).unwrap_or(usize::MAX));
        let mut text = table(&self.columns(), &rows, width.is_some());
        if more {
            let _ = write!(text, "\nonly showing top {n} {}", if n == 1 { "row" } else { "rows" });
        }
        Ok(text)
    }

    /// Prints names and types of the columns.
    pub fn print_schema(&self) -> Result<()> {
        Ok(write!(std::io::stdout().lock(), "{}", self.schema_string())?)
    }

    /// Names and types of the columns as a tree.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT 1 AS a, 2.50 AS b").await?;
    /// let expected = "root\n |-- a: integer (nullable = false)\n |-- b: decimal(3,2) (nullable = false)\n";
    /// assert_eq!(df.schema_string(), expected);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn schema_string(&self) -> String {
        let mut text = "root\n".to_owned();
        for c in self.named_columns() {
            let _ = writeln!(text, " |-- {}: {} (nullable = {})", c.name, type_name(&c.column.ty), c.column.nullable);
        }
        text
    }
}

/// The name of a type in schemas, where integers have those of Java.
fn type_name(ty: &SqlType) -> String {
    match ty {
        SqlType::TinyInt => "byte".to_owned(),
        SqlType::SmallInt => "short".to_owned(),
        SqlType::Int => "integer".to_owned(),
        SqlType::BigInt => "long".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

fn shown(cell: Option<String>, width: Option<usize>) -> String {
    let cell = cell.unwrap_or_else(|| "NULL".to_owned());
    match width {
        Some(width) if cell.chars().count() > width => match width.checked_sub(3) {
            Some(kept @ 1..) => cell.chars().take(kept).chain("...".chars()).collect(),
            _ => cell.chars().take(width).collect(),
        },
        _ => cell,
    }
}

/// Cells in a frame of `+`, `-` and `|`, aligned to the right if they were cut.
fn table(names: &[String], rows: &[Vec<String>], right: bool) -> String {
    const MIN_WIDTH: usize = 3;
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([names[column].chars().count(), MIN_WIDTH]).max().unwrap_or(MIN_WIDTH)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let padding = " ".repeat(width - cell.chars().count());
            if right { format!("{padding}{cell}|") } else { format!("{cell}{padding}|") }
        });
        format!("|{}", padded.collect::<String>())
    };
    let rule = format!("+{}", widths.iter().map(|width| "-".repeat(*width) + "+").collect::<String>());
    let mut lines = vec![rule.clone(), line(names), rule.clone()];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.push(rule);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{shown, table};

    #[test]
    fn cells_are_cut_and_aligned() {
        assert_eq!(shown(Some("abcdefgh".into()), Some(6)), "abc...");
        assert_eq!(shown(None, Some(6)), "NULL");
        let text = table(&["a".into()], &[vec!["1".into()], vec!["long".into()]], true);
        assert_eq!(text, "+----+\n|   a|\n+----+\n|   1|\n|long|\n+----+");
    }
}
