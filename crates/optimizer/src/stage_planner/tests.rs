//! Made-up statistics in, stages and notes out; nothing is run.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::{ColumnStatistics, TableRef, TableStatistics};
use firesteel_common::{Config, ExchangeId, ExchangeStats, IdGenerator, Result, Span, SqlType, TableId};
use firesteel_expr::{
    AggregateCall, AggregateFunction, AggregateSignature, ColumnRef, EvalContext, Expr, FunctionDoc, FunctionRegistry,
    GroupAccumulator, NamedAggregate, SortKey,
};
use firesteel_plan::display::{physical_text, stage_text};
use firesteel_plan::{JoinHint, JoinKey, JoinKind, LogicalOp, LogicalPlan, Scan, Stage};

use super::{Facts, StagePlanner, Step};
use crate::optimizer::Optimizer;
use crate::rule::{OptimizerContext, PlanFacts, TableStats, Workers};

#[derive(Debug)]
struct Count;

impl AggregateFunction for Count {
    fn doc(&self) -> &FunctionDoc {
        &FunctionDoc {
            name: "count",
            aliases: &[],
            category: "aggregate",
            syntax: "count(*)",
            description: "",
            examples: &[],
        }
    }

    fn bind(&self, args: &[SqlType]) -> Result<AggregateSignature> {
        let state = vec![SqlType::BigInt];
        Ok(AggregateSignature { args: args.to_vec(), ty: SqlType::BigInt, nullable: false, state })
    }

    fn accumulator(&self, _: &[SqlType], _: &SqlType, _: &EvalContext) -> Result<Box<dyn GroupAccumulator>> {
        Err(firesteel_common::Error::internal("not run here"))
    }
}

/// A query with its settings, the tables' row counts and what its exchanges have written.
pub(super) struct Query {
    pub(super) config: Config,
    pub(super) ids: IdGenerator,
    eval: EvalContext,
    tables: BTreeMap<TableId, Arc<TableStatistics>>,
    facts: PlanFacts,
    /// Of the processor.
    pub(super) cores: usize,
    pub(super) exchanges: BTreeMap<ExchangeId, ExchangeStats>,
}

impl TableStats for Query {
    fn statistics(&self, table: &TableRef) -> Option<Arc<TableStatistics>> {
        self.tables.get(&table.id).cloned()
    }
}

impl Facts for Query {
    fn exchange(&self, id: ExchangeId) -> Option<&ExchangeStats> {
        self.exchanges.get(&id)
    }
}

impl Query {
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let mut registry = FunctionRegistry::new();
        registry.register_aggregate(Arc::new(Count));
        let mut config = Config { threads: 4, ..Config::default() };
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        let eval = EvalContext { registry: Arc::new(registry), ansi: true, time_zone: "UTC".into(), now: 0 };
        Self {
            config,
            ids: IdGenerator::new(),
            eval,
            tables: BTreeMap::new(),
            facts: PlanFacts::default(),
            cores: 4,
            exchanges: BTreeMap::new(),
        }
    }

    /// A table with an integer key of as many values as rows, and another column.
    pub(super) fn table(&mut self, name: &str, rows: u64) -> (LogicalPlan, [ColumnRef; 2]) {
        let id = TableId(self.tables.len() as u64);
        let column = |suffix: &str| ColumnRef {
            id: self.ids.column(),
            name: format!("{name}_{suffix}").into(),
            ty: SqlType::BigInt,
            nullable: false,
        };
        let columns = [column("k"), column("v")];
        let of_column = ColumnStatistics { distinct: Some(rows), width: Some(8.0), ..ColumnStatistics::default() };
        let stats = TableStatistics {
            rows: Some(rows),
            exact: true,
            bytes: Some(rows * 16),
            columns: vec![of_column.clone(), of_column],
        };
        self.tables.insert(id, Arc::new(stats));
        let scan = Scan {
            table: TableRef { id, name: name.into() },
            columns: columns.to_vec(),
            source: columns.to_vec(),
            filters: Vec::new(),
            limit: None,
        };
        (LogicalPlan::leaf(self.ids.node(), LogicalOp::Scan(scan)), columns)
    }

    /// Says that the files of the table that `scan` reads are in folders by its key.
    pub(super) fn partition_by_key(&mut self, scan: &LogicalPlan) {
        let LogicalOp::Scan(scan) = &scan.op else { panic!("not a scan") };
        let stats = self.tables.get_mut(&scan.table.id).unwrap();
        Arc::make_mut(stats).columns[0].is_partition = true;
    }

    /// Another scan of the table that `scan` reads, with columns of its own.
    pub(super) fn again(&self, scan: &LogicalPlan) -> (LogicalPlan, [ColumnRef; 2]) {
        let LogicalOp::Scan(scan) = &scan.op else { panic!("not a scan") };
        let columns = [0, 1].map(|i| ColumnRef { id: self.ids.column(), ..scan.source[i].clone() });
        let scan = Scan { columns: columns.to_vec(), source: columns.to_vec(), ..scan.clone() };
        (LogicalPlan::leaf(self.ids.node(), LogicalOp::Scan(scan)), columns)
    }

    pub(super) fn join(
        &self,
        kind: JoinKind,
        left: LogicalPlan,
        right: LogicalPlan,
        l: &ColumnRef,
        r: &ColumnRef,
    ) -> LogicalPlan {
        let key = JoinKey { left: Expr::Column(l.clone()), right: Expr::Column(r.clone()), null_safe: false };
        let op = LogicalOp::Join { kind, on: vec![key], residual: None, null_aware: false, hint: JoinHint::NONE };
        LogicalPlan::binary(self.ids.node(), op, left, right)
    }

    pub(super) fn count_by(&self, input: LogicalPlan, key: Option<&ColumnRef>) -> LogicalPlan {
        let call = AggregateCall {
            function: "count".into(),
            args: Vec::new(),
            distinct: false,
            filter: None,
            ty: SqlType::BigInt,
            nullable: false,
            span: Span::NONE,
        };
        let keys = key.map(|key| (key.clone(), Expr::Column(key.clone()))).into_iter().collect();
        let aggregates = vec![NamedAggregate::new(self.ids.column(), "n", call)];
        LogicalPlan::unary(self.ids.node(), LogicalOp::Aggregate { keys, aggregates }, input)
    }

    pub(super) fn sort(&self, input: LogicalPlan, key: &ColumnRef, fetch: Option<u64>) -> LogicalPlan {
        let key = SortKey { expr: Expr::Column(key.clone()), ascending: true, nulls_first: true };
        LogicalPlan::unary(self.ids.node(), LogicalOp::Sort { keys: vec![key], fetch, global: true }, input)
    }

    pub(super) fn planner(&self, plan: LogicalPlan) -> StagePlanner {
        let columns = plan.columns();
        StagePlanner::new(plan, columns)
    }

    pub(super) fn step(&self, planner: &mut StagePlanner) -> Step {
        planner.step(self, &self.context()).unwrap()
    }

    /// What the rules that look at estimates make of a plan.
    pub(super) fn optimized(&self, plan: LogicalPlan) -> LogicalPlan {
        Optimizer::every_step(plan, &self.context()).unwrap()
    }

    fn context(&self) -> OptimizerContext<'_> {
        let workers = Workers { tasks: self.config.threads, cores: self.cores };
        let (config, ids, eval, facts) = (&self.config, &self.ids, &self.eval, &self.facts);
        OptimizerContext { config, ids, eval, tables: self, facts, workers }
    }

    /// An exchange has finished with so many rows of 16 bytes in each partition.
    pub(super) fn finish(&mut self, exchange: u32, rows: Vec<u64>) {
        let bytes = rows.iter().map(|rows| rows * 16).collect();
        let stats = ExchangeStats { rows, bytes, finished: true, ..ExchangeStats::default() };
        self.exchanges.insert(ExchangeId(exchange), stats);
    }
}

pub(super) fn text(stages: &[Stage]) -> String {
    stages.iter().map(stage_text).collect()
}

fn notes(step: &Step) -> Vec<(&'static str, String)> {
    step.notes.iter().map(|note| (note.rule, format!("{}: {}", note.subject, note.because))).collect()
}

pub(super) fn rules(step: &Step) -> Vec<&'static str> {
    step.notes.iter().map(|note| note.rule).collect()
}

/// For tests that vary what stands over a plan: nothing does.
pub(super) fn as_it_is(_: &Query, plan: LogicalPlan) -> LogicalPlan {
    plan
}

fn lines(expected: &[&str]) -> String {
    expected.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_small_side_is_shared_and_filters_the_scan_of_the_other() {
    let mut query = Query::new(&[]);
    let (big, [bk, bv]) = query.table("big", 1_000_000);
    let (small, [sk, _]) = query.table("small", 1_000);
    let plan = query.count_by(query.join(JoinKind::Inner, big, small, &bk, &sk), Some(&bv));
    let mut planner = query.planner(plan);

    let step = query.step(&mut planner);
    assert_eq!(
        text(&step.start),
        lines(&["Stage 0: 1 elastic tasks -> BroadcastExchange", "+- Scan small[small_k#2, small_v#3]"])
    );
    query.finish(0, vec![1_000]);
    let step = query.step(&mut planner);
    assert_eq!(
        text(&step.start),
        lines(&[
            "Stage 1: 4 elastic tasks -> hashpartitioning(big_v#1, 16), ENSURE_REQUIREMENTS",
            "+- HashAggregate(keys=[big_v#1], functions=[partial_count(*)])",
            "   +- BroadcastHashJoin [big_k#0], [small_k#2], Inner, BuildRight, publishes [runtimefilter#1]",
            "      :- Scan big[big_k#0, big_v#1] RuntimeFilters: [runtimefilter#1(big_k#0)]",
            "      +- BroadcastQueryStage 0",
        ])
    );
    assert_eq!(notes(&step), []);
    query.finish(1, vec![100_000; 16]);
    let step = query.step(&mut planner);
    assert!(step.done);
    assert_eq!(step.release, [ExchangeId(0)]);
    assert_eq!(
        text(&step.start),
        lines(&[
            "Stage 2: 4 tasks by partition -> result",
            "+- HashAggregate(keys=[big_v#1], functions=[count(*)])",
            "   +- ShuffleQueryStage 1",
        ])
    );
    assert_eq!(step.notes[0].rule, "CoalesceShufflePartitions");
}

#[test]
fn sharing_is_chosen_late_when_a_side_turns_out_small() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "1MB")]);
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (other, [ok, _]) = query.table("other", 1_000_000);
    let plan = query.join(JoinKind::Inner, big, other, &bk, &ok);
    let mut planner = query.planner(plan);

    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("hashpartitioning(other_k#2, 16)"), "{}", text(&step.start));
    assert_eq!(step.start.len(), 1);
    assert_eq!(step.notes[0].rule, "HoldBackProbeSide");
    let initial = physical_text(planner.initial_plan().unwrap());
    assert!(initial.starts_with("ShuffledHashJoin [big_k#0], [other_k#2], Inner, BuildRight"), "{initial}");

    query.finish(0, vec![10; 16]);
    let step = query.step(&mut planner);
    assert!(step.done);
    let stage = text(&step.start);
    assert!(stage.contains("BroadcastHashJoin [big_k#0], [other_k#2], Inner, BuildRight"), "{stage}");
    assert_eq!(
        notes(&step),
        [(
            "DynamicJoinSelection",
            "stage 0: BroadcastHashJoin instead of ShuffledHashJoin on big_k#0 = other_k#2: other_k#2 was estimated \
             at 1,000,000 rows (15.3 MiB), it has 160 rows (2.5 KiB) (limit 1 MiB)"
                .to_owned()
        )]
    );
}

#[test]
fn the_build_side_is_switched_when_it_turns_out_large() {
    let mut query = Query::new(&[]);
    let (left, [lk, _]) = query.table("l", 100_000);
    let (right, [rk, _]) = query.table("r", 50_000);
    let plan = query.join(JoinKind::Inner, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert_eq!(step.start.len(), 1);
    query.finish(0, vec![5_000_000]);
    let step = query.step(&mut planner);
    assert_eq!(text(&step.start), lines(&["Stage 1: 4 elastic tasks -> BroadcastExchange", "+- Scan l[l_k#0, l_v#1]"]));
    assert_eq!(step.notes[0].rule, "DynamicJoinSelection");
    assert!(step.notes[0].because.starts_with("build side of the join on l_k#0 = r_k#2 is now l_k#0"));
    query.finish(1, vec![100_000]);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("BroadcastQueryStage 1"), "{}", text(&step.start));
    assert!(step.done && step.release.is_empty());
}

#[test]
fn a_side_that_outgrows_what_may_be_shared_is_partitioned_without_being_made_again() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "1MB")]);
    let (left, [lk, _]) = query.table("l", 10_000_000);
    let (right, [rk, _]) = query.table("r", 1_000);
    let plan = query.join(JoinKind::Inner, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert_eq!(text(&step.start), lines(&["Stage 0: 1 elastic tasks -> BroadcastExchange", "+- Scan r[r_k#2, r_v#3]"]));
    query.finish(0, vec![5_000_000]);
    let step = query.step(&mut planner);
    // What was written for all tasks is read once more and hashed: the scan is not repeated.
    let hashed = "Stage 1: 4 elastic tasks -> hashpartitioning(r_k#2, 16), ENSURE_REQUIREMENTS";
    assert_eq!(text(&step.start), lines(&[hashed, "+- ShuffleQueryStage 0"]));
    assert_eq!(step.notes[0].rule, "DynamicJoinSelection");
    assert!(
        step.notes[0].because.starts_with("ShuffledHashJoin instead of BroadcastHashJoin"),
        "{}",
        step.notes[0].because
    );
    query.finish(1, vec![312_500; 16]);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("Scan l"), "{}", text(&step.start));
    query.finish(2, vec![625_000; 16]);
    let step = query.step(&mut planner);
    assert!(
        text(&step.start).contains("ShuffledHashJoin [l_k#0], [r_k#2], Inner, BuildRight"),
        "{}",
        text(&step.start)
    );
    assert!(step.done);
}

#[test]
fn without_adaptive_execution_what_was_counted_changes_nothing() {
    let mut query =
        Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "1MB"), ("spark.sql.adaptive.enabled", "false")]);
    let (left, [lk, _]) = query.table("l", 10_000_000);
    let (right, [rk, _]) = query.table("r", 1_000_000);
    let plan = query.join(JoinKind::Inner, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    assert_eq!(query.step(&mut planner).start.len(), 2);
    query.finish(0, vec![0; 16]);
    assert_eq!(query.step(&mut planner).start.len(), 0);
    query.finish(1, vec![1; 16]);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("ShuffledHashJoin [l_k#0], [r_k#2], Inner, BuildRight"));
    assert_eq!(step.start[0].tasks.tasks(), 16);
    assert_eq!(step.notes, []);
}

#[test]
fn sort_and_limit_end_in_one_task() {
    let mut query = Query::new(&[]);
    let (table, [k, _]) = query.table("t", 1_000_000);
    let sorted = query.sort(table, &k, Some(5));
    let plan = LogicalPlan::unary(query.ids.node(), LogicalOp::Limit { skip: 2, fetch: Some(3) }, sorted);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("SinglePartition"));
    assert!(text(&step.start).contains("TakeOrderedAndProject(limit=5, orderBy=[t_k#0 ASC NULLS FIRST]"));
    query.finish(0, vec![20]);
    let step = query.step(&mut planner);
    assert_eq!(
        text(&step.start),
        lines(&[
            "Stage 1: 1 tasks by partition -> result",
            "+- GlobalLimit 3, 2",
            "   +- TakeOrderedAndProject(limit=5, orderBy=[t_k#0 ASC NULLS FIRST], output=[t_k#0, t_v#1])",
            "      +- ShuffleQueryStage 0",
        ])
    );
}

#[test]
fn an_aggregate_over_a_partitioned_join_on_its_key_needs_no_exchange() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
    let (left, [lk, _]) = query.table("l", 1_000_000);
    let (right, [rk, _]) = query.table("r", 1_000_000);
    let plan = query.count_by(query.join(JoinKind::Inner, left, right, &lk, &rk), Some(&rk));
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let initial = physical_text(planner.initial_plan().unwrap());
    assert!(initial.starts_with("HashAggregate(keys=[r_k#2], functions=[count(*)])\n+- ShuffledHashJoin"), "{initial}");
}

#[test]
fn an_empty_side_ends_the_query_and_cancels_what_runs() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
    let (a, [ak, av]) = query.table("a", 1_000_000);
    let (b, [bk, _]) = query.table("b", 500_000);
    let (c, [ck, _]) = query.table("c", 10_000);
    let joined = query.join(JoinKind::Inner, a, b, &ak, &bk);
    let plan = query.join(JoinKind::Inner, joined, c, &av, &ck);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert_eq!(step.start.len(), 2, "both build sides");
    let of_c = step.start.iter().find(|stage| stage_text(stage).contains("Scan c")).unwrap().output.id;
    query.finish(of_c.0, vec![0; 16]);
    let step = query.step(&mut planner);
    let rules: Vec<_> = step.notes.iter().map(|n| n.rule).collect();
    assert!(step.done, "{rules:?}");
    assert_eq!(step.cancel.len(), 1);
    assert_eq!(step.release, [of_c]);
    assert!(rules.contains(&"AQEPropagateEmptyRelation") && rules.contains(&"CancelStage"), "{rules:?}");
    assert!(text(&step.start).contains("LocalTableScan <empty>"));
}

/// Tasks that group 16,000,000 rows in 16 partitions, of so many keys.
fn grouping_tasks(settings: &[(&str, &str)], keys: u64) -> (u32, Vec<(&'static str, String)>) {
    let mut query = Query::new(settings);
    let (table, [_, value]) = query.table("t", 1_000_000);
    let plan = query.count_by(table, Some(&value));
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    query.finish(0, vec![1_000_000; 16]);
    query.exchanges.get_mut(&ExchangeId(0)).unwrap().distinct_keys = Some(keys);
    let step = query.step(&mut planner);
    (step.start[0].tasks.tasks(), notes(&step))
}

#[test]
fn a_task_with_a_large_table_reads_less() {
    let (tasks, notes) = grouping_tasks(&[], 1_000);
    assert_eq!(tasks, 4);
    assert!(notes[0].1.ends_with("244.1 MiB in all are read by 4 tasks (target 61.0 MiB)"), "{notes:?}");
    // One table of 100 MiB for each task would be far from the cores.
    let (tasks, notes) = grouping_tasks(&[], 16_000_000);
    assert_eq!((tasks, notes), (16, Vec::new()));
    // A size that the user gave is taken.
    let given = [("spark.sql.adaptive.advisoryPartitionSizeInBytes", "64MB")];
    assert_eq!(grouping_tasks(&given, 16_000_000).0, 4);
}

#[test]
fn keys_of_an_exchange_are_groups_only_of_those_who_group_by_all_of_them() {
    let mut query = Query::new(&[]);
    let (table, [key, value]) = query.table("t", 16_000_000);
    // What COUNT(DISTINCT value) by key becomes: the exchange is by the key alone.
    let keys = [&key, &value].map(|column| (column.clone(), Expr::Column(column.clone()))).to_vec();
    let pairs = LogicalPlan::unary(query.ids.node(), LogicalOp::Aggregate { keys, aggregates: Vec::new() }, table);
    let plan = query.count_by(pairs, Some(&key));
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert!(
        matches!(&step.start[0].output.distribution, firesteel_plan::Distribution::Hash { keys, .. } if keys.len() == 1)
    );
    query.finish(0, vec![1_000_000; 16]);
    query.exchanges.get_mut(&ExchangeId(0)).unwrap().distinct_keys = Some(10);
    let step = query.step(&mut planner);
    let (pairs, rows) = (&step.start[0].plan.inputs[0], 16_000_000.0);
    assert_eq!(step.start[0].tasks.tasks(), 16, "a table of pairs is large: {}", text(&step.start));
    assert!(pairs.estimate.rows > rows / 100.0, "{}", pairs.estimate.rows);
}
