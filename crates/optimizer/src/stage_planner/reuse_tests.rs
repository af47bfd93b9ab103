//! Equal exchanges are run once.

use firesteel_common::ExchangeId;
use firesteel_plan::{JoinKind, LogicalPlan};

use super::Step;
use super::tests::Query;

/// A table counted by its key, joined with the same counts made from another scan of it.
fn counts_twice(query: &mut Query) -> LogicalPlan {
    let (left, [lk, _]) = query.table("t", 10_000_000);
    let (right, [rk, _]) = query.again(&left);
    let (left, right) = (query.count_by(left, Some(&lk)), query.count_by(right, Some(&rk)));
    query.join(JoinKind::Inner, left, right, &lk, &rk)
}

fn reads(step: &Step) -> Vec<ExchangeId> {
    step.start.iter().flat_map(|stage| stage.plan.reads()).map(|(id, _)| id).collect()
}

#[test]
fn equal_exchanges_are_written_once_and_read_twice() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
    let plan = counts_twice(&mut query);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert_eq!(step.start.len(), 1);
    assert_eq!(step.notes.iter().map(|note| note.rule).collect::<Vec<_>>(), ["ReuseExchange"]);
    assert_eq!(step.notes[0].subject, "stage 0");

    // The build side first, then the probe side with the join.
    query.finish(0, vec![100_000; 16]);
    let step = query.step(&mut planner);
    assert_eq!(reads(&step), [ExchangeId(0)]);
    assert!(!step.done && step.release.is_empty());
    query.finish(1, vec![100_000; 16]);
    let step = query.step(&mut planner);
    assert_eq!(reads(&step), [ExchangeId(0), ExchangeId(1)]);
    assert!(step.done);
}

#[test]
fn a_skewed_partition_that_both_sides_read_is_not_sliced() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
    let (left, [lk, _]) = query.table("t", 10_000_000);
    let (right, [rk, _]) = query.again(&left);
    let plan = query.join(JoinKind::Inner, left, right, &lk, &rk);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let mut rows = vec![10_000; 16];
    rows[3] = 40_000_000;
    query.finish(0, rows);
    let step = query.step(&mut planner);
    assert!(step.done);
    assert_eq!(reads(&step), [ExchangeId(0), ExchangeId(0)]);
    assert!(step.notes.iter().all(|note| note.rule != "OptimizeSkewedJoin"), "{:?}", step.notes);
}

#[test]
fn other_keys_or_another_table_make_another_exchange() {
    for other_table in [false, true] {
        let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
        let (left, [lk, _]) = query.table("t", 10_000_000);
        let (right, [rk, rv]) = if other_table { query.table("u", 10_000_000) } else { query.again(&left) };
        let key = if other_table { rk } else { rv };
        let (left, right) = (query.count_by(left, Some(&lk)), query.count_by(right, Some(&key)));
        let plan = query.join(JoinKind::Inner, left, right, &lk, &key);
        let step = query.step(&mut query.planner(plan));
        assert!(step.notes.iter().all(|note| note.rule != "ReuseExchange"), "{:?}", step.notes);
    }
}

#[test]
fn an_excluded_rule_runs_both() {
    let excluded = ("spark.sql.adaptive.optimizer.excludedRules", "ReuseExchange");
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1"), excluded]);
    let plan = counts_twice(&mut query);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert!(step.notes.iter().all(|note| note.rule != "ReuseExchange"));
    query.finish(0, vec![100_000; 16]);
    let step = query.step(&mut planner);
    assert!(!step.done && step.start.len() == 1);
}

#[test]
fn scans_that_run_or_will_run_are_counted() {
    for (reused, expected) in [(true, 1), (false, 2)] {
        let excluded = ("spark.sql.adaptive.optimizer.excludedRules", if reused { "" } else { "ReuseExchange" });
        let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1"), excluded]);
        let plan = counts_twice(&mut query);
        let mut planner = query.planner(plan);
        let readers = query.step(&mut planner).readers.unwrap();
        assert_eq!(readers.len(), 1);
        let counts: Vec<usize> = readers.into_values().flat_map(|columns| columns.into_values()).collect();
        assert_eq!(counts, [expected; 2], "reused {reused}");
        query.finish(0, vec![100_000; 16]);
        let readers = query.step(&mut planner).readers.unwrap();
        let left: usize = readers.into_values().flat_map(|columns| columns.into_values()).sum();
        assert_eq!(left, 2 * (expected - 1));
    }
}
