//! Memory for outboxes, lent while bytes wait and taken back when they have left.
//!
//! In steady state every message is copied into a chunk from here and the chunk comes back at the end of the tick,
//! so that the allocator is not asked once a message and an idle connection owns nothing.

use std::collections::VecDeque;

use super::outbox::Chunk;
use crate::limits::{CHUNK_SIZE, POOLED_CHUNKS};

/// Spare chunks and spare queues of chunks.
#[derive(Default)]
pub(crate) struct Pool {
    chunks: Vec<Vec<u8>>,
    #[allow(clippy::vec_box)] // the box is what is lent: an outbox without bytes is one empty pointer
    queues: Vec<Box<VecDeque<Chunk>>>,
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
    pub(crate) fn queue(&mut self) -> Box<VecDeque<Chunk>> {
        self.queues.pop().unwrap_or_default()
    }

    /// Takes a queue back; one that grew long once is not kept.
    pub(crate) fn recycle_queue(&mut self, queue: Box<VecDeque<Chunk>>) {
        debug_assert!(queue.is_empty());
        if queue.capacity() <= CHUNK_SIZE / size_of::<Chunk>() && self.queues.len() < POOLED_CHUNKS {
            self.queues.push(queue);
        }
    }
}
