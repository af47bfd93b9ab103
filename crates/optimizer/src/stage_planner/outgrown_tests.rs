//! Kept sides that become too large while they are written.

use firesteel_common::{ExchangeId, ExchangeStats};
use firesteel_plan::{Effect, JoinKind, LogicalPlan};

use super::tests::{Query, text};
use super::{StagePlanner, outgrows};

/// A large table, and one that is expected to be small enough to be shared.
fn joined(settings: &[(&str, &str)], rows: [u64; 2]) -> (Query, StagePlanner) {
    let mut query = Query::new(settings);
    let (big, [bk, _]) = query.table("big", rows[0]);
    let (small, [sk, _]) = query.table("small", rows[1]);
    let plan: LogicalPlan = query.join(JoinKind::Inner, big, small, &bk, &sk);
    let mut planner = query.planner(plan);
    let step = query.step(&mut planner);
    assert!(text(&step.start).contains("BroadcastExchange"), "{}", text(&step.start));
    assert_eq!(step.start.len(), 1);
    (query, planner)
}

/// The first exchange has so many rows of 16 bytes, and is still being written.
fn write(query: &mut Query, rows: u64) {
    let stats = ExchangeStats { rows: vec![rows], bytes: vec![rows * 16], ..ExchangeStats::default() };
    query.exchanges.insert(ExchangeId(0), stats);
}

const LIMIT: (&str, &str) = ("spark.sql.autoBroadcastJoinThreshold", "1MB");

#[test]
fn the_probe_side_starts_while_a_side_that_has_outgrown_its_limit_is_written() {
    let (mut query, mut planner) = joined(&[LIMIT], [2_000_000, 1_000]);
    write(&mut query, 60_000);
    assert_eq!(query.step(&mut planner), super::Step::default());
    write(&mut query, 70_000);
    let step = query.step(&mut planner);
    let stage = text(&step.start);
    assert!(stage.contains("hashpartitioning(big_k#0"), "{stage}");
    assert_eq!((step.start.len(), step.notes.len()), (1, 1));
    let note = &step.notes[0];
    assert_eq!(note.rule, "DynamicJoinSelection");
    assert!(matches!(note.effect, Effect::JoinStrategy { .. }));
    assert_eq!(
        format!("{}: {}", note.subject, note.because),
        "stage 0: ShuffledHashJoin instead of BroadcastHashJoin on big_k#0 = small_k#2: small_k#2 was estimated at 1,000 \
         rows (15.6 KiB), it has 70,000 rows (1.1 MiB) so far (limit 1 MiB)"
    );
    // It is told once.
    write(&mut query, 90_000);
    assert_eq!(query.step(&mut planner), super::Step::default());

    query.finish(0, vec![100_000]);
    let step = query.step(&mut planner);
    let stage = text(&step.start);
    assert!(stage.contains("hashpartitioning(small_k#2") && stage.contains("QueryStage 0"), "{stage}");
    query.finish(1, vec![125_000; 16]);
    query.finish(2, vec![6_250; 16]);
    let step = query.step(&mut planner);
    assert!(step.done && text(&step.start).contains("ShuffledHashJoin"), "{}", text(&step.start));
}

#[test]
fn the_other_side_is_kept_if_that_is_smaller() {
    let (mut query, mut planner) = joined(&[LIMIT], [20_000, 1_000]);
    write(&mut query, 70_000);
    let step = query.step(&mut planner);
    let stage = text(&step.start);
    assert!(stage.contains("BroadcastExchange") && stage.contains("Scan big"), "{stage}");
    let effects: Vec<_> = step.notes.iter().map(|note| &note.effect).collect();
    assert!(matches!(effects.as_slice(), [Effect::BuildSide { .. }]), "{effects:?}");
}

#[test]
fn what_settles_the_join_otherwise_is_left_alone() {
    for setting in [
        ("spark.sql.adaptive.enabled", "false"),
        ("spark.sql.adaptive.optimizer.excludedRules", "DynamicJoinSelection"),
        ("spark.sql.adaptive.autoBroadcastJoinThreshold", "100MB"),
    ] {
        let (mut query, mut planner) = joined(&[LIMIT, setting], [10_000_000, 1_000]);
        write(&mut query, 70_000);
        assert_eq!(query.step(&mut planner), super::Step::default(), "{setting:?}");
    }
    // What is shared all the same, as pairs without keys must be, is not shared for its size.
    for setting in [("firesteel.exchange.mode", "partitioned"), ("spark.sql.autoBroadcastJoinThreshold", "-1")] {
        assert!(!outgrows(1_000_000, 1 << 40, &Query::new(&[setting]).config), "{setting:?}");
    }
    assert!(outgrows(1_000_000, 1 << 40, &Query::new(&[]).config));
}
