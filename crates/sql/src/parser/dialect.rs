//! The dialect: sqlparser's for Spark, with what it lacks.

use sqlparser::ast::{BinaryOperator, DateTimeField, Expr, Ident, Interval};
use sqlparser::dialect::{Dialect, SparkSqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Spark's dialect.
#[derive(Debug, Default)]
pub(crate) struct FiresteelDialect(SparkSqlDialect);

/// Binding strength of shifts: weaker than `+`, stronger than `&`.
const SHIFT: u8 = 25;
/// Binding strength of `+`, `-` and `||`.
const PLUS: u8 = 30;

/// Units of intervals; a plural is the same.
const UNITS: &[&str] = &[
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
    "NANOSECOND",
];

macro_rules! delegate {
    ($($name:ident = $value:expr;)*) => {
        $(fn $name(&self) -> bool { $value })*
    };
}

impl Dialect for FiresteelDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    delegate! {
        supports_filter_during_aggregation = true;
        supports_group_by_expr = true;
        supports_group_by_with_modifier = true;
        supports_select_wildcard_except = true;
        supports_nested_comments = true;
        supports_long_type_as_bigint = true;
        supports_values_as_table_factor = true;
        require_interval_qualifier = true;
        supports_bang_not_operator = true;
        supports_select_item_multi_column_alias = true;
        supports_cte_without_as = true;
        supports_from_first_select = true;
        supports_pipe_operator = true;
        supports_table_sample_before_alias = true;
        supports_comment_optimizer_hint = true;
        supports_order_by_all = true;
        supports_interval_options = true;
        supports_parens_around_table_factor = true;
        supports_subquery_as_function_arg = true;
        supports_window_clause_named_window_reference = true;
        supports_window_function_null_treatment_arg = true;
        supports_cross_join_constraint = true;
        supports_boolean_literals = true;
        allow_extract_custom = true;
        allow_extract_single_quotes = true;
        supports_named_fn_args_with_rarrow_operator = true;
        supports_left_associative_joins_without_parens = true;
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref();
        match (&first.token, &second.token) {
            (Token::Word(word), next) if word.keyword == Keyword::INTERVAL && starts_interval(next) => {
                Some(parse_interval(parser))
            }
            _ => None,
        }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if let Some(quantified) = Quantified::peek(parser) {
            return Some(quantified.parse(parser, expr));
        }
        let op = match &parser.peek_token_ref().token {
            Token::Word(word) => match word.keyword {
                Keyword::AND => BinaryOperator::And,
                Keyword::OR => BinaryOperator::Or,
                Keyword::DIV => BinaryOperator::MyIntegerDivide,
                _ => return None,
            },
            Token::ShiftLeft => BinaryOperator::PGBitwiseShiftLeft,
            Token::ShiftRight => BinaryOperator::PGBitwiseShiftRight,
            Token::Caret => BinaryOperator::BitwiseXor,
            _ => return None,
        };
        Some(match op {
            BinaryOperator::And => parse_chain(parser, expr, op, Keyword::AND, precedence),
            BinaryOperator::Or => parse_chain(parser, expr, op, Keyword::OR, precedence),
            _ => {
                parser.next_token();
                parser.parse_subexpr(precedence).map(|right| binary(expr.clone(), &op, right))
            }
        })
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::ShiftLeft | Token::ShiftRight | Token::CustomBinaryOperator(_) => Some(Ok(SHIFT)),
            Token::StringConcat => Some(Ok(PLUS)),
            _ => None,
        }
    }
}

/// `x [NOT] LIKE ANY|SOME|ALL (…)`: comparisons with each pattern, in a row.
struct Quantified {
    negated: bool,
    ignore_case: bool,
    all: bool,
}

impl Quantified {
    fn peek(parser: &Parser) -> Option<Self> {
        let word = |at: usize| match &parser.peek_nth_token_ref(at).token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let negated = word(0) == Keyword::NOT;
        let at = usize::from(negated);
        let ignore_case = match word(at) {
            Keyword::LIKE => false,
            Keyword::ILIKE => true,
            _ => return None,
        };
        let all = match word(at + 1) {
            Keyword::ANY | Keyword::SOME => false,
            Keyword::ALL => true,
            _ => return None,
        };
        (parser.peek_nth_token_ref(at + 2).token == Token::LParen).then_some(Self { negated, ignore_case, all })
    }

    fn parse(self, parser: &mut Parser, expr: &Expr) -> Result<Expr, ParserError> {
        for _ in 0..(3 + usize::from(self.negated)) {
            parser.next_token();
        }
        let patterns = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        let test = |pattern: Expr| {
            let (expr, pattern) = (Box::new(expr.clone()), Box::new(pattern));
            match self.ignore_case {
                true => Expr::ILike { negated: self.negated, any: false, expr, pattern, escape_char: None },
                false => Expr::Like { negated: self.negated, any: false, expr, pattern, escape_char: None },
            }
        };
        let op = if self.all { BinaryOperator::And } else { BinaryOperator::Or };
        let tests = patterns.into_iter().map(test);
        let whole = tests.reduce(|left, right| binary(left, &op, right));
        whole
            .map(|whole| Expr::Nested(Box::new(whole)))
            .ok_or_else(|| ParserError::ParserError("Expected: a pattern".into()))
    }
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}

/// `a AND b AND c …` as a balanced tree, so that a chain of any length is shallow.
fn parse_chain(
    parser: &mut Parser,
    first: &Expr,
    op: BinaryOperator,
    keyword: Keyword,
    precedence: u8,
) -> Result<Expr, ParserError> {
    let mut level = vec![first.clone()];
    while parser.parse_keyword(keyword) {
        level.push(parser.parse_subexpr(precedence)?);
    }
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut parts = level.into_iter();
        while let Some(left) = parts.next() {
            next.push(match parts.next() {
                Some(right) => binary(left, &op, right),
                None => left,
            });
        }
        level = next;
    }
    level.pop().ok_or_else(|| ParserError::ParserError("Expected: an expression".into()))
}

fn starts_interval(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::Number(..) | Token::Minus | Token::Plus | Token::LParen)
}

/// The unit that a word names, in the singular.
fn unit(token: &Token) -> Option<String> {
    let Token::Word(word) = token else { return None };
    let upper = word.value.to_uppercase();
    let singular = upper.strip_suffix('S').unwrap_or(&upper);
    UNITS.contains(&singular).then(|| singular.to_owned())
}

/// `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL 1 day 2 hours`, `INTERVAL '1 day'`. The value is a tuple of
/// amounts and units in turn; or one string, with the units in the fields, or without any.
fn parse_interval(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    let mut parts = Vec::new();
    let field = |name: String| Some(DateTimeField::Custom(Ident::new(name)));
    let interval = |value: Expr, leading_field, last_field| {
        let value = Box::new(value);
        let (leading_precision, fractional_seconds_precision) = (None, None);
        Expr::Interval(Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision })
    };
    loop {
        // `INTERVAL 2 day - x` ends after DAY: a sign belongs to the interval only before its first amount.
        let value = parser.parse_subexpr(PLUS + 9)?;
        let token = parser.peek_token();
        let Some(name) = unit(&token.token) else {
            if parts.is_empty() {
                return Ok(interval(value, None, None));
            }
            return parser.expected("a unit of an interval", token);
        };
        parser.next_token();
        if parts.is_empty() && parser.parse_keyword(Keyword::TO) {
            let token = parser.next_token();
            return match unit(&token.token) {
                Some(last) => Ok(interval(value, field(name), field(last))),
                None => parser.expected("a unit of an interval", token),
            };
        }
        parts.push(value);
        parts.push(Expr::Identifier(Ident::with_span(token.span, name)));
        let [amount, next] = parser.peek_tokens_ref();
        let more =
            matches!(amount.token, Token::Number(..) | Token::SingleQuotedString(_)) && unit(&next.token).is_some();
        if !more {
            return Ok(interval(Expr::Tuple(parts), None, None));
        }
    }
}
