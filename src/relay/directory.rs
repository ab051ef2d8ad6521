//! Whose a name is: who holds it now, and which key it is bound to.
//!
//! Knows names, fingerprints and tokens; no connections, no keys, no disk. All that the relay asks about
//! names it asks here, so that another directory (one shared by several relays) can take its place.
//!
//! A name is *held* by the connection that is registered under it, and *bound*, for good, to the fingerprint
//! that was first proven under it. Between a first proof and the store's word that it is kept, the name is
//! *reserved*: held by the connection that waits, and bound to nobody yet.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, DefaultHasher, Hasher};

use super::user_name::UserName;
use crate::limits::{MAX_BOUND_NAMES, MAX_NAMES_PER_KEY};
use crate::reactor::Token;
use crate::wire::{ErrorCode, Fingerprint};

/// The names.
pub(super) struct Directory {
    held: HashMap<UserName, Token, Seeded>,
    bound: HashMap<UserName, Fingerprint, Seeded>,
    /// How many names are bound to a fingerprint or reserved for it.
    names_of: HashMap<Fingerprint, usize, Seeded>,
    /// What the store was asked to bind, by the number of the ask.
    reserved: BTreeMap<u64, Reservation>,
    asked: u64,
}

/// A name that the store is binding.
pub(super) struct Reservation {
    pub(super) name: UserName,
    pub(super) fp: Fingerprint,
    /// The connection that waits for it; it may be gone by now.
    pub(super) by: Token,
}

/// What stands between a proven claim and its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: the name is bound to this fingerprint.
    Bound,
    /// The name is free, and has to be bound first.
    Free,
}

impl Directory {
    /// A directory in which these names are bound. `seed` keeps strangers from choosing names that collide
    /// in the tables.
    pub(super) fn new(
        seed: [u8; 16],
        bound: impl IntoIterator<Item = (String, Fingerprint)>,
    ) -> Self {
        let seeded = Seeded::new(seed);
        let mut directory = Self {
            held: HashMap::with_hasher(seeded.clone()),
            bound: HashMap::with_hasher(seeded.clone()),
            names_of: HashMap::with_hasher(seeded),
            reserved: BTreeMap::new(),
            asked: 0,
        };
        for (name, fp) in bound {
            directory.bound.insert(UserName::new(&name), fp);
            *directory.names_of.entry(fp).or_default() += 1;
        }
        directory
    }

    /// The connection that holds `name`; it may still be waiting for the store.
    pub(super) fn holder(&self, name: &str) -> Option<Token> {
        self.held.get(name).copied()
    }

    /// Whether a connection may hold `name` without a proof, as original clients do.
    pub(super) fn check_original(&self, name: &str) -> Result<(), ErrorCode> {
        if self.bound.contains_key(name) {
            return Err(ErrorCode::NameBound);
        }
        if self.held.contains_key(name) { Err(ErrorCode::NameInUse) } else { Ok(()) }
    }

    /// Whether a connection that has proven `fp` may hold `name`, instead of whoever holds it now.
    pub(super) fn check(&self, name: &str, fp: &Fingerprint) -> Result<Standing, ErrorCode> {
        match self.bound.get(name) {
            Some(owner) if owner == fp => return Ok(Standing::Bound),
            Some(_) => return Err(ErrorCode::NameBound),
            None => {}
        }
        if self.held.contains_key(name) {
            return Err(ErrorCode::NameInUse);
        }
        let names = self.names_of.get(fp).copied().unwrap_or_default();
        let in_all = self.bound.len() + self.reserved.len();
        if names >= MAX_NAMES_PER_KEY || in_all >= MAX_BOUND_NAMES {
            return Err(ErrorCode::DirectoryFull);
        }
        Ok(Standing::Free)
    }

    /// `name` is `by`'s from now on.
    pub(super) fn hold(&mut self, name: &UserName, by: Token) {
        self.held.insert(name.clone(), by);
    }

    /// `by` no longer holds `name`.
    pub(super) fn release(&mut self, name: &UserName, by: Token) {
        if self.holder(name.as_str()) == Some(by) {
            self.held.remove(name);
        }
    }

    /// Keeps a free name for `by` until [`settle`](Self::settle), which is to be told the number returned.
    pub(super) fn reserve(&mut self, name: &UserName, fp: Fingerprint, by: Token) -> u64 {
        debug_assert_eq!(self.check(name.as_str(), &fp), Ok(Standing::Free));
        self.hold(name, by);
        *self.names_of.entry(fp).or_default() += 1;
        self.asked += 1;
        self.reserved.insert(self.asked, Reservation { name: name.clone(), fp, by });
        self.asked
    }

    /// What became of a reservation: the name is bound, or free again. Either way nobody holds it.
    pub(super) fn settle(&mut self, number: u64, bound: bool) -> Option<Reservation> {
        let reservation = self.reserved.remove(&number)?;
        let Reservation { name, fp, by } = &reservation;
        self.release(name, *by);
        if bound {
            self.bound.insert(name.clone(), *fp);
        } else if let Some(names) = self.names_of.get_mut(fp) {
            *names -= 1;
            if *names == 0 {
                self.names_of.remove(fp);
            }
        }
        Some(reservation)
    }
}

/// Hashes with a secret start (SipHash, as the standard library's own), which is handed in: so a run can be
/// repeated.
#[derive(Clone)]
struct Seeded(DefaultHasher);

impl Seeded {
    fn new(seed: [u8; 16]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&seed);
        Self(hasher)
    }
}

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}
