//! Rates: so many at once, and from then on so many a second.
//!
//! Knows instants, and nothing of what is counted: the client uses it to bound what others make it
//! compute, the relay to bound what one address may ask.
//!
//! A bucket is kept as one instant, at which it will be full again: tokens come back at a steady
//! rate, so the instant says how many are missing. (The generic cell rate algorithm, ITU-T I.371,
//! appendix A, in its form of a virtual schedule.) A bucket that nobody has used for a while is the
//! same as a new one, so it can be forgotten.

use std::time::Duration;

use crate::reactor::Time;

/// What a bucket holds, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    capacity: Duration,
    period: Duration,
}

impl Rate {
    /// `burst` at once, and then `per_second`.
    ///
    /// # Panics
    /// If one of them is 0; both are constants.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        assert!(burst > 0 && per_second > 0, "a rate of nothing");
        Self::every(burst, Duration::from_nanos(1_000_000_000 / per_second as u64))
    }

    /// `burst` at once, and then one in each `period`.
    pub const fn every(burst: u32, period: Duration) -> Self {
        Self { capacity: period.saturating_mul(burst), period }
    }
}

/// Tokens that come back with time. The default is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// When a token is there: `now`, or later.
    pub fn next(&self, rate: Rate, now: Time) -> Time {
        let missing = self.full_at.since(now) + rate.period;
        now + missing.saturating_sub(rate.capacity)
    }

    /// Whether a token is there.
    pub fn holds_one(&self, rate: Rate, now: Time) -> bool {
        self.next(rate, now) == now
    }

    /// Takes a token: one that is there, or the next one that will be.
    pub fn spend(&mut self, rate: Rate, now: Time) {
        self.full_at = self.full_at.max(now) + rate.period;
    }

    /// Takes a token if one is there, and returns whether it was.
    pub fn take(&mut self, rate: Rate, now: Time) -> bool {
        let holds_one = self.holds_one(rate, now);
        if holds_one {
            self.spend(rate, now);
        }
        holds_one
    }

    /// Takes so many tokens if they are there, and returns whether they were.
    pub fn take_some(&mut self, rate: Rate, count: u32, now: Time) -> bool {
        let taken = rate.period.saturating_mul(count);
        let are_there = self.full_at.since(now).saturating_add(taken) <= rate.capacity;
        if are_there {
            self.full_at = self.full_at.max(now) + taken;
        }
        are_there
    }

    /// Gives so many tokens back that were taken and not used.
    pub fn give_back(&mut self, rate: Rate, count: u32) {
        let back = u64::try_from(rate.period.saturating_mul(count).as_nanos()).unwrap_or(u64::MAX);
        self.full_at = Time::from_nanos(self.full_at.as_nanos().saturating_sub(back));
    }

    /// Whether it is full: then it need not be kept.
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new(16, 2);

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    fn drain(bucket: &mut Bucket, now: Time) -> usize {
        (0..100).take_while(|_| bucket.take(RATE, now)).count()
    }

    #[test]
    fn a_burst_and_then_a_steady_pace() {
        let mut bucket = Bucket::default();
        assert_eq!(drain(&mut bucket, at(0)), 16);
        assert_eq!(drain(&mut bucket, at(499)), 0);
        assert_eq!(drain(&mut bucket, at(500)), 1);
        assert_eq!(drain(&mut bucket, at(2_600)), 4);
        assert!(!bucket.is_full(at(10_499)) && bucket.is_full(at(11_000)));
        assert_eq!(drain(&mut bucket, at(1_000_000)), 16);
    }

    #[test]
    fn several_are_taken_together_or_not_at_all_and_may_be_given_back() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take_some(RATE, 17, at(0)) && bucket.take_some(RATE, 12, at(0)));
        assert!(!bucket.take_some(RATE, 5, at(0)) && bucket.take_some(RATE, 5, at(500)));
        bucket.give_back(RATE, 5);
        assert!(!bucket.take_some(RATE, 6, at(500)) && bucket.take_some(RATE, 5, at(500)));
    }

    #[test]
    fn a_token_can_be_taken_before_it_is_there() {
        let mut bucket = Bucket::default();
        drain(&mut bucket, at(0));
        let turns = [0; 3].map(|_| {
            let turn = bucket.next(RATE, at(0));
            bucket.spend(RATE, at(0));
            turn
        });
        assert_eq!(turns, [at(500), at(1_000), at(1_500)]);
        assert_eq!(bucket.next(RATE, at(1_000)), at(2_000));
    }
}
