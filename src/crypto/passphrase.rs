//! An identity's file under a passphrase (`docs/protocol.md`, section 4): PBES2 (RFC 8018) with
//! scrypt and AES-256-CBC. OpenSSL knows the format; its `pkey` refuses the memory that N = 2^17
//! needs unless an option allows it.

use der::{Decode, SecretDocument};
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters};
use pkcs8::pkcs5::{self, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};

use super::IdentityFault;
use super::secret::random;
use crate::limits::{MAX_SCRYPT_COST, SCRYPT_LOG_N};

/// scrypt's r and p (RFC 7914), with their usual values.
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// The block size of AES, in bytes.
const BLOCK: usize = 16;

/// Encrypts a PKCS#8 document (RFC 8018, PBES2) with fresh salt and IV.
pub(super) fn encrypt(
    document: &SecretDocument,
    passphrase: &[u8],
) -> pkcs8::Result<SecretDocument> {
    let (mut salt, mut iv) = ([0; 16], [0; BLOCK]);
    random(&mut salt);
    random(&mut iv);
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P);
    let cost = cost.unwrap_or_else(|_| unreachable!("constants within RFC 7914's bounds"));
    let parameters = Parameters::generate_scrypt_aes256cbc(cost, &salt, iv)?;
    PrivateKeyInfoRef::try_from(document.as_bytes())?.encrypt_with_params(parameters, passphrase)
}

/// Opens an encrypted PKCS#8 document. Nothing authenticates the parameters, so they are checked
/// before they cost anything, and before anybody is asked for a passphrase that could not help.
pub(super) fn decrypt(
    document: &SecretDocument,
    passphrase: Option<&[u8]>,
) -> Result<SecretDocument, IdentityFault> {
    let sealed = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
        .map_err(|_| IdentityFault::Damaged)?;
    let pkcs5::EncryptionScheme::Pbes2(parameters) = &sealed.encryption_algorithm else {
        return Err(IdentityFault::Encryption);
    };
    let (Kdf::Scrypt(kdf), EncryptionScheme::Aes256Cbc { .. }) =
        (&parameters.kdf, parameters.encryption)
    else {
        return Err(IdentityFault::Encryption);
    };
    let cost = kdf
        .cost_parameter
        .saturating_mul(u64::from(kdf.block_size))
        .saturating_mul(u64::from(kdf.parallelization));
    // The library counts on a cost that is a power of two (RFC 7914, N), and panics at 0.
    if cost > MAX_SCRYPT_COST || !kdf.cost_parameter.is_power_of_two() {
        return Err(IdentityFault::Encryption);
    }
    // A file that was cut short can be distinguished from a wrong passphrase; other damage cannot.
    if !sealed.encrypted_data.as_bytes().len().is_multiple_of(BLOCK) {
        return Err(IdentityFault::Damaged);
    }
    let passphrase = passphrase.ok_or(IdentityFault::PassphraseNeeded)?;
    sealed.decrypt(passphrase).map_err(|_| IdentityFault::WrongPassphrase)
}

#[cfg(test)]
mod tests {
    use der::asn1::OctetStringRef;
    use der::pem::LineEnding;

    use super::*;
    use crate::crypto::identity::LABEL_ENCRYPTED;
    use crate::crypto::{Identity, fixtures};

    const ENCRYPTED: &str = include_str!("../../tests/data/alice-encrypted.pem");

    fn fault(text: &str, passphrase: Option<&[u8]>) -> Option<IdentityFault> {
        Identity::from_pem(text, passphrase).err()
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let text = fixtures::alice().to_pem(Some(b"a passphrase"));
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let again = Identity::from_pem(&text, Some(b"a passphrase")).unwrap();
        assert_eq!(again.public(), fixtures::alice().public());
        assert_eq!(fault(&text, Some(b"another")), Some(IdentityFault::WrongPassphrase));
        assert_eq!(fault(&text, None), Some(IdentityFault::PassphraseNeeded));
    }

    #[test]
    fn another_encryption_or_a_dearer_one_is_refused_before_it_costs() {
        let pbkdf2 = include_str!("../../tests/data/alice-pbkdf2.pem");
        assert_eq!(fault(pbkdf2, Some(b"correct")), Some(IdentityFault::Encryption));

        let (_, document) = SecretDocument::from_pem(ENCRYPTED).unwrap();
        let mut sealed = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).unwrap();
        let write = |sealed: &EncryptedPrivateKeyInfoRef| {
            let document = SecretDocument::encode_msg(sealed).unwrap();
            document.to_pem(LABEL_ENCRYPTED, LineEnding::LF).unwrap()
        };
        assert_eq!(*write(&sealed), ENCRYPTED);
        let whole = sealed.encrypted_data;
        sealed.encrypted_data = OctetStringRef::new(&whole.as_bytes()[1..]).unwrap();
        assert_eq!(fault(&write(&sealed), Some(b"correct")), Some(IdentityFault::Damaged));
        sealed.encrypted_data = whole;
        for unfit in [0, 1 << 40] {
            let pkcs5::EncryptionScheme::Pbes2(parameters) = &mut sealed.encryption_algorithm
            else {
                panic!("OpenSSL wrote PBES2");
            };
            let Kdf::Scrypt(kdf) = &mut parameters.kdf else {
                panic!("OpenSSL was told to take scrypt");
            };
            kdf.cost_parameter = unfit;
            assert_eq!(fault(&write(&sealed), Some(b"correct")), Some(IdentityFault::Encryption));
        }
    }
}
