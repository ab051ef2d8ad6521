//! The short-lived X25519 key that sessions are opened to (`docs/protocol.md`, section 4).

use super::{PublicKey, Secret, Vault};
use crate::wire::{Fingerprint, Prekey};

/// A prekey with its secret half: held in memory only, so that sessions opened to it stay closed once it is gone.
pub struct PrekeyPair {
    id: u32,
    created_ms: u64,
    secret: Secret<32>,
    public: [u8; 32],
}

impl PrekeyPair {
    /// A new pair, made at `created_ms` (milliseconds since 1970).
    pub fn new(vault: &dyn Vault, created_ms: u64) -> Self {
        todo!()
    }

    /// The id under which sessions name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is given to the relay for others: the public half, signed for the user `name`.
    pub fn publish(&self, vault: &dyn Vault, name: &str) -> Prekey {
        todo!()
    }
}

/// Why a prekey was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrekeyFault {
    /// Not signed by that key for that name.
    Signature,
    /// It is no longer valid.
    Expired,
    /// It was made further in the future than clocks may differ.
    ClockSkew,
    /// It is of small order: every agreement with it is all zero (RFC 7748, section 6.1).
    Weak,
}

/// Whether a session may be opened to `prekey`, handed out as that of the user `name` with the pinned key `key`,
/// at `now_ms` (milliseconds since 1970).
pub fn check_prekey(
    vault: &dyn Vault,
    prekey: &Prekey,
    name: &str,
    key: &PublicKey,
    now_ms: u64,
) -> Result<(), PrekeyFault> {
    todo!()
}

/// `tbs_prekey`: the bytes that the owner signs; the prekey's own `signature` is not looked at.
pub fn prekey_to_be_signed(name: &str, fp: &Fingerprint, prekey: &Prekey) -> Vec<u8> {
    todo!()
}
