//! The chain of keys that both ends of a session step along (`docs/protocol.md`, section 6).
//!
//! ```text
//!   th, s, X25519, ML-KEM
//!     │ HKDF
//!     ▼
//!   ck_0 ──HMAC 02──▶ ck_1 ──HMAC 02──▶ ck_2 …
//!     │                 │
//!   HMAC 01           HMAC 01
//!     ▼                 ▼
//!   mk_0              mk_1                    each seals one message
//! ```
//!
//! A step erases the key that it came from: somebody who steals the state of one end cannot compute
//! earlier keys.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use super::Secret;
use super::hybrid::Material;

/// The length of the tag that AES-256-GCM gives, in bytes.
pub(super) const TAG_LEN: usize = 16;

/// The chain, at `ck_n`.
pub(super) struct Chain {
    n: u64,
    key: Secret<32>,
}

/// `mk_n` with its nonce: used up by the one message that it seals or opens.
pub(super) struct MessageKey {
    pub(super) key: Secret<32>,
    pub(super) nonce: [u8; NONCE_LEN],
}

impl Chain {
    /// The chain at its first key, `ck_0`.
    pub(super) fn new(first: Secret<32>) -> Self {
        Self { n: 0, key: first }
    }

    /// The number of the next message key.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// Takes the next message key and steps on.
    pub(super) fn step(&mut self) -> MessageKey {
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&self.n.to_be_bytes());
        let key = MessageKey { key: hmac(&self.key, &[0x01]), nonce };
        self.n += 1;
        self.key = hmac(&self.key, &[0x02]);
        key
    }

    /// A copy that is `skipped` steps further. A message from outside moves the chain itself only
    /// after its tag was verified.
    pub(super) fn ahead(&self, skipped: u64) -> Self {
        let mut key = Secret::filled(|key| *key = *self.key.expose());
        for _ in 0..skipped {
            key = hmac(&key, &[0x02]);
        }
        Self { n: self.n + skipped, key }
    }
}

impl MessageKey {
    /// Encrypts `plain` in place and returns the tag over it and `aad`.
    pub(super) fn seal(self, aad: &[u8], plain: &mut [u8]) -> [u8; TAG_LEN] {
        let (key, nonce) = self.into_parts();
        let Ok(sealed) = key.seal_in_place_separate_tag(nonce, Aad::from(aad), plain) else {
            unreachable!("AES-GCM takes up to 64 GiB");
        };
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(sealed.as_ref());
        tag
    }

    /// Decrypts `sealed` (ciphertext and tag) in place; `None` where it or `aad` is not what was
    /// sealed.
    pub(super) fn open<'a>(self, aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (key, nonce) = self.into_parts();
        let plain = key.open_in_place(nonce, Aad::from(aad), sealed).ok()?;
        Some(plain)
    }

    fn into_parts(self) -> (LessSafeKey, Nonce) {
        let Ok(key) = UnboundKey::new(&AES_256_GCM, self.key.expose()) else {
            unreachable!("a key of 32 bytes");
        };
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(self.nonce))
    }
}

/// HMAC with SHA-256 (RFC 2104).
pub(super) fn hmac(key: &Secret<32>, message: &[u8]) -> Secret<32> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    Secret::filled(|mac| mac.copy_from_slice(hmac::sign(&key, message).as_ref()))
}

/// `ck_0`: from all secrets, so that it stays secret as long as one of RSA, X25519 and (in suite 2)
/// ML-KEM is not broken.
pub(super) fn first_chain_key(transcript: &[u8; 32], material: &Material) -> Secret<32> {
    hkdf(transcript, material, b"sealwax/v2/chain")
}

/// HKDF with SHA-256 (RFC 5869), 32 bytes.
pub(super) fn hkdf(salt: &[u8], material: &[u8], info: &[u8]) -> Secret<32> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material);
    let info = [info];
    let Ok(output) = prk.expand(&info, hkdf::HKDF_SHA256) else {
        unreachable!("one block of output");
    };
    Secret::filled(|key| {
        let filled = output.fill(key);
        debug_assert!(filled.is_ok(), "one block of output");
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hybrid::material;
    use crate::crypto::{fixtures, sha256};

    fn chain() -> Chain {
        Chain::new(Secret::filled(|key| key.fill(1)))
    }

    /// RFC 5869, appendix A.1: the first 32 of its 42 bytes.
    #[test]
    fn hkdf_derives_as_in_rfc_5869() {
        let salt: [u8; 13] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let info: [u8; 10] = std::array::from_fn(|at| 0xf0 + u8::try_from(at).unwrap());
        let output = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        let key = hkdf(&salt, &[0x0b; 22], &info);
        assert_eq!(key.expose(), &fixtures::hex(&output.into()));
    }

    #[test]
    fn the_first_chain_key_is_the_published_one() {
        let vectors = fixtures::vectors();
        let [secret, agreed] = ["s", "x25519"]
            .map(|name| Secret::filled(|key| *key = fixtures::hex(&vectors["inputs"][name])));
        let first = first_chain_key(&sha256(b"th"), &material(&secret, &agreed, None));
        assert_eq!(first.expose(), &fixtures::hex(&vectors["ck_0"]));

        let suite_2 = &vectors["suite_2"];
        let shared = Secret::filled(|secret| *secret = fixtures::hex(&suite_2["kem"]));
        let material = material(&secret, &agreed, Some(&shared));
        let first = first_chain_key(&sha256(b"th"), &material);
        assert_eq!(first.expose(), &fixtures::hex(&suite_2["ck_0"]));
    }

    #[test]
    fn the_first_message_key_is_the_published_one() {
        let vectors = fixtures::vectors();
        let first = fixtures::hex(&vectors["ck_0"]);
        let mut chain = Chain::new(Secret::filled(|key| *key = first));
        assert_eq!(chain.step().key.expose(), &fixtures::hex(&vectors["mk_0"]));
        assert_eq!(chain.n(), 1);
    }

    #[test]
    fn a_copy_ahead_is_where_the_chain_will_be() {
        let mut chain = chain();
        let mut ahead = chain.ahead(2);
        chain.step();
        chain.step();
        assert_eq!(ahead.n(), 2);
        assert_eq!(ahead.step().key.expose(), chain.step().key.expose());
    }

    #[test]
    fn a_key_opens_only_what_it_sealed() {
        let mut plain = *b"hello";
        let tag = chain().step().seal(b"aad", &mut plain);
        let sealed = [&plain[..], &tag].concat();
        assert_eq!(chain().step().open(b"aad", &mut sealed.clone()), Some(&b"hello"[..]));
        assert_eq!(chain().step().open(b"add", &mut sealed.clone()), None);
        assert_eq!(chain().ahead(1).step().open(b"aad", &mut sealed.clone()), None);
        assert_eq!(chain().step().open(b"aad", &mut sealed[1..].to_vec()), None);
        assert_eq!(chain().step().open(b"aad", &mut []), None);
    }
}
