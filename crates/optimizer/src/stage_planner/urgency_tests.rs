//! Which of several stages that are ready is started first.

use firesteel_expr::{ColumnRef, Expr, op};
use firesteel_plan::display::stage_text;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};

use super::Step;
use super::tests::Query;

/// `input` with a filter that no statistics tell the effect of.
fn guessed(query: &Query, input: LogicalPlan, column: &ColumnRef) -> LogicalPlan {
    let column = || Expr::Column(column.clone());
    let predicate = Expr::predicate(op::NOT_EQ, vec![column(), column()]);
    LogicalPlan::unary(query.ids.node(), LogicalOp::Filter { predicate }, input)
}

/// Two small tables joined to a large one; of the second, an unknown part is left.
fn step(settings: &[(&str, &str)], guess: [bool; 2]) -> Step {
    let mut query = Query::new(settings);
    let (big, [bk, bv]) = query.table("big", 10_000_000);
    let (one, [ok, ov]) = query.table("one", 40_000);
    let (two, [tk, tv]) = query.table("two", 50_000);
    let one = if guess[0] { guessed(&query, one, &ov) } else { one };
    let two = if guess[1] { guessed(&query, two, &tv) } else { two };
    let inner = query.join(JoinKind::Inner, big, one, &bk, &ok);
    let plan = query.join(JoinKind::Inner, inner, two, &bv, &tk);
    let mut planner = query.planner(plan);
    query.step(&mut planner)
}

fn order(step: &Step) -> Vec<&'static str> {
    let name = |text: String| if text.contains("Scan one") { "one" } else { "two" };
    step.start.iter().map(|stage| name(stage_text(stage))).collect()
}

#[test]
fn the_stage_that_most_hangs_on_is_first() {
    for (guess, first) in [([true, false], "one"), ([false, true], "two")] {
        let step = step(&[], guess);
        assert_eq!((step.start.len(), order(&step)[0]), (2, first));
        assert!(step.start[0].urgency > 0 && step.start[1].urgency == 0, "{:?}", order(&step));
    }
}

#[test]
fn what_needs_no_guess_stays_in_the_order_of_the_plan() {
    let plain = step(&[], [false, false]);
    assert!(plain.start.iter().all(|stage| stage.urgency == 0) && plain.notes.is_empty());
    for settings in [
        ("spark.sql.adaptive.enabled", "false"),
        ("spark.sql.adaptive.optimizer.excludedRules", "RunMostUncertainFirst"),
    ] {
        for guess in [[true, false], [false, true]] {
            assert_eq!(order(&step(&[settings], guess)), order(&plain));
        }
    }
}

#[test]
fn another_order_than_that_of_the_plan_is_explained() {
    let plain = step(&[], [false, false]);
    let noted = [[true, false], [false, true]].map(|guess| {
        let step = step(&[], guess);
        let moved = order(&step) != order(&plain);
        assert_eq!(step.notes.iter().any(|note| note.rule == "RunMostUncertainFirst"), moved);
        moved
    });
    assert!(noted.contains(&true));
}
