//! Which texts of a peer were told already: a text that comes again is not shown again.

use std::collections::{BTreeMap, VecDeque};

use crate::crypto::Mid;
use crate::limits::SEEN_MESSAGES;

/// The last texts of one peer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// In the order in which they came.
    order: VecDeque<Mid>,
    /// Whether each was shown; until then it is not confirmed.
    shown: BTreeMap<Mid, bool>,
}

/// Whether a text that came is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is new.
    First,
    /// It was told and is still on its way to standard output.
    Told,
    /// It was shown, but its sender has not received the receipt.
    Shown,
}

impl Seen {
    /// A text came.
    pub(super) fn see(&mut self, mid: Mid) -> Sight {
        match self.shown.get(&mid) {
            Some(true) => return Sight::Shown,
            Some(false) => return Sight::Told,
            None => {}
        }
        if self.order.len() >= SEEN_MESSAGES
            && let Some(oldest) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        self.order.push_back(mid);
        self.shown.insert(mid, false);
        Sight::First
    }

    /// What is known of a text.
    pub(super) fn sight(&self, mid: &Mid) -> Option<Sight> {
        let shown = *self.shown.get(mid)?;
        Some(if shown { Sight::Shown } else { Sight::Told })
    }

    /// These texts were shown in an earlier run.
    pub(super) fn preload(&mut self, mids: Vec<Mid>) {
        for mid in mids {
            self.see(mid);
            self.show(&mid);
        }
    }

    /// Forgets all but the last `count`.
    pub(super) fn keep_last(&mut self, count: usize) {
        while self.order.len() > count
            && let Some(oldest) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        self.order.shrink_to_fit();
    }

    /// A text was shown.
    pub(super) fn show(&mut self, mid: &Mid) {
        if let Some(shown) = self.shown.get_mut(mid) {
            *shown = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mid(number: usize) -> Mid {
        (number as u128).to_be_bytes()
    }

    #[test]
    fn a_text_is_new_once_and_confirmed_only_when_it_was_shown() {
        let mut seen = Seen::default();
        assert_eq!(seen.see(mid(1)), Sight::First);
        assert_eq!(seen.see(mid(1)), Sight::Told);
        seen.show(&mid(1));
        assert_eq!(seen.see(mid(1)), Sight::Shown);
    }

    #[test]
    fn the_last_ones_can_be_kept_alone() {
        let mut seen = Seen::default();
        for number in 1..=3 {
            seen.see(mid(number));
            seen.show(&mid(number));
        }
        seen.keep_last(2);
        assert_eq!((seen.order.len(), seen.shown.len()), (2, 2));
        assert_eq!([2, 3, 1].map(|n| seen.see(mid(n))), [Sight::Shown, Sight::Shown, Sight::First]);
    }

    #[test]
    fn the_oldest_is_forgotten_beyond_the_limit() {
        let mut seen = Seen::default();
        (0..=SEEN_MESSAGES).for_each(|number| assert_eq!(seen.see(mid(number)), Sight::First));
        assert_eq!(seen.see(mid(1)), Sight::Told);
        assert_eq!(seen.see(mid(0)), Sight::First);
        assert_eq!((seen.order.len(), seen.shown.len()), (SEEN_MESSAGES, SEEN_MESSAGES));
    }
}
