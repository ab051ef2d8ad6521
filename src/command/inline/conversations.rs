//! What was said in this run, by user, for the whole screen: bounded, and in memory only.

use std::collections::{BTreeMap, VecDeque};

/// The most users whose lines are kept; those of the one that was quiet longest go first.
const USERS: usize = 64;
/// Lines of one user, in bytes.
const BYTES: usize = 64 * 1024;
/// Under this name, which no user has, stands what is said by nobody.
pub(super) const NOTICES: &str = "";

/// The lines of all users.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    of: BTreeMap<String, Conversation>,
    /// How many lines there were in all.
    count: u64,
}

/// The lines of one user, and of ours to that user.
#[derive(Debug, Default)]
struct Conversation {
    lines: VecDeque<String>,
    bytes: usize,
    unread: usize,
    /// The number of the newest line.
    last: u64,
}

impl Conversations {
    /// Notes a line (escaped, without colours; its continuations are indented).
    pub(super) fn push(&mut self, name: &str, line: &str, is_unread: bool) {
        self.count += 1;
        let conversation = self.of.entry(name.to_owned()).or_default();
        conversation.last = self.count;
        conversation.unread += usize::from(is_unread);
        for row in line.trim_end_matches('\n').split('\n') {
            conversation.bytes += row.len();
            conversation.lines.push_back(row.to_owned());
        }
        while conversation.bytes > BYTES
            && let Some(row) = conversation.lines.pop_front()
        {
            conversation.bytes -= row.len();
        }
        if self.of.len() > USERS {
            let quiet = self.of.iter().min_by_key(|(_, it)| it.last).map(|(name, _)| name.clone());
            quiet.and_then(|name| self.of.remove(&name));
        }
    }

    /// The lines with this user, the oldest first.
    pub(super) fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        self.of.get(name).into_iter().flat_map(|it| it.lines.iter().map(String::as_str))
    }

    /// How many texts of this user were not shown.
    pub(super) fn unread(&self, name: &str) -> usize {
        self.of.get(name).map_or(0, |it| it.unread)
    }

    /// The lines with this user are shown.
    pub(super) fn read(&mut self, name: &str) {
        if let Some(conversation) = self.of.get_mut(name) {
            conversation.unread = 0;
        }
    }

    /// All that came was shown in lines.
    pub(super) fn read_all(&mut self) {
        self.of.values_mut().for_each(|it| it.unread = 0);
    }

    /// The users with lines, in order.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str).filter(|name| *name != NOTICES)
    }

    /// The user whose unread text is the newest.
    pub(super) fn next_unread(&self) -> Option<&str> {
        let unread = self.of.iter().filter(|(_, it)| it.unread > 0);
        unread.max_by_key(|(_, it)| it.last).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_by_user_and_bounded() {
        let mut all = Conversations::default();
        all.push("bob", "bob: one\n    two\n", true);
        all.push("eve", "eve: hi", true);
        assert_eq!(all.lines("bob").collect::<Vec<_>>(), ["bob: one", "    two"]);
        assert_eq!((all.unread("bob"), all.next_unread()), (1, Some("eve")));
        all.read("eve");
        assert_eq!(all.next_unread(), Some("bob"));
        for number in 0..USERS {
            all.push(&format!("user{number}"), &"x".repeat(BYTES), false);
        }
        assert_eq!(all.users().count(), USERS);
        assert_eq!(all.lines("bob").count(), 0, "it was quiet longest");
        all.push("user1", &"y".repeat(BYTES), false);
        assert_eq!(all.lines("user1").count(), 1);
    }
}
