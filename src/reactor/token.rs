//! The name of a source: a place in the slab, and which of its tenants is meant.
//!
//! Knows nothing but two numbers. A slot is used again as soon as its source is closed, while
//! something may still name the source before it: a note of a handler, a deadline, an event of a
//! file that another process holds open as well (`epoll(7)`, Q6). The generation tells the two
//! apart: what carries an old one names nobody.

use std::num::NonZeroU32;

/// Names one source (a connection, a listener, standard input, …) for as long as it is open, and
/// nobody after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    slot: u32,
    /// Never zero, so that an `Option<Token>` takes no more room than a token.
    generation: NonZeroU32,
}

impl Token {
    /// The tenant `generation` of the place `slot`.
    pub(crate) const fn new(slot: u32, generation: NonZeroU32) -> Self {
        Self { slot, generation }
    }

    /// The place in the slab. Handlers keep what they know of a connection in a table of their own
    /// by this index.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Which tenant of the slot this is; it counts up, and wraps after 2³¹ tenants of one slot.
    pub const fn generation(self) -> NonZeroU32 {
        self.generation
    }

    /// The same counted from 1: the slab counts departures too.
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
}
