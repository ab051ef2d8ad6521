//! A user's RSA public key, parsed strictly (`docs/protocol.md`, section 2, "Keys").

use crate::wire::Fingerprint;

/// An RSA public key of 2048 to 4096 bits with e = 65537, as the DER of its `SubjectPublicKeyInfo`.
///
/// One allocation of 294 to 550 bytes: the relay keeps one for each user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    der: Box<[u8]>,
}

/// Why a public key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not one PEM block with the label `PUBLIC KEY`, too long, or with too wide a line.
    Pem,
    /// Not the canonical DER of a `SubjectPublicKeyInfo` of an RSA key, or bytes behind it.
    Der,
    /// Another algorithm than `rsaEncryption` with NULL parameters (RFC 8017, A.1).
    Algorithm,
    /// The modulus is even, or has not 2048 to 4096 bits.
    Modulus,
    /// The public exponent is not 65537.
    Exponent,
}

impl PublicKey {
    /// Reads a PEM text: lines of at most 76 characters, ended by LF or CRLF.
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        todo!()
    }

    /// Reads the canonical DER of a `SubjectPublicKeyInfo`.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyFault> {
        todo!()
    }

    /// The DER of the `SubjectPublicKeyInfo`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The canonical PEM: lines of 64 characters ended by LF, the last one too. So print `OpenSSL` and Python's
    /// `cryptography`.
    pub fn to_pem(&self) -> String {
        todo!()
    }

    /// SHA-256 of the DER; computed anew on each call.
    pub fn fingerprint(&self) -> Fingerprint {
        todo!()
    }

    /// The size of the modulus, in bits.
    pub fn bits(&self) -> usize {
        todo!()
    }

    /// Whether `signature` is this key's RSA-PSS over `message` (SHA-256, MGF1 with SHA-256, salt of 32 bytes).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        todo!()
    }
}
