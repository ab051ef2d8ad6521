//! The whole screen (`--screen`, F2): users on the left, the conversation with whoever is chosen,
//! the status and the line that is being written.
//!
//! A picture of the state: drawn by `ratatui`, whose bytes are sent like any frame.

use crate::client::Trust;
use crate::screen::{ByteBackend, Prompt, Size, cut, width, wrap_all};
use ratatui::Terminal;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};

/// The widest list of users, in columns.
const USERS: u16 = 22;

/// The columns of the conversation.
pub(super) fn columns(size: Size) -> usize {
    usize::from(size.columns.saturating_sub(USERS.min(size.columns / 3) + 1))
}

/// One user of the list.
pub(in crate::command) struct User {
    pub(in crate::command) name: String,
    pub(in crate::command) is_here: bool,
    /// How far the key is trusted; `None`: none is known.
    pub(in crate::command) trust: Option<Trust>,
    /// It is another key than the one that was known.
    pub(in crate::command) is_changed: bool,
    pub(in crate::command) unread: usize,
}

/// What is drawn.
pub(super) struct Picture<'a> {
    pub(super) users: &'a [User],
    pub(super) chosen: Option<&'a str>,
    /// The lines of the conversation, the oldest first.
    pub(super) lines: Vec<&'a str>,
    pub(super) status: &'a str,
    pub(super) prompt: &'a Prompt,
}

/// The whole screen.
pub(super) struct Whole {
    terminal: Terminal<ByteBackend>,
    /// How many rows above the end the conversation is shown.
    scrolled: usize,
}

impl Whole {
    /// An empty screen of this size.
    pub(super) fn new(size: Size, is_plain: bool) -> Option<Self> {
        let terminal = Terminal::new(ByteBackend::new(size, is_plain)).ok()?; // never fails
        Some(Self { terminal, scrolled: 0 })
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.terminal.backend_mut().resize(size);
    }

    /// Nothing of ours is on the screen any more.
    pub(super) fn forget(&mut self) {
        let Ok(()) = self.terminal.clear();
    }

    /// Shows an earlier (`true`) or later part of the conversation.
    pub(super) fn scroll(&mut self, is_up: bool, rows: u16) {
        let page = usize::from(rows / 2).max(1);
        self.scrolled =
            if is_up { self.scrolled + page } else { self.scrolled.saturating_sub(page) };
    }

    /// Whether later lines are not shown.
    pub(super) fn is_scrolled(&self) -> bool {
        self.scrolled > 0
    }

    /// Shows the end of a conversation.
    pub(super) fn show_end(&mut self) {
        self.scrolled = 0;
    }

    /// The bytes that draw `picture`.
    pub(super) fn draw(&mut self, picture: &Picture<'_>) -> String {
        let scrolled = &mut self.scrolled;
        let Ok(_) = self.terminal.draw(|frame| {
            let [top, status, prompt] = Layout::vertical([
                Constraint::Min(0),
                Constraint::Length(1),
                Constraint::Length(1),
            ])
            .areas(frame.area());
            let list = USERS.min(top.width / 3);
            let [users, gap, lines] = Layout::horizontal([
                Constraint::Length(list),
                Constraint::Length(1),
                Constraint::Min(0),
            ])
            .areas(top);
            frame.render_widget(list_of(picture, users), users);
            frame.render_widget(Text::from(vec![Line::from("│"); usize::from(gap.height)]), gap);
            frame.render_widget(end_of(&picture.lines, lines, scrolled), lines);
            frame.render_widget(Line::from(picture.status).style(Style::new().reversed()), status);
            let Prompt { label, before, after } = picture.prompt;
            frame.render_widget(Line::from(format!("{label}{before}{after}")), prompt);
            let column = u16::try_from(width(label) + width(before)).unwrap_or(u16::MAX);
            let last = prompt.right().saturating_sub(1);
            frame.set_cursor_position((prompt.x.saturating_add(column).min(last), prompt.y));
        });
        self.terminal.backend_mut().take()
    }
}

/// The list of users: `✓` verified, `!` key changed, and how many of their texts are unread.
fn list_of<'a>(picture: &Picture<'a>, area: Rect) -> Text<'a> {
    let line = |user: &'a User| {
        let mark = match user.trust {
            _ if user.is_changed => "!",
            Some(Trust::Verified) => "✓",
            Some(Trust::Tofu) | None => " ",
        };
        let unread = if user.unread > 0 { format!(" {}", user.unread) } else { String::new() };
        let room = usize::from(area.width).saturating_sub(2 + unread.len());
        let line = Line::from(format!("{mark} {}{unread}", cut(&user.name, room)));
        let line = if user.is_here { line } else { line.dim() };
        let line = if user.unread > 0 { line.bold() } else { line };
        if picture.chosen == Some(&user.name) { line.reversed() } else { line }
    };
    picture.users.iter().take(usize::from(area.height)).map(line).collect()
}

/// The end of a conversation, `scrolled` rows up, as far as there are such.
fn end_of(lines: &[&str], area: Rect, scrolled: &mut usize) -> Text<'static> {
    let (columns, height) = (usize::from(area.width), usize::from(area.height));
    let mut rows: Vec<String> = Vec::new(); // from the last one up
    for line in lines.iter().rev() {
        let mut wrapped = wrap_all(line, columns);
        wrapped.reverse();
        rows.append(&mut wrapped);
        if rows.len() >= height + *scrolled {
            break;
        }
    }
    *scrolled = (*scrolled).min(rows.len().saturating_sub(height));
    rows.into_iter().skip(*scrolled).take(height).rev().map(Line::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, unread: usize) -> User {
        User { name: name.into(), is_here: true, trust: None, is_changed: false, unread }
    }

    #[test]
    fn three_zones() {
        let mut whole = Whole::new(Size { columns: 30, rows: 5 }, true).unwrap();
        let prompt = Prompt { label: "bob> ".into(), before: "hi".into(), after: String::new() };
        let users = [user("bob", 0), user("carol", 2)];
        let picture = Picture {
            users: &users,
            chosen: Some("bob"),
            lines: vec!["bob: one", "bob: a line that is too long"],
            status: " to bob ",
            prompt: &prompt,
        };
        let bytes = whole.draw(&picture); // without the spaces, which were there
        for part in ["carol 2", "bob:", "one", "\x1b[3;16Htoo", " to bob ", "bob>", "hi"] {
            assert!(bytes.contains(part), "{part:?} in {bytes:?}");
        }
        assert!(bytes.ends_with("\x1b[5;8H"), "{bytes:?}");
    }

    #[test]
    fn a_conversation_is_scrolled_as_far_as_it_goes() {
        let lines: Vec<String> = (0..10).map(|number| format!("line {number}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut scrolled = 100;
        let shown = end_of(&lines, Rect::new(0, 0, 20, 3), &mut scrolled).to_string();
        assert_eq!((shown.as_str(), scrolled), ("line 0\nline 1\nline 2", 7));
        scrolled = 0;
        let shown = end_of(&lines, Rect::new(0, 0, 20, 3), &mut scrolled).to_string();
        assert_eq!(shown, "line 7\nline 8\nline 9");
    }
}
