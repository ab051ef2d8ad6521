//! A vault and a notary whose cryptography is hashing: cheap, the same in every run, and enough
//! that only what was meant holds. It protects nothing.
//!
//! The simulation uses it too (`tests/simulation`).
#![allow(dead_code, reason = "each of those who include this file uses a part of it")]

use std::cell::Cell;
use std::cmp;

use sealwax::crypto::{KemCiphertext, Notary, PublicKey, Secret, Vault, sha256, tuple};
use sealwax::limits::{MLKEM_CIPHERTEXT, MLKEM_KEY};
use sealwax::wire::KemKey;

/// A user of this vault.
pub(crate) struct FakeVault {
    key: PublicKey,
    randomness: Randomness,
}

/// A relay whose public key is a number.
pub(crate) struct FakeNotary {
    key: [u8; 32],
    randomness: Randomness,
}

/// Bytes that nobody guesses who does not know the seed.
struct Randomness {
    seed: [u8; 32],
    drawn: Cell<u32>,
}

impl FakeVault {
    /// The user with this public key. Its randomness is always the same.
    pub(crate) fn new(key: PublicKey) -> Self {
        Self::seeded(key, 0)
    }

    /// The same user in another run of its client: `seed` decides the randomness.
    pub(crate) fn seeded(key: PublicKey, seed: u64) -> Self {
        let randomness = Randomness::new(&[&key.to_der()[..], &seed.to_be_bytes()]);
        Self { key, randomness }
    }
}

impl FakeNotary {
    /// The relay with this key; `seed` decides its randomness.
    pub(crate) fn new(key: [u8; 32], seed: u64) -> Self {
        Self { key, randomness: Randomness::new(&[&key, &seed.to_be_bytes()]) }
    }
}

impl Randomness {
    fn new(seed: &[&[u8]]) -> Self {
        Self { seed: sha256(&tuple(seed)), drawn: Cell::new(0) }
    }

    fn fill(&self, out: &mut [u8]) {
        for part in out.chunks_mut(32) {
            self.drawn.set(self.drawn.get() + 1);
            let drawn = self.drawn.get().to_be_bytes();
            let block = sha256(&tuple(&[b"random", &self.seed, &drawn]));
            part.copy_from_slice(&block[..part.len()]);
        }
    }
}

/// What both sides of an exchange agree on.
pub(crate) fn agreed(one: &[u8; 32], other: &[u8; 32]) -> [u8; 32] {
    sha256(&tuple(&[b"agreed", cmp::min(one, other), cmp::max(one, other)]))
}

/// The secret in `ciphertext` to `key`: any other ciphertext, and any other key, gives another.
pub(crate) fn encapsulated(key: &KemKey, ciphertext: &KemCiphertext) -> [u8; 32] {
    sha256(&tuple(&[b"encapsulated", key, ciphertext]))
}

/// What stands for a signature by `key`.
pub(crate) fn signature(key: &PublicKey, message: &[u8]) -> [u8; 32] {
    sha256(&tuple(&[b"signature", &key.to_der(), message]))
}

/// What stands for a signature by the relay whose key is `relay`.
pub(crate) fn relay_signature(relay: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let half = sha256(&tuple(&[b"relay", relay, message]));
    std::array::from_fn(|at| half[at % half.len()])
}

/// What hides a wrapped secret.
fn pad(key: &PublicKey, label: &[u8; 32]) -> [u8; 32] {
    sha256(&tuple(&[b"pad", &key.to_der(), label]))
}

impl Vault for FakeVault {
    fn public(&self) -> &PublicKey {
        &self.key
    }

    fn random(&self, out: &mut [u8]) {
        self.randomness.fill(out);
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        signature(&self.key, message).to_vec()
    }

    fn verify(&self, key: &PublicKey, message: &[u8], claimed: &[u8]) -> bool {
        signature(key, message) == claimed
    }

    fn verify_relay(&self, relay: &[u8; 32], message: &[u8], claimed: &[u8]) -> bool {
        relay_signature(relay, message) == claimed
    }

    fn wrap(&self, key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8> {
        let pad = pad(key, label);
        let hidden = secret.expose().iter().zip(pad).map(|(secret, pad)| secret ^ pad);
        hidden.chain(sha256(secret.expose())).collect()
    }

    fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32> {
        let pad = pad(&self.key, label);
        let opened = Secret::filled(|secret| {
            for (byte, (hidden, pad)) in secret.iter_mut().zip(wrapped.iter().zip(pad)) {
                *byte = hidden ^ pad;
            }
        });
        if wrapped.get(32..) == Some(&sha256(opened.expose())) {
            return opened;
        }
        Secret::filled(|secret| self.random(secret))
    }

    fn exchange_key(&self, secret: &Secret<32>) -> [u8; 32] {
        sha256(&tuple(&[b"exchange", secret.expose()]))
    }

    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Option<Secret<32>> {
        let agreed = agreed(&self.exchange_key(secret), theirs);
        (*theirs != [0; 32]).then(|| Secret::filled(|bytes| *bytes = agreed))
    }

    fn kem_key(&self, seed: &Secret<64>) -> Box<KemKey> {
        let mut key = Box::new([0; MLKEM_KEY]);
        key[..32].copy_from_slice(&sha256(&tuple(&[b"kem", seed.expose()])));
        key
    }

    fn encapsulate(&self, key: &KemKey) -> Option<(Box<KemCiphertext>, Secret<32>)> {
        let mut ciphertext = Box::new([0; MLKEM_CIPHERTEXT]);
        self.random(&mut ciphertext[..32]);
        let shared = encapsulated(key, &ciphertext);
        (*key != [0xff; MLKEM_KEY]).then(|| (ciphertext, Secret::filled(|bytes| *bytes = shared)))
    }

    fn decapsulate(&self, seed: &Secret<64>, ciphertext: &KemCiphertext) -> Secret<32> {
        let shared = encapsulated(&self.kem_key(seed), ciphertext);
        Secret::filled(|bytes| *bytes = shared)
    }

    fn at_rest_key(&self) -> Secret<32> {
        let key = sha256(&tuple(&[b"at rest", &self.key.to_der()]));
        Secret::filled(|bytes| *bytes = key)
    }
}

impl Notary for FakeNotary {
    fn public(&self) -> [u8; 32] {
        self.key
    }

    fn random(&self, out: &mut [u8]) {
        self.randomness.fill(out);
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        relay_signature(&self.key, message)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], claimed: &[u8]) -> bool {
        signature(key, message) == claimed
    }
}
