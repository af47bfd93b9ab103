//! Running a query: the coordinator, the scheduling of tasks, and where tasks run.
//!
//! Invariant: decides nothing about plans (that is `optimizer`) and computes nothing (that is `exec`).

pub mod cluster;
pub mod coordinator;
pub mod report;
pub mod task_scheduler;

pub use cluster::LocalCluster;
pub use coordinator::{QueryCoordinator, QuerySetup};
pub use report::{Progress, QueryReport, StageReport};
pub use task_scheduler::{Action, Event, TaskScheduler};
