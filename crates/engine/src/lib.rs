//! Firesteel: a SQL query engine with Spark's dialect, stages and adaptive query execution, without a JVM.
//!
//! A [`Session`] holds settings, tables and views. [`Session::sql`] gives a lazy [`DataFrame`]; its actions
//! (`collect`, `stream`, `count`, …) run it: the plan is cut into stages at exchanges, and after each stage the rest
//! is planned again with exact sizes.
//!
//! ```
//! # fn main() -> Result<(), firesteel::Error> {
//! # futures::executor::block_on(async {
//! use firesteel::Session;
//!
//! let session = Session::builder().threads(2).build()?;
//! let df = session.sql("SELECT n, n * n AS square FROM VALUES (1), (2), (3) AS t(n) WHERE n > 1").await?;
//! let batches = df.collect().await?;
//! assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! Actions are async but need no particular runtime: work runs on threads of the session, so they can be awaited
//! from a current-thread runtime or `futures::executor::block_on`.

mod analyze;
mod column;
mod command;
pub mod dataframe;
pub mod display;
mod explain;
pub mod functions;
mod history;
mod params;
pub mod query;
mod reader;
mod resolve;
mod resolver;
pub mod result;
pub mod session;
mod udf;
mod window;
mod writer;

/// Names of the rules that `spark.sql.optimizer.excludedRules` takes, and of those that decide while a query runs, which
/// `spark.sql.adaptive.optimizer.excludedRules` takes.
pub fn rule_names() -> (Vec<&'static str>, Vec<&'static str>) {
    use firesteel_optimizer::optimizer::Optimizer;
    (Optimizer::rule_names(), Optimizer::ADAPTIVE_RULES.to_vec())
}

pub use arrow;
pub use column::{Column, IntoColumns, Operand, TypeName};
pub use dataframe::{Condition, DataFrame, GroupedData, JoinOn, JoinType};
pub use explain::ExplainMode;
pub use firesteel_common::{Config, Error, ErrorKind, Result, Scalar, Span, SqlType, config, replace, show};
pub use firesteel_plan::{BuildMode, Effect, Estimate, Evidence, Note};
pub use firesteel_sql::{StatementText, split_statements};
pub use params::Params;
pub use query::{QueryHandle, QueryMetrics, QueryStream};
pub use reader::DataFrameReader;
pub use session::{Session, SessionBuilder};
pub use udf::Udf;
pub use window::{Window, WindowSpec};
pub use writer::{DataFrameWriter, SaveMode};
