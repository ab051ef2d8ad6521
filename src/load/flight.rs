//! One sender's messages that are on their way, and what their arrival says about the relay.
//!
//! The sender's messages are numbered, and those that have not arrived are kept here in order. So
//! each arrival can be checked: whether it was sent at all, to this addressee, for the first time,
//! and not before an earlier one to the same addressee. Memory is used only for messages on their
//! way, however many users there are.

use std::collections::VecDeque;

use crate::reactor::Time;

/// The messages of one sender that have not arrived, and holes between them.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The first one has not arrived.
    entries: VecDeque<Entry>,
    /// The number of the next message.
    next: u64,
    /// Entries that have not arrived.
    pending: usize,
    /// Messages that the relay said it refused, without saying which.
    refused: usize,
    /// When one arrived last, or when the first of those on their way was sent.
    moved: Time,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    to: u32,
    is_over: bool,
    start: Time,
}

/// One that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// Its intended start.
    pub(super) start: Time,
    /// Earlier messages to the same addressee that had not arrived and were not refused.
    pub(super) overtaken: usize,
    /// Others that the relay must have refused.
    pub(super) refused: usize,
}

/// An arrival that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// It arrived before, or was never sent.
    Unexpected,
    /// It was sent to another.
    Misdelivered,
}

impl Flight {
    /// A message to `to` leaves at `now`; returns its number.
    pub(super) fn depart(&mut self, to: u32, start: Time, now: Time) -> u64 {
        if self.pending == 0 {
            self.moved = now;
        }
        self.entries.push_back(Entry { to, is_over: false, start });
        self.pending += 1;
        self.next += 1;
        self.next - 1
    }

    /// The message `number` has arrived at `at`.
    pub(super) fn land(&mut self, number: u64, at: u32, now: Time) -> Result<Landing, Stray> {
        let first = self.next - self.entries.len() as u64;
        let place = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let place = place.ok_or(Stray::Unexpected)?;
        let entry =
            self.entries.get_mut(place).filter(|it| !it.is_over).ok_or(Stray::Unexpected)?;
        if entry.to != at {
            return Err(Stray::Misdelivered);
        }
        entry.is_over = true;
        let start = entry.start;
        let earlier = self.entries.range(..place).filter(|it| it.to == at && !it.is_over).count();
        let refused = earlier.min(self.refused);
        self.give_up(refused, |it| it.to == at);
        self.refused -= refused;
        self.pending -= 1;
        self.moved = now;
        self.forget();
        let left = self.clear_refused();
        Ok(Landing { start, overtaken: earlier - refused, refused: refused + left })
    }

    /// The relay has refused one of them. Returns how many of those on their way are refused for
    /// certain: which one it was shows only when a later one arrives, or when no other is left.
    pub(super) fn refuse(&mut self) -> usize {
        self.refused += 1;
        self.clear_refused()
    }

    /// If only as many are left as were refused, those are the refused ones. Returns how many.
    fn clear_refused(&mut self) -> usize {
        if self.refused < self.pending { 0 } else { self.clear() }
    }

    /// Gives up all of them, and tells how many that were.
    pub(super) fn clear(&mut self) -> usize {
        self.entries.clear();
        self.refused = 0;
        std::mem::take(&mut self.pending)
    }

    /// When those on their way were meant to start, the first one first.
    pub(super) fn starts(&self) -> impl Iterator<Item = Time> {
        self.entries.iter().filter(|it| !it.is_over).map(|it| it.start)
    }

    /// How many are on their way.
    pub(super) const fn pending(&self) -> usize {
        self.pending
    }

    /// Since when nothing has moved, where something should.
    pub(super) fn waits_since(&self) -> Option<Time> {
        (self.pending > 0).then_some(self.moved)
    }

    /// Gives up the first `count` of those on their way for which `are` holds.
    fn give_up(&mut self, count: usize, are: impl Fn(&Entry) -> bool) {
        for entry in self.entries.iter_mut().filter(|it| !it.is_over && are(it)).take(count) {
            entry.is_over = true;
            self.pending -= 1;
        }
    }

    fn forget(&mut self) {
        while self.entries.pop_front_if(|first| first.is_over).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_nanos(9);

    fn at(nanoseconds: u64) -> Time {
        Time::from_nanos(nanoseconds)
    }

    fn three(to: [u32; 3]) -> Flight {
        let mut flight = Flight::default();
        for (number, to) in to.into_iter().enumerate() {
            assert_eq!(flight.depart(to, at(number as u64), NOW), number as u64);
        }
        flight
    }

    fn landing(start: u64, overtaken: usize, refused: usize) -> Landing {
        Landing { start: at(start), overtaken, refused }
    }

    #[test]
    fn order_is_that_of_one_addressee() {
        let mut flight = three([7, 8, 7]);
        assert_eq!(flight.land(1, 8, NOW), Ok(landing(1, 0, 0)));
        assert_eq!(flight.land(2, 7, NOW), Ok(landing(2, 1, 0)));
        assert_eq!(flight.land(0, 7, NOW), Ok(landing(0, 0, 0)));
        assert_eq!((flight.pending(), flight.entries.len()), (0, 0));
    }

    #[test]
    fn what_comes_twice_or_was_never_sent_or_to_another_is_a_stray() {
        let mut flight = three([7, 7, 7]);
        assert_eq!(flight.land(0, 7, NOW), Ok(landing(0, 0, 0)));
        assert_eq!(flight.land(0, 7, NOW), Err(Stray::Unexpected));
        assert_eq!(flight.land(3, 7, NOW), Err(Stray::Unexpected));
        assert_eq!(flight.land(u64::MAX, 7, NOW), Err(Stray::Unexpected));
        assert_eq!(flight.land(1, 8, NOW), Err(Stray::Misdelivered));
        assert_eq!(flight.land(1, 7, NOW), Ok(landing(1, 0, 0)));
    }

    #[test]
    fn a_refusal_excuses_the_one_that_is_missing() {
        let mut flight = three([7, 7, 7]);
        assert_eq!(flight.refuse(), 0);
        assert_eq!(flight.land(2, 7, NOW), Ok(landing(2, 1, 1)));
        assert_eq!(flight.pending(), 1);
        assert_eq!(flight.refuse(), 1);
        assert_eq!(flight.pending(), 0);
    }

    #[test]
    fn a_refusal_that_is_told_before_the_others_arrive_leaves_nothing_to_wait_for() {
        let mut flight = three([7, 7, 7]);
        assert_eq!(flight.refuse(), 0);
        assert_eq!(flight.land(0, 7, NOW), Ok(landing(0, 0, 0)));
        assert_eq!(flight.land(1, 7, NOW), Ok(landing(1, 0, 1)));
        assert_eq!((flight.pending(), flight.waits_since()), (0, None));
    }

    #[test]
    fn it_waits_since_something_moved() {
        let mut flight = Flight::default();
        assert_eq!(flight.waits_since(), None);
        flight.depart(1, at(0), at(10));
        flight.depart(1, at(0), at(20));
        assert_eq!(flight.waits_since(), Some(at(10)));
        assert!(flight.land(0, 1, at(30)).is_ok());
        assert_eq!(flight.waits_since(), Some(at(30)));
    }
}
