//! The table of sources, and the tokens that name what is in it.
//!
//! A slot is used again as soon as its source is closed, while something may still name the source
//! that was there before: a note of a handler, a deadline, an event of a file that another process
//! holds open as well (`epoll(7)`, Q6). So a [`Token`] is a slot and a generation. The generation
//! grows each time that the slot is taken or given free, and a token with an old one finds nothing.
//!
//! The table is allocated once, for as many values as there may be, and fills from the front. The
//! kernel commits memory only when it is touched, so slots that were never used cost nothing, no
//! value ever moves, and there is no tick in which a growing table is copied.

use std::num::NonZeroU32;

/// Names one source (a connection, a listener, standard input, …) for as long as it is open, and
/// nothing after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    slot: u32,
    /// Never zero, so that an `Option<Token>` takes no more room than a token.
    generation: NonZeroU32,
}

impl Token {
    /// The first tenant of the first slot: for a loop with one source.
    pub(crate) const FIRST: Self = Self { slot: 0, generation: NonZeroU32::MIN };

    /// The tenant `generation` of the place `slot`.
    pub(crate) const fn new(slot: u32, generation: NonZeroU32) -> Self {
        Self { slot, generation }
    }

    /// The place in the table. Handlers keep what they know of a connection in a table of their own
    /// by this index.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Which tenant of the slot this is; it grows, and wraps after 2³¹ tenants of one slot.
    pub const fn generation(self) -> NonZeroU32 {
        self.generation
    }

    /// The same counted from 1: the generation grows at departures too.
    pub const fn tenant(self) -> u32 {
        self.generation.get() / 2 + 1
    }

    /// The 64 bits that the kernel keeps for us (`epoll_data`, `epoll_ctl(2)`).
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.slot as u64
    }

    /// The token that `to_bits` wrote; none for bits that it never writes.
    #[allow(clippy::cast_possible_truncation)] // the two halves are cut out on purpose
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        Some(Self { slot: bits as u32, generation: NonZeroU32::new((bits >> 32) as u32)? })
    }
}

/// Values by [`Token`]. Insertion, removal and look-up take constant time.
pub(crate) struct Slab<T> {
    /// All slots that were ever used: its length is the high-water mark.
    slots: Vec<Slot<T>>,
    /// The first vacant slot below the mark, each vacant slot naming the next; `NONE` ends the
    /// list.
    vacant: u32,
    len: usize,
}

struct Slot<T> {
    /// Grows at each arrival and each departure: odd, and so never zero, while there is a tenant.
    generation: u32,
    next_vacant: u32,
    value: Option<T>,
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    /// A table for `capacity` values. It takes more, but would then be moved.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), vacant: NONE, len: 0 }
    }

    /// How many values it holds.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Puts `value` into the slot that was vacated last, whose memory is the likeliest to be in the
    /// cache, or else into the first that was never used.
    ///
    /// # Panics
    /// With 2³² - 1 values in it, which is more than a process can have descriptors.
    pub(crate) fn insert(&mut self, value: T) -> Token {
        self.len += 1;
        if let Some(slot) = self.slots.get_mut(self.vacant as usize) {
            let index = std::mem::replace(&mut self.vacant, slot.next_vacant);
            debug_assert!(slot.value.is_none() && slot.generation.is_multiple_of(2));
            slot.generation = slot.generation.wrapping_add(1);
            slot.value = Some(value);
            return Token::new(index, NonZeroU32::new(slot.generation).unwrap_or(NonZeroU32::MIN));
        }
        let Some(index) = u32::try_from(self.slots.len()).ok().filter(|&index| index != NONE)
        else {
            unreachable!("fewer descriptors than that")
        };
        self.slots.push(Slot { generation: 1, next_vacant: NONE, value: Some(value) });
        Token::new(index, NonZeroU32::MIN)
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

    /// The tokens of all values, by place.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            slot.value.as_ref()?;
            Some(Token::new(index, NonZeroU32::new(slot.generation)?))
        })
    }

    /// All values, by place.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    /// Takes the value out; from here on `token` names nothing.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.slot())?;
        if slot.generation != token.generation().get() {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_vacant = std::mem::replace(&mut self.vacant, token.slot);
        self.len -= 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_hold_both_halves() {
        let token = Token::new(0xffff_fffe, NonZeroU32::MAX);
        assert_eq!(Token::from_bits(token.to_bits()), Some(token));
        assert_eq!(Token::from_bits(7), None);
        assert_eq!(size_of::<Option<Token>>(), 8);
    }

    #[test]
    fn an_old_token_names_nothing_after_its_slot_is_used_again() {
        let mut slab = Slab::with_capacity(1);
        let old = slab.insert("old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new");
        assert_eq!(new.slot(), old.slot());
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&"new")));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn nothing_moves_up_to_the_capacity_and_all_stays_beyond() {
        let mut slab = Slab::with_capacity(100);
        let tokens: Vec<_> = (0..100).map(|value| slab.insert(value)).collect();
        let place = std::ptr::from_ref(slab.get(tokens[0]).unwrap());
        slab.remove(tokens[50]);
        assert_eq!(slab.insert(50).slot(), 50);
        assert_eq!(place, std::ptr::from_ref(slab.get(tokens[0]).unwrap()));
        slab.insert(100);
        assert_eq!(
            slab.iter_mut().map(|it| *it).collect::<Vec<_>>(),
            (0..=100).collect::<Vec<_>>()
        );
        assert_eq!(slab.tokens().map(|token| *slab.get(token).unwrap()).sum::<i32>(), 5050);
    }
}
