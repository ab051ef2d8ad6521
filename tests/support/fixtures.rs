//! The keys of `tests/data`.

use std::path::Path;

use sealwax::crypto::{Identity, PublicKey};

/// A fixture key.
pub fn identity(name: &str) -> Identity {
    Identity::from_pem(&pem(name), None).expect("a key")
}

/// The file of a fixture key.
pub fn pem(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::fs::read_to_string(data.join(format!("{name}.pem"))).expect("a fixture")
}

/// The public half of a fixture key.
pub fn public(name: &str) -> PublicKey {
    identity(name).public().clone()
}
