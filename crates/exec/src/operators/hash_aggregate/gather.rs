//! Groups of one partition that several tasks have made, each of a slice of its rows.

use firesteel_common::{Batch, Result, ResultExt};
use firesteel_runtime::Reservation;

use super::{HashAggregateOperator, Phase, Then};
use crate::gather::GatherPoint;

/// The states of the groups of a slice: keys, then the states of all calls.
#[derive(Debug)]
pub(crate) struct SliceGroups {
    batches: Vec<Batch>,
    _memory: Reservation,
}

impl HashAggregateOperator {
    /// Lets the groups of all slices meet at `point`, where one task returns them; `reservation` is for its own.
    pub(crate) fn gather(mut self, point: GatherPoint<SliceGroups>, reservation: Reservation) -> Self {
        self.gather = Some((point, reservation));
        self
    }

    /// At the end of the input of a slice: leaves its groups, and takes in those of all slices if it is to.
    pub(super) fn leave(&mut self, point: &GatherPoint<SliceGroups>, mut memory: Reservation) -> Result<Phase> {
        let groups = self.table.len();
        let mut batches = Vec::with_capacity(groups.div_ceil(self.batch_rows));
        for offset in (0..groups).step_by(self.batch_rows) {
            let batch = self.states(offset, self.batch_rows.min(groups - offset))?;
            memory.try_grow(batch.memory())?;
            batches.push(batch);
        }
        self.reset(Then::Build)?;
        let Some(parts) = point.leave(SliceGroups { batches, _memory: memory }) else { return Ok(Phase::Done) };
        for batch in parts.iter().flat_map(|part| &part.batches) {
            self.take_states(batch)?;
        }
        Ok(Phase::Drain { offset: 0, then: Then::Done })
    }

    /// Merges keys and states into the table.
    fn take_states(&mut self, batch: &Batch) -> Result<()> {
        self.make_room(batch.rows())?;
        self.table.intern(&batch.columns()[..self.keys], batch.rows(), &mut self.groups)?;
        let mut next = self.keys;
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            accumulator.resize(self.table.len());
            let states = &batch.columns()[next..next + call.states];
            accumulator.merge(&self.groups, states).at(call.span)?;
            next += call.states;
        }
        let bytes = self.memory();
        self.reservation.try_resize(bytes)
    }
}
