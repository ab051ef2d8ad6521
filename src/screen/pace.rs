//! When to draw: at once where nothing was drawn lately, and otherwise with the next frame.

use super::limits::FRAME_INTERVAL;
use crate::reactor::Time;

/// Frames, at most one in each [`FRAME_INTERVAL`].
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<Time>,
    is_wanted: bool,
}

impl Pace {
    /// Something has changed that is to be seen.
    pub fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether to draw now. Where it is not yet time, [`next`](Self::next) tells when it is.
    pub fn take(&mut self, now: Time) -> bool {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due {
            *self = Self { last: Some(now), is_wanted: false };
        }
        is_due
    }

    /// When the next frame is due; none: nothing has changed.
    pub fn next(&self) -> Option<Time> {
        let due = self.last.map_or(Time::from_nanos(0), |last| last + FRAME_INTERVAL);
        self.is_wanted.then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_drawn_once_a_frame() {
        let mut pace = Pace::default();
        let at = |milliseconds: u64| Time::from_nanos(1_000_000 * milliseconds);
        assert!(!pace.take(at(1000)), "nothing has changed");
        pace.want();
        assert!(pace.take(at(1000)));
        pace.want();
        assert!(!pace.take(at(1020)));
        assert_eq!(pace.next(), Some(at(1000) + FRAME_INTERVAL));
        assert!(pace.take(at(1034)));
        assert_eq!(pace.next(), None);
    }
}
