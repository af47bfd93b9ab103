//! EXPLAIN text of plans, in the shape and with the names that Spark uses.
//!
//! A plan becomes a tree of [`Entry`], one per line; the simple form draws the tree, the formatted one
//! numbers the lines and lists their details beneath. What differs between runs of the same plan
//! (metrics) comes in through [`DisplayOptions`], since plans are data without run-time state.

use std::fmt::{self, Display, Write};

use firesteel_common::NodeId;
use firesteel_expr::{ColumnRef, Expr};

use crate::logical::{JoinKind, LogicalOp, LogicalPlan, RepartitionKind, SetOperation};
use crate::physical::{
    AggregateMode, BuildMode, Distribution, Exchange, ExchangeForm, ExchangeOrigin, HashAggregate, HashJoin,
    PhysicalOp, PhysicalPlan, ReadMode, Side,
};
use crate::stage::{Stage, TaskLayout};

/// What is shown besides the plan.
#[derive(Clone, Copy, Default)]
pub struct DisplayOptions<'a> {
    /// Estimated rows of each physical node.
    pub estimates: bool,
    /// Text to show behind a node, such as what was measured of it.
    pub metrics: Option<&'a dyn Fn(NodeId) -> Option<String>>,
    /// How a read of an exchange was changed: `coalesced`, `skewed`.
    pub reads: Option<&'a dyn Fn(NodeId) -> Option<String>>,
}

impl fmt::Debug for DisplayOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DisplayOptions").field("estimates", &self.estimates).finish_non_exhaustive()
    }
}

/// A line of a plan.
#[derive(Debug, Default)]
struct Entry {
    /// The physical node, where the line stands for one.
    node: Option<NodeId>,
    /// Name of the operator.
    name: String,
    /// What follows the name in the simple form.
    arguments: String,
    /// What follows in both forms.
    suffix: String,
    /// Lines of the formatted form.
    details: Vec<(String, String)>,
    children: Vec<Entry>,
}

/// A physical plan as a tree, without options.
pub fn physical_text(plan: &PhysicalPlan) -> String {
    physical_text_with(plan, &DisplayOptions::default())
}

/// A physical plan as a tree.
pub fn physical_text_with(plan: &PhysicalPlan, options: &DisplayOptions<'_>) -> String {
    draw(&physical_entry(plan, None, options))
}

/// The lines of a physical plan as a tree, with the node that each is about.
pub fn physical_lines(plan: &PhysicalPlan, options: &DisplayOptions<'_>) -> Vec<(Option<NodeId>, String)> {
    let mut lines = Vec::new();
    draw_at(&physical_entry(plan, None, options), "", "", &mut |entry, tree| {
        lines.push((entry.node, format!("{tree}{}{}{}", entry.name, entry.arguments, entry.suffix)));
    });
    lines
}

/// A physical plan as a numbered tree with the details of each node beneath: EXPLAIN FORMATTED.
pub fn physical_formatted(plan: &PhysicalPlan, options: &DisplayOptions<'_>) -> String {
    formatted(physical_entry(plan, None, options))
}

/// A logical plan as a tree, without options.
pub fn logical_text(plan: &LogicalPlan) -> String {
    logical_text_with(plan, &DisplayOptions::default())
}

/// A logical plan as a tree; metrics are asked for by logical node.
pub fn logical_text_with(plan: &LogicalPlan, options: &DisplayOptions<'_>) -> String {
    draw(&logical_entry(plan, options))
}

/// A stage: how it is divided, where its rows go, and its plan.
pub fn stage_text(stage: &Stage) -> String {
    let tasks = match &stage.tasks {
        TaskLayout::Elastic { tasks } => format!("{tasks} elastic tasks"),
        TaskLayout::PerInput(inputs) => format!("{} tasks by partition", inputs.len()),
    };
    let output = match stage.output.distribution {
        Distribution::Any => "result".to_owned(),
        _ => match exchange_arguments(&stage.output) {
            (name, arguments) if arguments.is_empty() => name.to_owned(),
            (_, arguments) => arguments,
        },
    };
    format!("Stage {}: {tasks} -> {output}\n{}", stage.id, under(&physical_text(&stage.plan)))
}

/// The text of a tree, moved beneath a header line.
pub fn under(text: &str) -> String {
    let mut out = String::new();
    for (i, line) in text.lines().enumerate() {
        out.push_str(if i == 0 { "+- " } else { "   " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn draw(root: &Entry) -> String {
    let mut out = String::new();
    draw_at(root, "", "", &mut |entry, tree| {
        let _ = writeln!(out, "{tree}{}{}{}", entry.name, entry.arguments, entry.suffix);
    });
    out
}

/// Gives `line` an entry with the tree before it, which is `first`, then those below it, after `rest`.
fn draw_at<'a>(entry: &'a Entry, first: &str, rest: &str, line: &mut dyn FnMut(&'a Entry, &str)) {
    line(entry, first);
    let last = entry.children.len().saturating_sub(1);
    for (i, child) in entry.children.iter().enumerate() {
        let (branch, below) = if i == last { ("+- ", "   ") } else { (":- ", ":  ") };
        draw_at(child, &format!("{rest}{branch}"), &format!("{rest}{below}"), line);
    }
}

fn formatted(mut root: Entry) -> String {
    let mut details = String::new();
    let mut next = 1;
    number(&mut root, &mut next, &mut details);
    let mut out = String::new();
    draw_at(&root, "", "", &mut |entry, tree| {
        let _ = writeln!(out, "{tree}{}{}", entry.name, entry.suffix);
    });
    out.push_str(&details);
    out
}

/// Numbers the entries, inputs first.
fn number(entry: &mut Entry, next: &mut usize, details: &mut String) {
    entry.children.iter_mut().for_each(|child| number(child, next, details));
    let _ = write!(details, "\n\n({next}) {}\n", entry.name);
    for (name, value) in &entry.details {
        let _ = writeln!(details, "{name}: {value}");
    }
    entry.name = format!("{} ({next})", entry.name);
    *next += 1;
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn named(column: &ColumnRef, expr: &Expr) -> String {
    match expr {
        Expr::Column(source) if source.id == column.id => column.to_string(),
        expr => format!("{expr} AS {column}"),
    }
}

fn kind_name(kind: &JoinKind) -> String {
    match kind {
        JoinKind::Inner => "Inner".to_owned(),
        JoinKind::Left => "LeftOuter".to_owned(),
        JoinKind::Right => "RightOuter".to_owned(),
        JoinKind::Full => "FullOuter".to_owned(),
        JoinKind::LeftSemi => "LeftSemi".to_owned(),
        JoinKind::LeftAnti => "LeftAnti".to_owned(),
        JoinKind::LeftSingle(_) => "LeftSingle".to_owned(),
        JoinKind::Mark(mark) => format!("ExistenceJoin({mark})"),
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Left => "BuildLeft",
        Side::Right => "BuildRight",
    }
}

fn limit_text(skip: u64, fetch: Option<u64>) -> (&'static str, String) {
    match (skip, fetch) {
        (0, Some(fetch)) => ("GlobalLimit", format!(" {fetch}")),
        (skip, Some(fetch)) => ("GlobalLimit", format!(" {fetch}, {skip}")),
        (skip, None) => ("Offset", format!(" {skip}")),
    }
}

// ---- physical

fn physical_entry(plan: &PhysicalPlan, parent: Option<&PhysicalOp>, options: &DisplayOptions<'_>) -> Entry {
    // The result is not an exchange for the reader of a plan.
    if let PhysicalOp::Exchange(Exchange { distribution: Distribution::Any, .. }) = plan.op
        && let Some(input) = plan.inputs.first()
    {
        return physical_entry(input, None, options);
    }
    let children: Vec<Entry> = plan.inputs.iter().map(|input| physical_entry(input, Some(&plan.op), options)).collect();
    if let PhysicalOp::ExchangeRead { read, .. } = plan.op {
        return read_entry(plan, read, children, options);
    }
    let (name, arguments) = physical_line(plan, parent);
    let mut entry = Entry { node: Some(plan.id), name, arguments, children, ..Entry::default() };
    entry.suffix = suffix(plan, options);
    entry.details = physical_details(plan, entry.arguments.trim());
    entry
}

fn suffix(plan: &PhysicalPlan, options: &DisplayOptions<'_>) -> String {
    let mut out = String::new();
    if options.estimates {
        let sign = if plan.estimate.exact { "=" } else { "≈" };
        let _ = write!(out, " (rows{sign}{:.0})", plan.estimate.rows);
    }
    if let Some(text) = options.metrics.and_then(|metrics| metrics(plan.id)) {
        let _ = write!(out, " {text}");
    }
    out
}

/// The read of a started exchange: what AQE did to it, and the stage.
fn read_entry(plan: &PhysicalPlan, read: ReadMode, children: Vec<Entry>, options: &DisplayOptions<'_>) -> Entry {
    let PhysicalOp::ExchangeRead { exchange, .. } = plan.op else { return Entry::default() };
    let name = match read {
        ReadMode::Shared => "BroadcastQueryStage",
        ReadMode::Partitioned | ReadMode::Elastic => "ShuffleQueryStage",
    };
    let output = (format!("Output [{}]", plan.output.len()), list(&plan.output));
    let children = reused(plan).map_or(children, |entry| vec![entry]);
    let stage = Entry {
        node: Some(plan.id),
        name: name.to_owned(),
        arguments: format!(" {exchange}"),
        suffix: suffix(plan, options),
        details: vec![output.clone(), ("Arguments".to_owned(), exchange.to_string())],
        children,
    };
    let written_by_hash = plan.inputs.first().is_some_and(|input| match &input.op {
        PhysicalOp::Exchange(exchange) => exchange.distribution.partitions() > 1,
        _ => false,
    });
    let label = match options.reads.and_then(|reads| reads(plan.id)) {
        Some(label) => label,
        None if read == ReadMode::Elastic && written_by_hash => "local".to_owned(),
        None => return stage,
    };
    Entry {
        node: None,
        name: "AQEShuffleRead".to_owned(),
        arguments: format!(" {label}"),
        suffix: String::new(),
        details: vec![output, ("Arguments".to_owned(), label)],
        children: vec![stage],
    }
}

/// Stands for the plan of an exchange that was made for another reader, and is shown there.
fn reused(read: &PhysicalPlan) -> Option<Entry> {
    let written = read.inputs.first()?;
    let PhysicalOp::Exchange(exchange) = &written.op else { return None };
    if written.output == read.output {
        return None;
    }
    let (name, text) = exchange_arguments(exchange);
    let text = if text.is_empty() { text } else { format!(" {text}") };
    let arguments = format!(" {}, {name}{text}", list(&read.output));
    let details = vec![(format!("Output [{}]", read.output.len()), list(&read.output))];
    Some(Entry { name: "ReusedExchange".to_owned(), arguments, details, ..Entry::default() })
}

fn physical_line(plan: &PhysicalPlan, parent: Option<&PhysicalOp>) -> (String, String) {
    let line = |name: &str, arguments: String| (name.to_owned(), arguments);
    match &plan.op {
        PhysicalOp::Scan { table, request } => {
            let mut text = format!(" {}{}", table.name, list(&plan.output));
            let mut parts = Vec::new();
            if !request.filters.is_empty() {
                parts.push(format!("DataFilters: {}", list(&request.filters)));
            }
            if !request.runtime_filters.is_empty() {
                let filters = request.runtime_filters.iter().filter_map(|(id, i)| {
                    request.filter_columns.get(*i).map(|(column, _)| format!("runtimefilter#{id}({column})"))
                });
                parts.push(format!("RuntimeFilters: {}", list(filters)));
            }
            if let Some(limit) = request.limit {
                parts.push(format!("Limit: {limit}"));
            }
            if !parts.is_empty() {
                let _ = write!(text, " {}", parts.join(", "));
            }
            line("Scan", text)
        }
        PhysicalOp::Values { rows } if rows.is_empty() => {
            line("LocalTableScan", format!(" <empty>, {}", list(&plan.output)))
        }
        PhysicalOp::Values { .. } if plan.output.is_empty() => line("Scan OneRowRelation[]", String::new()),
        PhysicalOp::Values { .. } => line("LocalTableScan", format!(" {}", list(&plan.output))),
        PhysicalOp::Filter { predicate } => line("Filter", format!(" {predicate}")),
        PhysicalOp::Project { exprs } => {
            let items = plan.output.iter().zip(exprs).map(|(column, expr)| named(column, expr));
            line("Project", format!(" {}", list(items)))
        }
        PhysicalOp::Expand { projections } => {
            let rows = list(projections.iter().map(list));
            line("Expand", format!(" {rows}, {}", list(&plan.output)))
        }
        PhysicalOp::HashAggregate(aggregate) => line("HashAggregate", aggregate_arguments(aggregate)),
        PhysicalOp::HashJoin(join) => hash_join_line(join),
        PhysicalOp::NestedLoopJoin { kind, condition, build } => {
            let condition = condition.as_ref().map(|c| format!(", {c}")).unwrap_or_default();
            line("BroadcastNestedLoopJoin", format!(" {}, {}{condition}", side_name(*build), kind_name(kind)))
        }
        PhysicalOp::Sort { keys } => line("Sort", format!(" {}, true, 0", list(keys))),
        PhysicalOp::TopK { keys, limit } => {
            let text = format!("(limit={limit}, orderBy={}, output={})", list(keys), list(&plan.output));
            line("TakeOrderedAndProject", text)
        }
        PhysicalOp::Limit { skip, fetch } => {
            let (name, arguments) = limit_text(*skip, *fetch);
            let name = if matches!(parent, Some(PhysicalOp::Exchange(_))) { "LocalLimit" } else { name };
            line(name, arguments)
        }
        PhysicalOp::Window { partition_by, order_by, calls } => {
            line("Window", format!(" {}, {}, {}", list(calls), list(partition_by), list(order_by)))
        }
        PhysicalOp::Coalesce { tasks } => line("Coalesce", format!(" {tasks}")),
        PhysicalOp::Union => line("Union", String::new()),
        PhysicalOp::Exchange(exchange) => {
            let (name, arguments) = exchange_arguments(exchange);
            line(name, if arguments.is_empty() { arguments } else { format!(" {arguments}") })
        }
        PhysicalOp::ExchangeRead { exchange, .. } => line("ShuffleQueryStage", format!(" {exchange}")),
    }
}

fn aggregate_arguments(aggregate: &HashAggregate) -> String {
    let prefix = match aggregate.mode {
        AggregateMode::Partial => "partial_",
        AggregateMode::Final | AggregateMode::Complete => "",
    };
    let functions = list(aggregate.aggregates.iter().map(|call| format!("{prefix}{call}")));
    format!("(keys={}, functions={functions})", list(&aggregate.keys))
}

fn hash_join_line(join: &HashJoin) -> (String, String) {
    let name = match join.mode {
        BuildMode::Shared => "BroadcastHashJoin",
        BuildMode::Partitioned => "ShuffledHashJoin",
    };
    let left = list(join.on.iter().map(|key| &key.left));
    let right = list(join.on.iter().map(|key| &key.right));
    let mut text = format!(" {left}, {right}, {}, {}", kind_name(&join.kind), side_name(join.build));
    if let Some(residual) = &join.residual {
        let _ = write!(text, ", {residual}");
    }
    if join.null_aware {
        text.push_str(", null aware");
    }
    if let Some(hint) = join.hint {
        let _ = write!(text, ", hint={}", hint.name());
    }
    if !join.filters.is_empty() {
        let filters = list(join.filters.iter().map(|(id, _)| format!("runtimefilter#{id}")));
        let _ = write!(text, ", publishes {filters}");
    }
    (name.to_owned(), text)
}

/// Name and arguments of an exchange.
fn exchange_arguments(exchange: &Exchange) -> (&'static str, String) {
    let (name, mut text) = match &exchange.distribution {
        Distribution::Single => ("Exchange", "SinglePartition".to_owned()),
        Distribution::Broadcast => ("BroadcastExchange", String::new()),
        Distribution::Hash { keys, partitions } => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            ("Exchange", format!("hashpartitioning({}, {partitions})", keys.join(", ")))
        }
        Distribution::RoundRobin { partitions } => ("Exchange", format!("RoundRobinPartitioning({partitions})")),
        Distribution::Range { keys, partitions } => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            ("Exchange", format!("rangepartitioning({}, {partitions})", keys.join(", ")))
        }
        Distribution::Any => ("Exchange", "any".to_owned()),
    };
    if name == "Exchange" {
        text.push_str(match exchange.origin {
            ExchangeOrigin::Planner => ", ENSURE_REQUIREMENTS",
            ExchangeOrigin::User => ", REPARTITION_BY_NUM",
            ExchangeOrigin::UserColumns => ", REPARTITION_BY_COL",
            ExchangeOrigin::Rebalance => match exchange.distribution {
                Distribution::Hash { .. } => ", REBALANCE_PARTITIONS_BY_COL",
                _ => ", REBALANCE_PARTITIONS_BY_NONE",
            },
        });
    }
    if exchange.form == ExchangeForm::Serialized {
        text.push_str(if text.is_empty() { "serialized" } else { ", serialized" });
    }
    (name, text)
}

fn physical_details(plan: &PhysicalPlan, arguments: &str) -> Vec<(String, String)> {
    let mut details = Vec::new();
    let mut add = |name: String, value: String| details.push((name, value));
    let counted = |name: &str, columns: &[ColumnRef]| (format!("{name} [{}]", columns.len()), list(columns));
    let sides = ["Left input", "Right input"];
    for (i, input) in plan.inputs.iter().enumerate() {
        let name = if plan.inputs.len() == 2 { sides[i] } else { "Input" };
        let (name, value) = counted(name, &input.output);
        add(name, value);
    }
    let (name, value) = counted("Output", &plan.output);
    add(name, value);
    match &plan.op {
        PhysicalOp::HashAggregate(aggregate) => {
            add(format!("Keys [{}]", aggregate.keys.len()), list(&aggregate.keys));
            add(format!("Functions [{}]", aggregate.aggregates.len()), list(&aggregate.aggregates));
            add("Mode".to_owned(), format!("{:?}", aggregate.mode));
        }
        PhysicalOp::HashJoin(join) => {
            add(format!("Left keys [{}]", join.on.len()), list(join.on.iter().map(|key| &key.left)));
            add(format!("Right keys [{}]", join.on.len()), list(join.on.iter().map(|key| &key.right)));
            add("Join type".to_owned(), kind_name(&join.kind));
            add("Build side".to_owned(), side_name(join.build).to_owned());
            let residual = join.residual.as_ref().map_or_else(|| "None".to_owned(), ToString::to_string);
            add("Join condition".to_owned(), residual);
        }
        PhysicalOp::Filter { predicate } => add("Condition".to_owned(), predicate.to_string()),
        _ if !arguments.is_empty() => add("Arguments".to_owned(), arguments.to_owned()),
        _ => {}
    }
    details
}

// ---- logical

fn logical_entry(plan: &LogicalPlan, options: &DisplayOptions<'_>) -> Entry {
    let (name, arguments) = logical_line(plan);
    let suffix = options.metrics.and_then(|metrics| metrics(plan.id)).map(|text| format!(" {text}"));
    let children = plan.inputs.iter().map(|input| logical_entry(input, options)).collect();
    Entry { node: None, name, arguments, suffix: suffix.unwrap_or_default(), details: Vec::new(), children }
}

fn logical_line(plan: &LogicalPlan) -> (String, String) {
    let line = |name: &str, arguments: String| (name.to_owned(), arguments);
    match &plan.op {
        LogicalOp::Scan(scan) => {
            let mut text = format!(" {}{}", scan.table.name, list(&scan.columns));
            if !scan.filters.is_empty() {
                let _ = write!(text, ", filters={}", list(&scan.filters));
            }
            if let Some(limit) = scan.limit {
                let _ = write!(text, ", limit={limit}");
            }
            line("Relation", text)
        }
        LogicalOp::Values { rows, columns } if rows.is_empty() => {
            line("LocalRelation", format!(" <empty>, {}", list(columns)))
        }
        LogicalOp::Values { columns, .. } if columns.is_empty() => line("OneRowRelation", String::new()),
        LogicalOp::Values { columns, .. } => line("LocalRelation", format!(" {}", list(columns))),
        LogicalOp::Filter { predicate } => line("Filter", format!(" {predicate}")),
        LogicalOp::Project { exprs } => {
            line("Project", format!(" {}", list(exprs.iter().map(|(column, expr)| named(column, expr)))))
        }
        LogicalOp::Aggregate { keys, aggregates } => {
            let outputs = keys.iter().map(|(column, _)| column.to_string());
            let calls = aggregates.iter().map(|a| format!("{} AS {}", a.call, a.column));
            let text = format!(" {}, {}", list(keys.iter().map(|(_, expr)| expr)), list(outputs.chain(calls)));
            line("Aggregate", text)
        }
        LogicalOp::Expand { columns, projections } => {
            line("Expand", format!(" {}, {}", list(projections.iter().map(list)), list(columns)))
        }
        LogicalOp::Join { .. } => line("Join", join_arguments(&plan.op)),
        LogicalOp::Hint { strategy } => line("ResolvedHint", format!(" (strategy={})", strategy.name())),
        LogicalOp::DependentJoin { kind, condition } => {
            let condition = condition.as_ref().map(|c| format!(", {c}")).unwrap_or_default();
            line("LateralJoin", format!(" {}{condition}", kind_name(kind)))
        }
        LogicalOp::Window { partition_by, order_by, calls } => {
            line("Window", format!(" {}, {}, {}", list(calls), list(partition_by), list(order_by)))
        }
        LogicalOp::Sort { keys, fetch, global } => {
            let fetch = fetch.map(|n| format!(", fetch={n}")).unwrap_or_default();
            line("Sort", format!(" {}, {global}{fetch}", list(keys)))
        }
        LogicalOp::Limit { skip, fetch } => {
            let (name, arguments) = limit_text(*skip, *fetch);
            line(name, arguments)
        }
        LogicalOp::Union { .. } => line("Union", String::new()),
        LogicalOp::SetOp { operation, all, .. } => {
            let name = match operation {
                SetOperation::Intersect => "Intersect",
                SetOperation::Except => "Except",
            };
            line(name, if *all { " All".to_owned() } else { String::new() })
        }
        LogicalOp::Repartition { kind, partitions } => {
            let (name, arguments) = repartition_line(kind, *partitions);
            line(name, arguments)
        }
        LogicalOp::Pinned(pinned) => {
            let stages = pinned.physical.reads().into_iter().map(|(id, _)| id);
            line("LogicalQueryStage", format!(" {}, stages {}", list(&pinned.columns), list(stages)))
        }
    }
}

fn repartition_line(kind: &RepartitionKind, partitions: Option<u32>) -> (&'static str, String) {
    let partitions = partitions.map(|n| format!(" {n}")).unwrap_or_default();
    match kind {
        RepartitionKind::RoundRobin => ("Repartition", format!("{partitions}, true")),
        RepartitionKind::Coalesce => ("Repartition", format!("{partitions}, false")),
        RepartitionKind::Hash(keys) => ("RepartitionByExpression", format!(" {}{partitions}", list(keys))),
        RepartitionKind::Range(keys) => ("RepartitionByExpression", format!(" {}{partitions}", list(keys))),
        RepartitionKind::Rebalance(keys) if keys.is_empty() => ("RebalancePartitions", partitions),
        RepartitionKind::Rebalance(keys) => ("RebalancePartitions", format!(" {}{partitions}", list(keys))),
    }
}

fn join_arguments(op: &LogicalOp) -> String {
    let LogicalOp::Join { kind, on, residual, null_aware, hint } = op else { return String::new() };
    let keys = on.iter().map(|key| {
        let sign = if key.null_safe { "<=>" } else { "=" };
        format!("({} {sign} {})", key.left, key.right)
    });
    let condition: Vec<String> = keys.chain(residual.iter().map(ToString::to_string)).collect();
    let condition = match condition.as_slice() {
        [] => String::new(),
        [one] => format!(", {one}"),
        all => format!(", ({})", all.join(" AND ")),
    };
    let null_aware = if *null_aware { ", null aware" } else { "" };
    let hints = [("leftHint", hint.left), ("rightHint", hint.right)].into_iter();
    let hints: String =
        hints.filter_map(|(side, hint)| Some(format!(", {side}=(strategy={})", hint?.name()))).collect();
    format!(" {}{condition}{null_aware}{hints}", kind_name(kind))
}
