//! What is kept on the client's own disk, sealed under a key that comes from its identity
//! (`docs/protocol.md`, section 10).
//!
//! ```text
//!   sealed = nonce 12 │ ciphertext │ tag 16
//! ```

use ring::aead::NONCE_LEN;
use zeroize::Zeroizing;

use super::chain::MessageKey;
use super::{Secret, Vault, tuple};

/// Seals `plain` under [`Vault::at_rest_key`]. `place` says what it is, such as the name of a file:
/// under another it does not open, so that nobody who can write to the disk puts one thing in the
/// place of another.
pub fn seal_at_rest(vault: &dyn Vault, key: &Secret<32>, place: &str, plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    vault.random(&mut nonce);
    let mut sealed = [&nonce, plain].concat();
    let tag = message_key(key, nonce).seal(&aad(place), &mut sealed[NONCE_LEN..]);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal_at_rest`] sealed; `None` where it was changed, or sealed under another key or
/// place.
pub fn open_at_rest(key: &Secret<32>, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk()?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let length = message_key(key, *nonce).open(&aad(place), &mut opened)?.len();
    opened.truncate(length);
    Some(opened)
}

fn message_key(key: &Secret<32>, nonce: [u8; NONCE_LEN]) -> MessageKey {
    MessageKey { key: Secret::filled(|copy| *copy = *key.expose()), nonce }
}

fn aad(place: &str) -> Vec<u8> {
    tuple(&[b"sealwax/v2/at-rest", place.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_in_its_place_only() {
        let (alice, bob) = fixtures::vaults();
        let key = alice.at_rest_key();
        assert_eq!(alice.at_rest_key().expose(), key.expose());
        for plain in [&b""[..], b"secret", &[7; 5000]] {
            let sealed = seal_at_rest(&alice, &key, "letters", plain);
            assert_eq!(sealed.len(), 12 + plain.len() + 16);
            assert_ne!(sealed, seal_at_rest(&alice, &key, "letters", plain), "another nonce");
            let opened = open_at_rest(&key, "letters", &sealed);
            assert_eq!(opened.as_ref().map(|plain| plain.as_slice()), Some(plain));
            assert!(open_at_rest(&key, "letter", &sealed).is_none());
            assert!(open_at_rest(&bob.at_rest_key(), "letters", &sealed).is_none());
            assert!(open_at_rest(&key, "letters", &sealed[..sealed.len() - 1]).is_none());
        }
    }

    #[test]
    fn what_was_changed_on_the_disk_does_not_open() {
        let (alice, _) = fixtures::vaults();
        let key = alice.at_rest_key();
        let sealed = seal_at_rest(&alice, &key, "letters", b"secret");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_at_rest(&key, "letters", &changed).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open_at_rest(&key, "letters", &sealed[..length]).is_none());
        }
    }
}
