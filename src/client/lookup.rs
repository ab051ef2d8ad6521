//! Asking the relay for a peer's key and prekey: `get_pubkey`, one at a time a peer.
//!
//! ```text
//!            needed, or hinted at          online
//!    Idle ────────────────────▶ Wanted ────────────▶ Asked
//!     ▲                     (hints wait)              │
//!     └──── answered, connection lost, WAITING_TIME ──┘
//! ```
//!
//! What the relay says without proof (`relayed`, rosters, errors) is only a hint: it makes us ask,
//! at most every [`HINT_INTERVAL`]. Knows nothing of what the answer is used for.

use super::desk::Desk;
use crate::limits::{HINT_INTERVAL, WAITING_TIME};
use crate::reactor::Time;
use crate::wire::compose;

/// Where the question about one peer stands.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    state: State,
    last: Option<Time>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Wanted {
        /// Not before.
        from: Time,
    },
    Asked {
        until: Time,
    },
}

impl Lookup {
    /// An answer is needed to go on.
    pub(super) fn need(&mut self, now: Time) {
        if !self.is_asked() {
            self.state = State::Wanted { from: now };
        }
    }

    /// An answer may tell something new.
    pub(super) fn hint(&mut self, now: Time) {
        if matches!(self.state, State::Idle) {
            let next = self.last.map(|last| last + HINT_INTERVAL);
            self.state = State::Wanted { from: next.map_or(now, |next| next.max(now)) };
        }
    }

    /// Asks, if it is wanted and time. Online only.
    pub(super) fn ask(&mut self, desk: &mut Desk, peer: &str) {
        if matches!(self.state, State::Wanted { from } if from <= desk.now) {
            let frame = compose::get_pubkey(peer, &desk.name);
            desk.post(&frame);
            desk.unanswered += 1;
            self.last = Some(desk.now);
            self.state = State::Asked { until: desk.now + WAITING_TIME };
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// An answer came.
    pub(super) fn answered(&mut self) {
        self.state = State::Idle;
    }

    /// Gives up waiting for an answer that does not come. Returns whether it did.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        let is_over = matches!(self.state, State::Asked { until } if until <= now);
        if is_over {
            self.state = State::Idle;
        }
        is_over
    }

    /// The connection is lost, and an answer with it.
    pub(super) fn disconnected(&mut self) {
        *self = Self::default();
    }

    /// When there is something to do, while online.
    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            State::Idle => None,
            State::Wanted { from } => Some(from),
            State::Asked { until } => Some(until),
        }
    }
}
