//! When each operation is meant to start.
//!
//! At a fixed rate the starts are fixed beforehand, whatever the relay does: an operation that
//! could not start in time because the one before it took long is late by its own measure, and its
//! latency counts from where it should have started. (Counting from the actual start is the error
//! that Gil Tene calls coordinated omission: a relay that stops for a second would show one slow
//! operation instead of a second full of them.)

use std::time::Duration;

use crate::reactor::Time;

/// Starts at equal distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    begin: Time,
    /// Seconds between two starts; finite and not negative.
    period: f64,
}

impl Schedule {
    /// `per_second` starts, from `begin` on; none where that is no rate.
    pub(super) fn new(begin: Time, per_second: f64) -> Option<Self> {
        let period = per_second.recip();
        (period.is_finite() && period > 0.0).then_some(Self { begin, period })
    }

    /// When the start number `index`, counted from 0, is meant to be.
    #[allow(clippy::cast_precision_loss)] // 2⁵³ starts take centuries
    pub(super) fn start(&self, index: u64) -> Time {
        let after = Duration::try_from_secs_f64(self.period * index as f64);
        self.begin + after.unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_do_not_drift() {
        let schedule = Schedule::new(Time::from_nanos(5), 3.0).unwrap();
        assert_eq!(schedule.start(0).as_nanos(), 5);
        assert_eq!(schedule.start(3_000_000).as_nanos(), 1_000_000 * 1_000_000_000 + 5);
    }

    #[test]
    fn what_is_no_rate_makes_no_schedule() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Schedule::new(Time::default(), rate).is_none(), "{rate}");
        }
    }
}
