//! Windows: which rows a window function sees.

use firesteel_expr::FrameUnit;
use firesteel_sql::frame::FrameRange;

use crate::column::{IntoColumns, Node};

/// Makes window specifications, for [`Column::over`](crate::Column::over).
///
/// ```
/// use firesteel::Window;
/// use firesteel::functions::{col, row_number, sum};
///
/// let by_value = Window::partition_by("region").order_by(col("value").desc());
/// let rank = row_number().over(by_value.clone());
/// let running = sum("value").over(by_value.rows_between(Window::UNBOUNDED_PRECEDING, Window::CURRENT_ROW));
/// # let _ = (rank, running);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Window;

impl Window {
    /// The first row of the partition.
    pub const UNBOUNDED_PRECEDING: i64 = i64::MIN;
    /// The last row of the partition.
    pub const UNBOUNDED_FOLLOWING: i64 = i64::MAX;
    /// The current row, with its peers if the frame is by value.
    pub const CURRENT_ROW: i64 = 0;

    /// Windows of rows that agree in `columns`.
    pub fn partition_by(columns: impl IntoColumns) -> WindowSpec {
        WindowSpec::default().partition_by(columns)
    }

    /// One window of all rows, in an order.
    pub fn order_by(columns: impl IntoColumns) -> WindowSpec {
        WindowSpec::default().order_by(columns)
    }

    /// One window of all rows.
    pub fn all() -> WindowSpec {
        WindowSpec::default()
    }
}

/// Partitioning, order and frame of a window. Without a frame it is the partition, or with an order, all rows up to the
/// current one and its peers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowSpec {
    pub(crate) partition_by: Vec<Node>,
    pub(crate) order_by: Vec<Node>,
    pub(crate) range: Option<FrameRange>,
}

impl WindowSpec {
    /// The same with other partitioning columns.
    #[must_use]
    pub fn partition_by(mut self, columns: impl IntoColumns) -> Self {
        self.partition_by = columns.into_columns().into_iter().map(|c| c.0).collect();
        self
    }

    /// The same with another order; ascending unless [`desc`](crate::Column::desc) says otherwise.
    #[must_use]
    pub fn order_by(mut self, columns: impl IntoColumns) -> Self {
        self.order_by = columns.into_columns().into_iter().map(|c| c.asc_by_default().0).collect();
        self
    }

    /// The frame from `start` to `end`, counted in rows from the current one: negative is before it.
    #[must_use]
    pub fn rows_between(mut self, start: i64, end: i64) -> Self {
        self.range = Some(FrameRange { unit: FrameUnit::Rows, start, end });
        self
    }

    /// The frame of rows whose ordering value is between `start` and `end` from that of the current row.
    #[must_use]
    pub fn range_between(mut self, start: i64, end: i64) -> Self {
        self.range = Some(FrameRange { unit: FrameUnit::Range, start, end });
        self
    }

    pub(crate) fn unit_name(&self) -> &'static str {
        match self.range.map(|range| range.unit) {
            Some(FrameUnit::Rows) => "ROWS",
            _ => "RANGE",
        }
    }
}

/// A bound as SQL writes it.
pub(crate) fn shown_bound(distance: i64) -> String {
    match distance {
        i64::MIN => "UNBOUNDED PRECEDING".to_owned(),
        i64::MAX => "UNBOUNDED FOLLOWING".to_owned(),
        0 => "CURRENT ROW".to_owned(),
        before if before < 0 => format!("{} PRECEDING", before.unsigned_abs()),
        after => format!("{after} FOLLOWING"),
    }
}
