//! Random queries: typed, deterministic up to the order of rows, over small tables with NULLs and duplicates.
//!
//! A relation is a text in parentheses and its columns, made from smaller ones; types are known, so that most queries
//! are legal. What depends on the order of rows (LIMIT, row numbers) orders by all columns, so that only rows that are equal
//! in every way can change places. There are no floats: their sums depend on the order too.

use super::dice::Dice;

/// The types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Int,
    Text,
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: Ty,
}

/// Something to select from.
struct Relation {
    /// To be followed by an alias.
    sql: String,
    columns: Vec<Column>,
}

/// Tables, each with the columns `id`, `a`, `b` (numbers) and `s` (text): name and rows.
pub(crate) const TABLES: [(&str, u64); 6] =
    [("t0", 0), ("t1", 1), ("t12", 12), ("t60", 60), ("t200", 200), ("t900", 900)];

/// The statement that makes a table: keys repeat, some are frequent, some are NULL.
pub(crate) fn table_sql(name: &str, rows: u64, folder: &str) -> String {
    let seed = rows + 3;
    format!(
        "CREATE TABLE {name} USING parquet LOCATION '{folder}/{name}' AS SELECT id, \
         CASE WHEN pmod(hash(id, {seed}), 9) = 0 THEN NULL ELSE pmod(hash(id, {seed}, 1), 12) END AS a, \
         CASE WHEN pmod(hash(id, {seed}, 2), 4) = 0 THEN 5 ELSE pmod(hash(id, {seed}, 3), 300) END AS b, \
         CASE WHEN pmod(hash(id, {seed}, 4), 11) = 0 THEN NULL ELSE concat('s', pmod(hash(id, {seed}, 5), 80)) END AS s \
         FROM range({rows})"
    )
}

/// Makes one query.
pub(crate) struct Grammar<'d> {
    dice: &'d mut Dice,
    names: u32,
    /// Tables that may still be read: bounds the size of what is joined.
    budget: u32,
}

impl<'d> Grammar<'d> {
    pub(crate) fn new(dice: &'d mut Dice) -> Self {
        Self { dice, names: 0, budget: 6 }
    }

    /// A query.
    pub(crate) fn query(&mut self) -> String {
        let depth = 1 + self.dice.below(4);
        let relation = self.relation(depth);
        let alias = self.name("q");
        if self.dice.one_in(4) {
            let all = all_columns(&relation.columns);
            let limit = 1 + self.dice.below(30);
            return format!("SELECT * FROM {} {alias} ORDER BY {all} LIMIT {limit}", relation.sql);
        }
        format!("SELECT * FROM {} {alias}", relation.sql)
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn relation(&mut self, depth: u64) -> Relation {
        if depth == 0 || self.budget == 0 {
            return self.table();
        }
        match self.dice.below(16) {
            0..=5 => self.join(depth),
            6..=8 => self.aggregate(depth),
            9 => self.window(depth),
            10 => self.set_operation(depth),
            11 | 12 => self.filter(depth),
            13 => self.limit(depth),
            14 => self.project(depth),
            _ => self.table(),
        }
    }

    fn table(&mut self) -> Relation {
        self.budget = self.budget.saturating_sub(1);
        let (table, _) =
            TABLES[[0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5][self.dice.below(20) as usize]];
        let alias = self.name("x");
        let columns: Vec<(&str, Ty)> = vec![("id", Ty::Int), ("a", Ty::Int), ("b", Ty::Int), ("s", Ty::Text)];
        let mut kept: Vec<(&str, Ty)> = columns.into_iter().filter(|_| !self.dice.one_in(4)).collect();
        if kept.is_empty() {
            kept.push(("b", Ty::Int));
        }
        let (mut list, mut output) = (Vec::new(), Vec::new());
        for (column, ty) in kept {
            let name = self.name("c");
            list.push(format!("{alias}.{column} AS {name}"));
            output.push(Column { name, ty });
        }
        let filter = match self.dice.below(10) {
            0 => format!(" WHERE {alias}.b < {}", self.dice.below(300)),
            1 => format!(" WHERE {alias}.a <> {}", self.dice.below(14)),
            2 => format!(" WHERE {alias}.s LIKE 's{}%'", self.dice.below(9)),
            3 => format!(" WHERE pmod(hash({alias}.b, {alias}.a), 7) < {}", self.dice.below(4)),
            4 if self.dice.one_in(3) => format!(" WHERE {alias}.b < -1"),
            _ => String::new(),
        };
        Relation { sql: format!("(SELECT {} FROM {table} {alias}{filter})", list.join(", ")), columns: output }
    }

    /// A column of a type, if there is one.
    fn column(&mut self, alias: &str, columns: &[Column], ty: Option<Ty>) -> Option<String> {
        let fitting: Vec<&Column> = columns.iter().filter(|c| ty.is_none_or(|ty| c.ty == ty)).collect();
        let column = fitting.get(self.dice.below(fitting.len().max(1) as u64) as usize)?;
        Some(format!("{alias}.{}", column.name))
    }

    /// An expression of a type.
    fn value(&mut self, alias: &str, columns: &[Column], ty: Ty) -> String {
        let Some(column) = self.column(alias, columns, Some(ty)) else {
            return match ty {
                Ty::Int => self.dice.below(9).to_string(),
                Ty::Text => format!("'s{}'", self.dice.below(80)),
            };
        };
        match (self.dice.below(8), ty) {
            (0, Ty::Int) => format!("coalesce({column}, {})", self.dice.below(5)),
            (1, Ty::Int) => format!("pmod({column}, {})", 2 + self.dice.below(9)),
            (2, Ty::Int) => format!("CASE WHEN {column} > {} THEN {column} END", self.dice.below(20)),
            (0, Ty::Text) => format!("coalesce({column}, 'none')"),
            (1, Ty::Text) => format!("substr({column}, 1, 2)"),
            _ => column,
        }
    }

    fn predicate(&mut self, alias: &str, columns: &[Column]) -> String {
        let value = self.value(alias, columns, Ty::Int);
        match self.dice.below(7) {
            0 => format!("{value} IS NOT NULL"),
            1 => format!("{value} IS NULL"),
            2 => format!("{value} IN ({}, {}, 5)", self.dice.below(12), self.dice.below(300)),
            3 => format!("{} LIKE '%{}'", self.value(alias, columns, Ty::Text), self.dice.below(10)),
            4 => format!("pmod(hash({value}), 5) <> {}", self.dice.below(5)),
            _ => format!("{value} {} {}", ["<", ">", "<=", "<>"][self.dice.below(4) as usize], self.dice.below(200)),
        }
    }

    /// Equalities between two relations.
    fn keys(&mut self, (l, left): (&str, &[Column]), (r, right): (&str, &[Column])) -> Option<String> {
        let ty = if self.dice.one_in(3) { Ty::Text } else { Ty::Int };
        let (a, b) = (self.column(l, left, Some(ty))?, self.column(r, right, Some(ty))?);
        let equal = if self.dice.one_in(12) { "<=>" } else { "=" };
        let mut on = format!("{a} {equal} {b}");
        if self.dice.one_in(4)
            && let (Some(a), Some(b)) = (self.column(l, left, Some(Ty::Int)), self.column(r, right, Some(Ty::Int)))
        {
            on = format!("{on} AND {a} {} {b}", ["=", "<", "<>", "<="][self.dice.below(4) as usize]);
        }
        Some(on)
    }

    fn join(&mut self, depth: u64) -> Relation {
        let (left, right) = (self.relation(depth - 1), self.relation(depth - 1));
        let (l, r) = (self.name("l"), self.name("r"));
        let on = self.keys((&l, &left.columns), (&r, &right.columns));
        let kinds =
            ["JOIN", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"];
        let Some(on) = on else { return left };
        let kind = kinds[self.dice.below(8) as usize];
        let mut columns = Vec::new();
        let mut list = Vec::new();
        let sides: &[(&str, &Vec<Column>)] = if kind.starts_with("LEFT ") && !kind.contains("LEFT JOIN") {
            &[(&l, &left.columns)]
        } else {
            &[(&l, &left.columns), (&r, &right.columns)]
        };
        for (alias, inputs) in sides {
            for column in inputs.iter() {
                // Wide rows say no more than narrow ones.
                if columns.len() < 2 || (columns.len() < 7 && self.dice.one_in(2)) {
                    let name = self.name("c");
                    list.push(format!("{alias}.{} AS {name}", column.name));
                    columns.push(Column { name, ty: column.ty });
                }
            }
        }
        let filter =
            if self.dice.one_in(6) { format!(" WHERE {}", self.predicate(&l, &left.columns)) } else { String::new() };
        let sql =
            format!("(SELECT {} FROM {} {l} {kind} {} {r} ON {on}{filter})", list.join(", "), left.sql, right.sql);
        Relation { sql, columns }
    }

    fn aggregate(&mut self, depth: u64) -> Relation {
        let input = self.relation(depth - 1);
        let alias = self.name("g");
        let (mut list, mut groups, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.dice.below(3) {
            if let Some(key) = self.column(&alias, &input.columns, None)
                && !groups.contains(&key)
            {
                let name = self.name("c");
                let bare = key.rsplit('.').next().unwrap_or_default();
                let ty = input.columns.iter().find(|c| c.name == bare).map_or(Ty::Int, |c| c.ty);
                list.push(format!("{key} AS {name}"));
                columns.push(Column { name, ty });
                groups.push(key);
            }
        }
        for _ in 0..1 + self.dice.below(3) {
            let value = self.value(&alias, &input.columns, Ty::Int);
            let (call, ty) = match self.dice.below(8) {
                0 => ("count(*)".to_owned(), Ty::Int),
                1 => (format!("count({value})"), Ty::Int),
                2 => (format!("count(DISTINCT {value})"), Ty::Int),
                3 => (format!("min({})", self.value(&alias, &input.columns, Ty::Text)), Ty::Text),
                4 => (format!("max({value})"), Ty::Int),
                5 => (format!("sum(DISTINCT pmod({value}, 50))"), Ty::Int),
                // Small numbers, so that sums of sums do not overflow.
                _ => (format!("sum(pmod({value}, 100))"), Ty::Int),
            };
            let name = self.name("c");
            list.push(format!("{call} AS {name}"));
            columns.push(Column { name, ty });
        }
        let group = match groups.len() {
            0 => String::new(),
            2 if self.dice.one_in(5) => format!(" GROUP BY ROLLUP ({})", groups.join(", ")),
            _ => format!(" GROUP BY {}", groups.join(", ")),
        };
        let having =
            if self.dice.one_in(5) { format!(" HAVING count(*) > {}", self.dice.below(4)) } else { String::new() };
        Relation { sql: format!("(SELECT {} FROM {} {alias}{group}{having})", list.join(", "), input.sql), columns }
    }

    fn window(&mut self, depth: u64) -> Relation {
        let input = self.relation(depth - 1);
        let alias = self.name("w");
        let all = all_columns(&input.columns);
        let partition = match self.column(&alias, &input.columns, None) {
            Some(column) if !self.dice.one_in(5) => format!("PARTITION BY {column} "),
            _ => String::new(),
        };
        let value = self.value(&alias, &input.columns, Ty::Int);
        let call = match self.dice.below(6) {
            0 => format!("row_number() OVER ({partition}ORDER BY {all})"),
            1 => format!("rank() OVER ({partition}ORDER BY {value})"),
            2 => format!("count({value}) OVER ({partition})"),
            3 => format!(
                "sum(pmod({value}, 100)) OVER ({partition}ORDER BY {all} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)"
            ),
            4 => format!("max({value}) OVER ({partition}ORDER BY {value})"),
            _ => format!("sum(pmod({value}, 100)) OVER ({partition})"),
        };
        let name = self.name("c");
        let sql = format!("(SELECT {alias}.*, {call} AS {name} FROM {} {alias})", input.sql);
        let mut columns = input.columns;
        columns.push(Column { name, ty: Ty::Int });
        Relation { sql, columns }
    }

    fn set_operation(&mut self, depth: u64) -> Relation {
        let (left, right) = (self.relation(depth - 1), self.relation(depth - 1));
        let operation = ["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT"][self.dice.below(5) as usize];
        let mut columns = Vec::new();
        let side = |input: &Relation, grammar: &mut Self, columns: &mut Vec<Column>, first: bool| {
            let alias = grammar.name("u");
            let types: Vec<Ty> = if first { vec![Ty::Int, Ty::Text] } else { columns.iter().map(|c| c.ty).collect() };
            let mut list = Vec::new();
            for (i, ty) in types.into_iter().enumerate() {
                let value = grammar.value(&alias, &input.columns, ty);
                let value = if ty == Ty::Int { format!("CAST({value} AS BIGINT)") } else { value };
                if first {
                    columns.push(Column { name: grammar.name("c"), ty });
                }
                list.push(format!("{value} AS {}", columns[i].name));
            }
            format!("SELECT {} FROM {} {alias}", list.join(", "), input.sql)
        };
        let first = side(&left, self, &mut columns, true);
        let second = side(&right, self, &mut columns, false);
        Relation { sql: format!("({first} {operation} {second})"), columns }
    }

    fn filter(&mut self, depth: u64) -> Relation {
        let input = self.relation(depth - 1);
        let alias = self.name("f");
        let predicate = match self.dice.below(6) {
            0 | 1 => self.predicate(&alias, &input.columns),
            form => self.subquery(form, &alias, &input.columns, depth - 1),
        };
        let sql = format!("(SELECT {alias}.* FROM {} {alias} WHERE {predicate})", input.sql);
        Relation { sql, columns: input.columns }
    }

    fn subquery(&mut self, form: u64, outer: &str, columns: &[Column], depth: u64) -> String {
        let inner = self.relation(depth);
        let alias = self.name("i");
        let not = if self.dice.one_in(3) { "NOT " } else { "" };
        let value = self.value(outer, columns, Ty::Int);
        let found = self.value(&alias, &inner.columns, Ty::Int);
        match form {
            2 => format!("{value} {not}IN (SELECT {found} FROM {} {alias})", inner.sql),
            3 => match self.keys((outer, columns), (&alias, &inner.columns)) {
                Some(on) => format!("{not}EXISTS (SELECT 1 FROM {} {alias} WHERE {on})", inner.sql),
                None => format!("EXISTS (SELECT 1 FROM {} {alias})", inner.sql),
            },
            4 => match (self.column(outer, columns, Some(Ty::Int)), self.column(&alias, &inner.columns, Some(Ty::Int)))
            {
                (Some(a), Some(b)) => {
                    let call = ["count(*)", "max", "min"][self.dice.below(3) as usize];
                    let call = if call == "count(*)" { call.to_owned() } else { format!("{call}({found})") };
                    format!("{value} >= (SELECT {call} FROM {} {alias} WHERE {a} = {b})", inner.sql)
                }
                _ => "true".to_owned(),
            },
            _ => {
                let test = self.predicate(outer, columns);
                format!("({test} OR {value} {not}IN (SELECT {found} FROM {} {alias}))", inner.sql)
            }
        }
    }

    fn limit(&mut self, depth: u64) -> Relation {
        let input = self.relation(depth - 1);
        let alias = self.name("o");
        let limit = self.dice.below(40);
        let offset = if self.dice.one_in(4) { " OFFSET 2" } else { "" };
        let all = all_columns(&input.columns);
        let sql = format!("(SELECT * FROM {} {alias} ORDER BY {all} LIMIT {limit}{offset})", input.sql);
        Relation { sql, columns: input.columns }
    }

    fn project(&mut self, depth: u64) -> Relation {
        let input = self.relation(depth - 1);
        let alias = self.name("p");
        let distinct = if self.dice.one_in(2) { "DISTINCT " } else { "" };
        let (mut list, mut columns) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.dice.below(3) {
            let ty = if self.dice.one_in(3) { Ty::Text } else { Ty::Int };
            let (value, name) = (self.value(&alias, &input.columns, ty), self.name("c"));
            list.push(format!("{value} AS {name}"));
            columns.push(Column { name, ty });
        }
        Relation { sql: format!("(SELECT {distinct}{} FROM {} {alias})", list.join(", "), input.sql), columns }
    }
}

fn all_columns(columns: &[Column]) -> String {
    columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(", ")
}
