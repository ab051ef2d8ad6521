//! Opening a session in which A sends to B (`docs/protocol.md`, section 5).
//!
//! ```text
//!   A: open_session ──▶ SendChain, key text ──relay──▶ B: SessionOffer::parse
//!                                                            │ verify: A's signature, before any decryption
//!                                                            ▼
//!                                                       VerifiedOffer ── accept ──▶ ReceiveChain
//! ```
//!
//! What the receiver checks between the steps (own fingerprint, pinned key, marks, tokens, which prekey) is its own
//! state, so the steps show what it needs; an offer cannot be accepted without having been verified.

use super::{PrekeyFault, PrekeyPair, PublicKey, ReceiveChain, SendChain, Vault};
use crate::wire::{Fingerprint, Prekey};

/// The id of a session: 16 random bytes.
pub type Sid = [u8; 16];

/// The two users of a session, in the direction in which it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// A: who opens it and sends in it.
    pub from: &'a str,
    /// B: who receives.
    pub to: &'a str,
}

/// Why an offered session was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferFault {
    /// Over 4 KiB, not canonical base64url, or not of the form that this version knows.
    Form,
    /// It is meant for another key than ours.
    Recipient,
    /// It names another key of the sender than the one it was held against.
    Sender,
    /// The sender's signature does not hold.
    Signature,
    /// It was made to another prekey than the one at hand.
    Prekey,
    /// The sender's X25519 key leads to an all-zero result (RFC 7748, section 6.1).
    Agreement,
}

/// Opens a session to the user `names.to`, whose pinned key is `peer` and whose `prekey` has been checked, at
/// `created_ms` (milliseconds since 1970, above the last one that was sent to this peer). Returns the chain to send
/// in, and the `key` member of the `send_key` frame.
///
/// Fails only with [`PrekeyFault::Weak`]: [`check_prekey`](super::check_prekey) has found the rest.
pub fn open_session(
    vault: &dyn Vault,
    names: Names,
    peer: &PublicKey,
    prekey: &Prekey,
    created_ms: u64,
) -> Result<(SendChain, String), PrekeyFault> {
    todo!()
}

/// A `send_key` that has the right size and form; nothing in it is to be believed yet.
pub struct SessionOffer {}

impl SessionOffer {
    /// Reads the `key` member of a `send_key` frame.
    pub fn parse(key: &str) -> Result<Self, OfferFault> {
        todo!()
    }

    /// The session's id.
    pub fn sid(&self) -> &Sid {
        todo!()
    }

    /// When the sender says to have made it, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        todo!()
    }

    /// The sender's key, by its fingerprint.
    pub fn sender(&self) -> Fingerprint {
        todo!()
    }

    /// The receiver's key, by its fingerprint.
    pub fn recipient(&self) -> Fingerprint {
        todo!()
    }

    /// Which of the receiver's prekeys it was made to.
    pub fn prekey_id(&self) -> u32 {
        todo!()
    }

    /// Checks that it is meant for the vault's key, comes from `sender`'s, and that `sender` signed it.
    pub fn verify(
        self,
        vault: &dyn Vault,
        sender: &PublicKey,
        names: Names,
    ) -> Result<VerifiedOffer, OfferFault> {
        todo!()
    }
}

/// A `send_key` whose signature holds.
pub struct VerifiedOffer {}

impl VerifiedOffer {
    /// Which of the receiver's prekeys it was made to.
    pub fn prekey_id(&self) -> u32 {
        todo!()
    }

    /// Unwraps, agrees and derives: the chain to receive in.
    pub fn accept(
        self,
        vault: &dyn Vault,
        prekey: &PrekeyPair,
    ) -> Result<ReceiveChain, OfferFault> {
        todo!()
    }
}
