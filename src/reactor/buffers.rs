//! The buffers: bytes on their way in, bytes on their way out, and the memory for both.
//!
//! Knows bytes, neither frames nor descriptors. An idle connection owns no buffer: all connections
//! read into one buffer, only what a handler could not consume is kept ([`Inbox`]), and only what
//! the kernel has not taken is queued ([`Outbox`]).

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use super::limits::{CHUNK_SIZE, INBOX_SLACK, POOLED_CHUNKS, READ_HEADROOM, READ_SIZE};

// --- In ---

/// The buffer that every read goes into, with room in front of it for what an inbox kept.
pub(crate) struct ReadBuffer(Box<[u8]>);

/// What one connection sent and its handler has not consumed. Owns heap only while there is any.
#[derive(Default)]
#[allow(clippy::box_collection)] // without anything, as most are, it is one empty pointer
pub(crate) struct Inbox(Option<Box<Vec<u8>>>);

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; READ_HEADROOM + READ_SIZE].into_boxed_slice())
    }

    /// Where a read goes.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.0[READ_HEADROOM..]
    }
}

impl Inbox {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What was never consumed.
    pub(crate) fn rest(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| kept)
    }

    /// Bytes of memory that it holds. This is not the length of the rest: after a long frame more
    /// memory is left than the rest needs.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.capacity())
    }

    /// Shows `look` all that is not consumed, the `read` bytes in the buffer last, keeps what it
    /// leaves, and tells how many bytes it consumed.
    ///
    /// A short rest is copied in front of the fresh bytes: at most `READ_HEADROOM` bytes a read,
    /// less than the read itself costs. A long one is appended to, and so copied once and not once
    /// a read: a frame that trickles in byte by byte takes time linear in its length either way.
    pub(crate) fn offer(
        &mut self,
        buffer: &mut ReadBuffer,
        read: usize,
        look: impl FnOnce(&[u8]) -> usize,
    ) -> usize {
        let end = READ_HEADROOM + read;
        let mut kept = self.0.take().map_or_else(Vec::new, |kept| *kept);
        let consumed = if kept.len() > READ_HEADROOM {
            kept.extend_from_slice(&buffer.0[READ_HEADROOM..end]);
            let consumed = look(&kept);
            kept.drain(..consumed);
            consumed
        } else {
            let start = READ_HEADROOM - kept.len();
            buffer.0[start..READ_HEADROOM].copy_from_slice(&kept);
            let consumed = look(&buffer.0[start..end]);
            kept.clear();
            kept.extend_from_slice(&buffer.0[start + consumed..end]);
            consumed
        };
        if !kept.is_empty() {
            give_back(&mut kept);
            self.0 = Some(Box::new(kept));
        }
        consumed
    }
}

/// Gives memory back that the rest does not need. The rest moves into a small block of its own:
/// shrunk in place, it would stay at the beginning of the large block, and the free memory behind
/// it would be too small for another large one.
fn give_back(kept: &mut Vec<u8>) {
    if kept.capacity() - kept.len() > kept.len().max(INBOX_SLACK) {
        *kept = kept.as_slice().to_vec();
    }
}

// --- Out: a queue of chunks. Small frames are copied into a chunk, one behind the other, so that
// what gathers in a tick leaves in few slices of one `writev`; what goes to many connections is
// shared between their queues and copied for none. ---

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
    /// Bytes of memory that the chunks hold, those that left already included.
    memory: usize,
}

/// What was added to an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// So many bytes.
    pub(crate) bytes: usize,
    /// So many bytes of memory more than it had.
    pub(crate) memory: usize,
}

/// What one `writev(2)` has come to.
#[derive(Clone, Copy)]
pub(super) struct Written {
    /// The kernel took something.
    pub(super) has_taken: bool,
    /// It has no room for more.
    pub(super) is_full: bool,
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

    /// Bytes of memory that are kept for it: not what waits, for a chunk stays whole until its last
    /// byte has left. What is shared counts for each.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.memory)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Appends `parts`, joined. They are never split between a chunk that has room and a new one,
    /// so a frame leaves in as few slices as possible.
    pub(crate) fn push(&mut self, parts: &[&[u8]], pool: &mut Pool) -> Pushed {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes == 0 {
            return Pushed::default();
        }
        let waiting = self.0.get_or_insert_with(|| pool.waiting());
        waiting.len += bytes;
        if let Some(Chunk::Own(tail)) = waiting.chunks.back_mut()
            && tail.capacity() - tail.len() >= bytes
        {
            append(tail, parts);
            waiting.check();
            return Pushed { bytes, memory: 0 };
        }
        let mut fresh = if bytes <= CHUNK_SIZE { pool.chunk() } else { Vec::with_capacity(bytes) };
        append(&mut fresh, parts);
        let memory = fresh.capacity();
        waiting.memory += memory;
        waiting.chunks.push_back(Chunk::Own(fresh));
        waiting.check();
        Pushed { bytes, memory }
    }

    /// Appends bytes that others get too.
    pub(crate) fn share(&mut self, bytes: &Rc<[u8]>, pool: &mut Pool) -> Pushed {
        if bytes.is_empty() {
            return Pushed::default();
        }
        let waiting = self.0.get_or_insert_with(|| pool.waiting());
        waiting.chunks.push_back(Chunk::Shared(Rc::clone(bytes)));
        waiting.len += bytes.len();
        waiting.memory += bytes.len();
        waiting.check();
        Pushed { bytes: bytes.len(), memory: bytes.len() }
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

    /// The kernel took the first `count` bytes. Returns how much memory that gave back, in bytes.
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) -> usize {
        let Some(waiting) = &mut self.0 else { return 0 };
        let mut given_back = 0;
        debug_assert!(count <= waiting.len);
        waiting.len -= count;
        waiting.taken += count;
        while let Some(first) = waiting.chunks.front().map(|chunk| chunk.bytes().len()) {
            if waiting.taken < first {
                break;
            }
            waiting.taken -= first;
            if let Some(chunk) = waiting.chunks.pop_front() {
                given_back += chunk.memory();
                pool.recycle(chunk);
            }
        }
        waiting.memory -= given_back;
        waiting.check();
        if waiting.len == 0
            && let Some(empty) = self.0.take()
        {
            pool.recycle_waiting(empty);
        }
        given_back
    }

    /// Drops what waits, and tells how many bytes that were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> usize {
        let dropped = self.len();
        self.advance(dropped, pool);
        dropped
    }
}

/// Copies `parts` behind each other; there is room for them.
fn append(tail: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        tail.extend_from_slice(part);
    }
}

impl Waiting {
    /// Whether the memory of its queue is to be kept for reuse: not if a slow reader has made it
    /// long.
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
            0 => self.len == 0 && self.memory == 0,
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

    fn memory(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.capacity(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

// --- The pool: chunks are lent while bytes wait and taken back when they have left, so that in
// steady state the allocator is not asked once a message. ---

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_lost_or_repeated_whatever_is_consumed(
            reads in prop::collection::vec((0_usize..READ_SIZE, 0_usize..2 * READ_SIZE), 1..12)
        ) {
            let (mut inbox, mut buffer) = (Inbox::default(), ReadBuffer::new());
            let (mut sent, mut seen) = (Vec::new(), Vec::new());
            for (number, (length, appetite)) in reads.into_iter().enumerate() {
                let fresh: Vec<u8> =
                    (0..length).map(|at| (at * 31 + number).to_le_bytes()[0]).collect();
                buffer.space()[..length].copy_from_slice(&fresh);
                sent.extend_from_slice(&fresh);
                inbox.offer(&mut buffer, length, |bytes| {
                    let consumed = appetite.min(bytes.len());
                    seen.extend_from_slice(&bytes[..consumed]);
                    consumed
                });
            }
            seen.extend_from_slice(inbox.rest());
            prop_assert_eq!(seen, sent);
        }
    }

    #[test]
    fn a_short_rest_does_not_keep_the_memory_of_a_long_frame() {
        let (mut inbox, mut buffer) = (Inbox::default(), ReadBuffer::new());
        inbox.offer(&mut buffer, READ_SIZE, |_| 0);
        inbox.offer(&mut buffer, READ_SIZE, |_| READ_SIZE);
        assert!(inbox.memory() <= 2 * READ_SIZE);
        inbox.offer(&mut buffer, 2, |bytes| bytes.len() - 1);
        assert_eq!(inbox.rest().len(), 1);
        assert!(inbox.memory() <= 1 + INBOX_SLACK);
    }

    #[test]
    fn an_empty_inbox_owns_nothing() {
        let (mut inbox, mut buffer) = (Inbox::default(), ReadBuffer::new());
        inbox.offer(&mut buffer, 10, |_| 3);
        assert_eq!(inbox.rest().len(), 7);
        inbox.offer(&mut buffer, 0, <[u8]>::len);
        assert_eq!(inbox.memory(), 0);
    }

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
        assert_eq!((outbox.len(), outbox.memory()), (30, CHUNK_SIZE));
        assert_eq!(outbox.clear(&mut pool), 30);
        assert!(outbox.0.is_none());
    }

    #[test]
    fn a_long_frame_counts_until_its_last_byte_has_left() {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        let long = 16 * CHUNK_SIZE;
        outbox.push(&[&vec![b'x'; long]], &mut pool);
        outbox.share(&Rc::from([b'y'; 100]), &mut pool);
        outbox.advance(long - 1, &mut pool);
        assert_eq!((outbox.len(), outbox.memory()), (101, long + 100));
        outbox.advance(1, &mut pool);
        assert_eq!((outbox.len(), outbox.memory()), (100, 100));
        outbox.advance(100, &mut pool);
        assert_eq!(outbox.memory(), 0);
    }

    /// An outbox as it is drawn.
    fn drawn(outbox: &Outbox) -> Value {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        let slices: Vec<_> = slices[..filled].iter().map(|slice| slice.len()).collect();
        let chunks = outbox.0.iter().flat_map(|waiting| &waiting.chunks);
        let chunks = chunks.map(|chunk| {
            let is_shared = matches!(chunk, Chunk::Shared(_));
            json!({"bytes": chunk.bytes().len(), "memory": chunk.memory(), "shared": is_shared})
        });
        json!({
            "chunks": chunks.collect::<Vec<_>>(),
            "taken": outbox.0.as_ref().map_or(0, |waiting| waiting.taken),
            "waits": outbox.len(),
            "memory": outbox.memory(),
            "slices": slices,
        })
    }

    /// What `docs/loop/pictures/run` draws for chapter 6 of the tour.
    #[test]
    fn the_outbox_of_the_picture_is_a_real_one() {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        let mut states = Vec::new();
        for _ in 0..20 {
            outbox.push(&[&[0; 150]], &mut pool);
        }
        states.push(drawn(&outbox));
        outbox.push(&[&[0; 1_500]], &mut pool);
        outbox.share(&Rc::from([0; 900]), &mut pool);
        outbox.push(&[&[0; 131]], &mut pool);
        states.push(drawn(&outbox));
        outbox.advance(3_700, &mut pool);
        states.push(drawn(&outbox));
        outbox.advance(outbox.len(), &mut pool);
        states.push(drawn(&outbox));
        let file = include_str!("../../docs/loop/pictures/outbox.json");
        let file: Vec<Value> = serde_json::from_str(file).unwrap_or_default();
        assert_eq!(states, file, "outbox.json is to be:\n{}", json!(states));
    }
}
