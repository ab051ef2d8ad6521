//! ML-KEM-768 (FIPS 203): `ml-kem` behind arrays and [`Secret`].

use ml_kem::kem::{Decapsulate, Key, KeyExport};
use ml_kem::{Ciphertext, DecapsulationKey768, EncapsulationKey768, MlKem768, SharedKey};
use zeroize::Zeroize;

use super::Secret;
use crate::limits::MLKEM_CIPHERTEXT;
use crate::wire::KemKey;

/// An ML-KEM-768 ciphertext: what was encapsulated to a [`KemKey`].
pub type KemCiphertext = [u8; MLKEM_CIPHERTEXT];

/// The encapsulation key of the pair that comes from `seed` (`d` and `z`; `ML-KEM.KeyGen_internal`,
/// algorithm 16).
pub(super) fn public_half(seed: &Secret<64>) -> Box<KemKey> {
    Box::new(pair(seed).encapsulation_key().to_bytes().into())
}

/// A secret and its ciphertext, from 32 random bytes (`ML-KEM.Encaps_internal`, algorithm 17).
/// `None` where a coefficient of `key` is 3,329 or more (the check of section 7.2).
pub(super) fn encapsulate(
    key: &KemKey,
    randomness: &Secret<32>,
) -> Option<(Box<KemCiphertext>, Secret<32>)> {
    let key = EncapsulationKey768::new(&Key::<EncapsulationKey768>::from(*key)).ok()?;
    let (ciphertext, shared) = key.encapsulate_deterministic(&(*randomness.expose()).into());
    Some((Box::new(ciphertext.into()), secret(shared)))
}

/// The secret in `ciphertext`. In one that was not encapsulated to this key: a secret that hangs on
/// it and on `seed`, and that nobody else can compute (`ML-KEM.Decaps_internal`, algorithm 18).
pub(super) fn decapsulate(seed: &Secret<64>, ciphertext: &KemCiphertext) -> Secret<32> {
    secret(pair(seed).decapsulate(&Ciphertext::<MlKem768>::from(*ciphertext)))
}

fn pair(seed: &Secret<64>) -> DecapsulationKey768 {
    DecapsulationKey768::from_seed((*seed.expose()).into())
}

fn secret(mut shared: SharedKey) -> Secret<32> {
    let secret = Secret::filled(|secret| secret.copy_from_slice(&shared));
    shared.zeroize();
    secret
}
