//! Where rows are put by users' hints and clauses.

use firesteel_common::PartitionSpec;
use firesteel_expr::{Expr, SortKey};
use firesteel_plan::display::stage_text;
use firesteel_plan::{LogicalOp, LogicalPlan, RepartitionKind, Stage, TaskLayout};

use super::Step;
use super::tests::{Query, rules};

fn repartition(query: &Query, kind: RepartitionKind, partitions: Option<u32>, input: LogicalPlan) -> LogicalPlan {
    LogicalPlan::unary(query.ids.node(), LogicalOp::Repartition { kind, partitions }, input)
}

fn stages(step: &Step) -> String {
    step.start.iter().map(stage_text).collect()
}

fn specs(stage: &Stage) -> Vec<PartitionSpec> {
    let TaskLayout::PerInput(inputs) = &stage.tasks else { panic!("{:?}", stage.tasks) };
    let mut specs: Vec<_> = inputs.iter().flat_map(|input| input.specs.values().cloned()).collect();
    specs.sort_by_key(|spec| match spec {
        PartitionSpec::Whole(range) => (u64::from(range.start), 0),
        PartitionSpec::Slice { partition, rows } => (u64::from(*partition), rows.start),
        PartitionSpec::Share { partition, index, .. } => (u64::from(*partition), u64::from(*index)),
        PartitionSpec::All => (0, 0),
    });
    specs
}

/// Runs `plan` up to the stage that reads what was written with `rows` in each partition.
fn after(query: &mut Query, plan: LogicalPlan, rows: Vec<u64>) -> Step {
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    query.finish(0, rows);
    query.step(&mut planner)
}

const MIB: u64 = (1 << 20) / 16;

#[test]
fn ranges_of_the_user_are_made_from_rows_that_are_there() {
    let mut query = Query::new(&[]);
    let (table, [key, _]) = query.table("t", 1_000);
    let keys = vec![SortKey { expr: Expr::Column(key), ascending: true, nulls_first: true }];
    let plan = repartition(&query, RepartitionKind::Range(keys), Some(3), table);
    let mut planner = query.planner(plan);
    assert!(stages(&query.step(&mut planner)).contains("-> SinglePartition"));
    query.finish(0, vec![1_000]);
    let text = stages(&query.step(&mut planner));
    assert!(text.contains("rangepartitioning(t_k#0 ASC NULLS FIRST, 3), REPARTITION_BY_NUM"), "{text}");
    query.finish(1, vec![300, 300, 400]);
    let step = query.step(&mut planner);
    assert!(step.done);
    // The number was given.
    assert_eq!(specs(&step.start[0]).len(), 3);
}

#[test]
fn large_partitions_of_a_rebalance_are_split_and_small_ones_merged() {
    let mut query = Query::new(&[]);
    let (table, _) = query.table("t", 1_000_000);
    let plan = repartition(&query, RepartitionKind::Rebalance(Vec::new()), Some(4), table);
    // The rest of 10 MiB is too small to stand alone; that of 30 MiB is not.
    let rows = vec![138 * MIB, 158 * MIB, MIB, MIB];
    let step = after(&mut query, plan, rows);
    let rule = "OptimizeSkewInRebalancePartitions";
    assert_eq!(rules(&step), [rule, rule, "CoalesceShufflePartitions"]);
    let slice = |partition, rows| PartitionSpec::Slice { partition, rows };
    let third = |k: u64| 158 * MIB * k / 3;
    assert_eq!(
        specs(&step.start[0]),
        [
            slice(0, 0..69 * MIB),
            slice(0, 69 * MIB..138 * MIB),
            slice(1, 0..third(1)),
            slice(1, third(1)..third(2)),
            slice(1, third(2)..158 * MIB),
            PartitionSpec::Whole(2..4)
        ]
    );
}

#[test]
fn a_rebalance_is_left_alone_when_switched_off_or_where_rows_belong_together() {
    let off = ("spark.sql.adaptive.optimizeSkewsInRebalancePartitions.enabled", "false");
    let mut query = Query::new(&[off]);
    let (table, _) = query.table("t", 1_000_000);
    let plan = repartition(&query, RepartitionKind::Rebalance(Vec::new()), Some(4), table);
    assert!(rules(&after(&mut query, plan, vec![138 * MIB, MIB, MIB, MIB])).iter().all(|rule| !rule.contains("Skew")));

    // SORT BY needs whole partitions.
    let mut query = Query::new(&[]);
    let (table, [key, _]) = query.table("t", 1_000_000);
    let plan = repartition(&query, RepartitionKind::Rebalance(vec![Expr::Column(key.clone())]), Some(4), table);
    let keys = vec![SortKey { expr: Expr::Column(key), ascending: true, nulls_first: true }];
    let op = LogicalOp::Sort { keys, fetch: None, global: false };
    let plan = LogicalPlan::unary(query.ids.node(), op, plan);
    let step = after(&mut query, plan, vec![138 * MIB, MIB, MIB, MIB]);
    assert!(step.done && rules(&step).iter().all(|rule| !rule.contains("Skew")));
}

#[test]
fn coalesce_bounds_the_tasks_without_moving_rows() {
    let mut query = Query::new(&[]);
    let (table, [key, _]) = query.table("t", 1_000_000);
    let elastic = repartition(&query, RepartitionKind::Coalesce, Some(2), table.clone());
    let step = query.step(&mut query.planner(elastic));
    assert!(step.done && stages(&step).starts_with("Stage 0: 2 elastic tasks -> result"), "{}", stages(&step));

    let counted = query.count_by(table, Some(&key));
    let plan = repartition(&query, RepartitionKind::Coalesce, Some(3), counted);
    let step = after(&mut query, plan, vec![1_000_000; 16]);
    let whole = |range| PartitionSpec::Whole(range);
    assert_eq!(specs(&step.start[0]), [whole(0..5), whole(5..10), whole(10..16)]);
}

#[test]
fn the_keys_of_coalescing_are_read() {
    let cases: [(&str, &str, usize); 3] = [
        ("spark.sql.adaptive.coalescePartitions.minPartitionNum", "8", 8),
        ("spark.sql.adaptive.coalescePartitions.maxReducerPartitionsPerTask", "1", 16),
        ("spark.sql.adaptive.coalescePartitions.parallelismFirst", "false", 3),
    ];
    for (key, value, tasks) in cases {
        let mut query = Query::new(&[(key, value)]);
        let (table, [k, _]) = query.table("t", 100_000);
        let plan = query.count_by(table, Some(&k));
        let step = after(&mut query, plan, vec![10 * MIB; 16]);
        assert_eq!(specs(&step.start[0]).len(), tasks, "{key}");
    }
    // 1 MiB for four workers: a task is worth 256 KiB, unless the user says otherwise.
    for (smallest, tasks) in [("auto", 4), ("1m", 1)] {
        let mut query = Query::new(&[("spark.sql.adaptive.coalescePartitions.minPartitionSize", smallest)]);
        let (table, [k, _]) = query.table("t", 100_000);
        let plan = query.count_by(table, Some(&k));
        let step = after(&mut query, plan, vec![MIB / 16; 16]);
        assert_eq!(specs(&step.start[0]).len(), tasks, "{smallest}");
    }
    let mut query = Query::new(&[("spark.sql.adaptive.coalescePartitions.initialPartitionNum", "32")]);
    let (table, [k, _]) = query.table("t", 10_000);
    let plan = query.count_by(table, Some(&k));
    assert!(stages(&query.step(&mut query.planner(plan))).contains(", 32)"));
}
