//! Inputs of a union: each is divided by its own sizes.

use firesteel_common::{ExchangeId, PartitionSpec};
use firesteel_expr::Expr;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan, RepartitionKind, TaskInput, TaskLayout};

use super::Step;
use super::tests::{Query, as_it_is, rules};

const MIB: u64 = (1 << 20) / 16;
const NOTHING: PartitionSpec = PartitionSpec::Whole(0..0);

fn union(query: &Query, inputs: Vec<LogicalPlan>) -> LogicalPlan {
    let fresh = |column: firesteel_expr::ColumnRef| firesteel_expr::ColumnRef { id: query.ids.column(), ..column };
    let columns = inputs[0].columns().into_iter().map(fresh).collect();
    LogicalPlan { id: query.ids.node(), op: LogicalOp::Union { columns }, inputs }
}

fn counted(query: &mut Query, name: &str) -> LogicalPlan {
    let (table, [_, value]) = query.table(name, 100_000);
    query.count_by(table, Some(&value))
}

/// What each task of the last stage reads of the first exchanges, by first partition.
fn tasks(step: &Step) -> Vec<[PartitionSpec; 2]> {
    assert!(step.done);
    let TaskLayout::PerInput(tasks) = &step.start[0].tasks else { panic!("not by partition") };
    let of = |task: &TaskInput| [0, 1].map(|id| task.specs[&ExchangeId(id)].clone());
    let mut tasks: Vec<_> = tasks.iter().map(of).collect();
    tasks.sort_by_key(|specs| format!("{specs:?}"));
    tasks
}

/// Two aggregates, whose exchanges have so many rows by partition.
fn two(settings: &[(&str, &str)], over: impl Fn(&Query, LogicalPlan) -> LogicalPlan, rows: [Vec<u64>; 2]) -> Step {
    let mut query = Query::new(settings);
    let inputs = vec![counted(&mut query, "a"), counted(&mut query, "b")];
    let plan = over(&query, union(&query, inputs));
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    let [first, second] = rows;
    query.finish(0, first);
    query.finish(1, second);
    query.step(&mut planner)
}

#[test]
fn a_large_input_keeps_its_tasks_beside_a_small_one() {
    let step = two(&[], as_it_is, [vec![3 * MIB; 16], vec![1000; 16]]);
    let large = |range| [PartitionSpec::Whole(range), NOTHING];
    assert_eq!(
        tasks(&step),
        [[NOTHING, PartitionSpec::Whole(0..16)], large(0..4), large(12..16), large(4..8), large(8..12),]
    );
    assert_eq!(rules(&step), ["CoalesceShufflePartitions"; 2]);
    // The largest first.
    let TaskLayout::PerInput(in_order) = &step.start[0].tasks else { panic!() };
    assert_eq!(in_order[4].specs[&ExchangeId(0)], NOTHING);
}

#[test]
fn the_least_number_of_tasks_is_shared_out_by_bytes() {
    let setting = ("spark.sql.adaptive.coalescePartitions.minPartitionNum", "8");
    let step = two(&[setting], as_it_is, [vec![3 * MIB; 16], vec![MIB; 16]]);
    let of_first = tasks(&step).iter().filter(|specs| specs[1] == NOTHING).count();
    assert_eq!((of_first, tasks(&step).len()), (8, 10));
}

#[test]
fn sizes_are_not_looked_at_when_switched_off() {
    let step = two(&[("spark.sql.adaptive.enabled", "false")], as_it_is, [vec![1; 16], vec![1; 16]]);
    assert_eq!((tasks(&step).len(), step.notes.len()), (32, 0));
    assert!(tasks(&step).iter().all(|specs| specs.iter().filter(|spec| **spec == NOTHING).count() == 1));
}

#[test]
fn a_bound_holds_for_all_inputs_together() {
    let bound = |query: &Query, plan| {
        let op = LogicalOp::Repartition { kind: RepartitionKind::Coalesce, partitions: Some(2) };
        LogicalPlan::unary(query.ids.node(), op, plan)
    };
    let halves = [PartitionSpec::Whole(0..8), PartitionSpec::Whole(8..16)];
    let step = two(&[], bound, [vec![MIB; 16], vec![1; 16]]);
    assert_eq!(tasks(&step), halves.map(|half| [half.clone(), half]));
}

#[test]
fn numbers_of_partitions_may_differ_and_those_of_the_user_are_kept() {
    let mut query = Query::new(&[]);
    let (given, [key, _]) = query.table("given", 1_000_000);
    let op = LogicalOp::Repartition { kind: RepartitionKind::Hash(vec![Expr::Column(key)]), partitions: Some(3) };
    let given = LogicalPlan::unary(query.ids.node(), op, given);
    let counts = counted(&mut query, "counts");
    let plan = union(&query, vec![given, counts]);
    let mut planner = query.planner(plan);
    query.step(&mut planner);
    // The groups are counted first: their number is a guess.
    query.finish(0, vec![100; 16]);
    query.finish(1, vec![100; 3]);
    let step = query.step(&mut planner);
    let one = |i| [NOTHING, PartitionSpec::Whole(i..i + 1)];
    assert_eq!(tasks(&step), [one(0), one(1), one(2), [PartitionSpec::Whole(0..16), NOTHING]]);
}

#[test]
fn a_skewed_join_is_cut_and_its_neighbour_is_not() {
    let mut query = Query::new(&[("spark.sql.autoBroadcastJoinThreshold", "-1")]);
    let (left, [lk, _]) = query.table("l", 100_000_000);
    let (right, [rk, _]) = query.table("r", 10_000_000);
    let joined = query.join(JoinKind::LeftSemi, left, right, &lk, &rk);
    let counts = counted(&mut query, "counts");
    let plan = union(&query, vec![joined, counts]);
    let mut planner = query.planner(plan);
    let mut step = query.step(&mut planner);
    let mut started = 0;
    // Build side, probe side and groups, in whatever order they are started.
    while !step.done {
        let sizes = |stage: &firesteel_plan::Stage| {
            let partitions = stage.output.distribution.partitions() as usize;
            let mut rows = vec![10_000; partitions];
            if firesteel_plan::display::stage_text(stage).contains("Scan l[") {
                rows[3] = 40_000_000;
            }
            (stage.output.id.0, rows)
        };
        let finished: Vec<_> = step.start.iter().map(sizes).collect();
        started += finished.len();
        finished.into_iter().for_each(|(id, rows)| query.finish(id, rows));
        step = query.step(&mut planner);
    }
    assert_eq!(started, 3);
    assert!(rules(&step).contains(&"OptimizeSkewedJoin"), "{:?}", rules(&step));
    let TaskLayout::PerInput(tasks) = &step.start[0].tasks else { panic!("not by partition") };
    for task in tasks {
        assert_eq!(task.specs.len(), 3);
        let slices = task.specs.values().filter(|spec| matches!(spec, PartitionSpec::Slice { .. })).count();
        let nothing = task.specs.values().filter(|spec| **spec == NOTHING).count();
        assert!(matches!((slices, nothing), (1, 1) | (0, 1 | 2)), "{task:?}");
    }
}

/// A scan of so many rows, between counts whose exchange has `counts` by partition; the last step.
fn beside_a_scan(settings: &[(&str, &str)], rows: u64, counts: Vec<u64>) -> Step {
    let mut query = Query::new(settings);
    let counted = counted(&mut query, "counts");
    let (scan, _) = query.table("scan", rows);
    let plan = union(&query, vec![counted, scan]);
    let mut planner = query.planner(plan);
    assert_eq!(query.step(&mut planner).start.len(), 1, "the scan is not moved");
    query.finish(0, counts);
    let step = query.step(&mut planner);
    assert_eq!(step.start[0].id.0, 1, "one exchange and the result");
    step
}

#[test]
fn a_scan_beside_partitions_is_read_by_their_tasks_and_by_idle_workers() {
    let all = |range| TaskInput { specs: [(ExchangeId(0), PartitionSpec::Whole(range))].into() };
    let tasks = |step: &Step| match &step.start[0].tasks {
        TaskLayout::PerInput(tasks) => tasks.clone(),
        other => panic!("{other:?}"),
    };
    // Few counts: one task has them, four workers have the scan.
    let step = beside_a_scan(&[], 10_000_000, vec![100; 16]);
    assert_eq!(tasks(&step), [all(0..16), all(0..0), all(0..0), all(0..0)]);
    // A small scan needs no task of its own.
    assert_eq!(tasks(&beside_a_scan(&[], 1_000, vec![100; 16])), [all(0..16)]);
    // There are enough tasks.
    assert_eq!(tasks(&beside_a_scan(&[], 10_000_000, vec![40 * MIB; 16])).len(), 16);
    let off = [("spark.sql.adaptive.enabled", "false")];
    assert_eq!(tasks(&beside_a_scan(&off, 10_000_000, vec![100; 16])).len(), 16);
}

#[test]
fn what_one_task_must_see_still_ends_a_stage_beside_a_scan() {
    let mut query = Query::new(&[]);
    let (table, _) = query.table("t", 1_000_000);
    let total = query.count_by(table, None);
    let (other, [key, _]) = query.table("scan", 1_000_000);
    let exprs = vec![(key.clone(), Expr::Column(key))];
    let scan = LogicalPlan::unary(query.ids.node(), LogicalOp::Project { exprs }, other);
    let plan = union(&query, vec![total, scan]);
    let mut planner = query.planner(plan);
    let mut step = query.step(&mut planner);
    while !step.done {
        step.start.iter().for_each(|stage| query.finish(stage.output.id.0, vec![1]));
        step = query.step(&mut planner);
    }
    assert_eq!(step.start[0].id.0, 2, "half counts, the count, and the result");
    assert!(matches!(step.start[0].tasks, TaskLayout::Elastic { .. }));
}
