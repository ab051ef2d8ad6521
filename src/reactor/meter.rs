//! What ticks cost: how many there were, how long each worked, how many events it had.
//!
//! A tick works from the moment at which the wait returned to the end of its last step; between two
//! ticks the loop sleeps. So the time of all ticks together, divided by the time that has passed,
//! is the share of a processor that the loop uses.

use std::cell::Cell;
use std::time::Duration;

use super::Time;

/// Upper bounds of the buckets of [`Meter::times`], in nanoseconds.
const TIMES: [u64; 10] = [
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
];
/// Upper bounds of the buckets of [`Meter::events`]; one wait returns at most
/// [`EVENTS_PER_TICK`](super::limits::EVENTS_PER_TICK).
const EVENTS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A histogram with fixed bounds.
#[derive(Debug)]
pub struct Buckets<const N: usize> {
    bounds: [u64; N],
    counts: [Cell<u64>; N],
    count: Cell<u64>,
    sum: Cell<u64>,
}

/// What is kept of all ticks since the start.
#[derive(Debug)]
pub struct Meter {
    /// How long each worked, in nanoseconds.
    pub times: Buckets<{ TIMES.len() }>,
    /// How many events each had.
    pub events: Buckets<{ EVENTS.len() }>,
    /// The second of the clock in which the last tick ended, and the longest tick of it and of the
    /// one before, in nanoseconds.
    second: Cell<u64>,
    longest: Cell<[u64; 2]>,
}

impl<const N: usize> Buckets<N> {
    fn new(bounds: [u64; N]) -> Self {
        let counts = [const { Cell::new(0) }; N];
        Self { bounds, counts, count: Cell::new(0), sum: Cell::new(0) }
    }

    fn note(&self, value: u64) {
        // What is larger than all bounds is only in the count.
        if let Some(place) = self.bounds.iter().position(|&bound| value <= bound) {
            add(&self.counts[place], 1);
        }
        add(&self.count, 1);
        add(&self.sum, value);
    }

    /// How many values were noted.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// Each bound, with how many values are not larger than it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut in_all = 0;
        self.bounds.iter().zip(&self.counts).map(move |(&bound, count)| {
            in_all += count.get();
            (bound, in_all)
        })
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            times: Buckets::new(TIMES),
            events: Buckets::new(EVENTS),
            second: Cell::new(0),
            longest: Cell::new([0; 2]),
        }
    }
}

impl Meter {
    /// A tick that began at `began` has ended, and had so many `events`.
    pub(super) fn tick(&self, began: Time, ended: Time, events: usize) {
        let took = ended.as_nanos().saturating_sub(began.as_nanos());
        self.times.note(took);
        self.events.note(events as u64);
        self.turn_to(ended);
        let [before, longest] = self.longest.get();
        self.longest.set([before, longest.max(took)]);
    }

    /// The longest tick of the second of `now` and of the one before it.
    pub fn longest_lately(&self, now: Time) -> Duration {
        self.turn_to(now);
        Duration::from_nanos(self.longest.get().into_iter().max().unwrap_or(0))
    }

    /// Forgets what is more than a second old.
    fn turn_to(&self, now: Time) {
        let second = now.as_nanos() / NANOS_PER_SECOND;
        let [_, longest] = self.longest.get();
        match second.saturating_sub(self.second.replace(second)) {
            0 => {}
            1 => self.longest.set([longest, 0]),
            _ => self.longest.set([0; 2]),
        }
    }
}

fn add(cell: &Cell<u64>, value: u64) {
    cell.set(cell.get().wrapping_add(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_fall_into_their_buckets_and_the_longest_is_forgotten_after_a_second() {
        let meter = Meter::default();
        let at = |milliseconds: u64| Time::from_nanos(milliseconds * 1_000_000);
        meter.tick(at(5000), at(5001), 1);
        meter.tick(at(5010), at(6010), 300);
        let times: Vec<_> = meter.times.cumulative().collect();
        assert_eq!(
            (times[3], times[4], times[9]),
            ((300_000, 0), (1_000_000, 1), (300_000_000, 1))
        );
        assert_eq!((meter.times.count(), meter.times.sum()), (2, 1_001_000_000));
        assert_eq!(meter.events.cumulative().last(), Some((256, 1)));
        assert_eq!(meter.longest_lately(at(6999)), Duration::from_secs(1));
        meter.tick(at(7000), at(7002), 1);
        assert_eq!(meter.longest_lately(at(8500)), Duration::from_millis(2));
        assert_eq!(meter.longest_lately(at(9000)), Duration::ZERO);
        // Nobody can ask while a tick lasts: what counts is when it ended.
        meter.tick(at(10_000), at(13_500), 1);
        assert_eq!(meter.longest_lately(at(13_501)), Duration::from_millis(3500));
    }
}
