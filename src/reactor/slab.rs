//! A table whose places are used again, in pages that never move (`pages.rs`).
//!
//! Knows nothing of what it holds.

use std::num::NonZeroU32;

use super::Token;
use super::pages::{PAGE, Pages};

/// Values by [`Token`]. Insertion, removal and look-up take constant time.
pub(crate) struct Slab<T> {
    slots: Pages<Slot<T>>,
    /// The first vacant slot, each vacant slot naming the next; `NONE` ends the list.
    vacant: u32,
    len: usize,
}

struct Slot<T> {
    /// Counts arrivals and departures: odd, and so never zero, while there is a tenant.
    generation: u32,
    next_vacant: u32,
    value: Option<T>,
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Pages::default(), vacant: NONE, len: 0 }
    }

    /// How many values it holds.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Puts `value` into the slot that was vacated last, whose memory is the likeliest to be in the
    /// cache.
    pub(crate) fn insert(&mut self, value: T) -> Token {
        if self.vacant == NONE {
            self.add_page();
        }
        let index = self.vacant;
        let Some(slot) = self.slots.get_mut(index as usize) else {
            unreachable!("vacant slots exist")
        };
        debug_assert!(slot.value.is_none() && slot.generation.is_multiple_of(2));
        slot.generation = slot.generation.wrapping_add(1);
        slot.value = Some(value);
        self.vacant = slot.next_vacant;
        self.len += 1;
        Token::new(index, NonZeroU32::new(slot.generation).unwrap_or(NonZeroU32::MIN))
    }

    /// The value, if `token` still names one.
    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.slot())?;
        if slot.generation == token.generation().get() { slot.value.as_ref() } else { None }
    }

    /// The value, if `token` still names one.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.slot())?;
        if slot.generation == token.generation().get() { slot.value.as_mut() } else { None }
    }

    /// All values, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let slots = self.slots.iter_from(0);
        slots.filter_map(|slot| slot.value.as_ref()).take(self.len)
    }

    /// Takes the value out; from here on `token` names nothing.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let vacant = self.vacant;
        let slot = self.slots.get_mut(token.slot())?;
        if slot.generation != token.generation().get() {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_vacant = vacant;
        self.vacant = u32::try_from(token.slot()).ok()?;
        self.len -= 1;
        Some(value)
    }

    /// Adds a page and makes its slots the vacant list, lowest first.
    fn add_page(&mut self) {
        debug_assert_eq!(self.vacant, NONE);
        let first = self.slots.len();
        let index = |at: usize| u32::try_from(at).unwrap_or(NONE);
        self.slots.grow(|at| {
            let last = at + 1 == first + PAGE;
            Slot {
                generation: 0,
                next_vacant: if last { NONE } else { index(at + 1) },
                value: None,
            }
        });
        self.vacant = index(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_token_names_nobody_after_its_slot_is_used_again() {
        let mut slab = Slab::new();
        let old = slab.insert("old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new");
        assert_eq!(new.slot(), old.slot());
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&"new")));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_second_page_moves_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert(0);
        let place: *const usize = slab.get(first).unwrap();
        let tokens: Vec<_> = (1..=PAGE).map(|value| slab.insert(value)).collect();
        assert_eq!(place, std::ptr::from_ref(slab.get(first).unwrap()));
        assert_eq!(slab.len(), PAGE + 1);
        assert_eq!(slab.get(tokens[PAGE - 1]), Some(&PAGE));
    }
}
