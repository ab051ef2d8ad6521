//! Keys for the tests: made once, for making RSA keys is slow.

use super::{Identity, IdentityVault};

pub(crate) fn alice() -> Identity {
    Identity::from_pem(include_str!("../../tests/data/alice.pem"), None).unwrap()
}

pub(crate) fn bob() -> Identity {
    Identity::from_pem(include_str!("../../tests/data/bob.pem"), None).unwrap()
}

/// The vaults of Alice and Bob.
pub(crate) fn vaults() -> (IdentityVault, IdentityVault) {
    (IdentityVault::new(alice()), IdentityVault::new(bob()))
}
