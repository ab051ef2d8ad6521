//! How many new sessions we compute: each takes a private RSA operation, so others could keep us
//! busy.
//!
//! A bucket holds tokens and fills at a steady rate. A session takes one from its peer's bucket and
//! one from the bucket over all; one of a peer that is not pinned yet takes a third, from the
//! strangers' share. So a peer cannot use up what is there for all, nor can newcomers.

use std::time::Duration;

use crate::limits::{SESSION_BURST, SESSIONS_PER_SECOND, UNPINNED_SESSIONS_PER_SECOND};
use crate::reactor::Time;

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    capacity: u32,
    /// How long one token takes to come back.
    period: Duration,
    level: u32,
    /// Up to when what came back has been counted.
    counted: Time,
}

impl Bucket {
    /// A full bucket.
    const fn new(capacity: u32, per_second: u32) -> Self {
        let period = Duration::from_nanos(1_000_000_000 / per_second as u64);
        Self { capacity, period, level: capacity, counted: Time::from_nanos(0) }
    }

    /// One peer's.
    pub(super) const fn of_a_peer() -> Self {
        Self::new(SESSION_BURST, 1)
    }

    fn holds_one(&mut self, now: Time) -> bool {
        let back = now.since(self.counted).as_nanos() / self.period.as_nanos();
        let back = u32::try_from(back).unwrap_or(u32::MAX);
        self.level = self.level.saturating_add(back);
        if self.level >= self.capacity {
            (self.level, self.counted) = (self.capacity, now);
        } else {
            self.counted = self.counted + self.period * back;
        }
        self.level > 0
    }
}

/// What all peers share.
#[derive(Debug)]
pub(super) struct Tokens {
    all: Bucket,
    unpinned: Bucket,
}

impl Tokens {
    /// Full buckets.
    pub(super) const fn new() -> Self {
        Self {
            all: Bucket::new(SESSIONS_PER_SECOND, SESSIONS_PER_SECOND),
            unpinned: Bucket::new(UNPINNED_SESSIONS_PER_SECOND, UNPINNED_SESSIONS_PER_SECOND),
        }
    }

    /// Takes what a new session costs; `false`, and nothing taken, where a bucket is empty.
    pub(super) fn take(&mut self, peer: &mut Bucket, is_pinned: bool, now: Time) -> bool {
        let mut buckets =
            [Some(peer), Some(&mut self.all), (!is_pinned).then_some(&mut self.unpinned)];
        let allowed = buckets.iter_mut().flatten().all(|bucket| bucket.holds_one(now));
        if allowed {
            buckets.iter_mut().flatten().for_each(|bucket| bucket.level -= 1);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    /// How many sessions of the peer are allowed at once.
    fn drain(tokens: &mut Tokens, peer: &mut Bucket, is_pinned: bool, now: Time) -> usize {
        (0..100).take_while(|_| tokens.take(peer, is_pinned, now)).count()
    }

    #[test]
    fn a_peer_has_a_burst_and_then_one_a_second() {
        let mut peer = Bucket::of_a_peer();
        let mut count =
            |now| (0..100).take_while(|_| Tokens::new().take(&mut peer, true, now)).count();
        assert_eq!(count(at(0)), 16);
        assert_eq!(count(at(999)), 0);
        assert_eq!(count(at(1001)), 1);
        assert_eq!(count(at(1_000_000)), 16);
    }

    #[test]
    fn all_peers_together_and_newcomers_among_them_have_their_share() {
        let mut tokens = Tokens::new();
        assert_eq!(drain(&mut tokens, &mut Bucket::of_a_peer(), false, at(0)), 5);
        assert_eq!(drain(&mut tokens, &mut Bucket::of_a_peer(), false, at(0)), 0);
        assert_eq!(drain(&mut tokens, &mut Bucket::of_a_peer(), true, at(0)), 5);
        assert_eq!(drain(&mut tokens, &mut Bucket::of_a_peer(), true, at(0)), 0);
        assert_eq!(drain(&mut tokens, &mut Bucket::of_a_peer(), true, at(300)), 3);
    }

    #[test]
    fn what_is_refused_costs_the_others_nothing() {
        let mut tokens = Tokens::new();
        let mut peer = Bucket::of_a_peer();
        assert_eq!(drain(&mut tokens, &mut peer, true, at(0)), 10);
        assert_eq!(peer.level, 6);
    }
}
