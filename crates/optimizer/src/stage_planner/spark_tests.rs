//! Spark's adaptive rules on joins and small inputs, and the cases in which they decline to act.

use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::display::stage_text;
use firesteel_plan::{
    BuildMode, JoinKind, LogicalOp, LogicalPlan, PhysicalOp, PhysicalPlan, ReadMode, RepartitionKind,
};

use super::Step;
use super::tests::Query;

fn modes(plan: &PhysicalPlan) -> Vec<BuildMode> {
    let mut modes = Vec::new();
    plan.visit(&mut |node| {
        if let PhysicalOp::HashJoin(join) = &node.op {
            modes.push(join.mode);
        }
    });
    modes
}

fn names(step: &Step) -> String {
    step.start.iter().map(stage_text).collect()
}

/// The rows by the hash of a key, as the user asks.
fn repartition(query: &Query, input: LogicalPlan, key: &ColumnRef) -> LogicalPlan {
    let kind = RepartitionKind::Hash(vec![Expr::Column(key.clone())]);
    LogicalPlan::unary(query.ids.node(), LogicalOp::Repartition { kind, partitions: None }, input)
}

/// How two tables are joined that have been partitioned by the keys, with rows in so many of 16 partitions.
fn strategy(settings: &[(&str, &str)], kind: JoinKind, filled: [usize; 2]) -> BuildMode {
    let mut query = Query::new(settings);
    let (left, [lk, _]) = query.table("l", 10_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let (left, right) = (repartition(&query, left, &lk), repartition(&query, right, &rk));
    let plan = query.join(kind, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    let written = |filled: usize| (0..16).map(|i| if i < filled { 1_000 } else { 0 }).collect::<Vec<u64>>();
    let mut started = Vec::new();
    let mut noted = false;
    loop {
        let step = query.step(&mut planner);
        noted |= step.notes.iter().any(|note| note.rule == "DemoteBroadcastHashJoin");
        if step.done {
            break;
        }
        let all = planner.stages().len();
        for id in started.len()..all {
            let is_left = stage_text(&planner.stages()[id]).contains("Scan l");
            query.finish(id as u32, written(filled[usize::from(!is_left)]));
            started.push(id);
        }
    }
    let mode = modes(&planner.final_plan().unwrap())[0];
    assert_eq!(noted, mode == BuildMode::Partitioned, "a decision is noted, and nothing else");
    mode
}

#[test]
fn a_join_of_partitions_that_are_mostly_empty_is_not_shared() {
    assert_eq!(strategy(&[], JoinKind::Inner, [16, 16]), BuildMode::Shared);
    assert_eq!(strategy(&[], JoinKind::Inner, [3, 3]), BuildMode::Partitioned);
    // Three of 16 are less than a fifth, four are not.
    assert_eq!(strategy(&[], JoinKind::Inner, [4, 4]), BuildMode::Shared);
    let ratio = ("spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin", "0");
    assert_eq!(strategy(&[ratio], JoinKind::Inner, [3, 3]), BuildMode::Shared);
    let excluded = ("spark.sql.adaptive.optimizer.excludedRules", "DemoteBroadcastHashJoin");
    assert_eq!(strategy(&[excluded], JoinKind::Inner, [3, 3]), BuildMode::Shared);
    // All rows of the outer side are read anyway.
    assert_eq!(strategy(&[], JoinKind::Left, [16, 3]), BuildMode::Shared);
}

#[test]
fn rows_that_the_user_has_placed_are_read_by_partition() {
    let mut query = Query::new(&[]);
    let (table, [key, _]) = query.table("t", 10_000_000);
    let plan = repartition(&query, table, &key);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    query.finish(0, vec![1_000; 16]);
    let reads = query.step(&mut planner).start[0].plan.reads();
    assert_eq!(reads.into_iter().map(|(_, read)| read).collect::<Vec<_>>(), [ReadMode::Partitioned]);
}

#[test]
fn one_row_needs_no_order_and_is_a_group() {
    for (excluded, sorted) in [("", false), ("OptimizeOneRowPlan", true)] {
        let mut query = Query::new(&[("spark.sql.adaptive.optimizer.excludedRules", excluded)]);
        let (table, [key, _]) = query.table("t", 10_000_000);
        let plan = query.sort(table, &key, None);
        let mut planner = query.planner(plan);
        query.step(&mut planner);
        query.finish(0, vec![1]);
        let step = query.step(&mut planner);
        assert!(step.done);
        assert_eq!(names(&step).contains("Sort"), sorted, "{}", names(&step));
    }
}

#[test]
fn files_are_left_out_by_the_keys_of_a_join_on_their_partition() {
    for (enabled, pruned) in [("true", true), ("false", false)] {
        let mut query = Query::new(&[("spark.sql.optimizer.dynamicPartitionPruning.enabled", enabled)]);
        let (fact, [fk, _]) = query.table("fact", 10_000_000);
        let (dimension, [dk, _]) = query.table("dimension", 100);
        query.partition_by_key(&fact);
        let plan = query.join(JoinKind::Inner, fact, dimension, &fk, &dk);
        let mut planner = query.planner(plan);
        query.step(&mut planner);
        query.finish(0, vec![10]);
        let step = query.step(&mut planner);
        let noted = step.notes.iter().any(|note| note.rule == "PlanDynamicPruningFilters");
        assert_eq!((noted, names(&step).contains("RuntimeFilters")), (pruned, pruned), "{}", names(&step));
    }
}
