//! Public keys, as PEM and as DER: what is taken has one form, and the libraries take it too.

use std::sync::LazyLock;

use rsa::PublicKey as RsaKey;
use sealwax::crypto::{Identity, IdentityVault, PublicKey, Secret, Vault};
use sealwax::limits::{MAX_RSA_BITS, MIN_RSA_BITS};
use spki::{DecodePublicKey, EncodePublicKey};

/// The input is a PEM text and a DER.
pub fn public_key(input: &[u8]) {
    if let Ok(key) = PublicKey::from_der(input) {
        assert_eq!(key.to_der(), input, "a DER that could be written otherwise");
        check(&key);
    }
    if let Some(Ok(key)) = str::from_utf8(input).ok().map(PublicKey::from_pem) {
        assert_eq!(PublicKey::from_der(&key.to_der()).as_ref(), Ok(&key));
        check(&key);
    }
}

fn check(key: &PublicKey) {
    assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(key));
    assert!((MIN_RSA_BITS..=MAX_RSA_BITS).contains(&key.bits()));

    let Ok(same) = RsaKey::from_public_key_der(&key.to_der()) else { panic!("refused by `rsa`") };
    let written = same.to_public_key_der().map(|document| document.as_bytes().to_vec());
    assert_eq!(written.as_deref(), Ok(&*key.to_der()));

    assert!(!key.verify(b"text", &vec![1; key.bits().div_ceil(8)]));
    let wrapped = ANYBODY.wrap(key, &Secret::filled(|secret| secret.fill(1)), &[2; 32]);
    assert_eq!(wrapped.len(), key.bits().div_ceil(8));
}

/// Whoever wraps: it is the other's key that counts.
static ANYBODY: LazyLock<IdentityVault> = LazyLock::new(|| {
    let identity = Identity::from_pem(include_str!("../../tests/data/alice.pem"), None);
    IdentityVault::new(identity.unwrap_or_else(|fault| panic!("Alice's key: {fault}")))
});
