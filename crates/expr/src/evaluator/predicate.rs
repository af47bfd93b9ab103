//! A filter condition, conjunct by conjunct.

use arrow::buffer::BooleanBuffer;
use firesteel_common::{Batch, Result, Selection};

use super::Layout;
use super::compile::is_dense;
use super::lazy::{Rows, true_rows};
use super::program::Program;
use crate::expr::Expr;
use crate::function::EvalContext;

/// Of 100 rows, how many must be left for the next conjunct to be computed for all of them rather
/// than for those that are left. Gathering a row costs a few times as much as comparing it.
const DENSE_PERCENT: usize = 25;

/// A compiled condition. Each conjunct is evaluated on the rows that the former ones left; a cheap
/// one that cannot fail may be evaluated on more.
pub struct Predicate {
    conjuncts: Vec<Conjunct>,
}

struct Conjunct {
    program: Program,
    dense: bool,
}

impl Predicate {
    /// Compiles a condition whose columns are those of `layout`.
    pub fn compile(expr: &Expr, layout: &Layout, cx: &EvalContext) -> Result<Self> {
        let conjuncts = expr.clone().conjuncts().into_iter().map(|conjunct| {
            let program = Program::compile(std::iter::once(&conjunct), layout, cx)?;
            Ok(Conjunct { program, dense: is_dense(&conjunct, cx) })
        });
        Ok(Self { conjuncts: conjuncts.collect::<Result<_>>()? })
    }

    /// The live rows, counted among themselves, where the condition is true.
    pub fn select(&mut self, batch: &Batch) -> Result<Selection> {
        let nothing = || Selection::new(Vec::new());
        if batch.rows() == 0 {
            return Ok(nothing());
        }
        // The rows that are left are those of `selection`, and of these the ones set in `mask`.
        let mut current = batch.clone();
        let mut selection: Option<Selection> = None;
        let mut mask: Option<BooleanBuffer> = None;
        for conjunct in &mut self.conjuncts {
            if let Some(bits) =
                mask.take_if(|bits| !conjunct.dense || bits.count_set_bits() * 100 < bits.len() * DENSE_PERCENT)
            {
                let inner = Selection::new(bits.set_indices_u32().collect());
                if inner.is_empty() {
                    return Ok(nothing());
                }
                current = current.refine(&inner);
                selection = Some(selection.map_or(inner.clone(), |outer| outer.then(&inner)));
            }
            let verdict = conjunct.program.run(&current)?.swap_remove(0);
            match true_rows(&verdict)? {
                Rows::All => {}
                Rows::None => return Ok(nothing()),
                Rows::Some(bits) => mask = Some(mask.map_or(bits.clone(), |mask| &mask & &bits)),
            }
        }
        Ok(match (selection, mask) {
            (None, None) => Selection::new((0..batch.rows() as u32).collect()),
            (Some(selection), None) => selection,
            (selection, Some(bits)) => {
                let inner = Selection::new(bits.set_indices_u32().collect());
                selection.map_or(inner.clone(), |outer| outer.then(&inner))
            }
        })
    }
}
