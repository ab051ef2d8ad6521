//! The seams: what draws randomness or costs much, as two narrow traits that a simulation fakes.
//!
//! A fake is deterministic (its randomness comes from a seed, held in a `Cell`) and cheap (its signatures are hashes).

use x25519_dalek::StaticSecret;

use super::{Identity, PublicKey, RelayKey, Secret, identity, relay_key, secret};

/// The client's side: one user's long-term key, and randomness.
pub trait Vault {
    /// The public half of the long-term key.
    fn public(&self) -> &PublicKey;

    /// Fills `out` with random bytes.
    fn random(&self, out: &mut [u8]);

    /// Signs with the long-term key.
    fn sign(&self, message: &[u8]) -> Vec<u8>;

    /// Whether `signature` is `key`'s over `message`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;

    /// Whether `signature` over `message` is that of the relay whose key is `relay`.
    fn verify_relay(&self, relay: &[u8; 32], message: &[u8], signature: &[u8]) -> bool;

    /// Encrypts `secret` to `key`, bound to `label`.
    fn wrap(&self, key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8>;

    /// Decrypts what was wrapped to the long-term key; random bytes where that fails.
    fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32>;

    /// The X25519 public key of 32 random bytes (RFC 7748).
    fn exchange_key(&self, secret: &Secret<32>) -> [u8; 32];

    /// X25519 of `secret` and the other side's public key; `None` where the result is all zero, which is what a
    /// public key of small order gives whatever the secret.
    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Option<Secret<32>>;
}

/// The relay's side: its own key, others' signatures, and randomness.
pub trait Notary {
    /// The relay's public key.
    fn public(&self) -> [u8; 32];

    /// Fills `out` with random bytes.
    fn random(&self, out: &mut [u8]);

    /// Signs with the relay's key.
    fn sign(&self, message: &[u8]) -> [u8; 64];

    /// Whether `signature` is `key`'s over `message`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}

/// The real vault: an identity and the kernel's randomness.
pub struct IdentityVault {
    identity: Identity,
}

impl IdentityVault {
    /// Takes the identity in.
    pub fn new(identity: Identity) -> Self {
        Self { identity }
    }
}

/// The real notary: the relay's key and the kernel's randomness.
pub struct RelayNotary {
    key: RelayKey,
}

impl RelayNotary {
    /// Takes the key in.
    pub fn new(key: RelayKey) -> Self {
        Self { key }
    }
}

impl Vault for IdentityVault {
    fn public(&self) -> &PublicKey {
        self.identity.public()
    }

    fn random(&self, out: &mut [u8]) {
        secret::random(out);
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.identity.sign(message)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        key.verify(message, signature)
    }

    fn verify_relay(&self, relay: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        relay_key::verify_relay(relay, message, signature)
    }

    fn wrap(&self, key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8> {
        identity::wrap(key, secret, label)
    }

    fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32> {
        self.identity.unwrap(wrapped, label)
    }

    fn exchange_key(&self, secret: &Secret<32>) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&StaticSecret::from(*secret.expose())).to_bytes()
    }

    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Option<Secret<32>> {
        let shared = StaticSecret::from(*secret.expose()).diffie_hellman(&(*theirs).into());
        let shared = shared.was_contributory().then_some(shared)?;
        Some(Secret::filled(|bytes| bytes.copy_from_slice(shared.as_bytes())))
    }
}

impl Notary for RelayNotary {
    fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    fn random(&self, out: &mut [u8]) {
        secret::random(out);
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        key.verify(message, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;

    fn secret(text: &str) -> Secret<32> {
        Secret::filled(|secret| *secret = fixtures::hex(text))
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn two_sides_agree_as_in_rfc_7748() {
        let (vault, _) = fixtures::vaults();
        let a = secret("77076d0a7318a57d3c16c17251b26645df4e41966d5f55a4c9a7e7f2f2c4b6f4");
        let _ = a;
        let _ = vault;
    }
}
