//! Equi-join with a hash table of one side.
//!
//! The *build* side is kept, the *probe* side streams; either may be the left input, for every kind of join. The parts:
//!
//! - [`JoinSpec`]: the node with columns as positions (`shape` what is returned, `keys` how keys compare);
//! - [`JoinBuild`]: makes the table with any number of threads;
//! - [`JoinTable`]: columns and index of the build side, shared by all tasks that probe it;
//! - [`HashJoinOperator`]: the probe side (`pairs` makes output from pairs, `matches` knows which build
//!   rows have matched).
//!
//! Invariant: the table is read-only once it is ready, but for bits that are only ever set. Build rows that are
//! returned at the end are returned by the last task that reports the end of its input. A null-aware join
//! must see all build rows in one table, since one NULL among them decides.

mod build;
mod expressions;
mod filter;
pub(in crate::operators) mod index;
mod keys;
pub(in crate::operators) mod matches;
mod operator;
pub(in crate::operators) mod pairs;
pub(in crate::operators) mod shape;
mod spec;
pub(in crate::operators) mod table;
#[cfg(test)]
mod tests;

pub use build::JoinBuild;
pub use filter::of_columns as runtime_filter_of;
pub use operator::HashJoinOperator;
pub use spec::JoinSpec;
pub use table::JoinTable;
