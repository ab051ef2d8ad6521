//! Bytes on their way out: what a handler sent and the kernel has not taken.
//!
//! Knows bytes, not descriptors. A queue of chunks: small frames are copied into a chunk from the
//! pool, one behind the other, so that what gathers in a tick leaves in few slices of one `writev`;
//! what goes to many connections is shared between their queues and copied for none.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use super::pool::Pool;
use crate::limits::CHUNK_SIZE;

/// The bytes that wait for one connection, in order. Owns heap only while there are any.
#[derive(Default)]
pub(crate) struct Outbox(Option<Box<Waiting>>);

/// What an outbox is while bytes wait in it.
#[derive(Default)]
pub(crate) struct Waiting {
    /// None of them is empty.
    chunks: VecDeque<Chunk>,
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
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.len)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Appends `parts`, joined. They are never split between a chunk that has room and a new one,
    /// so a frame leaves in as few slices as possible.
    pub(crate) fn push(&mut self, parts: &[&[u8]], pool: &mut Pool) {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if added == 0 {
            return;
        }
        let waiting = self.0.get_or_insert_with(|| pool.waiting());
        let room = match waiting.chunks.back() {
            Some(Chunk::Own(tail)) => tail.capacity() - tail.len(),
            Some(Chunk::Shared(_)) | None => 0,
        };
        if room < added {
            let fresh = if added <= CHUNK_SIZE { pool.chunk() } else { Vec::with_capacity(added) };
            waiting.chunks.push_back(Chunk::Own(fresh));
        }
        if let Some(Chunk::Own(tail)) = waiting.chunks.back_mut() {
            for part in parts {
                tail.extend_from_slice(part);
            }
        }
        waiting.len += added;
        waiting.check();
    }

    /// Appends bytes that others get too.
    pub(crate) fn share(&mut self, bytes: &Rc<[u8]>, pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        let waiting = self.0.get_or_insert_with(|| pool.waiting());
        waiting.chunks.push_back(Chunk::Shared(Rc::clone(bytes)));
        waiting.len += bytes.len();
        waiting.check();
    }

    /// Points `slices` at the first bytes that wait, and tells how many slices that took.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(waiting) = &self.0 else { return 0 };
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&waiting.chunks) {
            let skip = if filled == 0 { waiting.taken } else { 0 };
            *slice = IoSlice::new(&chunk.bytes()[skip..]);
            filled += 1;
        }
        filled
    }

    /// The kernel took the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) {
        let Some(waiting) = &mut self.0 else { return };
        debug_assert!(count <= waiting.len);
        waiting.len -= count;
        waiting.taken += count;
        while let Some(first) = waiting.chunks.front().map(|chunk| chunk.bytes().len()) {
            if waiting.taken < first {
                break;
            }
            waiting.taken -= first;
            if let Some(chunk) = waiting.chunks.pop_front() {
                pool.recycle(chunk);
            }
        }
        waiting.check();
        if waiting.len == 0
            && let Some(empty) = self.0.take()
        {
            pool.recycle_waiting(empty);
        }
    }

    /// Drops what waits, and tells how many bytes that were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> usize {
        let dropped = self.len();
        self.advance(dropped, pool);
        dropped
    }
}

impl Waiting {
    /// Whether the memory of its queue is worth keeping: not where one slow reader made it long.
    pub(crate) fn is_small(&self) -> bool {
        debug_assert!(self.chunks.is_empty() && self.taken == 0);
        self.chunks.capacity() * size_of::<Chunk>() <= CHUNK_SIZE
    }

    /// The counts agree with the chunks. Looks at the ends only: a queue can be long.
    fn check(&self) {
        let length = |chunk: Option<&Chunk>| chunk.map_or(0, |chunk| chunk.bytes().len());
        let (first, last) = (length(self.chunks.front()), length(self.chunks.back()));
        debug_assert!(if self.chunks.is_empty() { self.taken == 0 } else { self.taken < first });
        debug_assert!(match self.chunks.len() {
            0 => self.len == 0,
            1 => self.len + self.taken == first,
            _ => self.len + self.taken >= first + last,
        });
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
            let offered: Vec<u8> =
                slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
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
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            let mut expected = Vec::new();
            for (number, (shared, length)) in frames.into_iter().enumerate() {
                let bytes = vec![number.to_le_bytes()[0]; length];
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
        assert!(outbox.0.is_none());
    }
}
