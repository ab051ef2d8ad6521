//! When each operation is meant to start.
//!
//! At a fixed rate the starts are fixed beforehand, whatever the relay does: if an operation could
//! not start in time because the one before it took long, its latency still counts from when it
//! should have started. (Counting from the actual start is the error that Gil Tene calls
//! coordinated omission: a relay that stops for a second would show one slow operation instead of a
//! second full of them.)

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

    /// How many starts are meant to be at `now` or before. The same however many they are: a
    /// generator that counted them one by one would fall behind its own schedule.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below 2⁶³, not negative
    pub(super) fn due(&self, now: Time) -> u64 {
        if now < self.begin {
            return 0;
        }
        let mut count = (now.since(self.begin).as_secs_f64() / self.period) as u64;
        while count > 0 && self.start(count - 1) > now {
            count -= 1; // the quotient was rounded up
        }
        while self.start(count) <= now {
            count += 1;
        }
        count
    }

    /// How many starts there are within a time from the first one on.
    pub(super) fn within(&self, time: Duration) -> u64 {
        let last = time.checked_sub(Duration::from_nanos(1));
        last.map_or(0, |last| self.due(self.begin + last))
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
    fn what_is_due_is_what_has_a_start_by_then() {
        for rate in [0.3, 3.0, 1000.0, 7e8] {
            let schedule = Schedule::new(Time::from_nanos(5), rate).unwrap();
            for index in [0, 1, 2, 3, 1000, 999_999] {
                let start = schedule.start(index);
                assert!(schedule.due(start) > index, "{index} at {rate}");
                let before = Time::from_nanos(start.as_nanos() - 1);
                assert!(schedule.due(before) <= index, "{index} at {rate}");
            }
        }
        let schedule = Schedule::new(Time::from_nanos(5), 1000.0).unwrap();
        let within = |millis| schedule.within(Duration::from_millis(millis));
        assert_eq!((within(0), within(1), within(2), within(5000)), (0, 1, 2, 5000));
    }

    #[test]
    fn what_is_no_rate_makes_no_schedule() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Schedule::new(Time::default(), rate).is_none(), "{rate}");
        }
    }
}
