//! The description of a hash join, settled once per stage.

use std::collections::BTreeSet;
use std::sync::Arc;

use firesteel_common::{ColumnId, Error, Result};
use firesteel_expr::{ColumnRef, Expr};
use firesteel_plan::logical::JoinKind;
use firesteel_plan::physical::{HashJoin, Side};

use super::keys::KeyLayout;
use super::shape::{JoinShape, Slot};

/// A hash join with its columns resolved to positions. Shared by all tasks of a stage.
#[derive(Debug)]
pub struct JoinSpec {
    pub(super) shape: Arc<JoinShape>,
    pub(super) layout: KeyLayout,
    pub(super) build_input: Vec<ColumnRef>,
    pub(super) probe_input: Vec<ColumnRef>,
    pub(super) build_keys: Vec<Expr>,
    pub(super) probe_keys: Vec<Expr>,
    /// Keys that runtime filters may be asked for.
    pub(super) filter_keys: Vec<usize>,
}

impl JoinSpec {
    /// The join of `left` and `right` that returns `output`.
    ///
    /// Errors: `INTERNAL_ERROR` if the node breaks its contract.
    pub fn new(node: &HashJoin, left: &[ColumnRef], right: &[ColumnRef], output: &[ColumnRef]) -> Result<Self> {
        if node.null_aware && (node.on.len() != 1 || node.residual.is_some()) {
            return Err(Error::internal("a null-aware join has one key and no residual"));
        }
        let mut shape = JoinShape::new(&node.kind, node.build, node.residual.as_ref(), [left, right], output)?;
        shape.null_aware = node.null_aware && matches!(node.kind, JoinKind::LeftAnti | JoinKind::Mark(_));
        let types = node.on.iter().map(|key| key.left.ty()).collect();
        // A null-safe key that is never NULL is an ordinary one.
        let null_safe = node.on.iter().map(|k| k.null_safe && (k.left.nullable() || k.right.nullable())).collect();
        let left_keys = node.on.iter().map(|key| key.left.clone()).collect();
        let right_keys = node.on.iter().map(|key| key.right.clone()).collect();
        let (build_keys, probe_keys, build_input, probe_input) = match node.build {
            Side::Left => (left_keys, right_keys, left, right),
            Side::Right => (right_keys, left_keys, right, left),
        };
        let mut filter_keys: Vec<usize> =
            node.filters.iter().map(|(_, key)| *key).filter(|key| *key < node.on.len()).collect();
        filter_keys.sort_unstable();
        filter_keys.dedup();
        Ok(Self {
            shape: Arc::new(shape),
            layout: KeyLayout::new(types, null_safe),
            build_input: build_input.to_vec(),
            probe_input: probe_input.to_vec(),
            build_keys,
            probe_keys,
            filter_keys,
        })
    }

    /// Lets the join return those of its `output` that are in `carried` as rows of the build side.
    #[must_use]
    pub(crate) fn carrying(mut self, carried: &BTreeSet<ColumnId>, output: &[ColumnRef]) -> Self {
        let shape = Arc::make_mut(&mut self.shape);
        shape.carried = vec![false; shape.build_columns.len()];
        for (column, (slot, _)) in output.iter().zip(&shape.output) {
            if let Slot::Build(position) = slot {
                shape.carried[*position] = carried.contains(&column.id);
            }
        }
        self
    }

    /// Whether all that matters of the build side is which keys it has.
    pub(super) fn keys_only(&self) -> bool {
        self.shape.probe_existence() && self.shape.residual.is_none()
    }
}
