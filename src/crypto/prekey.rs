//! The short-lived X25519 key that sessions are opened to (`docs/protocol.md`, section 4).

use std::fmt;

use super::{PublicKey, Secret, Vault, tuple};
use crate::limits::{CLOCK_SKEW, PREKEY_LIFETIME};
use crate::wire::{Fingerprint, Prekey};

/// A prekey with its secret half: held in memory only, so that sessions opened to it stay closed
/// once it is gone.
pub struct PrekeyPair {
    id: u32,
    created_ms: u64,
    secret: Secret<32>,
    public: [u8; 32],
}

/// Why a prekey was refused.
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
}

impl PrekeyPair {
    /// A new pair, made at `created_ms` (milliseconds since 1970).
    pub fn new(vault: &dyn Vault, created_ms: u64) -> Self {
        let mut id = [0; 4];
        vault.random(&mut id);
        let secret = Secret::filled(|secret| vault.random(secret));
        let public = vault.exchange_key(&secret);
        Self { id: u32::from_be_bytes(id), created_ms, secret, public }
    }

    /// The id under which sessions name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is given to the relay for others: the public half, signed for the user `name`.
    pub fn publish(&self, vault: &dyn Vault, name: &str) -> Prekey {
        let mut prekey = Prekey {
            id: self.id,
            created: self.created_ms,
            expires: self.created_ms.saturating_add(millis(PREKEY_LIFETIME)),
            x25519: self.public,
            mlkem: None,
            signature: Vec::new(),
        };
        let fp = vault.public().fingerprint();
        prekey.signature = vault.sign(&prekey_to_be_signed(name, &fp, &prekey));
        prekey
    }

    /// X25519 with the key of who opens a session to this prekey.
    pub(super) fn agree(&self, vault: &dyn Vault, theirs: &[u8; 32]) -> Option<Secret<32>> {
        vault.agree(&self.secret, theirs)
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
    if prekey.expires <= now_ms {
        return Err(PrekeyFault::Expired);
    }
    if prekey.created > now_ms.saturating_add(millis(CLOCK_SKEW)) {
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
        // Kept for an ML-KEM key.
        b"",
    ])
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for PrekeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "the prekey is not signed by the user's key",
            Self::Expired => "the prekey has expired",
            Self::ClockSkew => "the prekey was made in the future: a clock is wrong",
            Self::Weak => "the prekey is of small order",
        })
    }
}

impl std::error::Error for PrekeyFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;

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
