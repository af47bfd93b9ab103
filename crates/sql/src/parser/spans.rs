//! Places of expressions in the text, as Spark's carets show them.
//!
//! The tree's own spans leave out keywords and closing parentheses (`CAST(x AS INT)` has the span of
//! `x`), so they are widened with the help of the tokens.

use firesteel_common::Span;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::parser::lexer::span_of;

/// A pair of parentheses.
#[derive(Clone, Copy, Debug)]
struct Parens {
    span: Span,
    parent: Option<usize>,
    /// Position of the opening token.
    token: usize,
}

/// Where the tokens of a statement are and which parentheses enclose them.
#[derive(Debug, Default)]
pub(crate) struct SpanMap {
    /// Span, upper-case text of words, and innermost enclosing parentheses of each token.
    tokens: Vec<(Span, Option<String>, Option<usize>)>,
    parens: Vec<Parens>,
}

impl SpanMap {
    /// The map of a statement's tokens.
    pub(crate) fn new(tokens: &[TokenWithSpan]) -> Self {
        let mut map = SpanMap::default();
        let mut open: Vec<usize> = Vec::new();
        for token in tokens {
            let span = span_of(token.span);
            let word = match &token.token {
                Token::Whitespace(_) => continue,
                Token::Word(word) => Some(word.value.to_uppercase()),
                _ => None,
            };
            let index = map.tokens.len();
            match token.token {
                Token::LParen => {
                    let parent = open.last().copied();
                    open.push(map.parens.len());
                    map.parens.push(Parens { span, parent, token: index });
                }
                Token::RParen => {
                    if let Some(closed) = open.pop() {
                        map.parens[closed].span = map.parens[closed].span.union(span);
                    }
                }
                _ => {}
            }
            map.tokens.push((span, word, open.last().copied()));
        }
        map
    }

    /// Position of the token that starts at `offset`.
    fn token_at(&self, offset: u32) -> Option<usize> {
        self.tokens.binary_search_by_key(&offset, |(span, _, _)| span.start).ok()
    }

    /// The innermost parentheses around `inner`, which starts at a token, that follow one of `words`
    /// (any, if there are none).
    fn enclosing(&self, inner: Span, words: &[&str]) -> Option<Parens> {
        let mut at = self.tokens[self.token_at(inner.start)?].2;
        while let Some(index) = at {
            let parens = self.parens[index];
            let covers = parens.span.start < inner.start && parens.span.end >= inner.end;
            let word = parens.token.checked_sub(1).and_then(|before| self.tokens[before].1.as_deref());
            if covers && (words.is_empty() || word.is_some_and(|word| words.contains(&word))) {
                return Some(parens);
            }
            at = parens.parent;
        }
        None
    }

    /// The parentheses around an expression that the tree has as nested.
    pub(crate) fn nested(&self, inner: Span) -> Span {
        self.enclosing(inner, &[]).map_or(inner, |parens| parens.span)
    }

    /// From a keyword such as CAST to its closing parenthesis, given the span of something inside.
    pub(crate) fn keyword_call(&self, inner: Span, words: &[&str]) -> Span {
        match self.enclosing(inner, words) {
            Some(parens) => self.tokens[parens.token - 1].0.union(parens.span),
            None => inner,
        }
    }

    /// From a function's name to the closing parenthesis.
    pub(crate) fn call(&self, name: Span) -> Span {
        let last = self.tokens.partition_point(|(span, _, _)| span.start < name.end);
        let opening = self.parens.binary_search_by_key(&last, |parens| parens.token);
        opening.map_or(name, |index| name.union(self.parens[index].span))
    }

    /// `span` widened to the token before it, for a prefix operator.
    pub(crate) fn with_previous(&self, span: Span) -> Span {
        match self.token_at(span.start).and_then(|index| index.checked_sub(1)) {
            Some(before) => self.tokens[before].0.union(span),
            None => span,
        }
    }
}
