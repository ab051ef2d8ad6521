//! The counts of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::errno::Errno;

use crate::limits::LOAD_LATE;
use crate::reactor::Time;

/// Digits of a latency that are kept (base 10), from the first one that is not zero.
const DIGITS: u8 = 3;
/// Latencies above this are counted as this one.
const LONGEST: Duration = Duration::from_mins(10);

/// Something that went wrong, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection could be made.
    Unreachable(Errno),
    /// A connection or a registration that took too long.
    TimedOut,
    /// A connection that stood still: it took no bytes, sent half a frame, or brought no message of
    /// those on their way.
    Stalled,
    /// The other end closed a connection.
    Closed,
    /// A connection broke.
    Broken(Errno),
    /// The other end refused something, with this code.
    Refused(&'static str),
    /// Bytes that are none of the protocol's frames.
    Nonsense,
    /// TLS failed, for this reason.
    Tls(&'static str),
    /// A message that was changed on its way.
    Altered,
    /// A message that came to somebody else.
    Misdelivered,
    /// A message that had come before, or was never sent.
    Unexpected,
    /// A message that came after a later one of the same sender to the same addressee.
    OutOfOrder,
    /// A message that did not come.
    Lost,
}

/// How often each class of fault occurred.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<(&'static str, &'static str), u64>);

/// The counts of one run. What is measured begins and ends with [`begin`](Self::begin) and
/// [`end`](Self::end); what goes wrong counts at any time.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Operations that were meant to start while it was measured.
    pub offered: u64,
    /// Those of them that the generator started more than [`LOAD_LATE`] late although nothing that
    /// it had to wait for was in the way.
    pub late: u64,
    /// Those of them that are done, also after it was measured.
    pub completed: u64,
    /// Those of them that never started.
    pub unstarted: u64,
    /// Operations that were done while it was measured: a connect, a round trip, a message of a
    /// flood.
    pub finished: u64,
    /// Operations that failed while it was measured.
    pub failed: u64,
    /// What the relay did for them: a connect, or each message that arrived.
    pub handled: u64,
    /// From the intended start to the end, in nanoseconds, of those that were meant to start while
    /// it was measured; of those that never ended, to when they were given up. Those that the
    /// relay refused are not here.
    pub latency: Histogram<u64>,
    /// The last second.
    pub recent: Recent,
    /// What went wrong.
    pub faults: Faults,
    begun: Option<Time>,
    ended: Option<Time>,
}

/// The figures of one second, for the line that is printed each second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    /// As [`Stats::handled`].
    pub handled: u64,
    /// Latencies that were noted, and their sum and the longest.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// The longest, those included for which somebody still waits.
    pub longest: Duration,
}

impl Default for Stats {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let latency = Histogram::new_with_bounds(1, longest, DIGITS);
        Self {
            offered: 0,
            late: 0,
            completed: 0,
            unstarted: 0,
            finished: 0,
            failed: 0,
            handled: 0,
            latency: latency.unwrap_or_else(|bad| unreachable!("constant bounds: {bad}")),
            recent: Recent::default(),
            faults: Faults::default(),
            begun: None,
            ended: None,
        }
    }
}

impl Stats {
    /// From `now` on it is measured, and operations count that are meant to start.
    pub fn begin(&mut self, now: Time) {
        self.begun = Some(now);
    }

    /// From here on only latencies are noted, of operations that count.
    pub fn end(&mut self, now: Time) {
        if self.ended.is_none() {
            self.ended = self.begun.map(|_| now);
        }
    }

    /// Whether what happens now counts.
    pub fn is_open(&self) -> bool {
        self.begun.is_some() && self.ended.is_none()
    }

    /// How long it was measured.
    pub fn window(&self) -> Duration {
        self.ended.zip(self.begun).map_or(Duration::ZERO, |(ended, begun)| ended.since(begun))
    }

    /// Operations that count and are not done.
    pub fn unfinished(&self) -> u64 {
        self.offered.saturating_sub(self.completed)
    }

    /// Whether an operation counts that was meant to start then.
    fn counts(&self, start: Time) -> bool {
        self.begun.is_some_and(|begun| begun <= start)
    }

    /// An operation was meant to start.
    pub fn offer(&mut self, start: Time, count: u64) {
        if self.counts(start) {
            self.offered += count;
        }
    }

    /// An operation starts, and had to wait for nothing.
    pub fn start_free(&mut self, start: Time, now: Time) {
        if self.counts(start) && now.since(start) > LOAD_LATE {
            self.late += 1;
        }
    }

    /// The relay has done something.
    pub fn handle(&mut self) {
        self.recent.handled += 1;
        self.handled += u64::from(self.is_open());
    }

    /// An operation is done.
    pub fn finish(&mut self, start: Time, now: Time) {
        let latency = now.since(start);
        self.recent.count += 1;
        self.recent.sum += latency;
        self.recent.longest = self.recent.longest.max(latency);
        self.finished += u64::from(self.is_open());
        if self.counts(start) {
            self.completed += 1;
            self.latency.saturating_record(nanoseconds(latency));
        }
    }

    /// An operation has failed.
    pub fn fail(&mut self) {
        self.failed += u64::from(self.is_open());
    }

    /// So many operations, the first of which was meant to start then, were never started.
    pub fn leave(&mut self, first: Time, count: u64) {
        if self.counts(first) {
            self.unstarted += count;
        }
    }

    /// So many operations that were meant to start then will not be done: they took this long at
    /// least.
    pub fn abandon(&mut self, start: Time, now: Time, count: u64) {
        if self.counts(start) {
            self.latency.saturating_record_n(nanoseconds(now.since(start)), count);
        }
    }

    /// An operation that was meant to start then is still under way.
    pub fn wait(&mut self, start: Time, now: Time) {
        self.recent.longest = self.recent.longest.max(now.since(start));
    }

    /// The counts since the last call.
    pub fn take_recent(&mut self) -> Recent {
        std::mem::take(&mut self.recent)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Faults {
    /// Counts `count` of one class.
    pub fn add(&mut self, fault: Fault, count: u64) {
        if count > 0 {
            *self.0.entry(fault.class()).or_default() += count;
        }
    }

    /// How many there are of all classes.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether a connection could not be made.
    pub fn has_unreachable(&self) -> bool {
        let unreachable = Fault::Unreachable(Errno::ECONNREFUSED).class().0;
        self.0.keys().any(|&(class, _)| class == unreachable)
    }

    /// Each class that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> {
        self.0.iter().map(|(&(class, detail), &count)| {
            let separator = if detail.is_empty() { "" } else { ": " };
            (format!("{class}{separator}{detail}"), count)
        })
    }
}

impl Fault {
    fn class(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreachable(errno) => ("unreachable", errno.desc()),
            Self::TimedOut => ("timed out", ""),
            Self::Stalled => ("stalled", ""),
            Self::Closed => ("closed by the other end", ""),
            Self::Broken(errno) => ("broken", errno.desc()),
            Self::Refused(code) => ("refused", code),
            Self::Nonsense => ("nonsense", ""),
            Self::Tls(why) => ("TLS failed", why),
            Self::Altered => ("message altered", ""),
            Self::Misdelivered => ("message misdelivered", ""),
            Self::Unexpected => ("message unexpected", ""),
            Self::OutOfOrder => ("message out of order", ""),
            Self::Lost => ("message lost", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanoseconds: u64) -> Time {
        Time::from_nanos(nanoseconds)
    }

    #[test]
    fn a_latency_counts_by_its_start_and_an_operation_by_its_end() {
        let mut stats = Stats::default();
        stats.finish(at(1), at(2));
        stats.begin(at(10));
        stats.offer(at(9), 1);
        stats.finish(at(9), at(11));
        stats.offer(at(10), 3);
        stats.finish(at(10), at(15));
        stats.end(at(20));
        stats.finish(at(19), at(40));
        stats.abandon(at(19), at(50), 1);
        assert_eq!((stats.finished, stats.latency.len(), stats.latency.max()), (2, 3, 31));
        assert_eq!((stats.offered, stats.unfinished()), (3, 1));
        assert_eq!((stats.take_recent().count, stats.take_recent().count), (4, 0));
        assert_eq!(stats.window(), Duration::from_nanos(10));
    }

    #[test]
    fn faults_are_told_by_class_in_one_order() {
        let mut faults = Faults::default();
        for fault in [Fault::Refused("name_in_use"), Fault::Lost, Fault::Refused("queue_full")] {
            faults.add(fault, 2);
        }
        faults.add(Fault::Closed, 0);
        let told: Vec<_> = faults.iter().map(|(class, _)| class).collect();
        assert_eq!(told, ["message lost", "refused: name_in_use", "refused: queue_full"]);
        assert_eq!(faults.total(), 6);
    }
}
