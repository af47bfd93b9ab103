//! Cuts exchanges whose inputs are all there into stages.
//!
//! Build sides come first. The probe side of a partitioned join waits for its build side, because the
//! exact size of that may make the join a shared one, for which the probe side need not be moved at
//! all. A scan waits for a much smaller join partner above it, whose keys tell which rows are of use.
//! Neither waits if nothing else could run; waiting is for stages that come before in the order of the
//! search, build sides first, so it has no cycles.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ExchangeId, Result, StageId};
use firesteel_plan::{BuildMode, Exchange, FilterSource, Note, PhysicalOp, PhysicalPlan, ReadMode, Stage, TaskLayout};

use super::{Facts, StagePlanner, Step};
use crate::lower::{LoweredPlan, REUSE, Spread, StartedExchange, pin_of, read_of};
use crate::rule::OptimizerContext;
use crate::stage_rules::{Input, Layout, StageInputs, one_task, partitioned_reads, tasks_by_partition};

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
}

impl StagePlanner {
    pub(super) fn start_ready(
        &mut self,
        plan: &LoweredPlan,
        facts: &dyn Facts,
        cx: &OptimizerContext<'_>,
        step: &mut Step,
    ) -> Result<()> {
        let mut ready = Vec::new();
        let holds = (cx.config.adaptive && !cx.config.is_excluded_adaptively(HOLD_BACK)).then_some(&plan.holds);
        self.find_ready(&plan.root, None, holds, &mut ready);
        let running = self.is_running();
        let all_held = ready.iter().all(|r| r.held.is_some());
        let mut reused = BTreeSet::new();
        for Ready { node, exchange, held } in ready {
            if reused.contains(&exchange.id) {
                continue;
            }
            if let Some(reason) = held
                && (running || !all_held)
            {
                if self.held.insert(node.origin) {
                    step.notes.push(Note {
                        version: self.version,
                        rule: HOLD_BACK,
                        subject: format!("exchange over {}", columns_text(node)),
                        because: reason,
                    });
                }
                continue;
            }
            let stage = self.stage(node, exchange, plan, facts, cx, step)?;
            let id = stage.output.id;
            let columns = stage.plan.output.clone();
            let started = StartedExchange { exchange: stage.output.clone(), columns, stats: None };
            self.started.insert(id, started);
            if stage.output.distribution == firesteel_plan::Distribution::Any {
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
        if let Some((origin, pinned)) = pin_of(&plan.root, twin, &read_of(node, id, cx)) {
            self.pin(origin, pinned, cx)?;
            self.forget_joins(node);
            step.notes.push(Note {
                version: self.version,
                rule: REUSE,
                subject: format!("stage {id}"),
                because: format!("its rows are read for {} too: an equal exchange is not run", columns_text(node)),
            });
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
        out: &mut Vec<Ready<'a>>,
    ) -> bool {
        match &plan.op {
            PhysicalOp::Exchange(exchange) => {
                let mut below = true;
                for input in &plan.inputs {
                    below &= self.find_ready(input, None, holds, out);
                }
                if below {
                    let own = holds.and_then(|holds| holds.get(&exchange.id)).map(String::as_str);
                    out.push(Ready { node: plan, exchange, held: held.or(own).map(str::to_owned) });
                }
                false
            }
            PhysicalOp::ExchangeRead { exchange, .. } => self.is_finished(*exchange),
            PhysicalOp::HashJoin(join) => {
                let (build, probe) = (plan.inputs.get(join.build.index()), plan.inputs.get(join.build.other().index()));
                let built = build.is_none_or(|build| self.find_ready(build, None, holds, out));
                let wait = !built && holds.is_some() && join.mode == BuildMode::Partitioned;
                let reason = "held back until the build side of its join has finished: its exact size may \
                              make this exchange unnecessary";
                let probed = probe.is_none_or(|probe| self.find_ready(probe, wait.then_some(reason), holds, out));
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
                    all &= self.find_ready(input, None, holds, out);
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
        facts: &dyn Facts,
        cx: &OptimizerContext<'_>,
        step: &mut Step,
    ) -> Result<Stage> {
        let number = self.stages.len() as u32;
        let output = Exchange { id: ExchangeId(number), ..exchange.clone() };
        let body = node.inputs.first().cloned().unwrap_or_else(|| node.clone());
        let spread = plan.spreads.get(&exchange.id).copied().unwrap_or(Spread::Elastic);
        let reads = partitioned_reads(&body);
        let tasks = if reads.is_empty() {
            let tasks = if spread == Spread::One { 1 } else { self.elastic_tasks(&body, facts, cx) };
            TaskLayout::Elastic { tasks }
        } else if spread == Spread::One {
            TaskLayout::PerInput(vec![one_task(&reads)])
        } else {
            let layout = self.layout(&body, &reads, facts, cx)?;
            for (rule, because) in &layout.decisions {
                let subject = format!("stage {number}");
                step.notes.push(Note { version: self.version, rule, subject, because: because.clone() });
            }
            self.label_reads(&body, &layout);
            TaskLayout::PerInput(layout.tasks)
        };
        let filters = self.filters_of(&body, plan, number, step);
        Ok(Stage { id: StageId(number), plan: body, output, tasks, filters })
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
                step.notes.push(Note {
                    version: self.version,
                    rule: "InjectRuntimeFilter",
                    subject: format!("stage {}", source.exchange),
                    because: format!(
                        "stage {number} reads only rows of {} whose {column} is among its {} keys",
                        table.name,
                        firesteel_common::show::count(keys)
                    ),
                });
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
        facts: &dyn Facts,
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
        tasks_by_partition(&StageInputs { plan, inputs, partitions, config: cx.config, workers: facts.workers() })
    }

    /// Remembers for display how the rules changed the reads.
    fn label_reads(&mut self, plan: &PhysicalPlan, layout: &Layout) {
        let label = match (layout.coalesced, layout.skewed) {
            (true, true) => "coalesced and skewed",
            (true, false) => "coalesced",
            (false, true) => "skewed",
            (false, false) => return,
        };
        let mut nodes = Vec::new();
        plan.visit(&mut |node| {
            if matches!(node.op, PhysicalOp::ExchangeRead { read: ReadMode::Partitioned, .. }) {
                nodes.push(node.id);
            }
        });
        self.reads.extend(nodes.into_iter().map(|id| (id, label)));
    }

    /// One task per worker, fewer if there is little to do.
    fn elastic_tasks(&self, plan: &PhysicalPlan, facts: &dyn Facts, cx: &OptimizerContext<'_>) -> u32 {
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
        let workers = facts.workers().max(1) as u32;
        rows.map_or(workers, |rows| ((rows / ROWS_PER_TASK).ceil() as u32).clamp(1, workers))
    }
}

fn columns_text(plan: &PhysicalPlan) -> String {
    let names: Vec<String> = plan.output.iter().take(4).map(ToString::to_string).collect();
    let more = if plan.output.len() > 4 { ", …" } else { "" };
    format!("[{}{more}]", names.join(", "))
}
