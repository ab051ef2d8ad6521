//! Texts that were taken and are not confirmed: the queue of one peer, oldest first.
//!
//! Each is kept until the peer's client confirms it by its `mid`. A text is *in flight* if it was
//! sealed in the present session and not refused by the relay since. It is *held* if the relay had
//! no room for it: it is sealed, and will be sent again as it is.
//!
//! When a text counts as lost: the clock runs for the oldest one, from when it was sealed or became
//! the oldest, as TCP's retransmission timer does (RFC 6298, section 5). So a peer that confirms
//! slowly is not sent everything again.

use std::collections::VecDeque;

use crate::crypto::{Body, Mid};
use crate::reactor::Time;

/// The unconfirmed texts of one peer.
#[derive(Debug, Default)]
pub(super) struct Texts {
    queue: VecDeque<Text>,
    in_flight: usize,
    oldest_since: Time,
}

#[derive(Debug)]
struct Text {
    /// The id by which the user knows it.
    id: String,
    mid: Mid,
    body: Body,
    /// Bytes of text.
    len: usize,
    /// Sealed: the number of the request that carries it.
    request: Option<u64>,
    is_held: bool,
    was_relayed: bool,
}

impl Text {
    fn is_in_flight(&self) -> bool {
        self.request.is_some() && !self.is_held
    }
}

/// A text that has left the queue.
pub(super) struct Done {
    pub(super) id: String,
    /// Bytes of text.
    pub(super) len: usize,
}

impl Texts {
    pub(super) fn push(&mut self, id: String, mid: Mid, text: &str) {
        let body = Body::Text { mid, text: text.to_owned() };
        let len = text.len();
        let (request, is_held, was_relayed) = (None, false, false);
        self.queue.push_back(Text { id, mid, body, len, request, is_held, was_relayed });
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Since when the oldest text in flight is waited for.
    pub(super) fn waiting_since(&self) -> Option<Time> {
        (self.in_flight > 0).then_some(self.oldest_since)
    }

    /// The first text from `place` on that is not sealed, and its place.
    pub(super) fn next_to_seal(&self, place: usize) -> Option<(usize, &Body)> {
        let (place, text) =
            self.queue.iter().enumerate().skip(place).find(|(_, text)| text.request.is_none())?;
        Some((place, &text.body))
    }

    /// The text at `place` was sealed and sent with the request of this number.
    pub(super) fn sealed(&mut self, place: usize, request: u64, now: Time) {
        let Some(text) = self.queue.get_mut(place) else { return };
        debug_assert!(text.request.is_none(), "sealed once a session");
        text.request = Some(request);
        if self.in_flight == 0 {
            self.oldest_since = now;
        }
        self.in_flight += 1;
    }

    /// The session is over: all have to be sealed again.
    pub(super) fn unseal_all(&mut self) {
        self.queue.iter_mut().for_each(|text| (text.request, text.is_held) = (None, false));
        self.in_flight = 0;
    }

    /// The relay did not take the text of this request: it has to be sealed again.
    pub(super) fn unseal(&mut self, request: u64) {
        if let Some(text) = self.sealed_as(request) {
            let was_in_flight = text.is_in_flight();
            (text.request, text.is_held) = (None, false);
            self.in_flight -= usize::from(was_in_flight);
        }
    }

    /// The relay has no room for the text of this request now.
    pub(super) fn hold(&mut self, request: u64) {
        if let Some(text) = self.sealed_as(request) {
            let was_held = std::mem::replace(&mut text.is_held, true);
            self.in_flight -= usize::from(!was_held);
        }
    }

    /// All held texts were sent again.
    pub(super) fn release(&mut self, now: Time) {
        let held = self.queue.iter_mut().filter(|text| text.is_held);
        let released = held.map(|text| text.is_held = false).count();
        if self.in_flight == 0 && released > 0 {
            self.oldest_since = now;
        }
        self.in_flight += released;
    }

    fn sealed_as(&mut self, request: u64) -> Option<&mut Text> {
        self.queue.iter_mut().find(|text| text.request == Some(request))
    }

    /// The relay took the text of this request. Returns its id if this is told for the first time.
    pub(super) fn relayed(&mut self, request: u64) -> Option<&str> {
        let text = self.sealed_as(request)?;
        let is_first = !std::mem::replace(&mut text.was_relayed, true);
        is_first.then_some(text.id.as_str())
    }

    /// The peer confirmed the text with this `mid`.
    pub(super) fn confirm(&mut self, mid: &Mid, now: Time) -> Option<Done> {
        let place = self.queue.iter().position(|text| text.mid == *mid)?;
        if place == 0 {
            self.oldest_since = now;
        }
        self.remove(place)
    }

    /// The text of this request is given up.
    pub(super) fn give_up(&mut self, request: u64) -> Option<Done> {
        self.remove(self.queue.iter().position(|text| text.request == Some(request))?)
    }

    /// Takes out the oldest text, whatever its state.
    pub(super) fn pop(&mut self) -> Option<Done> {
        self.remove(0)
    }

    /// Takes out the text at `place`.
    pub(super) fn remove(&mut self, place: usize) -> Option<Done> {
        let text = self.queue.remove(place)?;
        self.in_flight -= usize::from(text.is_in_flight());
        Some(Done { id: text.id, len: text.len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        let mut texts = Texts::default();
        for (id, mid) in [("a", 1), ("b", 2), ("c", 3)] {
            texts.push(id.to_owned(), [mid; 16], "hi");
        }
        texts
    }

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_was_refused_is_next_and_the_rest_stays_in_flight() {
        let mut texts = texts();
        (0..3).for_each(|place| texts.sealed(place, place as u64 + 10, at(1)));
        assert!(texts.next_to_seal(0).is_none());
        texts.unseal(11);
        assert_eq!((texts.in_flight(), texts.next_to_seal(0).unwrap().0), (2, 1));
        texts.unseal(11);
        assert_eq!(texts.in_flight(), 2);
        texts.unseal_all();
        assert_eq!((texts.in_flight(), texts.next_to_seal(1).unwrap().0), (0, 1));
    }

    #[test]
    fn the_clock_starts_anew_only_for_another_oldest_text() {
        let mut texts = texts();
        assert_eq!(texts.waiting_since(), None);
        (0..3).for_each(|place| texts.sealed(place, place as u64, at(1)));
        assert_eq!(texts.confirm(&[2; 16], at(2)).unwrap().id, "b");
        assert_eq!(texts.waiting_since(), Some(at(1)));
        assert_eq!(texts.confirm(&[1; 16], at(3)).unwrap().id, "a");
        assert_eq!(texts.waiting_since(), Some(at(3)));
        assert!(texts.confirm(&[1; 16], at(4)).is_none());
        assert_eq!(texts.pop().unwrap().id, "c");
        assert_eq!((texts.in_flight(), texts.is_empty()), (0, true));
    }

    #[test]
    fn what_is_held_is_neither_in_flight_nor_sealed_again() {
        let mut texts = texts();
        (0..3).for_each(|place| texts.sealed(place, place as u64 + 10, at(1)));
        for request in [11, 12, 12] {
            texts.hold(request);
        }
        assert_eq!((texts.in_flight(), texts.next_to_seal(0).is_none()), (1, true));
        texts.unseal(11);
        assert_eq!(texts.next_to_seal(0).unwrap().0, 1);
        assert_eq!(texts.confirm(&[1; 16], at(2)).unwrap().id, "a");
        assert_eq!(texts.waiting_since(), None);
        texts.release(at(9));
        assert_eq!((texts.in_flight(), texts.waiting_since()), (1, Some(at(9))));
        assert_eq!(texts.relayed(12), Some("c"));
    }

    #[test]
    fn relayed_is_told_once() {
        let mut texts = texts();
        texts.sealed(0, 7, at(1));
        assert_eq!(texts.relayed(7), Some("a"));
        texts.unseal_all();
        texts.sealed(0, 8, at(2));
        assert_eq!(texts.relayed(8), None);
        assert_eq!(texts.relayed(7), None);
    }
}
