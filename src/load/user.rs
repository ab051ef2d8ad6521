//! One connection of the generator, and the pairs that work together.

use super::flight::Flight;
use crate::reactor::{Time, Token};

/// A user of the relay, with what a measurement needs.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) state: UserState,
    /// The token of its connection, while there is one.
    pub(super) token: Option<Token>,
    /// Its messages.
    pub(super) flight: Flight,
}

/// The state of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum UserState {
    /// Not connected.
    #[default]
    Absent,
    /// It connects and registers, and was meant to begin at this time.
    Coming(Time),
    /// It can send and receive.
    Ready,
    /// It came only for the relay's answer, and has it.
    Leaving,
    /// Its connection is of no use any more.
    Gone,
}

impl User {
    /// When its operations under way were meant to start, the first one first.
    pub(super) fn starts(&self) -> impl Iterator<Item = Time> {
        let coming = if let UserState::Coming(start) = self.state { Some(start) } else { None };
        coming.into_iter().chain(self.flight.starts())
    }

    /// Whether what comes to it matters.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, UserState::Coming(_) | UserState::Ready)
    }
}

/// A user or pair that does one operation after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worker {
    /// How many operations it has started.
    pub(super) starts: u64,
    /// It cannot go on: a user that it needs is gone.
    pub(super) is_out: bool,
}
