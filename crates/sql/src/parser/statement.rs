//! Statements. sqlparser reads queries and expressions; what surrounds them in Spark is read here.

use std::sync::Arc;

use firesteel_catalog::{Field, TableName};
use firesteel_common::{Error, Result, Span};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, SetExpr, TableFactor, TableWithJoins};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::binder::statement::ExplainMode;
use crate::parser::lexer::span_of;
use crate::parser::syntax_error;

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
        extended: bool,
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

struct Reader<'p, 'a> {
    parser: &'p mut Parser<'a>,
    text: &'p str,
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
    fn lift<T>(&self, result: Result<T, ParserError>) -> Result<T> {
        result.map_err(|error| syntax_error(&error, self.text))
    }

    /// Takes the word if it comes next.
    fn word(&mut self, expected: &str) -> bool {
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
    fn words(&mut self, expected: &[&str]) -> bool {
        let start = self.parser.index();
        if expected.iter().all(|word| self.word(word)) {
            return true;
        }
        while self.parser.index() > start {
            self.parser.prev_token();
        }
        false
    }

    fn expect(&mut self, expected: &str) -> Result<()> {
        if self.word(expected) { Ok(()) } else { self.unexpected(expected) }
    }

    fn unexpected<T>(&mut self, expected: &str) -> Result<T> {
        let token = self.parser.peek_token();
        let error = self.parser.expected(expected, token);
        self.lift(error)
    }

    fn symbol(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    fn expect_symbol(&mut self, token: &Token) -> Result<()> {
        let result = self.parser.expect_token(token);
        self.lift(result).map(drop)
    }

    fn query(&mut self) -> Result<Box<Query>> {
        let query = self.parser.parse_query();
        self.lift(query)
    }

    fn name(&mut self) -> Result<(TableName, Span)> {
        let start = self.offset();
        let name = self.parser.parse_object_name(true);
        let name = self.lift(name)?;
        let end = span_of(self.parser.get_current_token().span).end as usize;
        Ok((table_name(&name), Span::new(start, end)))
    }

    fn ident(&mut self) -> Result<Ident> {
        let ident = self.parser.parse_identifier();
        self.lift(ident)
    }

    fn string(&mut self) -> Result<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(value) => {
                self.parser.next_token();
                Ok(value)
            }
            _ => self.unexpected("a string"),
        }
    }

    /// Offset of the next token; the length of the text at the end.
    fn offset(&mut self) -> usize {
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

    fn starts_query(&self) -> bool {
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

    fn create(&mut self) -> Result<StatementAst> {
        let replace = self.words(&["OR", "REPLACE"]);
        let global = self.word("GLOBAL");
        let temporary = self.word("TEMPORARY") || self.word("TEMP") || global;
        if self.word("VIEW") {
            return self.create_view(replace, temporary);
        }
        if self.word("TABLE") || self.words(&["EXTERNAL", "TABLE"]) {
            return self.create_table(replace, temporary);
        }
        let token = self.parser.peek_token();
        Err(Error::unsupported(format!("CREATE {} is not supported.", token.token)).at(span_of(token.span)))
    }

    fn create_view(&mut self, replace: bool, temporary: bool) -> Result<StatementAst> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let (name, _) = self.name()?;
        let mut columns = None;
        let mut schema = None;
        if self.symbol(&Token::LParen) {
            let typed = {
                let [_, second] = self.parser.peek_tokens_ref();
                matches!(&second.token, Token::Word(word) if !word.value.eq_ignore_ascii_case("COMMENT"))
            };
            if typed {
                schema = Some(self.columns()?);
            } else {
                let mut names = Vec::new();
                loop {
                    names.push(self.ident()?.value);
                    if self.word("COMMENT") {
                        self.string()?;
                    }
                    if !self.symbol(&Token::Comma) {
                        break;
                    }
                }
                columns = Some(names);
            }
            self.expect_symbol(&Token::RParen)?;
        }
        if self.word("COMMENT") {
            self.string()?;
        }
        if self.word("USING") {
            let format = Some(self.ident()?.value);
            let mut table = CreateTableAst {
                name,
                format,
                location: None,
                options: Vec::new(),
                partitioned_by: Vec::new(),
                schema,
                replace,
                if_not_exists,
                temporary,
                query: None,
            };
            self.table_clauses(&mut table)?;
            return Ok(StatementAst::CreateTable(Box::new(table)));
        }
        self.expect("AS")?;
        let start = self.offset();
        let query = self.query()?;
        let sql = Arc::from(self.text.get(start..).unwrap_or_default().trim());
        Ok(StatementAst::CreateView { name, columns, replace, if_not_exists, sql, query })
    }

    fn create_table(&mut self, replace: bool, temporary: bool) -> Result<StatementAst> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let (name, _) = self.name()?;
        let mut schema = None;
        if self.symbol(&Token::LParen) {
            schema = Some(self.columns()?);
            self.expect_symbol(&Token::RParen)?;
        }
        let mut table = CreateTableAst {
            name,
            format: None,
            location: None,
            options: Vec::new(),
            partitioned_by: Vec::new(),
            schema,
            replace,
            if_not_exists,
            temporary,
            query: None,
        };
        self.table_clauses(&mut table)?;
        let has_as = self.word("AS");
        if has_as || self.starts_query() {
            table.query = Some(self.query()?);
        }
        Ok(StatementAst::CreateTable(Box::new(table)))
    }

    /// USING, OPTIONS, LOCATION, PARTITIONED BY, COMMENT, TBLPROPERTIES, in any order.
    fn table_clauses(&mut self, table: &mut CreateTableAst) -> Result<()> {
        loop {
            if self.word("USING") || self.words(&["STORED", "AS"]) {
                table.format = Some(self.ident()?.value);
            } else if self.word("OPTIONS") {
                table.options.extend(self.options()?);
            } else if self.word("LOCATION") {
                table.location = Some(self.string()?);
            } else if self.words(&["PARTITIONED", "BY"]) {
                self.expect_symbol(&Token::LParen)?;
                loop {
                    table.partitioned_by.push(self.ident()?.value);
                    if !self.symbol(&Token::Comma) {
                        break;
                    }
                }
                self.expect_symbol(&Token::RParen)?;
            } else if self.word("COMMENT") {
                self.string()?;
            } else if self.word("TBLPROPERTIES") {
                self.options()?;
            } else {
                break;
            }
        }
        if table.location.is_none()
            && let Some(at) = table.options.iter().position(|(key, _)| key.eq_ignore_ascii_case("path"))
        {
            table.location = Some(table.options.remove(at).1);
        }
        Ok(())
    }

    /// `(key value, 'key' = 'value', a.b true)`.
    fn options(&mut self) -> Result<Vec<(String, String)>> {
        self.expect_symbol(&Token::LParen)?;
        let mut options = Vec::new();
        while !self.symbol(&Token::RParen) {
            let mut key = self.option_word()?;
            while self.symbol(&Token::Period) {
                key = format!("{key}.{}", self.option_word()?);
            }
            let _ = self.symbol(&Token::Eq);
            let sign = if self.symbol(&Token::Minus) { "-" } else { "" };
            let value = self.option_word()?;
            options.push((key, format!("{sign}{value}")));
            if !self.symbol(&Token::Comma) {
                self.expect_symbol(&Token::RParen)?;
                break;
            }
        }
        Ok(options)
    }

    fn option_word(&mut self) -> Result<String> {
        match self.parser.peek_token().token {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(word.value)
            }
            Token::SingleQuotedString(value) | Token::Number(value, _) => {
                self.parser.next_token();
                Ok(value)
            }
            _ => self.unexpected("an option"),
        }
    }

    fn columns(&mut self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let name = Arc::from(self.ident()?.value);
            let _ = self.symbol(&Token::Colon);
            let ty = self.parser.parse_data_type();
            let ty = crate::types::sql_type(&self.lift(ty)?)?;
            let nullable = !self.words(&["NOT", "NULL"]);
            if self.word("COMMENT") {
                self.string()?;
            }
            fields.push(Field { name, ty, nullable });
            if !self.symbol(&Token::Comma) {
                return Ok(fields);
            }
        }
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
                self.name()?;
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
        let _ = self.word("TABLE");
        let extended = self.word("EXTENDED") || self.word("FORMATTED");
        let (table, span) = self.name()?;
        Ok(StatementAst::Describe { table, span, extended })
    }

    fn peek_describe_table(&self) -> bool {
        matches!(&self.parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case("TABLE"))
    }

    /// SET is read as text: a value is all that follows `=`, such as `Europe/Berlin`.
    fn set(&mut self) -> Result<StatementAst> {
        if self.words(&["TIME", "ZONE"]) {
            let zone = self.rest();
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

/// `SELECT * FROM name`.
fn table_query(name: ObjectName) -> Query {
    let relation = TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let select = sqlparser::ast::Select {
        select_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![sqlparser::ast::SelectItem::Wildcard(sqlparser::ast::WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: sqlparser::ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: sqlparser::ast::SelectFlavor::Standard,
    };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
