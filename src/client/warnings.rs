//! Which warnings are told: the same one about one peer once a minute, with a count. What was
//! withheld last is told by its count when the client ends, so that no loss is left unsaid.
//!
//! Others can make a client warn without end, and what matters would scroll away. A script
//! (`--json`) is told every warning. Warnings about strangers have a table of their own, so that a
//! flood of invented names cannot hide that the key of a known peer has changed.

use std::collections::BTreeMap;

use super::Caution;
use crate::limits::{WARNING_INTERVAL, WARNINGS_KEPT};
use crate::reactor::Time;

/// What was told lately.
#[derive(Debug)]
pub(super) struct Warnings {
    every: bool,
    known: Table,
    strangers: Table,
}

/// By the peer that it is about, and its code.
type Table = BTreeMap<(String, Caution), Told>;

#[derive(Debug)]
struct Told {
    at: Time,
    /// How many like it were not told since.
    withheld: u64,
}

impl Warnings {
    /// With `every`, nothing is withheld.
    pub(super) fn new(every: bool) -> Self {
        Self { every, known: Table::new(), strangers: Table::new() }
    }

    /// Whether to tell a warning about `peer` now, and then how many like it were withheld before.
    pub(super) fn admit(
        &mut self,
        peer: &str,
        is_stranger: bool,
        code: Caution,
        now: Time,
    ) -> Option<u64> {
        if self.every {
            return Some(0);
        }
        let table = if is_stranger { &mut self.strangers } else { &mut self.known };
        if let Some(told) = table.get_mut(&(peer.to_owned(), code)) {
            if now.since(told.at) < WARNING_INTERVAL {
                told.withheld += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.withheld));
        }
        if table.len() >= WARNINGS_KEPT {
            table.retain(|_, told| now.since(told.at) < WARNING_INTERVAL);
        }
        if table.len() >= WARNINGS_KEPT {
            return None; // a flood of invented names: these were told, the rest adds nothing
        }
        table.insert((peer.to_owned(), code), Told { at: now, withheld: 0 });
        Some(0)
    }

    /// How many were withheld and are not told yet, by their codes. From now on they count as told.
    pub(super) fn take_withheld(&mut self) -> BTreeMap<Caution, u64> {
        let mut counts = BTreeMap::new();
        for ((_, code), told) in self.known.iter_mut().chain(&mut self.strangers) {
            if told.withheld > 0 {
                *counts.entry(*code).or_default() += std::mem::take(&mut told.withheld);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_was_withheld_can_be_told_at_the_end_once() {
        let mut warnings = Warnings::new(false);
        for (peer, is_stranger) in [("bob", false), ("bob", false), ("eve", true), ("eve", true)] {
            warnings.admit(peer, is_stranger, Caution::StaleLetter, at(1));
        }
        warnings.admit("bob", false, Caution::Replay, at(1));
        assert_eq!(warnings.take_withheld(), [(Caution::StaleLetter, 2)].into());
        assert!(warnings.take_withheld().is_empty());
    }

    #[test]
    fn the_same_warning_is_told_once_a_minute_with_a_count() {
        let mut warnings = Warnings::new(false);
        assert_eq!(warnings.admit("bob", false, Caution::Replay, at(1)), Some(0));
        assert_eq!(warnings.admit("bob", false, Caution::Replay, at(2)), None);
        assert_eq!(warnings.admit("bob", false, Caution::Replay, at(60)), None);
        assert_eq!(warnings.admit("bob", false, Caution::BadMessage, at(60)), Some(0));
        assert_eq!(warnings.admit("carol", false, Caution::Replay, at(60)), Some(0));
        assert_eq!(warnings.admit("bob", false, Caution::Replay, at(61)), Some(2));
        assert_eq!(warnings.admit("bob", false, Caution::Replay, at(62)), None);
    }

    #[test]
    fn a_script_is_told_each() {
        let mut warnings = Warnings::new(true);
        assert!((0..3).all(|_| warnings.admit("bob", false, Caution::Replay, at(1)) == Some(0)));
    }

    #[test]
    fn invented_names_take_bounded_memory() {
        let mut warnings = Warnings::new(false);
        let mut tell =
            |name: usize, now| warnings.admit(&name.to_string(), true, Caution::NoKey, now);
        assert_eq!((0..5000).filter(|&name| tell(name, at(1)).is_some()).count(), WARNINGS_KEPT);
        let about_bob = warnings.admit("bob", false, Caution::KeyChanged, at(1));
        assert_eq!(about_bob, Some(0), "strangers do not hide it");
        let mut tell =
            |name: usize, now| warnings.admit(&name.to_string(), true, Caution::NoKey, now);
        assert_eq!(tell(5000, at(61)), Some(0));
    }
}
