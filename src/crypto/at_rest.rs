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

/// Seals `plain` under [`Vault::at_rest_key`]. `place` says what it is, such as a file's name: under
/// another it does not open, so that nobody who can write to the disk puts one thing in the place
/// of another.
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
