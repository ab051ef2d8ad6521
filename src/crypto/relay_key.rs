//! The relay's Ed25519 key: clients pin it per address, as SSH does with a host key.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

/// The relay's own key pair.
pub struct RelayKey {
    pair: Ed25519KeyPair,
}

/// The bytes are not the PKCS#8 of an Ed25519 key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayKeyFault;

impl RelayKey {
    /// A new key, and its PKCS#8 (version 2, RFC 5958) to keep.
    ///
    /// # Panics
    ///
    /// When the kernel gives no randomness.
    pub fn generate() -> (Self, Zeroizing<Vec<u8>>) {
        let Ok(pkcs8) = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()) else {
            panic!("the kernel gives no randomness");
        };
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        let Ok(key) = Self::from_pkcs8(&pkcs8) else {
            unreachable!("a key just made is whole");
        };
        (key, pkcs8)
    }

    /// Reads what [`RelayKey::generate`] gave.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, RelayKeyFault> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| RelayKeyFault)?;
        Ok(Self { pair })
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    /// Ed25519 over `message` (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// Whether `signature` is the Ed25519 signature over `message` by `public`.
pub fn verify_relay(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

impl fmt::Display for RelayKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the PKCS#8 of an Ed25519 key pair")
    }
}

impl std::error::Error for RelayKeyFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_back_is_the_same_key() {
        let (key, pkcs8) = RelayKey::generate();
        let again = RelayKey::from_pkcs8(&pkcs8).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(key.sign(b"hello"), again.sign(b"hello"));
        assert_eq!(RelayKey::from_pkcs8(&pkcs8[1..]).err(), Some(RelayKeyFault));
    }

    #[test]
    fn a_signature_holds_for_its_message_and_its_key_only() {
        let (key, _) = RelayKey::generate();
        let (other, _) = RelayKey::generate();
        let signature = key.sign(b"hello");
        assert!(verify_relay(&key.public(), b"hello", &signature));
        assert!(!verify_relay(&key.public(), b"hullo", &signature));
        assert!(!verify_relay(&other.public(), b"hello", &signature));
        assert!(!verify_relay(&key.public(), b"hello", &signature[..63]));
    }
}
