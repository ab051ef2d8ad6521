//! What a run is to do.

use std::net::SocketAddr;
use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is measured.
    pub target: SocketAddr,
    /// Others that are one with it: users connect to it and to them in turn.
    pub others: Vec<SocketAddr>,
    /// What the users do.
    pub work: Work,
    /// How many workers do that at a time: pairs of users or, for [`Work::Connect`], single ones.
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
            Self::PingPong => "pingpong",
            Self::Flood { .. } => "flood",
        }
    }

    /// How many users this many workers are.
    pub const fn users(self, workers: u32) -> u32 {
        if matches!(self, Self::Connect) { workers } else { 2 * workers }
    }

    pub(super) const fn is_mesh(self) -> bool {
        matches!(self, Self::Flood { mesh: true, .. })
    }
}

impl Plan {
    /// Where a user connects to.
    pub fn target_of(&self, user: u32) -> SocketAddr {
        let place = user as usize % (1 + self.others.len());
        place
            .checked_sub(1)
            .and_then(|other| self.others.get(other))
            .copied()
            .unwrap_or(self.target)
    }

    /// The users that work.
    pub fn users(&self) -> u32 {
        self.work.users(self.workers)
    }

    /// All connections that are open at a time.
    pub fn connections(&self) -> u32 {
        self.users() + self.idle
    }
}
