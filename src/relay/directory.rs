//! Whose a name is: who holds it now, and which key it is bound to.
//!
//! Knows names, fingerprints and tokens; no connections, no keys, no disk. All that the relay asks
//! about names it asks here, so that another directory (one shared by several relays) can take its
//! place.
//!
//! A name is *held* by the connection that is registered under it, and *bound*, for good, to the
//! fingerprint that was first proven under it. Between a first proof and the store's word that it
//! is kept, the name is *reserved*: nobody else can have it, and nobody has it yet.
//!
//! Which name a connection holds is kept with the connection ([`Holders`]), and only there: each
//! further index is memory for each user.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use super::bindings::Bindings;
use super::fault::Fault;
use super::index::Index;
use super::keyed::Keyed;
use super::limits::MAX_BOUND_NAMES;
use super::user_name::UserName;
use crate::limits::MAX_NAMES_PER_KEY;
use crate::reactor::Token;
use crate::wire::{ErrorCode, Fingerprint};

/// Those who can hold names.
pub(super) trait Holders {
    /// The connection in this slot, and the name that it holds, if it does.
    fn in_slot(&self, slot: usize) -> Option<(Token, &UserName)>;
}

/// Names that are found without a look into the index: a power of two.
const RECENT: usize = 1024;

/// The names.
pub(super) struct Directory {
    keyed: Keyed,
    /// The slots of the connections that hold a name.
    held: Index,
    /// Who was found lately, each at the place of its name: what it holds is looked at, and where
    /// that is another name, the index is asked.
    recent: Box<[Cell<Option<Token>>]>,
    /// Spreads names over those places: odd, and unknown to strangers.
    factor: u64,
    bound: Bindings,
    /// What the store was asked to bind, by the number of the request.
    reserved: BTreeMap<u64, Reservation>,
    /// The names in there.
    reserved_names: HashSet<UserName, Keyed>,
    asked: u64,
}

/// A name that the store is binding.
struct Reservation {
    name: UserName,
    fp: Fingerprint,
    by: Token,
}

/// What is still missing between a proven claim and its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// Nothing: the name is bound to this fingerprint.
    Bound,
    /// The name is free, and has to be bound first.
    Free,
}

impl Directory {
    /// A directory in which these names are bound, for so many `holders` at one time. `seed` keeps
    /// strangers from choosing names that collide in the tables.
    pub(super) fn new(
        seed: [u8; 16],
        holders: usize,
        bound: impl IntoIterator<Item = (String, Fingerprint)>,
    ) -> Self {
        let keyed = Keyed::new(seed);
        let mut directory = Self {
            held: Index::with_capacity(holders),
            recent: vec![Cell::new(None); RECENT].into(),
            factor: keyed.hash(b"recent") | 1,
            bound: Bindings::new(keyed.clone()),
            reserved: BTreeMap::new(),
            reserved_names: HashSet::with_hasher(keyed.clone()),
            keyed,
            asked: 0,
        };
        for (name, fp) in bound {
            directory.bound.insert(UserName::new(&name), fp);
        }
        directory
    }

    /// The connection that holds `name`.
    pub(super) fn holder(&self, name: impl AsRef<[u8]>, holders: &impl Holders) -> Option<Token> {
        let name = name.as_ref();
        let is_its = |slot| holders.in_slot(slot).filter(|(_, its)| its.is(name));
        let recent = &self.recent[self.place_of(name)];
        if let Some(token) = recent.get()
            && is_its(token.slot()).is_some_and(|(holder, _)| holder == token)
        {
            return Some(token);
        }
        let found = self.held.find_map(self.keyed.hash(name), |slot| Some(is_its(slot)?.0));
        if found.is_some() {
            recent.set(found);
        }
        found
    }

    /// Where `name` has its place among the recent ones. Names differ most in their last bytes, and
    /// two that share a place are found in the index.
    fn place_of(&self, name: &[u8]) -> usize {
        let mut end = [0; 8];
        match name.last_chunk() {
            Some(last) => end = *last,
            None => end[..name.len()].copy_from_slice(name),
        }
        // A product spreads the lower bits over all above them: twice, so that each bit of the name
        // reaches each bit of the place. Once is not enough for names that count up: with some
        // factors many of them shared their places.
        let spread = |word: u64| (word ^ word >> 32).wrapping_mul(self.factor);
        let word = spread(spread(u64::from_le_bytes(end) ^ name.len() as u64));
        usize::try_from(word >> (64 - RECENT.trailing_zeros())).unwrap_or_default()
    }

    /// How many names are held, and how many the store is binding.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.held.len() + self.reserved.len(), self.reserved.len())
    }

    /// How many names are bound.
    pub(super) const fn bound_count(&self) -> usize {
        self.bound.len()
    }

    /// Whether a connection may hold `name` without a proof, as original clients do.
    pub(super) fn check_original(&self, name: &str, holders: &impl Holders) -> Result<(), Fault> {
        if self.bound.owner(name).is_some() {
            return Err(name_bound());
        }
        if self.is_taken(name, holders) { Err(name_in_use()) } else { Ok(()) }
    }

    /// Whether a connection that has proven `fp` may hold `name`, instead of whoever holds it now.
    pub(super) fn check(
        &self,
        name: &str,
        fp: &Fingerprint,
        holders: &impl Holders,
    ) -> Result<Availability, Fault> {
        match self.bound.owner(name) {
            Some(owner) if owner == fp => return Ok(Availability::Bound),
            Some(_) => return Err(name_bound()),
            None => {}
        }
        if self.is_taken(name, holders) {
            return Err(name_in_use());
        }
        let reserved = self.reserved.values().filter(|it| it.fp == *fp).count();
        if self.bound.count_of(fp) + reserved >= MAX_NAMES_PER_KEY {
            return Err(Fault::new(
                ErrorCode::DirectoryFull,
                "the key has as many names as it may",
            ));
        }
        if self.bound.len() + self.reserved.len() >= MAX_BOUND_NAMES {
            return Err(Fault::new(ErrorCode::DirectoryFull, "no further name can be bound"));
        }
        Ok(Availability::Free)
    }

    /// The key that `name` is bound to.
    pub(super) fn bound_to(&self, name: &str) -> Option<&Fingerprint> {
        self.bound.owner(name)
    }

    /// Some bound names and their keys, from a place on, and the place behind them, if more follow.
    pub(super) fn bound_from(
        &self,
        place: usize,
        count: usize,
    ) -> (impl Iterator<Item = (&str, &Fingerprint)>, Option<usize>) {
        self.bound.from(place, count)
    }

    /// Whether the store is to be told that the user of `name`, if it is bound, was connected on
    /// `day`.
    pub(super) fn is_news(&self, name: &str, day: u32) -> bool {
        self.bound.is_news(name, day)
    }

    /// The store was told.
    pub(super) fn noted(&mut self, name: &str, day: u32) {
        self.bound.noted(name, day);
    }

    /// Unbinds `name`: the next user who proves it gets it. Returns whether it was bound.
    pub(super) fn unbind(&mut self, name: &str) -> bool {
        self.bound.remove(name)
    }

    /// `by` holds `name` from now on. Nobody held it before.
    pub(super) fn hold(&mut self, name: &UserName, by: Token) {
        self.held.insert(self.keyed.hash(name.as_bytes()), by.slot());
    }

    /// `by` no longer holds `name`.
    pub(super) fn release(&mut self, name: &UserName, by: Token) {
        let recent = &self.recent[self.place_of(name.as_bytes())];
        recent.set(recent.get().filter(|&token| token != by));
        self.held.remove(self.keyed.hash(name.as_bytes()), by.slot());
    }

    fn is_taken(&self, name: &str, holders: &impl Holders) -> bool {
        self.reserved_names.contains(name) || self.holder(name, holders).is_some()
    }

    /// Keeps a free name for `by` until [`settle`](Self::settle), which is to be told the number
    /// returned.
    pub(super) fn reserve(&mut self, name: &UserName, fp: Fingerprint, by: Token) -> u64 {
        debug_assert!(self.bound.owner(name.as_str()).is_none(), "it was checked");
        let is_new = self.reserved_names.insert(name.clone());
        debug_assert!(is_new, "it was checked");
        self.asked += 1;
        self.reserved.insert(self.asked, Reservation { name: name.clone(), fp, by });
        self.asked
    }

    /// Ends a reservation: the name is bound or free again, and nobody holds it yet. Returns the
    /// connection that waited for it, which may be gone by now.
    pub(super) fn settle(&mut self, number: u64, bound: bool) -> Option<Token> {
        let Reservation { name, fp, by } = self.reserved.remove(&number)?;
        self.reserved_names.remove(&name);
        if bound {
            self.bound.insert(name, fp);
        }
        Some(by)
    }
}

fn name_bound() -> Fault {
    Fault::new(ErrorCode::NameBound, "the name is bound to another key")
}

fn name_in_use() -> Fault {
    Fault::new(ErrorCode::NameInUse, "another connection holds the name")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const ALICE: Fingerprint = Fingerprint([1; 32]);
    const EVE: Fingerprint = Fingerprint([2; 32]);

    fn connection(slot: u32) -> Token {
        Token::new(slot, NonZeroU32::MIN)
    }

    /// Whoever is registered.
    #[derive(Default)]
    struct Room(BTreeMap<usize, (Token, UserName)>);

    impl Holders for Room {
        fn in_slot(&self, slot: usize) -> Option<(Token, &UserName)> {
            self.0.get(&slot).map(|(token, name)| (*token, name))
        }
    }

    /// A directory, and nobody there.
    fn empty() -> (Directory, Room) {
        (Directory::new([7; 16], 8, []), Room::default())
    }

    /// `by` is registered under a name.
    fn hold((directory, room): (&mut Directory, &mut Room), name: &UserName, by: Token) {
        directory.hold(name, by);
        room.0.insert(by.slot(), (by, name.clone()));
    }

    fn code<T>(result: Result<T, Fault>) -> Option<ErrorCode> {
        result.err().map(|fault| fault.code)
    }

    #[test]
    fn a_name_that_was_proven_is_one_keys_for_good() {
        let (mut directory, mut room) = empty();
        let (name, first) = (UserName::new("alice"), connection(1));
        assert_eq!(directory.check("alice", &ALICE, &room), Ok(Availability::Free));
        let number = directory.reserve(&name, ALICE, first);
        assert_eq!(directory.settle(number, true), Some(first));
        hold((&mut directory, &mut room), &name, first);
        assert_eq!(directory.holder("alice", &room), Some(first));
        for _ in 0..2 {
            assert_eq!(directory.check("alice", &ALICE, &room), Ok(Availability::Bound));
            assert_eq!(code(directory.check("alice", &EVE, &room)), Some(ErrorCode::NameBound));
            assert_eq!(code(directory.check_original("alice", &room)), Some(ErrorCode::NameBound));
            directory.release(&name, first);
        }
        assert_eq!(directory.holder("alice", &room), None);
    }

    #[test]
    fn a_name_that_is_being_bound_is_nobody_elses() {
        let (mut directory, room) = empty();
        let name = UserName::new("alice");
        let number = directory.reserve(&name, ALICE, connection(1));
        assert_eq!(code(directory.check("alice", &ALICE, &room)), Some(ErrorCode::NameInUse));
        assert_eq!(code(directory.check("alice", &EVE, &room)), Some(ErrorCode::NameInUse));
        assert_eq!(code(directory.check_original("alice", &room)), Some(ErrorCode::NameInUse));
        // The store failed: it is free again, and the key has its place back.
        directory.settle(number, false);
        assert_eq!(directory.check_original("alice", &room), Ok(()));
        assert_eq!(directory.check("alice", &EVE, &room), Ok(Availability::Free));
        assert_eq!(directory.settle(number, true), None);
    }

    #[test]
    fn an_original_holds_a_name_while_it_is_there() {
        let (mut directory, mut room) = empty();
        let (name, original) = (UserName::new("JG"), connection(1));
        hold((&mut directory, &mut room), &name, original);
        assert_eq!(directory.holder("JG", &room), Some(original));
        assert_eq!(code(directory.check_original("JG", &room)), Some(ErrorCode::NameInUse));
        assert_eq!(code(directory.check("JG", &ALICE, &room)), Some(ErrorCode::NameInUse));
        directory.release(&name, connection(2)); // not its holder
        assert_eq!(directory.holder("JG", &room), Some(original));
        directory.release(&name, original);
        assert_eq!(directory.check_original("JG", &room), Ok(()));
    }

    #[test]
    fn a_key_has_few_names_and_what_is_being_bound_counts() {
        let names = (1..MAX_NAMES_PER_KEY).map(|number| (format!("alice{number}"), ALICE));
        let (mut directory, room) = (Directory::new([0; 16], 8, names), Room::default());
        let number = directory.reserve(&UserName::new("alice"), ALICE, connection(1));
        assert_eq!(
            code(directory.check("one-more", &ALICE, &room)),
            Some(ErrorCode::DirectoryFull)
        );
        assert_eq!(directory.check("alice1", &ALICE, &room), Ok(Availability::Bound));
        assert_eq!(directory.check("one-more", &EVE, &room), Ok(Availability::Free));
        directory.settle(number, false);
        assert_eq!(directory.check("one-more", &ALICE, &room), Ok(Availability::Free));
    }

    /// If chance gave 100 names their places, they would have 95 different ones of the 1,024.
    #[test]
    fn names_that_count_up_are_spread_over_the_recent_ones_with_each_seed() {
        for seed in 0..=u8::MAX {
            let directory = Directory::new([seed; 16], 8, []);
            for digits in [2, 5, 10, 12] {
                let name = |number: usize| format!("user{number:0digits$}");
                let places: HashSet<_> =
                    (0..100).map(|number| directory.place_of(name(number).as_bytes())).collect();
                assert!(places.len() >= 80, "{} of 100, {digits} digits", places.len());
            }
        }
    }
}
