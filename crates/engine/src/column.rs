//! Columns: expressions that are not resolved yet.
//!
//! A [`Column`] is a tree of names, values and calls. It means something only over a frame: there its names are looked
//! up and its types settled, by the binder of SQL (see `resolver`). Until then nothing about it can be wrong.

use std::fmt::Write as _;
use std::sync::Arc;

use firesteel_common::{Scalar, SqlType};
use firesteel_expr::{ColumnRef, op};

use crate::window::{WindowSpec, shown_bound};

/// An expression over the columns of a frame.
///
/// Made by [`col`](crate::functions::col), [`lit`](crate::functions::lit), [`expr`](crate::functions::expr) and the
/// other [`functions`](crate::functions); combined by operators and methods. Where a method takes an operand, a Rust
/// value stands for a literal; where a function of [`functions`](crate::functions) takes a column, a string is a name.
///
/// ```
/// use firesteel::functions::{col, lit, upper};
///
/// let total = (col("price") * (lit(1) - col("discount"))).alias("total");
/// let wanted = col("name").like("a%").and(col("year").between(1995, 1996));
/// assert_eq!(total.name(), "total");
/// assert_eq!(upper("name").name(), "upper(name)");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Column(pub(crate) Node);

/// The tree of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A name, perhaps qualified.
    Name(Arc<str>),
    /// All columns.
    Star,
    /// A column of a certain frame, whatever other frames have of that name.
    Of { origin: ColumnRef, qualifier: Option<Arc<str>>, name: Arc<str> },
    /// A value.
    Literal(Scalar),
    /// SQL.
    Text(Arc<str>),
    /// A call of a scalar function, an operator or an aggregate.
    Call { name: Arc<str>, args: Vec<Node>, distinct: bool },
    /// AND, or OR.
    Connective { and: bool, parts: Vec<Node> },
    /// CASE WHEN.
    Case { branches: Vec<(Node, Node)>, otherwise: Option<Box<Node>> },
    /// A conversion.
    Cast { input: Box<Node>, to: TypeName, safe: bool },
    /// Another name.
    Alias(Box<Node>, Arc<str>),
    /// A key of an order.
    Sort { input: Box<Node>, ascending: bool, nulls_first: bool },
    /// A call over a window.
    Over(Box<Node>, WindowSpec),
}

/// A type: as a value, or as SQL writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeName(pub(crate) TypeForm);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TypeForm {
    Known(SqlType),
    Text(Arc<str>),
}

impl From<SqlType> for TypeName {
    fn from(ty: SqlType) -> Self {
        Self(TypeForm::Known(ty))
    }
}

impl From<&str> for TypeName {
    fn from(text: &str) -> Self {
        Self(TypeForm::Text(Arc::from(text)))
    }
}

/// What an operator takes: a column, or a value that becomes a literal.
pub trait Operand {
    /// The operand as a column.
    fn into_operand(self) -> Column;
}

impl Operand for Column {
    fn into_operand(self) -> Column {
        self
    }
}

impl Operand for &Column {
    fn into_operand(self) -> Column {
        self.clone()
    }
}

impl<T: Into<Scalar>> Operand for T {
    fn into_operand(self) -> Column {
        Column(Node::Literal(self.into()))
    }
}

impl From<&str> for Column {
    /// The column of a name; `*` is all columns.
    fn from(name: &str) -> Self {
        Column(if name == "*" { Node::Star } else { Node::Name(Arc::from(name)) })
    }
}

impl From<String> for Column {
    fn from(name: String) -> Self {
        Column::from(name.as_str())
    }
}

impl From<&String> for Column {
    fn from(name: &String) -> Self {
        Column::from(name.as_str())
    }
}

impl From<&Column> for Column {
    fn from(column: &Column) -> Self {
        column.clone()
    }
}

/// One or more columns, by name or as expressions; `()` is none.
pub trait IntoColumns {
    /// The columns.
    fn into_columns(self) -> Vec<Column>;
}

impl IntoColumns for () {
    fn into_columns(self) -> Vec<Column> {
        Vec::new()
    }
}

impl IntoColumns for Column {
    fn into_columns(self) -> Vec<Column> {
        vec![self]
    }
}

impl IntoColumns for &str {
    fn into_columns(self) -> Vec<Column> {
        vec![self.into()]
    }
}

impl<C: Into<Column>> IntoColumns for Vec<C> {
    fn into_columns(self) -> Vec<Column> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<C: Into<Column>, const N: usize> IntoColumns for [C; N] {
    fn into_columns(self) -> Vec<Column> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<C: Clone + Into<Column>> IntoColumns for &[C] {
    fn into_columns(self) -> Vec<Column> {
        self.iter().cloned().map(Into::into).collect()
    }
}

/// A call by name.
pub(crate) fn call(name: &str, args: Vec<Column>) -> Column {
    Column(Node::Call { name: Arc::from(name), args: args.into_iter().map(|c| c.0).collect(), distinct: false })
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $function:expr;)*) => {
        impl Column {
            $($(#[$doc])*
            #[must_use]
            pub fn $method(self, other: impl Operand) -> Column {
                call($function, vec![self, other.into_operand()])
            })*
        }
    };
}

binary_methods! {
    /// `self = other`; NULL if one of them is.
    eq => op::EQ;
    /// `self <> other`
    neq => op::NOT_EQ;
    /// `self <=> other`: NULL equals NULL.
    eq_null_safe => op::NULL_SAFE_EQ;
    /// `self < other`
    lt => op::LT;
    /// `self <= other`
    le => op::LT_EQ;
    /// `self > other`
    gt => op::GT;
    /// `self >= other`
    ge => op::GT_EQ;
    /// Matches a pattern with `%` and `_`.
    like => op::LIKE;
    /// As [`Column::like`], without regard to case.
    ilike => op::ILIKE;
    /// Matches a regular expression somewhere.
    rlike => op::RLIKE;
    /// Whether a string starts with another.
    starts_with => "startswith";
    /// Whether a string ends with another.
    ends_with => "endswith";
    /// Whether a string contains another.
    contains => "contains";
}

macro_rules! operators {
    ($($trait:ident $method:ident $function:expr;)*) => {$(
        impl<T: Operand> std::ops::$trait<T> for Column {
            type Output = Column;

            fn $method(self, other: T) -> Column {
                call($function, vec![self, other.into_operand()])
            }
        }

        impl<T: Operand> std::ops::$trait<T> for &Column {
            type Output = Column;

            fn $method(self, other: T) -> Column {
                call($function, vec![self.clone(), other.into_operand()])
            }
        }
    )*};
}

operators! {
    Add add op::ADD;
    Sub sub op::SUBTRACT;
    Mul mul op::MULTIPLY;
    Div div op::DIVIDE;
    Rem rem op::MODULO;
}

impl std::ops::Neg for Column {
    type Output = Column;

    fn neg(self) -> Column {
        call(op::NEGATE, vec![self])
    }
}

impl std::ops::Not for Column {
    type Output = Column;

    fn not(self) -> Column {
        call(op::NOT, vec![self])
    }
}

impl Column {
    /// Both are true.
    #[must_use]
    pub fn and(self, other: impl Operand) -> Column {
        self.connect(true, other.into_operand())
    }

    /// One of them is true.
    #[must_use]
    pub fn or(self, other: impl Operand) -> Column {
        self.connect(false, other.into_operand())
    }

    /// Chains are flat, so that long ones do not nest.
    fn connect(self, and: bool, other: Column) -> Column {
        let mut parts = match self.0 {
            Node::Connective { and: same, parts } if same == and => parts,
            other => vec![other],
        };
        parts.push(other.0);
        Column(Node::Connective { and, parts })
    }

    /// `self IS NULL`
    #[must_use]
    pub fn is_null(self) -> Column {
        call(op::IS_NULL, vec![self])
    }

    /// `self IS NOT NULL`
    #[must_use]
    pub fn is_not_null(self) -> Column {
        call(op::IS_NOT_NULL, vec![self])
    }

    /// Whether it is one of `values`.
    #[must_use]
    pub fn isin<T: Operand>(self, values: impl IntoIterator<Item = T>) -> Column {
        let values = values.into_iter().map(Operand::into_operand);
        call(op::IN, std::iter::once(self).chain(values).collect())
    }

    /// `self >= low AND self <= high`
    #[must_use]
    pub fn between(self, low: impl Operand, high: impl Operand) -> Column {
        self.clone().ge(low).and(self.le(high))
    }

    /// `length` characters from position `start`, counted from 1.
    #[must_use]
    pub fn substr(self, start: impl Operand, length: impl Operand) -> Column {
        call("substr", vec![self, start.into_operand(), length.into_operand()])
    }

    /// Converted to a type: [`SqlType::BigInt`], or `"decimal(10, 2)"`.
    #[must_use]
    pub fn cast(self, to: impl Into<TypeName>) -> Column {
        Column(Node::Cast { input: Box::new(self.0), to: to.into(), safe: false })
    }

    /// As [`Column::cast`], with NULL where the value does not convert.
    #[must_use]
    pub fn try_cast(self, to: impl Into<TypeName>) -> Column {
        Column(Node::Cast { input: Box::new(self.0), to: to.into(), safe: true })
    }

    /// The same under another name.
    #[must_use]
    pub fn alias(self, name: &str) -> Column {
        Column(Node::Alias(Box::new(self.0), Arc::from(name)))
    }

    /// Ascending, NULLs first.
    #[must_use]
    pub fn asc(self) -> Column {
        self.sort(true, true)
    }

    /// Descending, NULLs last.
    #[must_use]
    pub fn desc(self) -> Column {
        self.sort(false, false)
    }

    /// In its order, NULLs first.
    #[must_use]
    pub fn nulls_first(self) -> Column {
        let ascending = !matches!(self.0, Node::Sort { ascending: false, .. });
        self.sort(ascending, true)
    }

    /// In its order, NULLs last.
    #[must_use]
    pub fn nulls_last(self) -> Column {
        let ascending = !matches!(self.0, Node::Sort { ascending: false, .. });
        self.sort(ascending, false)
    }

    /// A sort key as it is; other columns ascending.
    pub(crate) fn asc_by_default(self) -> Column {
        if matches!(self.0, Node::Sort { .. }) { self } else { self.asc() }
    }

    fn sort(self, ascending: bool, nulls_first: bool) -> Column {
        let input = match self.0 {
            Node::Sort { input, .. } => input,
            other => Box::new(other),
        };
        Column(Node::Sort { input, ascending, nulls_first })
    }

    /// Another branch of [`when`](crate::functions::when). On any other column, a CASE of its own.
    #[must_use]
    pub fn when(self, condition: Column, value: impl Operand) -> Column {
        let mut branches = match self.0 {
            Node::Case { branches, otherwise: None } => branches,
            _ => Vec::new(),
        };
        branches.push((condition.0, value.into_operand().0));
        Column(Node::Case { branches, otherwise: None })
    }

    /// The value of [`when`](crate::functions::when) where no condition is true.
    #[must_use]
    pub fn otherwise(self, value: impl Operand) -> Column {
        match self.0 {
            Node::Case { branches, .. } => {
                Column(Node::Case { branches, otherwise: Some(Box::new(value.into_operand().0)) })
            }
            other => Column(other),
        }
    }

    /// A window function or an aggregate over a [`Window`](crate::Window).
    #[must_use]
    pub fn over(self, window: WindowSpec) -> Column {
        Column(Node::Over(Box::new(self.0), window))
    }

    /// The name that it has in a result.
    pub fn name(&self) -> String {
        self.0.name()
    }
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Node {
    /// As Spark names result columns.
    pub(crate) fn name(&self) -> String {
        match self {
            Node::Name(name) => name.rsplit_once('.').map_or(&**name, |(_, last)| last).trim_matches('`').to_owned(),
            Node::Star => "*".to_owned(),
            Node::Of { name, .. } | Node::Alias(_, name) => name.to_string(),
            Node::Literal(value) => value.to_string(),
            Node::Text(text) => text.to_string(),
            Node::Call { name, args, distinct } => call_name(name, args, *distinct),
            Node::Connective { and, parts } => {
                let word = if *and { "AND" } else { "OR" };
                let names = parts.iter().map(Node::name);
                names.reduce(|left, right| format!("({left} {word} {right})")).unwrap_or_default()
            }
            Node::Case { branches, otherwise } => {
                let mut text = "CASE".to_owned();
                for (condition, result) in branches {
                    let _ = write!(text, " WHEN {} THEN {}", condition.name(), result.name());
                }
                if let Some(otherwise) = otherwise {
                    let _ = write!(text, " ELSE {}", otherwise.name());
                }
                text + " END"
            }
            Node::Cast { input, to, safe } => {
                let name = if *safe { "TRY_CAST" } else { "CAST" };
                let ty = match &to.0 {
                    TypeForm::Known(ty) => ty.to_string(),
                    TypeForm::Text(text) => {
                        firesteel_sql::parse_type(text).map_or_else(|_| text.to_string(), |ty| ty.to_string())
                    }
                };
                format!("{name}({} AS {ty})", input.name())
            }
            Node::Sort { input, ascending, nulls_first } => {
                let direction = if *ascending { "ASC" } else { "DESC" };
                format!("{} {direction} NULLS {}", input.name(), if *nulls_first { "FIRST" } else { "LAST" })
            }
            Node::Over(call, window) => format!("{} OVER ({})", call.name(), window_name(window)),
        }
    }
}

fn list(nodes: &[Node]) -> String {
    nodes.iter().map(Node::name).collect::<Vec<_>>().join(", ")
}

fn call_name(name: &str, args: &[Node], distinct: bool) -> String {
    match (name, args) {
        (op::NOT_EQ, [left, right]) => format!("(NOT ({} = {}))", left.name(), right.name()),
        (op::LIKE, [value, pattern]) => format!("{} LIKE {}", value.name(), pattern.name()),
        (op::IS_NULL, [input]) => format!("({} IS NULL)", input.name()),
        (op::IS_NOT_NULL, [input]) => format!("({} IS NOT NULL)", input.name()),
        (op::NOT, [input]) => format!("(NOT {})", input.name()),
        (op::NEGATE, [input]) => format!("(- {})", input.name()),
        (op::IN, [value, values @ ..]) => format!("({} IN ({}))", value.name(), list(values)),
        ("count", [Node::Star]) => "count(1)".to_owned(),
        ("rank" | "dense_rank" | "percent_rank", []) => format!("{}()", name.to_uppercase()),
        (operator, [left, right]) if !operator.starts_with(|c: char| c.is_alphabetic()) => {
            format!("({} {operator} {})", left.name(), right.name())
        }
        _ => format!("{name}({}{})", if distinct { "DISTINCT " } else { "" }, list(args)),
    }
}

fn window_name(window: &WindowSpec) -> String {
    let mut parts = Vec::new();
    if !window.partition_by.is_empty() {
        parts.push(format!("PARTITION BY {}", list(&window.partition_by)));
    }
    if !window.order_by.is_empty() {
        parts.push(format!("ORDER BY {}", list(&window.order_by)));
    }
    if let Some(range) = &window.range {
        parts.push(format!(
            "{} BETWEEN {} AND {}",
            window.unit_name(),
            shown_bound(range.start),
            shown_bound(range.end)
        ));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use crate::functions::{avg, col, count, lit, when};

    #[test]
    fn names_are_those_of_spark() {
        assert_eq!((col("a") + 1).name(), "(a + 1)");
        assert_eq!(col("t.a").neq("x").name(), "(NOT (a = x))");
        assert_eq!(count("*").name(), "count(1)");
        assert_eq!((avg("a") / lit(2)).alias("half").name(), "half");
        assert_eq!(when(col("a").is_null(), 0).otherwise(col("a")).name(), "CASE WHEN (a IS NULL) THEN 0 ELSE a END");
        assert_eq!(col("a").desc().nulls_first().name(), "a DESC NULLS FIRST");
    }
}
