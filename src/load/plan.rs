//! What a run is to do.

use std::net::SocketAddr;
use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is measured: one relay, or several that act as one, among which users are spread.
    pub targets: Vec<SocketAddr>,
    /// Where there are several: of how many pairs in a hundred the two are at different ones.
    pub crossing: u32,
    /// What the users do.
    pub work: Work,
    /// How many workers do that at a time: pairs of users or, for [`Work::Connect`] and
    /// [`Work::Echo`], single ones.
    pub workers: u32,
    /// How many more users are connected meanwhile and say nothing.
    pub idle: u32,
    /// Operations that start each second; none: each starts when the one before it is done.
    pub rate: Option<f64>,
    /// How long the users work before anything is measured.
    pub warm_up: Duration,
    /// How much is measured.
    pub extent: Extent,
    /// How many connections may be on their way at a time while users gather.
    pub connecting: usize,
    /// Over how long the connections that are made beforehand are spread; zero: as fast as it goes.
    pub ramp: Duration,
    /// How long anything may take before it counts as failed.
    pub timeout: Duration,
}

/// What a worker does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A user connects, registers, waits for the first answer, and leaves: that is an operation.
    Connect,
    /// A user sends itself a message: an operation is that, until it arrives.
    Echo,
    /// The first of a pair sends a message, the second answers with another: an operation is the
    /// round trip.
    PingPong,
    /// The first of a pair sends without waiting: an operation is a message.
    Flood {
        /// How many of its messages may be on their way.
        window: usize,
        /// To any user, chosen anew for each message, and not to the second of the pair.
        mesh: bool,
    },
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that is done within this time.
    Time(Duration),
    /// This many operations.
    Operations(u64),
}

impl Work {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Echo => "echo",
            Self::PingPong => "pingpong",
            Self::Flood { .. } => "flood",
        }
    }

    /// How many users this many workers are.
    pub const fn users(self, workers: u32) -> u32 {
        self.width() * workers
    }

    /// How many users a worker is.
    pub(super) const fn width(self) -> u32 {
        if matches!(self, Self::Connect | Self::Echo) { 1 } else { 2 }
    }

    pub(super) const fn is_mesh(self) -> bool {
        matches!(self, Self::Flood { mesh: true, .. })
    }
}

impl Plan {
    /// The users that work.
    pub fn users(&self) -> u32 {
        self.work.users(self.workers)
    }

    /// All connections that are open at a time.
    pub fn connections(&self) -> u32 {
        self.users() + self.idle
    }

    /// Which of the targets `user` connects to. Pairs that cross and pairs that do not are each
    /// spread evenly, and those that cross begin at each target in turn.
    pub fn place(&self, user: u32) -> usize {
        let targets = self.targets.len().max(1);
        let at = |turn: u64| usize::try_from(turn).unwrap_or(0) % targets;
        if self.work.width() == 1 || user >= self.users() {
            return at(user.into());
        }
        let pair = u64::from(user / 2);
        let crossing = |pairs: u64| pairs * u64::from(self.crossing) / 100;
        let before = crossing(pair);
        if crossing(pair + 1) > before {
            return at(before + u64::from(user % 2));
        }
        at(pair - before)
    }

    /// How many connections one of the targets gets.
    pub fn connections_at(&self, place: usize) -> u32 {
        let here = (0..self.connections()).filter(|&user| self.place(user) == place);
        u32::try_from(here.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
impl Plan {
    /// One of one worker and one operation, with no target yet.
    pub(crate) fn sample(work: Work) -> Self {
        Self {
            targets: Vec::new(),
            crossing: 0,
            work,
            workers: 1,
            idle: 0,
            rate: None,
            warm_up: Duration::ZERO,
            extent: Extent::Operations(1),
            connecting: 1,
            ramp: Duration::ZERO,
            timeout: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(targets: u8, crossing: u32) -> Plan {
        let target = |host| SocketAddr::from(([127, 0, 0, host], 1));
        let targets = (0..targets).map(target).collect();
        Plan { targets, crossing, workers: 40, idle: 10, ..Plan::sample(Work::PingPong) }
    }

    #[test]
    fn so_many_pairs_cross_and_all_targets_get_as_much() {
        for crossing in [0, 25, 50, 100] {
            for targets in [1, 2, 4] {
                let plan = plan(targets, crossing);
                let places: Vec<_> = (0..80).map(|user| plan.place(user)).collect();
                let crosses = places.as_chunks::<2>().0.iter().filter(|[one, other]| one != other);
                let expected = if targets > 1 { 40 * crossing as usize / 100 } else { 0 };
                assert_eq!(crosses.clone().count(), expected, "{targets} targets, {crossing} %");
                let mut begin = vec![0_usize; targets.into()];
                crosses.for_each(|&[one, _]| begin[one] += 1);
                let (least, most) = (begin.iter().min(), begin.iter().max());
                assert!(most.unwrap() - least.unwrap() <= 1, "{targets}, {crossing} %: {begin:?}");
                let all: Vec<_> = (0..targets.into()).map(|it| plan.connections_at(it)).collect();
                let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
                assert!(most - least <= 5, "{targets}, {crossing} %: {all:?}");
            }
        }
    }
}
