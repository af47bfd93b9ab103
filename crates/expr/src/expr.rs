//! The expression tree.
//!
//! A variant exists only where evaluation is special: short circuit, laziness, a type change.
//! Arithmetic, comparisons, LIKE and the rest are [`Call`]s, looked up by name in the registry.

use std::fmt;
use std::sync::Arc;

use firesteel_common::{ColumnId, Scalar, Span, SqlType};

/// Names of the functions that have a syntax of their own.
pub mod op {
    #![allow(missing_docs, reason = "each constant is the operator that it spells")]
    pub const ADD: &str = "+";
    pub const SUBTRACT: &str = "-";
    pub const MULTIPLY: &str = "*";
    pub const DIVIDE: &str = "/";
    pub const INT_DIVIDE: &str = "div";
    pub const MODULO: &str = "%";
    pub const NEGATE: &str = "negative";
    pub const EQ: &str = "=";
    pub const NOT_EQ: &str = "<>";
    pub const LT: &str = "<";
    pub const LT_EQ: &str = "<=";
    pub const GT: &str = ">";
    pub const GT_EQ: &str = ">=";
    /// `<=>`: equal, where NULL equals NULL.
    pub const NULL_SAFE_EQ: &str = "<=>";
    pub const NOT: &str = "not";
    pub const IS_NULL: &str = "isnull";
    pub const IS_NOT_NULL: &str = "isnotnull";
    /// `like(value, pattern[, escape])`
    pub const LIKE: &str = "like";
    pub const ILIKE: &str = "ilike";
    pub const RLIKE: &str = "rlike";
    /// `in(value, candidate, …)`
    pub const IN: &str = "in";
    pub const CONCAT: &str = "concat";
}

/// A column of the query. Identity is the id; name, type and nullability travel along.
#[derive(Clone, Debug)]
pub struct ColumnRef {
    /// Identity.
    pub id: ColumnId,
    /// Name, for display and for the result.
    pub name: Arc<str>,
    /// Type.
    pub ty: SqlType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

impl PartialEq for ColumnRef {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for ColumnRef {}

impl std::hash::Hash for ColumnRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.id)
    }
}

/// A call of a scalar function, its overload settled: `args` have the types that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Name in the registry: lower case, or an operator of [`op`].
    pub function: Arc<str>,
    /// Arguments, already cast to the types that the function takes.
    pub args: Vec<Expr>,
    /// Type of the result.
    pub ty: SqlType,
    /// Whether the result may be NULL.
    pub nullable: bool,
    /// Where it was written.
    pub span: Span,
}

/// An expression. AND and OR are flat, so that long chains do not nest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// A column.
    Column(ColumnRef),
    /// A value.
    Literal(Scalar),
    /// A function of its arguments.
    Call(Call),
    /// Conjunction of two or more, with three-valued logic; later operands are evaluated only on
    /// rows that earlier ones did not settle.
    And(Vec<Expr>),
    /// Disjunction, likewise.
    Or(Vec<Expr>),
    /// `CASE WHEN … THEN … ELSE … END`; a branch is evaluated only on the rows that reach it.
    Case {
        /// Conditions and results; the results have the type of `otherwise`.
        branches: Vec<(Expr, Expr)>,
        /// Result where no condition is true: a literal NULL if there was no ELSE.
        otherwise: Box<Expr>,
    },
    /// A conversion.
    Cast {
        /// What is converted.
        input: Box<Expr>,
        /// To what.
        to: SqlType,
        /// TRY_CAST: NULL where the value does not convert.
        safe: bool,
        /// Where it was written; unknown for a cast that the binder added.
        span: Span,
    },
}

impl Expr {
    /// TRUE.
    pub fn true_() -> Self {
        Expr::Literal(Scalar::Boolean(true))
    }

    /// FALSE.
    pub fn false_() -> Self {
        Expr::Literal(Scalar::Boolean(false))
    }

    /// NULL of a type.
    pub fn null(ty: SqlType) -> Self {
        Expr::Literal(Scalar::Null(ty))
    }

    /// A call that returns BOOLEAN; the arguments have equal types.
    pub fn predicate(function: &str, args: Vec<Expr>) -> Self {
        let never_null = matches!(function, op::NULL_SAFE_EQ | op::IS_NULL | op::IS_NOT_NULL);
        let nullable = !never_null && args.iter().any(Expr::nullable);
        Expr::Call(Call { function: Arc::from(function), args, ty: SqlType::Boolean, nullable, span: Span::NONE })
    }

    /// `left = right`; the types are equal.
    pub fn eq(left: Expr, right: Expr) -> Self {
        Self::predicate(op::EQ, vec![left, right])
    }

    /// `NOT input`, simplified where `input` is itself a NOT or a comparison.
    pub fn negate(input: Expr) -> Self {
        if let Expr::Call(call) = &input {
            let opposite = match &*call.function {
                op::NOT => return call.args[0].clone(),
                op::EQ => op::NOT_EQ,
                op::NOT_EQ => op::EQ,
                op::LT => op::GT_EQ,
                op::LT_EQ => op::GT,
                op::GT => op::LT_EQ,
                op::GT_EQ => op::LT,
                op::IS_NULL => op::IS_NOT_NULL,
                op::IS_NOT_NULL => op::IS_NULL,
                _ => return Self::predicate(op::NOT, vec![input]),
            };
            return Expr::Call(Call { function: Arc::from(opposite), ..call.clone() });
        }
        Self::predicate(op::NOT, vec![input])
    }

    /// The conjunction of any number of predicates, flattened; TRUE if there is none.
    pub fn and(predicates: impl IntoIterator<Item = Expr>) -> Self {
        let mut all = Vec::new();
        predicates.into_iter().for_each(|p| p.split_into(true, &mut all));
        match all.len() {
            0 => Self::true_(),
            1 => all.remove(0),
            _ => Expr::And(all),
        }
    }

    /// The disjunction of any number of predicates, flattened; FALSE if there is none.
    pub fn or(predicates: impl IntoIterator<Item = Expr>) -> Self {
        let mut all = Vec::new();
        predicates.into_iter().for_each(|p| p.split_into(false, &mut all));
        match all.len() {
            0 => Self::false_(),
            1 => all.remove(0),
            _ => Expr::Or(all),
        }
    }

    /// The conjuncts of a predicate; none for TRUE.
    pub fn conjuncts(self) -> Vec<Expr> {
        let mut all = Vec::new();
        self.split_into(true, &mut all);
        all
    }

    /// The disjuncts of a predicate; none for FALSE.
    pub fn disjuncts(self) -> Vec<Expr> {
        let mut all = Vec::new();
        self.split_into(false, &mut all);
        all
    }

    fn split_into(self, conjunction: bool, out: &mut Vec<Expr>) {
        match self {
            Expr::And(parts) if conjunction => parts.into_iter().for_each(|p| p.split_into(true, out)),
            Expr::Or(parts) if !conjunction => parts.into_iter().for_each(|p| p.split_into(false, out)),
            Expr::Literal(Scalar::Boolean(value)) if value == conjunction => {}
            other => out.push(other),
        }
    }

    /// The expression converted to `to`; itself if it has that type.
    #[must_use]
    pub fn cast_to(self, to: &SqlType) -> Self {
        if self.ty() == *to || (self.ty().is_string() && to.is_string() && *to == SqlType::String) {
            return self;
        }
        match self {
            Expr::Literal(Scalar::Null(_)) => Expr::null(to.clone()),
            input => Expr::Cast { input: Box::new(input), to: to.clone(), safe: false, span: Span::NONE },
        }
    }

    /// The type of the result.
    pub fn ty(&self) -> SqlType {
        match self {
            Expr::Column(column) => column.ty.clone(),
            Expr::Literal(value) => value.ty(),
            Expr::Call(call) => call.ty.clone(),
            Expr::And(_) | Expr::Or(_) => SqlType::Boolean,
            Expr::Case { otherwise, .. } => otherwise.ty(),
            Expr::Cast { to, .. } => to.clone(),
        }
    }

    /// Whether the result may be NULL.
    pub fn nullable(&self) -> bool {
        match self {
            Expr::Column(column) => column.nullable,
            Expr::Literal(value) => value.is_null(),
            Expr::Call(call) => call.nullable,
            Expr::And(parts) | Expr::Or(parts) => parts.iter().any(Expr::nullable),
            Expr::Case { branches, otherwise } => otherwise.nullable() || branches.iter().any(|(_, r)| r.nullable()),
            Expr::Cast { input, safe, .. } => *safe || input.nullable(),
        }
    }

    /// Where it was written.
    pub fn span(&self) -> Span {
        match self {
            Expr::Call(call) => call.span,
            Expr::Cast { span, .. } => *span,
            _ => Span::NONE,
        }
    }

    /// If it is a call of `function`, its arguments.
    pub fn as_call(&self, function: &str) -> Option<&[Expr]> {
        match self {
            Expr::Call(call) if &*call.function == function => Some(&call.args),
            _ => None,
        }
    }

    /// If it is a column, the column.
    pub fn as_column(&self) -> Option<&ColumnRef> {
        match self {
            Expr::Column(column) => Some(column),
            _ => None,
        }
    }

    /// If it is a literal, the value.
    pub fn as_literal(&self) -> Option<&Scalar> {
        match self {
            Expr::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The direct operands.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(_) | Expr::Literal(_) => Vec::new(),
            Expr::Call(call) => call.args.iter().collect(),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().collect(),
            Expr::Case { branches, otherwise } => {
                branches.iter().flat_map(|(c, r)| [c, r]).chain([&**otherwise]).collect()
            }
            Expr::Cast { input, .. } => vec![input],
        }
    }

    /// Calls `f` on the expression and all below, parents first.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Expr)) {
        f(self);
        self.children().into_iter().for_each(|child| child.visit(f));
    }

    /// The expression with each direct operand replaced by what `f` makes of it.
    #[must_use]
    pub fn map_children(self, f: &mut dyn FnMut(Expr) -> Expr) -> Self {
        match self {
            leaf @ (Expr::Column(_) | Expr::Literal(_)) => leaf,
            Expr::Call(call) => Expr::Call(Call { args: call.args.into_iter().map(f).collect(), ..call }),
            Expr::And(parts) => Expr::And(parts.into_iter().map(f).collect()),
            Expr::Or(parts) => Expr::Or(parts.into_iter().map(f).collect()),
            Expr::Case { branches, otherwise } => Expr::Case {
                branches: branches.into_iter().map(|(c, r)| (f(c), f(r))).collect(),
                otherwise: Box::new(f(*otherwise)),
            },
            Expr::Cast { input, to, safe, span } => Expr::Cast { input: Box::new(f(*input)), to, safe, span },
        }
    }

    /// Rewrites bottom up: `f` sees each node after its operands were rewritten.
    #[must_use]
    pub fn transform(self, f: &mut dyn FnMut(Expr) -> Expr) -> Self {
        let rebuilt = self.map_children(&mut |child| child.transform(f));
        f(rebuilt)
    }

    /// The columns that it reads, each once, in order of first use.
    pub fn columns(&self) -> Vec<ColumnRef> {
        let mut columns: Vec<ColumnRef> = Vec::new();
        self.visit(&mut |e| {
            if let Expr::Column(column) = e
                && !columns.contains(column)
            {
                columns.push(column.clone());
            }
        });
        columns
    }

    /// Whether every column that it reads is among `ids`.
    pub fn reads_only(&self, mut known: impl FnMut(ColumnId) -> bool) -> bool {
        let mut all = true;
        self.visit(&mut |e| {
            if let Expr::Column(column) = e {
                all &= known(column.id);
            }
        });
        all
    }
}

impl fmt::Display for Expr {
    /// As EXPLAIN shows it: `(a#1 + 2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str| {
            f.write_str("(")?;
            for (i, part) in parts.iter().enumerate() {
                write!(f, "{}{part}", if i == 0 { "" } else { between })?;
            }
            f.write_str(")")
        };
        match self {
            Expr::Column(column) => write!(f, "{column}"),
            Expr::Literal(value) => write!(f, "{value}"),
            Expr::And(parts) => joined(f, parts, " AND "),
            Expr::Or(parts) => joined(f, parts, " OR "),
            Expr::Case { branches, otherwise } => {
                f.write_str("CASE")?;
                branches.iter().try_for_each(|(c, r)| write!(f, " WHEN {c} THEN {r}"))?;
                write!(f, " ELSE {otherwise} END")
            }
            Expr::Cast { input, to, safe, .. } => {
                write!(f, "{}({input} AS {to})", if *safe { "TRY_CAST" } else { "CAST" })
            }
            Expr::Call(call) => match (&*call.function, call.args.as_slice()) {
                (op::IN, [value, list @ ..]) => {
                    write!(f, "{value} IN ")?;
                    joined(f, list, ",")
                }
                (op::NOT, [input]) => write!(f, "NOT {input}"),
                (op::NEGATE, [input]) => write!(f, "-{input}"),
                (op::LIKE | op::ILIKE | op::RLIKE, [value, pattern]) => {
                    write!(f, "{value} {} {pattern}", call.function.to_uppercase())
                }
                (name, [left, right]) if !name.starts_with(|c: char| c.is_alphabetic()) || name == op::INT_DIVIDE => {
                    write!(f, "({left} {name} {right})")
                }
                (name, args) => {
                    f.write_str(name)?;
                    joined(f, args, ", ")
                }
            },
        }
    }
}

/// One key of an ordering.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// What is ordered by.
    pub expr: Expr,
    /// Ascending.
    pub ascending: bool,
    /// NULLs before all values.
    pub nulls_first: bool,
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ascending { "ASC" } else { "DESC" };
        write!(f, "{} {direction} NULLS {}", self.expr, if self.nulls_first { "FIRST" } else { "LAST" })
    }
}
