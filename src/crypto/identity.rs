//! A user's long-term RSA key, and the text of its file (`docs/protocol.md`, section 4).
//!
//! `rsa` makes the key, reads and writes it and unwraps, blinded; `ring` signs (2.4 times faster).

use std::fmt;

use der::SecretDocument;
use der::pem::LineEnding;
use getrandom::SysRng;
use pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PSS_SHA256;
use rsa::Oaep;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use spki::DecodePublicKey;
use zeroize::Zeroizing;

use super::chain::hkdf;
use super::passphrase::{decrypt, encrypt};
use super::secret::random;
use super::{PublicKey, Secret};
use crate::limits::{MAX_RSA_BITS, MIN_RSA_BITS, NEW_RSA_BITS};

/// A user's RSA key pair: signs with PSS, unwraps with OAEP. Erased on drop where the libraries
/// allow.
pub struct Identity {
    public: PublicKey,
    key: rsa::PrivateKey,
    signer: KeyPair,
}

/// Why the text of an identity file could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// The key is encrypted and no passphrase was given.
    PassphraseNeeded,
    /// The passphrase does not open it. (A changed ciphertext looks the same.)
    WrongPassphrase,
    /// Encrypted otherwise than with scrypt and AES-256-CBC, or scrypt would cost more than is
    /// allowed.
    Encryption,
    /// Not the PKCS#8 PEM of a consistent RSA key.
    Damaged,
    /// An RSA key of another size than 2048, 3072 or 4096 bits; its size.
    KeySize(usize),
}

/// The sizes that an identity may have, in bits.
const SIZES: [usize; 3] = [MIN_RSA_BITS, NEW_RSA_BITS, MAX_RSA_BITS];
const LABEL: &str = "PRIVATE KEY";
pub(super) const LABEL_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

impl Identity {
    /// A new key of `bits` bits (2048, 3072 or 4096), from the kernel's randomness. Takes about a
    /// second; how long exactly depends on chance, because primes are searched for.
    ///
    /// # Panics
    ///
    /// When the kernel gives no randomness.
    pub fn generate(bits: usize) -> Result<Self, IdentityFault> {
        if !SIZES.contains(&bits) {
            return Err(IdentityFault::KeySize(bits));
        }
        let key = rsa::PrivateKey::new(&mut SysRng, bits);
        Self::from_key(key.unwrap_or_else(|error| panic!("no key could be made: {error}")))
    }

    /// Reads a PKCS#8 PEM (RFC 5958). A passphrase is used only if the key is encrypted.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Result<Self, IdentityFault> {
        let (label, document) =
            SecretDocument::from_pem(text).map_err(|_| IdentityFault::Damaged)?;
        let document = match label {
            LABEL => document,
            LABEL_ENCRYPTED => decrypt(&document, passphrase)?,
            _ => return Err(IdentityFault::Damaged),
        };
        let key = rsa::PrivateKey::from_pkcs8_der(document.as_bytes());
        Self::from_key(key.map_err(|_| IdentityFault::Damaged)?)
    }

    /// The PKCS#8 PEM, encrypted where a passphrase is given (PBES2 with scrypt, N = 2^17, and
    /// AES-256-CBC).
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Zeroizing<String> {
        let document = self.key.to_pkcs8_der();
        let text = document.and_then(|document| match passphrase {
            None => Ok(document.to_pem(LABEL, LineEnding::LF)?),
            Some(passphrase) => {
                let document = encrypt(&document, passphrase)?;
                Ok(document.to_pem(LABEL_ENCRYPTED, LineEnding::LF)?)
            }
        });
        text.unwrap_or_else(|error| unreachable!("a whole key is written: {error}"))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// RSA-PSS over `message` (SHA-256, MGF1 with SHA-256, salt of 32 bytes).
    ///
    /// # Panics
    ///
    /// When the kernel gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.signer.public().modulus_len()];
        let done = self.signer.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature);
        assert!(done.is_ok(), "the kernel gives no randomness");
        signature
    }

    /// Unwraps what `wrap` wrapped to this key with the same label. If that fails it returns random
    /// bytes, so that neither an answer nor its absence shows the failure (Manger's attack needs
    /// that difference).
    pub fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32> {
        let opened = self.decrypt(wrapped, label).unwrap_or_default();
        Secret::filled(|secret| {
            // The random bytes are made in either case, so that both cases take the same steps.
            random(secret);
            if opened.len() == secret.len() {
                secret.copy_from_slice(&opened);
            }
        })
    }

    /// The key under which this user's secrets lie on the disk: as secret as the identity, and
    /// nothing that is known without it.
    pub fn at_rest_key(&self) -> Secret<32> {
        let document = self.key.to_pkcs8_der();
        let document =
            document.unwrap_or_else(|error| unreachable!("a whole key is written: {error}"));
        hkdf(b"", document.as_bytes(), b"sealwax/v2/at-rest")
    }

    /// RSA-OAEP with SHA-256 (RFC 8017, 7.1), blinded. Only [`unwrap`](Self::unwrap) may learn
    /// whether it failed.
    pub(super) fn decrypt(&self, wrapped: &[u8], label: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let padding = Oaep::<Sha256>::new_with_label(label);
        self.key.decrypt_blinded(&mut SysRng, padding, wrapped).map(Zeroizing::new).ok()
    }

    fn from_key(key: rsa::PrivateKey) -> Result<Self, IdentityFault> {
        let bits = key.n().bit_width_vartime() as usize;
        if !SIZES.contains(&bits) {
            return Err(IdentityFault::KeySize(bits));
        }
        let public = key.as_public_key().to_public_key_der().map_err(|_| IdentityFault::Damaged)?;
        let public = PublicKey::from_der(public.as_bytes()).map_err(|_| IdentityFault::Damaged)?;
        let pkcs8 = key.to_pkcs8_der().map_err(|_| IdentityFault::Damaged)?;
        let signer = KeyPair::from_pkcs8(pkcs8.as_bytes()).map_err(|_| IdentityFault::Damaged)?;
        Ok(Self { public, key, signer })
    }
}

/// RSA-OAEP with SHA-256 (RFC 8017, 7.1) of `secret`, to `key`, bound to `label`.
///
/// # Panics
///
/// When the kernel gives no randomness.
pub(super) fn wrap(key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8> {
    let Ok(key) = rsa::PublicKey::from_public_key_der(&key.to_der()) else {
        unreachable!("`PublicKey` is stricter than `rsa`");
    };
    let padding = Oaep::<Sha256>::new_with_label(*label);
    let wrapped = key.encrypt(&mut SysRng, padding, secret.expose());
    wrapped.unwrap_or_else(|error| panic!("the kernel gives no randomness: {error}"))
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassphraseNeeded => f.write_str("the key is encrypted: a passphrase is needed"),
            Self::WrongPassphrase => f.write_str("the passphrase does not open the key"),
            Self::Encryption => f.write_str(
                "the key is not encrypted with AES-256-CBC and scrypt of at most twice our cost",
            ),
            Self::Damaged => f.write_str("not the PKCS#8 PEM of a whole RSA key"),
            Self::KeySize(bits) => {
                write!(f, "an RSA key of {bits} bits: only 2048, 3072 and 4096 are accepted")
            }
        }
    }
}

impl std::error::Error for IdentityFault {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::fixtures;

    const PLAIN: &str = include_str!("../../tests/data/alice.pem");
    const ENCRYPTED: &str = include_str!("../../tests/data/alice-encrypted.pem");
    const LABEL_32: [u8; 32] = [7; 32];

    fn secret() -> Secret<32> {
        Secret::filled(|secret| secret.fill(1))
    }

    /// The fault of a text that is none of a key.
    fn fault(text: &str, passphrase: Option<&[u8]>) -> Option<IdentityFault> {
        Identity::from_pem(text, passphrase).err()
    }

    #[test]
    fn what_openssl_made_is_read_and_written_as_it_was() {
        let alice = Identity::from_pem(PLAIN, None).unwrap();
        assert_eq!(*alice.to_pem(None), PLAIN);
        let opened = Identity::from_pem(ENCRYPTED, Some(b"correct")).unwrap();
        assert_eq!(opened.public(), alice.public());
        assert_eq!(alice.public().to_pem(), include_str!("../../tests/data/public-alice.pem"));
    }

    #[test]
    fn a_passphrase_for_a_plain_key_is_not_looked_at() {
        assert_eq!(fault(PLAIN, Some(b"any")), None);
    }

    #[test]
    fn a_damaged_text_is_told_from_a_wrong_passphrase() {
        let middle = PLAIN.len() / 2;
        let texts = [
            String::new(),
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_owned(),
            PLAIN[..middle].to_owned(),
            PLAIN.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
            format!("{}{}", &PLAIN[..middle], PLAIN[middle..].replacen(char::is_numeric, "A", 1)),
            PLAIN.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            ENCRYPTED.replace("ENCRYPTED ", ""),
            include_str!("../../tests/data/public-alice.pem").to_owned(),
        ];
        for text in texts {
            assert_eq!(fault(&text, Some(b"correct")), Some(IdentityFault::Damaged), "{text}");
        }
    }

    #[test]
    fn a_key_of_another_size_is_refused_by_its_size() {
        let small = include_str!("../../tests/data/identity-1024.pem");
        assert_eq!(fault(small, None), Some(IdentityFault::KeySize(1024)));
        assert_eq!(Identity::generate(2047).err(), Some(IdentityFault::KeySize(2047)));
    }

    #[test]
    fn a_new_key_signs_and_unwraps() {
        let identity = Identity::generate(2048).unwrap();
        assert!(identity.public().verify(b"hello", &identity.sign(b"hello")));
        let wrapped = wrap(identity.public(), &secret(), &LABEL_32);
        assert_eq!(identity.unwrap(&wrapped, &LABEL_32).expose(), secret().expose());
        assert!(Identity::from_pem(&identity.to_pem(None), None).is_ok());
    }

    #[test]
    fn what_does_not_unwrap_gives_other_random_bytes_each_time() {
        let (alice, bob) = (fixtures::alice(), fixtures::bob());
        let wrapped = wrap(alice.public(), &secret(), &LABEL_32);
        let short = alice.key.as_public_key().encrypt(
            &mut SysRng,
            Oaep::<Sha256>::new_with_label(LABEL_32),
            &[1; 31],
        );
        let cases = [
            alice.unwrap(&wrapped, &[8; 32]),
            alice.unwrap(&wrapped[1..], &LABEL_32),
            alice.unwrap(&[], &LABEL_32),
            alice.unwrap(&[0xff; 256], &LABEL_32),
            alice.unwrap(&short.unwrap(), &LABEL_32),
            bob.unwrap(&wrapped, &LABEL_32),
        ];
        for (at, case) in cases.iter().enumerate() {
            assert_ne!(case.expose(), secret().expose());
            assert!(cases[at + 1..].iter().all(|other| other.expose() != case.expose()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_makes_reading_panic(body in "[A-Za-z0-9+/=\n]{0,200}") {
            let text = format!("-----BEGIN {LABEL}-----\n{body}\n-----END {LABEL}-----\n");
            prop_assert!(Identity::from_pem(&text, None).is_err());
        }
    }
}
