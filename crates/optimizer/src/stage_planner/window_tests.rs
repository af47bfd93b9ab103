//! Aggregates that are joined with their own rows.

use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::display::physical_text;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use super::tests::{Query, text};

/// `few` joined by key with `t` and with the counts of `t` by key, where a row's value is less than the count.
struct Parts {
    few: LogicalPlan,
    t: LogicalPlan,
    counts: LogicalPlan,
    keys: [ColumnRef; 3],
    value: ColumnRef,
}

impl Parts {
    /// `below` goes around the scan that is counted.
    fn new(query: &mut Query, few: u64, below: impl FnOnce(LogicalPlan, &ColumnRef) -> LogicalPlan) -> Self {
        let (few, [fk, _]) = query.table("few", few);
        let (t, [tk, tv]) = query.table("t", 10_000_000);
        let (again, [ak, av]) = query.again(&t);
        let counts = query.count_by(below(again, &av), Some(&ak));
        Parts { few, t, counts, keys: [fk, tk, ak], value: tv }
    }

    fn joined(self, query: &Query, comparison: &str) -> LogicalPlan {
        let count = self.counts.columns().remove(1);
        let [few, key, group] = &self.keys;
        let counted = query.join(JoinKind::Inner, self.counts, self.few, group, few);
        let all = query.join(JoinKind::Inner, self.t, counted, key, group);
        let predicate = Expr::predicate(comparison, vec![Expr::Column(self.value), Expr::Column(count)]);
        LogicalPlan::unary(query.ids.node(), LogicalOp::Filter { predicate }, all)
    }
}

/// The first stages and the plan.
fn planned(query: &Query, plan: LogicalPlan) -> (String, String) {
    let mut planner = query.planner(query.optimized(plan));
    let step = query.step(&mut planner);
    (text(&step.start), physical_text(planner.initial_plan().unwrap()))
}

fn keep(plan: LogicalPlan, _: &ColumnRef) -> LogicalPlan {
    plan
}

#[test]
fn rows_of_few_keys_meet_their_count_in_a_window_that_waits_for_the_keys() {
    let mut query = Query::new(&[]);
    let plan = Parts::new(&mut query, 1_000, keep).joined(&query, op::LT);
    let columns = plan.columns();
    let mut planner = query.planner(query.optimized(plan));
    let step = query.step(&mut planner);
    let initial = physical_text(planner.initial_plan().unwrap());
    assert_eq!(initial.matches("Scan t").count(), 1, "{initial}");
    assert!(initial.contains("Window [count(*) AS n#6], [t_k#4], []"), "{initial}");
    assert_eq!(text(&step.start).lines().filter(|line| line.contains("Scan ")).count(), 1, "{}", text(&step.start));
    query.finish(0, vec![200]);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("Scan t[t_k#4, t_v#5] RuntimeFilters"), "{}", text(&step.start));
    query.finish(1, vec![300; 16]);
    let step = query.step(&mut planner);
    assert!(step.done);
    assert_eq!(step.start[0].plan.output, columns);
}

#[test]
fn what_only_the_query_says_is_above_the_window() {
    let mut query = Query::new(&[]);
    let mut parts = Parts::new(&mut query, 1_000, keep);
    let five = Expr::Literal(firesteel_common::Scalar::BigInt(5));
    let LogicalOp::Scan(scan) = &mut parts.t.op else { panic!("not a scan") };
    scan.filters.push(Expr::predicate(op::LT, vec![Expr::Column(parts.value.clone()), five]));
    let plan = parts.joined(&query, op::LT);
    let (_, plan) = planned(&query, plan);
    let window = plan.find("Window").unwrap();
    assert!(plan.find("t_v#3 < 5").is_some_and(|at| at < window) && !plan[window..].contains("DataFilters"), "{plan}");
}

#[test]
fn two_scans_stay_where_a_window_would_hold_much_or_see_other_rows() {
    let counted_twice = |settings: &[(&str, &str)], few, comparison, filtered: bool| {
        let mut query = Query::new(settings);
        let parts = Parts::new(&mut query, few, |plan, value| {
            let five = Expr::Literal(firesteel_common::Scalar::BigInt(5));
            let predicate = Expr::predicate(op::LT, vec![Expr::Column(value.clone()), five]);
            if filtered {
                LogicalPlan::unary(firesteel_common::NodeId(900), LogicalOp::Filter { predicate }, plan)
            } else {
                plan
            }
        });
        let plan = parts.joined(&query, comparison);
        let (_, plan) = planned(&query, plan);
        plan.matches("Scan t").count() == 2 && !plan.contains("Window")
    };
    assert!(!counted_twice(&[], 1_000, op::LT, false));
    assert!(counted_twice(&[], 2_000_000, op::LT, false), "many keys");
    assert!(counted_twice(&[], 1_000, op::LT, true), "the counts are of some rows");
    assert!(counted_twice(&[], 1_000, op::EQ, false), "the count is a join key");
    assert!(counted_twice(&[("spark.sql.adaptive.enabled", "false")], 1_000, op::LT, false), "no filter would come");
    let rule = ("spark.sql.optimizer.excludedRules", "AggregateJoinToWindow");
    assert!(counted_twice(&[rule], 1_000, op::LT, false), "the rule is off");
}
