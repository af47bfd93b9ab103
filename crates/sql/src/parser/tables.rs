//! The relations that a statement refers to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use firesteel_catalog::TableName;
use sqlparser::ast::{ObjectName, Query, Visit, Visitor};

use crate::parser::statement::{StatementAst, table_name};

#[derive(Default)]
struct Collector {
    names: Vec<TableName>,
    ctes: BTreeSet<String>,
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(cte.alias.name.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = table_name(relation);
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        ControlFlow::Continue(())
    }
}

/// Every relation name, each once, without those that are CTEs of the statement.
pub(crate) fn tables_of(ast: &StatementAst) -> Vec<TableName> {
    let mut collector = Collector::default();
    collect(ast, &mut collector);
    let Collector { mut names, ctes } = collector;
    names.retain(|name| !matches!(name.0.as_slice(), [one] if ctes.contains(&one.to_lowercase())));
    names
}

/// Every relation name of a query, its CTEs included.
pub(crate) fn relation_names(query: &Query) -> Vec<TableName> {
    let mut collector = Collector::default();
    let _ = query.visit(&mut collector);
    collector.names
}

fn collect(ast: &StatementAst, collector: &mut Collector) {
    let mut target = None;
    let query = match ast {
        StatementAst::Query(query)
        | StatementAst::DescribeQuery(query)
        | StatementAst::CreateView { query, .. }
        | StatementAst::Copy { query, .. } => Some(query),
        StatementAst::Insert { query, table, .. } => {
            target = Some(table);
            Some(query)
        }
        StatementAst::CreateTable(table) => table.query.as_ref(),
        StatementAst::ShowColumns { table, .. } | StatementAst::Describe { table, .. } => {
            target = Some(table);
            None
        }
        StatementAst::Explain { inner, .. } => return collect(inner, collector),
        _ => None,
    };
    if let Some(query) = query {
        let _ = query.visit(collector);
    }
    if let Some(target) = target
        && !collector.names.contains(target)
    {
        collector.names.push(target.clone());
    }
}
