//! The interface to the boxes: what waits for users who are away, and what is sealed to them.
//!
//! Knows letters as bytes, no disk and no connections. As with names (`store.rs`), the relay asks
//! and goes on, and what became of it is told later. All that has to be decided together with a
//! write (quotas, duplicates, which letter key is the newest) is decided by the store.

use std::borrow::Cow;

use super::store::QueueFull;
use crate::wire::{ErrorCode, Fingerprint, KeyCount, LetterKey, LetterKind, Prekey, TakeMode};

/// What is told to a user whose name the operator has released meanwhile.
pub(super) const NAME_RELEASED: &str = "your name was released on this relay: connect again";

/// Where letters outlive the relay.
pub trait LetterStore {
    /// Asks for something. The answer comes under `ticket`, a number that only the relay
    /// understands.
    fn ask(&mut self, ticket: u64, ask: LetterAsk) -> Result<(), QueueFull>;

    /// The next answer that has come, with the ticket of its request.
    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)>;

    /// How many letters were deleted since this was last asked, because they waited for too long.
    fn take_expired(&mut self) -> u64 {
        0
    }
}

/// A user by its name and the key that the name must still be bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name.
    pub name: String,
    /// The fingerprint of the key.
    pub fp: Fingerprint,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterAsk {
    /// Keep letters for this user that are sealed to this key; its public key's text is kept with
    /// it.
    Publish {
        /// Whose.
        owner: Owner,
        /// The text of its public key, as it was registered.
        pem: String,
        /// The key.
        key: LetterKey,
    },
    /// Keep a letter.
    Keep(NewLetter),
    /// Delete what was acknowledged, and tell what comes next.
    Deliver(Delivery),
    /// What is known of the user of this name, who may be away.
    Find {
        /// The name.
        name: String,
    },
    /// The user has opened a session to another: from now on that one is no stranger to its box.
    Wrote {
        /// The user.
        owner: Owner,
        /// The other's name.
        to: String,
    },
}

/// A letter that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// Who stores it.
    pub from: Owner,
    /// Whose box it goes to.
    pub to: String,
    /// The id that its sender gave it.
    pub id: String,
    /// What it says it holds.
    pub kind: LetterKind,
    /// Which key it says that it was sealed to.
    pub key_id: u32,
    /// Its frame as it will be delivered, without its end (`wire::letter_end`).
    pub kept: Vec<u8>,
}

/// The next step of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose box.
    pub owner: Owner,
    /// Which letters are wanted.
    pub take: TakeMode,
    /// The numbers of letters that are needed no more.
    pub acknowledged: Vec<u64>,
    /// Letters of higher numbers are wanted.
    pub after: u64,
    /// At most so many of them.
    pub letters: usize,
    /// And at most so many bytes, unless the first one alone is longer.
    pub bytes: usize,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterAnswer {
    /// The key is kept; so many letters wait under each.
    Published(Result<Vec<KeyCount>, LetterFault>),
    /// The letter is kept, for good.
    Kept(Result<(), LetterFault>),
    /// The next letters.
    Delivered(Delivered),
    /// Of a bound name: what is known of its user. `None`: nothing is known.
    Found(Result<Option<KnownKeys>, String>),
    /// It was noted, unless the disk did not take it.
    Noted,
}

/// The answer to a [`Delivery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// How many acknowledged letters were deleted; what failed is to be asked again.
    pub deleted: Result<usize, String>,
    /// Letters with their numbers, in order.
    pub letters: Vec<(u64, Vec<u8>)>,
    /// Whether more wait behind these.
    pub has_more: bool,
}

/// What waits in all boxes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many letters.
    pub letters: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What is known of a user who may be away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKeys {
    /// The text of its public key, as it was registered.
    pub pem: String,
    /// What letters to it are sealed to, if it has left a key that has not expired.
    pub letter_key: Option<LetterKey>,
    /// It is connected to another relay of the cluster.
    pub is_connected: bool,
    /// Its prekey there.
    pub prekey: Option<Prekey>,
}

impl KnownKeys {
    /// What of it answers `get_pubkey`, with `letters` or without.
    pub(super) fn told(self, letters: bool) -> Option<Self> {
        if letters {
            return Some(self);
        }
        self.is_connected.then_some(Self { letter_key: None, ..self })
    }
}

/// Why something was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterFault {
    /// It may not be: the code and the detail are for the client.
    Refused(ErrorCode, Cow<'static, str>),
    /// It could not be written, and later it may; the text is for the operator's log.
    Failed(String),
}

impl LetterAsk {
    /// The answer of a store whose disk fails, for this reason; [`Self::Wrote`] is not told of it.
    pub fn failed(&self, detail: &str) -> LetterAnswer {
        let detail = detail.to_owned();
        match self {
            Self::Publish { .. } => LetterAnswer::Published(Err(LetterFault::Failed(detail))),
            Self::Keep(_) => LetterAnswer::Kept(Err(LetterFault::Failed(detail))),
            Self::Find { .. } => LetterAnswer::Found(Err(detail)),
            Self::Wrote { .. } => LetterAnswer::Noted,
            Self::Deliver(_) => {
                let deleted = Err(detail);
                LetterAnswer::Delivered(Delivered { deleted, letters: Vec::new(), has_more: true })
            }
        }
    }
}

impl Default for Delivered {
    fn default() -> Self {
        Self { deleted: Ok(0), letters: Vec::new(), has_more: false }
    }
}

impl LetterAnswer {
    /// Whether letters were deleted.
    pub(super) fn has_deleted(&self) -> bool {
        matches!(self, Self::Delivered(Delivered { deleted: Ok(1..), .. }))
    }

    /// Whether the file could not be written.
    pub(super) fn has_failed(&self) -> bool {
        matches!(
            self,
            Self::Delivered(Delivered { deleted: Err(_), .. })
                | Self::Kept(Err(LetterFault::Failed(_)))
                | Self::Published(Err(LetterFault::Failed(_)))
        )
    }
}

impl LetterFault {
    pub(super) fn refused(code: ErrorCode, detail: &'static str) -> Self {
        Self::Refused(code, detail.into())
    }
}
