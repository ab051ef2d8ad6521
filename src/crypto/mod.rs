//! RSA, X25519, ML-KEM, AES-GCM and HKDF behind a few types that cannot be misused.
//!
//! Pure: it knows no files, no clock, no sockets. What needs randomness or much time is behind two
//! small traits, [`Vault`] (the client's side) and [`Notary`] (the relay's side), which a
//! simulation fakes.
//!
//! Read in this order (`docs/protocol.md` has the formulas):
//!
//! | file | what it holds | section |
//! |---|---|---|
//! | `transcript` | `T`, the tuples that are signed and hashed, and `H` | 3 |
//! | `secret` | bytes that are erased | 4 |
//! | `public_key` | an RSA public key, parsed strictly | 2 "Keys" |
//! | `identity`, `passphrase` | a user's RSA key and its file's text | 4 |
//! | `relay_key`, `proof` | the relay's key, and what is signed at registration | 2 "Proof" |
//! | `vault` | the seams | |
//! | `kem`, `hybrid` | ML-KEM, and what it, X25519 and RSA give together | 5 |
//! | `prekey` | the short-lived keys that sessions are opened to | 4 |
//! | `session` | opening a session, and accepting one; `offer` is its form | 5 |
//! | `message` | sealing and opening the messages of a session; `sealed` is their form | 6 |
//! | `body`, `chain` | what a message says, and the keys that seal it | 6 |
//! | `letter_key` | the key that letters are sealed to while their recipient is away | 10 |
//! | `letter` | sealing and opening a letter; `letter_header` is its form | 10 |
//! | `at_rest` | what a client keeps sealed on its disk | 10 |
//! | `safety` | the digits that two people compare | 4 |
//!
//! `rsa` makes keys, wraps and reads PKCS#8; `ring` signs, verifies and seals; `x25519-dalek`
//! agrees, `ml-kem` encapsulates.

mod at_rest;
mod body;
mod chain;
#[cfg(test)]
mod fixtures;
mod hybrid;
mod identity;
mod kem;
mod letter;
mod letter_header;
mod letter_key;
mod message;
mod offer;
mod passphrase;
mod prekey;
mod proof;
mod public_key;
mod relay_key;
mod safety;
mod sealed;
mod secret;
mod session;
mod transcript;
mod vault;
#[cfg(test)]
mod wycheproof;

pub use at_rest::{open_at_rest, seal_at_rest};
pub use body::{Body, Mid, TooLong};
pub use identity::{Identity, IdentityFault};
pub use kem::KemCiphertext;
pub use letter::{Letter, LetterFault, SealFault, VerifiedLetter, seal_letter};
pub use letter_key::{LetterKeyPair, check_letter_key};
pub use message::{MessageFault, Opened, ReceiveChain, SendChain};
pub use prekey::{PrekeyFault, PrekeyPair, check_prekey, prekey_to_be_signed};
pub use proof::{register_proof, relay_challenge};
pub use public_key::{KeyFault, PublicKey};
pub use relay_key::{RelayKey, RelayKeyFault, verify_relay};
pub use safety::safety_number;
pub use sealed::SealedMessage;
pub use secret::Secret;
pub use session::{Names, OfferFault, SessionOffer, Sid, VerifiedOffer, open_session};
pub use transcript::{sha256, tuple};
pub use vault::{IdentityVault, Notary, RelayNotary, Vault};
