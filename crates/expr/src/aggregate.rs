//! What an aggregate function is: calls in plans, and accumulators over groups.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use firesteel_common::{ColumnId, Result, Span, SqlType};

use crate::expr::{ColumnRef, Expr};
use crate::function::{EvalContext, FunctionDoc};

/// A call of an aggregate function, its types settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateCall {
    /// Name in the registry.
    pub function: Arc<str>,
    /// Arguments, cast to the types that the function takes. None for `count(*)`.
    pub args: Vec<Expr>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER (WHERE …).
    pub filter: Option<Expr>,
    /// Type of the result.
    pub ty: SqlType,
    /// Whether the result may be NULL.
    pub nullable: bool,
    /// Where it was written.
    pub span: Span,
}

impl fmt::Display for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<String> = self.args.iter().map(Expr::to_string).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let args = if args.is_empty() { "*".to_owned() } else { args.join(", ") };
        write!(f, "{}({distinct}{args})", self.function)?;
        self.filter.as_ref().map_or(Ok(()), |filter| write!(f, " FILTER (WHERE {filter})"))
    }
}

/// A call and the column that its result becomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedAggregate {
    /// The output column.
    pub column: ColumnRef,
    /// The call.
    pub call: AggregateCall,
}

impl NamedAggregate {
    /// `call` as column `id` of `name`.
    pub fn new(id: ColumnId, name: impl Into<Arc<str>>, call: AggregateCall) -> Self {
        let column = ColumnRef { id, name: name.into(), ty: call.ty.clone(), nullable: call.nullable };
        Self { column, call }
    }
}

/// Types settled for an aggregate call.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateSignature {
    /// Types that the arguments are cast to.
    pub args: Vec<SqlType>,
    /// Type of the result.
    pub ty: SqlType,
    /// Whether the result may be NULL even if no argument is (an empty input).
    pub nullable: bool,
    /// Types of the columns that a partial result consists of.
    pub state: Vec<SqlType>,
}

/// An aggregate function that can be computed in two steps.
pub trait AggregateFunction: Send + Sync {
    /// Name, syntax, description and examples.
    fn doc(&self) -> &FunctionDoc;

    /// Settles the types of a call.
    ///
    /// Errors: `WRONG_NUM_ARGS`, `DATATYPE_MISMATCH`.
    fn bind(&self, args: &[SqlType]) -> Result<AggregateSignature>;

    /// An accumulator without groups for settled types.
    fn accumulator(&self, args: &[SqlType], ty: &SqlType, cx: &EvalContext) -> Result<Box<dyn GroupAccumulator>>;

    /// Whether duplicates of the input change nothing (`min`, `max`), so that DISTINCT may be dropped.
    fn ignores_duplicates(&self) -> bool {
        false
    }
}

/// The states of one aggregate for all groups of a table, numbered from 0.
///
/// `update` and `merge` see groups below the last `resize`. Accumulators do not reserve memory; the
/// operator does, from [`GroupAccumulator::memory`].
pub trait GroupAccumulator: Send {
    /// Makes room for `groups` groups; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Takes in raw rows: row `i` belongs to `groups[i]`. Rows where `filter` is not true do not count.
    /// The arrays have the settled argument types, possibly in an alternative encoding.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()>;

    /// Takes in partial results, laid out as [`AggregateSignature::state`].
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()>;

    /// The partial results of `rows` groups from `offset` on.
    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>>;

    /// The results of `rows` groups from `offset` on.
    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef>;

    /// Bytes held.
    fn memory(&self) -> usize;
}
