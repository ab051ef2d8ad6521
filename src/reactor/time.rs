//! The monotonic clock as a number of nanoseconds.
//!
//! The loop reads the clock once a tick and hands the reading to everyone, so that all of a tick
//! happens at one instant and a simulation can say what time it is. Wall-clock jumps do not exist
//! here.

use std::ops::Add;
use std::time::Duration;

/// An instant on the monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`), in nanoseconds since
/// an unknown start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The instant `nanoseconds` after the clock's start.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long `earlier` lies before this instant; zero where it lies after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// The instant `after` later. Saturates after 584 years.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}
