//! Every adaptive rule acts where it should, and without it the stages are others.

use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::display::stage_text;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan, RepartitionKind, TaskLayout};

use super::tests::Query;
use crate::optimizer::Optimizer;

/// Plans a query to its end. `rows` says what a stage writes, given its text. Returns the stages by step with their
/// numbers of tasks, and the rules of all notes.
fn plan(
    settings: &[(&str, &str)],
    build: fn(&mut Query) -> LogicalPlan,
    rows: fn(&str) -> Vec<u64>,
) -> (String, Vec<&'static str>) {
    let mut query = Query::new(settings);
    let logical = build(&mut query);
    let mut planner = query.planner(logical);
    let (mut stages, mut rules) = (String::new(), Vec::new());
    loop {
        let step = query.step(&mut planner);
        stages.push_str(&format!("version {}\n", planner.version()));
        rules.extend(step.notes.iter().map(|note| note.rule));
        for stage in &step.start {
            let text = stage_text(stage);
            query.finish(stage.output.id.0, rows(&text));
            stages.push_str(&text);
            if let TaskLayout::PerInput(tasks) = &stage.tasks {
                stages.push_str(&format!("{} tasks\n", tasks.len()));
            }
        }
        if step.done {
            return (stages, rules);
        }
    }
}

/// Two large tables.
fn two(query: &mut Query) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (other, [ok, _]) = query.table("other", 1_000_000);
    query.join(JoinKind::Inner, big, other, &bk, &ok)
}

/// Of which the right one is kept.
fn two_left(query: &mut Query) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", 100_000_000);
    let (other, [ok, _]) = query.table("other", 10_000_000);
    query.join(JoinKind::Left, big, other, &bk, &ok)
}

/// Three tables, not in the best order.
fn three(query: &mut Query) -> LogicalPlan {
    let (a, [ak, av]) = query.table("big", 1_000_000);
    let (b, [bk, _]) = query.table("b", 500_000);
    let (c, [ck, _]) = query.table("other", 10_000);
    let joined = query.join(JoinKind::Inner, a, b, &ak, &bk);
    query.join(JoinKind::Inner, joined, c, &av, &ck)
}

/// Groups of a large table, joined with a small one.
fn groups(query: &mut Query) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (small, [sk, _]) = query.table("other", 1_000);
    query.join(JoinKind::Inner, query.count_by(big, Some(&bk)), small, &bk, &sk)
}

/// A table joined with itself.
fn twice(query: &mut Query) -> LogicalPlan {
    let (left, [lk, _]) = query.table("big", 10_000_000);
    let (right, [rk, _]) = query.again(&left);
    query.join(JoinKind::Inner, left, right, &lk, &rk)
}

/// A table whose files are in folders by the key that it is joined by.
fn by_partition(query: &mut Query) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (small, [sk, _]) = query.table("other", 1_000);
    query.partition_by_key(&big);
    query.join(JoinKind::Inner, big, small, &bk, &sk)
}

/// A table that is to be rebalanced.
fn rebalanced(query: &mut Query) -> LogicalPlan {
    let (big, _) = query.table("big", 10_000_000);
    let op = LogicalOp::Repartition { kind: RepartitionKind::Rebalance(Vec::new()), partitions: Some(32) };
    LogicalPlan::unary(query.ids.node(), op, big)
}

/// Two tables that have been partitioned by the keys that they are joined by.
fn placed(query: &mut Query) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (other, [ok, _]) = query.table("other", 1_000_000);
    let by = |query: &Query, input, key: &ColumnRef| {
        let kind = RepartitionKind::Hash(vec![Expr::Column(key.clone())]);
        LogicalPlan::unary(query.ids.node(), LogicalOp::Repartition { kind, partitions: None }, input)
    };
    let (big, other) = (by(query, big, &bk), by(query, other, &ok));
    query.join(JoinKind::Inner, big, other, &bk, &ok)
}

/// A large table with two small ones, of which the one that comes last is filtered by what no statistics tell.
fn guessed(query: &mut Query) -> LogicalPlan {
    let (big, [bk, bv]) = query.table("big", 10_000_000);
    let (one, [ok, ov]) = query.table("one", 40_000);
    let (two, [tk, _]) = query.table("other", 1_000);
    let column = || Expr::Column(ov.clone());
    let predicate = Expr::predicate(op::NOT_EQ, vec![column(), column()]);
    let one = LogicalPlan::unary(query.ids.node(), LogicalOp::Filter { predicate }, one);
    let inner = query.join(JoinKind::Inner, big, one, &bk, &ok);
    query.join(JoinKind::Inner, inner, two, &bv, &tk)
}

fn in_one_partition(_: &str) -> Vec<u64> {
    (0..16).map(|i| if i == 3 { 1_000 } else { 0 }).collect()
}

fn few(_: &str) -> Vec<u64> {
    vec![10; 16]
}

fn none_of_other(stage: &str) -> Vec<u64> {
    if stage.contains("Scan other") { vec![0; 16] } else { vec![10_000; 16] }
}

fn skewed(stage: &str) -> Vec<u64> {
    let mut rows = vec![if stage.contains("Scan big") { 10_000 } else { 100 }; 32];
    if stage.contains("Scan big") {
        rows[3] = 40_000_000;
    }
    rows
}

/// More than a worker's share in one partition, which is not enough to be called skewed.
fn uneven(stage: &str) -> Vec<u64> {
    let mut rows = vec![if stage.contains("Scan big") { 312_500 } else { 100 }; 32];
    if stage.contains("Scan big") {
        rows[3] = 10_000_000;
    }
    rows
}

#[test]
fn each_adaptive_rule_can_be_switched_off() {
    const PARTITIONED: (&str, &str) = ("spark.sql.autoBroadcastJoinThreshold", "-1");
    const SHARED: (&str, &str) = ("spark.sql.autoBroadcastJoinThreshold", "1MB");
    type Case = (&'static str, (&'static str, &'static str), fn(&mut Query) -> LogicalPlan, fn(&str) -> Vec<u64>);
    let cases: [Case; 13] = [
        ("AQEPropagateEmptyRelation", PARTITIONED, three, none_of_other),
        ("CostBasedJoinReorder", PARTITIONED, three, few),
        ("DynamicJoinSelection", SHARED, two, few),
        ("DemoteBroadcastHashJoin", SHARED, placed, in_one_partition),
        ("HoldBackProbeSide", SHARED, two, few),
        ("RunMostUncertainFirst", SHARED, guessed, few),
        ("InjectRuntimeFilter", PARTITIONED, groups, few),
        ("ReuseExchange", PARTITIONED, twice, few),
        ("PlanDynamicPruningFilters", SHARED, by_partition, few),
        ("OptimizeSkewedJoin", PARTITIONED, two_left, skewed),
        ("OptimizeSkewInRebalancePartitions", PARTITIONED, rebalanced, skewed),
        ("AddPartitions", PARTITIONED, two_left, uneven),
        ("CoalesceShufflePartitions", PARTITIONED, two_left, skewed),
    ];
    assert_eq!(cases.map(|case| case.0), Optimizer::ADAPTIVE_RULES);
    for (rule, setting, build, rows) in cases {
        let (with, rules) = plan(&[setting], build, rows);
        assert!(rules.contains(&rule), "{rule} did not act: {rules:?}\n{with}");
        let excluded = ("spark.sql.adaptive.optimizer.excludedRules", rule);
        let (without, rules) = plan(&[setting, excluded], build, rows);
        assert!(!rules.contains(&rule), "{rule} acted: {rules:?}\n{without}");
        assert_ne!(with, without, "{rule} changes nothing");
    }
}

#[test]
fn without_join_selection_a_build_side_stays_where_it_is() {
    let settings = ("spark.sql.adaptive.optimizer.excludedRules", "DynamicJoinSelection");
    let two = |query: &mut Query| {
        let (left, [lk, _]) = query.table("l", 100_000);
        let (right, [rk, _]) = query.table("r", 50_000);
        query.join(JoinKind::Inner, left, right, &lk, &rk)
    };
    let (stages, rules) = plan(&[settings], two, |_| vec![5_000_000]);
    assert!(stages.contains("BroadcastQueryStage 0") && !stages.contains("Stage 2"), "{stages}");
    assert!(!rules.contains(&"DynamicJoinSelection"), "{rules:?}");
}
