//! Scopes: the columns that names may mean, and how a name is looked up.

use std::cell::RefCell;
use std::sync::Arc;

use firesteel_catalog::catalog::edit_distance;
use firesteel_common::{Error, Result, Span};
use firesteel_expr::{ColumnRef, Expr, NamedAggregate};
use sqlparser::ast::Ident;

use crate::binder::{Binder, Ctes, idents_span};

/// A column that a name may mean.
#[derive(Clone, Debug)]
pub(crate) struct ScopeColumn {
    /// Parts of the relation's name: an alias, or catalog, schema and table.
    pub(crate) qualifier: Arc<[String]>,
    /// Name.
    pub(crate) name: Arc<str>,
    /// What it is.
    pub(crate) column: ColumnRef,
    /// Found only with its qualifier, and not by `*`: the columns that USING has merged.
    pub(crate) hidden: bool,
}

/// The columns of a FROM clause.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<ScopeColumn>,
}

/// A scope, what is around it, and the CTEs that queries in it may name.
#[derive(Clone)]
pub(crate) struct Env<'e, 'a> {
    pub(crate) scope: &'e Scope,
    pub(crate) ctes: Ctes<'a>,
    pub(crate) outer: Option<&'e Env<'e, 'a>>,
    /// Where a subquery of the clause at hand leaves aggregates over this query's rows, if the clause may have any:
    /// `HAVING EXISTS (SELECT 1 FROM u WHERE u.b < sum(t.b))`.
    pub(crate) aggregates: Option<&'e RefCell<Vec<NamedAggregate>>>,
}

impl<'e, 'a> Env<'e, 'a> {
    /// An environment of a clause without aggregates.
    pub(crate) fn new(scope: &'e Scope, ctes: Ctes<'a>, outer: Option<&'e Env<'e, 'a>>) -> Self {
        Self { scope, ctes, outer, aggregates: None }
    }

    /// How many environments there are from `env` outwards.
    pub(crate) fn depth(env: Option<&Env<'_, 'a>>) -> usize {
        std::iter::successors(env, |env| env.outer).count()
    }
}

impl Scope {
    /// The columns of one relation.
    pub(crate) fn of(qualifier: Vec<String>, columns: Vec<(Arc<str>, ColumnRef)>) -> Self {
        let qualifier: Arc<[String]> = qualifier.into();
        let columns = columns
            .into_iter()
            .map(|(name, column)| ScopeColumn { qualifier: qualifier.clone(), name, column, hidden: false })
            .collect();
        Self { columns }
    }

    /// The columns of `*`.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &ScopeColumn> {
        self.columns.iter().filter(|column| !column.hidden)
    }

    /// Takes over types and nullability from a plan's output, which joins may have changed.
    pub(crate) fn refresh(&mut self, output: &[ColumnRef]) {
        for column in &mut self.columns {
            if let Some(now) = output.iter().find(|now| now.id == column.column.id) {
                column.column = now.clone();
            }
        }
    }
}

impl Binder<'_> {
    /// The columns of a scope that a dotted name may mean.
    pub(crate) fn candidates(&self, parts: &[Ident], scope: &Scope) -> Vec<ScopeColumn> {
        let Some((name, qualifier)) = parts.split_last() else { return Vec::new() };
        let mut found: Vec<ScopeColumn> = Vec::new();
        for column in &scope.columns {
            let matches = self.same_name(&column.name, &name.value)
                && (!column.hidden || !qualifier.is_empty())
                && self.qualifier_matches(&column.qualifier, qualifier);
            if matches && !found.iter().any(|other| other.column.id == column.column.id) {
                found.push(column.clone());
            }
        }
        found
    }

    /// Whether `written` is the end of a relation's full name.
    pub(crate) fn qualifier_matches(&self, full: &[String], written: &[Ident]) -> bool {
        written.len() <= full.len()
            && full[full.len() - written.len()..].iter().zip(written).all(|(a, b)| self.same_name(a, &b.value))
    }

    /// What a dotted name means in one scope, if anything.
    ///
    /// Errors: `AMBIGUOUS_REFERENCE`.
    pub(crate) fn lookup(&self, parts: &[Ident], scope: &Scope) -> Result<Option<Expr>> {
        let found = self.candidates(parts, scope);
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Expr::Column(one.column.clone()))),
            several => {
                let names: Vec<String> = several.iter().map(full_name).collect();
                let message = format!("Reference {} is ambiguous, could be: [{}].", dotted(parts), names.join(", "));
                Err(Error::bind("AMBIGUOUS_REFERENCE", "42704", message).at(idents_span(parts)))
            }
        }
    }

    /// The error for a name that means nothing.
    pub(crate) fn unresolved(&self, parts: &[Ident], scope: &Scope) -> Error {
        unresolved_column(&dotted(parts), parts.last().map_or("", |p| &p.value), scope, idents_span(parts))
    }
}

/// `UNRESOLVED_COLUMN`, with the nearest names.
pub(crate) fn unresolved_column(shown: &str, name: &str, scope: &Scope, span: Span) -> Error {
    let lower = name.to_lowercase();
    let mut near: Vec<(usize, String)> = Vec::new();
    let first = scope.columns.first().map(|c| c.qualifier.clone());
    let one_relation = scope.columns.iter().all(|c| Some(&c.qualifier) == first.as_ref());
    for column in scope.visible() {
        let text = if one_relation { format!("`{}`", column.name) } else { full_name(column) };
        near.push((edit_distance(&lower, &column.name.to_lowercase()), text));
    }
    near.sort();
    let message = format!("A column, variable, or function parameter with name {shown} cannot be resolved.");
    if near.is_empty() {
        return Error::bind("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", message).at(span);
    }
    let names: Vec<String> = near.into_iter().take(5).map(|(_, text)| text).collect();
    let message = format!("{message} Did you mean one of the following? [{}].", names.join(", "));
    Error::bind("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", message).at(span)
}

fn full_name(column: &ScopeColumn) -> String {
    let parts: Vec<String> =
        column.qualifier.iter().map(String::as_str).chain([&*column.name]).map(|part| format!("`{part}`")).collect();
    parts.join(".")
}

/// A dotted name in backquotes.
pub(crate) fn dotted(parts: &[Ident]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("`{}`", part.value)).collect();
    parts.join(".")
}
