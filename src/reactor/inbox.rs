//! Bytes on their way in: the beginning of a frame whose end has not come.
//!
//! Knows bytes, not frames. All connections read into one buffer; only what a handler could not
//! consume is kept for its connection, and is put in front of what comes next.

use crate::limits::{READ_HEADROOM, READ_SIZE};

/// The buffer that every read goes into, with room in front of it for what an inbox kept.
pub(crate) struct ReadBuffer(Box<[u8]>);

/// What one connection sent and its handler has not consumed. Owns heap only while there is any.
#[derive(Default)]
pub(crate) struct Inbox {
    kept: Vec<u8>,
}

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
        self.kept.is_empty()
    }

    /// What was never consumed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.kept
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
        if self.kept.len() > READ_HEADROOM {
            self.kept.extend_from_slice(&buffer.0[READ_HEADROOM..end]);
            let consumed = look(&self.kept);
            self.kept.drain(..consumed);
            self.release();
            return consumed;
        }
        let start = READ_HEADROOM - self.kept.len();
        buffer.0[start..READ_HEADROOM].copy_from_slice(&self.kept);
        let consumed = look(&buffer.0[start..end]);
        self.kept.clear();
        self.kept.extend_from_slice(&buffer.0[start + consumed..end]);
        self.release();
        consumed
    }

    fn release(&mut self) {
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn an_empty_inbox_owns_nothing() {
        let (mut inbox, mut buffer) = (Inbox::default(), ReadBuffer::new());
        inbox.offer(&mut buffer, 10, |_| 3);
        assert_eq!(inbox.rest().len(), 7);
        inbox.offer(&mut buffer, 0, <[u8]>::len);
        assert_eq!(inbox.kept.capacity(), 0);
    }
}
