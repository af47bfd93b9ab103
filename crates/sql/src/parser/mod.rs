//! Text to syntax trees.
//!
//! Tokens come from [`lexer`], in the forms that sqlparser reads from [`rewrite`]; queries and expressions from sqlparser with the rules of [`dialect`],
//! statements from [`statement`]. Depth is bounded in two ways: sqlparser counts nesting, and chains of
//! operators (which it would turn into deep trees without nesting) are counted beforehand.

mod create;
mod dialect;
pub(crate) mod lexer;
mod pipe;
mod rewrite;
pub(crate) mod spans;
mod split;
pub(crate) mod statement;
mod tables;

use std::sync::Arc;

use firesteel_catalog::TableName;
use firesteel_common::{Error, Result, Span, SqlType};
use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

pub use split::{StatementText, split_statements};

use dialect::FiresteelDialect;
use lexer::span_of;
use spans::SpanMap;
use statement::StatementAst;
pub(crate) use tables::relation_names;

/// Nesting that is accepted: of parentheses, calls, CASE, subqueries.
const MAX_NESTING: usize = 100;
/// Operators in a row that are accepted, AND and OR apart (these are of any number).
const MAX_CHAIN: usize = 400;

/// A statement that parsed.
#[derive(Debug)]
pub struct ParsedStatement {
    /// The statement's text, without `;`. Spans refer to it.
    pub text: Arc<str>,
    pub(crate) ast: StatementAst,
    pub(crate) spans: SpanMap,
}

impl ParsedStatement {
    /// Every relation that the statement reads or names, each once. Names of its CTEs are left out.
    pub fn tables(&self) -> Vec<TableName> {
        tables::tables_of(&self.ast)
    }

    /// Whether it is a query, and no command.
    pub fn is_query(&self) -> bool {
        matches!(self.ast, StatementAst::Query(_))
    }
}

/// Parses statements separated by `;`.
///
/// Errors: `PARSE_SYNTAX_ERROR` with its place in the statement.
pub fn parse(sql: &str) -> Result<Vec<ParsedStatement>> {
    split_statements(sql).into_iter().map(|piece| parse_one(&piece.text)).collect()
}

/// Parses one statement without `;`.
pub(crate) fn parse_one(sql: &str) -> Result<ParsedStatement> {
    let text: Arc<str> = Arc::from(sql);
    let parsed = with_parser(&text, |parser| statement::parse_statement(parser, &text));
    let (ast, spans) = parsed.map_err(|error| error.in_sql(&text))?;
    Ok(ParsedStatement { text, ast, spans })
}

/// A scalar expression that parsed, for the `DataFrame` API.
#[derive(Debug)]
pub struct ParsedExpression {
    pub(crate) text: Arc<str>,
    pub(crate) item: ast::SelectItem,
    pub(crate) spans: SpanMap,
}

/// Parses an expression, with or without `AS name`; `*` is one too.
///
/// Errors: `PARSE_SYNTAX_ERROR`.
pub fn parse_expression(sql: &str) -> Result<ParsedExpression> {
    let text: Arc<str> = Arc::from(sql);
    let parsed = with_parser(&text, |parser| parser.parse_select_item().map_err(|e| syntax_error(&e, &text)));
    let (item, spans) = parsed.map_err(|error| error.in_sql(&text))?;
    Ok(ParsedExpression { text, item, spans })
}

/// Parses the name of a type, such as `decimal(10, 2)`.
///
/// Errors: `PARSE_SYNTAX_ERROR`, `UNSUPPORTED_DATATYPE`.
pub fn parse_type(sql: &str) -> Result<SqlType> {
    let text: Arc<str> = Arc::from(sql);
    let parsed = with_parser(&text, |parser| parser.parse_data_type().map_err(|e| syntax_error(&e, &text)));
    let (ty, _) = parsed.map_err(|error| error.in_sql(&text))?;
    crate::types::sql_type(&ty)
}

/// Parses `name type [NOT NULL], …`.
///
/// Errors: `PARSE_SYNTAX_ERROR`, `UNSUPPORTED_DATATYPE`.
pub fn parse_schema(sql: &str) -> Result<Vec<firesteel_catalog::Field>> {
    let text: Arc<str> = Arc::from(sql);
    let parsed = with_parser(&text, |parser| statement::parse_columns(parser, &text));
    Ok(parsed.map_err(|error| error.in_sql(&text))?.0)
}

fn with_parser<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T>) -> Result<(T, SpanMap)> {
    let tokens = lexer::tokenize(text)?;
    check_chains(&tokens)?;
    let spans = SpanMap::new(&tokens);
    let tokens = rewrite::rewrite(tokens);
    let dialect = FiresteelDialect::default();
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
    let value = parse(&mut parser)?;
    match parser.next_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok((value, spans)),
        token => Err(near(&token.token.to_string(), span_of(token.span))),
    }
}

fn near(token: &str, span: Span) -> Error {
    Error::syntax(format!("Syntax error at or near '{token}'.")).at(span)
}

/// What sqlparser complains about, as Spark says it: the token, with what was expected as a hint.
pub(crate) fn syntax_error(error: &ParserError, text: &str) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => return too_deep(Span::NONE),
    };
    let (message, offset) = match message.rsplit_once(" at Line: ") {
        Some((head, tail)) => {
            let column = tail.rsplit_once("Column: ").and_then(|(_, column)| column.trim().parse::<usize>().ok());
            (head, column.map(|column| column - 1))
        }
        None => (message.as_str(), None),
    };
    let (expected, found) = match message.strip_prefix("Expected: ").and_then(|m| m.rsplit_once(", found: ")) {
        Some((expected, found)) => (Some(expected), found),
        None => (None, message),
    };
    let error = match (offset, found) {
        (_, "EOF") => Error::syntax("Syntax error at or near end of input.").at(Span::new(text.len(), text.len() + 1)),
        (Some(offset), _) => {
            let length = token_length(text.get(offset..).unwrap_or_default());
            let token = text.get(offset..offset + length).unwrap_or(found);
            near(token, Span::new(offset, offset + length))
        }
        _ => Error::syntax(format!("Syntax error: {message}.")),
    };
    match expected {
        Some(expected) => error.with_hint(format!("expected {expected}")),
        None => error,
    }
}

fn token_length(rest: &str) -> usize {
    let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let first = rest.chars().next().map_or(0, char::len_utf8);
    if word > 0 { word } else { first }
}

/// The error for what is nested too deeply.
pub(crate) fn too_deep(span: Span) -> Error {
    Error::syntax(format!(
        "The statement is nested too deeply: no more than {MAX_NESTING} levels, or {MAX_CHAIN} operators in a row, are accepted."
    ))
    .at(span)
}

/// Refuses long chains of operators (and set operations) on one level of parentheses.
fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![(0usize, 0usize)];
    for token in tokens {
        match &token.token {
            Token::LParen => levels.push((0, 0)),
            Token::RParen if levels.len() > 1 => drop(levels.pop()),
            _ => {}
        }
        let Some((operators, set_operations)) = levels.last_mut() else { return Ok(()) };
        match &token.token {
            Token::Comma => *operators = 0,
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => *set_operations += 1,
                Keyword::JOIN => *set_operations += 1,
                Keyword::IS | Keyword::NOT | Keyword::LIKE | Keyword::DIV => *operators += 1,
                Keyword::NoKeyword | Keyword::NULL | Keyword::TRUE | Keyword::FALSE => {}
                _ => *operators = 0,
            },
            Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Ampersand
            | Token::Pipe
            | Token::Caret
            | Token::Tilde
            | Token::ExclamationMark
            | Token::ShiftLeft
            | Token::ShiftRight
            | Token::CustomBinaryOperator(_)
            | Token::DoubleColon
            | Token::LBracket
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq
            | Token::Spaceship => *operators += 1,
            _ => {}
        }
        if levels.last().is_some_and(|(a, b)| *a > MAX_CHAIN || *b > MAX_CHAIN) {
            return Err(too_deep(span_of(token.span)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_token_and_its_place() {
        let error = parse("SELECT 1 FROM t )").unwrap_err();
        assert_eq!(error.condition(), "PARSE_SYNTAX_ERROR");
        assert_eq!(error.span().map(|s| s.start), Some(16), "{error:?}");
        let error = parse("selec 1").unwrap_err();
        assert_eq!(error.message(), "Syntax error at or near 'selec'.");
        let error = parse("select (1").unwrap_err();
        assert_eq!(error.message(), "Syntax error at or near end of input.");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
        assert!(parse(&nested).is_err());
        assert!(parse(&format!("SELECT 1{}", " + 1".repeat(20_000))).is_err());
        assert!(parse(&format!("SELECT {}1", "NOT ".repeat(20_000))).is_err());
        assert!(parse(&format!("SELECT {}1", "- ".repeat(20_000))).is_err());
        assert!(parse(&format!("SELECT 1{}", " UNION SELECT 1".repeat(20_000))).is_err());
        assert!(parse(&format!("SELECT a{}", " OR a = 1".repeat(20_000))).is_ok());
        assert!(parse(&format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40))).is_ok());
    }
}
