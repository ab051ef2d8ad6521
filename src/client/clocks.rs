//! Pauses that grow, and the earliest of several instants.
//!
//! Knows instants that are handed in, and no clock.

use std::time::Duration;

use crate::reactor::Time;

/// A pause that doubles each time it is taken, between two bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The pause for this time; the next one is twice as long.
    pub(super) fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }

    /// Takes every pause that is over `elapsed` after they all began. A process that was stopped
    /// for long takes them at once, and not in one tick each.
    pub(super) fn take_all_within(&mut self, elapsed: Duration) {
        while self.next <= elapsed && self.next < self.max {
            self.take();
        }
    }

    /// The pause that [`take`](Self::take) would give.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// Call when it went well: the next pause is the shortest.
    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// Between half of `pause` and all of it, so that many clients that lost one relay at the same
/// moment do not all come back at the same moment. `random` decides where.
pub(super) fn jittered(pause: Duration, random: [u8; 4]) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
}

/// The earliest of some instants.
pub(super) fn earliest(times: impl IntoIterator<Item = Option<Time>>) -> Option<Time> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_bound_and_starts_anew_when_it_went_well() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(3), seconds(10));
        let taken: Vec<_> = (0..4).map(|_| backoff.take()).collect();
        assert_eq!(taken, [seconds(3), seconds(6), seconds(10), seconds(10)]);
        backoff.reset();
        assert_eq!(backoff.next(), seconds(3));
    }

    #[test]
    fn pauses_that_are_over_are_taken_at_once_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(10));
        backoff.take_all_within(Duration::ZERO);
        assert_eq!(backoff.next(), seconds(1));
        backoff.take_all_within(seconds(4));
        assert_eq!(backoff.next(), seconds(8));
        backoff.take_all_within(seconds(100));
        assert_eq!(backoff.next(), seconds(10));
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let pause = Duration::from_secs(8);
        assert_eq!(jittered(pause, [0; 4]), pause / 2);
        assert_eq!(jittered(pause, [255; 4]), pause);
    }
}
