//! Identity files: what is taken for a key is one that works.

use der::pem::{self, LineEnding};
use der::{Decode, SecretDocument};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use sealwax::crypto::{Identity, IdentityFault, IdentityVault, PublicKey, Secret, Vault};

/// What the first byte chooses: the rest is a text, or the DER in one.
const LABELS: [Option<&str>; 3] = [None, Some("PRIVATE KEY"), Some("ENCRYPTED PRIVATE KEY")];
/// N·r·p above which scrypt takes a fuzzer's time and finds nothing new.
const CHEAP: u64 = 1 << 8;
const LABEL: [u8; 32] = [7; 32];

/// See [`LABELS`].
pub fn identity(input: &[u8]) {
    let [form, content @ ..] = input else { return };
    let text = match LABELS[usize::from(*form) % LABELS.len()] {
        None => str::from_utf8(content).map(str::to_owned).ok(),
        Some(label) => pem::encode_string(label, LineEnding::LF, content).ok(),
    };
    let Some(text) = text else { return };
    match Identity::from_pem(&text, None) {
        Ok(identity) => works(identity),
        Err(IdentityFault::PassphraseNeeded) if is_cheap(&text) => {
            if let Ok(identity) = Identity::from_pem(&text, Some(b"correct")) {
                works(identity);
            }
        }
        Err(_) => {}
    }
}

/// Whether scrypt asks for little.
fn is_cheap(text: &str) -> bool {
    let Ok((_, document)) = SecretDocument::from_pem(text) else { return false };
    let sealed = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes());
    let Ok(EncryptionScheme::Pbes2(parameters)) = sealed.map(|sealed| sealed.encryption_algorithm)
    else {
        return false;
    };
    let Kdf::Scrypt(kdf) = parameters.kdf else { return false };
    let cost = kdf.cost_parameter.checked_mul(u64::from(kdf.block_size));
    let cost = cost.and_then(|cost| cost.checked_mul(u64::from(kdf.parallelization)));
    cost.is_some_and(|cost| cost <= CHEAP)
}

fn works(identity: Identity) {
    let again = Identity::from_pem(&identity.to_pem(None), None);
    assert_eq!(again.as_ref().map(Identity::public), Ok(identity.public()));
    assert_eq!(PublicKey::from_der(&identity.public().to_der()).as_ref(), Ok(identity.public()));

    let vault = IdentityVault::new(identity);
    assert!(vault.verify(vault.public(), b"text", &vault.sign(b"text")), "does not sign");
    let secret = Secret::filled(|secret| secret.fill(1));
    let wrapped = vault.wrap(vault.public(), &secret, &LABEL);
    assert_eq!(vault.unwrap(&wrapped, &LABEL).expose(), secret.expose(), "does not unwrap");
}
