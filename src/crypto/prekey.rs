//! The short-lived keys, X25519 and ML-KEM-768, that sessions are opened to (`docs/protocol.md`,
//! section 4).

use std::fmt;

use super::hybrid::{HybridPair, Material, Sent};
use super::{PublicKey, Vault, tuple};
use crate::limits::{CLOCK_SKEW, PREKEY_LIFETIME};
use crate::wire::{Fingerprint, Prekey};

/// A prekey with its secret half: held in memory only, so that sessions opened to it stay closed
/// once it is gone.
pub struct PrekeyPair {
    id: u32,
    created_ms: u64,
    pair: HybridPair,
}

/// Why a prekey or a letter key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrekeyFault {
    /// Not signed by that key for that name.
    Signature,
    /// It is no longer valid.
    Expired,
    /// It was made further in the future than clocks may differ.
    ClockSkew,
    /// It is of small order: every agreement with it is all zero (RFC 7748, section 6.1).
    Weak,
    /// Its ML-KEM key is none: a coefficient is 3,329 or more (FIPS 203, section 7.2).
    Invalid,
}

impl PrekeyPair {
    /// A new pair, made at `created_ms` (milliseconds since 1970).
    pub fn new(vault: &dyn Vault, created_ms: u64) -> Self {
        let mut id = [0; 4];
        vault.random(&mut id);
        Self { id: u32::from_be_bytes(id), created_ms, pair: HybridPair::new(vault) }
    }

    /// The id under which sessions name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is given to the relay for others: the public halves, signed for the user `name`.
    pub fn publish(&self, vault: &dyn Vault, name: &str) -> Prekey {
        let mut prekey = self.unsigned();
        prekey.signature = vault.sign(&self.signed(&vault.public().fingerprint(), name));
        prekey
    }

    /// `tbs_prekey`, for the user `name` with the key of this fingerprint.
    pub(super) fn signed(&self, fp: &Fingerprint, name: &str) -> Vec<u8> {
        prekey_to_be_signed(name, fp, &self.unsigned())
    }

    fn unsigned(&self) -> Prekey {
        Prekey {
            id: self.id,
            created: self.created_ms,
            expires: self.created_ms.saturating_add(millis(PREKEY_LIFETIME)),
            x25519: self.pair.x25519,
            mlkem: Some(self.pair.mlkem.clone()),
            signature: Vec::new(),
        }
    }

    /// What comes of a session that was opened to this prekey; `None` where the sender's X25519 key
    /// is of small order.
    pub(super) fn open(&self, vault: &dyn Vault, sent: &Sent) -> Option<Material> {
        self.pair.open(vault, sent)
    }
}

/// Whether a session may be opened to `prekey`, handed out as that of the user `name` with the
/// pinned key `key`, at `now_ms` (milliseconds since 1970). The signature is checked first: without
/// it nothing else in the prekey can be believed.
pub fn check_prekey(
    vault: &dyn Vault,
    prekey: &Prekey,
    name: &str,
    key: &PublicKey,
    now_ms: u64,
) -> Result<(), PrekeyFault> {
    let signed = prekey_to_be_signed(name, &key.fingerprint(), prekey);
    if !vault.verify(key, &signed, &prekey.signature) {
        return Err(PrekeyFault::Signature);
    }
    check_times(prekey.created, prekey.expires, now_ms)
}

pub(super) fn check_times(created: u64, expires: u64, now_ms: u64) -> Result<(), PrekeyFault> {
    if expires <= now_ms {
        return Err(PrekeyFault::Expired);
    }
    if created > now_ms.saturating_add(millis(CLOCK_SKEW)) {
        return Err(PrekeyFault::ClockSkew);
    }
    Ok(())
}

/// `tbs_prekey`: the bytes that the owner signs; the prekey's own `signature` is not looked at.
pub fn prekey_to_be_signed(name: &str, fp: &Fingerprint, prekey: &Prekey) -> Vec<u8> {
    tuple(&[
        b"sealwax/v2/prekey",
        name.as_bytes(),
        &fp.0,
        &prekey.id.to_be_bytes(),
        &prekey.created.to_be_bytes(),
        &prekey.expires.to_be_bytes(),
        &prekey.x25519,
        prekey.mlkem.as_ref().map_or(&[][..], |key| key.as_slice()),
    ])
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for PrekeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "the key is not signed by the user's identity",
            Self::Expired => "the key has expired",
            Self::ClockSkew => "the key was made in the future: a clock is wrong",
            Self::Weak => "the X25519 key is of small order",
            Self::Invalid => "the ML-KEM key is invalid",
        })
    }
}

impl std::error::Error for PrekeyFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;
    use crate::limits::MLKEM_KEY;

    const NOW: u64 = 1_750_000_000_000;

    #[test]
    fn a_published_prekey_is_accepted_for_its_owner_and_nobody_else() {
        let (alice, bob) = fixtures::vaults();
        let prekey = PrekeyPair::new(&bob, NOW).publish(&bob, "bob");
        assert_eq!(check_prekey(&alice, &prekey, "bob", bob.public(), NOW), Ok(()));
        let for_another = check_prekey(&alice, &prekey, "bobby", bob.public(), NOW);
        assert_eq!(for_another, Err(PrekeyFault::Signature));
        let by_another = check_prekey(&alice, &prekey, "bob", alice.public(), NOW);
        assert_eq!(by_another, Err(PrekeyFault::Signature));
    }

    #[test]
    fn a_prekey_of_which_anything_was_changed_is_refused() {
        let (alice, bob) = fixtures::vaults();
        let prekey = PrekeyPair::new(&bob, NOW).publish(&bob, "bob");
        let changed = [
            Prekey { id: prekey.id ^ 1, ..prekey.clone() },
            Prekey { created: prekey.created + 1, ..prekey.clone() },
            Prekey { expires: prekey.expires + 1, ..prekey.clone() },
            Prekey { x25519: [9; 32], ..prekey.clone() },
            Prekey { mlkem: Some(Box::new([9; MLKEM_KEY])), ..prekey.clone() },
            Prekey { mlkem: None, ..prekey.clone() },
            Prekey { signature: Vec::new(), ..prekey.clone() },
        ];
        for prekey in changed {
            let refused = check_prekey(&alice, &prekey, "bob", bob.public(), NOW);
            assert_eq!(refused, Err(PrekeyFault::Signature), "{prekey:?}");
        }
    }

    #[test]
    fn a_prekey_is_good_for_48_hours_from_10_minutes_before_it_was_made() {
        let (alice, bob) = fixtures::vaults();
        let prekey = PrekeyPair::new(&bob, NOW).publish(&bob, "bob");
        let at = |now_ms| check_prekey(&alice, &prekey, "bob", bob.public(), now_ms);
        let (minute, hour) = (60_000, 3_600_000);
        assert_eq!(at(NOW - 10 * minute - 1), Err(PrekeyFault::ClockSkew));
        assert_eq!(at(NOW - 10 * minute), Ok(()));
        assert_eq!(at(NOW + 48 * hour - 1), Ok(()));
        assert_eq!(at(NOW + 48 * hour), Err(PrekeyFault::Expired));
    }
}
