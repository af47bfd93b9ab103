//! Hints in comments, `/*+ BROADCAST(a, b), REPARTITION(3, c) */`: what they ask of joins and of the result.
//!
//! A join hint names relations of the FROM clause that it belongs to, by alias or by the end of their names;
//! without names it is about the result of the SELECT. Names and hints that mean nothing are warned of and
//! ignored, as in Spark. Hints on partitions take effect above the select list and below ORDER BY, the
//! first one outermost.

use std::cell::Cell;

use firesteel_common::{Error, Result};
use firesteel_expr::{Expr, SortKey};
use firesteel_plan::{JoinStrategy, LogicalOp, LogicalPlan, RepartitionKind};
use sqlparser::ast::{Ident, Select};

use crate::binder::{Binder, Scope};

/// A hint as it is written: its name in upper case, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    name: String,
    args: Vec<String>,
}

/// A relation that a join hint names.
#[derive(Debug)]
pub(crate) struct RelationHint {
    strategy: JoinStrategy,
    /// The name in its parts.
    relation: Vec<Ident>,
    /// The hint as a whole, for the warning that there is no such relation.
    text: String,
    found: Cell<bool>,
}

/// The hints of a SELECT, first to last. Warns of those that do not exist.
pub(super) fn hints_of(select: &Select) -> Vec<Hint> {
    let all = select.optimizer_hints.iter().flat_map(|hint| parse(&hint.text));
    all.filter_map(|(name, args)| Hint::new(&name, &args)).collect()
}

fn is_partitioning(name: &str) -> bool {
    matches!(name, "COALESCE" | "REPARTITION" | "REPARTITION_BY_RANGE" | "REBALANCE")
}

impl Hint {
    /// A hint of this name; `None`, and a warning, if there is none.
    pub(crate) fn new(name: &str, args: &[String]) -> Option<Self> {
        let hint = Self { name: name.to_uppercase(), args: args.to_vec() };
        let known = hint.strategy().is_some() || is_partitioning(&hint.name);
        if !known {
            tracing::warn!("Unrecognized hint: {}", hint.text());
        }
        known.then_some(hint)
    }

    pub(crate) fn text(&self) -> String {
        if self.args.is_empty() { self.name.clone() } else { format!("{}({})", self.name, self.args.join(", ")) }
    }

    /// The strategy, if it is about a join.
    pub(crate) fn strategy(&self) -> Option<JoinStrategy> {
        JoinStrategy::of_hint(&self.name)
    }

    fn relations(&self) -> impl Iterator<Item = RelationHint> {
        self.strategy().into_iter().flat_map(move |strategy| {
            self.args.iter().map(move |arg| RelationHint {
                strategy,
                relation: arg.split('.').map(|part| Ident::new(part.trim_matches('`'))).collect(),
                text: self.text(),
                found: Cell::new(false),
            })
        })
    }
}

impl Binder<'_> {
    /// Binds a FROM clause whose relations the join hints may name.
    pub(super) fn with_hints<T>(&self, hints: &[Hint], bind: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = hints.iter().flat_map(Hint::relations).collect();
        let around = self.hints.replace(own);
        let bound = bind();
        for hint in self.hints.replace(around).iter().filter(|hint| !hint.found.get()) {
            let name: Vec<&str> = hint.relation.iter().map(|part| part.value.as_str()).collect();
            tracing::warn!("Could not find relation '{}' specified in hint '{}'.", name.join("."), hint.text);
        }
        bound
    }

    /// A relation of the FROM clause at hand, below the hints that name it, the first one on top.
    pub(super) fn hinted(&self, mut plan: LogicalPlan, scope: &Scope) -> LogicalPlan {
        let Some(first) = scope.columns.first() else { return plan };
        for hint in self.hints.borrow().iter().rev() {
            if !first.qualifier.is_empty() && self.qualifier_matches(&first.qualifier, &hint.relation) {
                hint.found.set(true);
                plan = self.unary(LogicalOp::Hint { strategy: hint.strategy }, plan);
            }
        }
        plan
    }

    /// The node that a hint without relations puts above a plan; `resolve` finds columns.
    ///
    /// Errors: arguments that the hint does not take, and those of `resolve`.
    pub(crate) fn hint_op(&self, hint: &Hint, resolve: &dyn Fn(&[Ident]) -> Result<Expr>) -> Result<Option<LogicalOp>> {
        if let Some(strategy) = hint.strategy() {
            return Ok(hint.args.is_empty().then_some(LogicalOp::Hint { strategy }));
        }
        let invalid = |message: String| Error::bind("INVALID_PARAMETER_VALUE", "22023", message);
        let (mut partitions, mut names) = (None, hint.args.as_slice());
        if let Some((first, rest)) = hint.args.split_first()
            && let Ok(number) = first.parse::<u32>()
        {
            if number == 0 {
                return Err(invalid("Number of partitions (0) must be positive.".to_owned()));
            }
            (partitions, names) = (Some(number), rest);
        }
        if hint.name == "COALESCE" {
            return match (partitions, names) {
                (Some(_), []) => Ok(Some(LogicalOp::Repartition { kind: RepartitionKind::Coalesce, partitions })),
                _ => Err(invalid("COALESCE Hint expects a partition number as a parameter.".to_owned())),
            };
        }
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            if !name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '`') {
                return Err(invalid(format!(
                    "{} Hint parameters should include an optional integral partitionNum and/or columns, but \
                     \"{name}\" can not be recognized as either partitionNum or columns.",
                    hint.name
                )));
            }
            let parts: Vec<Ident> = name.split('.').map(|part| Ident::new(part.trim_matches('`'))).collect();
            keys.push(resolve(&parts)?);
        }
        let kind = match hint.name.as_str() {
            "REBALANCE" => RepartitionKind::Rebalance(keys),
            _ if keys.is_empty() && partitions.is_none() => RepartitionKind::Rebalance(keys),
            _ if keys.is_empty() => RepartitionKind::RoundRobin,
            "REPARTITION_BY_RANGE" => {
                let key = |expr| SortKey { expr, ascending: true, nulls_first: true };
                RepartitionKind::Range(keys.into_iter().map(key).collect())
            }
            _ => RepartitionKind::Hash(keys),
        };
        Ok(Some(LogicalOp::Repartition { kind, partitions }))
    }
}

/// Names and arguments of the hints in a comment.
fn parse(text: &str) -> Vec<(String, Vec<String>)> {
    let mut hints = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = rest[end..].trim_start();
        let mut args = Vec::new();
        if let Some(inner) = rest.strip_prefix('(') {
            let close = inner.find(')').unwrap_or(inner.len());
            args = inner[..close].split(',').map(|arg| arg.trim().to_owned()).collect();
            args.retain(|arg: &String| !arg.is_empty());
            rest = inner.get(close + 1..).unwrap_or_default();
        }
        hints.push((name, args));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read() {
        let hint = |name: &str, args: &[&str]| (name.to_owned(), args.iter().map(|arg| (*arg).to_owned()).collect());
        assert_eq!(
            parse(" BROADCAST(a, b), repartition(3, `c`) x"),
            [hint("BROADCAST", &["a", "b"]), hint("repartition", &["3", "`c`"]), hint("x", &[])]
        );
    }
}
