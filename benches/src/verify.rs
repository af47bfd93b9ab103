//! Whether the rows of a query are the right ones.
//!
//! Integers, strings, dates and NULL must be equal. Other numbers may differ by 1e-9 of their size, or by one unit of
//! the last digit of the shorter one (but at least the second decimal): systems give averages different scales.
//! Where the query orders, the ordering columns must have the right values in the right order; rows that tie in them
//! may be in any order, as may all rows of a query that does not order.

/// Rows as text: NULL is `NULL`.
pub(crate) type Rows = Vec<Vec<String>>;

/// What a query should give.
#[derive(Debug)]
pub(crate) struct Answer {
    columns: Vec<String>,
    rows: Rows,
}

impl Answer {
    /// Reads a header and rows, `|` between cells.
    pub(crate) fn parse(text: &str) -> Self {
        let cells = |line: &str| line.split('|').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(cells);
        Self { columns: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// What is wrong with the rows that `sql` gave.
    pub(crate) fn check(&self, sql: &str, rows: &Rows) -> Result<(), String> {
        if rows.len() != self.rows.len() {
            return Err(format!("{} rows instead of {}", rows.len(), self.rows.len()));
        }
        if difference(&self.rows, rows).is_none() {
            return Ok(());
        }
        let by_value = |rows: &Rows| {
            let mut sorted: Vec<&Vec<String>> = rows.iter().collect();
            sorted.sort_by_cached_key(|row| sort_key(row));
            sorted.into_iter().cloned().collect::<Rows>()
        };
        if let Some(text) = difference(&by_value(&self.rows), &by_value(rows)) {
            return Err(format!("{text} (rows sorted by value)"));
        }
        let order = self.ordering_columns(sql);
        let keys = |rows: &Rows| {
            rows.iter().map(|row| order.iter().filter_map(|at| row.get(*at).cloned()).collect()).collect::<Rows>()
        };
        difference(&keys(&self.rows), &keys(rows)).map_or(Ok(()), |text| Err(format!("wrong order: {text}")))
    }

    /// Positions of the columns that the last ORDER BY of the text names. One that is not a column of the result
    /// stands for all: then the order must be exactly that of the answer.
    fn ordering_columns(&self, sql: &str) -> Vec<usize> {
        let lower = sql.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let Some(at) = words.windows(2).rposition(|w| w == ["order", "by"]) else { return Vec::new() };
        let rest = words[at + 2..].join(" ");
        if rest.contains(')') {
            return Vec::new();
        }
        let end = rest.find("limit").unwrap_or(rest.len());
        let names = rest[..end].trim_end_matches([' ', ';']).split(',').filter_map(|key| key.split_whitespace().next());
        let positions: Option<Vec<usize>> =
            names.map(|name| self.columns.iter().position(|c| c.eq_ignore_ascii_case(name))).collect();
        positions.unwrap_or_else(|| (0..self.columns.len()).collect())
    }
}

fn difference(expected: &Rows, actual: &Rows) -> Option<String> {
    let same = |a: &[String], b: &[String]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b));
    let at = expected.iter().zip(actual).position(|(a, b)| !same(a, b))?;
    Some(format!("row {}: {} instead of {}", at + 1, actual[at].join("|"), expected[at].join("|")))
}

/// A cell that is a number.
#[derive(Clone, Copy)]
struct Number {
    value: f64,
    /// Digits after the point; none for an integer and for what has an exponent.
    decimals: Option<usize>,
    integer: bool,
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // Not `inf` and `nan`, which parse too; dates and telephone numbers do not parse.
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = text.parse().ok()?;
    let exponent = text.contains(['e', 'E']);
    let decimals = text.split_once('.').filter(|_| !exponent).map(|(_, fraction)| fraction.len());
    Some(Number { value, decimals, integer: decimals.is_none() && !exponent })
}

fn equal(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Some(x), Some(y)) = (number(a), number(b)) else { return false };
    if x.integer && y.integer {
        return a.parse::<i128>().ok().zip(b.parse::<i128>().ok()).is_some_and(|(a, b)| a == b);
    }
    let mut tolerance = 1e-9 * x.value.abs().max(y.value.abs());
    if let (Some(x), Some(y)) = (x.decimals, y.decimals) {
        tolerance = tolerance.max(1.000_000_1 * 10f64.powi(-(x.min(y).max(2) as i32)));
    }
    (x.value - y.value).abs() <= tolerance
}

/// A key by which rows are sorted that are equal within the tolerance: numbers with six digits.
fn sort_key(row: &[String]) -> Vec<String> {
    row.iter().map(|cell| number(cell).map_or_else(|| cell.clone(), |n| format!("{:.5e}", n.value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Rows {
        Answer::parse(&format!("h\n{text}")).rows
    }

    #[test]
    fn cells() {
        assert!(equal("380456.00", "380456.00"));
        assert!(equal("37734107", "37734107.00"));
        assert!(equal("25.522006", "25.522005853257337"));
        assert!(!equal("25.522106", "25.522005853257337"));
        assert!(!equal("2", "3"));
        assert!(!equal("NULL", "0"));
        assert!(!equal("1996-01-01", "1996-01-02"));
        assert!(!equal("13-750", "13-751"));
        assert!(equal("1e3", "1000.0"));
    }

    #[test]
    fn ties_may_be_in_any_order() {
        let answer = Answer::parse("a|b\nx|2\ny|2\nz|1");
        let sql = "SELECT a, b FROM t ORDER BY\n b DESC LIMIT 3;";
        assert_eq!(answer.check(sql, &rows("y|2\nx|2\nz|1")), Ok(()));
        assert!(answer.check(sql, &rows("z|1\nx|2\ny|2")).unwrap_err().contains("wrong order"));
        assert_eq!(answer.check("SELECT a, b FROM t", &rows("z|1\nx|2\ny|2")), Ok(()));
        assert!(answer.check(sql, &rows("x|2\ny|2\nz|3")).is_err());
        assert!(answer.check(sql, &rows("x|2\ny|2")).is_err());
    }
}
