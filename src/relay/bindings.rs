//! The names that are bound, each to one key.
//!
//! There may be one for each user that the relay ever had, and they are found by name and by key.
//! The tables are allocated for as many as there may be, so no growing table is ever copied.

use std::hash::BuildHasher;

use super::index::Index;
use super::keyed::Keyed;
use super::limits::MAX_BOUND_NAMES;
use super::user_name::UserName;
use crate::wire::Fingerprint;

/// Names, and the key of each.
pub(super) struct Bindings {
    keyed: Keyed,
    places: Vec<Option<Binding>>,
    /// Places that were used and are free again.
    free: Vec<usize>,
    by_name: Index,
    by_key: Index,
}

struct Binding {
    name: UserName,
    fp: Fingerprint,
    /// The last day (since 1970-01-01) that the store was told of on which its user was connected.
    used_day: u32,
}

impl Bindings {
    pub(super) fn new(keyed: Keyed) -> Self {
        let index = || Index::with_capacity(MAX_BOUND_NAMES);
        let places = Vec::with_capacity(MAX_BOUND_NAMES);
        Self { keyed, places, free: Vec::new(), by_name: index(), by_key: index() }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The key that `name` is bound to.
    pub(super) fn owner(&self, name: &str) -> Option<&Fingerprint> {
        self.at(self.find(name)?).map(|binding| &binding.fp)
    }

    /// Those in `count` places from `place` on, and the place behind them, if there are more.
    pub(super) fn from(
        &self,
        place: usize,
        count: usize,
    ) -> (impl Iterator<Item = (&str, &Fingerprint)>, Option<usize>) {
        let end = place.saturating_add(count).min(self.places.len());
        let part = self.places.get(place..end).unwrap_or_default().iter().flatten();
        let next = (end < self.places.len()).then_some(end);
        (part.map(|binding| (binding.name.as_str(), &binding.fp)), next)
    }

    /// How many names are bound to a key.
    pub(super) fn count_of(&self, fp: &Fingerprint) -> usize {
        let same = self.by_key.all(self.keyed.hash_one(fp));
        same.filter(|&place| self.at(place).is_some_and(|binding| binding.fp == *fp)).count()
    }

    /// Binds a name that is free.
    pub(super) fn insert(&mut self, name: UserName, fp: Fingerprint) {
        debug_assert!(self.owner(name.as_str()).is_none());
        // Where no place is free, all are in use: the next one has the number `len`.
        let place = self.free.pop().unwrap_or(self.len());
        self.by_name.insert(self.keyed.hash_one(name.as_str()), place);
        self.by_key.insert(self.keyed.hash_one(fp), place);
        let binding = Some(Binding { name, fp, used_day: 0 });
        match self.places.get_mut(place) {
            Some(free) => *free = binding,
            None => self.places.push(binding),
        }
    }

    /// Whether `name` is bound and not yet noted as used on `day`.
    pub(super) fn is_news(&self, name: &str, day: u32) -> bool {
        let binding = self.find(name).and_then(|place| self.at(place));
        binding.is_some_and(|binding| binding.used_day < day)
    }

    /// The store was told that `name` is used on `day`.
    pub(super) fn noted(&mut self, name: &str, day: u32) {
        if let Some(Some(binding)) = self.find(name).and_then(|place| self.places.get_mut(place)) {
            binding.used_day = day;
        }
    }

    /// Unbinds a name, and returns whether it was bound.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let place = self.find(name);
        let found = place.and_then(|place| Some((place, self.places.get_mut(place)?.take()?)));
        let Some((place, Binding { fp, .. })) = found else { return false };
        self.by_name.remove(self.keyed.hash_one(name), place);
        self.by_key.remove(self.keyed.hash_one(fp), place);
        self.free.push(place);
        true
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |place| self.at(place).is_some_and(|binding| binding.name.is(name));
        self.by_name.find(self.keyed.hash_one(name), is_it)
    }

    fn at(&self, place: usize) -> Option<&Binding> {
        self.places.get(place)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Fingerprint = Fingerprint([1; 32]);
    const BOB: Fingerprint = Fingerprint([2; 32]);

    #[test]
    fn names_are_found_counted_freed_and_bound_again() {
        let mut bindings = Bindings::new(Keyed::new([7; 16]));
        let name = |number: usize| format!("name-{number}");
        for number in 0..3000 {
            bindings.insert(UserName::new(&name(number)), if number < 8 { ALICE } else { BOB });
        }
        assert_eq!((bindings.len(), bindings.count_of(&ALICE)), (3000, 8));
        assert_eq!(bindings.owner("name-7"), Some(&ALICE));
        assert_eq!(bindings.owner("name-3000"), None);
        for number in (0..3000).step_by(2) {
            assert!(bindings.remove(&name(number)) && !bindings.remove(&name(number)));
        }
        assert_eq!((bindings.len(), bindings.count_of(&ALICE)), (1500, 4));
        for number in (0..3000).step_by(2) {
            bindings.insert(UserName::new(&name(number)), ALICE);
        }
        assert_eq!((bindings.len(), bindings.count_of(&ALICE)), (3000, 1504));
        assert_eq!(bindings.owner("name-2998"), Some(&ALICE));
        assert!(bindings.free.is_empty());
    }
}
