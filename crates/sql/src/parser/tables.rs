//! The relations that a statement refers to; and the query that reads all of one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use firesteel_catalog::TableName;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    GroupByExpr, ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr, TableFactor, TableWithJoins, Visit,
    Visitor, WildcardAdditionalOptions,
};

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

/// `SELECT * FROM name`.
pub(super) fn table_query(name: ObjectName) -> Query {
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
    let star = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    query_of(SetExpr::Select(Box::new(select_from(vec![TableWithJoins { relation, joins: Vec::new() }], star))))
}

/// A SELECT of two clauses.
pub(super) fn select_from(from: Vec<TableWithJoins>, projection: Vec<SelectItem>) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// A query that is nothing but its body.
pub(super) fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
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
