//! Everybody who is registered at any relay, as the roster lists them.
//!
//! As the table of connections does for one relay (`peer.rs`), it has an order that stays while
//! they stay: each has a place, and a list that is sent in parts goes on from a place.

use std::collections::BTreeMap;

use crate::relay::roster::Listed;
use crate::relay::user_name::UserName;

/// Names at all relays.
#[derive(Default)]
pub(in crate::relay) struct Everybody {
    places: Vec<Option<(UserName, u64)>>,
    free: Vec<usize>,
    // A tree and not a hash table: it is never copied to grow.
    by_name: BTreeMap<Box<str>, usize>,
}

impl Everybody {
    /// A user came, with the change of this number.
    pub(super) fn came(&mut self, name: &UserName, joined: u64) {
        let place = self.free.pop().unwrap_or(self.places.len());
        let entry = Some((name.clone(), joined));
        match self.places.get_mut(place) {
            Some(free) => *free = entry,
            None => self.places.push(entry),
        }
        self.by_name.insert(name.as_str().into(), place);
    }

    /// A user went.
    pub(super) fn went(&mut self, name: &str) {
        let Some(place) = self.by_name.remove(name) else { return };
        if let Some(entry) = self.places.get_mut(place) {
            *entry = None;
            self.free.push(place);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

impl Listed for Everybody {
    fn listed_from(&self, place: usize) -> impl Iterator<Item = (usize, &UserName, u64)> {
        let from = self.places.iter().enumerate().skip(place);
        from.filter_map(|(place, entry)| {
            let (name, joined) = entry.as_ref()?;
            Some((place, name, *joined))
        })
    }
}
