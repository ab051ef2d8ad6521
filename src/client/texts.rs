//! Texts that were taken and are not confirmed: the queue of one peer, oldest first.
//!
//! Each is kept until the peer's client confirms it by its `mid`. A text is *in flight* if it was
//! sealed in the present session and not refused by the relay since. It is *held* if the relay had
//! no room for it: it is sealed, and will be sent again as it is. While the peer is away it may be
//! *posted*: it was sealed as a letter, which the relay has *stored* or has still to answer.
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
    /// Posted, and not stored.
    posted: usize,
    stored: usize,
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
    letter: Option<Posted>,
}

/// How far a text is that was sealed as a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Posted {
    Sent,
    Stored,
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
        let (request, is_held, was_relayed, letter) = (None, false, false, None);
        self.queue.push_back(Text { id, mid, body, len, request, is_held, was_relayed, letter });
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

    /// Whether a letter is on its way that the relay has not answered.
    pub(super) fn has_posted(&self) -> bool {
        self.posted > 0
    }

    /// Letters that the relay has stored.
    pub(super) fn are_stored(&self) -> usize {
        self.stored
    }

    /// Texts that are letters.
    pub(super) fn letters(&self) -> usize {
        self.posted + self.stored
    }

    /// Whether there are texts that are still to be sealed, or may have to be again.
    pub(super) fn are_to_be_sent(&self) -> bool {
        self.queue.len() > self.letters()
    }

    /// Since when the oldest text in flight is waited for.
    pub(super) fn waiting_since(&self) -> Option<Time> {
        (self.in_flight > 0).then_some(self.oldest_since)
    }

    /// The first text from `place` on that is not sealed, and its place.
    pub(super) fn next_to_seal(&self, place: usize) -> Option<(usize, &Body)> {
        let is_open = |text: &Text| text.request.is_none() && text.letter.is_none();
        let mut texts = self.queue.iter().enumerate().skip(place);
        let (place, text) = texts.find(|(_, text)| is_open(text))?;
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

    // --- As letters ---

    /// The text at `place` was sealed as a letter and sent.
    pub(super) fn post(&mut self, place: usize) {
        let Some(text) = self.queue.get_mut(place) else { return };
        text.letter = Some(Posted::Sent);
        self.posted += 1;
    }

    /// The relay has stored the letter. Returns its id and its length if this is told for the first
    /// time. The text itself is not needed any more.
    pub(super) fn stored(&mut self, mid: &Mid) -> Option<Done> {
        let text = self.queue.iter_mut().find(|text| text.mid == *mid)?;
        if text.letter != Some(Posted::Sent) {
            return None;
        }
        text.letter = Some(Posted::Stored);
        (self.posted, self.stored) = (self.posted - 1, self.stored + 1);
        text.body = Body::Text { mid: *mid, text: String::new() };
        Some(Done { id: text.id.clone(), len: std::mem::take(&mut text.len) })
    }

    /// The relay did not take the letter: it has to be sealed again. Returns whether it was posted.
    pub(super) fn unpost(&mut self, mid: &Mid) -> bool {
        let mut texts = self.queue.iter_mut();
        let text = texts.find(|text| text.mid == *mid && text.letter == Some(Posted::Sent));
        let is_there = text.map(|text| text.letter = None).is_some();
        self.posted -= usize::from(is_there);
        is_there
    }

    /// The relay will not answer any more: what was not stored has to be sealed again.
    pub(super) fn unpost_all(&mut self) {
        let posted = self.queue.iter_mut().filter(|text| text.letter == Some(Posted::Sent));
        posted.for_each(|text| text.letter = None);
        self.posted = 0;
    }

    /// Takes out the text with this id.
    pub(super) fn take(&mut self, mid: &Mid) -> Option<Done> {
        self.remove(self.queue.iter().position(|text| text.mid == *mid)?)
    }

    // --- Ends ---

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

    /// Takes out the oldest text that the relay has not stored.
    pub(super) fn pop(&mut self) -> Option<Done> {
        let is_stored = |text: &Text| text.letter == Some(Posted::Stored);
        self.remove(self.queue.iter().position(|text| !is_stored(text))?)
    }

    /// Takes out the text at `place`.
    pub(super) fn remove(&mut self, place: usize) -> Option<Done> {
        let text = self.queue.remove(place)?;
        self.in_flight -= usize::from(text.is_in_flight());
        match text.letter {
            Some(Posted::Sent) => self.posted -= 1,
            Some(Posted::Stored) => self.stored -= 1,
            None => {}
        }
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
