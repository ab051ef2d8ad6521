//! Frames of the present session that the relay has not answered yet, as they were sent.
//!
//! A frame that the relay refuses because too much waits for the peer (`queue_full`) is sent again
//! unchanged, with the same message number, so the peer sees no gap. This works as long as no
//! higher number was delivered: afterwards the peer would take the lower one for a replay, so the
//! text has to be sealed again, and the peer sees a gap.

use std::collections::VecDeque;

use super::core::ClientCore;
use crate::limits::UNANSWERED_FRAMES;

/// The unanswered frames of one session, in order.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    frames: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    /// The number of the request that it makes.
    request: u64,
    frame: Vec<u8>,
    is_refused: bool,
}

impl Unanswered {
    /// A frame was sent. If the relay answers none of them, the oldest is forgotten.
    pub(super) fn sent(&mut self, request: u64, frame: Vec<u8>) {
        if self.frames.len() >= UNANSWERED_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(Sent { request, frame, is_refused: false });
    }

    /// The relay took this one. Returns those before it that it had refused: they cannot be sent
    /// again.
    pub(super) fn taken(&mut self, request: u64) -> Vec<u64> {
        let Some(place) = self.place(request) else { return Vec::new() };
        self.frames.remove(place);
        let refused = self.frames.iter().take(place).filter(|sent| sent.is_refused);
        let refused: Vec<_> = refused.map(|sent| sent.request).collect();
        if !refused.is_empty() {
            self.frames.retain(|sent| !refused.contains(&sent.request));
        }
        refused
    }

    /// The relay refused this one for now. Returns whether it can be sent again.
    pub(super) fn refused(&mut self, request: u64) -> bool {
        let Some(place) = self.place(request) else { return false };
        self.frames[place].is_refused = true;
        true
    }

    /// The relay refused this one for good.
    pub(super) fn forget(&mut self, request: u64) {
        self.frames.retain(|sent| sent.request != request);
    }

    /// Sends the refused frames again. If the relay has not answered a later one yet, it may have
    /// taken that one: then nothing is sent, and the returned texts have to be sealed again.
    pub(super) fn send_again(&mut self, core: &mut ClientCore) -> Vec<u64> {
        if !self.frames.iter().any(|sent| sent.is_refused) {
            return Vec::new();
        }
        if self.frames.iter().all(|sent| sent.is_refused) {
            for sent in &mut self.frames {
                core.post(&sent.frame);
                sent.is_refused = false;
            }
            return Vec::new();
        }
        let refused = self.frames.iter().filter(|sent| sent.is_refused);
        let refused = refused.map(|sent| sent.request).collect();
        self.frames.retain(|sent| !sent.is_refused);
        refused
    }

    /// The session is over.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }

    /// Answers come in order, so it is nearly always the first one.
    fn place(&self, request: u64) -> Option<usize> {
        self.frames.iter().position(|sent| sent.request == request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::core::tests::core;

    fn three() -> Unanswered {
        let mut unanswered = Unanswered::default();
        (1..=3).for_each(|request: u8| unanswered.sent(request.into(), vec![request]));
        unanswered
    }

    #[test]
    fn what_was_refused_to_its_end_is_sent_again_as_it_was_and_in_order() {
        let (mut core, mut unanswered) = (core(), three());
        assert_eq!(unanswered.taken(1), [0; 0]);
        assert!(unanswered.refused(2) && unanswered.refused(3) && !unanswered.refused(1));
        assert_eq!(unanswered.send_again(&mut core), [0; 0]);
        assert_eq!(core.outgoing, [2, 3]);
        assert!(unanswered.refused(2), "until it is taken");
    }

    #[test]
    fn what_was_overtaken_or_may_yet_be_is_to_be_sealed_anew() {
        let (mut core, mut unanswered) = (core(), three());
        assert!(unanswered.refused(1) && unanswered.refused(2));
        assert_eq!(unanswered.taken(3), [1, 2]);
        assert!(unanswered.frames.is_empty());
        let mut unanswered = three();
        assert!(unanswered.refused(1) && unanswered.refused(2));
        assert_eq!(unanswered.send_again(&mut core), [1, 2]);
        assert!(core.outgoing.is_empty() && unanswered.frames.len() == 1);
    }

    #[test]
    fn a_relay_that_never_answers_makes_us_keep_a_bounded_number() {
        let mut unanswered = Unanswered::default();
        (0..2 * UNANSWERED_FRAMES as u64).for_each(|request| unanswered.sent(request, Vec::new()));
        assert_eq!(unanswered.frames.len(), UNANSWERED_FRAMES);
        assert!(!unanswered.refused(0));
    }
}
