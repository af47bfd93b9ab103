//! Partitions that are larger than others, in made-up statistics: when they are cut, and when not.

use std::sync::Arc;

use firesteel_common::hash::{hash_u64, null_hash, partition_of};
use firesteel_common::{ExchangeId, KeyCounts, NodeId, PartitionSpec};
use firesteel_expr::{Expr, SortKey};
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan, RepartitionKind, TaskInput, TaskLayout};

use super::tests::{Query, as_it_is, rules, text};
use super::{StagePlanner, Step};

const BUILD: ExchangeId = ExchangeId(0);
const PROBE: ExchangeId = ExchangeId(1);
const PARTITIONED: (&str, &str) = ("spark.sql.autoBroadcastJoinThreshold", "-1");

/// The step that joins two tables whose exchanges have so many rows of 16 bytes by partition.
fn joined(
    settings: &[(&str, &str)],
    kind: JoinKind,
    [build, probe]: [Vec<u64>; 2],
    over: impl Fn(&Query, LogicalPlan) -> LogicalPlan,
) -> (StagePlanner, Step) {
    let mut query = Query::new(&[&[PARTITIONED], settings].concat());
    let (left, [lk, _]) = query.table("l", 100_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let plan = over(&query, query.join(kind, left, right, &lk, &rk));
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    query.finish(0, build);
    query.step(&mut planner);
    query.finish(1, probe);
    let step = query.step(&mut planner);
    (planner, step)
}

fn tasks(step: &Step) -> &[TaskInput] {
    let TaskLayout::PerInput(tasks) = &step.start[0].tasks else { panic!("not by partition") };
    tasks
}

fn slices(step: &Step) -> Vec<&TaskInput> {
    tasks(step).iter().filter(|t| matches!(t.specs[&PROBE], PartitionSpec::Slice { .. })).collect()
}

/// 32 partitions of `rows`, and one with `hot`.
fn with_hot(rows: u64, hot: u64) -> Vec<u64> {
    let mut all = vec![rows; 32];
    all[3] = hot;
    all
}

#[test]
fn a_skewed_partition_is_cut_by_rows_and_small_ones_are_merged() {
    let sizes = [vec![100; 32], with_hot(10_000, 40_000_000)];
    let (planner, step) = joined(&[], JoinKind::Left, sizes, as_it_is);
    assert_eq!(rules(&step), ["OptimizeSkewedJoin", "CoalesceShufflePartitions"]);
    assert_eq!(
        step.notes[0].because,
        "partition 3 has 40,000,000 rows (610.4 MiB), the median is 156.2 KiB: read in 10 slices"
    );
    // The largest come first.
    let tasks = tasks(&step);
    assert_eq!(tasks[0].specs[&PROBE], PartitionSpec::Slice { partition: 3, rows: 0..4_000_000 });
    assert_eq!(tasks[0].specs[&BUILD], PartitionSpec::Whole(3..4));
    assert_eq!(slices(&step).len(), 10);
    assert!(tasks[10..].iter().all(|task| task.specs[&BUILD] == task.specs[&PROBE]));
    assert!(tasks[10..].iter().any(|task| task.specs[&PROBE] == PartitionSpec::Whole(0..3)));
    let end = planner.final_plan().unwrap();
    let mut labels = 0;
    end.visit(&mut |node| labels += usize::from(planner.read_label(node.id) == Some("coalesced and skewed")));
    assert_eq!(labels, 2);
}

#[test]
fn partitions_are_cut_under_joins_of_every_kind() {
    // Spark cuts no side of a full join, nor the right side of a left one.
    for kind in
        [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::LeftSemi, JoinKind::LeftAnti]
    {
        let (_, step) = joined(&[], kind.clone(), [vec![100; 32], with_hot(10_000, 40_000_000)], as_it_is);
        assert_eq!(slices(&step).len(), 10, "{kind:?}");
    }
}

#[test]
fn a_skewed_build_side_has_its_probe_rows_cut_so_that_several_make_the_table() {
    let sizes = [with_hot(100, 20_000_000), with_hot(1_000_000, 1_000_000)];
    let (_, step) = joined(&[], JoinKind::Full, sizes, as_it_is);
    let slices = slices(&step);
    assert_eq!(slices.len(), 5);
    assert!(slices.iter().all(|task| task.specs[&BUILD] == PartitionSpec::Whole(3..4)));
}

#[test]
fn below_the_threshold_a_partition_is_cut_if_it_is_more_than_the_share_of_a_worker() {
    // 4 workers: 160 MB of 315 MB are twice the share of one, and no skew to Spark.
    let sizes = || [vec![100; 32], with_hot(312_500, 10_000_000)];
    let (_, step) = joined(&[], JoinKind::Inner, sizes(), as_it_is);
    assert_eq!(slices(&step).len(), 3);
    assert_eq!(rules(&step)[0], "AddPartitions");
    let because = "partition 3 has 152.6 MiB of 300.5 MiB, more than the share of one of 4 workers: read in 3 slices";
    assert_eq!(step.notes[0].because, because);
    let off = [("spark.sql.adaptive.optimizer.excludedRules", "AddPartitions")];
    let (_, step) = joined(&off, JoinKind::Inner, sizes(), as_it_is);
    assert!(slices(&step).is_empty());
}

#[test]
fn fewer_partitions_than_workers_are_cut() {
    let two = [("spark.sql.shuffle.partitions", "2")];
    let (_, step) = joined(&two, JoinKind::Inner, [vec![100; 2], vec![10_000_000; 2]], as_it_is);
    assert_eq!(slices(&step).len(), 4);
}

#[test]
fn nothing_is_cut_that_is_even_or_small_or_excluded_or_without_statistics() {
    let even = || [vec![100; 32], vec![1_000_000; 32]];
    assert!(slices(&joined(&[], JoinKind::Inner, even(), as_it_is).1).is_empty());
    // Less than the smallest partition that is worth a task.
    let small = [vec![1; 32], with_hot(1, 60_000)];
    assert!(slices(&joined(&[], JoinKind::Inner, small, as_it_is).1).is_empty());
    let hot = || [vec![100; 32], with_hot(10_000, 40_000_000)];
    let none = [("spark.sql.adaptive.optimizer.excludedRules", "OptimizeSkewedJoin,AddPartitions")];
    assert!(slices(&joined(&none, JoinKind::Inner, hot(), as_it_is).1).is_empty());
    // Without Spark's rule the other one sees it.
    let off = [("spark.sql.adaptive.skewJoin.enabled", "false")];
    assert_eq!(rules(&joined(&off, JoinKind::Inner, hot(), as_it_is).1)[0], "AddPartitions");
    let static_plan = [("spark.sql.adaptive.enabled", "false")];
    let mut query = Query::new(&[PARTITIONED, static_plan[0]]);
    let (left, [lk, _]) = query.table("l", 100_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let plan = query.join(JoinKind::Inner, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    assert_eq!(query.step(&mut planner).start.len(), 2);
    let [build, probe] = hot();
    query.finish(0, build);
    query.finish(1, probe);
    assert!(slices(&query.step(&mut planner)).is_empty());
}

#[test]
fn a_node_that_must_see_all_rows_of_a_key_gets_an_exchange_of_its_own_over_a_skewed_join() {
    let counted = |query: &Query, plan: LogicalPlan| {
        let key = plan.columns()[0].clone();
        query.count_by(plan, Some(&key))
    };
    // Even partitions: the counts are made where the join is.
    let even = [vec![100; 32], vec![1_000_000; 32]];
    let (_, step) = joined(&[], JoinKind::Left, even, counted);
    assert!(step.done && slices(&step).is_empty());
    // One key: half counts are made of the slices.
    let hot = [vec![100; 32], with_hot(10_000, 40_000_000)];
    let (_, step) = joined(&[], JoinKind::Left, hot, counted);
    assert!(!step.done);
    assert_eq!(slices(&step).len(), 10);
}

#[test]
fn workers_that_share_cores_are_no_reason_for_another_exchange() {
    // Half of the rows are in one partition: as much as one of two cores can do while the other one has the rest.
    let sizes = || vec![vec![100; 32], with_hot(1_000_000, 31_000_000)];
    for (cores, stages) in [(2, 3), (4, 4)] {
        let mut query = Query::new(&[PARTITIONED]);
        query.cores = cores;
        let (left, [lk, _]) = query.table("l", 100_000_000);
        let (right, [rk, _]) = query.table("r", 10_000_000);
        let joined = query.join(JoinKind::Left, left, right, &lk, &rk);
        let plan = query.count_by(joined, Some(&lk));
        let mut planner = query.planner(plan);
        query.step(&mut planner);
        for (exchange, rows) in sizes().into_iter().enumerate() {
            query.finish(exchange as u32, rows);
            query.step(&mut planner);
        }
        if !planner.is_final() {
            query.finish(2, vec![1_000; 32]);
            query.step(&mut planner);
        }
        assert_eq!(planner.stages().len(), stages, "{cores} cores");
    }
}

#[test]
fn a_second_join_on_the_key_of_a_skewed_join_needs_no_exchange_of_its_own() {
    let mut query = Query::new(&[PARTITIONED]);
    let (left, [lk, _]) = query.table("l", 100_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let (third, [tk, _]) = query.table("t", 9_000_000);
    let first = query.join(JoinKind::Left, left, right, &lk, &rk);
    let plan = query.join(JoinKind::Left, first, third, &lk, &tk);
    let mut planner = query.planner(plan);
    let mut step = query.step(&mut planner);
    while !step.done {
        for stage in &step.start {
            let is_left = text(std::slice::from_ref(stage)).contains("Scan l[");
            query.finish(stage.id.0, if is_left { with_hot(10_000, 40_000_000) } else { vec![100; 32] });
        }
        step = query.step(&mut planner);
    }
    assert_eq!(step.start[0].id.0, 3, "three exchanges and the result");
    let is_slice = |task: &&TaskInput| task.specs.values().any(|spec| matches!(spec, PartitionSpec::Slice { .. }));
    assert_eq!(tasks(&step).iter().filter(is_slice).count(), 10);
}

/// The step of a join of even partitions, whose probe side has 150,000 of 1,000,000 rows of the key `hot`, and whose
/// build side so many beside `others` keys of one row.
fn paired(kind: JoinKind, hot: u64, build_rows: i32, others: u64) -> Step {
    let partitions = [("spark.sql.shuffle.partitions", "32")];
    let mut query = Query::new(&[PARTITIONED, partitions[0]]);
    let (left, [lk, _]) = query.table("l", 100_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let mut planner = query.planner(query.join(kind, left, right, &lk, &rk));
    query.step(&mut planner);
    query.finish(0, vec![1_000; 32]);
    let mut counts = KeyCounts::default();
    counts.add(&(0..others).map(hash_u64).collect::<Vec<_>>());
    counts.add_rows(hot, build_rows);
    query.exchanges.get_mut(&BUILD).unwrap().key_counts = Some(Arc::new(counts));
    query.step(&mut planner);
    query.finish(1, vec![31_250; 32]);
    query.exchanges.get_mut(&PROBE).unwrap().hot_keys = vec![(hot, 150_000)];
    query.step(&mut planner)
}

#[test]
fn a_partition_is_cut_by_the_rows_that_a_key_with_many_on_both_sides_makes() {
    let hot = hash_u64(1_000_000);
    let partition = partition_of(hot, 32);
    let step = paired(JoinKind::Full, hot, 100, 32_000);
    assert_eq!(slices(&step).len(), 4);
    assert_eq!(rules(&step)[0], "AddPartitions");
    let because = &step.notes[0].because;
    assert!(because.contains("rows that it makes of hot keys) of"), "{because}");
    // They make most: they are first, though others have more to read.
    let first = tasks(&step)[..4]
        .iter()
        .all(|t| matches!(t.specs[&PROBE], PartitionSpec::Slice { partition: p, .. } if p == partition));
    assert!(first, "{:?}", tasks(&step));
}

#[test]
fn nothing_is_cut_where_a_hot_key_finds_no_more_rows_than_others_or_makes_none() {
    let hot = hash_u64(1_000_000);
    // One row, and so many as may be due to other keys.
    assert!(slices(&paired(JoinKind::Full, hot, 1, 1_000)).is_empty());
    assert!(slices(&paired(JoinKind::Full, hot, 4, 100_000)).is_empty());
    // Rows that are only looked for.
    assert!(slices(&paired(JoinKind::LeftSemi, hot, 100, 32_000)).is_empty());
    assert!(slices(&paired(JoinKind::LeftAnti, hot, 100, 32_000)).is_empty());
    // NULL is equal to nothing.
    assert!(slices(&paired(JoinKind::Full, null_hash(1), 100, 32_000)).is_empty());
}

/// The step that groups or orders one exchange, which `node` puts over rows distributed by its key.
fn gathered(sizes: Vec<u64>, hot: Option<u64>, node: impl Fn(&Query, LogicalPlan) -> LogicalPlan) -> Step {
    let mut query = Query::new(&[("spark.sql.shuffle.partitions", "32")]);
    let (scan, [key, _]) = query.table("t", 100_000_000);
    let kind = RepartitionKind::Hash(vec![Expr::Column(key)]);
    let rows = LogicalPlan::unary(query.ids.node(), LogicalOp::Repartition { kind, partitions: None }, scan);
    let mut planner = query.planner(node(&query, rows));
    query.step(&mut planner);
    query.finish(0, sizes);
    if let (Some(hot), Some(stats)) = (hot, query.exchanges.get_mut(&BUILD)) {
        // A hash whose partition is 3.
        let hash = (0..).find(|hash| partition_of(*hash << 32, 32) == 3).unwrap() << 32;
        stats.hot_keys = vec![(hash, hot)];
    }
    query.step(&mut planner)
}

fn cut(step: &Step) -> usize {
    tasks(step).iter().filter(|t| matches!(t.specs[&BUILD], PartitionSpec::Slice { .. })).count()
}

#[test]
fn a_hot_partition_of_a_window_is_sorted_by_several_tasks() {
    let window = |_: &Query, plan: LogicalPlan| {
        let partition_by = vec![Expr::Column(plan.columns()[0].clone())];
        let op = LogicalOp::Window { partition_by, order_by: Vec::new(), calls: Vec::new() };
        LogicalPlan::unary(NodeId(900), op, plan)
    };
    let step = gathered(with_hot(312_500, 10_000_000), None, window);
    assert_eq!(cut(&step), 3);
    assert_eq!(step.notes[0].rule, "AddPartitions");
    assert_eq!(cut(&gathered(vec![312_500; 32], None, window)), 0);
}

#[test]
fn a_hot_partition_is_ordered_by_several_tasks_but_not_all_rows() {
    let sort = |global| {
        move |_: &Query, plan: LogicalPlan| {
            let expr = Expr::Column(plan.columns()[1].clone());
            let keys = vec![SortKey { expr, ascending: true, nulls_first: true }];
            LogicalPlan::unary(NodeId(900), LogicalOp::Sort { keys, fetch: None, global }, plan)
        }
    };
    let step = gathered(with_hot(312_500, 10_000_000), None, sort(false));
    assert_eq!(cut(&step), 3);
    assert_eq!(step.notes[0].rule, "AddPartitions");
    assert_eq!(cut(&gathered(vec![312_500; 32], None, sort(false))), 0);
    // One task returns them in order.
    assert_eq!(cut(&gathered(with_hot(312_500, 10_000_000), None, sort(true))), 0);
}

#[test]
fn a_partition_of_one_hot_group_is_grouped_by_several_tasks_and_one_of_many_groups_is_not() {
    let count = |query: &Query, plan: LogicalPlan| {
        let key = plan.columns()[0].clone();
        query.count_by(plan, Some(&key))
    };
    let step = gathered(with_hot(312_500, 10_000_000), Some(9_000_000), count);
    assert_eq!(cut(&step), 3);
    assert!(step.notes[0].because.contains("one key has about 9,000,000 rows"), "{}", step.notes[0].because);
    assert_eq!(cut(&gathered(with_hot(312_500, 10_000_000), Some(1_000_000), count)), 0);
    assert_eq!(cut(&gathered(with_hot(312_500, 10_000_000), None, count)), 0);
}

/// Groups by both columns of `plan`, then perhaps by the first one.
fn grouped_twice(query: &Query, plan: LogicalPlan, again: bool) -> LogicalPlan {
    let keys = plan.columns().into_iter().take(2).map(|column| (column.clone(), Expr::Column(column))).collect();
    let pairs = LogicalPlan::unary(query.ids.node(), LogicalOp::Aggregate { keys, aggregates: Vec::new() }, plan);
    let key = pairs.columns()[0].clone();
    if again { query.count_by(pairs, Some(&key)) } else { pairs }
}

fn shares(step: &Step) -> usize {
    tasks(step).iter().filter(|t| matches!(t.specs[&BUILD], PartitionSpec::Share { partition: 3, .. })).count()
}

#[test]
fn groups_by_more_than_the_keys_of_a_hot_partition_are_made_in_shares() {
    let sizes = || with_hot(312_500, 10_000_000);
    for (hot, again) in [(Some(9_000_000), true), (Some(9_000_000), false), (None, false)] {
        let step = gathered(sizes(), hot, |query, plan| grouped_twice(query, plan, again));
        assert_eq!((cut(&step), shares(&step)), (0, 3), "{hot:?} {again}");
        assert_eq!(rules(&step)[0], "AddPartitions");
        assert!(step.notes[0].because.ends_with("its groups are made in 3 shares"), "{}", step.notes[0].because);
    }
}

#[test]
fn groups_are_not_made_in_shares_where_partitions_are_even_or_many_groups_would_meet() {
    let twice = |query: &Query, plan: LogicalPlan| grouped_twice(query, plan, true);
    assert_eq!(shares(&gathered(vec![312_500; 32], None, twice)), 0);
    // Less than one and a half shares of a worker.
    assert_eq!(shares(&gathered(with_hot(312_500, 5_000_000), Some(4_000_000), twice)), 0);
    // Counts of many keys would meet in one task.
    assert_eq!(shares(&gathered(with_hot(312_500, 10_000_000), Some(1_000_000), twice)), 0);
}
