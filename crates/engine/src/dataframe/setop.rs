//! Set operations. Columns are matched by position, except in [`DataFrame::union_by_name`].

use std::sync::Arc;

use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::Expr;
use firesteel_plan::LogicalOp;
use firesteel_sql::frame::{FrameSetOp, set_operation};
use firesteel_sql::{BoundQuery, OutputColumn};

use crate::dataframe::DataFrame;
use crate::resolver::{NamedColumn, with_context};

impl DataFrame {
    /// The rows of both, duplicates included (`UNION ALL`); types are brought to common ones.
    ///
    /// Errors: `NUM_COLUMNS_MISMATCH`, `INCOMPATIBLE_COLUMN_TYPE`.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql("SELECT id FROM range(3)").await?;
    /// assert_eq!(df.union(&df)?.count().await?, 6);
    /// assert_eq!(df.union(&df)?.distinct()?.count().await?, 3);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn union(&self, other: &DataFrame) -> Result<Self> {
        self.combine(other, FrameSetOp::Union, true)
    }

    /// As [`DataFrame::union`].
    pub fn union_all(&self, other: &DataFrame) -> Result<Self> {
        self.union(other)
    }

    /// As [`DataFrame::union`], with columns matched by name. Columns that one side lacks are an error, or with
    /// `allow_missing` NULL.
    ///
    /// Errors: `UNRESOLVED_COLUMN_AMONG_FIELD_NAMES`.
    pub fn union_by_name(&self, other: &DataFrame, allow_missing: bool) -> Result<Self> {
        let mut names: Vec<Arc<str>> = self.columns.iter().map(|c| c.name.clone()).collect();
        for column in &other.columns {
            if names.iter().any(|name| self.same_name(name, &column.name)) {
                continue;
            }
            if !allow_missing {
                let message = format!("Cannot resolve column name \"{}\" among ({}).", column.name, names.join(", "));
                return Err(Error::bind("UNRESOLVED_COLUMN_AMONG_FIELD_NAMES", "42703", message));
            }
            names.push(column.name.clone());
        }
        self.in_order(&names, allow_missing)?.union(&other.in_order(&names, allow_missing)?)
    }

    /// The columns of these names, NULL where there is none.
    fn in_order(&self, names: &[Arc<str>], allow_missing: bool) -> Result<Self> {
        let mut columns = Vec::with_capacity(names.len());
        let mut exprs = Vec::with_capacity(names.len());
        for name in names {
            match self.columns.iter().find(|c| self.same_name(&c.name, name)) {
                Some(found) => {
                    columns.push(found.clone());
                    exprs.push((found.column.clone(), Expr::Column(found.column.clone())));
                }
                None if allow_missing => {
                    let field = firesteel_catalog::Field { name: name.clone(), ty: SqlType::Void, nullable: true };
                    let column = self.session.fresh_columns(&[field]).remove(0);
                    columns.push(NamedColumn::new(name.clone(), column.clone()));
                    exprs.push((column, Expr::null(SqlType::Void)));
                }
                None => {
                    let message =
                        format!("Cannot resolve column name \"{name}\" among ({}).", self.columns().join(", "));
                    return Err(Error::bind("UNRESOLVED_COLUMN_AMONG_FIELD_NAMES", "42703", message));
                }
            }
        }
        Ok(self.with_columns_of(self.unary(LogicalOp::Project { exprs }), columns))
    }

    /// Rows that are in both, each once.
    pub fn intersect(&self, other: &DataFrame) -> Result<Self> {
        self.combine(other, FrameSetOp::Intersect, false)
    }

    /// Rows that are in both, as often as in both.
    pub fn intersect_all(&self, other: &DataFrame) -> Result<Self> {
        self.combine(other, FrameSetOp::Intersect, true)
    }

    /// Rows that are not in the other, each once.
    pub fn except(&self, other: &DataFrame) -> Result<Self> {
        self.combine(other, FrameSetOp::Except, false)
    }

    /// As [`DataFrame::except`].
    pub fn subtract(&self, other: &DataFrame) -> Result<Self> {
        self.except(other)
    }

    /// Rows as often as they are more often here than in the other.
    pub fn except_all(&self, other: &DataFrame) -> Result<Self> {
        self.combine(other, FrameSetOp::Except, true)
    }

    fn combine(&self, other: &DataFrame, operation: FrameSetOp, all: bool) -> Result<Self> {
        let (both, right_plan) = self.beside(other)?;
        let columns = both.columns[self.columns.len()..].iter();
        let columns = columns.map(|c| OutputColumn { name: c.name.clone(), column: c.column.clone() }).collect();
        let right = BoundQuery { plan: right_plan, columns };
        with_context(&self.session, |cx| {
            let query = set_operation(self.bound(), right, operation, all, cx)?;
            let columns = query.columns.into_iter().map(|c| NamedColumn::new(c.name, c.column)).collect();
            Ok(both.with_columns_of(query.plan, columns))
        })
    }
}
