//! What was said in this run, by user, for the whole screen: bounded, and in memory only.

use std::collections::{BTreeMap, VecDeque};

use super::names::Colour;

/// The most users whose lines are kept; those of the one that was quiet longest go first.
const USERS: usize = 64;
/// Lines of one user, in bytes.
const BYTES: usize = 64 * 1024;
/// Under this name, which no user has, stands what is said while nobody is chosen.
pub(super) const NOBODY: &str = "";

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
    lines: VecDeque<Line>,
    bytes: usize,
    unread: usize,
    /// The number of the newest line.
    last: u64,
}

/// A line: escaped, with line ends where it has several rows, the later ones indented.
#[derive(Debug)]
pub(super) struct Line {
    /// Empty where none is shown.
    pub(super) time: String,
    pub(super) said: Said,
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Said {
    /// Nobody has written it.
    Notice(String),
    /// A text from the user.
    By { name: String, colour: Colour, text: String },
    /// A text of ours, to the user; its mark changes in its place.
    Own { id: String, to: String, text: String, fate: Fate },
}

/// What became of a text of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Stored,
    Delivered,
    Failed,
}

/// A line as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// The bytes of a name that stands out.
    pub(super) name: std::ops::Range<usize>,
    pub(super) colour: Colour,
}

impl Fate {
    pub(super) fn mark(self) -> char {
        match self {
            Self::Open | Self::Stored => '·',
            Self::Delivered => '✓',
            Self::Failed => '✗',
        }
    }
}

impl Line {
    fn bytes(&self) -> usize {
        let said = match &self.said {
            Said::Notice(text) => text.len(),
            Said::By { name, text, .. } => name.len() + text.len(),
            Said::Own { id, to, text, .. } => id.len() + to.len() + text.len(),
        };
        self.time.len() + said
    }

    /// How it is shown.
    pub(super) fn shown(&self) -> Shown {
        let time = if self.time.is_empty() { String::new() } else { format!("{} ", self.time) };
        let (text, name, colour) = match &self.said {
            Said::Notice(text) => (text.clone(), 0..0, Colour::default()),
            Said::By { name, colour, text } => {
                let place = time.len()..time.len() + name.len();
                (format!("{time}{name}: {text}"), place, *colour)
            }
            Said::Own { to, text, fate, .. } => {
                let stored = if *fate == Fate::Stored { " (stored)" } else { "" };
                let text = format!("{time}{} → {to}: {text}{stored}", fate.mark());
                (text, 0..0, Colour::default())
            }
        };
        Shown { text, name, colour }
    }
}

impl Conversations {
    /// Notes a line.
    pub(super) fn push(&mut self, name: &str, line: Line, is_unread: bool) {
        self.count += 1;
        let conversation = self.of.entry(name.to_owned()).or_default();
        conversation.last = self.count;
        conversation.unread += usize::from(is_unread);
        conversation.bytes += line.bytes();
        conversation.lines.push_back(line);
        while conversation.bytes > BYTES
            && conversation.lines.len() > 1
            && let Some(line) = conversation.lines.pop_front()
        {
            conversation.bytes -= line.bytes();
        }
        if self.of.len() > USERS {
            let quiet = self.of.iter().min_by_key(|(_, it)| it.last).map(|(name, _)| name.clone());
            quiet.and_then(|name| self.of.remove(&name));
        }
    }

    /// Notes a line that nobody has written.
    pub(super) fn notice(&mut self, name: &str, text: &str) {
        let said = Said::Notice(text.trim_end_matches('\n').to_owned());
        self.push(name, Line { time: String::new(), said }, false);
    }

    /// The same where there is a conversation with this user, or it is `open`.
    pub(super) fn notice_if_known(&mut self, name: &str, open: Option<&str>, text: &str) {
        if self.of.contains_key(name) || open == Some(name) {
            self.notice(name, text);
        }
    }

    /// Marks a text of ours with what became of it. Of texts of one id the newest is meant.
    pub(super) fn mark(&mut self, to: &str, id: &str, fate: Fate) {
        let lines = self.of.get_mut(to).into_iter().flat_map(|it| it.lines.iter_mut().rev());
        for line in lines {
            if let Said::Own { id: own, fate: shown, .. } = &mut line.said
                && own == id
            {
                *shown = fate;
                return;
            }
        }
    }

    /// The lines with this user, the oldest first.
    pub(super) fn lines(&self, name: &str) -> impl DoubleEndedIterator<Item = &Line> {
        self.of.get(name).into_iter().flat_map(|it| it.lines.iter())
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
        self.of.keys().map(String::as_str).filter(|name| *name != NOBODY)
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

    fn by(name: &str, text: &str) -> Line {
        let (name, text) = (name.to_owned(), text.to_owned());
        Line { time: String::new(), said: Said::By { name, colour: Colour::default(), text } }
    }

    fn shown(all: &Conversations, name: &str) -> Vec<String> {
        all.lines(name).map(|line| line.shown().text).collect()
    }

    #[test]
    fn lines_are_kept_by_user_and_bounded() {
        let mut all = Conversations::default();
        all.push("bob", by("bob", "one\n    two"), true);
        all.push("eve", by("eve", "hi"), true);
        assert_eq!(shown(&all, "bob"), ["bob: one\n    two"]);
        assert_eq!((all.unread("bob"), all.next_unread()), (1, Some("eve")));
        all.read("eve");
        assert_eq!(all.next_unread(), Some("bob"));
        for number in 0..USERS {
            all.push(&format!("user{number}"), by("x", &"x".repeat(BYTES)), false);
        }
        assert_eq!(all.users().count(), USERS);
        assert_eq!(all.lines("bob").count(), 0, "it was quiet longest");
        all.push("user1", by("y", &"y".repeat(BYTES)), false);
        assert_eq!(all.lines("user1").count(), 1);
    }

    #[test]
    fn a_mark_changes_in_its_place() {
        let mut all = Conversations::default();
        for id in ["1", "2"] {
            let (to, text) = ("bob".to_owned(), format!("text {id}"));
            let said = Said::Own { id: id.to_owned(), to, text, fate: Fate::Open };
            all.push("bob", Line { time: "14:32".to_owned(), said }, false);
        }
        all.mark("bob", "1", Fate::Stored);
        all.mark("bob", "2", Fate::Failed);
        let now = ["14:32 · → bob: text 1 (stored)", "14:32 ✗ → bob: text 2"];
        assert_eq!(shown(&all, "bob"), now);
        all.mark("bob", "1", Fate::Delivered);
        assert_eq!(shown(&all, "bob")[0], "14:32 ✓ → bob: text 1");
        assert_eq!(all.unread("bob"), 0);
    }

    #[test]
    fn who_comes_and_goes_makes_no_conversation_and_nothing_unread() {
        let mut all = Conversations::default();
        all.notice_if_known("bob", None, "* came: bob\n");
        assert_eq!(all.users().count(), 0);
        all.push("bob", by("bob", "hi"), false);
        all.notice_if_known("bob", None, "* went: bob\n");
        all.notice_if_known("carol", Some("carol"), "* came: carol\n");
        assert_eq!(shown(&all, "bob"), ["bob: hi", "* went: bob"]);
        assert_eq!(shown(&all, "carol"), ["* came: carol"]);
        assert_eq!(all.next_unread(), None);
    }
}
