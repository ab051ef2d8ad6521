//! What needs randomness or much time, as two small traits that a simulation replaces by fakes.
//!
//! A fake is deterministic (its randomness comes from a seed, held in a `Cell`) and cheap (its
//! signatures are hashes).

use x25519_dalek::StaticSecret;

use super::{
    Identity, KemCiphertext, PublicKey, RelayKey, Secret, identity, kem, relay_key, secret,
};
use crate::wire::KemKey;

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

    /// X25519 of `secret` and the other side's public key; `None` where the result is all zero,
    /// which is what a public key of small order gives whatever the secret.
    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Option<Secret<32>>;

    /// The ML-KEM-768 key of 64 random bytes (FIPS 203).
    fn kem_key(&self, seed: &Secret<64>) -> Box<KemKey>;

    /// A new secret and its ciphertext, which who knows the seed of `key` decapsulates; `None`
    /// where `key` is no valid key.
    fn encapsulate(&self, key: &KemKey) -> Option<(Box<KemCiphertext>, Secret<32>)>;

    /// The secret in `ciphertext`; another one, which nobody else knows, where that was not
    /// encapsulated to the key of `seed`.
    fn decapsulate(&self, seed: &Secret<64>, ciphertext: &KemCiphertext) -> Secret<32>;

    /// The key that seals what is kept on the disk ([`seal_at_rest`](super::seal_at_rest)): always
    /// the same of one identity.
    fn at_rest_key(&self) -> Secret<32>;
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
    /// A vault with this identity.
    pub fn new(identity: Identity) -> Self {
        Self { identity }
    }
}

/// The real notary: the relay's key and the kernel's randomness.
pub struct RelayNotary {
    key: RelayKey,
}

impl RelayNotary {
    /// A notary with this key.
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

    fn kem_key(&self, seed: &Secret<64>) -> Box<KemKey> {
        kem::public_half(seed)
    }

    fn encapsulate(&self, key: &KemKey) -> Option<(Box<KemCiphertext>, Secret<32>)> {
        kem::encapsulate(key, &Secret::filled(|randomness| self.random(randomness)))
    }

    fn decapsulate(&self, seed: &Secret<64>, ciphertext: &KemCiphertext) -> Secret<32> {
        kem::decapsulate(seed, ciphertext)
    }

    fn at_rest_key(&self) -> Secret<32> {
        self.identity.at_rest_key()
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

    fn bytes(text: &str) -> [u8; 32] {
        fixtures::hex(&text.into())
    }

    fn secret(text: &str) -> Secret<32> {
        Secret::filled(|secret| *secret = bytes(text))
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn two_sides_agree_as_in_rfc_7748() {
        let (vault, _) = fixtures::vaults();
        let a = secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let b = secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let public_a = vault.exchange_key(&a);
        let public_b = vault.exchange_key(&b);
        let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(
            public_a,
            bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        );
        assert_eq!(
            public_b,
            bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        );
        assert_eq!(vault.agree(&a, &public_b).unwrap().expose(), &shared);
        assert_eq!(vault.agree(&b, &public_a).unwrap().expose(), &shared);
    }

    #[test]
    fn a_key_of_small_order_agrees_with_nobody() {
        let (vault, _) = fixtures::vaults();
        let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let own = Secret::filled(|secret| vault.random(secret));
        for theirs in [[0; 32], bytes(&format!("01{}", "00".repeat(31))), bytes(order_8)] {
            assert!(vault.agree(&own, &theirs).is_none());
        }
    }

    #[test]
    fn the_seams_can_be_held_as_trait_objects() {
        let (alice, bob) = fixtures::vaults();
        let vault: &dyn Vault = &alice;
        let notary: &dyn Notary = &RelayNotary::new(RelayKey::generate().0);
        let (by_alice, by_relay) = (vault.sign(b"hello"), notary.sign(b"hello"));
        assert!(notary.verify(vault.public(), b"hello", &by_alice));
        assert!(!notary.verify(bob.public(), b"hello", &by_alice));
        assert!(vault.verify_relay(&notary.public(), b"hello", &by_relay));
        assert!(!vault.verify_relay(&[1; 32], b"hello", &by_relay));
        let (mut one, mut other) = ([0; 32], [0; 32]);
        vault.random(&mut one);
        notary.random(&mut other);
        assert_ne!(one, other);
    }
}
