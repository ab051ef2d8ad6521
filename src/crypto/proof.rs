//! What is signed at registration (`docs/protocol.md`, section 2, "Proof").

use crate::wire::{Fingerprint, Prekey};

/// What the relay signs in its `challenge`, so that a client proves its key to no other relay than the pinned one.
pub fn relay_challenge(
    relay: &[u8; 32],
    cnonce: &[u8; 32],
    nonce: &[u8; 32],
    fp: &Fingerprint,
) -> Vec<u8> {
    todo!()
}

/// What a client signs in its `prove`: that it holds the key, to this relay, now, under this name, with this prekey.
pub fn register_proof(
    relay: &[u8; 32],
    nonce: &[u8; 32],
    cnonce: &[u8; 32],
    name: &str,
    fp: &Fingerprint,
    prekey: &Prekey,
) -> Vec<u8> {
    todo!()
}
