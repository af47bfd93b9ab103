//! Cuts exchanges whose inputs are all there into stages.
//!
//! The stages that most hangs on come first (see [`super::urgency`]), of equal ones build sides. The probe side of a partitioned join waits for its build side, because the
//! exact size of that may make the join a shared one, for which the probe side need not be moved at
//! all; not if it is known before its end that it is too large for that. A scan waits for a much smaller join partner above it, whose keys tell which rows are of use.
//! Neither waits if nothing else could run; waiting is for stages that come before in the order of the
//! search, build sides first, so it has no cycles.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ExchangeId, NodeId, Result, StageId};
use firesteel_plan::{
    BuildMode, Distribution, Effect, Exchange, FilterSource, HashJoin, Note, PhysicalOp, PhysicalPlan, ReadMode, Stage,
    TaskLayout,
};

use super::urgency::urgency;
use super::{StagePlanner, Step};
use crate::lower::{
    DEMOTE, DYNAMIC_PRUNING, LoweredPlan, REUSE, Spread, StartedExchange, filters_partitions, pin_of, read_of,
};
use crate::rule::OptimizerContext;
use crate::stage_rules::{
    Input, Layout, StageInputs, most_tasks, one_task, partitioned_reads, takes_any_rows, tasks_by_partition,
};

/// Name for `spark.sql.adaptive.optimizer.excludedRules`.
const HOLD_BACK: &str = "HoldBackProbeSide";

/// Rows that are worth a task.
const ROWS_PER_TASK: f64 = 32_768.0;

/// An exchange that could be started.
struct Ready<'a> {
    node: &'a PhysicalPlan,
    exchange: &'a Exchange,
    /// If it should wait, for what.
    held: Option<String>,
    /// Rows of the plan that waits for it.
    waiting: f64,
}

impl StagePlanner {
    pub(super) fn start_ready(&mut self, plan: &LoweredPlan, cx: &OptimizerContext<'_>, step: &mut Step) -> Result<()> {
        let mut ready = Vec::new();
        let holds = (cx.config.adaptive && !cx.config.is_excluded_adaptively(HOLD_BACK)).then_some(&plan.holds);
        self.find_ready(&plan.root, None, holds, 0.0, &mut ready);
        let mut order: Vec<(u64, Ready<'_>)> =
            ready.into_iter().map(|ready| (urgency(ready.node, ready.waiting, cx), ready)).collect();
        let planned_first = order.iter().find(|(_, ready)| ready.held.is_none()).map(|(urgency, _)| *urgency);
        order.sort_by_key(|(urgency, _)| Reverse(*urgency));
        let running = self.is_running();
        let all_held = order.iter().all(|(_, r)| r.held.is_some());
        let mut reused = BTreeSet::new();
        for (urgency, Ready { node, exchange, held, .. }) in order {
            if reused.contains(&exchange.id) {
                continue;
            }
            if let Some(reason) = held
                && (running || !all_held)
            {
                if self.held.insert(node.origin) {
                    let subject = format!("exchange over {}", columns_text(node));
                    let note = Note::new(self.version, HOLD_BACK, subject, reason);
                    step.notes.push(note.effect(Effect::Held).nodes([node.id]));
                }
                continue;
            }
            let stage = Stage { urgency, ..self.stage(node, exchange, plan, cx, step)? };
            let id = stage.output.id;
            let columns = stage.plan.output.clone();
            let started = StartedExchange { exchange: stage.output.clone(), columns, stats: None, outgrown: None };
            self.started.insert(id, started);
            if stage.output.distribution == Distribution::Any {
                self.done = true;
            } else if let Some((origin, pinned)) = pin_of(&plan.root, exchange.id, &read_of(node, id, cx)) {
                self.pin(origin, pinned, cx)?;
            }
            self.forget_joins(&stage.plan);
            let twins = plan.twins.iter().filter(|twins| twins.contains(&exchange.id)).flatten();
            for twin in twins.filter(|twin| **twin != exchange.id) {
                reused.insert(*twin);
                self.reuse(*twin, id, plan, cx, step)?;
            }
            self.stages.push(stage.clone());
            step.start.push(stage);
        }
        self.note_order(planned_first, step);
        Ok(())
    }

    /// Makes the consumer of the exchange `twin` read `id`, which has the same rows.
    fn reuse(
        &mut self,
        twin: ExchangeId,
        id: ExchangeId,
        plan: &LoweredPlan,
        cx: &OptimizerContext<'_>,
        step: &mut Step,
    ) -> Result<()> {
        let mut found = None;
        plan.root.visit(&mut |node| {
            if matches!(&node.op, PhysicalOp::Exchange(exchange) if exchange.id == twin) {
                found = Some(node);
            }
        });
        let Some(node) = found else { return Ok(()) };
        let read = read_of(node, id, cx);
        let pinned_read = read.id;
        if let Some((origin, pinned)) = pin_of(&plan.root, twin, &read) {
            self.pin(origin, pinned, cx)?;
            self.forget_joins(node);
            let because = format!("its rows are read for {} too: an equal exchange is not run", columns_text(node));
            let note = Note::new(self.version, REUSE, format!("stage {id}"), because);
            step.notes.push(note.effect(Effect::Reused(StageId(id.0))).nodes([pinned_read]));
        }
        Ok(())
    }

    /// Collects exchanges without an unfinished one below, build sides first. Returns whether all rows
    /// that `plan` needs are there, but for tables.
    fn find_ready<'a>(
        &self,
        plan: &'a PhysicalPlan,
        held: Option<&str>,
        holds: Option<&BTreeMap<ExchangeId, String>>,
        waiting: f64,
        out: &mut Vec<Ready<'a>>,
    ) -> bool {
        let rows = |input: Option<&PhysicalPlan>| input.map_or(0.0, |input| input.estimate.rows);
        let above = waiting + plan.estimate.rows;
        match &plan.op {
            PhysicalOp::Exchange(exchange) => {
                let mut below = true;
                for input in &plan.inputs {
                    below &= self.find_ready(input, None, holds, waiting, out);
                }
                if below {
                    let own = holds.and_then(|holds| holds.get(&exchange.id)).map(String::as_str);
                    out.push(Ready { node: plan, exchange, held: held.or(own).map(str::to_owned), waiting });
                }
                false
            }
            PhysicalOp::ExchangeRead { exchange, .. } => self.is_finished(*exchange),
            PhysicalOp::HashJoin(join) => {
                let (build, probe) = (plan.inputs.get(join.build.index()), plan.inputs.get(join.build.other().index()));
                let beside = above + rows(probe);
                let built = build.is_none_or(|build| self.find_ready(build, None, holds, beside, out));
                let open = !built && !build.is_some_and(|build| self.has_outgrown(build));
                let wait = open && holds.is_some() && join.mode == BuildMode::Partitioned && join.hint.is_none();
                let reason = "held back until the build side of its join has finished: its exact size may \
                              make this exchange unnecessary";
                let (wait, beside) = (wait.then_some(reason), above + rows(build));
                let probed = probe.is_none_or(|probe| self.find_ready(probe, wait, holds, beside, out));
                built && probed
            }
            op => {
                let build = match op {
                    PhysicalOp::NestedLoopJoin { build, .. } => build.index(),
                    _ => 0,
                };
                let (before, from) = plan.inputs.split_at(build.min(plan.inputs.len()));
                let mut all = true;
                for input in from.iter().chain(before) {
                    all &= self.find_ready(input, None, holds, above, out);
                }
                all
            }
        }
    }

    fn stage(
        &mut self,
        node: &PhysicalPlan,
        exchange: &Exchange,
        plan: &LoweredPlan,
        cx: &OptimizerContext<'_>,
        step: &mut Step,
    ) -> Result<Stage> {
        let number = self.stages.len() as u32;
        let output = Exchange { id: ExchangeId(number), ..exchange.clone() };
        let body = node.inputs.first().cloned().unwrap_or_else(|| node.clone());
        let spread = plan.spreads.get(&exchange.id).copied().unwrap_or(Spread::Elastic);
        let reads = partitioned_reads(&body);
        let tasks = if reads.is_empty() {
            let tasks = if spread == Spread::One { 1 } else { self.elastic_tasks(&body, cx) };
            TaskLayout::Elastic { tasks }
        } else if spread == Spread::One {
            TaskLayout::PerInput(vec![one_task(&reads)])
        } else {
            let layout = self.layout(&body, &reads, cx)?;
            let nodes = self.label_reads(&body, &layout);
            let effect = Effect::Divided { stage: StageId(number), tasks: layout.tasks.len() as u32 };
            for (rule, because) in &layout.decisions {
                let note = Note::new(self.version, rule, format!("stage {number}"), because.clone());
                let note = note.effect(effect.clone()).nodes(nodes.iter().copied());
                step.notes.push(reads.iter().fold(note, |note, id| self.with_counted(note, *id)));
            }
            TaskLayout::PerInput(layout.tasks)
        };
        self.note_pruning(&body, number, cx, step);
        let filters = self.filters_of(&body, plan, number, step);
        self.note_demotion(&body, plan, number, step);
        Ok(Stage { id: StageId(number), plan: body, output, tasks, filters, urgency: 0 })
    }

    /// Notes on joins that could be shared and are not.
    fn note_demotion(&self, body: &PhysicalPlan, plan: &LoweredPlan, number: u32, step: &mut Step) {
        body.visit(&mut |node| {
            if let (PhysicalOp::HashJoin(join), Some(because)) = (&node.op, plan.demoted.get(&node.id)) {
                let join = HashJoin::key_texts(&join.on).1;
                let effect = Effect::JoinStrategy { join, from: BuildMode::Shared, to: BuildMode::Partitioned };
                let note = Note::new(self.version, DEMOTE, format!("stage {number}"), because.clone());
                step.notes.push(note.effect(effect).nodes([node.id]));
            }
        });
    }

    /// Notes on scans whose files depend on the keys of a join.
    fn note_pruning(&self, body: &PhysicalPlan, number: u32, cx: &OptimizerContext<'_>, step: &mut Step) {
        body.visit(&mut |node| {
            let PhysicalOp::Scan { table, request } = &node.op else { return };
            for column in filters_partitions(table, request, cx) {
                let because = format!("only files of {} are read whose {column} has a partner in the join", table.name);
                step.notes.push(Note::new(self.version, DYNAMIC_PRUNING, format!("stage {number}"), because));
            }
        });
    }

    /// The filters that the stage makes for its scans, each with a note.
    fn filters_of(&self, body: &PhysicalPlan, plan: &LoweredPlan, number: u32, step: &mut Step) -> Vec<FilterSource> {
        let mut filters: Vec<FilterSource> = Vec::new();
        body.visit(&mut |node| {
            let PhysicalOp::Scan { table, request } = &node.op else { return };
            for (id, position) in &request.runtime_filters {
                let Some(source) = plan.filters.get(id) else { continue };
                let keys =
                    self.started.get(&source.exchange).and_then(|s| s.stats.as_ref()).map_or(0, |s| s.total_rows());
                let column = request.filter_columns.get(*position).map(|(c, _)| c.to_string()).unwrap_or_default();
                let because = format!(
                    "stage {number} reads only rows of {} whose {column} is among its {} keys",
                    table.name,
                    firesteel_common::show::count(keys)
                );
                let effect = Effect::Filtered { stage: StageId(number), table: table.name.to_string(), column, keys };
                let note =
                    Note::new(self.version, "InjectRuntimeFilter", format!("stage {}", source.exchange), because);
                let note = note.effect(effect).evidence(table.name.to_string(), Some(node.estimate), None);
                step.notes.push(self.with_counted(note.nodes([node.id]), source.exchange));
                if !filters.contains(source) {
                    filters.push(*source);
                }
            }
        });
        filters
    }

    fn layout(
        &self,
        plan: &PhysicalPlan,
        reads: &std::collections::BTreeSet<ExchangeId>,
        cx: &OptimizerContext<'_>,
    ) -> Result<Layout> {
        let mut inputs = BTreeMap::new();
        for id in reads {
            if let Some(started) = self.started.get(id) {
                let stats = started.stats.as_ref().filter(|_| cx.config.adaptive);
                inputs.insert(*id, Input { exchange: &started.exchange, stats });
            }
        }
        let partitions = inputs.values().map(|i| i.exchange.distribution.partitions()).max().unwrap_or(1);
        let mut layout = tasks_by_partition(&StageInputs {
            plan,
            inputs,
            partitions,
            share: 1.0,
            may_cut: true,
            config: cx.config,
            workers: cx.workers.tasks,
            cores: cx.workers.cores,
        })?;
        if takes_any_rows(plan) {
            layout.fill(reads, self.elastic_tasks(plan, cx));
        }
        Ok(layout)
    }

    /// With what the stage that wrote `exchange` has counted.
    fn with_counted(&self, note: Note, exchange: ExchangeId) -> Note {
        let estimated = self.stages.get(exchange.0 as usize).map(|stage| stage.plan.estimate);
        note.evidence(format!("stage {exchange}"), estimated, self.counted(&[exchange]))
    }

    /// Remembers for display how the rules changed the reads, which are returned.
    fn label_reads(&mut self, plan: &PhysicalPlan, layout: &Layout) -> Vec<NodeId> {
        let label = match (layout.coalesced, layout.skewed) {
            (true, true) => "coalesced and skewed",
            (true, false) => "coalesced",
            (false, true) => "skewed",
            (false, false) => return Vec::new(),
        };
        let mut nodes = Vec::new();
        plan.visit(&mut |node| {
            if matches!(node.op, PhysicalOp::ExchangeRead { read: ReadMode::Partitioned, .. }) {
                nodes.push(node.id);
            }
        });
        self.reads.extend(nodes.iter().map(|id| (*id, label)));
        nodes
    }

    /// One task per worker, fewer if there is little to do.
    fn elastic_tasks(&self, plan: &PhysicalPlan, cx: &OptimizerContext<'_>) -> u32 {
        let mut rows = Some(0.0);
        plan.visit(&mut |node| {
            let of_node = match &node.op {
                PhysicalOp::Scan { table, .. } => {
                    cx.tables.statistics(table).and_then(|stats| stats.rows).map(|rows| rows as f64)
                }
                PhysicalOp::ExchangeRead { exchange, read: ReadMode::Elastic } => {
                    let stats = self.started.get(exchange).and_then(|started| started.stats.as_ref());
                    stats.map(|stats| stats.total_rows() as f64)
                }
                _ => Some(0.0),
            };
            rows = rows.zip(of_node).map(|(all, more)| all + more);
        });
        let workers = cx.workers.tasks.max(1) as u32;
        let workers = most_tasks(plan).map_or(workers, |most| most.min(workers));
        rows.map_or(workers, |rows| ((rows / ROWS_PER_TASK).ceil() as u32).clamp(1, workers))
    }
}

fn columns_text(plan: &PhysicalPlan) -> String {
    let names: Vec<String> = plan.output.iter().take(4).map(ToString::to_string).collect();
    let more = if plan.output.len() > 4 { ", …" } else { "" };
    format!("[{}{more}]", names.join(", "))
}
