//! How many of something each connection has: of frames or questions that are under way.

use std::collections::BTreeMap;

use crate::reactor::Token;

/// The count of each connection that has some.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Token, usize>);

impl Tally {
    /// How many `id` has.
    pub(super) fn of(&self, id: Token) -> usize {
        self.0.get(&id).copied().unwrap_or_default()
    }

    /// `id` has one more.
    pub(super) fn add(&mut self, id: Token) {
        *self.0.entry(id).or_default() += 1;
    }

    /// `id` has one less.
    pub(super) fn take(&mut self, id: Token) {
        if let Some(count) = self.0.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&id);
            }
        }
    }

    /// Whether nobody has any.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
