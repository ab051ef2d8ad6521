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
    open(&pair(seed), ciphertext)
}

fn open(key: &DecapsulationKey768, ciphertext: &KemCiphertext) -> Secret<32> {
    secret(key.decapsulate(&Ciphertext::<MlKem768>::from(*ciphertext)))
}

fn pair(seed: &Secret<64>) -> DecapsulationKey768 {
    DecapsulationKey768::from_seed((*seed.expose()).into())
}

fn secret(mut shared: SharedKey) -> Secret<32> {
    let secret = Secret::filled(|secret| secret.copy_from_slice(&shared));
    shared.zeroize();
    secret
}

/// NIST's own vectors (ACVP); Wycheproof's are in `wycheproof.rs`.
#[cfg(test)]
mod tests {
    use ml_kem::ExpandedDecapsulationKey;
    use serde_json::Value;

    use super::*;
    use crate::crypto::fixtures;
    use crate::wire::base64;

    fn acvp() -> Value {
        serde_json::from_str(include_str!("../../tests/data/ml-kem-768.json")).unwrap()
    }

    fn secret<const N: usize>(text: &Value) -> Secret<N> {
        Secret::filled(|secret| *secret = fixtures::hex(text))
    }

    #[test]
    fn keys_are_made_as_nist_makes_them() {
        let vectors = acvp();
        let tests = vectors["keyGen"].as_array().unwrap();
        assert_eq!(tests.len(), 3);
        for test in tests {
            let [d, z] = ["d", "z"].map(|name| fixtures::hex::<32>(&test[name]));
            let seed = Secret::filled(|seed| seed.copy_from_slice(&[d, z].concat()));
            assert_eq!(*public_half(&seed), fixtures::hex(&test["ek"]), "{}", test["tcId"]);
        }
    }

    #[test]
    fn secrets_are_encapsulated_as_nist_does() {
        let vectors = acvp();
        let tests = vectors["encapsulation"].as_array().unwrap();
        assert_eq!(tests.len(), 3);
        for test in tests {
            let made = encapsulate(&fixtures::hex(&test["ek"]), &secret(&test["m"]));
            let (ciphertext, shared) = made.unwrap();
            assert_eq!(*ciphertext, fixtures::hex(&test["c"]), "{}", test["tcId"]);
            assert_eq!(*shared.expose(), fixtures::hex(&test["k"]), "{}", test["tcId"]);
        }
    }

    /// NIST gives the whole key here and no seed, so these are run on the function below
    /// [`decapsulate`].
    #[test]
    fn secrets_are_decapsulated_and_implicitly_rejected_as_nist_does() {
        let vectors = acvp();
        let dk: [u8; 2400] = fixtures::hex(&vectors["decapsulation"]["dk"]);
        let dk = ExpandedDecapsulationKey::<MlKem768>::from(dk);
        #[expect(deprecated, reason = "who keeps keys should keep the seed, as we do")]
        let key = DecapsulationKey768::from_expanded(&dk).unwrap();
        let (mut valid, mut rejected) = (0, 0);
        for test in vectors["decapsulation"]["tests"].as_array().unwrap() {
            let shared = open(&key, &fixtures::hex(&test["c"]));
            assert_eq!(*shared.expose(), fixtures::hex(&test["k"]), "{}", test["tcId"]);
            let is_valid = test["reason"] == "valid decapsulation";
            *if is_valid { &mut valid } else { &mut rejected } += 1;
        }
        assert_eq!((valid, rejected), (5, 5));
    }

    #[test]
    fn the_published_ciphertext_is_the_one_of_its_randomness() {
        let vectors = fixtures::vectors();
        let (suite_2, inputs) = (&vectors["suite_2"], &vectors["suite_2"]["inputs"]);
        let seed = secret(&inputs["kem_seed"]);
        let key = public_half(&seed);
        assert_eq!(base64::encode(key.as_slice()), suite_2["mlkem"]);
        let (ciphertext, shared) = encapsulate(&key, &secret(&inputs["kem_m"])).unwrap();
        assert_eq!(*ciphertext, fixtures::hex(&inputs["kem_ct"]));
        assert_eq!(shared.expose(), &fixtures::hex(&suite_2["kem"]));
        assert_eq!(decapsulate(&seed, &ciphertext).expose(), shared.expose());
    }

    /// The check of FIPS 203, section 7.2: each of the 768 coefficients.
    #[test]
    fn a_key_with_a_coefficient_that_is_too_large_is_refused_in_every_place() {
        let key = public_half(&Secret::filled(|seed| seed.fill(1)));
        let randomness = Secret::filled(|randomness| randomness.fill(2));
        assert!(encapsulate(&key, &randomness).is_some());
        for place in 0..768 {
            // Twelve bits a coefficient, two in three bytes; the smallest value that is refused.
            let mut key = key.clone();
            let (at, [low, high]) = (place / 2 * 3, 3_329_u16.to_le_bytes());
            if place % 2 == 0 {
                key[at] = low;
                key[at + 1] = key[at + 1] & 0xf0 | high;
            } else {
                key[at + 1] = key[at + 1] & 0x0f | low << 4;
                key[at + 2] = low >> 4 | high << 4;
            }
            assert!(encapsulate(&key, &randomness).is_none(), "{place}");
        }
    }
}
