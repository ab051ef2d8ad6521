//! The keys that letters are sealed to while their recipient is away (`docs/protocol.md`, section
//! 10).

use super::hybrid::{HybridPair, Material, Sent};
use super::prekey::{check_times, millis};
use super::{PrekeyFault, PublicKey, Secret, Vault, tuple};
use crate::limits::{LETTER_KEY_LIFETIME, LETTER_KEY_ROUNDING};
use crate::wire::{Fingerprint, LetterKey};

/// A letter key with its secret half. Unlike a prekey's it has to outlive the process: see
/// [`LetterKeyPair::to_stored`].
pub struct LetterKeyPair {
    id: u32,
    created_ms: u64,
    pair: HybridPair,
}

impl LetterKeyPair {
    /// The length of the secret half, in bytes: that of X25519, then the seed of ML-KEM.
    pub const STORED_LEN: usize = 32 + 64;

    /// A new pair. Its `created` is `created_ms` (milliseconds since 1970) rounded down to the day,
    /// so that it does not tell when its owner last started.
    pub fn new(vault: &dyn Vault, created_ms: u64) -> Self {
        let mut id = [0; 4];
        vault.random(&mut id);
        let created_ms = created_ms - created_ms % millis(LETTER_KEY_ROUNDING);
        Self { id: u32::from_be_bytes(id), created_ms, pair: HybridPair::new(vault) }
    }

    /// The pair whose secret half is `stored`, with the id and the `created` that it had; `None`
    /// where `stored` has another length than [`STORED_LEN`](Self::STORED_LEN).
    pub fn from_stored(vault: &dyn Vault, id: u32, created_ms: u64, stored: &[u8]) -> Option<Self> {
        let (x25519, seed) = stored.split_first_chunk()?;
        let seed: &[u8; 64] = seed.try_into().ok()?;
        let x25519 = Secret::filled(|secret| *secret = *x25519);
        let seed = Secret::filled(|secret| *secret = *seed);
        Some(Self { id, created_ms, pair: HybridPair::from_secrets(vault, x25519, seed) })
    }

    /// The secret half, to be [sealed](super::seal_at_rest) and kept.
    pub fn to_stored(&self) -> Secret<{ Self::STORED_LEN }> {
        let (x25519, seed) = self.pair.secrets();
        Secret::filled(|stored| {
            stored[..32].copy_from_slice(x25519.expose());
            stored[32..].copy_from_slice(seed.expose());
        })
    }

    /// The id under which letters name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its `created`: milliseconds since 1970, rounded down to the day.
    pub fn created(&self) -> u64 {
        self.created_ms
    }

    /// What is given to the relay for others: the public halves, signed for the user `name`.
    pub fn publish(&self, vault: &dyn Vault, name: &str) -> LetterKey {
        let mut key = self.unsigned();
        key.signature = vault.sign(&self.signed(&vault.public().fingerprint(), name));
        key
    }

    /// `tbs_letterkey`, for the user `name` with the key of this fingerprint.
    pub(super) fn signed(&self, fp: &Fingerprint, name: &str) -> Vec<u8> {
        to_be_signed(name, fp, &self.unsigned())
    }

    fn unsigned(&self) -> LetterKey {
        LetterKey {
            id: self.id,
            created: self.created_ms,
            expires: self.created_ms.saturating_add(millis(LETTER_KEY_LIFETIME)),
            x25519: self.pair.x25519,
            mlkem: self.pair.mlkem.clone(),
            signature: Vec::new(),
        }
    }

    /// What comes of a letter that was sealed to this key; `None` where the sender's X25519 key is
    /// of small order.
    pub(super) fn open(&self, vault: &dyn Vault, sent: &Sent) -> Option<Material> {
        self.pair.open(vault, sent)
    }
}

/// Whether a letter may be sealed to `key`, handed out as that of the user `name` with the pinned
/// key `owner`, at `now_ms` (milliseconds since 1970). The signature is checked first: without it
/// nothing else in the key can be believed.
pub fn check_letter_key(
    vault: &dyn Vault,
    key: &LetterKey,
    name: &str,
    owner: &PublicKey,
    now_ms: u64,
) -> Result<(), PrekeyFault> {
    let signed = to_be_signed(name, &owner.fingerprint(), key);
    if !vault.verify(owner, &signed, &key.signature) {
        return Err(PrekeyFault::Signature);
    }
    check_times(key.created, key.expires, now_ms)
}

/// `tbs_letterkey`.
pub(super) fn to_be_signed(name: &str, fp: &Fingerprint, key: &LetterKey) -> Vec<u8> {
    tuple(&[
        b"sealwax/v2/letterkey",
        name.as_bytes(),
        &fp.0,
        &key.id.to_be_bytes(),
        &key.created.to_be_bytes(),
        &key.expires.to_be_bytes(),
        &key.x25519,
        key.mlkem.as_slice(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;
    use crate::limits::MLKEM_KEY;

    const NOW: u64 = 1_750_000_000_000;
    const DAY: u64 = 24 * 3_600_000;

    #[test]
    fn a_published_key_is_accepted_for_its_owner_and_nobody_else() {
        let (alice, bob) = fixtures::vaults();
        let key = LetterKeyPair::new(&bob, NOW).publish(&bob, "bob");
        assert_eq!(check_letter_key(&alice, &key, "bob", bob.public(), NOW), Ok(()));
        let signature = Err(PrekeyFault::Signature);
        assert_eq!(check_letter_key(&alice, &key, "bobby", bob.public(), NOW), signature);
        assert_eq!(check_letter_key(&alice, &key, "bob", alice.public(), NOW), signature);
        let changed = [
            LetterKey { id: key.id ^ 1, ..key.clone() },
            LetterKey { created: key.created + 1, ..key.clone() },
            LetterKey { expires: key.expires + 1, ..key.clone() },
            LetterKey { x25519: [9; 32], ..key.clone() },
            LetterKey { mlkem: Box::new([9; MLKEM_KEY]), ..key.clone() },
            LetterKey { signature: Vec::new(), ..key.clone() },
        ];
        for key in changed {
            assert_eq!(check_letter_key(&alice, &key, "bob", bob.public(), NOW), signature);
        }
    }

    /// They have the same members, so only what is signed tells them apart.
    #[test]
    fn a_prekey_is_no_letter_key() {
        let (alice, bob) = fixtures::vaults();
        let prekey = crate::crypto::PrekeyPair::new(&bob, NOW).publish(&bob, "bob");
        let key = LetterKey {
            id: prekey.id,
            created: prekey.created,
            expires: prekey.expires,
            x25519: prekey.x25519,
            mlkem: prekey.mlkem.unwrap(),
            signature: prekey.signature,
        };
        let refused = check_letter_key(&alice, &key, "bob", bob.public(), NOW);
        assert_eq!(refused, Err(PrekeyFault::Signature));
    }

    #[test]
    fn a_key_tells_the_day_alone_and_is_good_for_90_of_them() {
        let (alice, bob) = fixtures::vaults();
        let pair = LetterKeyPair::new(&bob, NOW);
        assert_eq!(pair.created() % DAY, 0);
        assert!((NOW - DAY + 1..=NOW).contains(&pair.created()));
        let key = pair.publish(&bob, "bob");
        let at = |now_ms| check_letter_key(&alice, &key, "bob", bob.public(), now_ms);
        assert_eq!(at(pair.created() - 10 * 60_000 - 1), Err(PrekeyFault::ClockSkew));
        assert_eq!(at(pair.created() + 90 * DAY - 1), Ok(()));
        assert_eq!(at(pair.created() + 90 * DAY), Err(PrekeyFault::Expired));
    }

    #[test]
    fn a_key_that_was_stored_is_the_same_key() {
        let (_, bob) = fixtures::vaults();
        let pair = LetterKeyPair::new(&bob, NOW);
        let stored = pair.to_stored();
        let again = LetterKeyPair::from_stored(&bob, pair.id(), pair.created(), stored.expose());
        let again = again.unwrap();
        assert_eq!(again.unsigned(), pair.unsigned());
        assert_eq!(again.to_stored().expose(), stored.expose());
        for stored in [&stored.expose()[1..], &[0; 97], &[]] {
            assert!(LetterKeyPair::from_stored(&bob, 1, 2, stored).is_none());
        }
    }
}
