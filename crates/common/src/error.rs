//! The one error type: kind, Spark's condition name and SQLSTATE, message, place in the SQL.
//!
//! Decisions (retry, exit code) are made by [`ErrorKind`], never by text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::Span;

/// `Result` with the engine's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is; decides retries and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The SQL text does not parse.
    Syntax,
    /// A name or a structure of the query is wrong.
    Bind,
    /// Types do not fit.
    Type,
    /// Valid, but not there yet.
    Unsupported,
    /// A value cannot be computed: overflow, division by zero, bad cast.
    Compute,
    /// A memory limit was reached.
    OutOfMemory,
    /// A file or a store could not be read or written. Tasks are tried again.
    Io,
    /// Data are malformed. Trying again would not help.
    Data,
    /// The query was cancelled.
    Cancelled,
    /// A setting or an argument is wrong.
    Config,
    /// A task panicked. It is tried again; if it fails again, it is our bug.
    Panic,
    /// A broken invariant: our bug.
    Internal,
}

impl ErrorKind {
    /// Whether another attempt of the same task may succeed.
    pub fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Io | ErrorKind::Panic)
    }
}

/// An error, boxed so that `Result` stays small.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    condition: Cow<'static, str>,
    sqlstate: Cow<'static, str>,
    message: String,
    span: Span,
    sql: Option<Arc<str>>,
    hint: Option<String>,
    context: Vec<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident($kind:ident, $condition:literal, $sqlstate:literal);)*) => {
        impl Error {
            $(
                $(#[$doc])*
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(ErrorKind::$kind, $condition, $sqlstate, message)
                }
            )*
        }
    };
}

constructors! {
    /// `PARSE_SYNTAX_ERROR`.
    syntax(Syntax, "PARSE_SYNTAX_ERROR", "42601");
    /// `UNSUPPORTED_FEATURE`: not there yet; the message names the feature.
    unsupported(Unsupported, "UNSUPPORTED_FEATURE", "0A000");
    /// `DATATYPE_MISMATCH`.
    type_mismatch(Type, "DATATYPE_MISMATCH", "42K09");
    /// A file or an object store failed.
    io(Io, "FAILED_READ_FILE", "KD001");
    /// Malformed data in a file.
    data(Data, "FAILED_READ_FILE", "KD001");
    /// `OPERATION_CANCELED`.
    cancelled(Cancelled, "OPERATION_CANCELED", "HY008");
    /// A wrong setting.
    config(Config, "INVALID_CONF_VALUE", "22022");
    /// `INTERNAL_ERROR`: a broken invariant.
    internal(Internal, "INTERNAL_ERROR", "XX000");
    /// `ARITHMETIC_OVERFLOW`.
    overflow(Compute, "ARITHMETIC_OVERFLOW", "22003");
}

impl Error {
    /// An error of `kind` with Spark's `condition` name and SQLSTATE.
    pub fn new(
        kind: ErrorKind,
        condition: impl Into<Cow<'static, str>>,
        sqlstate: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            condition: condition.into(),
            sqlstate: sqlstate.into(),
            message: message.into(),
            span: Span::NONE,
            sql: None,
            hint: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// `DIVIDE_BY_ZERO`.
    pub fn divide_by_zero() -> Self {
        Self::new(
            ErrorKind::Compute,
            "DIVIDE_BY_ZERO",
            "22012",
            "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. \
             If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
        )
    }

    /// A computation that failed on a value.
    pub fn compute(condition: &'static str, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Compute, condition, sqlstate, message)
    }

    /// A name or structure that is wrong.
    pub fn bind(condition: &'static str, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bind, condition, sqlstate, message)
    }

    /// Sets the place, unless a more exact one is known already.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        if !self.0.span.is_known() {
            self.0.span = span;
        }
        self
    }

    /// Sets the SQL text that the span refers to, unless one is set.
    #[must_use]
    pub fn in_sql(mut self, sql: &Arc<str>) -> Self {
        self.0.sql.get_or_insert_with(|| sql.clone());
        self
    }

    /// Adds advice on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Adds a line that says what was being done.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context.push(context.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Spark's condition name, such as `DIVIDE_BY_ZERO`.
    pub fn condition(&self) -> &str {
        &self.0.condition
    }

    /// The SQLSTATE, five characters.
    pub fn sqlstate(&self) -> &str {
        &self.0.sqlstate
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The place in [`Error::sql`], if known.
    pub fn span(&self) -> Option<Span> {
        self.0.span.is_known().then_some(self.0.span)
    }

    /// The SQL text, if known.
    pub fn sql(&self) -> Option<&str> {
        self.0.sql.as_deref()
    }

    /// Advice, if there is any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What was being done, innermost first.
    pub fn context(&self) -> &[String] {
        &self.0.context
    }

    /// 1-based line and column (in characters) of the place.
    pub fn position(&self) -> Option<(usize, usize)> {
        let (span, sql) = (self.span()?, self.sql()?);
        let before = sql.get(..span.start as usize)?;
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Some((line, column))
    }

    /// The error with the line of SQL and a caret under the place, as the REPL shows it.
    pub fn render(&self) -> String {
        let mut text = format!("{self}");
        if let (Some((line, column)), Some(span), Some(sql)) = (self.position(), self.span(), self.sql()) {
            let source = sql.lines().nth(line - 1).unwrap_or_default();
            let length = sql
                .get(span.start as usize..span.end as usize)
                .map_or(1, |s| s.lines().next().unwrap_or_default().chars().count())
                .max(1);
            let gutter = line.to_string();
            let pad = " ".repeat(gutter.len());
            text.push_str(&format!("\n{pad} == SQL (line {line}, position {column}) =="));
            text.push_str(&format!("\n{gutter} | {source}"));
            text.push_str(&format!("\n{pad} | {}{}", " ".repeat(column - 1), "^".repeat(length)));
        }
        for line in self.context() {
            text.push_str(&format!("\n  while {line}"));
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} SQLSTATE: {}", self.0.condition, self.0.message, self.0.sqlstate)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.render())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// An Arrow error that reaches this conversion was not foreseen by a kernel.
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError;
        match error {
            ArrowError::DivideByZero => Error::divide_by_zero(),
            ArrowError::ArithmeticOverflow(message) => Error::overflow(message),
            ArrowError::IoError(message, source) => Error::io(message).with_source(source),
            other => Error::internal(other.to_string()).with_source(other),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::io(error.to_string()).with_source(error)
    }
}

/// Adds context to errors as they travel up.
pub trait ResultExt<T> {
    /// Says what was being done, such as "reading `a.parquet`".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
    /// Sets the place in the SQL, unless a more exact one is known.
    fn at(self, span: Span) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.with_context(what()))
    }

    fn at(self, span: Span) -> Result<T> {
        self.map_err(|error| error.at(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_a_caret_under_the_place() {
        let sql: Arc<str> = Arc::from("SELECT 1,\n  1/0 FROM t");
        let error = Error::divide_by_zero().at(Span::new(12, 15)).in_sql(&sql);
        assert_eq!(error.position(), Some((2, 3)));
        let text = error.render();
        assert!(text.contains("2 |   1/0 FROM t\n  |   ^^^"), "{text}");
        assert!(text.starts_with("[DIVIDE_BY_ZERO] Division by zero."), "{text}");
    }

    #[test]
    fn the_innermost_place_wins() {
        let error = Error::overflow("x").at(Span::new(3, 5)).at(Span::new(0, 9));
        assert_eq!(error.span().map(|s| (s.start, s.end)), Some((3, 5)));
    }
}
