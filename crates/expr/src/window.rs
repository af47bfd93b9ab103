//! Window function calls. How they are computed is the window operator's matter.

use std::fmt;
use std::sync::Arc;

use firesteel_common::{Scalar, Span, SqlType};

use crate::aggregate::AggregateCall;
use crate::expr::{ColumnRef, Expr};

/// What a window call computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WindowFunction {
    /// An aggregate over the frame.
    Aggregate(AggregateCall),
    /// `row_number()`
    RowNumber,
    /// `rank()`
    Rank,
    /// `dense_rank()`
    DenseRank,
    /// `percent_rank()`
    PercentRank,
    /// `cume_dist()`
    CumeDist,
    /// `ntile(n)`
    Ntile(u64),
    /// `lag` (positive offset: rows before) or `lead` (negative), by rows of the partition.
    Shift {
        /// The value.
        value: Expr,
        /// Rows back; negative is ahead.
        offset: i64,
        /// Value where there is no such row.
        default: Scalar,
        /// Whether NULLs are skipped.
        ignore_nulls: bool,
    },
    /// `first_value`, `nth_value` (from 1) of the frame.
    Nth {
        /// The value.
        value: Expr,
        /// Position in the frame, from 1.
        n: u64,
        /// Whether NULLs are skipped.
        ignore_nulls: bool,
    },
    /// `last_value` of the frame.
    Last {
        /// The value.
        value: Expr,
        /// Whether NULLs are skipped.
        ignore_nulls: bool,
    },
}

/// Unit of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameUnit {
    /// Counted in rows.
    Rows,
    /// By the value of the ordering key; peers belong together.
    Range,
}

/// An end of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FrameBound {
    /// UNBOUNDED PRECEDING or FOLLOWING, by which end it is.
    Unbounded,
    /// `n` rows (ROWS: BIGINT) or a distance of the key's type (RANGE), before.
    Preceding(Scalar),
    /// CURRENT ROW, with its peers for RANGE.
    CurrentRow,
    /// As `Preceding`, after.
    Following(Scalar),
}

/// The rows that a call sees around the current one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Unit.
    pub unit: FrameUnit,
    /// First row.
    pub start: FrameBound,
    /// Last row.
    pub end: FrameBound,
}

impl Frame {
    /// The whole partition: the frame where there is no ORDER BY.
    pub fn whole() -> Self {
        Self { unit: FrameUnit::Rows, start: FrameBound::Unbounded, end: FrameBound::Unbounded }
    }

    /// From the start to the current row and its peers: the frame where there is an ORDER BY.
    pub fn running() -> Self {
        Self { unit: FrameUnit::Range, start: FrameBound::Unbounded, end: FrameBound::CurrentRow }
    }
}

/// A window call and the column that its result becomes. Partition and order belong to the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowCall {
    /// The output column.
    pub column: ColumnRef,
    /// What is computed.
    pub function: WindowFunction,
    /// Over which rows.
    pub frame: Frame,
    /// Where it was written.
    pub span: Span,
}

impl WindowCall {
    /// The expressions that the call reads.
    pub fn args(&self) -> Vec<&Expr> {
        match &self.function {
            WindowFunction::Aggregate(call) => call.args.iter().chain(&call.filter).collect(),
            WindowFunction::Shift { value, .. }
            | WindowFunction::Nth { value, .. }
            | WindowFunction::Last { value, .. } => vec![value],
            _ => Vec::new(),
        }
    }

    /// Type of the result.
    pub fn ty(&self) -> &SqlType {
        &self.column.ty
    }

    /// The call with each expression replaced by what `f` makes of it.
    #[must_use]
    pub fn map_exprs(mut self, f: &mut dyn FnMut(Expr) -> Expr) -> Self {
        self.function = match self.function {
            WindowFunction::Aggregate(call) => WindowFunction::Aggregate(AggregateCall {
                args: call.args.into_iter().map(&mut *f).collect(),
                filter: call.filter.map(&mut *f),
                ..call
            }),
            WindowFunction::Shift { value, offset, default, ignore_nulls } => {
                WindowFunction::Shift { value: f(value), offset, default, ignore_nulls }
            }
            WindowFunction::Nth { value, n, ignore_nulls } => WindowFunction::Nth { value: f(value), n, ignore_nulls },
            WindowFunction::Last { value, ignore_nulls } => WindowFunction::Last { value: f(value), ignore_nulls },
            other => other,
        };
        self
    }
}

impl fmt::Display for WindowCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: Arc<str> = match &self.function {
            WindowFunction::Aggregate(call) => return write!(f, "{call} AS {}", self.column),
            WindowFunction::RowNumber => "row_number()".into(),
            WindowFunction::Rank => "rank()".into(),
            WindowFunction::DenseRank => "dense_rank()".into(),
            WindowFunction::PercentRank => "percent_rank()".into(),
            WindowFunction::CumeDist => "cume_dist()".into(),
            WindowFunction::Ntile(n) => format!("ntile({n})").into(),
            WindowFunction::Shift { value, offset, .. } if *offset < 0 => format!("lead({value}, {})", -offset).into(),
            WindowFunction::Shift { value, offset, .. } => format!("lag({value}, {offset})").into(),
            WindowFunction::Nth { value, n, .. } => format!("nth_value({value}, {n})").into(),
            WindowFunction::Last { value, .. } => format!("last_value({value})").into(),
        };
        write!(f, "{name} AS {}", self.column)
    }
}
