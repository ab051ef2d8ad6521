//! The keys of `tests/data`, and what looks like a key.

use std::path::Path;

use sealwax::crypto::{Identity, PublicKey};
use sealwax::limits::MLKEM_KEY;
use sealwax::wire::LetterKey;

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

/// A letter key of this id; nobody has its secret half, and its signature holds for nobody.
pub fn letter_key(id: u32, created: u64, expires: u64) -> LetterKey {
    let mlkem = Box::new([7; MLKEM_KEY]);
    LetterKey { id, created, expires, x25519: [8; 32], mlkem, signature: vec![9; 384] }
}
