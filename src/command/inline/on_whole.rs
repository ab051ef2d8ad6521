//! The part of the screen of one chat that is about the whole screen: what it is drawn from, and
//! whose conversation is shown.

use std::collections::BTreeSet;

use super::conversations::NOBODY;
use super::whole::{Heading, Picture, Whole};
use super::{ChatScreen, Status};
use crate::client::Receipt;
use crate::limits::OUTPUT_QUEUE;

impl ChatScreen {
    /// Draws on the whole screen from now on, or below lines again. What came meanwhile is among
    /// the lines then.
    pub(in crate::command) fn toggle(&mut self) {
        self.pace.want();
        if self.whole.take().is_some() {
            self.change.push_str(self.terminal.set_whole(false));
            self.conversations.read_all();
            return;
        }
        self.whole = Whole::new(self.size, !self.look.has_colours);
        self.change = self.erase();
        self.change.push_str(self.terminal.set_whole(true));
    }

    /// Whether the whole screen is drawn on.
    pub(in crate::command) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Shows an earlier or later part of the conversation.
    pub(in crate::command) fn scroll(&mut self, is_up: bool) {
        if let Some(whole) = &mut self.whole {
            whole.scroll(is_up, self.size.rows);
        }
    }

    /// Another user was chosen.
    pub(in crate::command) fn chosen(&mut self) {
        self.whole.iter_mut().for_each(Whole::show_end);
    }

    /// The user whose unread text is the newest.
    pub(in crate::command) fn next_unread(&self) -> Option<String> {
        self.conversations.next_unread().map(str::to_owned)
    }

    /// The users of the list, in order: those with lines, whoever is `chosen`, and of those who are
    /// `here` as many as there is room for.
    pub(in crate::command) fn listed<'a>(
        &'a self,
        chosen: Option<&'a str>,
        here: impl Iterator<Item = &'a str>,
    ) -> Vec<String> {
        let here = here.take(usize::from(self.size.rows));
        let all: BTreeSet<&str> = self.conversations.users().chain(chosen).chain(here).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// How many texts of a user are unread.
    pub(in crate::command) fn unread(&self, name: &str) -> usize {
        self.conversations.unread(name)
    }

    pub(super) fn whole_frame(&mut self, status: &Status) -> Vec<(String, Option<Receipt>)> {
        // What is shown now counts as taken with this frame; its lines are for the scrollback.
        let receipts: Vec<Receipt> =
            self.lines.iter_mut().filter_map(|(_, receipt)| receipt.take()).collect();
        while self.waiting > OUTPUT_QUEUE {
            let (line, _) = self.lines.remove(0);
            self.waiting -= line.len();
            self.left_out += 1;
        }
        let chosen = status.to.unwrap_or(NOBODY);
        self.conversations.read(chosen);
        let mut live = self.live(status);
        let row = live.rows.pop().unwrap_or_default();
        let heading = Heading {
            name: status.to,
            colour: self.colour(status.fp),
            fp: status.fp.map(|fp| fp.to_string()),
            trust: status.trust(),
        };
        let picture = Picture {
            users: &status.users,
            heading,
            lines: self.conversations.lines(chosen).collect(),
            status: &row.text,
            prompt: &live.prompt,
        };
        let mut out = std::mem::take(&mut self.change);
        if let Some(whole) = &mut self.whole {
            if std::mem::take(&mut self.clears) {
                whole.forget();
            }
            out.push_str(&whole.draw(&picture));
        }
        out.push_str(&self.ring());
        let mut parts = vec![(out, None)];
        parts.extend(receipts.into_iter().map(|receipt| (String::new(), Some(receipt))));
        parts
    }
}
