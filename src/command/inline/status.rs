//! The status: to whom text goes, how far that user's key is trusted, how the connection stands.

use super::whole::User;
use crate::client::{PendingCounts, Trust};
use crate::reactor::Time;
use crate::screen::{Editor, escape, width};
use crate::wire::Fingerprint;

/// How the connection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::command) enum Link {
    /// There is none.
    #[default]
    Down,
    /// This address is tried.
    Connecting(String),
    /// It is tried again at this time.
    Retry(Time),
    /// The relay has let us in.
    Up,
}

/// What the status is made of, besides what the screen knows itself.
pub(in crate::command) struct Status<'a> {
    pub(in crate::command) now: Time,
    /// Whom text goes to.
    pub(in crate::command) to: Option<&'a str>,
    /// Who would be written to with Enter.
    pub(in crate::command) offered: Option<&'a str>,
    /// The key of `to`, as far as one is known.
    pub(in crate::command) fp: Option<Fingerprint>,
    /// How far the key of `to` is trusted; `None`: none is known.
    pub(in crate::command) trust: Option<Trust>,
    /// That key is not the one that was known, and nobody has accepted it.
    pub(in crate::command) is_changed: bool,
    pub(in crate::command) pending: PendingCounts,
    /// The list of the whole screen; empty where that is not drawn on.
    pub(in crate::command) users: Vec<User>,
    /// It is being left; what is waited for.
    pub(in crate::command) leaving: Option<String>,
}

impl Status<'_> {
    /// The status as a line of at most so many columns; while there is one a `hint` on the last
    /// key, and nothing else. In a narrow window what matters least is left out; what is still too
    /// long is cut by who draws it.
    pub(super) fn line(
        &self,
        hint: Option<String>,
        link: &Link,
        clock: &str,
        columns: usize,
    ) -> String {
        if let Some(hint) = hint {
            return hint;
        }
        let mut parts = self.parts(link, clock);
        loop {
            let line = parts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(" · ");
            let last = parts.iter().map(|(rank, _)| *rank).max().unwrap_or_default();
            if width(&line) <= columns || last == 0 {
                return line;
            }
            parts.retain(|(rank, _)| *rank != last);
        }
    }

    /// From the left; each with a number: those with the greatest are left out first, and those
    /// with 0 never.
    fn parts(&self, link: &Link, clock: &str) -> Vec<(u8, String)> {
        let mut parts = Vec::new();
        if let Some(waits) = &self.leaving {
            parts.push((0, "leaving, Ctrl-C: at once".to_owned()));
            parts.push((1, waits.clone()));
        }
        let unread: usize = self.users.iter().map(|user| user.unread).sum();
        if unread > 0 {
            parts.push((2, format!("{unread} unread (Alt-A)")));
        }
        if *link != Link::Up {
            parts.push((0, self.link(link)));
        }
        let to = match (self.to, self.offered) {
            (Some(to), _) => format!("to {} ({})", escape(to), self.trust()),
            (None, Some(name)) => format!("Enter: write to {}, who wrote last", escape(name)),
            (None, None) => "to nobody: /to NAME".to_owned(),
        };
        parts.push((u8::from(self.leaving.is_some()) * 3, to));
        if *link == Link::Up {
            parts.push((7, self.link(link)));
        }
        // A text that the relay has stored is counted as that alone.
        let PendingCounts { unconfirmed, stored, .. } = self.pending;
        if unconfirmed > stored && self.leaving.is_none() {
            parts.push((4, format!("{} unconfirmed", unconfirmed - stored)));
        }
        if stored > 0 {
            parts.push((6, format!("{stored} stored")));
        }
        if !clock.is_empty() {
            parts.push((8, clock.to_owned()));
        }
        if self.leaving.is_none() {
            parts.push((5, "F1 help".to_owned()));
        }
        parts
    }

    fn link(&self, link: &Link) -> String {
        match link {
            Link::Up => "connected".to_owned(),
            Link::Connecting(address) => format!("connecting to {}", escape(address)),
            Link::Retry(until) if *until > self.now => {
                let seconds = until.since(self.now).as_secs_f64().ceil();
                format!("no connection, retry in {seconds} s")
            }
            Link::Down | Link::Retry(_) => "no connection".to_owned(),
        }
    }

    /// How far the key of `to` is trusted, in words.
    pub(super) fn trust(&self) -> &'static str {
        match self.trust {
            _ if self.is_changed => "key changed !",
            Some(Trust::Verified) => "verified ✓",
            Some(Trust::Tofu) => "accepted",
            None => "no key yet",
        }
    }
}

/// What the line that is being written is about to do, where that is not plain.
pub(super) fn hint(editor: &Editor) -> Option<String> {
    match editor.lines() {
        1 if editor.is_literal() && editor.text().starts_with(['/', '@']) => {
            Some("pasted: it is sent as a text".to_owned())
        }
        1 => None,
        lines => Some(format!(
            "{lines} lines: Enter sends them as one message, Alt-Enter each as one, Ctrl-C none"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn status(to: Option<&str>) -> Status<'_> {
        Status {
            now: Time::from_nanos(0),
            to,
            offered: None,
            fp: None,
            trust: None,
            is_changed: false,
            pending: PendingCounts::default(),
            users: Vec::new(),
            leaving: None,
        }
    }

    #[test]
    fn the_status_says_to_whom_and_how_far_that_can_be_trusted() {
        let line = |status: Status| status.line(None, &Link::Up, "14:32", 80);
        assert_eq!(line(status(None)), "to nobody: /to NAME · connected · 14:32 · F1 help");
        let offered = Status { offered: Some("eve"), ..status(None) };
        assert!(line(offered).starts_with("Enter: write to eve, who wrote last · "));
        for (trust, is_changed, words) in [
            (None, false, "to bob (no key yet)"),
            (Some(Trust::Tofu), false, "to bob (accepted)"),
            (Some(Trust::Verified), false, "to bob (verified ✓)"),
            (Some(Trust::Verified), true, "to bob (key changed !)"),
        ] {
            let status = Status { trust, is_changed, ..status(Some("bob")) };
            assert!(line(status).starts_with(words), "{words}");
        }
    }

    #[test]
    fn the_next_attempt_is_counted_down() {
        let until = Time::from_nanos(0) + Duration::from_millis(2500);
        let line = status(None).line(None, &Link::Retry(until), "", 80);
        assert_eq!(line, "no connection, retry in 3 s · to nobody: /to NAME · F1 help");
    }

    #[test]
    fn what_matters_least_is_left_out_first_and_nothing_is_counted_twice() {
        let pending = |unconfirmed, stored| PendingCounts { unconfirmed, stored, ..<_>::default() };
        let some = |pending| Status { trust: Some(Trust::Tofu), pending, ..status(Some("bob")) };
        let line = |status: Status, columns| status.line(None, &Link::Up, "14:32", columns);
        for (columns, expected) in [
            (80, "to bob (accepted) · connected · 1 unconfirmed · 2 stored · 14:32 · F1 help"),
            (70, "to bob (accepted) · connected · 1 unconfirmed · 2 stored · F1 help"),
            (56, "to bob (accepted) · 1 unconfirmed · 2 stored · F1 help"),
            (48, "to bob (accepted) · 1 unconfirmed · F1 help"),
            (37, "to bob (accepted) · 1 unconfirmed"),
            (20, "to bob (accepted)"),
            (5, "to bob (accepted)"),
        ] {
            assert_eq!(line(some(pending(3, 2)), columns), expected);
        }
        let stored = line(some(pending(2, 2)), 80);
        assert_eq!(stored, "to bob (accepted) · connected · 2 stored · 14:32 · F1 help");
        let leaving = Some("waits for 3 confirmations".to_owned());
        let leaving = Status { leaving, ..some(pending(3, 0)) };
        let all = "leaving, Ctrl-C: at once · waits for 3 confirmations · to bob (accepted)";
        assert_eq!(line(leaving, 80), all);
    }

    #[test]
    fn what_was_pasted_is_asked_about() {
        let mut editor = Editor::new(100);
        editor.paste("/quit");
        assert_eq!(hint(&editor).unwrap(), "pasted: it is sent as a text");
        editor.paste("\nmore");
        assert!(hint(&editor).unwrap().starts_with("2 lines: Enter sends them as one message"));
    }
}
