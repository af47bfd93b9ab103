//! Random plans, run to their end with random statistics: every stage that is started must be one
//! that an executor can run.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{ExchangeId, NodeId, PartitionSpec, Scalar, Span, SqlType};
use firesteel_expr::{ColumnRef, Expr, Frame, WindowCall, WindowFunction};
use firesteel_plan::display::stage_text;
use firesteel_plan::{
    AggregateMode, BuildMode, Distribution, JoinKind, LogicalOp, LogicalPlan, PhysicalOp, PhysicalPlan, ReadMode,
    RepartitionKind, Stage, TaskLayout,
};

use super::tests::Query;

/// A linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

fn node(query: &Query) -> NodeId {
    query.ids.node()
}

fn leaf(random: &mut Random, query: &mut Query) -> LogicalPlan {
    if random.below(8) == 0 {
        let column = ColumnRef { id: query.ids.column(), name: "v".into(), ty: SqlType::BigInt, nullable: false };
        let rows = (0..random.below(3)).map(|i| vec![Expr::Literal(Scalar::BigInt(i as i64))]).collect();
        return LogicalPlan::leaf(node(query), LogicalOp::Values { columns: vec![column], rows });
    }
    let rows = 10u64.pow(random.below(8) as u32);
    let name = format!("t{}", random.below(1000));
    query.table(&name, rows).0
}

fn joined(random: &mut Random, query: &mut Query, depth: u64) -> LogicalPlan {
    let (left, right) = (plan(random, query, depth - 1), plan(random, query, depth - 1));
    let (l, r) = (random.pick(&left.columns()), random.pick(&right.columns()));
    let mark = ColumnRef { id: query.ids.column(), name: "mark".into(), ty: SqlType::Boolean, nullable: true };
    let kinds = [
        JoinKind::Inner,
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::LeftSemi,
        JoinKind::LeftAnti,
        JoinKind::LeftSingle(Span::NONE),
        JoinKind::Mark(mark),
    ];
    let mut joined = query.join(random.pick(&kinds), left, right, &l, &r);
    if let LogicalOp::Join { on, .. } = &mut joined.op
        && (random.below(6) == 0 || l.ty != r.ty)
    {
        on.clear();
    }
    joined
}

fn plan(random: &mut Random, query: &mut Query, depth: u64) -> LogicalPlan {
    if depth == 0 {
        return leaf(random, query);
    }
    if random.below(2) == 0 {
        return joined(random, query, depth);
    }
    let input = plan(random, query, depth - 1);
    let column = random.pick(&input.columns());
    let id = node(query);
    match random.below(9) {
        0 => query.count_by(input, None),
        1 | 2 => query.count_by(input, Some(&column)),
        3 => {
            let fetch = [None, Some(10)][random.below(2) as usize];
            query.sort(input, &column, fetch)
        }
        4 => LogicalPlan::unary(id, LogicalOp::Limit { skip: random.below(3), fetch: Some(7) }, input),
        5 => {
            let other = plan(random, query, depth - 1);
            let fresh = ColumnRef { id: query.ids.column(), ..column.clone() };
            let first = |input: LogicalPlan, query: &Query| {
                let source = input.columns().remove(0);
                let out = ColumnRef { id: query.ids.column(), ..source.clone() };
                LogicalPlan::unary(
                    query.ids.node(),
                    LogicalOp::Project { exprs: vec![(out, Expr::Column(source))] },
                    input,
                )
            };
            let inputs = vec![first(input, query), first(other, query)];
            LogicalPlan { id, op: LogicalOp::Union { columns: vec![fresh] }, inputs }
        }
        6 => {
            let call = WindowCall {
                column: ColumnRef { id: query.ids.column(), name: "n".into(), ty: SqlType::Int, nullable: false },
                function: WindowFunction::RowNumber,
                frame: Frame::whole(),
                span: Span::NONE,
            };
            let partition_by = if random.below(3) == 0 { vec![] } else { vec![Expr::Column(column)] };
            LogicalPlan::unary(id, LogicalOp::Window { partition_by, order_by: Vec::new(), calls: vec![call] }, input)
        }
        7 => {
            let partitions = [None, Some(3)][random.below(2) as usize];
            let kind = match random.below(2) {
                0 => RepartitionKind::RoundRobin,
                _ => RepartitionKind::Hash(vec![Expr::Column(column)]),
            };
            LogicalPlan::unary(id, LogicalOp::Repartition { kind, partitions }, input)
        }
        _ => {
            let exprs = input.columns().into_iter().map(|c| (c.clone(), Expr::Column(c))).collect();
            LogicalPlan::unary(id, LogicalOp::Project { exprs }, input)
        }
    }
}

/// The reads of the build side are of the kind that the join asks for; no exchange is inside.
fn check_node(plan: &PhysicalPlan, tasks: u32, context: &str) {
    let read = |i: usize| match plan.inputs[i].op {
        PhysicalOp::ExchangeRead { read, .. } => Some(read),
        _ => None,
    };
    let single = match &plan.op {
        PhysicalOp::Exchange(_) => panic!("an exchange in a stage: {context}"),
        PhysicalOp::HashJoin(join) => {
            let mode = match join.mode {
                BuildMode::Shared => ReadMode::Shared,
                BuildMode::Partitioned => ReadMode::Partitioned,
            };
            assert_eq!(read(join.build.index()), Some(mode), "{context}");
            false
        }
        PhysicalOp::NestedLoopJoin { build, .. } => {
            assert_eq!(read(build.index()), Some(ReadMode::Shared), "{context}");
            false
        }
        PhysicalOp::HashAggregate(aggregate) => {
            assert!(aggregate.mode != AggregateMode::Final || read(0) == Some(ReadMode::Partitioned), "{context}");
            aggregate.keys.is_empty() && aggregate.mode != AggregateMode::Partial
        }
        PhysicalOp::Sort { .. } => true,
        PhysicalOp::Limit { skip, .. } => *skip > 0,
        PhysicalOp::Window { partition_by, .. } => partition_by.is_empty(),
        _ => false,
    };
    assert!(!single || tasks == 1, "{context}");
    plan.inputs.iter().for_each(|input| check_node(input, tasks, context));
}

fn check(stage: &Stage, query: &Query, released: &BTreeSet<ExchangeId>) {
    let context = stage_text(stage);
    check_node(&stage.plan, stage.tasks.tasks(), &context);
    for filter in &stage.filters {
        let stats = &query.exchanges[&filter.exchange];
        assert!(stats.finished && !released.contains(&filter.exchange), "{context}");
    }
    let mut partitioned = BTreeSet::new();
    for (id, read) in stage.plan.reads() {
        assert!(query.exchanges[&id].finished && !released.contains(&id), "{context}");
        if read == ReadMode::Partitioned {
            partitioned.insert(id);
        }
    }
    match &stage.tasks {
        TaskLayout::Elastic { tasks } => assert!(*tasks > 0 && partitioned.is_empty(), "{context}"),
        TaskLayout::PerInput(tasks) => {
            assert!(!tasks.is_empty(), "{context}");
            for task in tasks {
                assert!(task.specs.keys().eq(partitioned.iter()), "{context}");
            }
            for id in &partitioned {
                check_coverage(*id, tasks.iter().map(|task| &task.specs[id]), query, &context);
            }
        }
    }
    assert!(!stage.plan.output.is_empty(), "{context}");
}

/// Every partition with rows is read, and only slices of one may be of several tasks.
fn check_coverage<'a>(id: ExchangeId, specs: impl Iterator<Item = &'a PartitionSpec>, query: &Query, context: &str) {
    let stats = &query.exchanges[&id];
    let mut whole = vec![0; stats.rows.len()];
    let mut sliced = vec![0; stats.rows.len()];
    let mut shares: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for spec in specs {
        match spec {
            PartitionSpec::All => whole.iter_mut().for_each(|n| *n += 1),
            PartitionSpec::Whole(range) => range.clone().for_each(|i| whole[i as usize] += 1),
            PartitionSpec::Slice { partition, rows } => sliced[*partition as usize] += rows.end - rows.start,
            PartitionSpec::Share { partition, index, of } => {
                assert!(shares.entry((*partition, *of)).or_default().insert(*index), "a share twice: {context}");
            }
        }
    }
    for ((partition, of), found) in shares {
        assert!(found.into_iter().eq(0..of), "shares of partition {partition} of {id}: {context}");
        whole[partition as usize] += 1;
    }
    for (i, rows) in stats.rows.iter().enumerate() {
        let all = whole[i] > 0 || sliced[i] == *rows;
        assert!(all && (whole[i] == 0 || sliced[i] == 0), "partition {i} of {id}: {context}");
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let adaptive = random.pick(&["true", "true", "false"]);
    let mode = random.pick(&["auto", "auto", "partitioned", "serialized"]);
    let limit = random.pick(&["auto", "1MB", "-1"]);
    let force = random.pick(&["true", "false"]);
    let seed_text = seed.to_string();
    let adversarial = random.pick(&["", "", seed_text.as_str()]);
    let mut query = Query::new(&[
        ("firesteel.adaptive.adversarial", adversarial),
        ("spark.sql.adaptive.enabled", adaptive),
        ("firesteel.exchange.mode", mode),
        ("spark.sql.autoBroadcastJoinThreshold", limit),
        ("firesteel.adaptive.force", force),
    ]);
    let depth = 1 + random.below(4);
    let plan = plan(&mut random, &mut query, depth);
    let columns = plan.columns();
    let mut planner = query.planner(plan);
    let mut running: Vec<(ExchangeId, u32)> = Vec::new();
    let mut released = BTreeSet::new();
    for _ in 0..200 {
        let step = query.step(&mut planner);
        running.retain(|(id, _)| !step.cancel.iter().any(|stage| stage.0 == id.0));
        for stage in &step.start {
            check(stage, &query, &released);
            running.push((stage.output.id, stage.output.distribution.partitions()));
        }
        released.extend(step.release);
        if step.done {
            let last = step.start.last().map(|stage| (&stage.output.distribution, &stage.plan.output));
            assert_eq!(last, Some((&Distribution::Any, &columns)));
            assert!(planner.final_plan().is_some());
            return;
        }
        assert!(!running.is_empty(), "seed {seed}: nothing runs");
        for _ in 0..=random.below(2).min(running.len() as u64 - 1) {
            let (id, partitions) = running.swap_remove(random.below(running.len() as u64) as usize);
            let scale = 10u64.pow(random.below(8) as u32);
            let rows = (0..partitions).map(|_| if random.below(3) == 0 { 0 } else { random.below(scale) }).collect();
            query.finish(id.0, rows);
        }
    }
    panic!("seed {seed}: no end");
}

#[test]
fn every_stage_can_be_run() {
    (0..300).for_each(run);
}

/// Tables joined by any of their columns, up to `depth` deep on both sides.
fn joins(random: &mut Random, query: &mut Query, depth: u64) -> LogicalPlan {
    if depth == 0 || random.below(5) == 0 {
        let rows = 10u64.pow(1 + random.below(7) as u32) * (1 + random.below(9));
        let name = format!("t{}", random.below(1000));
        return query.table(&name, rows).0;
    }
    let (left, right) = (joins(random, query, depth - 1), joins(random, query, depth - 1));
    let (l, r) = (random.pick(&left.columns()), random.pick(&right.columns()));
    let kinds = [JoinKind::Inner, JoinKind::Inner, JoinKind::LeftSemi, JoinKind::LeftAnti];
    query.join(random.pick(&kinds), left, right, &l, &r)
}

/// Debug builds run each rule on its own result, which must stay as it is.
#[test]
fn the_order_of_joins_is_the_same_for_plans_that_are_ordered() {
    for seed in 0..1_000 {
        let text = seed.to_string();
        let adversarial: &[(&str, &str)] = &[("firesteel.adaptive.adversarial", &text)];
        let mut random = Random(seed);
        let mut query = Query::new(if seed % 2 == 0 { adversarial } else { &[] });
        let made = joins(&mut random, &mut query, 4);
        query.optimized(made);
    }
}
