//! Join hints: what they decide, whatever is counted, and what they do not.

use firesteel_plan::{
    BuildMode, HashJoin, JoinHint, JoinKind, JoinStrategy, LogicalOp, LogicalPlan, PhysicalOp, PhysicalPlan, Side,
};

use super::StagePlanner;
use super::tests::Query;

/// `big` joined with `small`, hinted.
fn join(query: &mut Query, kind: JoinKind, hint: JoinHint, big: u64, small: u64) -> LogicalPlan {
    let (big, [bk, _]) = query.table("big", big);
    let (small, [sk, _]) = query.table("small", small);
    let mut plan = query.join(kind, big, small, &bk, &sk);
    if let LogicalOp::Join { hint: of_plan, .. } = &mut plan.op {
        *of_plan = hint;
    }
    plan
}

fn hash_join(plan: Option<PhysicalPlan>) -> HashJoin {
    let mut found = None;
    let plan = plan.unwrap();
    plan.visit(&mut |node| {
        if let PhysicalOp::HashJoin(join) = &node.op {
            found = Some(join.clone());
        }
    });
    found.unwrap()
}

fn right(strategy: JoinStrategy) -> JoinHint {
    JoinHint { left: None, right: Some(strategy) }
}

fn left(strategy: JoinStrategy) -> JoinHint {
    JoinHint { left: Some(strategy), right: None }
}

/// The strategy, and the key of the side that is kept; sides may have been swapped.
fn shape(planner: &StagePlanner) -> (BuildMode, String) {
    let join = hash_join(planner.final_plan());
    let kept = if join.build == Side::Left { &join.on[0].left } else { &join.on[0].right };
    (join.mode, kept.to_string())
}

#[test]
fn broadcast_is_kept_whatever_the_size_turns_out_to_be() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "1k")]);
    let hint = right(JoinStrategy::Broadcast);
    let plan = join(&mut query, JoinKind::Inner, hint, 1_000_000, 1_000_000);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let expected = (BuildMode::Shared, "small_k#2".to_owned());
    assert_eq!(shape(&planner), expected);
    query.finish(0, vec![50_000_000]);
    assert!(query.step(&mut planner).done);
    assert_eq!(shape(&planner), expected);
}

#[test]
fn shuffles_are_kept_although_a_side_turns_out_to_be_small() {
    for strategy in [JoinStrategy::ShuffleHash, JoinStrategy::ShuffleMerge] {
        let mut query = Query::new(&[]);
        let plan = join(&mut query, JoinKind::Inner, left(strategy), 1_000_000, 1_000_000);
        let mut planner = query.planner(plan);
        // Neither side waits for the other: no size could change the plan.
        assert_eq!(query.step(&mut planner).start.len(), 2);
        query.finish(0, vec![1; 16]);
        query.step(&mut planner);
        query.finish(1, vec![1; 16]);
        assert!(query.step(&mut planner).done);
        let (mode, kept) = shape(&planner);
        assert_eq!(mode, BuildMode::Partitioned);
        assert!(strategy == JoinStrategy::ShuffleMerge || kept == "big_k#0", "{kept}");
    }
}

#[test]
fn a_side_that_the_kind_forbids_to_keep_is_not_kept() {
    let mut query = Query::new(&[]);
    let plan = join(&mut query, JoinKind::LeftSemi, left(JoinStrategy::Broadcast), 1_000_000, 1_000);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let join = hash_join(planner.final_plan());
    assert_eq!((join.build, join.hint), (Side::Right, None));
}

#[test]
fn all_pairs_are_tried_where_that_is_asked_for() {
    let mut query = Query::new(&[]);
    let plan = join(&mut query, JoinKind::Inner, right(JoinStrategy::ShuffleReplicateNl), 1_000, 1_000);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let mut loops = 0;
    planner.final_plan().unwrap().visit(&mut |node| {
        loops += usize::from(matches!(&node.op, PhysicalOp::NestedLoopJoin { condition: Some(_), .. }));
    });
    assert_eq!(loops, 1);
}

#[test]
fn a_hint_stays_with_its_relation_when_joins_are_ordered() {
    let mut query = Query::new(&[]);
    let (a, [ak, av]) = query.table("a", 1_000_000);
    let (b, [bk, _]) = query.table("b", 500_000);
    let (c, [ck, _]) = query.table("c", 10);
    let ab = query.join(JoinKind::Inner, a, b, &ak, &bk);
    let mut plan = query.join(JoinKind::Inner, ab, c, &av, &ck);
    if let LogicalOp::Join { hint, .. } = &mut plan.inputs[0].op {
        *hint = right(JoinStrategy::ShuffleHash);
    }
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let mut hinted = Vec::new();
    planner.final_plan().unwrap().visit(&mut |node| {
        if let PhysicalOp::HashJoin(HashJoin { hint: Some(_), on, build, mode, .. }) = &node.op {
            let kept = if *build == Side::Left { &on[0].left } else { &on[0].right };
            hinted.push((*mode, kept.to_string()));
        }
    });
    assert_eq!(hinted, [(BuildMode::Partitioned, bk.to_string())]);
}
