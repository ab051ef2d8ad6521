//! A user's long-term RSA key, and the text of its file (`docs/protocol.md`, section 4).

use zeroize::Zeroizing;

use super::{PublicKey, Secret};

/// A user's RSA key pair: signs with PSS, unwraps with OAEP. Erased on drop where the libraries allow.
pub struct Identity {
    public: PublicKey,
}

/// Why the text of an identity file could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// The key is encrypted and no passphrase was given.
    PassphraseNeeded,
    /// The passphrase does not open it. (A damaged ciphertext looks the same.)
    WrongPassphrase,
    /// Encrypted otherwise than with scrypt and AES-256-CBC, or scrypt would cost more than is allowed.
    Encryption,
    /// Not the PKCS#8 PEM of an RSA key that holds together.
    Damaged,
    /// An RSA key of another size than 2048, 3072 or 4096 bits; its size.
    KeySize(usize),
}

impl Identity {
    /// A new key of `bits` bits (2048, 3072 or 4096), from the kernel's randomness. Takes a second or so.
    pub fn generate(bits: usize) -> Result<Self, IdentityFault> {
        todo!()
    }

    /// Reads a PKCS#8 PEM (RFC 5958). A passphrase is looked at only where the key is encrypted.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Result<Self, IdentityFault> {
        todo!()
    }

    /// The PKCS#8 PEM, encrypted where a passphrase is given (PBES2 with scrypt, N = 2^17, and AES-256-CBC).
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Zeroizing<String> {
        todo!()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// RSA-PSS over `message` (SHA-256, MGF1 with SHA-256, salt of 32 bytes).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        todo!()
    }

    /// What [`wrap`] wrapped to this key with the same label. Where that fails: random bytes, so that neither an
    /// answer nor its absence tells why (Bleichenbacher's and Manger's attacks live on that difference).
    pub fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32> {
        todo!()
    }
}

/// RSA-OAEP with SHA-256 (RFC 8017, 7.1) of `secret`, to `key`, bound to `label`.
pub fn wrap(key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8> {
    todo!()
}
