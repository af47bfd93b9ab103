//! Joins.

use std::sync::Arc;

use firesteel_common::{Error, Result};
use firesteel_expr::ColumnRef;
use firesteel_plan::{JoinKind, LogicalOp, LogicalPlan};
use firesteel_sql::frame::{self, FrameColumn};

use crate::column::Column;
use crate::dataframe::DataFrame;
use crate::resolver::{NamedColumn, Resolver, with_context};

/// Which rows a join returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinType {
    /// Pairs that match.
    Inner,
    /// Pairs that match, and left rows without a match.
    Left,
    /// Pairs that match, and right rows without a match.
    Right,
    /// Pairs that match, and rows of both sides without a match.
    Full,
    /// Left rows with a match.
    LeftSemi,
    /// Left rows without a match.
    LeftAnti,
}

impl JoinType {
    fn kind(self) -> JoinKind {
        match self {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::LeftSemi,
            JoinType::LeftAnti => JoinKind::LeftAnti,
        }
    }
}

/// What rows of a join have in common: columns of these names, which the result has once, or a condition.
#[derive(Clone, Debug)]
pub enum JoinOn {
    /// `USING (…)`
    Using(Vec<String>),
    /// `ON …`
    Condition(Column),
}

impl From<&str> for JoinOn {
    fn from(name: &str) -> Self {
        JoinOn::Using(vec![name.to_owned()])
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for JoinOn {
    fn from(names: [S; N]) -> Self {
        JoinOn::Using(names.into_iter().map(Into::into).collect())
    }
}

impl<S: Into<String>> From<Vec<S>> for JoinOn {
    fn from(names: Vec<S>) -> Self {
        JoinOn::Using(names.into_iter().map(Into::into).collect())
    }
}

impl From<Column> for JoinOn {
    fn from(condition: Column) -> Self {
        JoinOn::Condition(condition)
    }
}

impl DataFrame {
    /// Joins with another frame: on columns of the same name, or on a condition.
    ///
    /// Columns of a name that both frames have are told apart by [`DataFrame::col`] or, in a join of a frame with
    /// itself, by [`DataFrame::alias`].
    ///
    /// Errors: `UNRESOLVED_USING_COLUMN_FOR_JOIN`, and those of the condition.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use firesteel::JoinType;
    /// use firesteel::functions::col;
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let people = session.sql("SELECT * FROM VALUES (1, 'Ann', 2), (2, 'Bob', NULL) AS t(id, name, boss)").await?;
    /// let cities = session.sql("SELECT 1 AS id, 'Rome' AS city").await?;
    /// let both = people.join(&cities, "id", JoinType::Left)?;
    /// assert_eq!(both.columns(), ["id", "name", "boss", "city"]);
    ///
    /// let (worker, boss) = (people.alias("worker"), people.alias("boss"));
    /// let pairs = worker.join(&boss, col("worker.boss").eq(col("boss.id")), JoinType::Inner)?;
    /// let pairs = pairs.select(["worker.name", "boss.name"])?;
    /// assert_eq!(pairs.count().await?, 1);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn join(&self, right: &DataFrame, on: impl Into<JoinOn>, how: JoinType) -> Result<Self> {
        let kind = how.kind();
        let (joined, right_plan) = self.beside(right)?;
        let side = |plan: LogicalPlan, columns: &[NamedColumn]| {
            (plan, columns.iter().map(NamedColumn::offered).collect::<Vec<FrameColumn>>())
        };
        let (left_columns, right_columns) = joined.columns.split_at(self.columns.len());
        with_context(&self.session, |cx| match on.into() {
            JoinOn::Using(names) => {
                let left = side(self.plan().clone(), left_columns);
                let right = side(right_plan, right_columns);
                let (plan, columns) = frame::join_using(left, right, kind, &names, cx)?;
                let columns = columns.into_iter().map(|(name, column)| joined.known(name, column)).collect();
                Ok(joined.with_columns_of(plan, columns))
            }
            JoinOn::Condition(condition) => {
                let residual = Some(Resolver::scalar(&joined.columns, "JOIN", cx).condition(&condition)?);
                Ok(joined.joined(self, right_plan, kind, residual))
            }
        })
    }

    /// All pairs of rows.
    pub fn cross_join(&self, right: &DataFrame) -> Result<Self> {
        let (joined, right_plan) = self.beside(right)?;
        Ok(joined.joined(self, right_plan, JoinKind::Inner, None))
    }

    /// A join of `left` and a plan, as a frame of the columns of `self`.
    fn joined(&self, left: &Self, right: LogicalPlan, kind: JoinKind, residual: Option<firesteel_expr::Expr>) -> Self {
        let columns = match kind.returns_right() {
            true => self.columns.clone(),
            false => self.columns[..left.columns.len()].to_vec(),
        };
        let op = LogicalOp::join(kind, residual);
        let plan = LogicalPlan::binary(self.session.ids().node(), op, left.plan().clone(), right);
        self.with_columns_of(plan, columns)
    }

    /// A column of the frame with what is known of where it comes from.
    fn known(&self, name: Arc<str>, column: ColumnRef) -> NamedColumn {
        match self.columns.iter().find(|c| c.column.id == column.id) {
            Some(known) => NamedColumn { name, column, ..known.clone() },
            None => NamedColumn::new(name, column),
        }
    }

    /// A frame with the columns and tables of both, and the right plan, made to share no id with the left one. The
    /// frame's plan is that of the left; the operation replaces it.
    pub(super) fn beside(&self, right: &DataFrame) -> Result<(Self, LogicalPlan)> {
        if !self.session.is_same(&right.session) {
            return Err(Error::unsupported("Frames of different sessions cannot be combined."));
        }
        let mut both = self.clone();
        both.command = false;
        let mut right_plan = right.plan().clone();
        match (&self.sql, &right.sql) {
            (None, Some(sql)) => both.sql = Some(sql.clone()),
            // Places in the plan refer to one text only.
            (Some(left), Some(other)) if left != other => right_plan = frame::plan_without_spans(right_plan)?,
            _ => {}
        }
        let (right_plan, map) = frame::apart(self.plan(), right_plan, self.session.ids())?;
        both.columns.extend(right.columns.iter().map(|c| {
            let id = map.get(&c.column.id).copied().unwrap_or(c.column.id);
            NamedColumn { column: ColumnRef { id, ..c.column.clone() }, ..c.clone() }
        }));
        let new = right.tables.iter().filter(|table| !self.tables.iter().any(|known| Arc::ptr_eq(known, table)));
        both.tables.extend(new.cloned());
        Ok((both, right_plan))
    }
}
