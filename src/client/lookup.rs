//! Asks the relay for a peer's key and prekey (`get_pubkey`): one question at a time for each peer.
//!
//! ```text
//!            needed, or hinted at          online
//!    Idle ────────────────────▶ Wanted ────────────▶ Asked
//!     ▲                     (hints wait)              │
//!     └──── answered, connection lost, WAITING_TIME ──┘
//! ```
//!
//! What the relay says without proof (`relayed`, rosters, errors) is only a hint: it makes us ask,
//! at most every [`HINT_INTERVAL`], or at once where a text of the user's is unconfirmed
//! (`Peer::relayed`). Questions that a peer causes take tokens from a bucket of that peer, and
//! those that strangers cause from one bucket of all strangers (`peers.rs`). Knows nothing of what
//! the answer is used for.

use super::core::ClientCore;
use crate::limits::{HINT_INTERVAL, LOOKUP_BURST, WAITING_TIME};
use crate::reactor::Time;
use crate::tokens::{Bucket, Rate};
use crate::wire::compose;

/// How often one peer may make us ask.
const PEER: Rate = Rate::new(LOOKUP_BURST, 1);

/// The state of the question about one peer.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    state: LookupState,
    last: Option<Time>,
    bucket: Bucket,
}

#[derive(Debug, Default)]
enum LookupState {
    #[default]
    Idle,
    Wanted {
        /// The question is not asked before this instant.
        from: Time,
        why: Why,
    },
    Asked {
        until: Time,
        why: Why,
    },
}

/// What the answer is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// To send what the user wrote.
    User,
    /// The peer has done something that suggests another prekey. Until that is known, whatever is
    /// sealed for the one before may be lost.
    Peer,
    /// The relay, or another peer, has said something that it cannot prove.
    Hint,
    /// To learn whether a silent peer has started anew. The session is used meanwhile.
    Probe,
}

impl Lookup {
    /// An answer is needed to send what the user wrote.
    pub(super) fn need(&mut self, now: Time) {
        if !self.is_asked() {
            self.state = LookupState::Wanted { from: now, why: Why::User };
        }
    }

    /// The peer does not confirm what it was sent: it may have started anew.
    pub(super) fn probe(&mut self, now: Time) {
        if matches!(self.state, LookupState::Idle) {
            let from = self.bucket.next(PEER, now);
            self.state = LookupState::Wanted { from, why: Why::Probe };
        }
    }

    /// An answer is needed because of what the peer did.
    pub(super) fn need_for_peer(&mut self, now: Time) {
        let from = self.bucket.next(PEER, now);
        let is_sooner = match self.state {
            LookupState::Idle => true,
            LookupState::Wanted { from: wanted, why } => from < wanted || why == Why::Probe,
            LookupState::Asked { .. } => false,
        };
        if is_sooner {
            self.state = LookupState::Wanted { from, why: Why::Peer };
        }
    }

    /// A hint came: an answer may bring something new.
    pub(super) fn hint(&mut self, now: Time) {
        if matches!(self.state, LookupState::Idle) {
            let from = self.kept_until().map_or(now, |next| next.max(now));
            self.state = LookupState::Wanted { from, why: Why::Hint };
        }
    }

    /// Whether a question is wanted and may be asked now.
    pub(super) fn is_wanted(&self, now: Time) -> bool {
        matches!(self.state, LookupState::Wanted { from, .. } if from <= now)
    }

    /// Asks, if it is wanted and time. Online only.
    pub(super) fn ask(&mut self, core: &mut ClientCore, peer: &str) {
        if let LookupState::Wanted { from, why } = self.state
            && from <= core.now
        {
            if why != Why::User {
                self.bucket.spend(PEER, core.now);
            }
            let frame = compose::get_pubkey(peer, &core.name);
            core.post(&frame);
            core.unanswered += 1;
            self.last = Some(core.now);
            self.state = LookupState::Asked { until: core.now + WAITING_TIME, why };
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.state, LookupState::Asked { .. })
    }

    /// An answer is on its way, or about to be asked for, that may show that the session is of no
    /// use any more.
    pub(super) fn is_deciding(&self) -> bool {
        match self.state {
            LookupState::Asked { why, .. } => why != Why::Probe,
            LookupState::Wanted { why, .. } => matches!(why, Why::User | Why::Peer),
            LookupState::Idle => false,
        }
    }

    /// Nothing needs an answer any more: a question that was not asked yet is dropped.
    pub(super) fn drop_wish(&mut self) {
        if !self.is_asked() {
            self.state = LookupState::Idle;
        }
    }

    /// An answer came.
    pub(super) fn answered(&mut self) {
        self.state = LookupState::Idle;
    }

    /// Gives up waiting for an answer that does not come. Returns whether it did.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        let is_over = matches!(self.state, LookupState::Asked { until, .. } if until <= now);
        if is_over {
            self.state = LookupState::Idle;
        }
        is_over
    }

    /// The connection is lost, and an answer with it.
    pub(super) fn disconnected(&mut self) {
        (self.state, self.last) = (LookupState::Idle, None);
    }

    /// The peer confirmed texts of ours: the questions that it caused were in our interest, and
    /// cost it nothing.
    pub(super) fn refill(&mut self) {
        self.bucket = Bucket::default();
    }

    /// Until when the next hint has to wait. If it were forgotten earlier, anybody could make us
    /// ask without pause.
    pub(super) fn kept_until(&self) -> Option<Time> {
        self.last.map(|last| last + HINT_INTERVAL)
    }

    /// When there is something to do, while online.
    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            LookupState::Idle => None,
            LookupState::Wanted { from, .. } => Some(from),
            LookupState::Asked { until, .. } => Some(until),
        }
    }
}
