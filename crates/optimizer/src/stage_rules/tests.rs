//! What the rules do together is tested with the stage planner; here, what must not happen.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_common::{Config, ExchangeId, ExchangeStats, NodeId, PartitionSpec};
use firesteel_plan::{
    Distribution, Estimate, Exchange, ExchangeForm, ExchangeOrigin, PhysicalOp, PhysicalPlan, ReadMode,
};

use super::{Input, StageInputs, one_task, tasks_by_partition};

fn read() -> PhysicalPlan {
    PhysicalPlan {
        id: NodeId(0),
        origin: NodeId(0),
        op: PhysicalOp::ExchangeRead { exchange: ExchangeId(0), read: ReadMode::Partitioned },
        inputs: Vec::new(),
        output: Vec::new(),
        estimate: Estimate::default(),
    }
}

fn exchange(origin: ExchangeOrigin) -> Exchange {
    let distribution = Distribution::RoundRobin { partitions: 4 };
    Exchange { id: ExchangeId(0), distribution, form: ExchangeForm::Memory, origin }
}

fn tasks(origin: ExchangeOrigin, config: &Config) -> usize {
    let (plan, exchange) = (read(), exchange(origin));
    let stats = ExchangeStats { rows: vec![1; 4], bytes: vec![8; 4], finished: true, ..ExchangeStats::default() };
    let inputs = BTreeMap::from([(ExchangeId(0), Input { exchange: &exchange, stats: Some(&stats) })]);
    let stage =
        StageInputs { plan: &plan, inputs, partitions: 4, share: 1.0, may_cut: true, config, workers: 2, cores: 2 };
    tasks_by_partition(&stage).unwrap().tasks.len()
}

#[test]
fn a_number_that_the_user_gave_is_kept() {
    let config = Config::default();
    assert_eq!(tasks(ExchangeOrigin::Planner, &config), 1);
    assert_eq!(tasks(ExchangeOrigin::User, &config), 4);
    let off = Config { coalesce_partitions: false, ..Config::default() };
    assert_eq!(tasks(ExchangeOrigin::Planner, &off), 4);
}

#[test]
fn one_task_reads_all_partitions() {
    let task = one_task(&BTreeSet::from([ExchangeId(3)]));
    assert_eq!(task.specs[&ExchangeId(3)], PartitionSpec::All);
}
