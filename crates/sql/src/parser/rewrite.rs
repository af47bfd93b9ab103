//! Forms of Spark's that sqlparser does not read, put into forms that it does, token by token: rows of
//! VALUES without parentheses, `TABLE t` as a query, and DISTINCT where a pipe operator implies it.
//!
//! Tokens that are added have no width, so that places in the text stay what they are.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

/// The tokens of the same statement, as sqlparser reads it.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let wanted = |token: &TokenWithSpan| {
        matches!(keyword(&token.token), Keyword::VALUES | Keyword::TABLE)
            || token.token == Token::VerticalBarRightAngleBracket
    };
    if !tokens.iter().any(wanted) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 8);
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        at += 1;
        match keyword(&token.token) {
            Keyword::VALUES if starts_query(&out) || previous(&out) == Keyword::FROM => {
                out.push(token.clone());
                at = rows(&tokens, at, &mut out);
            }
            Keyword::TABLE if starts_query(&out) && tokens.get(at).is_some_and(|next| names_table(&next.token)) => {
                out.push(TokenWithSpan { token: Token::make_keyword("SELECT"), span: token.span });
                out.push(TokenWithSpan { token: Token::Mul, span: empty(token.span) });
                out.push(TokenWithSpan { token: Token::make_keyword("FROM"), span: empty(token.span) });
            }
            Keyword::EXCEPT | Keyword::INTERSECT if after_pipe(&out) => {
                out.push(token.clone());
                let next = tokens.get(at).map_or(Keyword::NoKeyword, |next| keyword(&next.token));
                if !matches!(next, Keyword::ALL | Keyword::DISTINCT) {
                    out.push(TokenWithSpan { token: Token::make_keyword("DISTINCT"), span: empty(token.span) });
                }
            }
            _ => out.push(token.clone()),
        }
    }
    out
}

fn after_pipe(before: &[TokenWithSpan]) -> bool {
    before.last().is_some_and(|last| last.token == Token::VerticalBarRightAngleBracket)
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn previous(before: &[TokenWithSpan]) -> Keyword {
    before.last().map_or(Keyword::NoKeyword, |token| keyword(&token.token))
}

fn names_table(token: &Token) -> bool {
    matches!(token, Token::Word(_)) && !matches!(keyword(token), Keyword::FROM | Keyword::AS | Keyword::WHERE)
}

fn empty(span: Span) -> Span {
    Span::new(span.end, span.end)
}

/// Whether a query may start after these tokens.
fn starts_query(before: &[TokenWithSpan]) -> bool {
    let Some(last) = before.last() else { return true };
    if last.token == Token::LParen {
        return true;
    }
    matches!(
        keyword(&last.token),
        Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::MINUS
            | Keyword::ALL
            | Keyword::DISTINCT
            | Keyword::EXPLAIN
            | Keyword::EXTENDED
            | Keyword::FORMATTED
            | Keyword::COST
            | Keyword::ANALYZE
    ) || (keyword(&last.token) == Keyword::AS && before.first().is_some_and(|t| keyword(&t.token) == Keyword::CREATE))
        || (keyword(&before[0].token) == Keyword::INSERT && keyword(&last.token) != Keyword::INTO)
}

/// Copies the rows of VALUES from `at` on, with parentheses around those that have none.
fn rows(tokens: &[TokenWithSpan], mut at: usize, out: &mut Vec<TokenWithSpan>) -> usize {
    loop {
        let end = row_end(tokens, at);
        let row = &tokens[at..end];
        let whole = matches!(closing(row), Some(close) if close + 1 == row.len());
        match (row.first(), row.last()) {
            (Some(first), Some(last)) if !whole => {
                let start = Span::new(first.span.start, first.span.start);
                out.push(TokenWithSpan { token: Token::LParen, span: start });
                out.extend_from_slice(row);
                out.push(TokenWithSpan { token: Token::RParen, span: empty(last.span) });
            }
            _ => out.extend_from_slice(row),
        }
        at = end;
        match tokens.get(at) {
            Some(comma) if comma.token == Token::Comma => out.push(comma.clone()),
            _ => return at,
        }
        at += 1;
    }
}

/// Position of the parenthesis that closes the one that `row` starts with.
fn closing(row: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in row.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at);
        }
    }
    None
}

/// Where the expression that starts at `at` ends: at a comma, at a closing parenthesis, or at a word that can
/// only follow a complete expression.
fn row_end(tokens: &[TokenWithSpan], start: usize) -> usize {
    let (mut depth, mut cases, mut interval) = (0usize, 0usize, false);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return at,
            Token::RParen => depth -= 1,
            Token::Comma | Token::SemiColon | Token::VerticalBarRightAngleBracket if depth == 0 => return at,
            Token::Word(word) if depth == 0 => {
                match keyword(&token.token) {
                    Keyword::CASE => cases += 1,
                    Keyword::END => cases = cases.saturating_sub(1),
                    Keyword::INTERVAL => interval = true,
                    _ => {}
                }
                let operator = matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::IN
                        | Keyword::LIKE
                        | Keyword::ILIKE
                        | Keyword::RLIKE
                        | Keyword::BETWEEN
                        | Keyword::DIV
                        | Keyword::NULL
                        | Keyword::TRUE
                        | Keyword::FALSE
                        | Keyword::END
                );
                let complete = at > start
                    && match &tokens[at - 1].token {
                        Token::Word(before) => matches!(
                            before.keyword,
                            Keyword::NULL | Keyword::TRUE | Keyword::FALSE | Keyword::END | Keyword::NoKeyword
                        ),
                        Token::Number(..) | Token::SingleQuotedString(_) => !interval,
                        Token::RParen | Token::HexStringLiteral(_) | Token::Placeholder(_) => true,
                        _ => false,
                    };
                if complete && cases == 0 && !operator {
                    return at;
                }
                if interval && matches!(word.keyword, Keyword::AS | Keyword::ORDER | Keyword::LIMIT | Keyword::UNION) {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::lexer::tokenize;

    fn text(sql: &str) -> String {
        let tokens = rewrite(tokenize(sql).unwrap());
        tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn bare_rows_get_parentheses() {
        assert_eq!(text("VALUES 1, 2"), "VALUES ( 1 ) , ( 2 )");
        assert_eq!(text("VALUES (1, 2), 3 v"), "VALUES ( 1 , 2 ) , ( 3 ) v");
        assert_eq!(text("SELECT * FROM VALUES 1 + 1 AS t(a)"), "SELECT * FROM VALUES ( 1 + 1 ) AS t ( a )");
        assert_eq!(text("VALUES (1) + 2 ORDER BY 1"), "VALUES ( ( 1 ) + 2 ) ORDER BY 1");
        assert_eq!(text("VALUES DATE '2020-01-01', NULL"), "VALUES ( DATE '2020-01-01' ) , ( NULL )");
        assert_eq!(text("VALUES INTERVAL 1 DAY, INTERVAL '1' DAY"), "VALUES ( INTERVAL 1 DAY ) , ( INTERVAL '1' DAY )");
        assert_eq!(text("VALUES CASE WHEN true THEN 1 END LIMIT 1"), "VALUES ( CASE WHEN true THEN 1 END ) LIMIT 1");
    }

    #[test]
    fn table_is_a_query_where_one_may_start() {
        assert_eq!(text("TABLE t ORDER BY a"), "SELECT * FROM t ORDER BY a");
        assert_eq!(text("SELECT 1 UNION ALL TABLE t"), "SELECT 1 UNION ALL SELECT * FROM t");
        assert_eq!(text("CREATE TABLE t (a INT)"), "CREATE TABLE t ( a INT )");
        assert_eq!(text("DROP TABLE t"), "DROP TABLE t");
        assert_eq!(text("INSERT INTO TABLE t SELECT 1"), "INSERT INTO TABLE t SELECT 1");
        assert_eq!(text("DESCRIBE TABLE t"), "DESCRIBE TABLE t");
    }
}
