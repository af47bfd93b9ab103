//! Runtime filters across stages: what a finished build side tells scans below exchanges that have
//! not started.
//!
//! Algorithm: one walk from the root down. A join that drops probe rows without a partner makes a wish
//! for each of its keys: rows of the probe side with another value may be missing. A wish goes down
//! wherever its column is passed on unchanged and rows that are missing below are only missing above;
//! an inner join hands it to the equal key of the other side too. If a scan has the column, and the
//! wish has crossed an exchange (else the join's own filter reaches the scan), the scan takes a filter
//! of the build side's keys. If the build side has not finished, the exchange should wait for it.
//!
//! Invariant: the join that made the wish stays above whatever was filtered, since it is part of the
//! logical plan and drops the same rows wherever it is moved.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ExchangeId, FilterId};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::{FilterSource, HashJoin, JoinKind, PhysicalOp, PhysicalPlan, Side};

use super::filters::{WORTHWHILE, drops_unmatched_probe, take};
use super::{Lowering, STILL_TO_COME, StartedExchange};
use crate::rule::OptimizerContext;
use crate::util::{are_integers, value_column};

/// Name for `spark.sql.adaptive.optimizer.excludedRules`.
const RULE: &str = "InjectRuntimeFilter";
/// More keys are not worth another pass over them.
const MAX_KEYS: f64 = 4_000_000.0;
/// A scan does not wait for a build side that may have a greater share of the values of its column.
const SHARE_TO_WAIT: f64 = 0.25;
/// A scan of fewer rows does not wait.
const ROWS_TO_WAIT: f64 = 32_768.0;

/// What the walk has found, apart from the changed scans.
#[derive(Debug, Default)]
pub(super) struct LaterFilters {
    pub(super) filters: BTreeMap<FilterId, FilterSource>,
    pub(super) holds: BTreeMap<ExchangeId, String>,
}

/// Rows whose `column` is not among the keys of `source` may be missing.
#[derive(Clone)]
struct Wish {
    column: ColumnRef,
    source: Source,
    /// Whether an exchange is between.
    crossed: bool,
}

#[derive(Clone)]
struct Source {
    /// The exchange and the column in it, if it has finished.
    finished: Option<(ExchangeId, usize)>,
    rows: f64,
    key: ColumnRef,
}

struct Walk<'a> {
    cx: &'a OptimizerContext<'a>,
    started: &'a BTreeMap<ExchangeId, StartedExchange>,
    distinct: &'a BTreeMap<firesteel_common::ColumnId, f64>,
    /// Exchanges with several readers, who may want different rows.
    shared: BTreeSet<ExchangeId>,
    next_filter: u32,
    ids: BTreeMap<(ExchangeId, usize), FilterId>,
    found: LaterFilters,
}

impl Lowering<'_> {
    /// Gives scans of later stages the filters that can be made for them.
    pub(super) fn filter_later_stages(&mut self, root: &mut PhysicalPlan, twins: &[Vec<ExchangeId>]) -> LaterFilters {
        let mut walk = Walk {
            cx: self.cx,
            started: self.started,
            distinct: &self.distinct,
            shared: twins.iter().flatten().copied().collect(),
            next_filter: self.next_filter,
            ids: BTreeMap::new(),
            found: LaterFilters::default(),
        };
        if !self.cx.config.is_excluded_adaptively(RULE) {
            walk.node(root, Vec::new(), ExchangeId(u32::MAX));
        }
        self.next_filter = walk.next_filter;
        walk.found
    }
}

impl Walk<'_> {
    /// `writer` is the exchange that ends the stage of `plan`.
    fn node(&mut self, plan: &mut PhysicalPlan, mut wishes: Vec<Wish>, writer: ExchangeId) {
        match &plan.op {
            PhysicalOp::Scan { .. } => {
                wishes.iter().filter(|wish| wish.crossed).for_each(|wish| self.grant(plan, wish, writer));
            }
            PhysicalOp::Exchange(exchange) => {
                let id = exchange.id;
                if self.shared.contains(&id) {
                    wishes.clear();
                }
                wishes.iter_mut().for_each(|wish| wish.crossed = true);
                plan.inputs.iter_mut().for_each(|input| self.node(input, wishes.clone(), id));
            }
            PhysicalOp::Filter { .. } | PhysicalOp::Sort { .. } => self.only_input(plan, wishes, writer),
            PhysicalOp::Project { exprs } => {
                let wishes = passed_on(&wishes, &plan.output, exprs);
                self.only_input(plan, wishes, writer);
            }
            // A group goes missing as a whole.
            PhysicalOp::HashAggregate(aggregate) => {
                let wishes = passed_on(&wishes, &plan.output, &aggregate.keys);
                self.only_input(plan, wishes, writer);
            }
            // So does a partition.
            PhysicalOp::Window { partition_by, .. } => {
                let whole =
                    |wish: &Wish| partition_by.iter().filter_map(Expr::as_column).any(|c| c.id == wish.column.id);
                wishes.retain(whole);
                self.only_input(plan, wishes, writer);
            }
            PhysicalOp::HashJoin(join) => {
                let [left, right] = self.sides(plan, join, &wishes);
                self.join_inputs(plan, left, right, writer);
            }
            PhysicalOp::NestedLoopJoin { kind, .. } => {
                let (left, right) = (kept(kind, Side::Left, plan, &wishes), kept(kind, Side::Right, plan, &wishes));
                self.join_inputs(plan, left, right, writer);
            }
            PhysicalOp::Union => {
                let output = plan.output.clone();
                for input in &mut plan.inputs {
                    let columns: Vec<Expr> = input.output.iter().cloned().map(Expr::Column).collect();
                    self.node(input, passed_on(&wishes, &output, &columns), writer);
                }
            }
            _ => plan.inputs.iter_mut().for_each(|input| self.node(input, Vec::new(), writer)),
        }
    }

    fn only_input(&mut self, plan: &mut PhysicalPlan, wishes: Vec<Wish>, writer: ExchangeId) {
        if let [input] = plan.inputs.as_mut_slice() {
            self.node(input, wishes, writer);
        }
    }

    fn join_inputs(&mut self, plan: &mut PhysicalPlan, left: Vec<Wish>, right: Vec<Wish>, writer: ExchangeId) {
        if let [left_plan, right_plan] = plan.inputs.as_mut_slice() {
            self.node(left_plan, left, writer);
            self.node(right_plan, right, writer);
        }
    }

    /// The wishes for both sides: those from above, those for equal keys, and the join's own.
    fn sides(&self, plan: &PhysicalPlan, join: &HashJoin, wishes: &[Wish]) -> [Vec<Wish>; 2] {
        let mut sides = [kept(&join.kind, Side::Left, plan, wishes), kept(&join.kind, Side::Right, plan, wishes)];
        let probe = join.build.other();
        let from_above = sides.clone();
        for key in &join.on {
            let (Some(left), Some(right), false) = (value_column(&key.left), value_column(&key.right), key.null_safe)
            else {
                continue;
            };
            let columns = [left, right];
            // Rows that only match what is dropped anyway. A scalar subquery must still see if it has too
            // many rows, and a null-aware join whether there is a NULL.
            if !join.null_aware && !matches!(join.kind, JoinKind::LeftSingle(_)) {
                for (from, to) in [(0, 1), (1, 0)] {
                    let same = from_above[from].iter().filter(|wish| wish.column.id == columns[from].id);
                    sides[to].extend(same.map(|wish| Wish { column: columns[to].clone(), ..wish.clone() }));
                }
            }
            if drops_unmatched_probe(join)
                && let Some(source) = self.source(plan, join.build, columns[join.build.index()])
            {
                let column = columns[probe.index()].clone();
                sides[probe.index()].push(Wish { column, source, crossed: false });
            }
        }
        sides
    }

    /// The keys of a build side.
    fn source(&self, plan: &PhysicalPlan, build: Side, key: &ColumnRef) -> Option<Source> {
        let input = plan.inputs.get(build.index())?;
        let position = input.output.iter().position(|column| column.id == key.id)?;
        let mut source = Source { finished: None, rows: input.estimate.rows, key: key.clone() };
        if let PhysicalOp::ExchangeRead { exchange, .. } = input.op
            && let Some(stats) = self.started.get(&exchange).and_then(|started| started.stats.as_ref())
        {
            source.finished = Some((exchange, position));
            source.rows = stats.total_rows() as f64;
        }
        let grows = |id: &ExchangeId| self.started.get(id).is_some_and(StartedExchange::grows);
        if input.reads().iter().any(|(id, _)| grows(id)) {
            source.rows *= STILL_TO_COME;
        }
        (source.rows <= MAX_KEYS).then_some(source)
    }

    fn grant(&mut self, plan: &mut PhysicalPlan, wish: &Wish, writer: ExchangeId) {
        let (Wish { column, source, .. }, rows) = (wish, plan.estimate.rows);
        let PhysicalOp::Scan { request, .. } = &mut plan.op else { return };
        let all = self.distinct.get(&column.id).copied().unwrap_or(rows);
        let alike = column.ty == source.key.ty || are_integers(&column.ty, &source.key.ty);
        // Rows that a limit counts must not go missing.
        if request.limit.is_some() || !alike || source.rows > WORTHWHILE * all {
            return;
        }
        match source.finished {
            Some((exchange, position)) => {
                let next = FilterId(self.next_filter);
                let id = self.ids.get(&(exchange, position)).copied().unwrap_or(next);
                if take(request, column, id) && id == next {
                    self.next_filter += 1;
                    self.ids.insert((exchange, position), id);
                    self.found.filters.insert(id, FilterSource { id, exchange, column: position });
                }
            }
            None if self.cx.config.adaptive && rows >= ROWS_TO_WAIT && source.rows < SHARE_TO_WAIT * all => {
                self.found.holds.entry(writer).or_insert_with(|| {
                    format!(
                        "held back until the values of {} are known: about {:.0} of them, to filter a scan of \
                         about {rows:.0} rows by {column}",
                        source.key, source.rows
                    )
                });
            }
            None => {}
        }
    }
}

/// The wishes for columns that are nothing but a column of the input.
fn passed_on(wishes: &[Wish], output: &[ColumnRef], exprs: &[Expr]) -> Vec<Wish> {
    let below = |wish: &Wish| {
        let position = output.iter().position(|column| column.id == wish.column.id)?;
        let column = exprs.get(position)?.as_column()?.clone();
        Some(Wish { column, ..wish.clone() })
    };
    wishes.iter().filter_map(below).collect()
}

/// The wishes for columns of a side whose missing rows are only missing in the output of the join.
fn kept(kind: &JoinKind, side: Side, plan: &PhysicalPlan, wishes: &[Wish]) -> Vec<Wish> {
    let passes = match kind {
        JoinKind::Inner => true,
        JoinKind::Full => false,
        JoinKind::Right => side == Side::Right,
        _ => side == Side::Left,
    };
    let Some(input) = plan.inputs.get(side.index()).filter(|_| passes) else { return Vec::new() };
    let has = |wish: &&Wish| input.output.iter().any(|column| column.id == wish.column.id);
    wishes.iter().filter(has).cloned().collect()
}
