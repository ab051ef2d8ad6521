//! The three secrets that protect a session of suite 2 and a letter (`docs/protocol.md`, sections 5
//! and 10): who breaks one or two of them has nothing.
//!
//! ```text
//!   sender                                          recipient
//!   random bytes ──RSA-OAEP──▶ rsa_ct ────────────▶ identity
//!   ephemeral ─────X25519────▶ eph_A ─────────────▶ x25519 of the prekey or letter key
//!   randomness ────ML-KEM────▶ kem_ct ────────────▶ mlkem of the same
//! ```

use zeroize::Zeroizing;

use super::{KemCiphertext, PrekeyFault, PublicKey, Secret, Vault, tuple};
use crate::wire::KemKey;

/// The recipient's two key pairs: those of a prekey, or of a letter key.
pub(super) struct HybridPair {
    pub(super) x25519: [u8; 32],
    pub(super) mlkem: Box<KemKey>,
    x25519_secret: Secret<32>,
    seed: Secret<64>,
}

/// What a sender makes for a recipient's keys, before it wraps the third secret.
pub(super) struct Encapsulated {
    pub(super) ephemeral: [u8; 32],
    pub(super) ciphertext: Option<Box<KemCiphertext>>,
    agreed: Secret<32>,
    shared: Option<Secret<32>>,
}

/// What the sender sends, as the recipient opens it.
pub(super) struct Sent<'a> {
    pub(super) wrapped: &'a [u8],
    pub(super) label: &'a [u8; 32],
    pub(super) ephemeral: &'a [u8; 32],
    pub(super) ciphertext: &'a KemCiphertext,
}

/// `ikm`: what keys are derived from.
pub(super) type Material = Zeroizing<Vec<u8>>;

impl HybridPair {
    pub(super) fn new(vault: &dyn Vault) -> Self {
        let x25519 = Secret::filled(|secret| vault.random(secret));
        let seed = Secret::filled(|seed| vault.random(seed));
        Self::from_secrets(vault, x25519, seed)
    }

    pub(super) fn from_secrets(
        vault: &dyn Vault,
        x25519_secret: Secret<32>,
        seed: Secret<64>,
    ) -> Self {
        let x25519 = vault.exchange_key(&x25519_secret);
        let mlkem = vault.kem_key(&seed);
        Self { x25519, mlkem, x25519_secret, seed }
    }

    pub(super) fn secrets(&self) -> (&Secret<32>, &Secret<64>) {
        (&self.x25519_secret, &self.seed)
    }

    /// Unwraps, agrees and decapsulates. What does not unwrap or decapsulate gives random bytes;
    /// `None` only where the sender's X25519 key is of small order.
    pub(super) fn open(&self, vault: &dyn Vault, sent: &Sent) -> Option<Material> {
        let secret = vault.unwrap(sent.wrapped, sent.label);
        let agreed = vault.agree(&self.x25519_secret, sent.ephemeral)?;
        let shared = vault.decapsulate(&self.seed, sent.ciphertext);
        Some(material(&secret, &agreed, Some(&shared)))
    }
}

impl Encapsulated {
    /// Agrees with `x25519` and encapsulates to `mlkem`, where the recipient has one.
    pub(super) fn new(
        vault: &dyn Vault,
        x25519: &[u8; 32],
        mlkem: Option<&KemKey>,
    ) -> Result<Self, PrekeyFault> {
        let secret = Secret::filled(|secret| vault.random(secret));
        let agreed = vault.agree(&secret, x25519).ok_or(PrekeyFault::Weak)?;
        let encapsulate = |key| vault.encapsulate(key).ok_or(PrekeyFault::Invalid);
        let (ciphertext, shared) = mlkem.map(encapsulate).transpose()?.unzip();
        Ok(Self { ephemeral: vault.exchange_key(&secret), ciphertext, agreed, shared })
    }

    /// Wraps random bytes to the recipient's identity: `rsa_ct`, and what comes of all.
    pub(super) fn wrap(
        &self,
        vault: &dyn Vault,
        recipient: &PublicKey,
        label: &[u8; 32],
    ) -> (Vec<u8>, Material) {
        let secret = Secret::filled(|secret| vault.random(secret));
        let wrapped = vault.wrap(recipient, &secret, label);
        (wrapped, material(&secret, &self.agreed, self.shared.as_ref()))
    }
}

/// The place of a secret that a suite does not have is empty, and the fourth is kept for later
/// suites.
pub(super) fn material(
    secret: &Secret<32>,
    agreed: &Secret<32>,
    shared: Option<&Secret<32>>,
) -> Material {
    let shared = shared.map_or(&[][..], |shared| shared.expose());
    Zeroizing::new(tuple(&[secret.expose(), agreed.expose(), shared, b""]))
}
