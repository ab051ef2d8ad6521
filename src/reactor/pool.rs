//! Memory for outboxes, lent while bytes wait and taken back when they have left.
//!
//! In steady state every message is copied into a chunk from here and the chunk comes back at the
//! end of the tick, so that the allocator is not asked once a message and an idle connection owns
//! nothing.

use super::outbox::{Chunk, Waiting};
use crate::limits::{CHUNK_SIZE, POOLED_CHUNKS};

/// Spare chunks, and spare queues of them.
#[derive(Default)]
pub(crate) struct Pool {
    chunks: Vec<Vec<u8>>,
    #[allow(clippy::vec_box)]
    // the box is what is lent: an outbox without bytes is one empty pointer
    waiting: Vec<Box<Waiting>>,
}

impl Pool {
    /// An empty chunk with room for `CHUNK_SIZE` bytes.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        self.chunks.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_SIZE))
    }

    /// Takes a chunk back. One of another size, made for a long frame, goes to the allocator.
    pub(crate) fn recycle(&mut self, chunk: Chunk) {
        let Chunk::Own(mut bytes) = chunk else { return };
        if bytes.capacity() == CHUNK_SIZE && self.chunks.len() < POOLED_CHUNKS {
            bytes.clear();
            self.chunks.push(bytes);
        }
    }

    /// An empty queue.
    #[allow(clippy::unnecessary_box_returns)] // see `Pool::waiting`
    pub(crate) fn waiting(&mut self) -> Box<Waiting> {
        self.waiting.pop().unwrap_or_default()
    }

    /// Takes an empty queue back.
    pub(crate) fn recycle_waiting(&mut self, waiting: Box<Waiting>) {
        if waiting.is_small() && self.waiting.len() < POOLED_CHUNKS {
            self.waiting.push(waiting);
        }
    }
}
