//! Bytes on their way out: what a handler sent and the kernel has not taken.
//!
//! Knows bytes, not descriptors. A queue of chunks: small frames are copied into a chunk from the pool, one behind
//! the other, so that what gathers in a tick leaves in few slices of one `writev`; what goes to many connections
//! is shared between their queues and copied for none.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use super::pool::Pool;
use crate::limits::CHUNK_SIZE;

/// The bytes that wait for one connection, in order. Owns heap only while there are any.
#[derive(Default)]
pub(crate) struct Outbox {
    /// None where nothing waits. No chunk in it is empty.
    chunks: Option<Box<VecDeque<Chunk>>>,
    /// Bytes of the first chunk that have left already; less than its length.
    taken: usize,
    /// Bytes that wait: the chunks' lengths together, less `taken`.
    len: usize,
}

/// A run of bytes in an outbox.
pub(crate) enum Chunk {
    /// Bytes of this outbox alone.
    Own(Vec<u8>),
    /// Bytes that wait in several outboxes.
    Shared(Rc<[u8]>),
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `parts`, joined. They are never split between a chunk that has room and a new one, so a frame leaves
    /// in as few slices as possible.
    pub(crate) fn push(&mut self, parts: &[&[u8]], pool: &mut Pool) {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if added == 0 {
            return;
        }
        let chunks = self.chunks.get_or_insert_with(|| pool.queue());
        let fits = matches!(chunks.back(),
            Some(Chunk::Own(tail)) if tail.capacity() - tail.len() >= added);
        if !fits {
            let fresh = if added <= CHUNK_SIZE { pool.chunk() } else { Vec::with_capacity(added) };
            chunks.push_back(Chunk::Own(fresh));
        }
        if let Some(Chunk::Own(tail)) = chunks.back_mut() {
            parts.iter().for_each(|part| tail.extend_from_slice(part));
        }
        self.len += added;
        self.check();
    }

    /// Appends bytes that others get too.
    pub(crate) fn share(&mut self, bytes: &Rc<[u8]>, pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        self.chunks.get_or_insert_with(|| pool.queue()).push_back(Chunk::Shared(Rc::clone(bytes)));
        self.len += bytes.len();
        self.check();
    }

    /// Points `slices` at the first bytes that wait, and tells how many slices that took.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(chunks) = &self.chunks else { return 0 };
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
            let skip = if filled == 0 { self.taken } else { 0 };
            *slice = IoSlice::new(&chunk.bytes()[skip..]);
            filled += 1;
        }
        filled
    }

    /// The kernel took the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) {
        debug_assert!(count <= self.len);
        self.len -= count;
        self.taken += count;
        let Some(chunks) = &mut self.chunks else { return };
        while let Some(first) = chunks.front().map(|chunk| chunk.bytes().len()) {
            if self.taken < first {
                break;
            }
            self.taken -= first;
            chunks.pop_front().into_iter().for_each(|chunk| pool.recycle(chunk));
        }
        if self.len == 0
            && let Some(empty) = self.chunks.take()
        {
            pool.recycle_queue(empty);
        }
        self.check();
    }

    /// Drops what waits, and tells how many bytes that were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> usize {
        let dropped = self.len;
        self.advance(dropped, pool);
        dropped
    }

    fn check(&self) {
        debug_assert_eq!(
            self.len + self.taken,
            self.chunks.iter().flat_map(|chunks| chunks.iter()).map(|chunk| chunk.bytes().len()).sum()
        );
        debug_assert_eq!(self.chunks.is_none(), self.len == 0);
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that waits, as one `writev` after another would show it.
    fn drain(outbox: &mut Outbox, pool: &mut Pool, step: usize) -> Vec<u8> {
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = outbox.slices(&mut slices);
            let offered = slices[..filled].concat();
            let taken = step.min(offered.len());
            seen.extend_from_slice(&offered[..taken]);
            outbox.advance(taken, pool);
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_in_comes_out_in_order_whatever_the_kernel_takes(
            frames in prop::collection::vec((any::<bool>(), 0_usize..2 * CHUNK_SIZE), 0..20),
            step in 1_usize..3 * CHUNK_SIZE,
        ) {
            let (mut outbox, mut pool, mut expected) = (Outbox::default(), Pool::default(), Vec::new());
            for (number, (shared, length)) in frames.into_iter().enumerate() {
                let bytes = vec![number as u8; length];
                expected.extend_from_slice(&bytes);
                if shared {
                    outbox.share(&Rc::from(bytes), &mut pool);
                } else {
                    let (head, tail) = bytes.split_at(length / 3);
                    outbox.push(&[head, tail], &mut pool);
                }
            }
            prop_assert_eq!(outbox.len(), expected.len());
            prop_assert_eq!(drain(&mut outbox, &mut pool, step), expected);
        }
    }

    #[test]
    fn small_frames_share_a_chunk_and_an_empty_outbox_owns_nothing() {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        for _ in 0..10 {
            outbox.push(&[b"{}", b"\n"], &mut pool);
        }
        assert_eq!(outbox.slices(&mut [IoSlice::new(&[]); 8]), 1);
        assert_eq!(outbox.clear(&mut pool), 30);
        assert!(outbox.chunks.is_none());
    }
}
