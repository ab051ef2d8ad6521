//! Who is connected, as the relay says: it sends whole lists and changes, which become events.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Event;
use crate::limits::MAX_USERS;
use crate::wire::check_name_original;

/// Everyone who is connected.
#[derive(Debug, Default)]
pub(super) struct Roster {
    users: BTreeSet<String>,
    /// Whether a list has come since the connection was made.
    is_known: bool,
}

impl Roster {
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The connection is lost: nobody knows who is there.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A whole list (`userlist`): the first one is told whole, later ones by what has changed.
    pub(super) fn replace(&mut self, users: Vec<Cow<str>>) -> Vec<Event> {
        if !self.is_known {
            return self.begin(users);
        }
        let next: BTreeSet<String> = names(users).take(MAX_USERS).collect();
        let joined: Vec<_> = next.difference(&self.users).cloned().collect();
        let left: Vec<_> = self.users.difference(&next).cloned().collect();
        self.users = next;
        tell(joined, left)
    }

    /// The first frame of a whole list.
    pub(super) fn begin(&mut self, users: Vec<Cow<str>>) -> Vec<Event> {
        self.is_known = true;
        self.users = names(users).take(MAX_USERS).collect();
        vec![Event::Users { users: self.users.iter().cloned().collect() }]
    }

    /// Who came and who went since; a name in both lists left, then joined.
    pub(super) fn change(&mut self, joined: Vec<Cow<str>>, left: Vec<Cow<str>>) -> Vec<Event> {
        let left = names(left).filter(|name| self.users.remove(name)).collect();
        let room = MAX_USERS.saturating_sub(self.users.len());
        let joined = names(joined).filter(|name| !self.users.contains(name)).take(room);
        let joined: Vec<_> = joined.collect();
        self.users.extend(joined.iter().cloned());
        tell(joined, left)
    }
}

/// The relay is not trusted to send names only.
fn names(list: Vec<Cow<'_, str>>) -> impl Iterator<Item = String> {
    list.into_iter().filter(|name| check_name_original(name).is_ok()).map(Cow::into_owned)
}

fn tell(joined: Vec<String>, left: Vec<String>) -> Vec<Event> {
    let left = (!left.is_empty()).then_some(Event::Left { users: left });
    let joined = (!joined.is_empty()).then_some(Event::Joined { users: joined });
    left.into_iter().chain(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&'static str]) -> Vec<Cow<'static, str>> {
        names.iter().map(|&name| Cow::Borrowed(name)).collect()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_first_list_is_told_whole_and_then_what_changed() {
        let mut roster = Roster::default();
        let events = roster.replace(list(&["bob", "alice"]));
        assert_eq!(events, [Event::Users { users: owned(&["alice", "bob"]) }]);
        let events = roster.replace(list(&["bob", "carol"]));
        let (left, joined) = (owned(&["alice"]), owned(&["carol"]));
        assert_eq!(events, [Event::Left { users: left }, Event::Joined { users: joined }]);
        assert_eq!(roster.replace(list(&["bob", "carol"])), []);
    }

    #[test]
    fn a_name_in_both_lists_left_and_came_back() {
        let mut roster = Roster::default();
        roster.begin(list(&["bob"]));
        let events = roster.change(list(&["bob", "carol"]), list(&["bob", "dave"]));
        let (left, joined) = (owned(&["bob"]), owned(&["bob", "carol"]));
        assert_eq!(events, [Event::Left { users: left }, Event::Joined { users: joined }]);
        assert!(roster.users().eq(["bob", "carol"]));
    }

    #[test]
    fn what_is_no_name_is_nobody() {
        let mut roster = Roster::default();
        let long: &'static str = "x".repeat(65).leak();
        let no_names = ["", "e\u{1b}[2J", " x", long];
        roster.begin(list(&[&["bob"], &no_names[..]].concat()));
        assert!(roster.users().eq(["bob"]));
        assert_eq!(roster.change(list(&no_names), list(&no_names)), []);
        assert!(roster.users().eq(["bob"]));
    }
}
