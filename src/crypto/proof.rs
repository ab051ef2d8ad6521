//! What is signed at registration (`docs/protocol.md`, section 2, "Proof").
//!
//! ```text
//!   C → R   register: name, pubkey, cnonce, prekey
//!   R → C   challenge: relay, nonce, Ed25519 over relay_challenge
//!   C → R   prove: PSS over register_proof
//! ```
//!
//! The client pins the relay's key and proves nothing to another.

use super::{prekey_to_be_signed, sha256, tuple};
use crate::wire::{Fingerprint, Prekey};

/// What the relay signs in its `challenge`, so that a client proves its key to no other relay than
/// the pinned one.
pub fn relay_challenge(
    relay: &[u8; 32],
    cnonce: &[u8; 32],
    nonce: &[u8; 32],
    fp: &Fingerprint,
    binding: Option<&[u8; 32]>,
) -> Vec<u8> {
    bound(vec![b"sealwax/v2/relay", relay, cnonce, nonce, &fp.0], binding)
}

/// What a client signs in its `prove`: that it holds the key, to this relay, now, under this name,
/// with this prekey.
pub fn register_proof(
    relay: &[u8; 32],
    nonce: &[u8; 32],
    cnonce: &[u8; 32],
    name: &str,
    fp: &Fingerprint,
    prekey: &Prekey,
    binding: Option<&[u8; 32]>,
) -> Vec<u8> {
    let prekey = sha256(&prekey_to_be_signed(name, fp, prekey));
    let relay = sha256(relay);
    let name = name.as_bytes();
    bound(vec![b"sealwax/v2/register", &relay, nonce, cnonce, name, &fp.0, &prekey], binding)
}

/// With what both ends of the connection export, where the registration is bound to it: so it does
/// not hold on another connection.
fn bound<'a>(mut parts: Vec<&'a [u8]>, binding: Option<&'a [u8; 32]>) -> Vec<u8> {
    parts.extend(binding.map(|binding| &binding[..]));
    tuple(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_hangs_on_each_of_its_parts() {
        let fp = Fingerprint([4; 32]);
        let prekey = Prekey {
            id: 1,
            created: 2,
            expires: 3,
            x25519: [5; 32],
            mlkem: None,
            signature: Vec::new(),
        };
        let proof = register_proof(&[1; 32], &[2; 32], &[3; 32], "alice", &fp, &prekey, None);
        let newer = Prekey { id: 2, ..prekey.clone() };
        let others = [
            register_proof(&[9; 32], &[2; 32], &[3; 32], "alice", &fp, &prekey, None),
            register_proof(&[1; 32], &[9; 32], &[3; 32], "alice", &fp, &prekey, None),
            register_proof(&[1; 32], &[2; 32], &[9; 32], "alice", &fp, &prekey, None),
            register_proof(&[1; 32], &[2; 32], &[3; 32], "alicia", &fp, &prekey, None),
            register_proof(
                &[1; 32],
                &[2; 32],
                &[3; 32],
                "alice",
                &Fingerprint([9; 32]),
                &prekey,
                None,
            ),
            register_proof(&[1; 32], &[2; 32], &[3; 32], "alice", &fp, &newer, None),
            register_proof(&[1; 32], &[2; 32], &[3; 32], "alice", &fp, &prekey, Some(&[6; 32])),
        ];
        assert!(others.iter().all(|other| *other != proof));
    }

    #[test]
    fn a_challenge_tells_the_nonces_apart() {
        let fp = Fingerprint([4; 32]);
        let challenge = relay_challenge(&[1; 32], &[2; 32], &[3; 32], &fp, None);
        assert_ne!(challenge, relay_challenge(&[1; 32], &[3; 32], &[2; 32], &fp, None));
        assert_eq!(challenge.len(), 5 * 4 + 16 + 4 * 32);
        let bound = relay_challenge(&[1; 32], &[2; 32], &[3; 32], &fp, Some(&[5; 32]));
        assert_eq!(bound, [&challenge[..], &[0, 0, 0, 32], &[5; 32]].concat());
    }
}
