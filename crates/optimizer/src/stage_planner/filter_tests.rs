//! Filters that finished stages make for scans of later ones, and scans that wait for them.

use firesteel_common::{ExchangeId, SqlType};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::display::stage_text;
use firesteel_plan::{FilterSource, JoinKind, LogicalOp, LogicalPlan, Scan};

use super::Step;
use super::tests::Query;

/// `big` counted by key, joined with `small` in the way of `kind`.
fn counted_join(query: &mut Query, kind: JoinKind, rows: u64, small: u64) -> (LogicalPlan, [ColumnRef; 2]) {
    let (big, [bk, _]) = query.table("big", rows);
    let (small, [sk, _]) = query.table("small", small);
    let counted = query.count_by(big, Some(&bk));
    (query.join(kind, counted, small, &bk, &sk), [bk, sk])
}

fn held(step: &Step) -> bool {
    step.notes.iter().any(|note| note.rule == "HoldBackProbeSide")
}

fn tables(step: &Step) -> Vec<String> {
    let scans =
        |stage| stage_text(stage).lines().filter(|l| l.contains("Scan ")).map(str::to_owned).collect::<Vec<_>>();
    step.start.iter().flat_map(scans).collect()
}

#[test]
fn a_scan_below_an_aggregate_waits_for_the_keys_of_the_join_above() {
    let mut query = Query::new(&[]);
    let (plan, _) = counted_join(&mut query, JoinKind::Inner, 10_000_000, 1_000);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert_eq!(step.start.len(), 1, "{:?}", tables(&step));
    assert!(tables(&step)[0].contains("Scan small") && held(&step));

    query.finish(0, vec![204]);
    let step = query.step(&mut planner);
    let [stage] = step.start.as_slice() else { panic!("{:?}", tables(&step)) };
    let [FilterSource { id, exchange: ExchangeId(0), column: 0 }] = stage.filters.as_slice() else {
        panic!("{:?}", stage.filters)
    };
    assert!(
        tables(&step)[0].contains(&format!("RuntimeFilters: [runtimefilter#{id}(big_k#0)]")),
        "{:?}",
        tables(&step)
    );
    let note = step.notes.iter().find(|note| note.rule == "InjectRuntimeFilter").unwrap();
    assert_eq!(note.because, "stage 1 reads only rows of big whose big_k#0 is among its 204 keys");
    assert!(step.release.is_empty());
}

#[test]
fn a_scan_does_not_wait_for_keys_that_would_keep_most_rows() {
    let mut query = Query::new(&[]);
    let (plan, _) = counted_join(&mut query, JoinKind::Inner, 1_000_000, 900_000);
    let step = query.step(&mut query.planner(plan));
    assert_eq!(step.start.len(), 2, "{:?}", tables(&step));
}

#[test]
fn keys_that_turn_out_to_be_many_make_no_filter() {
    let mut query = Query::new(&[]);
    let (plan, _) = counted_join(&mut query, JoinKind::Inner, 10_000_000, 1_000);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    query.finish(0, vec![9_000_000]);
    let step = query.step(&mut planner);
    assert!(step.start.iter().all(|stage| stage.filters.is_empty()));
}

#[test]
fn rows_that_an_outer_join_returns_are_not_filtered() {
    for kind in [JoinKind::Left, JoinKind::Full, JoinKind::LeftAnti] {
        let mut query = Query::new(&[]);
        let (plan, _) = counted_join(&mut query, kind.clone(), 10_000_000, 1_000);
        let step = query.step(&mut query.planner(plan));
        assert_eq!(step.start.len(), 2, "{kind:?} {:?}", tables(&step));
    }
}

#[test]
fn the_rows_that_a_limit_counts_are_not_filtered() {
    let mut query = Query::new(&[]);
    let (big, [bk, _]) = query.table("big", 10_000_000);
    let (small, [sk, _]) = query.table("small", 1_000);
    let first = query.sort(big, &bk, Some(100_000));
    let plan = query.join(JoinKind::Inner, first, small, &bk, &sk);
    let step = query.step(&mut query.planner(plan));
    assert!(!held(&step) && step.start.len() == 2, "{:?}", tables(&step));
}

#[test]
fn without_adaptive_execution_no_stage_waits() {
    let mut query = Query::new(&[("spark.sql.adaptive.enabled", "false")]);
    let (plan, _) = counted_join(&mut query, JoinKind::Inner, 10_000_000, 1_000);
    let step = query.step(&mut query.planner(plan));
    assert!(!held(&step) && step.start.len() == 2);
}

#[test]
fn an_excluded_rule_makes_no_filter() {
    let mut query = Query::new(&[("spark.sql.adaptive.optimizer.excludedRules", "InjectRuntimeFilter")]);
    let (plan, _) = counted_join(&mut query, JoinKind::Inner, 10_000_000, 1_000);
    let step = query.step(&mut query.planner(plan));
    assert!(!held(&step) && step.start.len() == 2);
}

#[test]
fn keys_of_another_width_filter_too() {
    let mut query = Query::new(&[]);
    let (big, [mut bk, bv]) = query.table("big", 10_000_000);
    let (small, [sk, _]) = query.table("small", 1_000);
    bk.ty = SqlType::Int;
    let LogicalPlan { id, op: LogicalOp::Scan(scan), .. } = big else { panic!("not a scan") };
    let columns = vec![bk.clone(), bv];
    let scan = Scan { columns: columns.clone(), source: columns, ..scan };
    let counted = query.count_by(LogicalPlan::leaf(id, LogicalOp::Scan(scan)), Some(&bk));
    let mut plan = query.join(JoinKind::Inner, counted, small, &bk, &sk);
    let LogicalOp::Join { on, .. } = &mut plan.op else { panic!("not a join") };
    on[0].left = Expr::Column(bk).cast_to(&SqlType::BigInt);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert!(held(&step) && step.start.len() == 1, "{:?}", tables(&step));
    query.finish(0, vec![204]);
    let step = query.step(&mut planner);
    assert_eq!(step.start[0].filters.len(), 1, "{:?}", tables(&step));
}
