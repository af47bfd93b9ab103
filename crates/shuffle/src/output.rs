//! What one attempt of a task has written: blocks by partition, and the memory that they hold.
//!
//! The writer owns it until it commits, the store from then on; both may move its blocks to disk. Pieces of one batch
//! share buffers across partitions, so an output is moved as a whole. A block that somebody reads stays: its memory
//! would not come free.

use std::sync::Arc;

use firesteel_common::{Result, SqlType};
use firesteel_runtime::{Reservation, Usage};

use crate::block::Block;
use crate::spill::SpillFile;

/// One part in so many is reserved on top of blocks, for what the allocator rounds up.
const SLACK: usize = 6;

#[derive(Debug)]
pub(crate) struct Output {
    partitions: Vec<Vec<Block>>,
    types: Vec<SqlType>,
    memory: Reservation,
    file: Arc<SpillFile>,
    usage: Arc<Usage>,
}

impl Output {
    pub(crate) fn new(
        types: Vec<SqlType>,
        partitions: u32,
        memory: Reservation,
        file: Arc<SpillFile>,
        usage: Arc<Usage>,
    ) -> Self {
        Self { partitions: (0..partitions).map(|_| Vec::new()).collect(), types, memory, file, usage }
    }

    /// Keeps a block that holds `held` bytes; on disk if there is no room even after all others were moved there.
    pub(crate) fn keep(&mut self, partition: u32, block: Block, held: u64) -> Result<()> {
        let charge = held as usize + held as usize / SLACK;
        let block = block.charged(charge);
        let mut granted = self.memory.try_grow(charge);
        if granted.is_err() && self.spill()? > 0 {
            granted = self.memory.try_grow(charge);
        }
        if granted.is_err() {
            block.spill(&self.file, &self.types)?;
            self.usage.add_spilled(block.bytes());
        }
        self.partitions[partition as usize].push(block);
        Ok(())
    }

    /// Moves its blocks to disk; returns the bytes that came free.
    pub(crate) fn spill(&mut self) -> Result<usize> {
        let mut freed = 0;
        for block in self.partitions.iter().flatten() {
            match block.spill(&self.file, &self.types) {
                Ok(0) => {}
                Ok(charge) => {
                    freed += charge;
                    self.usage.add_spilled(block.bytes());
                }
                Err(error) => {
                    self.memory.shrink(freed);
                    return Err(error);
                }
            }
        }
        self.memory.shrink(freed);
        Ok(freed)
    }

    /// Bytes that it holds in memory.
    pub(crate) fn memory(&self) -> usize {
        self.memory.size()
    }

    /// Blocks by partition.
    pub(crate) fn partitions(&self) -> &[Vec<Block>] {
        &self.partitions
    }
}
