//! The keys of version-2 users, made before any clock starts.
//!
//! Making an RSA key takes a second, nearly all of it for its two primes, and thousands of users
//! need hundreds of keys: a fingerprint may bind eight names. So keys share primes: of n primes
//! there are n(n-1)/2 products. As secrets they are worth nothing, because a common divisor of two
//! moduli reveals both keys; a relay cannot notice, and no user of a measurement has a secret.

use getrandom::SysRng;
use pkcs8::{EncodePrivateKey, LineEnding};
use rsa::BoxedUint;
use rsa::traits::PrivateKeyParts;

use crate::crypto::Identity;
use crate::limits::MAX_NAMES_PER_KEY;
use crate::limits::NEW_RSA_BITS;
use crate::wire::Fingerprint;

/// The public exponent of every RSA key here.
const EXPONENT: u32 = 65_537;

/// Keys for so many users.
pub struct Keys(Vec<Key>);

/// One key pair, with its texts, which are needed again and again.
pub(super) struct Key {
    pub(super) identity: Identity,
    pub(super) pem: String,
    pub(super) fp: Fingerprint,
}

impl Keys {
    /// Makes the keys for `users` users. `progress` is told how many of them are made, out of how
    /// many.
    ///
    /// # Panics
    /// When the kernel gives no randomness.
    pub fn new(users: u32, mut progress: impl FnMut(usize, usize)) -> Self {
        let count = (users as usize).div_ceil(MAX_NAMES_PER_KEY).max(1);
        let primes = primes(count);
        let pairs = (1..primes.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
        let mut keys = Vec::with_capacity(count);
        for (one, other) in pairs.take(count) {
            keys.push(Key::new(&primes[one], &primes[other]));
            progress(keys.len(), count);
        }
        Self(keys)
    }

    /// The key of a user.
    pub(super) fn of(&self, user: u32) -> &Key {
        &self.0[user as usize / MAX_NAMES_PER_KEY % self.0.len()]
    }
}

impl Key {
    fn new(one: &BoxedUint, other: &BoxedUint) -> Self {
        let (less, more) = if one < other { (one, other) } else { (other, one) };
        let key = rsa::PrivateKey::from_p_q(more.clone(), less.clone(), EXPONENT.into());
        let pem = key.map(|key| key.to_pkcs8_pem(LineEnding::LF));
        let identity = match &pem {
            Ok(Ok(pem)) => Identity::from_pem(pem, None),
            _ => unreachable!("two primes of the same length make a key"),
        };
        let identity =
            identity.unwrap_or_else(|fault| unreachable!("a whole key is read: {fault}"));
        let (pem, fp) = (identity.public().to_pem(), identity.public().fingerprint());
        Self { identity, pem, fp }
    }
}

/// Enough different primes for `keys` products of two, all with their two highest bits set: so each
/// product is of full length.
fn primes(keys: usize) -> Vec<BoxedUint> {
    let mut primes: Vec<BoxedUint> = Vec::new();
    while primes.len() * primes.len().saturating_sub(1) / 2 < keys {
        let key = rsa::PrivateKey::new(&mut SysRng, NEW_RSA_BITS);
        let key = key.unwrap_or_else(|error| panic!("no key could be made: {error}"));
        primes.extend(key.primes().iter().map(|prime| prime.as_ref().clone()));
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_users_share_a_key_and_each_key_signs() {
        let mut told = Vec::new();
        let keys = Keys::new(20, |made, of| told.push((made, of)));
        assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
        assert!(keys.of(0).fp == keys.of(7).fp && keys.of(7).fp != keys.of(8).fp);
        for user in [0, 8, 16] {
            let identity = &keys.of(user).identity;
            assert!(identity.public().verify(b"text", &identity.sign(b"text")));
        }
    }
}
