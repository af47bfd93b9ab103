//! What a rule of the optimizer is, and what it may look at.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use firesteel_catalog::{TableRef, TableStatistics};
use firesteel_common::{Config, IdGenerator, NodeId, Result};
use firesteel_expr::EvalContext;
use firesteel_plan::LogicalPlan;

use crate::fingerprint::Pins;
use crate::remembered::Remembered;

/// Everything that planning depends on besides the plan.
pub struct OptimizerContext<'a> {
    /// Settings of the session when the query began.
    pub config: &'a Config,
    /// Fresh ids of the query.
    pub ids: &'a IdGenerator,
    /// For folding: functions, ANSI mode, time zone, start of the query.
    pub eval: &'a EvalContext,
    /// Statistics of tables.
    pub tables: &'a dyn TableStats,
    /// What was measured since the query began.
    pub facts: &'a PlanFacts,
    /// Who runs the tasks.
    pub workers: Workers,
}

/// Who runs the tasks of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Tasks that are run at the same time.
    pub tasks: usize,
    /// How many of them the processor runs at once: more than that share its cores.
    pub cores: usize,
}

impl Workers {
    /// So many tasks on a processor of so many cores.
    pub fn new(tasks: usize, cores: usize) -> Self {
        Self { tasks, cores: tasks.min(cores) }
    }
}

impl fmt::Debug for OptimizerContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OptimizerContext").field("facts", self.facts).finish_non_exhaustive()
    }
}

/// Statistics of the tables that a query reads.
pub trait TableStats: Send + Sync {
    /// What is known of a table; `None` if nothing is.
    fn statistics(&self, table: &TableRef) -> Option<Arc<TableStatistics>>;

    /// The files of a table, with sizes and times, as a number: another one means other rows. `None` if it is not known.
    fn identity(&self, _table: &TableRef) -> Option<u64> {
        None
    }
}

/// What was measured since the query began.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct PlanFacts {
    /// By scan: the fraction of a sample's rows that satisfies the filters of the scan.
    pub selectivity: BTreeMap<NodeId, f64>,
    /// What earlier queries have counted.
    pub remembered: Arc<Remembered>,
    /// Names of what has started, to find what is remembered of plans over it.
    pub(crate) names: Pins,
}

/// When a rule is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the query starts.
    Once,
    /// Before the query starts and whenever a stage has ended.
    EveryStep,
}

/// A rewrite of a logical plan to one that returns the same rows in the same columns.
///
/// A rule is idempotent: applied to its own result it changes nothing.
pub trait OptimizerRule: Send + Sync {
    /// Name, as `spark.sql.optimizer.excludedRules` and notes have it.
    fn name(&self) -> &'static str;

    /// Its name where the rest of a query is planned again, as `spark.sql.adaptive.optimizer.excludedRules` and the
    /// notes of decisions have it.
    fn adaptive_name(&self) -> &'static str {
        self.name()
    }

    /// When it is applied.
    fn phase(&self) -> Phase {
        Phase::Once
    }

    /// Whether plans cannot be run without it, so that it cannot be switched off.
    fn is_required(&self) -> bool {
        false
    }

    /// The rewritten plan. Errors are defects of the query that only show here, or our bugs.
    fn rewrite(&self, plan: LogicalPlan, cx: &OptimizerContext<'_>) -> Result<LogicalPlan>;
}
