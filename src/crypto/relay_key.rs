//! The relay's Ed25519 key: clients pin it per address, as SSH does with a host key.

use zeroize::Zeroizing;

/// The relay's own key pair.
pub struct RelayKey {}

/// The bytes are not the PKCS#8 of an Ed25519 key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayKeyFault;

impl RelayKey {
    /// A new key, and its PKCS#8 (version 2, RFC 5958) to keep.
    pub fn generate() -> (Self, Zeroizing<Vec<u8>>) {
        todo!()
    }

    /// Reads what [`RelayKey::generate`] gave.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, RelayKeyFault> {
        todo!()
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        todo!()
    }

    /// Ed25519 over `message` (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        todo!()
    }
}

/// Whether `signature` is the Ed25519 signature over `message` by `public`.
pub fn verify_relay(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    todo!()
}
