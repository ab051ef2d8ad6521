//! What the relay itself says (S→C).
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Prekey, Refusal};

/// One answer of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `challenge`: prove that you hold the key.
    Challenge {
        /// The relay's Ed25519 public key.
        relay: [u8; 32],
        /// The relay's random part of the proof.
        nonce: [u8; 32],
        /// Ed25519 by the relay.
        signature: [u8; 64],
    },
    /// `registered`: the proof held.
    Registered {
        /// The name that is now bound.
        name: Cow<'a, str>,
        /// The key that it is bound to.
        fp: Fingerprint,
        /// What this relay accepts.
        limits: WireLimits,
    },
    /// `pubkey`: a user's public key.
    Pubkey {
        /// Whose.
        from: Cow<'a, str>,
        /// PEM, as it was registered.
        pubkey: Cow<'a, str>,
        /// Of a version-2 user only.
        prekey: Option<Cow<'a, Prekey>>,
    },
    /// `relayed`: the frame stands whole in the addressee's queue.
    Relayed {
        /// Of the request.
        id: Cow<'a, str>,
        /// The addressee.
        to: Cow<'a, str>,
        /// The id of the addressee's current prekey, of a version-2 user only.
        prekey: Option<u32>,
    },
    /// `error`: refused.
    Error {
        /// For programs; see [`ErrorCode`](super::ErrorCode).
        code: Cow<'a, str>,
        /// For people.
        detail: Cow<'a, str>,
        /// Of the request.
        id: Option<Cow<'a, str>>,
        /// Of the request.
        to: Option<Cow<'a, str>>,
        /// Of the request.
        target: Option<Cow<'a, str>>,
    },
    /// `pong`: I am here.
    Pong {
        /// Of the `ping`.
        id: Option<Cow<'a, str>>,
    },
}

/// The limits of `docs/protocol.md`, section 1, as the relay tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireLimits {
    /// Bytes of a frame.
    pub frame: usize,
    /// Nesting of a frame.
    pub depth: usize,
    /// Members of an object.
    pub members: usize,
    /// Bytes of a version-2 name.
    pub name: usize,
    /// Bytes of a public key's text.
    pub pubkey: usize,
    /// Bytes of an `id`.
    pub id: usize,
}

impl WireLimits {
    /// The limits of a relay that takes frames of `max_frame` bytes.
    pub fn new(_max_frame: usize) -> Self {
        todo!()
    }
}

impl Reply<'_> {
    /// The frame, ending in a line end.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

impl<'a> From<&'a Refusal> for Reply<'a> {
    fn from(_refusal: &'a Refusal) -> Self {
        todo!()
    }
}
