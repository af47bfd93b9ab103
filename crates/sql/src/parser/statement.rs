//! Statements. sqlparser reads queries and expressions; what surrounds them in Spark is read here.

use std::sync::Arc;

use firesteel_catalog::{Field, TableName};
use firesteel_common::{Error, Result, Scalar, Span};
use sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, Query};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::binder::statement::{ExplainMode, ShowNames};
use crate::parser::lexer::span_of;
use crate::parser::tables::table_query;
use crate::parser::{pipe, syntax_error};

/// A statement's syntax tree.
#[derive(Debug)]
pub(crate) enum StatementAst {
    Query(Box<Query>),
    Explain {
        mode: ExplainMode,
        inner: Box<StatementAst>,
    },
    CreateView {
        name: TableName,
        columns: Option<Vec<String>>,
        replace: bool,
        if_not_exists: bool,
        sql: Arc<str>,
        query: Box<Query>,
    },
    CreateTable(Box<CreateTableAst>),
    Insert {
        table: TableName,
        span: Span,
        columns: Option<Vec<Ident>>,
        overwrite: bool,
        query: Box<Query>,
    },
    Copy {
        query: Box<Query>,
        path: String,
        format: Option<String>,
        options: Vec<(String, String)>,
    },
    Drop {
        view: bool,
        name: TableName,
        if_exists: bool,
    },
    ShowTables {
        like: Option<String>,
        views_only: bool,
    },
    ShowColumns {
        table: TableName,
        span: Span,
    },
    ShowFunctions {
        like: Option<String>,
    },
    Describe {
        table: TableName,
        span: Span,
        column: Option<String>,
        extended: bool,
    },
    DescribeSchema(String),
    ShowNames {
        what: ShowNames,
        like: Option<String>,
    },
    DescribeQuery(Box<Query>),
    DescribeFunction {
        name: String,
        extended: bool,
    },
    Set(Option<(String, Option<String>)>),
    SetVerbose,
    Reset(Option<String>),
    Use(String),
}

/// CREATE TABLE, and CREATE TEMPORARY VIEW … USING.
#[derive(Debug)]
pub(crate) struct CreateTableAst {
    pub(crate) name: TableName,
    pub(crate) format: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) partitioned_by: Vec<String>,
    pub(crate) schema: Option<Vec<Field>>,
    pub(crate) replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) temporary: bool,
    pub(crate) query: Option<Box<Query>>,
}

impl CreateTableAst {
    /// A table of which no clause was read.
    pub(super) fn named(name: TableName) -> Self {
        Self {
            name,
            format: None,
            location: None,
            options: Vec::new(),
            partitioned_by: Vec::new(),
            schema: None,
            replace: false,
            if_not_exists: false,
            temporary: false,
            query: None,
        }
    }
}

pub(super) struct Reader<'p, 'a> {
    pub(super) parser: &'p mut Parser<'a>,
    pub(super) text: &'p str,
}

/// Parses a statement; what follows it is the caller's matter.
pub(crate) fn parse_statement(parser: &mut Parser<'_>, text: &str) -> Result<StatementAst> {
    Reader { parser, text }.statement()
}

/// Parses `name type [NOT NULL] [COMMENT '…'], …`.
pub(crate) fn parse_columns(parser: &mut Parser<'_>, text: &str) -> Result<Vec<Field>> {
    Reader { parser, text }.columns()
}

/// The parts of a name.
pub(crate) fn table_name(name: &ObjectName) -> TableName {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) => ident.value.clone(),
        ObjectNamePart::Function(function) => function.to_string(),
    };
    TableName(name.0.iter().map(part).collect())
}

impl Reader<'_, '_> {
    pub(super) fn lift<T>(&self, result: Result<T, ParserError>) -> Result<T> {
        result.map_err(|error| syntax_error(&error, self.text))
    }

    /// Takes the word if it comes next.
    pub(super) fn word(&mut self, expected: &str) -> bool {
        let found = matches!(
            &self.parser.peek_token_ref().token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected)
        );
        if found {
            self.parser.next_token();
        }
        found
    }

    /// Takes the words if they come next.
    pub(super) fn words(&mut self, expected: &[&str]) -> bool {
        let start = self.parser.index();
        if expected.iter().all(|word| self.word(word)) {
            return true;
        }
        while self.parser.index() > start {
            self.parser.prev_token();
        }
        false
    }

    pub(super) fn expect(&mut self, expected: &str) -> Result<()> {
        if self.word(expected) { Ok(()) } else { self.unexpected(expected) }
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Result<T> {
        let token = self.parser.peek_token();
        let error = self.parser.expected(expected, token);
        self.lift(error)
    }

    pub(super) fn symbol(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect_symbol(&mut self, token: &Token) -> Result<()> {
        let result = self.parser.expect_token(token);
        self.lift(result).map(drop)
    }

    pub(super) fn query(&mut self) -> Result<Box<Query>> {
        let query = self.parser.parse_query();
        let mut query = self.lift(query)?;
        pipe::expand(&mut query)?;
        Ok(query)
    }

    pub(super) fn name(&mut self) -> Result<(TableName, Span)> {
        let start = self.offset();
        let name = self.parser.parse_object_name(true);
        let name = self.lift(name)?;
        let end = span_of(self.parser.get_current_token().span).end as usize;
        Ok((table_name(&name), Span::new(start, end)))
    }

    pub(super) fn ident(&mut self) -> Result<Ident> {
        let ident = self.parser.parse_identifier();
        self.lift(ident)
    }

    pub(super) fn string(&mut self) -> Result<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(value) => {
                self.parser.next_token();
                Ok(value)
            }
            _ => self.unexpected("a string"),
        }
    }

    /// Offset of the next token; the length of the text at the end.
    pub(super) fn offset(&mut self) -> usize {
        let token = self.parser.peek_token();
        if token.token == Token::EOF { self.text.len() } else { span_of(token.span).start as usize }
    }

    /// All that follows, as it was written.
    fn rest(&mut self) -> String {
        let start = self.offset();
        while self.parser.next_token().token != Token::EOF {}
        self.text.get(start..).unwrap_or_default().trim().to_owned()
    }

    fn statement(&mut self) -> Result<StatementAst> {
        if self.word("EXPLAIN") {
            return self.explain();
        }
        if self.word("CREATE") {
            return self.create();
        }
        if self.word("INSERT") {
            return self.insert();
        }
        if self.word("COPY") {
            return self.copy();
        }
        if self.word("DROP") {
            return self.drop_object();
        }
        if self.word("SHOW") {
            return self.show();
        }
        if self.word("DESCRIBE") || self.word("DESC") {
            return self.describe();
        }
        if self.word("SET") {
            return self.set();
        }
        if self.word("RESET") {
            let key = self.rest();
            return Ok(StatementAst::Reset((!key.is_empty()).then_some(key)));
        }
        if self.word("USE") {
            let _ = self.word("SCHEMA") || self.word("DATABASE") || self.word("NAMESPACE");
            let (name, _) = self.name()?;
            return Ok(StatementAst::Use(name.0.join(".")));
        }
        const UNSUPPORTED: &[&str] = &[
            "ALTER", "ANALYZE", "CACHE", "CALL", "CLEAR", "COMMENT", "DECLARE", "DELETE", "EXECUTE", "LOAD", "MERGE",
            "MSCK", "REFRESH", "REPLACE", "TRUNCATE", "UNCACHE", "UPDATE", "ADD", "LIST", "BEGIN",
        ];
        for word in UNSUPPORTED {
            let span = span_of(self.parser.peek_token_ref().span);
            if self.word(word) {
                return Err(Error::unsupported(format!("The statement {word} is not supported.")).at(span));
            }
        }
        if self.starts_query() {
            return Ok(StatementAst::Query(self.query()?));
        }
        self.unexpected("a statement")
    }

    pub(super) fn starts_query(&self) -> bool {
        match &self.parser.peek_token_ref().token {
            Token::LParen => true,
            Token::Word(word) => {
                ["SELECT", "WITH", "VALUES", "FROM", "TABLE"].iter().any(|start| word.value.eq_ignore_ascii_case(start))
            }
            _ => false,
        }
    }

    fn explain(&mut self) -> Result<StatementAst> {
        const MODES: &[(&str, ExplainMode)] = &[
            ("EXTENDED", ExplainMode::Extended),
            ("FORMATTED", ExplainMode::Formatted),
            ("COST", ExplainMode::Cost),
            ("ANALYZE", ExplainMode::Analyze),
            ("SIMPLE", ExplainMode::Simple),
        ];
        let mode = MODES.iter().find(|(word, _)| self.word(word)).map_or(ExplainMode::Simple, |(_, mode)| *mode);
        Ok(StatementAst::Explain { mode, inner: Box::new(self.statement()?) })
    }

    fn insert(&mut self) -> Result<StatementAst> {
        let overwrite = self.word("OVERWRITE");
        if !overwrite {
            self.expect("INTO")?;
        }
        let _ = self.word("TABLE");
        let (table, span) = self.name()?;
        if self.word("PARTITION") {
            return Err(Error::unsupported("INSERT … PARTITION is not supported.").at(span));
        }
        let mut columns = None;
        if !self.starts_query() || self.peek_column_list() {
            self.expect_symbol(&Token::LParen)?;
            let names = self.parser.parse_comma_separated(|parser| parser.parse_identifier());
            columns = Some(self.lift(names)?);
            self.expect_symbol(&Token::RParen)?;
        }
        let query = self.query()?;
        Ok(StatementAst::Insert { table, span, columns, overwrite, query })
    }

    /// Whether `(name,` or `(name)` comes next, and no parenthesised query.
    fn peek_column_list(&self) -> bool {
        let [open, name, after] = self.parser.peek_tokens_ref();
        open.token == Token::LParen
            && matches!(name.token, Token::Word(_))
            && matches!(after.token, Token::Comma | Token::RParen)
    }

    fn copy(&mut self) -> Result<StatementAst> {
        let query = if self.symbol(&Token::LParen) {
            let query = self.query()?;
            self.expect_symbol(&Token::RParen)?;
            query
        } else {
            let name = self.parser.parse_object_name(true);
            let name = self.lift(name)?;
            Box::new(table_query(name))
        };
        self.expect("TO")?;
        let path = self.string()?;
        let (mut format, mut options) = (None, Vec::new());
        loop {
            if self.word("FORMAT") || self.word("USING") {
                format = Some(self.option_word()?);
            } else if self.word("OPTIONS") || self.word("WITH") || self.parser.peek_token_ref().token == Token::LParen {
                options.extend(self.options()?);
            } else {
                break;
            }
        }
        if let Some(at) = options.iter().position(|(key, _)| key.eq_ignore_ascii_case("format")) {
            format = Some(options.remove(at).1);
        }
        Ok(StatementAst::Copy { query, path, format, options })
    }

    fn drop_object(&mut self) -> Result<StatementAst> {
        let _ = self.word("TEMPORARY") || self.word("TEMP");
        let view = self.word("VIEW");
        if !view {
            self.expect("TABLE")?;
        }
        let if_exists = self.words(&["IF", "EXISTS"]);
        let (name, _) = self.name()?;
        let _ = self.word("PURGE");
        Ok(StatementAst::Drop { view, name, if_exists })
    }

    fn like(&mut self) -> Result<Option<String>> {
        let explicit = self.word("LIKE");
        match self.parser.peek_token().token {
            Token::SingleQuotedString(_) => Ok(Some(self.string()?)),
            _ if explicit => self.unexpected("a pattern"),
            _ => Ok(None),
        }
    }

    fn show(&mut self) -> Result<StatementAst> {
        let views_only = self.word("VIEWS");
        if views_only || self.word("TABLES") {
            if self.word("IN") || self.word("FROM") {
                let (schema, span) = self.name()?;
                check_schema(&schema, span)?;
            }
            return Ok(StatementAst::ShowTables { like: self.like()?, views_only });
        }
        if self.word("COLUMNS") {
            if !self.word("IN") {
                self.expect("FROM")?;
            }
            let (table, span) = self.name()?;
            return Ok(StatementAst::ShowColumns { table, span });
        }
        for word in ["SCHEMAS", "DATABASES", "NAMESPACES"] {
            if self.word(word) {
                return Ok(StatementAst::ShowNames { what: ShowNames::Schemas, like: self.like()? });
            }
        }
        if self.word("CATALOGS") {
            return Ok(StatementAst::ShowNames { what: ShowNames::Catalogs, like: self.like()? });
        }
        if self.words(&["CURRENT", "NAMESPACE"]) || self.words(&["CURRENT", "SCHEMA"]) {
            return Ok(StatementAst::ShowNames { what: ShowNames::Current, like: None });
        }
        let _ = self.word("ALL") || self.word("SYSTEM") || self.word("USER");
        if self.word("FUNCTIONS") {
            return Ok(StatementAst::ShowFunctions { like: self.like()? });
        }
        let token = self.parser.peek_token();
        Err(Error::unsupported(format!("SHOW {} is not supported.", token.token)).at(span_of(token.span)))
    }

    fn describe(&mut self) -> Result<StatementAst> {
        if self.word("QUERY") || self.starts_query() && !self.peek_describe_table() {
            return Ok(StatementAst::DescribeQuery(self.query()?));
        }
        if self.word("FUNCTION") {
            let extended = self.word("EXTENDED");
            let name = self.option_word()?;
            return Ok(StatementAst::DescribeFunction { name, extended });
        }
        if self.word("SCHEMA") || self.word("DATABASE") || self.word("NAMESPACE") {
            let _ = self.word("EXTENDED");
            let (schema, span) = self.name()?;
            check_schema(&schema, span)?;
            return Ok(StatementAst::DescribeSchema(schema.0.join(".")));
        }
        let _ = self.word("TABLE");
        let extended = self.word("EXTENDED") || self.word("FORMATTED");
        let (table, span) = self.name()?;
        let column = match self.parser.peek_token().token {
            Token::Word(_) => Some(self.ident()?.value),
            _ => None,
        };
        Ok(StatementAst::Describe { table, span, column, extended })
    }

    fn peek_describe_table(&self) -> bool {
        matches!(&self.parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case("TABLE"))
    }

    /// `INTERVAL 2 HOURS` as the offset of a time zone.
    fn offset_zone(&mut self) -> Result<String> {
        let start = self.offset();
        let expr = self.parser.parse_expr();
        let expr = self.lift(expr)?;
        let span = Span::new(start, self.offset());
        let value = match &expr {
            Expr::Interval(interval) => crate::literal::interval(interval, span)?,
            _ => return self.unexpected("an interval"),
        };
        let minutes = match value {
            Scalar::IntervalDayTime(micros) if micros % 60_000_000 == 0 => micros / 60_000_000,
            _ => i64::MAX,
        };
        if minutes.saturating_abs() > 18 * 60 {
            let message = "The interval value must be in the range of [-18, +18] hours with whole minutes.";
            return Err(
                Error::bind("INVALID_INTERVAL_FORMAT.TIMEZONE_INTERVAL_OUT_OF_RANGE", "22006", message).at(span)
            );
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        Ok(format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
    }

    /// SET is read as text: a value is all that follows `=`, such as `Europe/Berlin`.
    fn set(&mut self) -> Result<StatementAst> {
        if self.words(&["TIME", "ZONE"]) {
            let key = "spark.sql.session.timeZone".to_owned();
            if self.word("LOCAL") {
                return Ok(StatementAst::Reset(Some(key)));
            }
            let interval = matches!(
                &self.parser.peek_token_ref().token,
                Token::Word(word) if word.value.eq_ignore_ascii_case("INTERVAL")
            );
            let zone = if interval { self.offset_zone()? } else { self.rest() };
            let zone = zone.trim_matches(['\'', '"']).to_owned();
            return Ok(StatementAst::Set(Some(("spark.sql.session.timeZone".to_owned(), Some(zone)))));
        }
        let text = self.rest();
        if text.is_empty() {
            return Ok(StatementAst::Set(None));
        }
        if text.eq_ignore_ascii_case("-v") {
            return Ok(StatementAst::SetVerbose);
        }
        let clean = |part: &str| part.trim().trim_matches('`').to_owned();
        Ok(StatementAst::Set(Some(match text.split_once('=') {
            Some((key, value)) => (clean(key), Some(value.trim().to_owned())),
            None => (clean(&text), None),
        })))
    }
}

/// There is one schema.
fn check_schema(name: &TableName, span: Span) -> Result<()> {
    match name.0.last() {
        Some(last) if last.eq_ignore_ascii_case(firesteel_catalog::catalog::DEFAULT_SCHEMA) => Ok(()),
        _ => {
            let message = format!("The schema {name} cannot be found.");
            Err(Error::bind("SCHEMA_NOT_FOUND", "42704", message).with_hint("there is one schema, `default`").at(span))
        }
    }
}
