//! Keys and known answers for the tests. The keys were made once, because making RSA keys is slow.

use serde_json::Value;

use super::{Identity, IdentityVault};

pub(super) fn alice() -> Identity {
    Identity::from_pem(include_str!("../../tests/data/alice.pem"), None).unwrap()
}

pub(super) fn bob() -> Identity {
    Identity::from_pem(include_str!("../../tests/data/bob.pem"), None).unwrap()
}

/// The vaults of Alice and Bob.
pub(super) fn vaults() -> (IdentityVault, IdentityVault) {
    (IdentityVault::new(alice()), IdentityVault::new(bob()))
}

/// `docs/vectors.json`: made by `tests/python/known_answers.py`.
pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap()
}

/// The bytes of a JSON string of hexadecimal digits.
pub(super) fn hex<const N: usize>(text: &Value) -> [u8; N] {
    let text = text.as_str().unwrap();
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}
