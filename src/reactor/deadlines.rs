//! Deadlines: one queue for each kind of wait, each in the order in which its waits began.
//!
//! Knows tokens and times. All waits of one kind take equally long, so whoever began first ends
//! first: the queue is sorted by itself, the next deadline stands at its front, and beginning,
//! ending and expiring take constant time. (A heap or a timer wheel buys arbitrary durations, which
//! no wait here needs; Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 1
//! for equal intervals.)
//!
//! The queues are doubly linked lists through one slab, so that a wait that ends early leaves from
//! the middle: connections that begin and end a wait with each frame leave nothing behind.

use std::time::Duration;

use super::slab::Slab;
use super::{Time, Token};

/// All waits in progress.
pub(crate) struct Deadlines<const KINDS: usize> {
    queues: [Queue; KINDS],
    waits: Slab<Wait>,
}

/// The wait of one connection for one thing; whoever began it keeps this to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitId(Token);

struct Queue {
    length: Duration,
    first: Option<Token>,
    last: Option<Token>,
}

struct Wait {
    owner: Token,
    until: Time,
    before: Option<Token>,
    after: Option<Token>,
}

impl<const KINDS: usize> Deadlines<KINDS> {
    /// Queues for waits of these lengths.
    pub(crate) fn new(lengths: [Duration; KINDS]) -> Self {
        let queues = lengths.map(|length| Queue { length, first: None, last: None });
        Self { queues, waits: Slab::new() }
    }

    /// `owner` begins to wait. `now` never goes back, which keeps the queue sorted.
    pub(crate) fn begin(&mut self, kind: usize, owner: Token, now: Time) -> WaitId {
        let queue = &mut self.queues[kind];
        let until = now + queue.length;
        let before = queue.last;
        let id = self.waits.insert(Wait { owner, until, before, after: None });
        queue.last = Some(id);
        match before.and_then(|last| self.waits.get_mut(last)) {
            Some(last) => {
                debug_assert!(last.until <= until);
                last.after = Some(id);
            }
            None => queue.first = Some(id),
        }
        WaitId(id)
    }

    /// The wait is over, whatever came of it. One that expired is over already.
    pub(crate) fn end(&mut self, kind: usize, WaitId(id): WaitId) {
        let Some(wait) = self.waits.remove(id) else { return };
        let queue = &mut self.queues[kind];
        match wait.before.and_then(|before| self.waits.get_mut(before)) {
            Some(before) => before.after = wait.after,
            None => queue.first = wait.after,
        }
        match wait.after.and_then(|after| self.waits.get_mut(after)) {
            Some(after) => after.before = wait.before,
            None => queue.last = wait.before,
        }
    }

    /// `owner`, whose wait expired, waits on until `now`, before all others. (Of those, some may be
    /// due a little earlier, and are told with it.)
    pub(crate) fn put_back(&mut self, kind: usize, owner: Token, now: Time) -> WaitId {
        let queue = &mut self.queues[kind];
        let after = queue.first;
        let id = self.waits.insert(Wait { owner, until: now, before: None, after });
        queue.first = Some(id);
        match after.and_then(|first| self.waits.get_mut(first)) {
            Some(first) => first.before = Some(id),
            None => queue.last = Some(id),
        }
        WaitId(id)
    }

    /// How many waits are in progress.
    pub(crate) const fn len(&self) -> usize {
        self.waits.len()
    }

    /// The earliest deadline of all.
    pub(crate) fn next(&self) -> Option<Time> {
        self.fronts().map(|(_, wait)| wait.until).min()
    }

    /// Takes out one wait that has lasted its time, and tells its kind and who waited.
    pub(crate) fn expired(&mut self, now: Time) -> Option<(usize, Token)> {
        let (kind, owner) = self
            .fronts()
            .find(|(_, wait)| wait.until <= now)
            .map(|(kind, wait)| (kind, wait.owner))?;
        let id = self.queues[kind].first?;
        self.end(kind, WaitId(id));
        Some((kind, owner))
    }

    fn fronts(&self) -> impl Iterator<Item = (usize, &Wait)> {
        let front = |(kind, queue): (usize, &Queue)| Some((kind, self.waits.get(queue.first?)?));
        self.queues.iter().enumerate().filter_map(front)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const SHORT: usize = 0;
    const LONG: usize = 1;

    fn owner(slot: u32) -> Token {
        Token::new(slot, NonZeroU32::MIN)
    }

    fn seconds(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn deadlines() -> Deadlines<2> {
        Deadlines::new([Duration::from_secs(1), Duration::from_secs(10)])
    }

    #[test]
    fn waits_end_in_the_order_of_their_deadlines() {
        let mut deadlines = deadlines();
        deadlines.begin(LONG, owner(1), seconds(0));
        deadlines.begin(SHORT, owner(2), seconds(1));
        deadlines.begin(SHORT, owner(3), seconds(2));
        assert_eq!(deadlines.next(), Some(seconds(2)));
        assert_eq!(deadlines.expired(seconds(2)), Some((SHORT, owner(2))));
        assert_eq!(deadlines.expired(seconds(2)), None);
        assert_eq!(deadlines.expired(seconds(10)), Some((SHORT, owner(3))));
        assert_eq!(deadlines.expired(seconds(10)), Some((LONG, owner(1))));
        assert_eq!((deadlines.next(), deadlines.waits.len()), (None, 0));
    }

    #[test]
    fn a_wait_can_end_at_the_front_in_the_middle_and_at_the_back() {
        for ended in 0..3 {
            let mut deadlines = deadlines();
            let owners: Vec<_> = (0..3).map(owner).collect();
            let waits: Vec<_> =
                owners.iter().map(|&owner| deadlines.begin(SHORT, owner, seconds(0))).collect();
            deadlines.end(SHORT, waits[ended]);
            deadlines.end(SHORT, waits[ended]); // twice is once
            let left = std::iter::from_fn(|| deadlines.expired(seconds(1))).map(|(_, owner)| owner);
            let expected: Vec<_> = (0..3).filter(|&i| i != ended).map(|i| owners[i]).collect();
            assert_eq!(left.collect::<Vec<_>>(), expected);
        }
    }
}
