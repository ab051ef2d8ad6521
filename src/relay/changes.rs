//! The latest arrivals and departures, numbered, and the frames that tell of them.
//!
//! Bounded: the oldest change makes room for the newest, and whoever has not been told of it by
//! then has to be shown the whole list again.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::limits::ROSTER_JOURNAL;
use super::user_name::UserName;
use crate::wire::{ROSTER_OVERHEAD, encode_roster};

/// The changes that are kept.
#[derive(Default)]
pub(super) struct Changes {
    /// Oldest first.
    kept: VecDeque<Change>,
    /// The number of the oldest.
    first: u64,
}

struct Change {
    name: UserName,
    came: bool,
}

/// The changes from one number up to another, as a frame.
pub(super) struct Batch {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Empty where they cancel out.
    pub(super) frame: Rc<[u8]>,
}

/// What names may still take in a roster frame.
pub(super) struct Space {
    left: usize,
    is_untouched: bool,
}

impl Changes {
    /// Notes a change, and returns its number.
    pub(super) fn push(&mut self, name: UserName, came: bool) -> u64 {
        if self.kept.len() == ROSTER_JOURNAL {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(Change { name, came });
        self.end() - 1
    }

    /// The number of the oldest change that is kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next change.
    pub(super) fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// The changes from one number up to another, or as many of them as a frame holds. Each name
    /// stands once, with the result of all its changes: a user who was there before and is there
    /// afterwards has left and joined.
    pub(super) fn encode(&self, from: u64, up_to: u64, max_frame: usize) -> Batch {
        debug_assert!(self.first <= from && up_to <= self.end());
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let mut space = Space::new(max_frame);
        let mut to = from;
        let mut net: BTreeMap<&str, Net> = BTreeMap::new();
        for change in self.kept.iter().skip(skipped) {
            if to == up_to || !space.take(&change.name) {
                break;
            }
            to += 1;
            let name = &change.name;
            let new = || Net { was_there: !change.came, is_there: change.came, json: name.json() };
            net.entry(name.as_str()).or_insert_with(new).is_there = change.came;
        }
        let joined = || net.values().filter(|name| name.is_there).map(|name| &*name.json);
        let left = || net.values().filter(|name| name.was_there).map(|name| &*name.json);
        let cancels_out = joined().chain(left()).next().is_none();
        let frame = if cancels_out { Vec::new() } else { encode_roster(joined(), left(), false) };
        Batch { from, to, frame: frame.into() }
    }
}

/// The result of several changes of one name.
struct Net<'a> {
    was_there: bool,
    is_there: bool,
    json: Cow<'a, str>,
}

impl Space {
    /// What names may take in a frame of this size.
    pub(super) fn new(max_frame: usize) -> Self {
        Self { left: max_frame.saturating_sub(ROSTER_OVERHEAD), is_untouched: true }
    }

    /// Takes the space that `name` needs, and returns whether there was enough. The first name
    /// always gets it: otherwise a list would never end. No sensible limit is as small as a name.
    pub(super) fn take(&mut self, name: &UserName) -> bool {
        let len = listed_len(name);
        if len > self.left && !self.is_untouched {
            return false;
        }
        self.left = self.left.saturating_sub(len);
        self.is_untouched = false;
        true
    }
}

/// How many bytes a name takes in a list: itself as a JSON string, a comma and a space.
pub(super) fn listed_len(name: &UserName) -> usize {
    name.json().len() + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(of: &[(&str, bool)]) -> Changes {
        let mut changes = Changes::default();
        for (name, came) in of {
            changes.push(UserName::new(name), *came);
        }
        changes
    }

    fn text(batch: &Batch) -> &str {
        std::str::from_utf8(&batch.frame).unwrap()
    }

    #[test]
    fn a_name_stands_with_what_its_changes_come_to() {
        let changes = changes(&[
            ("came", true),
            ("went", false),
            ("came back", false),
            ("passed", true),
            ("came back", true),
            ("passed", false),
        ]);
        let expected = "{\"action\": \"roster\", \"joined\": [\"came\", \"came back\"], \
                        \"left\": [\"came back\", \"went\"]}\n";
        assert_eq!(text(&changes.encode(0, 6, 1000)), expected);
        assert_eq!(text(&changes.encode(3, 6, 1000)), text(&changes.encode(4, 5, 1000)));
    }

    #[test]
    fn changes_that_cancel_out_are_no_frame() {
        let changes = changes(&[("passed", true), ("passed", false)]);
        let batch = changes.encode(0, 2, 1000);
        assert_eq!((text(&batch), batch.to), ("", 2));
    }

    #[test]
    fn a_batch_ends_where_its_frame_is_full() {
        let changes = changes(&[("alice", true), ("bob", true), ("carol", true)]);
        let batch = changes.encode(0, 3, ROSTER_OVERHEAD + r#""alice", "bob", "#.len());
        assert_eq!((batch.from, batch.to), (0, 2));
        assert_eq!(changes.encode(0, 3, 1).to, 1);
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let mut changes = Changes::default();
        for number in 0..ROSTER_JOURNAL as u64 + 3 {
            assert_eq!(changes.push(UserName::new("bob"), number % 2 == 0), number);
        }
        assert_eq!((changes.first(), changes.end()), (3, ROSTER_JOURNAL as u64 + 3));
    }
}
